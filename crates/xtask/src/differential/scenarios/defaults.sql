-- column defaults in schemas, and what they do to NULL and to old keys
--> setup
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE SEQUENCE seq;
CREATE TABLE t (id serial PRIMARY KEY, b boolean DEFAULT true, i2 smallint DEFAULT -7, i4 integer DEFAULT 5, i8 bigint DEFAULT 5000000000, f4 real DEFAULT 1.5, f8 double precision DEFAULT 0.1,
  n numeric DEFAULT 1.5, n10_2 numeric(10,2) DEFAULT 1.5, t text DEFAULT 'd''x', v varchar(10) DEFAULT 'v', c5 char(5) DEFAULT 'ab', u uuid DEFAULT '00000000-0000-0000-0000-000000000001', ug uuid DEFAULT gen_random_uuid(),
  j json DEFAULT '{"a": 1}', jb jsonb DEFAULT '[]', x xml DEFAULT '<a/>', e mood DEFAULT 'ok', bt bit DEFAULT B'1', b3 bit(3) DEFAULT B'101', vb varbit DEFAULT B'11', sq bigint DEFAULT nextval('seq'));
CREATE TABLE times (id serial PRIMARY KEY, d date DEFAULT '2024-02-29', dn date DEFAULT CURRENT_DATE, t time DEFAULT '12:34:56.789', tn time DEFAULT LOCALTIME, t3 time(3) DEFAULT '01:02:03', ts timestamp DEFAULT '2024-02-29 12:34:56.789012', tsn timestamp DEFAULT now(),
  ts3 timestamp(3) DEFAULT CURRENT_TIMESTAMP, tt timestamptz DEFAULT '2024-02-29 12:34:56+00', ttn timestamptz DEFAULT CURRENT_TIMESTAMP, tt3 timestamptz(3) DEFAULT now(), tz timetz DEFAULT '12:34:56+00', iv interval DEFAULT '1 day');
CREATE TABLE functions (id serial PRIMARY KEY, t text DEFAULT upper('abc'), u text DEFAULT CURRENT_USER, c text DEFAULT 'a' || 'b', i int DEFAULT 1 + 2, neg int DEFAULT -(1), nul text DEFAULT NULL, nult varchar DEFAULT NULL::varchar, cast_ int DEFAULT '5'::int, r double precision DEFAULT random(),
  n numeric DEFAULT abs(-1), ts timestamp DEFAULT (now() AT TIME ZONE 'utc'), b boolean DEFAULT (1 > 0), cc text DEFAULT concat('a', 'b'));
CREATE TABLE others (id serial PRIMARY KEY, o oid DEFAULT 5, m money DEFAULT 1.5, b bytea DEFAULT '\x01', i inet DEFAULT '1.2.3.4', r int4range DEFAULT '[1,2)', a int[] DEFAULT '{1}', ta text[] DEFAULT ARRAY['a'], empty text DEFAULT '', nl text DEFAULT E'a\nb', bs text DEFAULT 'a\b', big text DEFAULT 'x', ty int DEFAULT 07);
CREATE TABLE required (id serial PRIMARY KEY, i int NOT NULL DEFAULT 5, t text NOT NULL DEFAULT 'x', n numeric(5,2) NOT NULL DEFAULT 1.5, b boolean NOT NULL DEFAULT true, d date NOT NULL DEFAULT '2024-01-01', u uuid NOT NULL DEFAULT gen_random_uuid(), e mood NOT NULL DEFAULT 'sad');
CREATE TABLE key_default (a int DEFAULT 3, b text DEFAULT 'k', v int, PRIMARY KEY (a, b));
--> rows
INSERT INTO t DEFAULT VALUES;
INSERT INTO t (b, i2, i4, i8, f4, f8, n, n10_2, t, v, c5, u, ug, j, jb, x, e, bt, b3, vb, sq) VALUES (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO times (dn, tn, tsn, ts3, ttn, tt3) VALUES ('2024-01-01', '00:00', '2024-01-01', '2024-01-01', '2024-01-01', '2024-01-01');
INSERT INTO times (d, dn, t, tn, t3, ts, tsn, ts3, tt, ttn, tt3, tz, iv) VALUES (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO functions (t, u, c, i, neg, nul, nult, cast_, r, n, ts, b, cc) VALUES (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO others DEFAULT VALUES;
INSERT INTO others (o, m, b, i, r, a, ta, empty, nl, bs, big, ty) VALUES (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO required DEFAULT VALUES;
--> stream
INSERT INTO key_default DEFAULT VALUES;
UPDATE key_default SET a = 4;
DELETE FROM key_default;
UPDATE t SET i4 = 6 WHERE id = 1;
UPDATE t SET id = 1001 WHERE id = 1;
DELETE FROM t WHERE id = 2;
UPDATE times SET id = 1001 WHERE id = 1;
DELETE FROM functions WHERE id = 1;
UPDATE required SET id = 1001 WHERE id = 1;
DELETE FROM required WHERE id = 2;
