-- table.include.list and a publication made by the connector
-- set: table.include.list=tables_included\.a.*,ZZZ\.sentinel
-- set: publication.autocreate.mode=filtered
-- set: publication.name=made
--> setup
CREATE TABLE a_one (id int PRIMARY KEY, v text);
CREATE TABLE a_two (id int PRIMARY KEY, v text);
CREATE TABLE other (id int PRIMARY KEY, v text);
INSERT INTO other VALUES (1, 'x');
--> rows
INSERT INTO a_one SELECT count(*), 'x' FROM a_one;
--> stream
INSERT INTO a_two VALUES (1, 'a');
INSERT INTO other VALUES (2, 'a');
BEGIN; INSERT INTO a_two VALUES (2, 'a'); INSERT INTO other VALUES (3, 'a'); COMMIT;
