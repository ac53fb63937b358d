-- column.include.list
-- set: column.include.list=columns_included\.a\.(id|v),.*\.b\.(id|W),zzz\..*
--> setup
CREATE TABLE a (id int PRIMARY KEY, v text, w text);
CREATE TABLE b (id int PRIMARY KEY, v text, w text);
--> rows
--> stream
INSERT INTO a VALUES (1, 'v', 'w');
UPDATE a SET w = 'x';
UPDATE a SET id = 2;
DELETE FROM a;
INSERT INTO b VALUES (1, 'v', 'w');
UPDATE b SET v = 'x';
DELETE FROM b;
