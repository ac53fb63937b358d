-- a payload that is an array, which stops Debezium 3.6.3
-- set: transforms=outbox
-- set: transforms.outbox.type=io.debezium.transforms.outbox.EventRouter
-- set: transforms.outbox.predicate=own
-- set: transforms.outbox.route.topic.replacement=${routedByValue}
-- set: transforms.outbox.table.expand.json.payload=true
-- set: predicates=own
-- set: predicates.own.type=org.apache.kafka.connect.transforms.predicates.TopicNameMatches
-- set: predicates.own.pattern=.*\.outbox_array\.events
--> setup
CREATE TABLE events (id int PRIMARY KEY, aggregatetype text NOT NULL, aggregateid text NOT NULL, payload jsonb, version int NOT NULL);
--> rows
INSERT INTO events SELECT coalesce(max(id), 0) + 1, replace(current_database(), 't_diff_', 'd') || '.outbox_array.order', 'o-1', '{"a": 1}', 1 FROM events;
--> stream
INSERT INTO events VALUES (100, replace(current_database(), 't_diff_', 'd') || '.outbox_array.order', 'o-2', '[1, 2]', 1);
