-- Aggregates that the engine lacks. A strict transition function skips NULLs.
CREATE OR REPLACE FUNCTION sf.keep_last(state anyelement, v anyelement) RETURNS anyelement LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT v';
CREATE OR REPLACE FUNCTION sf.keep_first(state anyelement, v anyelement) RETURNS anyelement LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT state';
CREATE OR REPLACE AGGREGATE sf.last_known_value(anyelement) (SFUNC = sf.keep_last, STYPE = anyelement);
CREATE OR REPLACE AGGREGATE sf.first_known_value(anyelement) (SFUNC = sf.keep_first, STYPE = anyelement);
CREATE OR REPLACE AGGREGATE sf.any_value(anyelement) (SFUNC = sf.keep_first, STYPE = anyelement);
CREATE OR REPLACE AGGREGATE sf.bitxor_agg(bigint) (SFUNC = int8xor, STYPE = bigint);
CREATE OR REPLACE AGGREGATE sf.bitand_agg(bigint) (SFUNC = int8and, STYPE = bigint);
CREATE OR REPLACE AGGREGATE sf.bitor_agg(bigint) (SFUNC = int8or, STYPE = bigint);

-- a sum of hashes modulo 2^64: the order of rows does not matter, their number does
CREATE OR REPLACE FUNCTION sf.hash_step(state numeric, v anyelement) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
  'SELECT mod(state + sf.hash(v) + 18446744073709551616, 18446744073709551616)';
CREATE OR REPLACE FUNCTION sf.hash_end(state numeric) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
  'SELECT (CASE WHEN state >= 9223372036854775808 THEN state - 18446744073709551616 ELSE state END)::bigint';
CREATE OR REPLACE AGGREGATE sf.hash_agg(anyelement) (SFUNC = sf.hash_step, STYPE = numeric, INITCOND = '0', FINALFUNC = sf.hash_end);

CREATE OR REPLACE FUNCTION sf.median_end(state numeric[]) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
  'SELECT (percentile_cont(0.5) WITHIN GROUP (ORDER BY x))::numeric FROM unnest(state) AS x';
CREATE OR REPLACE FUNCTION sf.median_step(state numeric[], v numeric) RETURNS numeric[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
  'SELECT CASE WHEN v IS NULL THEN state ELSE state || v END';
CREATE OR REPLACE AGGREGATE sf.median(numeric) (SFUNC = sf.median_step, STYPE = numeric[], INITCOND = '{}', FINALFUNC = sf.median_end);
