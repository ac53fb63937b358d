-- tables that change between changes; both sides see each change alone
-- alone
--> setup
CREATE TABLE t (id serial PRIMARY KEY, a int, b text DEFAULT 'x');
CREATE TABLE renamed (id int PRIMARY KEY, v text);
CREATE TABLE rekeyed (a int NOT NULL, b int NOT NULL, v text, PRIMARY KEY (a));
--> rows
INSERT INTO t (a) VALUES (1);
--> stream
ALTER TABLE t ADD COLUMN c numeric(5,2);
INSERT INTO t (a, c) VALUES (2, 1.5);
--- pause
ALTER TABLE t ADD COLUMN d int NOT NULL DEFAULT 7;
UPDATE t SET a = 3 WHERE id = 1;
--- pause
ALTER TABLE t DROP COLUMN b;
INSERT INTO t (a) VALUES (4);
--- pause
ALTER TABLE t ALTER COLUMN a TYPE bigint;
INSERT INTO t (a) VALUES (5000000000);
--- pause
ALTER TABLE t RENAME COLUMN a TO e;
INSERT INTO t (e) VALUES (6);
--- pause
ALTER TABLE t ALTER COLUMN c TYPE numeric(8,3);
UPDATE t SET c = 2.125 WHERE e = 6;
--- pause
ALTER TABLE t REPLICA IDENTITY FULL;
UPDATE t SET c = 3.5 WHERE e = 6;
BEGIN;
ALTER TABLE t ADD COLUMN f text;
INSERT INTO t (e, f) VALUES (7, 'f');
ALTER TABLE t DROP COLUMN f;
INSERT INTO t (e) VALUES (8);
COMMIT;
DELETE FROM t;
INSERT INTO renamed VALUES (1, 'before');
--- pause
ALTER TABLE renamed RENAME TO other_name;
INSERT INTO other_name VALUES (2, 'after');
INSERT INTO rekeyed VALUES (1, 2, 'a');
--- pause
ALTER TABLE rekeyed DROP CONSTRAINT rekeyed_pkey, ADD PRIMARY KEY (b);
INSERT INTO rekeyed VALUES (3, 4, 'b');
CREATE TABLE late (id int PRIMARY KEY, v text DEFAULT 'd');
INSERT INTO late VALUES (1);
UPDATE late SET v = 'w';
--- pause
DROP TABLE late;
CREATE TABLE late (id bigint PRIMARY KEY, w int);
INSERT INTO late VALUES (1, 2);
