-- Conversions. A VARIANT is converted by what it holds; JSON null gives NULL. SQLSTATE SFnnn is Snowflake's error 100nnn.

CREATE OR REPLACE FUNCTION sf.fail(state text, message text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN RAISE EXCEPTION USING ERRCODE = state, MESSAGE = message; END $$;

-- JSON text as Snowflake writes it: keys in order, no blanks.
CREATE OR REPLACE FUNCTION sf.compact(v jsonb) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  CASE jsonb_typeof(v)
    WHEN 'object' THEN
      RETURN (SELECT '{' || coalesce(string_agg(to_json(key)::text || ':' || sf.compact(value), ',' ORDER BY key COLLATE "C"), '') || '}'
              FROM jsonb_each(v));
    WHEN 'array' THEN
      RETURN (SELECT '[' || coalesce(string_agg(sf.compact(value), ',' ORDER BY n), '') || ']'
              FROM jsonb_array_elements(v) WITH ORDINALITY AS e(value, n));
    ELSE RETURN concat(v);
  END CASE;
END $$;

-- to_varchar: one overload for each type of the engine, so that no call is ambiguous.
CREATE OR REPLACE FUNCTION sf.to_varchar(v text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT v';
CREATE OR REPLACE FUNCTION sf.to_varchar(v jsonb) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN jsonb_typeof(v) IN ('object', 'array') THEN sf.compact(v) ELSE v #>> '{}' END $$;
CREATE OR REPLACE FUNCTION sf.to_varchar(v boolean) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
  $$ SELECT CASE v WHEN true THEN 'true' WHEN false THEN 'false' END $$;
CREATE OR REPLACE FUNCTION sf.to_varchar(v numeric) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT concat(v) WHERE v IS NOT NULL';
CREATE OR REPLACE FUNCTION sf.to_varchar(v bigint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT concat(v) WHERE v IS NOT NULL';
CREATE OR REPLACE FUNCTION sf.to_varchar(v integer) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT concat(v) WHERE v IS NOT NULL';
CREATE OR REPLACE FUNCTION sf.to_varchar(v smallint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT concat(v) WHERE v IS NOT NULL';
CREATE OR REPLACE FUNCTION sf.to_varchar(v double precision) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT concat(v) WHERE v IS NOT NULL';
CREATE OR REPLACE FUNCTION sf.to_varchar(v bytea) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT upper(encode(v, 'hex')) $$;
CREATE OR REPLACE FUNCTION sf.to_varchar(v date) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT to_char(v, 'YYYY-MM-DD') $$;
CREATE OR REPLACE FUNCTION sf.to_varchar(v time) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT to_char(v, 'HH24:MI:SS') $$;
CREATE OR REPLACE FUNCTION sf.to_varchar(v timestamp) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
  $$ SELECT to_char(v, 'YYYY-MM-DD HH24:MI:SS.MS') $$;
CREATE OR REPLACE FUNCTION sf.to_varchar(v timestamptz) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS
  $$ SELECT to_char(v, 'YYYY-MM-DD HH24:MI:SS.MS ') || replace(to_char(v, 'TZH:TZM'), ':', '') $$;

-- A format of Snowflake in the engine's words.
CREATE OR REPLACE FUNCTION sf.format_of(format text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(upper_parts, 'FF9', 'US"000"', 'g'),
         'FF6', 'US', 'g'), 'FF3', 'MS', 'g'), 'FF0', '', 'g'), 'FF', 'US"000"', 'g')
  FROM (SELECT regexp_replace(regexp_replace(format, 'mi', 'MI', 'g'), '(yyyy|mm|dd|hh24|hh12|ss|ff[0-9]?|mon)', upper('\1'), 'g') AS upper_parts) AS f $$;
CREATE OR REPLACE FUNCTION sf.to_varchar(v timestamp, format text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
  $$ SELECT to_char(v, sf.format_of(upper(format))) $$;
CREATE OR REPLACE FUNCTION sf.to_varchar(v timestamptz, format text) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS
  $$ SELECT to_char(v, sf.format_of(upper(format))) $$;
CREATE OR REPLACE FUNCTION sf.to_varchar(v date, format text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
  $$ SELECT to_char(v, sf.format_of(upper(format))) $$;
CREATE OR REPLACE FUNCTION sf.to_varchar(v bytea, format text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE upper(format) WHEN 'HEX' THEN upper(encode(v, 'hex')) WHEN 'BASE64' THEN replace(encode(v, 'base64'), E'\n', '')
         ELSE convert_from(v, 'UTF8') END $$;

-- Numbers.
CREATE OR REPLACE FUNCTION sf.to_number(v text, p integer, s integer) RETURNS numeric LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE n numeric;
BEGIN
  IF btrim(v) !~ '^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?$' THEN
    PERFORM sf.fail('SF038', 'Numeric value ''' || v || ''' is not recognized');
  END IF;
  n := round(btrim(v)::numeric, s);
  IF abs(n) >= power(10::numeric, p - s) THEN
    PERFORM sf.fail('SF039', 'Numeric value ''' || v || ''' is out of range');
  END IF;
  RETURN n;
END $$;
CREATE OR REPLACE FUNCTION sf.to_number(v numeric, p integer, s integer) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE WHEN abs(round(v, s)) < power(10::numeric, p - s) THEN round(v, s)
         WHEN sf.fail('SF039', 'Numeric value ''' || concat(v) || ''' is out of range') THEN NULL::numeric END $$;
CREATE OR REPLACE FUNCTION sf.to_number(v double precision, p integer, s integer) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  'SELECT sf.to_number(v::numeric, p, s)';
CREATE OR REPLACE FUNCTION sf.to_number(v boolean, p integer, s integer) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  'SELECT v::int::numeric';
DO $$ DECLARE t text; BEGIN FOREACH t IN ARRAY ARRAY['smallint', 'integer', 'bigint'] LOOP
  EXECUTE format('CREATE OR REPLACE FUNCTION sf.to_number(v %s, p integer, s integer) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $f$ SELECT sf.to_number(v::numeric, p, s) $f$', t);
  EXECUTE format('CREATE OR REPLACE FUNCTION sf.to_double(v %s) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $f$ SELECT v::double precision $f$', t);
  EXECUTE format('CREATE OR REPLACE FUNCTION sf.to_boolean(v %s) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $f$ SELECT v <> 0 $f$', t);
  EXECUTE format('CREATE OR REPLACE FUNCTION sf.to_variant(v %s) RETURNS jsonb LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $f$ SELECT to_jsonb(v) $f$', t);
END LOOP; END $$;
CREATE OR REPLACE FUNCTION sf.to_number(v jsonb, p integer, s integer) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE jsonb_typeof(v) WHEN 'number' THEN sf.to_number((v #>> '{}')::numeric, p, s) WHEN 'string' THEN sf.to_number(v #>> '{}', p, s)
    WHEN 'boolean' THEN (v::boolean)::int::numeric WHEN 'null' THEN NULL
    ELSE CASE WHEN sf.fail('SF071', 'Failed to cast variant value ' || left(sf.compact(v), 100) || ' to NUMBER') THEN NULL::numeric END END $$;
-- arithmetic on a VARIANT
CREATE OR REPLACE FUNCTION sf.to_number(v jsonb) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE jsonb_typeof(v) WHEN 'null' THEN NULL ELSE (v #>> '{}')::numeric END $$;

CREATE OR REPLACE FUNCTION sf.to_double(v text) RETURNS double precision LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN RETURN btrim(v)::double precision;
EXCEPTION WHEN OTHERS THEN PERFORM sf.fail('SF038', 'Numeric value ''' || v || ''' is not recognized'); RETURN NULL; END $$;
CREATE OR REPLACE FUNCTION sf.to_double(v numeric) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT v::double precision';
CREATE OR REPLACE FUNCTION sf.to_double(v double precision) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT v';
CREATE OR REPLACE FUNCTION sf.to_double(v jsonb) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE jsonb_typeof(v) WHEN 'null' THEN NULL ELSE sf.to_double(v #>> '{}') END $$;

CREATE OR REPLACE FUNCTION sf.to_boolean(v text) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE WHEN lower(btrim(v)) IN ('true', 't', 'yes', 'y', 'on', '1') THEN true
    WHEN lower(btrim(v)) IN ('false', 'f', 'no', 'n', 'off', '0') THEN false
    WHEN sf.fail('SF037', 'Boolean value ''' || v || ''' is not recognized') THEN NULL END $$;
CREATE OR REPLACE FUNCTION sf.to_boolean(v boolean) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT v';
CREATE OR REPLACE FUNCTION sf.to_boolean(v numeric) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT v <> 0';
CREATE OR REPLACE FUNCTION sf.to_boolean(v double precision) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT v <> 0';
CREATE OR REPLACE FUNCTION sf.to_boolean(v jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE jsonb_typeof(v) WHEN 'null' THEN NULL WHEN 'boolean' THEN v::boolean WHEN 'number' THEN (v #>> '{}')::numeric <> 0
    ELSE sf.to_boolean(v #>> '{}') END $$;

-- Timestamps. An integer in a string is an epoch, its unit chosen by magnitude.
CREATE OR REPLACE FUNCTION sf.timestamp_of_nanos(n numeric) RETURNS timestamp LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  $$ SELECT timestamp '1970-01-01' + make_interval(secs => 0) + (floor(n / 1000)::bigint * interval '1 microsecond') $$;
CREATE OR REPLACE FUNCTION sf.timestamp_of_epoch(n numeric) RETURNS timestamp LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT sf.timestamp_of_nanos(n * CASE WHEN abs(n) < 31536000000 THEN 1000000000 WHEN abs(n) < 31536000000000 THEN 1000000
    WHEN abs(n) < 31536000000000000 THEN 1000 ELSE 1 END) $$;
CREATE OR REPLACE FUNCTION sf.to_timestamp_ntz(v text) RETURNS timestamp LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  IF v ~ '^\s*-?[0-9]+\s*$' THEN RETURN sf.timestamp_of_epoch(v::numeric); END IF;
  IF v !~ '^\s*[0-9]{4}-' THEN PERFORM sf.fail('SF035', 'Timestamp ''' || v || ''' is not recognized'); END IF;
  -- the wall clock is kept and an offset dropped
  RETURN v::timestamp;
EXCEPTION WHEN invalid_datetime_format OR datetime_field_overflow OR invalid_parameter_value THEN
  PERFORM sf.fail('SF035', 'Timestamp ''' || v || ''' is not recognized'); RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION sf.to_timestamp_ltz(v text) RETURNS timestamptz LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE AS $$
BEGIN
  IF v ~ '^\s*-?[0-9]+\s*$' THEN RETURN sf.timestamp_of_epoch(v::numeric) AT TIME ZONE 'UTC'; END IF;
  IF v !~ '^\s*[0-9]{4}-' THEN PERFORM sf.fail('SF035', 'Timestamp ''' || v || ''' is not recognized'); END IF;
  RETURN v::timestamptz;
EXCEPTION WHEN invalid_datetime_format OR datetime_field_overflow OR invalid_parameter_value THEN
  PERFORM sf.fail('SF035', 'Timestamp ''' || v || ''' is not recognized'); RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION sf.to_timestamp_ntz(v timestamp) RETURNS timestamp LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT v';
CREATE OR REPLACE FUNCTION sf.to_timestamp_ntz(v timestamptz) RETURNS timestamp LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT v::timestamp';
CREATE OR REPLACE FUNCTION sf.to_timestamp_ntz(v date) RETURNS timestamp LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT v::timestamp';
CREATE OR REPLACE FUNCTION sf.to_timestamp_ntz(v numeric) RETURNS timestamp LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT sf.timestamp_of_nanos(v * 1000000000)';
CREATE OR REPLACE FUNCTION sf.to_timestamp_ntz(v numeric, scale integer) RETURNS timestamp LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  'SELECT sf.timestamp_of_nanos(v * power(10::numeric, 9 - scale))';
CREATE OR REPLACE FUNCTION sf.to_timestamp_ntz(v text, format text) RETURNS timestamp LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE AS $$
BEGIN RETURN to_timestamp(v, sf.format_of(upper(format)))::timestamp;
EXCEPTION WHEN OTHERS THEN PERFORM sf.fail('SF096', 'Can''t parse ''' || v || ''' as timestamp with format ''' || format || ''''); RETURN NULL; END $$;
-- a VARIANT holds a string, or an integer whose unit is chosen by magnitude
CREATE OR REPLACE FUNCTION sf.to_timestamp_ntz(v jsonb) RETURNS timestamp LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE jsonb_typeof(v) WHEN 'null' THEN NULL WHEN 'number' THEN sf.timestamp_of_epoch((v #>> '{}')::numeric) ELSE sf.to_timestamp_ntz(v #>> '{}') END $$;
CREATE OR REPLACE FUNCTION sf.to_timestamp_ltz(v timestamp) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT v::timestamptz';
CREATE OR REPLACE FUNCTION sf.to_timestamp_ltz(v timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT v';
CREATE OR REPLACE FUNCTION sf.to_timestamp_ltz(v date) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT v::timestamptz';
CREATE OR REPLACE FUNCTION sf.to_timestamp_ltz(v numeric) RETURNS timestamptz LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  $$ SELECT sf.timestamp_of_nanos(v * 1000000000) AT TIME ZONE 'UTC' $$;
CREATE OR REPLACE FUNCTION sf.to_timestamp_ltz(v numeric, scale integer) RETURNS timestamptz LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  $$ SELECT sf.timestamp_of_nanos(v * power(10::numeric, 9 - scale)) AT TIME ZONE 'UTC' $$;
CREATE OR REPLACE FUNCTION sf.to_timestamp_ltz(v text, format text) RETURNS timestamptz LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE AS $$
BEGIN RETURN to_timestamp(v, sf.format_of(upper(format)));
EXCEPTION WHEN OTHERS THEN PERFORM sf.fail('SF096', 'Can''t parse ''' || v || ''' as timestamp with format ''' || format || ''''); RETURN NULL; END $$;
CREATE OR REPLACE FUNCTION sf.to_timestamp_ltz(v jsonb) RETURNS timestamptz LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE jsonb_typeof(v) WHEN 'null' THEN NULL WHEN 'number' THEN sf.timestamp_of_epoch((v #>> '{}')::numeric) AT TIME ZONE 'UTC' ELSE sf.to_timestamp_ltz(v #>> '{}') END $$;
DO $$ DECLARE t text; BEGIN FOREACH t IN ARRAY ARRAY['smallint', 'integer', 'bigint', 'double precision'] LOOP
  EXECUTE format('CREATE OR REPLACE FUNCTION sf.to_timestamp_ntz(v %s) RETURNS timestamp LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $f$ SELECT sf.to_timestamp_ntz(v::numeric) $f$', t);
  EXECUTE format('CREATE OR REPLACE FUNCTION sf.to_timestamp_ltz(v %s) RETURNS timestamptz LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $f$ SELECT sf.to_timestamp_ltz(v::numeric) $f$', t);
  EXECUTE format('CREATE OR REPLACE FUNCTION sf.to_timestamp_ntz(v %s, scale integer) RETURNS timestamp LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $f$ SELECT sf.to_timestamp_ntz(v::numeric, scale) $f$', t);
  EXECUTE format('CREATE OR REPLACE FUNCTION sf.to_timestamp_ltz(v %s, scale integer) RETURNS timestamptz LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $f$ SELECT sf.to_timestamp_ltz(v::numeric, scale) $f$', t);
END LOOP;
-- TIMESTAMP_TZ is the same instant under a domain
FOREACH t IN ARRAY ARRAY['text', 'timestamp', 'timestamptz', 'date', 'numeric', 'smallint', 'integer', 'bigint', 'double precision', 'jsonb'] LOOP
  EXECUTE format('CREATE OR REPLACE FUNCTION sf.to_timestamp_tz(v %s) RETURNS sf.timestamp_tz LANGUAGE sql STABLE PARALLEL SAFE AS $f$ SELECT sf.to_timestamp_ltz(v)::sf.timestamp_tz $f$', t);
END LOOP;
FOREACH t IN ARRAY ARRAY['text, format text', 'numeric, format integer'] LOOP
  EXECUTE format('CREATE OR REPLACE FUNCTION sf.to_timestamp_tz(v %s) RETURNS sf.timestamp_tz LANGUAGE sql STABLE PARALLEL SAFE AS $f$ SELECT sf.to_timestamp_ltz(v, format)::sf.timestamp_tz $f$', t);
END LOOP; END $$;

CREATE OR REPLACE FUNCTION sf.to_date(v text) RETURNS date LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN RETURN sf.to_timestamp_ntz(v)::date;
EXCEPTION WHEN SQLSTATE 'SF035' THEN PERFORM sf.fail('SF040', 'Date ''' || v || ''' is not recognized'); RETURN NULL; END $$;
CREATE OR REPLACE FUNCTION sf.to_date(v timestamp) RETURNS date LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT v::date';
CREATE OR REPLACE FUNCTION sf.to_date(v timestamptz) RETURNS date LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT v::date';
CREATE OR REPLACE FUNCTION sf.to_date(v date) RETURNS date LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT v';
CREATE OR REPLACE FUNCTION sf.to_date(v jsonb) RETURNS date LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT sf.to_timestamp_ntz(v)::date';
CREATE OR REPLACE FUNCTION sf.to_date(v text, format text) RETURNS date LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT sf.to_timestamp_ntz(v, format)::date';
CREATE OR REPLACE FUNCTION sf.to_time(v text) RETURNS time LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  IF v ~ '^\s*[0-9]+\s*$' THEN RETURN sf.timestamp_of_epoch(v::numeric)::time; END IF;
  RETURN v::time;
EXCEPTION WHEN invalid_datetime_format OR datetime_field_overflow THEN
  PERFORM sf.fail('SF108', 'Time ''' || v || ''' is not recognized'); RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION sf.to_time(v time) RETURNS time LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT v';
CREATE OR REPLACE FUNCTION sf.to_time(v timestamp) RETURNS time LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT v::time';
CREATE OR REPLACE FUNCTION sf.to_time(v timestamptz) RETURNS time LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT v::time';
CREATE OR REPLACE FUNCTION sf.to_time(v jsonb) RETURNS time LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT sf.to_time(v #>> '{}') $$;

CREATE OR REPLACE FUNCTION sf.to_binary(v text) RETURNS bytea LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN RETURN decode(v, 'hex');
EXCEPTION WHEN OTHERS THEN PERFORM sf.fail('SF115', 'The following string is not a legal hex-encoded value: ''' || v || ''''); RETURN NULL; END $$;
CREATE OR REPLACE FUNCTION sf.to_binary(v text, format text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE upper(format) WHEN 'HEX' THEN sf.to_binary(v) WHEN 'BASE64' THEN decode(v, 'base64') ELSE convert_to(v, 'UTF8') END $$;
CREATE OR REPLACE FUNCTION sf.to_binary(v bytea) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT v';
CREATE OR REPLACE FUNCTION sf.to_binary(v jsonb) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT sf.to_binary(v #>> '{}') $$;

-- VARIANT, OBJECT, ARRAY.
CREATE OR REPLACE FUNCTION sf.to_variant(v jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT v';
CREATE OR REPLACE FUNCTION sf.to_variant(v text) RETURNS jsonb LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT to_jsonb(v)';
CREATE OR REPLACE FUNCTION sf.to_variant(v boolean) RETURNS jsonb LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT to_jsonb(v)';
CREATE OR REPLACE FUNCTION sf.to_variant(v numeric) RETURNS jsonb LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT to_jsonb(v)';
CREATE OR REPLACE FUNCTION sf.to_variant(v double precision) RETURNS jsonb LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT to_jsonb(v)';
DO $$ DECLARE t text; BEGIN FOREACH t IN ARRAY ARRAY['date', 'time', 'timestamp', 'timestamptz', 'bytea'] LOOP
  EXECUTE format('CREATE OR REPLACE FUNCTION sf.to_variant(v %s) RETURNS jsonb LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $f$ SELECT to_jsonb(sf.to_varchar(v)) $f$', t);
END LOOP; END $$;
CREATE OR REPLACE FUNCTION sf.to_object(v jsonb) RETURNS sf.object LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE WHEN jsonb_typeof(v) = 'object' THEN v::sf.object WHEN jsonb_typeof(v) = 'null' THEN NULL
    WHEN sf.fail('SF071', 'Failed to cast variant value ' || left(sf.compact(v), 100) || ' to OBJECT') THEN NULL END $$;
CREATE OR REPLACE FUNCTION sf.to_array(v jsonb) RETURNS sf.array LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE jsonb_typeof(v) WHEN 'array' THEN v::sf.array WHEN 'null' THEN NULL ELSE jsonb_build_array(v)::sf.array END $$;

-- TRY_: NULL where the conversion fails.
DO $$ DECLARE f record; BEGIN
  FOR f IN SELECT p.proname, pg_get_function_arguments(p.oid) AS args, pg_get_function_result(p.oid) AS result,
             (SELECT string_agg(a, ', ') FROM unnest(p.proargnames) AS a) AS names
           FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
           WHERE n.nspname = 'sf' AND p.proname IN ('to_number', 'to_double', 'to_boolean', 'to_date', 'to_time', 'to_binary',
             'to_timestamp_ntz', 'to_timestamp_ltz', 'to_timestamp_tz', 'to_varchar') LOOP
    EXECUTE format('CREATE OR REPLACE FUNCTION sf.try_%s(%s) RETURNS %s LANGUAGE plpgsql STABLE AS $f$ BEGIN RETURN sf.%s(%s); EXCEPTION WHEN OTHERS THEN RETURN NULL; END $f$',
      f.proname, f.args, f.result, f.proname, f.names);
  END LOOP; END $$;
