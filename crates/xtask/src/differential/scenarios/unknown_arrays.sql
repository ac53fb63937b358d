-- arrays of types that Debezium has no array of
-- unless: value.converter=io.confluent.connect.avro.AvroConverter
--> setup
CREATE TYPE pair AS (a int, b text);
CREATE TABLE t (id serial PRIMARY KEY, m money[], n name[], iv interval[], vb varbit[], b3 bit(3)[], x xml[], p point[], bx box[], co pair[], tv tsvector[], ch "char"[], mr int4multirange[]);
--> rows
INSERT INTO t (m, n, iv, vb, b3, x, p, bx, co, tv, ch, mr) VALUES ('{1.5}', '{a}', '{1 day}', '{101}', '{101}', '{<a/>}', '{"(1,2)"}', '{(2,2),(0,0)}', ARRAY[ROW(1, 'x')::pair], '{a}', '{q}', ARRAY['{[1,2)}'::int4multirange]), (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
--> stream
