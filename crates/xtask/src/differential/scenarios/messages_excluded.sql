-- all but some prefixes, with metadata
-- set: message.prefix.exclude.list=noise.*
-- set: provide.transaction.metadata=true
-- set: topic.transaction=tx
--> setup
CREATE TABLE t (id int PRIMARY KEY, v text);
--> rows
--> stream
SELECT pg_logical_emit_message(true, 'noise', '1');
SELECT pg_logical_emit_message(false, 'NOISE 2', '2');
INSERT INTO t VALUES (1, 'a');
BEGIN; SELECT pg_logical_emit_message(true, 'noise', '3'); INSERT INTO t VALUES (2, 'a'); SELECT pg_logical_emit_message(true, 'signal', '4'); INSERT INTO t VALUES (3, 'a'); COMMIT;
SELECT pg_logical_emit_message(false, 'signal', '5');
