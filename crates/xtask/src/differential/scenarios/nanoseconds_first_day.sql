-- the first day that nanoseconds since 1970 can hold in 64 bits
--> setup
CREATE TABLE t (id serial PRIMARY KEY, ts timestamp);
--> rows
INSERT INTO t (ts) VALUES ('1677-09-21 00:12:44'), ('1677-09-21 23:59:59.999999'), ('1677-09-22 00:00:00');
--> stream
