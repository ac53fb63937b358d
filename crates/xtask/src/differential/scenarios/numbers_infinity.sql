-- infinite numbers
--> setup
CREATE TABLE t (id serial PRIMARY KEY, n numeric, n10_2 numeric(10,2));
--> rows
INSERT INTO t (n, n10_2) VALUES ('Infinity', NULL), ('-Infinity', NULL), ('NaN', 'NaN');
--> stream
