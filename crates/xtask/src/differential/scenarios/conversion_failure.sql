-- a value that the mode cannot hold, with the property unset: Debezium writes null, we stop
-- set: event.converting.failure.handling.mode=
--> setup
CREATE TABLE t (id serial PRIMARY KEY, n numeric(10,2));
--> rows
--> stream
INSERT INTO t (n) VALUES ('NaN');
