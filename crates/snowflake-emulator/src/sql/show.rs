//! SHOW and DESCRIBE: each becomes a query over the engine's catalog and the emulator's records.

use sqlparser::tokenizer::Token;

use crate::engine::{RelationName, SchemaName, literal};
use crate::error::SqlError;
use crate::sql::reader::{Reader, Source};
use crate::sql::session::Session;

/// A SHOW or DESCRIBE, ready to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    /// The engine's query.
    pub(crate) query: String,
    /// A table or view that must exist: an object that is not there is an error, not an empty answer.
    pub(crate) requires: Option<RelationName>,
}

impl Shown {
    fn of(scope: &Scope, query: String) -> Shown {
        let requires = match scope {
            Scope::Table(database, schema, table) => Some(RelationName {
                schema: SchemaName { database: database.clone(), schema: schema.clone() },
                name: table.clone(),
            }),
            _ => None,
        };
        Shown { query, requires }
    }
}

/// Where a SHOW looks.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Scope {
    Account,
    Database(String),
    Schema(String, String),
    Table(String, String, String),
}

impl Scope {
    /// A condition over the columns `database_name`, `schema_name` and, for a table, `table_name`.
    fn condition(&self) -> String {
        match self {
            Scope::Account => "true".to_owned(),
            Scope::Database(database) => format!("database_name = {}", literal(database)),
            Scope::Schema(database, schema) => {
                format!("database_name = {} AND schema_name = {}", literal(database), literal(schema))
            }
            Scope::Table(database, schema, table) => format!(
                "database_name = {} AND schema_name = {} AND table_name = {}",
                literal(database),
                literal(schema),
                literal(table)
            ),
        }
    }
}

/// The query of a SHOW or DESCRIBE; None for another statement.
///
/// # Errors
/// When what is shown is nothing that the emulator has.
pub(crate) fn read(session: &Session, source: &Source) -> Result<Option<Shown>, SqlError> {
    let mut reader = Reader::new(&source.tokens);
    if reader.accept("DESCRIBE") || reader.accept("DESC") {
        return describe(session, &mut reader).map(Some);
    }
    if !reader.accept("SHOW") {
        return Ok(None);
    }
    reader.accept("TERSE");
    if reader.accept("PRIMARY KEYS") {
        let scope = read_scope(session, &mut reader)?;
        return Ok(Some(Shown::of(&scope, primary_keys(&scope))));
    }
    if reader.accept("GRANTS") {
        reader.rest();
        return Ok(Some(Shown::of(&Scope::Account,
            "SELECT created_at AS created_on, privilege, granted_on, name, granted_to, grantee_name, 'false'::text AS grant_option,
             'ACCOUNTADMIN'::text AS granted_by FROM _emulator.grants ORDER BY name, privilege"
                .to_owned(),
        )));
    }
    let what = reader.identifier()?;
    reader.accept("HISTORY");
    let mut pattern = None;
    if reader.accept("LIKE") {
        pattern = Some(reader.string()?);
    }
    let scope = read_scope(session, &mut reader)?;
    let prefix = if reader.accept("STARTS WITH") { Some(reader.string()?) } else { None };
    let limit =
        if reader.accept("LIMIT") { format!(" LIMIT {}", number(&mut reader)?) } else { String::new() };
    reader.finish()?;
    let mut query = show(&what, &scope)?;
    let mut conditions = Vec::new();
    let name = name_column(&what);
    if let Some(pattern) = pattern {
        conditions.push(format!("{name} ILIKE {}", literal(&pattern)));
    }
    if let Some(prefix) = prefix {
        conditions.push(format!("starts_with({name}, {})", literal(&prefix)));
    }
    if !conditions.is_empty() {
        query = format!("SELECT * FROM ({query}) AS shown WHERE {}", conditions.join(" AND "));
    }
    Ok(Some(Shown::of(&scope, query + &limit)))
}

fn number(reader: &mut Reader<'_>) -> Result<u64, SqlError> {
    match reader.next() {
        Some(Token::Number(text, _)) => {
            text.parse().map_err(|_| SqlError::syntax("LIMIT wants a whole number"))
        }
        _ => Err(SqlError::syntax("LIMIT wants a whole number")),
    }
}

