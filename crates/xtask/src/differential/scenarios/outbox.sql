-- an outbox table for EventRouter; topics begin as all topics of the case do
--> setup
CREATE FUNCTION topic(name text) RETURNS text LANGUAGE sql AS
    $$ SELECT replace(current_database(), 't_diff_', 'd') || '.outbox.' || name $$;
CREATE TABLE events (
    id uuid PRIMARY KEY, aggregatetype text NOT NULL, aggregateid text NOT NULL, type text NOT NULL, payload jsonb,
    version int NOT NULL DEFAULT 1, place int NOT NULL DEFAULT 0, tenant text, at timestamp NOT NULL DEFAULT '2024-02-29 12:34:56'
);
--> rows
INSERT INTO events VALUES (gen_random_uuid(), topic('order'), 'o-1', 'Created', '{"b": 1, "a": {"x": null, "y": [1, 2]}, "f": 1.5, "s": "t"}', 1, 0, 'acme');
--> stream
INSERT INTO events VALUES (gen_random_uuid(), topic('order'), 'o-2', 'Created', '{"list": [{"k": 1}, {"k": 2}], "big": 9999999999, "empty": []}', 1, 0, NULL);
INSERT INTO events VALUES (gen_random_uuid(), topic('customer'), 'c-1', 'Deleted', NULL);
INSERT INTO events VALUES (gen_random_uuid(), topic('customer'), 'c-2', 'Named', '"text"');
UPDATE events SET type = 'x' WHERE aggregateid = 'o-1';
DELETE FROM events WHERE aggregateid = 'o-1';
