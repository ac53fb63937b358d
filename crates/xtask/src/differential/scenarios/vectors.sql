-- pgvector's types where the extension is not there: types of its names that print what it prints
--> setup
CREATE TYPE public.vector;
CREATE FUNCTION public.vector_in(cstring) RETURNS public.vector AS 'textin' LANGUAGE internal IMMUTABLE STRICT;
CREATE FUNCTION public.vector_out(public.vector) RETURNS cstring AS 'textout' LANGUAGE internal IMMUTABLE STRICT;
CREATE TYPE public.vector (INPUT = public.vector_in, OUTPUT = public.vector_out, LIKE = text);
CREATE TYPE public.halfvec;
CREATE FUNCTION public.halfvec_in(cstring) RETURNS public.halfvec AS 'textin' LANGUAGE internal IMMUTABLE STRICT;
CREATE FUNCTION public.halfvec_out(public.halfvec) RETURNS cstring AS 'textout' LANGUAGE internal IMMUTABLE STRICT;
CREATE TYPE public.halfvec (INPUT = public.halfvec_in, OUTPUT = public.halfvec_out, LIKE = text);
CREATE TABLE t (id serial PRIMARY KEY, v vector, h halfvec);
CREATE TABLE required (id serial PRIMARY KEY, v vector NOT NULL, h halfvec NOT NULL);
--> rows
INSERT INTO t (v, h) VALUES ('[1,2.5,-3]', '[1,2.5,-3]'), (NULL, NULL), ('[0.1,3.4028235e+38,-1e-45]', '[0.1,65504,-6e-08]'), ('[-0]', '[0]');
INSERT INTO required (v, h) VALUES ('[1]', '[2]'), ('[3]', '[4]');
--> stream
UPDATE t SET v = '[9]' WHERE id = 1;
UPDATE required SET id = 1001 WHERE id = 1;
DELETE FROM required WHERE id = 2;
DELETE FROM t WHERE id = 1;
