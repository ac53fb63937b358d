-- column.mask.hash, which digests what Java serializes, on columns of every type; v2 has to stand behind it
-- set: column.mask.hash.MD5.with.salt.sea.salt=column_hash_v1\.md5\..*
-- set: column.mask.hash.SHA-256.with.salt.salt&pepper=column_hash_v1\.(t|keyed|special)\..*
-- set: column.mask.hash.v2.SHA-512.with.salt.a=column_hash_v1\..*,column_hash_v1\.t\.v
--> setup
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN short AS varchar(8);
CREATE DOMAIN price AS numeric(6,2);
CREATE TABLE t (id int PRIMARY KEY, t text, v varchar, v10 varchar(10), vd varchar(12) DEFAULT 'long default', c5 char(5), ch "char", i2 smallint, i int, l bigint, f real, d double precision, nu10 numeric(10,2), b boolean, by bytea, u uuid, j json, jb jsonb, x xml, dt date, tm time, t0 time(0), t1 time(1), t3 time(3), ts timestamp, ts0 timestamp(0), ts3 timestamp(3), tt timestamptz, tt3 timestamptz(3), tz timetz, iv interval, iv3 interval(3), ta text[], ia int[], va varchar(7)[], ine inet, m money, bi bit(3), b1 bit, vb varbit(7), vbu varbit, r int4range, o oid, nn text NOT NULL DEFAULT 'nn', nf text NOT NULL);
CREATE TABLE md5 (id int PRIMARY KEY, a text, b text);
CREATE TABLE keyed (k varchar(20) PRIMARY KEY, v varchar(20), big text);
ALTER TABLE keyed ALTER big SET STORAGE EXTERNAL;
CREATE TABLE special (id serial PRIMARY KEY, nu numeric, e mood, s short, pr price);
INSERT INTO t (id, t, v, v10, vd, c5, ch, i2, i, l, f, d, nu10, b, by, u, j, jb, x, dt, tm, t0, t1, t3, ts, ts0, ts3, tt, tt3, tz, iv, iv3, ta, ia, va, ine, m, bi, b1, vb, vbu, r, o, nf) VALUES
  (1, 'some text 漢字🛫 that is long', 'varchar', 'ten chars!', 'd', 'abc', 'q', 1, 2, 3, 1.5, 2.5, 3.5, true, '\x0102', '00000000-0000-0000-0000-000000000001', '{"a": 1}', '{"a": 1}', '<a/>', '2024-02-29', '12:34:56', '12:34:56', '12:34:56', '12:34:56', '2024-02-29 12:34:56', '2024-02-29 12:34:56', '2024-02-29 12:34:56', '2024-02-29 12:34:56+00', '2024-02-29 12:34:56+00', '12:34:56+00', '1 day', '1 day', '{abc,defgh}', '{1,2}', '{abcdefg}', '10.0.0.1', 1.5, B'101', B'1', B'11', B'1', '[1,2)', 7, 'required text');
INSERT INTO special (nu, e, s, pr) VALUES (1.25, 'ok', 'short', 1.5);
--> rows
--> stream
INSERT INTO t (id, t, v, v10, vd, c5, ch, i2, i, l, f, d, nu10, b, by, u, j, jb, x, dt, tm, t0, t1, t3, ts, ts0, ts3, tt, tt3, tz, iv, iv3, ta, ia, va, ine, m, bi, b1, vb, vbu, r, o, nf) VALUES
  (10, 'some text 漢字🛫 that is long', 'varchar', 'ten chars!', 'd', 'abc', 'q', 1, 2, 3, 1.5, 2.5, 3.5, true, '\x0102', '00000000-0000-0000-0000-000000000001', '{"a": 1}', '{"a": 1}', '<a/>', '2024-02-29', '12:34:56', '12:34:56', '12:34:56', '12:34:56', '2024-02-29 12:34:56', '2024-02-29 12:34:56', '2024-02-29 12:34:56', '2024-02-29 12:34:56+00', '2024-02-29 12:34:56+00', '12:34:56+00', '1 day', '1 day', '{abc,defgh}', '{1,2}', '{abcdefg}', '10.0.0.1', 1.5, B'101', B'1', B'11', B'1', '[1,2)', 7, 'required text');
INSERT INTO t (id, t, vd, nf) VALUES (11, NULL, NULL, '');
INSERT INTO md5 VALUES (1, 'hello', E'\u0001\u007f\u0080\u07ff\u0800\uffff\U00010000\U0010ffff'), (2, '', ' ');
INSERT INTO md5 VALUES (3, repeat('x', 255), repeat('é', 128));
UPDATE t SET t = 'another text', id = 12 WHERE id = 11;
DELETE FROM t WHERE id = 10;
INSERT INTO special (nu, e, s, pr) VALUES (1.25, 'ok', 'short', 1.5);
INSERT INTO keyed VALUES ('the key itself', 'the value itself', repeat('x', 9000));
UPDATE keyed SET v = 'other';
UPDATE keyed SET k = 'another key';
DELETE FROM keyed;
