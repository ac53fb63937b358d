-- the same for a table without a key
-- unless: topic.creation.default.partitions=4
--> setup
CREATE TABLE keyless (id int, name text, note text DEFAULT 'n/a', dest text);
ALTER TABLE keyless REPLICA IDENTITY FULL;
--> rows
INSERT INTO keyless VALUES (1, 'a', NULL, NULL);
--> stream
UPDATE keyless SET note = 'x' WHERE id = 1;
DELETE FROM keyless WHERE id = 1;
