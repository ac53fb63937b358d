-- The engine's catalog in Snowflake's words.
CREATE OR REPLACE FUNCTION _emulator.type_kind(name text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN name IN ('numeric', 'int2', 'int4', 'int8') THEN 'NUMBER' WHEN name IN ('float4', 'float8') THEN 'FLOAT'
    WHEN name IN ('text', 'varchar', 'bpchar') THEN 'TEXT' WHEN name = 'bytea' THEN 'BINARY' WHEN name = 'bool' THEN 'BOOLEAN'
    WHEN name = 'date' THEN 'DATE' WHEN name = 'time' THEN 'TIME' WHEN name = 'timestamp' THEN 'TIMESTAMP_NTZ'
    WHEN name = 'timestamptz' THEN 'TIMESTAMP_LTZ' WHEN name = 'timestamp_tz' THEN 'TIMESTAMP_TZ'
    WHEN name IN ('jsonb', 'json', 'variant') THEN 'VARIANT' WHEN name = 'object' THEN 'OBJECT' WHEN name = 'array' THEN 'ARRAY'
    ELSE upper(name) END $$;
CREATE OR REPLACE FUNCTION _emulator.type_precision(name text, modifier integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN name = 'numeric' AND modifier >= 4 THEN ((modifier - 4) >> 16) & 65535 WHEN name = 'int2' THEN 5
    WHEN name = 'int4' THEN 10 WHEN name = 'int8' THEN 19 WHEN name = 'numeric' THEN 38 END $$;
CREATE OR REPLACE FUNCTION _emulator.type_scale(name text, modifier integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN name = 'numeric' AND modifier >= 4 THEN (modifier - 4) & 2047 WHEN name IN ('numeric', 'int2', 'int4', 'int8') THEN 0 END $$;
CREATE OR REPLACE FUNCTION _emulator.type_length(name text, modifier integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN name IN ('varchar', 'bpchar') AND modifier >= 4 THEN modifier - 4 WHEN name IN ('text', 'varchar', 'bpchar') THEN 16777216
    WHEN name = 'bytea' THEN 8388608 END $$;
CREATE OR REPLACE FUNCTION _emulator.type_declared(name text, modifier integer) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE k WHEN 'NUMBER' THEN format('NUMBER(%s,%s)', _emulator.type_precision(name, modifier), _emulator.type_scale(name, modifier))
    WHEN 'TEXT' THEN format('VARCHAR(%s)', _emulator.type_length(name, modifier)) WHEN 'BINARY' THEN 'BINARY(8388608)'
    WHEN 'TIME' THEN 'TIME(9)' WHEN 'TIMESTAMP_NTZ' THEN k || '(9)' WHEN 'TIMESTAMP_LTZ' THEN k || '(9)' WHEN 'TIMESTAMP_TZ' THEN k || '(9)'
    ELSE k END FROM (SELECT _emulator.type_kind(name) AS k) AS t $$;
-- the count is exact for tables that are small enough to be counted at once
CREATE OR REPLACE FUNCTION _emulator.row_count(relation oid) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE n bigint;
BEGIN EXECUTE format('SELECT count(*) FROM %s', relation::regclass) INTO n; RETURN n;
EXCEPTION WHEN undefined_table THEN RETURN 0; END $$;

CREATE OR REPLACE VIEW _emulator.tables AS
SELECT s.database_name, s.name AS schema_name, c.relname::text AS table_name, c.oid AS relation, c.relkind = 'r' AS is_table,
       coalesce(r.kind, CASE c.relkind WHEN 'r' THEN 'TABLE' ELSE 'VIEW' END) AS kind, coalesce(r.comment, '') AS comment,
       coalesce(r.cluster_by, '') AS cluster_by, coalesce(r.error_logging, false) AS error_logging,
       coalesce(r.schema_evolution, false) AS schema_evolution, coalesce(r.change_tracking, false) AS change_tracking,
       coalesce(r.definition, '') AS definition, coalesce(r.created_at, s.created_at) AS created_at,
       coalesce(r.primary_key, '{}') AS primary_key, coalesce(r.unique_keys, '{}') AS unique_keys
FROM _emulator.schemas s JOIN pg_namespace n ON n.nspname = s.database_name || '.' || s.name
JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'v')
LEFT JOIN _emulator.relations r ON r.relation = c.oid
WHERE s.name <> 'INFORMATION_SCHEMA';

CREATE OR REPLACE VIEW _emulator.columns AS
SELECT t.database_name, t.schema_name, t.table_name, t.relation, t.is_table, a.attname::text AS column_name,
       row_number() OVER (PARTITION BY t.relation ORDER BY a.attnum) AS ordinal, NOT a.attnotnull AS nullable,
       pg_get_expr(d.adbin, d.adrelid) AS default_text, y.typname::text AS type_name, a.atttypmod AS modifier,
       coalesce(col_description(t.relation, a.attnum), '') AS comment, a.attidentity <> '' AS is_identity,
       a.attname = ANY (t.primary_key) AS is_primary_key, a.attname = ANY (t.unique_keys) AS is_unique_key
FROM _emulator.tables t JOIN pg_attribute a ON a.attrelid = t.relation AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type y ON y.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum;

-- INFORMATION_SCHEMA of one database, as views in its own schema.
CREATE OR REPLACE FUNCTION _emulator.install_information_schema(database_name text) RETURNS void LANGUAGE plpgsql AS $do$
DECLARE s text := quote_ident(database_name || '.INFORMATION_SCHEMA');
BEGIN
  EXECUTE format('CREATE SCHEMA IF NOT EXISTS %s', s);
  EXECUTE format($v$CREATE OR REPLACE VIEW %s."TABLES" AS SELECT database_name AS "TABLE_CATALOG", schema_name AS "TABLE_SCHEMA",
    table_name AS "TABLE_NAME", 'SYSADMIN'::text AS "TABLE_OWNER", CASE WHEN is_table THEN 'BASE TABLE' ELSE 'VIEW' END AS "TABLE_TYPE",
    'NO'::text AS "IS_TRANSIENT", nullif(cluster_by, '') AS "CLUSTERING_KEY", CASE WHEN is_table THEN _emulator.row_count(relation) END AS "ROW_COUNT",
    CASE WHEN is_table THEN pg_relation_size(relation) END AS "BYTES", 1::bigint AS "RETENTION_TIME", created_at AS "CREATED", created_at AS "LAST_ALTERED",
    nullif(comment, '') AS "COMMENT" FROM _emulator.tables WHERE database_name = %L$v$, s, database_name);
  EXECUTE format($v$CREATE OR REPLACE VIEW %s."VIEWS" AS SELECT database_name AS "TABLE_CATALOG", schema_name AS "TABLE_SCHEMA",
    table_name AS "TABLE_NAME", 'SYSADMIN'::text AS "TABLE_OWNER", definition AS "VIEW_DEFINITION", created_at AS "CREATED", nullif(comment, '') AS "COMMENT"
    FROM _emulator.tables WHERE NOT is_table AND database_name = %L$v$, s, database_name);
  EXECUTE format($v$CREATE OR REPLACE VIEW %s."COLUMNS" AS SELECT database_name AS "TABLE_CATALOG", schema_name AS "TABLE_SCHEMA",
    table_name AS "TABLE_NAME", column_name AS "COLUMN_NAME", ordinal AS "ORDINAL_POSITION", default_text AS "COLUMN_DEFAULT",
    CASE WHEN nullable THEN 'YES' ELSE 'NO' END AS "IS_NULLABLE", _emulator.type_kind(type_name) AS "DATA_TYPE",
    _emulator.type_length(type_name, modifier) AS "CHARACTER_MAXIMUM_LENGTH", _emulator.type_length(type_name, modifier) AS "CHARACTER_OCTET_LENGTH",
    _emulator.type_precision(type_name, modifier) AS "NUMERIC_PRECISION",
    CASE WHEN _emulator.type_kind(type_name) = 'NUMBER' THEN 10 END AS "NUMERIC_PRECISION_RADIX", _emulator.type_scale(type_name, modifier) AS "NUMERIC_SCALE",
    CASE WHEN _emulator.type_kind(type_name) LIKE 'TIME%%' THEN 9 END AS "DATETIME_PRECISION",
    CASE WHEN is_identity THEN 'YES' ELSE 'NO' END AS "IS_IDENTITY", nullif(comment, '') AS "COMMENT"
    FROM _emulator.columns WHERE database_name = %L$v$, s, database_name);
  EXECUTE format($v$CREATE OR REPLACE VIEW %s."SCHEMATA" AS SELECT database_name AS "CATALOG_NAME", name AS "SCHEMA_NAME",
    'SYSADMIN'::text AS "SCHEMA_OWNER", created_at AS "CREATED" FROM _emulator.schemas WHERE database_name = %L$v$, s, database_name);
  EXECUTE format($v$CREATE OR REPLACE VIEW %s."DATABASES" AS SELECT name AS "DATABASE_NAME", 'SYSADMIN'::text AS "DATABASE_OWNER",
    created_at AS "CREATED", nullif(comment, '') AS "COMMENT" FROM _emulator.databases$v$, s);
END $do$;

-- what a dropped object left behind
DELETE FROM _emulator.relations r WHERE NOT EXISTS (SELECT 1 FROM pg_class c WHERE c.oid = r.relation);
DELETE FROM _emulator.error_rows r WHERE NOT EXISTS (SELECT 1 FROM pg_class c WHERE c.oid = r.relation);
SELECT _emulator.install_information_schema(name) FROM _emulator.databases;
