-- date, time, timestamp, interval: values that every mode can hold
--> setup
CREATE TABLE t (id serial PRIMARY KEY, d date, t time, t0 time(0), t3 time(3), t6 time(6), tz timetz, tz3 timetz(3),
  ts timestamp, ts0 timestamp(0), ts1 timestamp(1), ts3 timestamp(3), ts4 timestamp(4), ts6 timestamp(6),
  tt timestamptz, tt0 timestamptz(0), tt1 timestamptz(1), tt3 timestamptz(3), tt6 timestamptz(6), iv interval, ivd interval day, iv3 interval(3));
--> rows
INSERT INTO t (d, t, t0, t3, t6, tz, tz3, ts, ts0, ts1, ts3, ts4, ts6, tt, tt0, tt1, tt3, tt6, iv, ivd, iv3)
SELECT d::date, x::time, x::time, x::time, x::time, (x || z)::timetz, (x || z)::timetz,
  (d || ' ' || x)::timestamp, (d || ' ' || x)::timestamp, (d || ' ' || x)::timestamp, (d || ' ' || x)::timestamp, (d || ' ' || x)::timestamp, (d || ' ' || x)::timestamp,
  (d || ' ' || x || z)::timestamptz, (d || ' ' || x || z)::timestamptz, (d || ' ' || x || z)::timestamptz, (d || ' ' || x || z)::timestamptz, (d || ' ' || x || z)::timestamptz,
  i::interval, i::interval, i::interval
FROM (VALUES
  ('2024-02-29', '12:34:56.789012', '+02', '1 year 2 mons 3 days 04:05:06.780009'),
  ('1970-01-01', '00:00:00', '+00', '0'),
  ('1969-12-31', '23:59:59.999999', '-05:30', '-1 mons +2 days -00:00:00.5'),
  ('1900-01-01', '00:00:00.1', '+00', '-4 hours'),
  ('1750-06-15', '06:07:08.000009', '-08', '100 years'),
  ('2038-01-19', '03:14:07.5', '+14', '1.5 seconds'),
  ('2200-12-31', '24:00:00', '+00', '-3 days 00:00:01.25'),
  ('2000-01-01', '00:00:00.000001', '+05:45', '00:00:01.25')) AS v (d, x, z, i);
INSERT INTO t (d) VALUES (NULL);
--> stream
UPDATE t SET ts = '2025-01-01 00:00:00.000001' WHERE id = 1;
UPDATE t SET id = 1001 WHERE id = 2;
DELETE FROM t WHERE id = 3;
