-- addresses, ranges, geometry, hstore
--> setup
CREATE EXTENSION IF NOT EXISTS hstore SCHEMA public;
CREATE TABLE t (id serial PRIMARY KEY, i inet, c cidr, m macaddr, m8 macaddr8, r4 int4range, r8 int8range, rn numrange, rt tsrange, rtt tstzrange, rd daterange, p point, hs hstore);
CREATE TABLE required (id serial PRIMARY KEY, i inet NOT NULL, m macaddr NOT NULL, r4 int4range NOT NULL, rt tsrange NOT NULL, p point NOT NULL, hs hstore NOT NULL);
--> rows
INSERT INTO t (i, c, m, m8, r4, r8, rn, rt, rtt, rd, p, hs) VALUES
  ('10.1.2.3/24', '10.1.0.0/16', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '[1,5]', '(1,5)', '[1.5,2.5)', '[2024-01-01,2024-02-01)', '[2024-01-01 00:00+02,infinity)', '[2024-01-01,2024-02-01]', '(1.5,-2.25)', 'k1=>v1, k2=>NULL'),
  ('10.1.2.3', '::1/128', NULL, NULL, 'empty', '(,)', '(,5]', '(,)', 'empty', '(,)', '(0,0)', ''),
  (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  ('2001:db8::1/64', '2001:db8::/32', 'ff:ff:ff:ff:ff:ff', NULL, '[1,1]', '[5,)', 'empty', '["2024-01-01 12:34:56.789",]', NULL, NULL, '(1e300,-1e-300)', '"quoted \" key"=>"back \\ slash", a=>"", "ü"=>"ß"'),
  (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '(Infinity,NaN)', 'one=>1, two=>2, three=>3, four=>4'),
  ('::', '0.0.0.0/0', '00:00:00:00:00:00', 'ff:ff:ff:ff:ff:ff:ff:ff', '(,)', 'empty', NULL, 'empty', '(,)', 'empty', NULL, NULL),
  (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, E'"🛫"=>"\t🛫"');
INSERT INTO required (i, m, r4, rt, p, hs) VALUES ('1.1.1.1', '08:00:2b:01:02:03', '[1,2)', '[2024-01-01,)', '(1,2)', 'a=>b'), ('1.1.1.2', '08:00:2b:01:02:03', '[1,2)', '(,)', '(3,4)', 'a=>c');
--> stream
UPDATE t SET i = '1.2.3.4' WHERE id = 1;
UPDATE t SET id = 1001 WHERE id = 2;
DELETE FROM t WHERE id = 4;
UPDATE required SET id = 1001 WHERE id = 1;
DELETE FROM required WHERE id = 2;
