-- defaults that Debezium reads as another value: infinite, before Christ, 24:00
--> setup
CREATE TABLE t (id serial PRIMARY KEY, k timestamptz DEFAULT 'infinity', l timestamp DEFAULT 'infinity', m date DEFAULT 'infinity', u time DEFAULT '24:00:00', y date DEFAULT '0044-03-15 BC');
--> rows
INSERT INTO t (k, l, m, u, y) VALUES ('2024-01-01 00:00+00', '2024-01-01', '2024-01-01', '01:00', '2024-01-01');
--> stream
