-- logical decoding messages together with transaction metadata
-- set: provide.transaction.metadata=true
-- set: topic.transaction=tx
--> setup
CREATE TABLE t (id int PRIMARY KEY, v text);
--> rows
--> stream
SELECT pg_logical_emit_message(true, 'only', 'a transaction of its own');
BEGIN; INSERT INTO t VALUES (1, 'a'); SELECT pg_logical_emit_message(true, 'first', 'one'); INSERT INTO t VALUES (2, 'b'); SELECT pg_logical_emit_message(true, 'first', 'two'); UPDATE t SET v = 'c' WHERE id = 1; COMMIT;
SELECT pg_logical_emit_message(false, 'outside', 'of everything');
BEGIN; INSERT INTO t VALUES (3, 'a'); SELECT pg_logical_emit_message(false, 'within', 'but before'); INSERT INTO t VALUES (4, 'a'); COMMIT;
BEGIN; INSERT INTO t VALUES (5, 'never'); SELECT pg_logical_emit_message(true, 'never', 'rolled back'); SELECT pg_logical_emit_message(false, 'survives', 'the rollback'); ROLLBACK;
INSERT INTO t VALUES (6, 'last');
