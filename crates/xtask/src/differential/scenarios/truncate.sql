-- TRUNCATE as events
-- set: skipped.operations=none
--> setup
CREATE TABLE a (id serial PRIMARY KEY, v text);
CREATE TABLE b (id int PRIMARY KEY REFERENCES a, v text);
CREATE TABLE nokey (v text);
--> rows
--> stream
INSERT INTO a (v) VALUES ('x');
INSERT INTO nokey VALUES ('x');
TRUNCATE a, b;
TRUNCATE nokey RESTART IDENTITY;
BEGIN; INSERT INTO a (v) VALUES ('y'); TRUNCATE a CASCADE; INSERT INTO a (v) VALUES ('z'); COMMIT;
