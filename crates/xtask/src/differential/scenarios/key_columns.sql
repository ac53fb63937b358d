-- keys that the connector file names
-- set: message.key.columns=key_columns.by_one:v;key_columns.by_two:b,a;(.*).keyless:a
--> setup
CREATE TABLE by_one (id int PRIMARY KEY, v text);
ALTER TABLE by_one REPLICA IDENTITY FULL;
CREATE TABLE by_two (id int PRIMARY KEY, a int, b text NOT NULL);
ALTER TABLE by_two REPLICA IDENTITY FULL;
CREATE TABLE keyless (a int, b text);
ALTER TABLE keyless REPLICA IDENTITY FULL;
CREATE TABLE untouched (id int PRIMARY KEY, v text);
--> rows
INSERT INTO keyless VALUES (1, 'k'), (NULL, 'n');
--> stream
INSERT INTO by_one VALUES (1, 'a'), (2, NULL);
UPDATE by_one SET v = 'b' WHERE id = 1;
UPDATE by_one SET id = 5 WHERE id = 2;
DELETE FROM by_one;
INSERT INTO by_two VALUES (1, 2, 'x');
UPDATE by_two SET a = 3;
DELETE FROM by_two;
UPDATE keyless SET b = 'z';
DELETE FROM keyless;
INSERT INTO untouched VALUES (1, 'a');
