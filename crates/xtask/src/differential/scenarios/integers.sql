-- integers, booleans, floats, oid
--> setup
CREATE TABLE t (id serial PRIMARY KEY, b boolean, i2 smallint, i4 integer, i8 bigint, o oid, f4 real, f8 double precision);
CREATE TABLE required (id bigserial PRIMARY KEY, b boolean NOT NULL, i2 smallint NOT NULL, i4 integer NOT NULL,
  i8 bigint NOT NULL, o oid NOT NULL, f4 real NOT NULL, f8 double precision NOT NULL);
--> rows
INSERT INTO t (b, i2, i4, i8, o, f4, f8) VALUES
  (true, 1, 2, 3, 4, 1.5, 2.5),
  (false, -32768, -2147483648, -9223372036854775808, 0, 'NaN', 'NaN'),
  (NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (true, 32767, 2147483647, 9223372036854775807, 4294967295, 'Infinity', '-Infinity'),
  (true, 0, 0, 0, 1, '-0', '-0'),
  (true, 0, 0, 0, 1, 0.1, 0.1),
  (true, 0, 0, 0, 1, 1e-7, 1e-7),
  (true, 0, 0, 0, 1, 3.4028235e38, 1.7976931348623157e308),
  (true, 0, 0, 0, 1, 1e-45, 5e-324),
  (true, 0, 0, 0, 1, 16777216, 1234567890123456789),
  (true, 0, 0, 0, 1, 0.001, 9999999),
  (true, 0, 0, 0, 1, 0.00099, 10000000),
  (true, 0, 0, 0, 1, 2e-3, 2e23);
INSERT INTO required (b, i2, i4, i8, o, f4, f8) VALUES (true, 1, 2, 3, 4, 1.5, 2.5), (false, -1, -2, -3, 0, 0, 0);
--> stream
UPDATE t SET i4 = 77 WHERE id = 1;
UPDATE t SET b = NULL, f8 = NULL WHERE id = 4;
UPDATE t SET id = 1001 WHERE id = 2;
DELETE FROM t WHERE id = 3;
UPDATE required SET id = 1001 WHERE id = 1;
DELETE FROM required WHERE id = 2;
