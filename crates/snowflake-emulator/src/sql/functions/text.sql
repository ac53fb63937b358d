-- Strings, numbers, hashes.
CREATE OR REPLACE FUNCTION sf.contains(v text, part text) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT strpos(v, part) > 0';
CREATE OR REPLACE FUNCTION sf.endswith(v text, part text) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  'SELECT right(v, length(part)) = part OR part = $$$$';
CREATE OR REPLACE FUNCTION sf.charindex(part text, v text) RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT strpos(v, part)';
CREATE OR REPLACE FUNCTION sf.charindex(part text, v text, start integer) RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  'SELECT CASE WHEN strpos(substr(v, start), part) > 0 THEN strpos(substr(v, start), part) + start - 1 ELSE 0 END';
CREATE OR REPLACE FUNCTION sf.replace(v text, old text, new text DEFAULT '') RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  'SELECT pg_catalog.replace(v, old, new)';
-- 1-based; a negative start counts from the end
CREATE OR REPLACE FUNCTION sf.substr(v text, start integer) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  'SELECT CASE WHEN start < 0 THEN right(v, -start) ELSE pg_catalog.substr(v, greatest(start, 1)) END';
CREATE OR REPLACE FUNCTION sf.substr(v text, start integer, count integer) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  'SELECT CASE WHEN count <= 0 THEN $$$$ WHEN start < 0 THEN left(right(v, -start), count) ELSE pg_catalog.substr(v, greatest(start, 1), count) END';
CREATE OR REPLACE FUNCTION sf.left(v text, count integer) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT pg_catalog.left(v, greatest(count, 0))';
CREATE OR REPLACE FUNCTION sf.right(v text, count integer) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT pg_catalog.right(v, greatest(count, 0))';
CREATE OR REPLACE FUNCTION sf.lpad(v text, width integer, fill text DEFAULT ' ') RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT pg_catalog.lpad(v, width, fill)';
CREATE OR REPLACE FUNCTION sf.rpad(v text, width integer, fill text DEFAULT ' ') RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT pg_catalog.rpad(v, width, fill)';
CREATE OR REPLACE FUNCTION sf.repeat(v text, count integer) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT pg_catalog.repeat(v, count)';
CREATE OR REPLACE FUNCTION sf.split(v text, separator text) RETURNS sf.array LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  'SELECT to_jsonb(string_to_array(v, separator))::sf.array';
CREATE OR REPLACE FUNCTION sf.split_part(v text, separator text, n integer) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  'SELECT pg_catalog.split_part(v, separator, CASE n WHEN 0 THEN 1 ELSE n END)';
CREATE OR REPLACE FUNCTION sf.regexp_like(v text, pattern text, flags text DEFAULT '') RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  $$ SELECT v ~ ('(?' || CASE WHEN flags LIKE '%i%' THEN 'i' ELSE 'c' END || ')^(?:' || pattern || ')$') $$;
CREATE OR REPLACE FUNCTION sf.regexp_replace(v text, pattern text, new text DEFAULT '') RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  $$ SELECT pg_catalog.regexp_replace(v, pattern, new, 'g') $$;
CREATE OR REPLACE FUNCTION sf.regexp_substr(v text, pattern text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  $$ SELECT pg_catalog.regexp_substr(v, pattern) $$;

-- Division is exact: of whole numbers too, with at least six digits more than the dividend has.
CREATE OR REPLACE FUNCTION sf.div(a numeric, b numeric) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  'SELECT round(a / b, greatest(scale(a), least(scale(a) + 6, 12)))';
CREATE OR REPLACE FUNCTION sf.div(a double precision, b double precision) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT a / b';
DO $$ DECLARE a text; b text; BEGIN
  FOREACH a IN ARRAY ARRAY['smallint', 'integer', 'bigint', 'numeric'] LOOP
    FOREACH b IN ARRAY ARRAY['smallint', 'integer', 'bigint', 'numeric'] LOOP
      CONTINUE WHEN a = 'numeric' AND b = 'numeric';
      EXECUTE format('CREATE OR REPLACE FUNCTION sf.div(a %s, b %s) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $f$ SELECT sf.div(a::numeric, b::numeric) $f$', a, b);
    END LOOP;
    EXECUTE format('CREATE OR REPLACE FUNCTION sf.div(a %s, b double precision) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $f$ SELECT a::double precision / b $f$', a);
    EXECUTE format('CREATE OR REPLACE FUNCTION sf.div(a double precision, b %s) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $f$ SELECT a / b::double precision $f$', a);
  END LOOP; END $$;
CREATE OR REPLACE FUNCTION sf.round(v numeric, digits integer DEFAULT 0) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT pg_catalog.round(v, digits)';
CREATE OR REPLACE FUNCTION sf.round(v double precision, digits integer DEFAULT 0) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  'SELECT pg_catalog.round(v::numeric, digits)::double precision';
CREATE OR REPLACE FUNCTION sf.round(v bigint, digits integer DEFAULT 0) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT pg_catalog.round(v::numeric, digits)';
CREATE OR REPLACE FUNCTION sf.round(v integer, digits integer DEFAULT 0) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT pg_catalog.round(v::numeric, digits)';
CREATE OR REPLACE FUNCTION sf.trunc(v numeric, digits integer DEFAULT 0) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT pg_catalog.trunc(v, digits)';
CREATE OR REPLACE FUNCTION sf.trunc(v double precision, digits integer DEFAULT 0) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  'SELECT pg_catalog.trunc(v::numeric, digits)::double precision';
CREATE OR REPLACE FUNCTION sf.trunc(v bigint, digits integer DEFAULT 0) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT pg_catalog.trunc(v::numeric, digits)';
CREATE OR REPLACE FUNCTION sf.trunc(v integer, digits integer DEFAULT 0) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT pg_catalog.trunc(v::numeric, digits)';
CREATE OR REPLACE FUNCTION sf.bitand(a bigint, b bigint) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT a & b';
CREATE OR REPLACE FUNCTION sf.bitor(a bigint, b bigint) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT a | b';
CREATE OR REPLACE FUNCTION sf.bitxor(a bigint, b bigint) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT a # b';
CREATE OR REPLACE FUNCTION sf.random() RETURNS bigint LANGUAGE sql VOLATILE AS
  'SELECT ((pg_catalog.random() - 0.5) * 18446744073709549568)::bigint';
CREATE OR REPLACE FUNCTION sf.uuid_string() RETURNS text LANGUAGE sql VOLATILE AS 'SELECT concat(gen_random_uuid())';

-- The value of HASH is not Snowflake's: nothing may be built on it, only equality.
CREATE OR REPLACE FUNCTION sf.hash(v anyelement) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
  $$ SELECT hashtextextended(coalesce(format('%s', v), E'\x01null'), 0) $$;
CREATE OR REPLACE FUNCTION sf.sha2(v text, bits integer DEFAULT 256) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT encode(CASE bits WHEN 224 THEN sha224(convert_to(v, 'UTF8')) WHEN 384 THEN sha384(convert_to(v, 'UTF8'))
    WHEN 512 THEN sha512(convert_to(v, 'UTF8')) ELSE sha256(convert_to(v, 'UTF8')) END, 'hex') $$;
CREATE OR REPLACE FUNCTION sf.hex_encode(v text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT upper(encode(convert_to(v, 'UTF8'), 'hex')) $$;
CREATE OR REPLACE FUNCTION sf.hex_encode(v bytea) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT upper(encode(v, 'hex')) $$;
CREATE OR REPLACE FUNCTION sf.hex_decode_binary(v text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT decode(v, 'hex') $$;
CREATE OR REPLACE FUNCTION sf.hex_decode_string(v text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT convert_from(decode(v, 'hex'), 'UTF8') $$;
CREATE OR REPLACE FUNCTION sf.base64_encode(v text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT pg_catalog.replace(encode(convert_to(v, 'UTF8'), 'base64'), E'\n', '') $$;
CREATE OR REPLACE FUNCTION sf.base64_encode(v bytea) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT pg_catalog.replace(encode(v, 'base64'), E'\n', '') $$;
CREATE OR REPLACE FUNCTION sf.base64_decode_binary(v text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT decode(v, 'base64') $$;
CREATE OR REPLACE FUNCTION sf.base64_decode_string(v text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT convert_from(decode(v, 'base64'), 'UTF8') $$;
