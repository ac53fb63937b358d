-- defaults that Apicurio's registry does not take in an Avro schema (42201), whoever registers it: the text {}, NaN, infinity
-- unless: value.converter=io.confluent.connect.avro.AvroConverter
--> setup
CREATE TABLE t (id serial PRIMARY KEY, f jsonb DEFAULT jsonb_build_object(), r jsonb NOT NULL DEFAULT '{}', c json DEFAULT json_build_object('a', 1), e jsonb DEFAULT '{}'::jsonb || '{"b": 1}', i jsonb DEFAULT to_jsonb(now()), m double precision DEFAULT 'NaN', n double precision DEFAULT 'Infinity');
--> rows
INSERT INTO t DEFAULT VALUES;
INSERT INTO t (f, c, e, i, m, n) VALUES (NULL, NULL, NULL, NULL, NULL, NULL);
--> stream
UPDATE t SET id = 1001 WHERE id = 1;
DELETE FROM t WHERE id = 2;
