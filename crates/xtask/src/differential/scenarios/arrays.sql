-- arrays of every element type, with NULLs, empty, bounds
--> setup
CREATE EXTENSION IF NOT EXISTS citext SCHEMA public;
CREATE EXTENSION IF NOT EXISTS ltree SCHEMA public;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE numbers (id serial PRIMARY KEY, b boolean[], i2 smallint[], i4 integer[], i8 bigint[], o oid[], f4 real[], f8 double precision[], n numeric[], n10_2 numeric(10,2)[]);
CREATE TABLE texts (id serial PRIMARY KEY, t text[], v varchar[], v10 varchar(10)[], c3 char(3)[], ci citext[], lt ltree[], u uuid[], j json[], jb jsonb[], b bytea[], e mood[]);
CREATE TABLE others (id serial PRIMARY KEY, i inet[], c cidr[], m macaddr[], m8 macaddr8[], r4 int4range[], r8 int8range[], rn numrange[], rt tsrange[], rtt tstzrange[], rd daterange[]);
CREATE TABLE times (id serial PRIMARY KEY, d date[], ts timestamp[], ts3 timestamp(3)[], tt timestamptz[], tt3 timestamptz(3)[]);
CREATE TABLE required (id serial PRIMARY KEY, i4 integer[] NOT NULL, t text[] NOT NULL, n numeric(10,2)[] NOT NULL, e mood[] NOT NULL);
--> rows
INSERT INTO numbers (b, i2, i4, i8, o, f4, f8, n, n10_2) VALUES
  ('{t,f,NULL}', '{1,-2,NULL}', '{1,NULL,-2147483648}', '{9223372036854775807}', '{4294967295,0}', '{1.5,NaN,-Infinity}', '{1e300,NULL,0.1}', '{1.50,NULL,-3}', '{1.50,NULL,-3}'),
  ('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'),
  (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (NULL, '[0:1]={5,6}', '[5:6]={5,6}', NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO texts (t, v, v10, c3, ci, lt, u, j, jb, b, e) VALUES
  (ARRAY['plain', 'with "quote"', E'back\\slash', NULL, 'NULL', '', 'a,b', '{x}', ' blank '], '{a,b}', '{a,NULL}', '{a,abc}', '{A,b}', '{a.b,c}', '{00000000-0000-0000-0000-000000000001,NULL}',
   ARRAY['{"a":  1}'::json, NULL], ARRAY['{"a": [1, "x,y"]}'::jsonb, 'null'], ARRAY['\x00ff'::bytea, '\x', NULL], '{sad,happy,NULL}'),
  ('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'),
  (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO others (i, c, m, m8, r4, r8, rn, rt, rtt, rd) VALUES
  ('{10.1.2.3/24,NULL,::1}', '{10.0.0.0/8}', '{08:00:2b:01:02:03}', '{08:00:2b:01:02:03:04:05}', '{"[1,5)",empty,NULL}', '{"[1,5)"}', '{"[1.5,2)"}', '{"[2024-01-01,2024-02-01)"}', '{"[2024-01-01 00:00+02,)"}', '{"[2024-01-01,2024-02-01)"}'),
  ('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'),
  (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO times (d, ts, ts3, tt, tt3) VALUES
  ('{2024-02-29,NULL,1900-01-01}', '{"2024-02-29 12:34:56.789012",NULL}', '{"2024-02-29 12:34:56.789"}', '{"2024-02-29 12:34:56.789012+02",NULL}', '{"2024-02-29 12:34:56.7+02"}'),
  ('{}', '{}', '{}', '{}', '{}'), (NULL, NULL, NULL, NULL, NULL);
INSERT INTO required (i4, t, n, e) VALUES ('{1}', '{a}', '{1}', '{ok}'), ('{2}', '{b}', '{2}', '{sad}');
--> stream
UPDATE numbers SET i4 = '{7}' WHERE id = 1;
UPDATE texts SET id = 1001 WHERE id = 1;
DELETE FROM others WHERE id = 1;
DELETE FROM times WHERE id = 1;
UPDATE required SET id = 1001 WHERE id = 1;
DELETE FROM required WHERE id = 2;
