-- arrays of times
--> setup
CREATE TABLE t (id serial PRIMARY KEY, t time[], t3 time(3)[], tz timetz[]);
--> rows
INSERT INTO t (t, t3, tz) VALUES ('{12:34:56,NULL}', '{12:34:56}', '{12:34:56+02,NULL}'), ('{}', '{}', '{}'), (NULL, NULL, NULL),
  ('{12:34:56.789012}', '{12:34:56.789}', '{12:34:56.789012+02}'), ('{24:00:00,00:00:00}', '{23:59:59.999}', '{00:00:00-12}');
--> stream
