-- a masked decimal, which stops Debezium 3.6.3: Connect's zero has no digits behind the point
-- set: transforms=unwrap,mask
-- set: transforms.unwrap.type=io.debezium.transforms.ExtractNewRecordState
-- set: transforms.mask.type=org.apache.kafka.connect.transforms.MaskField$Value
-- set: transforms.mask.predicate=own
-- set: transforms.mask.fields=n
-- set: predicates=own
-- set: predicates.own.type=org.apache.kafka.connect.transforms.predicates.TopicNameMatches
-- set: predicates.own.pattern=.*\.mask_decimal\.t
--> setup
CREATE TABLE t (id int PRIMARY KEY, n numeric(10,2));
--> rows
INSERT INTO t VALUES (1, 1.25) ON CONFLICT DO NOTHING;
--> stream
INSERT INTO t VALUES (2, 2.5);
