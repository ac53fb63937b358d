//! What a check wants to know of a server, a role and a publication. Reads only.

use std::str::FromStr;

use cdcd_pgoutput::Lsn;
use tokio_postgres::{Client, Row};

use crate::error::Error;

/// Settings and use of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `server_version`, for people.
    pub version: String,
    /// `server_version_num`, for example 150018.
    pub version_num: u32,
    /// Whether this session uses TLS.
    pub tls: bool,
    /// A standby.
    pub in_recovery: bool,
    /// `wal_level`
    pub wal_level: String,
    /// `max_replication_slots`
    pub slots_max: i64,
    /// Slots that exist.
    pub slots_used: i64,
    /// `max_wal_senders`
    pub senders_max: i64,
    /// WAL senders that run.
    pub senders_used: i64,
    /// `max_slot_wal_keep_size` in bytes; `None` without a limit.
    pub keep_size: Option<i64>,
    /// `wal_sender_timeout` in milliseconds; 0 is never.
    pub sender_timeout_ms: i64,
    /// `idle_replication_slot_timeout` in seconds (server 18 and later); 0 is never.
    pub idle_slot_timeout_s: i64,
    /// `logical_decoding_work_mem` in bytes.
    pub decoding_memory: i64,
    /// Encoding of the database.
    pub encoding: String,
    /// End of WAL.
    pub wal_end: Lsn,
}

/// The role of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Name.
    pub name: String,
    /// `SUPERUSER`
    pub is_superuser: bool,
    /// `REPLICATION`
    pub may_replicate: bool,
    /// CREATE on the database.
    pub may_create: bool,
}

/// What the session's role may do with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    /// SELECT on the table, and USAGE on its schema.
    pub may_select: bool,
    /// USAGE on its schema.
    pub may_use_schema: bool,
    /// Owner, or a member of the owner.
    pub is_owner: bool,
}

/// A publication that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// FOR ALL TABLES.
    pub all_tables: bool,
    /// `insert`, `update`, `delete`, `truncate`: those that are published.
    pub publish: Vec<String>,
    /// `publish_via_partition_root`
    pub via_root: bool,
    /// Published tables as (schema, table).
    pub tables: Vec<(String, String)>,
    /// `schema.table` with a row filter or a column list (server 15 and later).
    pub narrowed: Vec<String>,
}

/// Asks for the server's settings.
///
/// # Errors
/// [`Error::Control`] or [`Error::Server`].
pub async fn server(client: &Client) -> Result<Server, Error> {
    // pg_settings gives numbers in the setting's own unit; a setting that a release lacks gives no row.
    let sql = "WITH s AS (SELECT name, setting, CASE unit WHEN 'kB' THEN 1024 WHEN 'MB' THEN 1048576 WHEN '8kB' THEN 8192 \
               WHEN 'min' THEN 60 ELSE 1 END AS factor FROM pg_settings), \
               n AS (SELECT name, CASE WHEN setting ~ '^-?[0-9]+$' THEN setting::bigint END AS number, factor FROM s) \
               SELECT current_setting('server_version'), current_setting('server_version_num')::int, \
               COALESCE((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false), pg_is_in_recovery(), \
               current_setting('wal_level'), \
               (SELECT number FROM n WHERE name = 'max_replication_slots'), \
               (SELECT count(*) FROM pg_replication_slots), \
               (SELECT number FROM n WHERE name = 'max_wal_senders'), \
               (SELECT count(*) FROM pg_stat_replication), \
               (SELECT number * factor FROM n WHERE name = 'max_slot_wal_keep_size' AND number >= 0), \
               (SELECT number FROM n WHERE name = 'wal_sender_timeout'), \
               COALESCE((SELECT number * factor FROM n WHERE name = 'idle_replication_slot_timeout'), 0), \
               (SELECT number * factor FROM n WHERE name = 'logical_decoding_work_mem'), \
               pg_encoding_to_char((SELECT encoding FROM pg_database WHERE datname = current_database()))::text, \
               (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_flush_lsn() END)::text";
    let doing = "reading the server's settings";
    let row = client.query_one(sql, &[]).await.map_err(|error| Error::control(doing, error))?;
    let wrong = |error| Error::control(doing, error);
    let version_num: i32 = row.try_get(1).map_err(wrong)?;
    let wal_end: Option<String> = row.try_get(14).map_err(wrong)?;
    Ok(Server {
        version: row.try_get(0).map_err(wrong)?,
        version_num: u32::try_from(version_num).unwrap_or(0),
        tls: row.try_get(2).map_err(wrong)?,
        in_recovery: row.try_get(3).map_err(wrong)?,
        wal_level: row.try_get(4).map_err(wrong)?,
        slots_max: number(&row, 5)?,
        slots_used: number(&row, 6)?,
        senders_max: number(&row, 7)?,
        senders_used: number(&row, 8)?,
        keep_size: row.try_get(9).map_err(wrong)?,
        sender_timeout_ms: number(&row, 10)?,
        idle_slot_timeout_s: number(&row, 11)?,
        decoding_memory: number(&row, 12)?,
        encoding: row.try_get(13).map_err(wrong)?,
        wal_end: wal_end.and_then(|text| Lsn::from_str(&text).ok()).unwrap_or(Lsn::ZERO),
    })
}

