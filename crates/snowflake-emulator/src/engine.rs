//! PostgreSQL as the SQL engine: the pool, what must be installed in it, and what its catalog says about Snowflake's objects.
//!
//! Database D and schema S of Snowflake are the engine's schema `"D.S"`; a table keeps its name. Functions that Snowflake has
//! and PostgreSQL has not live in the schema `sf`, the emulator's own state in `_emulator`.

use std::str::FromStr as _;
use std::time::Duration;

use anyhow::Context as _;
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use tokio_postgres::GenericClient;
use tokio_postgres::NoTls;

use crate::datatype::DataType;
use crate::error::SqlError;

const BOOTSTRAP: &str = include_str!("engine/bootstrap.sql");
const CATALOG: &str = include_str!("engine/catalog.sql");

/// Connections to the engine: commits of channels and statements share them, and a default PostgreSQL takes 100.
pub const ENGINE_CONNECTIONS_MAX: usize = 32;

/// How long a request waits for one of them before it is refused.
const CONNECTION_WAIT: Duration = Duration::from_secs(60);

/// The engine's longest identifier in bytes (NAMEDATALEN - 1); it cuts longer ones in silence, so they are refused here.
pub const IDENTIFIER_BYTES_MAX: usize = 63;

/// A handle on the engine; cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pool: Pool,
}

/// Database and schema, as they are stored (upper case unless they were quoted).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SchemaName {
    /// Database.
    pub database: String,
    /// Schema.
    pub schema: String,
}

impl SchemaName {
    /// The engine's schema for it.
    ///
    /// # Errors
    /// When the engine would cut the name.
    pub fn to_engine(&self) -> Result<String, SqlError> {
        let name = format!("{}.{}", self.database, self.schema);
        if name.len() > IDENTIFIER_BYTES_MAX {
            return Err(too_long(&name));
        }
        Ok(name)
    }
}

/// A table or view by its full name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelationName {
    /// Where it is.
    pub schema: SchemaName,
    /// Its own name.
    pub name: String,
}

impl RelationName {
    /// `"DB.SCHEMA"."NAME"` for the engine.
    ///
    /// # Errors
    /// When the engine would cut a name.
    pub fn to_engine(&self) -> Result<String, SqlError> {
        if self.name.len() > IDENTIFIER_BYTES_MAX {
            return Err(too_long(&self.name));
        }
        Ok(format!("{}.{}", quote(&self.schema.to_engine()?), quote(&self.name)))
    }
}

impl std::fmt::Display for RelationName {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}.{}.{}", self.schema.database, self.schema.schema, self.name)
    }
}

/// A column as the engine has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name as it is stored.
    pub name: String,
    /// Its Snowflake type.
    pub data_type: DataType,
    /// Whether it takes NULL.
    pub nullable: bool,
}

/// A table that rows can be streamed into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The engine's object id: another one under the same name is another table.
    pub oid: u32,
    /// Columns in order.
    pub columns: Vec<Column>,
    /// Whether rejected rows are kept.
    pub error_logging: bool,
    /// Whether unknown keys become columns.
    pub schema_evolution: bool,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relation {
    /// The engine's object id.
    pub oid: u32,
    /// Whether it stores rows itself.
    pub is_table: bool,
}

