-- numeric in all forms, money
--> setup
CREATE TABLE t (id serial PRIMARY KEY, n numeric, n10_2 numeric(10,2), n38 numeric(38,10), n5 numeric(5), d decimal(12,6), m money);
CREATE TABLE small (id serial PRIMARY KEY, n3_5 numeric(3,5));
CREATE TABLE required (id serial PRIMARY KEY, n numeric NOT NULL, n10_2 numeric(10,2) NOT NULL, m money NOT NULL);
CREATE TABLE in_key (n numeric(10,2) PRIMARY KEY, v int);
--> rows
INSERT INTO t (n, n10_2, n38, n5, d, m) VALUES
  (123.4500, 12345678.90, 1234567890123456789012345678.0123456789, 12345, 3.141593, '1234567.89'),
  (-0.00, -0.01, -0.0000000001, -99999, -3.1, '-1.50'),
  (NULL, NULL, NULL, NULL, NULL, NULL),
  (1e20, 0, 0, 0, 0, '0'),
  (0.000000000000000000000000000001, 99999999.99, 1, 1, 1, '92233720368547758.07'),
  (12345678901234567890123456789012345678901234567890, 1, 1, 1, 1, '-92233720368547758.08'),
  (100, 100, 100, 100, 100, '0.01'),
  ('NaN', 'NaN', 'NaN', 'NaN', 'NaN', '0'),
  (0, 1.10, 255, 256, -1.28, '1.28'),
  (128, 327.68, -128, -129, 32.768, '3.27'),
  (1.0e-5, 0.1, 0.1, 1, 0.000001, '100'),
  (-123456.789000, -327.68, 1e-10, -32768, 1e5, '10');
INSERT INTO small (n3_5) VALUES (0.00123), (-0.00999), (NULL);
INSERT INTO required (n, n10_2, m) VALUES (1.5, 2.50, '3.5'), (0, 0, '0');
--> stream
INSERT INTO in_key VALUES (1.50, 1), (-2.00, 2);
UPDATE in_key SET n = 3.5 WHERE n = 1.5;
DELETE FROM in_key;
UPDATE t SET n = 42 WHERE id = 1;
DELETE FROM t WHERE id = 2;
UPDATE required SET id = 1001 WHERE id = 1;
DELETE FROM required WHERE id = 2;
