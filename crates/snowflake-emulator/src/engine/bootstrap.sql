-- Schemas and tables that the emulator needs in its engine. Every statement may run again on each start.
CREATE SCHEMA IF NOT EXISTS sf;
CREATE SCHEMA IF NOT EXISTS _emulator;

DO $$ BEGIN CREATE DOMAIN sf.variant AS jsonb; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
DO $$ BEGIN CREATE DOMAIN sf.object AS jsonb; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
DO $$ BEGIN CREATE DOMAIN sf.array AS jsonb; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
DO $$ BEGIN CREATE DOMAIN sf.timestamp_tz AS timestamptz; EXCEPTION WHEN duplicate_object THEN NULL; END $$;

CREATE TABLE IF NOT EXISTS _emulator.databases (
    name text PRIMARY KEY,
    comment text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now());

CREATE TABLE IF NOT EXISTS _emulator.schemas (
    database_name text NOT NULL REFERENCES _emulator.databases ON DELETE CASCADE,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (database_name, name));

-- What the engine's own catalog cannot say about a table or a view; the row goes stale with the object and is swept on start.
CREATE TABLE IF NOT EXISTS _emulator.relations (
    relation oid PRIMARY KEY,
    primary_key text[] NOT NULL DEFAULT '{}',
    unique_keys text[] NOT NULL DEFAULT '{}',
    error_logging boolean NOT NULL DEFAULT false,
    schema_evolution boolean NOT NULL DEFAULT false,
    change_tracking boolean NOT NULL DEFAULT false,
    kind text NOT NULL DEFAULT 'TABLE',
    cluster_by text NOT NULL DEFAULT '',
    comment text NOT NULL DEFAULT '',
    definition text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now());

-- Users, roles, warehouses, streams, tasks, pipes …: kept as they were written, and shown.
CREATE TABLE IF NOT EXISTS _emulator.objects (
    kind text NOT NULL,
    database_name text NOT NULL DEFAULT '',
    schema_name text NOT NULL DEFAULT '',
    name text NOT NULL,
    definition text NOT NULL DEFAULT '',
    properties jsonb NOT NULL DEFAULT '{}',
    comment text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, database_name, schema_name, name));

CREATE TABLE IF NOT EXISTS _emulator.grants (
    privilege text NOT NULL,
    granted_on text NOT NULL,
    name text NOT NULL,
    granted_to text NOT NULL,
    grantee_name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (privilege, granted_on, name, granted_to, grantee_name));

CREATE TABLE IF NOT EXISTS _emulator.channels (
    database_name text NOT NULL,
    schema_name text NOT NULL,
    pipe_name text NOT NULL,
    channel_name text NOT NULL,
    relation oid NOT NULL,
    client_sequencer bigint NOT NULL,
    committed_token text,
    rows_inserted bigint NOT NULL DEFAULT 0,
    rows_parsed bigint NOT NULL DEFAULT 0,
    rows_error_count bigint NOT NULL DEFAULT 0,
    last_error_message text,
    last_error_offset_upper_bound text,
    last_error_timestamp_ms bigint,
    rows_hash bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (database_name, schema_name, pipe_name, channel_name));

-- Payloads of rejected rows of tables with ERROR_LOGGING = TRUE.
CREATE TABLE IF NOT EXISTS _emulator.error_rows (
    id bigserial PRIMARY KEY,
    relation oid NOT NULL,
    pipe_name text NOT NULL,
    channel_name text NOT NULL,
    error_code text NOT NULL,
    error_message text NOT NULL,
    offset_upper_bound text,
    payload text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX IF NOT EXISTS error_rows_by_relation ON _emulator.error_rows (relation);

-- First answers by requestId, in the transaction of the statement itself: a retry after a restart finds what really happened.
CREATE TABLE IF NOT EXISTS _emulator.requests (
    request_id uuid PRIMARY KEY,
    handle uuid NOT NULL,
    answer text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now());
