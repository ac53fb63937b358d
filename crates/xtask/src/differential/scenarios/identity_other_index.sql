-- an identity that does not hold the key: Debezium makes up a key, we stop
-- alone
--> setup
CREATE TABLE t (id int PRIMARY KEY, u int NOT NULL, v text);
CREATE UNIQUE INDEX t_u ON t (u);
ALTER TABLE t REPLICA IDENTITY USING INDEX t_u;
--> rows
--> stream
INSERT INTO t VALUES (1, 10, 'a');
DELETE FROM t;
