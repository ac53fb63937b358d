//! Replication slots.

use std::str::FromStr;

use cdcd_pgoutput::Lsn;
use tokio_postgres::Client;

use crate::error::Error;

/// Answer to CREATE_REPLICATION_SLOT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedSlot {
    /// Streaming from here gives everything that the snapshot does not hold.
    pub consistent_point: Lsn,
    /// Name of the exported snapshot.
    pub snapshot: Option<String>,
}

/// A row of `pg_replication_slots`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotInfo {
    /// Output plugin; `None` for a physical slot.
    pub plugin: Option<String>,
    /// Database of a logical slot.
    pub database: Option<String>,
    /// Process that uses it.
    pub active_pid: Option<i32>,
    /// Everything before this was acknowledged.
    pub confirmed_flush_lsn: Option<Lsn>,
    /// The server keeps WAL from here on.
    pub restart_lsn: Option<Lsn>,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
    /// Why it is of no more use (server 17 and later).
    pub invalidation_reason: Option<String>,
    /// Invalidated by recovery on a standby (server 16 and later).
    pub conflicting: bool,
    /// Vanishes with its session.
    pub temporary: bool,
    /// Decodes prepared transactions.
    pub two_phase: bool,
}

/// Reads a slot.
///
/// # Errors
/// [`Error::Control`] or [`Error::Server`].
pub async fn find(client: &Client, name: &str) -> Result<Option<SlotInfo>, Error> {
    let doing = || format!("reading replication slot {name}");
    let row = client
        .query_opt(
            // Columns of later servers are looked for by name, so that one statement serves all.
            "SELECT plugin::text, database::text, active_pid, confirmed_flush_lsn::text, restart_lsn::text, \
             wal_status, temporary, two_phase, to_jsonb(s) ->> 'invalidation_reason', \
             coalesce((to_jsonb(s) ->> 'conflicting')::bool, false) \
             FROM pg_replication_slots s WHERE slot_name = $1",
            &[&name],
        )
        .await
        .map_err(|error| Error::control(doing(), error))?;
    let Some(row) = row else { return Ok(None) };
    let lsn = |index: usize| -> Option<Lsn> {
        row.get::<_, Option<String>>(index).and_then(|text| Lsn::from_str(&text).ok())
    };
    Ok(Some(SlotInfo {
        plugin: row.get(0),
        database: row.get(1),
        active_pid: row.get(2),
        confirmed_flush_lsn: lsn(3),
        restart_lsn: lsn(4),
        wal_status: row.get(5),
        temporary: row.get(6),
        two_phase: row.get(7),
        invalidation_reason: row.get(8),
        conflicting: row.get(9),
    }))
}

/// Ends the server process that streams slot `name`, if its client calls itself `application`; says whether it did.
///
/// # Errors
/// [`Error::Control`] or [`Error::Server`]: 42501 if it runs under another role.
pub async fn evict(client: &Client, name: &str, application: &str) -> Result<bool, Error> {
    let sql = "SELECT pg_terminate_backend(a.pid) FROM pg_replication_slots s \
               JOIN pg_stat_activity a ON a.pid = s.active_pid \
               WHERE s.slot_name = $1 AND a.application_name = $2";
    let row = client
        .query_opt(sql, &[&name, &application])
        .await
        .map_err(|error| Error::control(format!("ending the process that uses slot {name}"), error))?;
    Ok(row.is_some_and(|row| row.get(0)))
}

/// Drops a slot.
///
/// # Errors
/// [`Error::Server`]: missing, or in use.
pub async fn drop(client: &Client, name: &str) -> Result<(), Error> {
    client
        .execute("SELECT pg_drop_replication_slot($1)", &[&name])
        .await
        .map(|_| ())
        .map_err(|error| Error::control(format!("dropping replication slot {name}"), error))
}

/// The server's end of flushed WAL.
///
/// # Errors
/// [`Error::Control`] or [`Error::Server`].
pub async fn current_wal_flush_lsn(client: &Client) -> Result<Lsn, Error> {
    let doing = "reading pg_current_wal_flush_lsn";
    let row = client
        .query_one("SELECT pg_current_wal_flush_lsn()::text", &[])
        .await
        .map_err(|error| Error::control(doing, error))?;
    let text: String = row.get(0);
    Lsn::from_str(&text).map_err(|error| Error::Protocol(error.to_string()))
}
