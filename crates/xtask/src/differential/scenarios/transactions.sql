-- transactions, savepoints, rollbacks, bulk
--> setup
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE u (id int PRIMARY KEY REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE, v int);
--> rows
--> stream
BEGIN; INSERT INTO t VALUES (1, 'a'); INSERT INTO u VALUES (1, 1); UPDATE t SET v = 'b'; COMMIT;
BEGIN; INSERT INTO t VALUES (2, 'never'); ROLLBACK;
BEGIN; INSERT INTO t VALUES (3, 'kept'); SAVEPOINT s; INSERT INTO t VALUES (4, 'undone'); ROLLBACK TO s; INSERT INTO t VALUES (5, 'kept too'); RELEASE s; COMMIT;
BEGIN; SAVEPOINT a; INSERT INTO t VALUES (6, 'x'); SAVEPOINT b; DELETE FROM t WHERE id = 6; ROLLBACK TO a; INSERT INTO t VALUES (6, 'again'); COMMIT;
INSERT INTO t SELECT g, 'bulk ' || g FROM generate_series(100, 120) g;
UPDATE t SET v = v || '!' WHERE id % 3 = 0;
UPDATE t SET id = id + 1000 WHERE id BETWEEN 100 AND 110;
UPDATE t SET id = 77 WHERE id = 1;
DELETE FROM t WHERE id = 77;
COPY t FROM stdin;
501	copied
502	\N
503	a\tb
\.
INSERT INTO t VALUES (501, 'upsert') ON CONFLICT (id) DO UPDATE SET v = excluded.v;
DELETE FROM t WHERE id > 200;
BEGIN; COMMIT;
