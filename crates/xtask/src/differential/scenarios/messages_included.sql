-- only some prefixes
-- set: message.prefix.include.list=aud.*,Exact
--> setup
CREATE TABLE t (id int PRIMARY KEY, v text);
--> rows
--> stream
SELECT pg_logical_emit_message(true, 'audit', '1');
SELECT pg_logical_emit_message(false, 'audit', '2');
SELECT pg_logical_emit_message(true, 'exact', '3');
SELECT pg_logical_emit_message(false, 'exactly', '4');
INSERT INTO t VALUES (1, 'a');
SELECT pg_logical_emit_message(true, 'my audit', '5');
SELECT pg_logical_emit_message(false, 'Audit', '6');
BEGIN; SELECT pg_logical_emit_message(true, 'other', '7'); INSERT INTO t VALUES (2, 'a'); SELECT pg_logical_emit_message(true, 'audit', '8'); INSERT INTO t VALUES (3, 'a'); COMMIT;
