-- options of ExtractNewRecordState that Debezium 3 does not read any more
-- set: transforms=unwrap
-- set: transforms.unwrap.type=io.debezium.transforms.ExtractNewRecordState
-- set: transforms.unwrap.delete.handling.mode=rewrite
-- set: transforms.unwrap.drop.tombstones=false
-- set: transforms.unwrap.predicate=own
-- set: predicates=own
-- set: predicates.own.type=org.apache.kafka.connect.transforms.predicates.TopicNameMatches
-- set: predicates.own.pattern=.*\.unwrap_old_keys\.t
--> setup
CREATE TABLE t (id int PRIMARY KEY, v text);
--> rows
INSERT INTO t VALUES (1, 'a') ON CONFLICT DO NOTHING;
--> stream
UPDATE t SET v = 'b';
DELETE FROM t;
