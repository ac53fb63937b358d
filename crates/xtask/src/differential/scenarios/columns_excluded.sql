-- column.exclude.list
-- set: column.exclude.list=columns_excluded\.a\.v,.*\.secret.*,columns_excluded\.in_key\.b
--> setup
CREATE TABLE a (id int PRIMARY KEY, v text, w text, secret_one int);
CREATE TABLE in_key (a int, b int, v text, PRIMARY KEY (a, b));
CREATE TABLE ful (id int PRIMARY KEY, v text, secret text);
ALTER TABLE ful REPLICA IDENTITY FULL;
--> rows
INSERT INTO ful (id, v, secret) SELECT coalesce(max(id), 0) + 1, 'v', 's' FROM ful;
--> stream
INSERT INTO a VALUES (1, 'v', 'w', 3);
UPDATE a SET v = 'x';
DELETE FROM a;
INSERT INTO in_key VALUES (1, 2, 'v');
UPDATE in_key SET b = 3;
DELETE FROM in_key;
UPDATE ful SET secret = 't';
DELETE FROM ful;
