-- name, a text type of the catalog
--> setup
CREATE TABLE t (id serial PRIMARY KEY, n name);
CREATE TABLE required (id serial PRIMARY KEY, n name NOT NULL);
--> rows
INSERT INTO t (n) VALUES ('name'), (NULL), ('');
--> stream
UPDATE t SET n = 'other' WHERE id = 2;
DELETE FROM t WHERE id = 1;
