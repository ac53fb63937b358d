-- the transaction topic in several partitions: the beginning and the end of a transaction by their key
-- set: provide.transaction.metadata=true
-- set: topic.creation.default.partitions=4
-- set: topic.creation.default.replication.factor=1
--> setup
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE other (id int PRIMARY KEY, v int);
--> rows
INSERT INTO t VALUES ((SELECT count(*) FROM t), 'before');
--> stream
INSERT INTO t VALUES (2, 'alone');
BEGIN; INSERT INTO t VALUES (3, 'a'); INSERT INTO other VALUES (3, 1); UPDATE t SET v = 'b' WHERE id = 3; COMMIT;
BEGIN; INSERT INTO t VALUES (4, 'never'); ROLLBACK;
BEGIN; INSERT INTO t VALUES (5, 'kept'); SAVEPOINT s; INSERT INTO t VALUES (6, 'undone'); ROLLBACK TO s; COMMIT;
DO $$ BEGIN FOR g IN 100..139 LOOP INSERT INTO t VALUES (g, 'one transaction each'); INSERT INTO other VALUES (g, g); COMMIT; END LOOP; END $$;
UPDATE t SET id = id + 1000 WHERE id > 130;
DELETE FROM other WHERE id % 2 = 0;
