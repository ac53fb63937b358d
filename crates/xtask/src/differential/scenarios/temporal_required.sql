-- NOT NULL times: what stands for them in an old key
-- unless: time.precision.mode=nanoseconds
--> setup
CREATE TABLE required (id serial PRIMARY KEY, d date NOT NULL, t time NOT NULL, t3 time(3) NOT NULL, tz timetz NOT NULL, ts timestamp NOT NULL,
  ts3 timestamp(3) NOT NULL, tt timestamptz NOT NULL, tt3 timestamptz(3) NOT NULL, iv interval NOT NULL);
CREATE TABLE in_key (ts timestamp(3), d date, tt timestamptz, v int, PRIMARY KEY (d, ts, tt));
--> rows
INSERT INTO required (d, t, t3, tz, ts, ts3, tt, tt3, iv) SELECT '2024-02-29', '12:34:56', '12:34:56', '12:34:56+02', '2024-02-29 12:34:56', '2024-02-29 12:34:56', '2024-02-29 12:34:56+02',
  '2024-02-29 12:34:56+02', '1 day' FROM generate_series(1, 2);
--> stream
UPDATE required SET id = 1001 WHERE id = 1;
DELETE FROM required WHERE id = 2;
INSERT INTO in_key VALUES ('2024-02-29 12:34:56.789', '2024-02-29', '2024-02-29 12:34:56.789012+02', 1);
UPDATE in_key SET d = '2024-03-01';
DELETE FROM in_key;
