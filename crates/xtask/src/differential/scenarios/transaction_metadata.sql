-- the transaction block of events and the transaction topic
-- set: provide.transaction.metadata=true
-- set: skipped.operations=none
-- set: table.exclude.list=transaction_metadata\.hidden
-- unless: topic.creation.default.partitions=4
--> setup
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE "odd name" (id int PRIMARY KEY REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE, v int);
CREATE TABLE nokey (v text);
CREATE TABLE hidden (id int PRIMARY KEY);
ALTER TABLE nokey REPLICA IDENTITY FULL;
--> rows
INSERT INTO t VALUES ((SELECT count(*) FROM t), 'before');
--> stream
INSERT INTO t VALUES (2, 'alone');
BEGIN; INSERT INTO t VALUES (3, 'a'); INSERT INTO "odd name" VALUES (3, 1); UPDATE t SET v = 'b' WHERE id = 3; INSERT INTO nokey VALUES ('x'); UPDATE nokey SET v = 'y'; COMMIT;
BEGIN; INSERT INTO t VALUES (4, 'never'); ROLLBACK;
BEGIN; INSERT INTO t VALUES (5, 'kept'); SAVEPOINT s; INSERT INTO t VALUES (6, 'undone'); ROLLBACK TO s; INSERT INTO t VALUES (7, 'kept too'); RELEASE s; COMMIT;
BEGIN; UPDATE t SET id = 33 WHERE id = 3; INSERT INTO nokey VALUES ('z'); COMMIT;
DELETE FROM t WHERE id = 33;
DELETE FROM nokey;
INSERT INTO hidden VALUES (1);
BEGIN; INSERT INTO hidden VALUES (2); INSERT INTO t VALUES (8, 'seen'); INSERT INTO hidden VALUES (3); COMMIT;
BEGIN; TRUNCATE "odd name"; INSERT INTO t VALUES (9, 'after'); TRUNCATE nokey, "odd name"; COMMIT;
BEGIN; COMMIT;
INSERT INTO t SELECT g, 'bulk ' || g FROM generate_series(100, 115) g;
UPDATE t SET v = v || '!' WHERE id > 110;
