-- infinities, BC and far years
--> setup
CREATE TABLE dates (id serial PRIMARY KEY, d date);
CREATE TABLE stamps (id serial PRIMARY KEY, ts timestamp, ts3 timestamp(3));
CREATE TABLE zoned (id serial PRIMARY KEY, tt timestamptz, tt0 timestamptz(0));
CREATE TABLE times (id serial PRIMARY KEY, t time, tz timetz);
--> rows
INSERT INTO dates (d) VALUES ('0001-01-01'), ('1582-10-04'), ('1582-10-15'), ('1500-02-28'), ('9999-12-31'), ('10000-01-01'), ('294276-12-31');
INSERT INTO stamps (ts, ts3) VALUES ('infinity', 'infinity'), ('-infinity', '-infinity'), ('0001-01-01 00:00:00', '0001-01-01 00:00:00'),
  ('1500-01-01 00:00:00.5', '1500-01-01 00:00:00.5'), ('1582-10-10 01:02:03', '1582-10-10 01:02:03'), ('9999-12-31 23:59:59.999999', '9999-12-31 23:59:59.999'),
  ('10000-01-01 00:00:00', '10000-01-01 00:00:00'), ('0044-03-15 12:00:00 BC', '0044-03-15 12:00:00 BC'), ('2262-04-11 23:47:16.854775', '1677-09-22 00:00:00'), ('2262-04-12 00:00:00', '1677-09-21 00:12:00');
INSERT INTO zoned (tt, tt0) VALUES ('infinity', '-infinity'), ('1850-01-01 00:00:00+00', '1500-01-01 00:00:00+00'), ('21016-12-31 23:59:59.999+00', '9999-12-31 23:59:59+00'),
  ('0044-03-15 12:00:00+00 BC', '0001-01-01 00:00:00+00'), ('1883-11-18 12:00:00-08', '1940-06-01 00:00:00+02');
INSERT INTO times (t, tz) VALUES ('24:00:00', '24:00:00-14:00'), ('00:00:00', '00:00:00+14'), ('23:59:59.999999', '23:59:59.999999-12'), ('12:34:56.789', '12:34:56.789+02'), ('12:00', '12:00:00.5+00:00');
--> stream
UPDATE stamps SET ts = 'infinity' WHERE id = 3;
