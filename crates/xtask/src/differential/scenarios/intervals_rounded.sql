-- intervals whose seconds Debezium puts through a double
--> setup
CREATE TABLE t (id serial PRIMARY KEY, iv interval, iv3 interval(3));
--> rows
INSERT INTO t (iv, iv3) VALUES ('1.001 seconds', '1.234567 seconds'), ('00:00:01.235', NULL), ('178000000 years', NULL);
--> stream
