-- tables without a key: null keys, tombstones without a key
-- unless: topic.creation.default.partitions=4
--> setup
CREATE TABLE ful (a int, b text);
ALTER TABLE ful REPLICA IDENTITY FULL;
CREATE TABLE def (a int, b text);
CREATE TABLE uni_expr (u text NOT NULL, v text);
CREATE UNIQUE INDEX uni_expr_key ON uni_expr (lower(u));
ALTER TABLE uni_expr REPLICA IDENTITY FULL;
--> rows
INSERT INTO ful VALUES (1, 'a'), (1, 'a'), (NULL, NULL);
INSERT INTO def VALUES (1, 'a');
--> stream
UPDATE ful SET b = 'b' WHERE a = 1;
DELETE FROM ful;
INSERT INTO uni_expr VALUES ('A', 'a');
UPDATE uni_expr SET v = 'x';
DELETE FROM uni_expr;
