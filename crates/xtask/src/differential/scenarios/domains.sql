-- domains over scalars, over domains, over arrays; arrays of domains
--> setup
CREATE DOMAIN posint AS integer CHECK (VALUE > 0);
CREATE DOMAIN price AS numeric(6,2);
CREATE DOMAIN deep AS price NOT NULL DEFAULT 1;
CREATE DOMAIN short AS varchar(8);
CREATE DOMAIN stamp AS timestamp(3);
CREATE DOMAIN ints AS integer[];
CREATE DOMAIN bits AS bit(3);
CREATE TABLE t (id serial PRIMARY KEY, p posint, pr price, s short, st stamp, ar ints, b bits, pa posint[]);
CREATE TABLE required (id posint PRIMARY KEY, p posint NOT NULL, pr price NOT NULL, d deep, s short NOT NULL, st timestamp(3));
--> rows
INSERT INTO t (p, pr, s, st, ar, b, pa) VALUES (1, 12.34, 'x', '2024-02-29 12:34:56.789', '{1,NULL,3}', B'101', '{1,2}'), (2147483647, -9999.99, '', 'infinity', '{}', B'000', '{}'), (NULL, NULL, NULL, NULL, NULL, NULL, NULL);
--> stream
INSERT INTO required VALUES (1, 2, 3.5, 4.5, 'y', NULL), (2, 3, 4.5, 5.5, 'z', NULL);
UPDATE t SET p = 5 WHERE id = 1;
UPDATE required SET id = 7 WHERE id = 1;
DELETE FROM required WHERE id = 2;
DELETE FROM t WHERE id = 1;