fn name_column(what: &str) -> &'static str {
    match what {
        "COLUMNS" => "column_name",
        "CHANNELS" => "channel_name",
        _ => "name",
    }
}

/// `IN ACCOUNT`, `IN DATABASE d`, `IN SCHEMA s`, `IN TABLE t`, `IN s`; nothing means the current schema, or database.
fn read_scope(session: &Session, reader: &mut Reader<'_>) -> Result<Scope, SqlError> {
    if !reader.accept("IN") {
        return Ok(match (&session.database, &session.schema) {
            (Some(database), Some(schema)) => Scope::Schema(database.clone(), schema.clone()),
            (Some(database), None) => Scope::Database(database.clone()),
            (None, _) => Scope::Account,
        });
    }
    if reader.accept("ACCOUNT") {
        return Ok(Scope::Account);
    }
    if reader.accept("DATABASE") {
        return Ok(Scope::Database(reader.object_name()?.join(".")));
    }
    if reader.accept("TABLE") || reader.accept("VIEW") {
        let name = session.relation_name(&reader.object_name()?)?;
        return Ok(Scope::Table(name.schema.database, name.schema.schema, name.name));
    }
    let named = reader.accept("SCHEMA");
    let parts = reader.object_name()?;
    // `SHOW TABLES IN x` means a schema of the current database, or a database
    if !named && parts.len() == 1 && session.database.is_none() {
        return Ok(Scope::Database(parts.join(".")));
    }
    let schema = session.schema_name(&parts)?;
    Ok(Scope::Schema(schema.database, schema.schema))
}

fn show(what: &str, scope: &Scope) -> Result<String, SqlError> {
    let condition = scope.condition();
    Ok(match what {
        "TABLES" => tables(&format!("is_table AND {condition}")),
        "OBJECTS" => tables(&condition),
        "VIEWS" => format!(
            "SELECT created_at AS created_on, table_name AS name, ''::text AS reserved, database_name, schema_name, 'SYSADMIN'::text AS owner,
             comment, definition AS text, 'false'::text AS is_secure, 'false'::text AS is_materialized
             FROM _emulator.tables WHERE NOT is_table AND kind = 'VIEW' AND {condition} ORDER BY table_name"
        ),
        "COLUMNS" => columns(&condition),
        "DATABASES" => "SELECT created_at AS created_on, name, 'N'::text AS is_default, 'N'::text AS is_current, ''::text AS origin,
             'ACCOUNTADMIN'::text AS owner, comment, ''::text AS options, '1'::text AS retention_time, 'STANDARD'::text AS kind FROM _emulator.databases ORDER BY name"
            .to_owned(),
        "SCHEMAS" => {
            // a schema stands in a database, whatever the current schema is
            let condition = match scope {
                Scope::Schema(database, _) | Scope::Table(database, _, _) => Scope::Database(database.clone()).condition(),
                other => other.condition(),
            };
            format!(
                "SELECT created_at AS created_on, name, 'N'::text AS is_default, 'N'::text AS is_current, database_name, 'SYSADMIN'::text AS owner,
                 ''::text AS comment, ''::text AS options, '1'::text AS retention_time FROM _emulator.schemas WHERE {condition} ORDER BY database_name, name"
            )
        }
        "CHANNELS" => format!(
            "SELECT created_at AS created_on, channel_name AS name, database_name, schema_name, pipe_name, client_sequencer, committed_token AS offset_token,
             rows_inserted, rows_parsed, rows_error_count AS rows_errors, last_error_message, channel_name
             FROM _emulator.channels WHERE {condition} ORDER BY pipe_name, channel_name"
        ),
        "STREAMS" | "TASKS" | "PIPES" | "STAGES" => {
            let kind = what.trim_end_matches('S');
            format!(
                "SELECT created_at AS created_on, name, database_name, schema_name, 'SYSADMIN'::text AS owner, comment, definition,
                 properties::text AS properties FROM _emulator.objects WHERE kind = '{kind}' AND {condition} ORDER BY name"
            )
        }
        "USERS" | "ROLES" | "WAREHOUSES" => {
            let kind = what.trim_end_matches('S');
            format!(
                "SELECT name, created_at AS created_on, comment, 'ACCOUNTADMIN'::text AS owner, properties ->> 'DEFAULT_ROLE' AS default_role,
                 properties ->> 'DEFAULT_WAREHOUSE' AS default_warehouse, definition FROM _emulator.objects WHERE kind = '{kind}' ORDER BY name"
            )
        }
        other => return Err(SqlError::unsupported(format!("SHOW {other}"))),
    })
}

