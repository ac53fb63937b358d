-- marks of a snapshot whose first and last tables are empty
-- alone
--> setup
CREATE SCHEMA aaa;
CREATE TABLE aaa.empty (id int PRIMARY KEY);
CREATE TABLE one (id int PRIMARY KEY);
CREATE TABLE three (id int PRIMARY KEY);
INSERT INTO one VALUES (1);
INSERT INTO three VALUES (1), (2), (3);
CREATE SCHEMA zzzz;
CREATE TABLE zzzz.empty (id int PRIMARY KEY);
--> rows
--> stream
