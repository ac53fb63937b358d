-- table.exclude.list and schema.exclude.list
-- set: table.exclude.list=tables_excluded\.b.*
-- set: schema.exclude.list=hidden
--> setup
CREATE SCHEMA hidden;
CREATE TABLE hidden.t (id int PRIMARY KEY);
CREATE TABLE a (id int PRIMARY KEY, v text);
CREATE TABLE b (id int PRIMARY KEY, v text);
--> rows
INSERT INTO a SELECT count(*), 'x' FROM a;
INSERT INTO b SELECT count(*), 'x' FROM b;
--> stream
INSERT INTO hidden.t VALUES (1);
UPDATE a SET v = 'y';