fn number(row: &Row, index: usize) -> Result<i64, Error> {
    let value: Option<i64> =
        row.try_get(index).map_err(|error| Error::control("reading the server's settings", error))?;
    Ok(value.unwrap_or(0))
}

/// Asks who the session's role is.
///
/// # Errors
/// [`Error::Control`] or [`Error::Server`].
pub async fn role(client: &Client) -> Result<Role, Error> {
    let sql = "SELECT rolname::text, rolsuper, rolreplication, \
               has_database_privilege(current_database(), 'CREATE') FROM pg_roles WHERE rolname = current_user";
    let doing = "reading the role";
    let row = client.query_one(sql, &[]).await.map_err(|error| Error::control(doing, error))?;
    let wrong = |error| Error::control(doing, error);
    Ok(Role {
        name: row.try_get(0).map_err(wrong)?,
        is_superuser: row.try_get(1).map_err(wrong)?,
        may_replicate: row.try_get(2).map_err(wrong)?,
        may_create: row.try_get(3).map_err(wrong)?,
    })
}

/// What the session's role may do with each of `tables`, in their order.
///
/// # Errors
/// [`Error::Control`] or [`Error::Server`].
pub async fn rights(client: &Client, tables: &[u32]) -> Result<Vec<Right>, Error> {
    let sql = "SELECT has_table_privilege(c.oid, 'SELECT'), has_schema_privilege(c.relnamespace, 'USAGE'), \
               pg_has_role(c.relowner, 'MEMBER') \
               FROM unnest($1::oid[]) WITH ORDINALITY AS t(oid, place) JOIN pg_class c ON c.oid = t.oid ORDER BY t.place";
    let doing = "reading the role's rights";
    let rows = client.query(sql, &[&tables]).await.map_err(|error| Error::control(doing, error))?;
    let right = |row: &Row| {
        let (select, schema): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
        Ok(Right { may_select: select && schema, may_use_schema: schema, is_owner: row.try_get(2)? })
    };
    rows.iter().map(right).collect::<Result<_, _>>().map_err(|error| Error::control(doing, error))
}

/// Reads a publication; `None` if there is none of this name.
///
/// # Errors
/// [`Error::Control`] or [`Error::Server`].
pub async fn publication(client: &Client, name: &str) -> Result<Option<Publication>, Error> {
    let doing = || format!("reading publication {name}");
    let wrong = |error| Error::control(doing(), error);
    let sql = "SELECT puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot \
               FROM pg_publication WHERE pubname = $1";
    let Some(row) = client.query_opt(sql, &[&name]).await.map_err(wrong)? else { return Ok(None) };
    let mut publish = Vec::new();
    for (index, operation) in ["insert", "update", "delete", "truncate"].into_iter().enumerate() {
        if row.try_get(index + 1).map_err(wrong)? {
            publish.push(operation.to_owned());
        }
    }
    let sql = "SELECT schemaname::text, tablename::text FROM pg_publication_tables WHERE pubname = $1";
    let tables = client.query(sql, &[&name]).await.map_err(wrong)?;
    let tables = tables.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, _>>();
    Ok(Some(Publication {
        all_tables: row.try_get(0).map_err(wrong)?,
        publish,
        via_root: row.try_get(5).map_err(wrong)?,
        tables: tables.map_err(wrong)?,
        narrowed: narrowed(client, name).await.map_err(wrong)?,
    }))
}

async fn narrowed(client: &Client, name: &str) -> Result<Vec<String>, tokio_postgres::Error> {
    // Row filters and column lists came with server 15.
    let has = "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'pg_publication_rel'::regclass AND attname = 'prqual')";
    if !client.query_one(has, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(Vec::new());
    }
    let sql = "SELECT n.nspname || '.' || c.relname FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid \
               JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE p.pubname = $1 AND (r.prqual IS NOT NULL OR r.prattrs IS NOT NULL) ORDER BY 1";
    client.query(sql, &[&name]).await?.iter().map(|row| row.try_get(0)).collect()
}
