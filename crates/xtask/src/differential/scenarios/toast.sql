-- unchanged TOASTed values, in every type that is stored out of line
--> setup
CREATE EXTENSION IF NOT EXISTS hstore SCHEMA public;
CREATE EXTENSION IF NOT EXISTS citext SCHEMA public;
CREATE EXTENSION IF NOT EXISTS ltree SCHEMA public;
CREATE TABLE def (id serial PRIMARY KEY, v int, t text, vc varchar, c char(9000), ci citext, j json, jb jsonb, x xml, b bytea, n numeric, hs hstore, tv tsvector, vb varbit);
CREATE TABLE arr (id serial PRIMARY KEY, v int, t text[], vc varchar[], j json[], jb jsonb[], b bytea[], i4 int[], i8 bigint[], i2 smallint[], u uuid[], n numeric[], f8 double precision[], bo boolean[], d date[], ts timestamp[], i inet[], c char(20)[]);
CREATE TABLE ful (id serial PRIMARY KEY, v int, t text, b bytea, i4 int[], jb jsonb);
ALTER TABLE ful REPLICA IDENTITY FULL;
ALTER TABLE def ALTER t SET STORAGE EXTERNAL, ALTER vc SET STORAGE EXTERNAL, ALTER c SET STORAGE EXTERNAL, ALTER ci SET STORAGE EXTERNAL, ALTER j SET STORAGE EXTERNAL, ALTER jb SET STORAGE EXTERNAL, ALTER x SET STORAGE EXTERNAL, ALTER b SET STORAGE EXTERNAL,
  ALTER n SET STORAGE EXTERNAL, ALTER hs SET STORAGE EXTERNAL, ALTER tv SET STORAGE EXTERNAL, ALTER vb SET STORAGE EXTERNAL;
ALTER TABLE arr ALTER t SET STORAGE EXTERNAL, ALTER vc SET STORAGE EXTERNAL, ALTER j SET STORAGE EXTERNAL, ALTER jb SET STORAGE EXTERNAL, ALTER b SET STORAGE EXTERNAL, ALTER i4 SET STORAGE EXTERNAL, ALTER i8 SET STORAGE EXTERNAL, ALTER i2 SET STORAGE EXTERNAL, ALTER u SET STORAGE EXTERNAL,
  ALTER n SET STORAGE EXTERNAL, ALTER f8 SET STORAGE EXTERNAL, ALTER bo SET STORAGE EXTERNAL, ALTER d SET STORAGE EXTERNAL, ALTER ts SET STORAGE EXTERNAL, ALTER i SET STORAGE EXTERNAL, ALTER c SET STORAGE EXTERNAL;
ALTER TABLE ful ALTER t SET STORAGE EXTERNAL, ALTER b SET STORAGE EXTERNAL, ALTER i4 SET STORAGE EXTERNAL, ALTER jb SET STORAGE EXTERNAL;
--> rows
--> stream
INSERT INTO def (v, t, vc, c, ci, j, jb, x, b, n, hs, tv, vb) SELECT 1, big, big, big, big, to_json(big), to_jsonb(big), ('<a>' || big || '</a>')::xml, decode(repeat('ab', 3000), 'hex'), (repeat('12345', 1000) || '.5')::numeric, ('a=>' || big)::hstore,
  (SELECT string_agg('w' || g, ' ') FROM generate_series(1, 900) g)::tsvector, repeat('10', 20000)::varbit FROM repeat('x', 3000) AS big;
INSERT INTO arr (v, t, vc, j, jb, b, i4, i8, i2, u, n, f8, bo, d, ts, i, c) SELECT 1, array_agg('text' || g), array_agg('text' || g), array_agg(to_json(g)), array_agg(to_jsonb(g)), array_agg('\x00'::bytea), array_agg(g), array_agg(g::bigint), array_agg(1::smallint),
  array_agg('00000000-0000-0000-0000-000000000001'::uuid), array_agg(g::numeric), array_agg(g::float8), array_agg(true), array_agg('2024-01-01'::date), array_agg('2024-01-01'::timestamp), array_agg('1.2.3.4'::inet), array_agg('x'::char(20)) FROM generate_series(1, 2100) g;
INSERT INTO ful (v, t, b, i4, jb) SELECT 1, repeat('x', 3000), decode(repeat('ab', 3000), 'hex'), array_agg(g), to_jsonb(repeat('y', 3000)) FROM generate_series(1, 2100) g;
UPDATE def SET v = 2;
UPDATE arr SET v = 2;
UPDATE ful SET v = 2;
UPDATE def SET id = 1001;
UPDATE ful SET id = 1001;
DELETE FROM def;
DELETE FROM ful;
