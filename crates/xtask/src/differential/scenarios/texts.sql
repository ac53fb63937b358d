-- text in all its types
--> setup
CREATE EXTENSION IF NOT EXISTS citext SCHEMA public;
CREATE EXTENSION IF NOT EXISTS ltree SCHEMA public;
CREATE EXTENSION IF NOT EXISTS isn SCHEMA public;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'hap,py', 'it''s');
CREATE TABLE t (id serial PRIMARY KEY, t text, v varchar, v10 varchar(10), c char, c5 char(5), ch "char", ci citext,
  u uuid, j json, jb jsonb, x xml, e mood, lt ltree, tv tsvector, isb isbn);
CREATE TABLE required (id serial PRIMARY KEY, t text NOT NULL, v10 varchar(10) NOT NULL, c5 char(5) NOT NULL, ci citext NOT NULL,
  u uuid NOT NULL, j json NOT NULL, jb jsonb NOT NULL, x xml NOT NULL, e mood NOT NULL, lt ltree NOT NULL, tv tsvector NOT NULL);
--> rows
INSERT INTO t (t, v, v10, c, c5, ch, ci, u, j, jb, x, e, lt, tv, isb) VALUES
  ('plain', 'var', 'ten', 'c', 'ab', 'q', 'CiText', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '{"a":  1}', '{"b": [1, 2, {"c": null}], "a": 1.50}',
   '<a>x</a>', 'sad', 'Top.Science', 'a fat cat', '978-0-393-04002-9'),
  ('', '', '', '', '', '', '', '00000000-0000-0000-0000-000000000000', 'null', 'null', '', 'hap,py', '', '', '978-0-00-000000-2'),
  (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (E'quote " back \\ slash / tab \t nl \n cr \r bell \x07 del \x7f', 'ünïcode 🛫 漢字', '漢字', 'ß', 'é', 'x', 'ÜBER', NULL, '"\u00e9\n"', '"\u00e9\n\u2028"',
   '<é a="1">&amp;</é>', 'it''s', 'a.b.c', $$'a':1A 'b':2$$, NULL),
  (E'\u2028\u2029\ufeff\u0085', 'x', 'x', 'x', 'x', 'x', 'x', NULL, '[]', '[]', NULL, 'ok', NULL, NULL, NULL);
INSERT INTO required (t, v10, c5, ci, u, j, jb, x, e, lt, tv) VALUES
  ('a', 'b', 'c', 'd', '00000000-0000-0000-0000-000000000001', '1', '2', '<x/>', 'ok', 'a.b', 'a'),
  ('e', 'f', 'g', 'h', '00000000-0000-0000-0000-000000000002', '3', '4', '<y/>', 'sad', 'c', 'b');
--> stream
UPDATE t SET t = 'changed' WHERE id = 1;
UPDATE t SET e = 'ok', id = 1001 WHERE id = 2;
DELETE FROM t WHERE id = 4;
UPDATE required SET id = 1001 WHERE id = 1;
DELETE FROM required WHERE id = 2;
