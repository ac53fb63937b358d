-- arrays with more dimensions than one
--> setup
CREATE TABLE t (id serial PRIMARY KEY, i4 integer[], n numeric[], t text[]);
--> rows
INSERT INTO t (i4, n, t) VALUES ('{{1,2},{3,4}}', '{{1,2},{3,4}}', NULL), (NULL, NULL, '{{a,b},{c,d}}');
--> stream
