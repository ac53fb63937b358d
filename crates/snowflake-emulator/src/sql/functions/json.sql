-- Semi-structured values.
CREATE OR REPLACE FUNCTION sf.parse_json(v text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  IF btrim(v) = '' THEN RETURN NULL; END IF;
  RETURN v::jsonb;
EXCEPTION WHEN OTHERS THEN PERFORM sf.fail('SF069', 'Error parsing JSON: ' || SQLERRM); RETURN NULL; END $$;
CREATE OR REPLACE FUNCTION sf.parse_json(v jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE jsonb_typeof(v) WHEN 'string' THEN sf.parse_json(v #>> '{}') ELSE v END $$;
CREATE OR REPLACE FUNCTION sf.try_parse_json(v text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN IF btrim(v) = '' THEN RETURN NULL; END IF; RETURN v::jsonb; EXCEPTION WHEN OTHERS THEN RETURN NULL; END $$;
CREATE OR REPLACE FUNCTION sf.check_json(v text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN PERFORM v::jsonb; RETURN NULL; EXCEPTION WHEN OTHERS THEN RETURN SQLERRM; END $$;
CREATE OR REPLACE FUNCTION sf.to_json(v jsonb) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT sf.compact(v)';
CREATE OR REPLACE FUNCTION sf.typeof(v jsonb) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE jsonb_typeof(v) WHEN 'string' THEN 'VARCHAR' WHEN 'boolean' THEN 'BOOLEAN' WHEN 'null' THEN 'NULL_VALUE'
    WHEN 'object' THEN 'OBJECT' WHEN 'array' THEN 'ARRAY'
    ELSE CASE WHEN scale((v #>> '{}')::numeric) = 0 THEN 'INTEGER' ELSE 'DECIMAL' END END $$;
CREATE OR REPLACE FUNCTION sf.is_null_value(v jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  $$ SELECT jsonb_typeof(v) = 'null' $$;
CREATE OR REPLACE FUNCTION sf.strip_null_value(v jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  $$ SELECT CASE WHEN jsonb_typeof(v) <> 'null' THEN v END $$;
CREATE OR REPLACE FUNCTION sf.get(v jsonb, key text) RETURNS jsonb LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT v -> key';
CREATE OR REPLACE FUNCTION sf.get(v jsonb, at integer) RETURNS jsonb LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  'SELECT CASE WHEN at >= 0 THEN v -> at END';
CREATE OR REPLACE FUNCTION sf.get(v jsonb, at numeric) RETURNS jsonb LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT sf.get(v, at::integer)';
CREATE OR REPLACE FUNCTION sf.get(v jsonb, key jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE jsonb_typeof(key) WHEN 'number' THEN v -> (key #>> '{}')::integer ELSE v -> (key #>> '{}') END $$;
CREATE OR REPLACE FUNCTION sf.get_path(v jsonb, path text) RETURNS jsonb LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  $$ SELECT v #> string_to_array(regexp_replace(regexp_replace(path, '\[[''"]?([^''"\]]*)[''"]?\]', '.\1', 'g'), '^\.', ''), '.') $$;
-- keys and values side by side; a NULL key or value leaves the pair out
CREATE OR REPLACE FUNCTION sf.object_construct(keys text[], vals jsonb[]) RETURNS sf.object LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT coalesce(jsonb_object_agg(k, v) FILTER (WHERE k IS NOT NULL AND v IS NOT NULL), '{}')::sf.object FROM unnest(keys, vals) AS p(k, v) $$;
CREATE OR REPLACE FUNCTION sf.object_construct_keep_null(keys text[], vals jsonb[]) RETURNS sf.object LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT coalesce(jsonb_object_agg(k, coalesce(v, 'null')) FILTER (WHERE k IS NOT NULL), '{}')::sf.object FROM unnest(keys, vals) AS p(k, v) $$;
CREATE OR REPLACE FUNCTION sf.array_construct(items jsonb[]) RETURNS sf.array LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT coalesce(jsonb_agg(coalesce(v, 'null') ORDER BY n), '[]')::sf.array FROM unnest(items) WITH ORDINALITY AS p(v, n) $$;
CREATE OR REPLACE FUNCTION sf.array_size(v jsonb) RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  $$ SELECT CASE WHEN jsonb_typeof(v) = 'array' THEN jsonb_array_length(v) END $$;
CREATE OR REPLACE FUNCTION sf.array_contains(v jsonb, items jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  $$ SELECT EXISTS (SELECT 1 FROM jsonb_array_elements(items) AS e(x) WHERE e.x = v) $$;
CREATE OR REPLACE FUNCTION sf.array_cat(a jsonb, b jsonb) RETURNS sf.array LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT (a || b)::sf.array';
CREATE OR REPLACE FUNCTION sf.array_distinct(v jsonb) RETURNS sf.array LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  $$ SELECT coalesce(jsonb_agg(x ORDER BY n), '[]')::sf.array FROM (SELECT x, min(n) AS n FROM jsonb_array_elements(v) WITH ORDINALITY AS e(x, n) GROUP BY x) AS d $$;
CREATE OR REPLACE FUNCTION sf.array_to_string(v jsonb, separator text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  $$ SELECT coalesce(string_agg(sf.to_varchar(x), separator ORDER BY n), '') FROM jsonb_array_elements(v) WITH ORDINALITY AS e(x, n) $$;
CREATE OR REPLACE FUNCTION sf.object_keys(v jsonb) RETURNS sf.array LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  $$ SELECT coalesce(jsonb_agg(k ORDER BY k COLLATE "C"), '[]')::sf.array FROM jsonb_object_keys(v) AS k $$;

-- One level of a value, or all of them.
CREATE OR REPLACE FUNCTION sf.flatten_level(this jsonb, prefix text, recursive boolean, mode text)
RETURNS TABLE (key text, path text, index bigint, value jsonb, this_value jsonb) LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE k text; v jsonb; n bigint := 0; p text;
BEGIN
  IF jsonb_typeof(this) = 'object' AND upper(mode) IN ('OBJECT', 'BOTH') THEN
    FOR k, v IN SELECT * FROM jsonb_each(this) AS e ORDER BY e.key COLLATE "C" LOOP
      p := CASE WHEN prefix = '' THEN k ELSE prefix || '.' || k END;
      RETURN QUERY SELECT k, p, NULL::bigint, v, this;
      IF recursive THEN RETURN QUERY SELECT * FROM sf.flatten_level(v, p, true, mode); END IF;
    END LOOP;
  ELSIF jsonb_typeof(this) = 'array' AND upper(mode) IN ('ARRAY', 'BOTH') THEN
    FOR v IN SELECT * FROM jsonb_array_elements(this) LOOP
      p := prefix || '[' || n || ']';
      RETURN QUERY SELECT NULL::text, p, n, v, this;
      IF recursive THEN RETURN QUERY SELECT * FROM sf.flatten_level(v, p, true, mode); END IF;
      n := n + 1;
    END LOOP;
  END IF;
END $$;
CREATE OR REPLACE FUNCTION sf.flatten(input jsonb, path text DEFAULT '', "outer" boolean DEFAULT false, recursive boolean DEFAULT false, mode text DEFAULT 'BOTH')
RETURNS TABLE ("SEQ" bigint, "KEY" text, "PATH" text, "INDEX" bigint, "VALUE" sf.variant, "THIS" sf.variant) LANGUAGE sql IMMUTABLE AS $$
  WITH root AS (SELECT CASE WHEN $2 = '' THEN $1 ELSE sf.get_path($1, $2) END AS v),
       level AS (SELECT l.* FROM root, sf.flatten_level(root.v, $2, $4, $5) AS l)
  SELECT 1::bigint, l.key, l.path, l.index, l.value::sf.variant, l.this_value::sf.variant FROM level AS l
  UNION ALL SELECT 1::bigint, NULL, $2, NULL, NULL, root.v::sf.variant FROM root WHERE $3 AND NOT EXISTS (SELECT 1 FROM level) $$;

CREATE OR REPLACE FUNCTION sf.error_table(relation regclass)
RETURNS TABLE ("TIMESTAMP" timestamptz, "QUERY_ID" text, "ERROR_CODE" text, "ERROR_METADATA" sf.object, "ERROR_DATA" sf.variant) LANGUAGE sql STABLE AS $$
  SELECT e.created_at, NULL::text, e.error_code,
         jsonb_build_object('error_message', e.error_message, 'pipe_name', e.pipe_name, 'channel_name', e.channel_name,
           'offset_token_upper_bound', e.offset_upper_bound)::sf.object,
         coalesce(sf.try_parse_json(e.payload), to_jsonb(e.payload))::sf.variant
  FROM _emulator.error_rows AS e WHERE e.relation = $1::oid ORDER BY e.id $$;
