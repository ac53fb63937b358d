-- updates that change nothing are dropped
-- set: skip.messages.without.change=true
-- set: column.exclude.list=.*\.noise
--> setup
CREATE TABLE ful (id int PRIMARY KEY, v text, noise int);
ALTER TABLE ful REPLICA IDENTITY FULL;
CREATE TABLE def (id int PRIMARY KEY, v text, noise int);
--> rows
--> stream
INSERT INTO ful VALUES (1, 'a', 1), (2, NULL, 1);
UPDATE ful SET v = v;
UPDATE ful SET noise = 2;
UPDATE ful SET v = 'b';
INSERT INTO def VALUES (1, 'a', 1);
UPDATE def SET v = v;
UPDATE def SET noise = 2;
UPDATE def SET v = 'c';
