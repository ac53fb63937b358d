-- payloads of another shape under one schema version, which stop Debezium 3.6.3
-- set: transforms=outbox
-- set: transforms.outbox.type=io.debezium.transforms.outbox.EventRouter
-- set: transforms.outbox.predicate=own
-- set: transforms.outbox.route.topic.replacement=${routedByValue}
-- set: transforms.outbox.table.expand.json.payload=true
-- set: transforms.outbox.table.field.event.schema.version=version
-- set: transforms.outbox.table.fields.additional.placement=version:envelope
-- set: predicates=own
-- set: predicates.own.type=org.apache.kafka.connect.transforms.predicates.TopicNameMatches
-- set: predicates.own.pattern=.*\.outbox_version\.events
--> setup
CREATE TABLE events (id int PRIMARY KEY, aggregatetype text NOT NULL, aggregateid text NOT NULL, payload jsonb, version int NOT NULL);
--> rows
INSERT INTO events SELECT coalesce(max(id), 0) + 1, replace(current_database(), 't_diff_', 'd') || '.outbox_version.order', 'o-1', '{"a": 1}', 1 FROM events;
--> stream
INSERT INTO events VALUES (100, replace(current_database(), 't_diff_', 'd') || '.outbox_version.order', 'o-2', '{"b": "x"}', 1);
