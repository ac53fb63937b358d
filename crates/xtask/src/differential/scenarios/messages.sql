-- logical decoding messages
--> setup
CREATE TABLE t (id int PRIMARY KEY, v text);
--> rows
--> stream
INSERT INTO t VALUES (0, 'first: before any commit, a message carries the time of the snapshot');
SELECT pg_logical_emit_message(false, 'first', 'behind a commit');
SELECT pg_logical_emit_message(true, 'only', 'a transaction of its own');
BEGIN; INSERT INTO t VALUES (1, 'a'); SELECT pg_logical_emit_message(true, 'x', 'one'); INSERT INTO t VALUES (2, 'b'); SELECT pg_logical_emit_message(true, 'x', 'two'); COMMIT;
SELECT pg_logical_emit_message(false, 'outside', 'of everything');
SELECT pg_logical_emit_message(false, 'outside', 'once more');
INSERT INTO t VALUES (3, 'after');
BEGIN; INSERT INTO t VALUES (4, 'a'); SELECT pg_logical_emit_message(false, 'within', 'but before'); INSERT INTO t VALUES (5, 'a'); COMMIT;
BEGIN; INSERT INTO t VALUES (6, 'never'); SELECT pg_logical_emit_message(true, 'never', 'rolled back'); SELECT pg_logical_emit_message(false, 'survives', 'the rollback'); ROLLBACK;
SELECT pg_logical_emit_message(true, '', '');
SELECT pg_logical_emit_message(false, '', '');
SELECT pg_logical_emit_message(true, 'bytes', '\x00ff10fbefbe'::bytea);
SELECT pg_logical_emit_message(false, 'ünicode "quoted"', 'żółć');
SELECT pg_logical_emit_message(true, 'long', repeat('0123456789', 1000));
INSERT INTO t VALUES (7, 'last');
