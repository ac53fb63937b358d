-- dates that Debezium's snapshot and stream disagree about: infinities and years before Christ
--> setup
CREATE TABLE t (id serial PRIMARY KEY, d date);
--> rows
INSERT INTO t (d) VALUES ('infinity'), ('-infinity'), ('0044-03-15 BC');
--> stream
