-- options of ExtractNewRecordState that Debezium 3 does not read any more
-- set: transforms=unwrap
-- set: transforms.unwrap.type=io.debezium.transforms.ExtractNewRecordState
-- set: transforms.unwrap.delete.handling.mode=rewrite
-- set: transforms.unwrap.drop.tombstones=false
--> setup
CREATE TABLE t (id int PRIMARY KEY, v text);
--> rows
INSERT INTO t VALUES (1, 'a') ON CONFLICT DO NOTHING;
--> stream
UPDATE t SET v = 'b';
DELETE FROM t;
