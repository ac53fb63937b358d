-- unchanged TOASTed values, few enough for a fixture: toast has every type
--> setup
CREATE TABLE def (id serial PRIMARY KEY, v int, t text, b bytea, jb jsonb, i4 int[], n numeric);
CREATE TABLE ful (id serial PRIMARY KEY, v int, t text);
ALTER TABLE ful REPLICA IDENTITY FULL;
ALTER TABLE def ALTER t SET STORAGE EXTERNAL, ALTER b SET STORAGE EXTERNAL, ALTER jb SET STORAGE EXTERNAL, ALTER i4 SET STORAGE EXTERNAL, ALTER n SET STORAGE EXTERNAL;
ALTER TABLE ful ALTER t SET STORAGE EXTERNAL;
--> rows
--> stream
INSERT INTO def (v, t, b, jb, i4, n) SELECT 1, repeat('x', 2100), decode(repeat('ab', 2100), 'hex'), to_jsonb(repeat('y', 2100)), array_agg(1), (repeat('9', 4200) || '.5')::numeric FROM generate_series(1, 600);
INSERT INTO ful (v, t) VALUES (1, repeat('x', 2100));
UPDATE def SET v = 2;
UPDATE ful SET v = 2;
UPDATE def SET id = 1001;
UPDATE ful SET t = 'small';
DELETE FROM def;