fn tables(condition: &str) -> String {
    format!(
        "SELECT created_at AS created_on, table_name AS name, database_name, schema_name, kind, comment, cluster_by,
         CASE WHEN is_table THEN _emulator.row_count(relation) END AS rows, CASE WHEN is_table THEN pg_relation_size(relation) END AS bytes,
         'SYSADMIN'::text AS owner, '1'::text AS retention_time, CASE WHEN change_tracking THEN 'ON' ELSE 'OFF' END AS change_tracking,
         CASE WHEN schema_evolution THEN 'Y' ELSE 'N' END AS enable_schema_evolution, CASE WHEN error_logging THEN 'Y' ELSE 'N' END AS error_logging
         FROM _emulator.tables WHERE {condition} ORDER BY database_name, schema_name, table_name"
    )
}

fn columns(condition: &str) -> String {
    format!(
        "SELECT table_name, schema_name, column_name,
         jsonb_strip_nulls(jsonb_build_object('type', CASE k WHEN 'NUMBER' THEN 'FIXED' WHEN 'FLOAT' THEN 'REAL' ELSE k END,
           'precision', _emulator.type_precision(type_name, modifier), 'scale', _emulator.type_scale(type_name, modifier),
           'length', _emulator.type_length(type_name, modifier), 'nullable', nullable))::text AS data_type,
         CASE WHEN nullable THEN 'true' ELSE 'false' END AS \"null?\", default_text AS \"default\", 'COLUMN'::text AS kind, ''::text AS expression,
         comment, database_name, CASE WHEN is_identity THEN 'IDENTITY' ELSE '' END AS autoincrement
         FROM _emulator.columns, LATERAL (SELECT _emulator.type_kind(type_name) AS k) AS kinds
         WHERE {condition} ORDER BY table_name, ordinal"
    )
}

fn primary_keys(scope: &Scope) -> String {
    format!(
        "SELECT t.created_at AS created_on, t.database_name, t.schema_name, t.table_name, k.name AS column_name, k.n AS key_sequence,
         ''::text AS constraint_name, 'false'::text AS rely, ''::text AS comment
         FROM _emulator.tables t, unnest(t.primary_key) WITH ORDINALITY AS k(name, n)
         WHERE {} ORDER BY t.table_name, k.n",
        scope.condition()
    )
}

fn describe(session: &Session, reader: &mut Reader<'_>) -> Result<Shown, SqlError> {
    let user = reader.accept("USER");
    if user {
        let name = reader.object_name()?.join(".");
        reader.finish()?;
        let query = format!(
            "SELECT p.key AS property, p.value AS value, NULL::text AS \"default\", ''::text AS description
             FROM _emulator.objects o, jsonb_each_text(o.properties) AS p WHERE o.kind = 'USER' AND o.name = {}",
            literal(&name)
        );
        return Ok(Shown::of(&Scope::Account, query));
    }
    let _ = reader.accept("DYNAMIC TABLE") || reader.accept("TABLE") || reader.accept("VIEW");
    let name = session.relation_name(&reader.object_name()?)?;
    if reader.accept("TYPE") {
        reader.option_value()?;
    }
    reader.finish()?;
    let scope = Scope::Table(name.schema.database.clone(), name.schema.schema.clone(), name.name);
    let query = format!(
        "SELECT column_name AS name, _emulator.type_declared(type_name, modifier) AS type, 'COLUMN'::text AS kind,
         CASE WHEN nullable THEN 'Y' ELSE 'N' END AS \"null?\", default_text AS \"default\", CASE WHEN is_primary_key THEN 'Y' ELSE 'N' END AS \"primary key\",
         CASE WHEN is_unique_key THEN 'Y' ELSE 'N' END AS \"unique key\", NULL::text AS \"check\", NULL::text AS expression, nullif(comment, '') AS comment,
         NULL::text AS \"policy name\", NULL::text AS \"privacy domain\"
         FROM _emulator.columns WHERE {} ORDER BY ordinal",
        scope.condition()
    );
    Ok(Shown::of(&scope, query))
}