impl Engine {
    /// Connects to `url` (`postgres://user:password@host:port/database`; the user must be a superuser of a PostgreSQL 15 or
    /// newer) and installs what is missing.
    ///
    /// # Errors
    /// When the URL is wrong, the server does not answer, is too old, or refuses the installation.
    pub async fn connect(url: &str) -> anyhow::Result<Engine> {
        let mut config = tokio_postgres::Config::from_str(url)
            .context("--engine is not a PostgreSQL URL (postgres://user:password@host:port/database)")?;
        config.application_name("snowflake-emulator");
        config.options(
            "-c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres -c client_min_messages=warning",
        );
        config.connect_timeout(Duration::from_secs(10));
        let manager =
            Manager::from_config(config, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let pool = Pool::builder(manager)
            .max_size(ENGINE_CONNECTIONS_MAX)
            .wait_timeout(Some(CONNECTION_WAIT))
            .create_timeout(Some(Duration::from_secs(15)))
            .runtime(Runtime::Tokio1)
            .build()
            .context("making the pool of engine connections")?;
        let engine = Engine { pool };
        engine.install().await?;
        Ok(engine)
    }

    /// A connection for one request or commit.
    ///
    /// # Errors
    /// When the server does not answer, or all connections stay busy.
    pub async fn client(&self) -> Result<Object, deadpool_postgres::PoolError> {
        self.pool.get().await
    }

    /// The secret of this account, made once: tokens and stage keys stay valid over a restart.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn secret(&self) -> Result<Vec<u8>, SqlError> {
        let client = self.client().await?;
        let row = client
            .query_one(
                "WITH made AS (
                   INSERT INTO _emulator.objects (kind, name, definition)
                   VALUES ('SECRET', 'account', gen_random_uuid()::text || gen_random_uuid()::text)
                   ON CONFLICT DO NOTHING RETURNING definition)
                 SELECT definition FROM made UNION ALL
                 SELECT definition FROM _emulator.objects WHERE kind = 'SECRET' AND name = 'account' LIMIT 1",
                &[],
            )
            .await?;
        Ok(row.get::<_, String>(0).into_bytes())
    }

    async fn install(&self) -> anyhow::Result<()> {
        let mut client = self.client().await.context("connecting to the engine (--engine)")?;
        let version: i32 = client
            .query_one("SELECT current_setting('server_version_num')::int", &[])
            .await
            .context("asking the engine for its version")?
            .get(0);
        anyhow::ensure!(version >= 150_000, "the engine is PostgreSQL {version}: MERGE needs 15 or newer");
        let tx = client.transaction().await.context("installing the emulator's schemas")?;
        // two emulators on one engine must not install at the same time
        tx.execute("SELECT pg_advisory_xact_lock(7236472)", &[])
            .await
            .context("waiting for the installation lock")?;
        tx.batch_execute(BOOTSTRAP)
            .await
            .context("installing the schema _emulator (is the user a superuser?)")?;
        for (name, script) in crate::sql::functions::SCRIPTS {
            tx.batch_execute(script).await.with_context(|| format!("installing the functions of {name}"))?;
        }
        tx.batch_execute(CATALOG).await.context("installing the catalog's views")?;
        tx.commit().await.context("installing the emulator's schemas")?;
        Ok(())
    }
}

/// Finds a table or view.
///
/// # Errors
/// When the engine fails.
pub async fn find_relation(
    client: &impl GenericClient,
    name: &RelationName,
) -> Result<Option<Relation>, SqlError> {
    let schema = name.schema.to_engine()?;
    let row = client
        .query_opt(
            "SELECT c.oid, c.relkind = 'r' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'v')",
            &[&schema, &name.name],
        )
        .await?;
    Ok(row.map(|row| Relation { oid: row.get(0), is_table: row.get(1) }))
}

/// Columns and options of the table `oid`; None when it is gone.
///
/// # Errors
/// When the engine fails, or a column has a type that Snowflake has no word for.
pub async fn load_table(client: &impl GenericClient, oid: u32) -> Result<Option<Table>, SqlError> {
    let rows = client
        .query(
            "SELECT a.attname::text, t.typname::text, a.atttypmod, NOT a.attnotnull,
                    coalesce(r.error_logging, false), coalesce(r.schema_evolution, false)
             FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
             LEFT JOIN _emulator.relations r ON r.relation = a.attrelid
             WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            &[&oid],
        )
        .await?;
    let mut columns = Vec::with_capacity(rows.len());
    let (mut error_logging, mut schema_evolution) = (false, false);
    for row in &rows {
        let (name, type_name): (String, String) = (row.get(0), row.get(1));
        let data_type = DataType::from_engine(&type_name, row.get(2)).ok_or_else(|| {
            SqlError::unsupported(format!("column {name} of the engine's type {type_name}"))
        })?;
        columns.push(Column { name, data_type, nullable: row.get(3) });
        (error_logging, schema_evolution) = (row.get(4), row.get(5));
    }
    if columns.is_empty() {
        return Ok(None);
    }
    Ok(Some(Table { oid, columns, error_logging, schema_evolution }))
}

/// Whether database and schema exist.
///
/// # Errors
/// When the engine fails.
pub async fn schema_exists(client: &impl GenericClient, name: &SchemaName) -> Result<bool, SqlError> {
    let row = client
        .query_opt(
            "SELECT 1 FROM _emulator.schemas WHERE database_name = $1 AND name = $2",
            &[&name.database, &name.schema],
        )
        .await?;
    Ok(row.is_some())
}

/// `"name"` with quotes inside doubled.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `'text'` as a literal of the engine that no setting reinterprets.
pub fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

fn too_long(name: &str) -> SqlError {
    SqlError::unsupported(format!(
        "the name {name:?}: it has {} bytes and the engine keeps {IDENTIFIER_BYTES_MAX}",
        name.len()
    ))
}
