//! Walsender commands.

use std::str::FromStr;

use cdcd_pgoutput::Lsn;

use crate::connection::Connection;
use crate::error::Error;
use crate::slot::CreatedSlot;
use crate::sql::{PgIdent, PgLiteral};

/// Answer to IDENTIFY_SYSTEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct System {
    /// `system_identifier`, unique per initdb.
    pub system_id: String,
    /// Timeline.
    pub timeline: u32,
    /// End of WAL.
    pub wal_end: Lsn,
}

/// Options of START_REPLICATION for pgoutput.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamOptions {
    /// `proto_version`
    pub protocol: u32,
    /// `publication_names`
    pub publication: String,
    /// `messages`: whether logical decoding messages are sent (server 14 and later).
    pub messages: bool,
    /// `slot.stream.params`, as pairs.
    pub extra: Vec<(String, String)>,
}

/// Options of CREATE_REPLICATION_SLOT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SlotOptions {
    /// `FAILOVER` (server 17 and later).
    pub failover: bool,
}

/// Asks who the server is.
///
/// # Errors
/// As [`Connection::query`].
pub async fn identify_system(connection: &mut Connection) -> Result<System, Error> {
    let rows = connection.query("IDENTIFY_SYSTEM").await?;
    let value =
        |index: usize| rows.first().and_then(|row| row.get(index).cloned().flatten()).unwrap_or_default();
    let bad = |what: &str| Error::Protocol(format!("{what} in answer to IDENTIFY_SYSTEM"));
    Ok(System {
        system_id: value(0),
        timeline: value(1).parse().map_err(|_| bad("no timeline"))?,
        wal_end: Lsn::from_str(&value(2)).map_err(|_| bad("no LSN"))?,
    })
}

/// Where each timeline before `timeline` ended, oldest first.
///
/// # Errors
/// As [`Connection::query`].
pub async fn timeline_history(connection: &mut Connection, timeline: u32) -> Result<Vec<(u32, Lsn)>, Error> {
    let rows = connection.query(&format!("TIMELINE_HISTORY {timeline}")).await?;
    let content = rows.first().and_then(|row| row.get(1).cloned().flatten()).unwrap_or_default();
    Ok(parse_history(&content))
}

/// Lines of `timeline <tab> LSN <tab> reason`; comments and what cannot be read are left out.
fn parse_history(content: &str) -> Vec<(u32, Lsn)> {
    let line = |line: &str| {
        let mut fields = line.split_whitespace();
        let timeline = fields.next()?.parse().ok()?;
        Some((timeline, fields.next()?.parse().ok()?))
    };
    content.lines().filter_map(line).collect()
}

/// Creates a logical slot and keeps its snapshot open until the next command on this connection.
///
/// # Errors
/// As [`Connection::query`]; it waits for all transactions that are running on the server.
pub async fn create_slot(
    connection: &mut Connection,
    name: &str,
    options: SlotOptions,
    server_version: u32,
) -> Result<CreatedSlot, Error> {
    let options = match (server_version >= 150_000, options.failover && server_version >= 170_000) {
        (true, true) => "(SNAPSHOT 'export', FAILOVER)",
        (true, false) => "(SNAPSHOT 'export')",
        (false, _) => "EXPORT_SNAPSHOT",
    };
    create(connection, &format!("{} LOGICAL pgoutput {options}", PgIdent::new(name))).await
}

/// The same with a slot that goes away with the connection.
///
/// # Errors
/// As [`create_slot`].
pub async fn create_temporary_slot(
    connection: &mut Connection,
    name: &str,
    server_version: u32,
) -> Result<CreatedSlot, Error> {
    let options = if server_version >= 150_000 { "(SNAPSHOT 'export')" } else { "EXPORT_SNAPSHOT" };
    create(connection, &format!("{} TEMPORARY LOGICAL pgoutput {options}", PgIdent::new(name))).await
}

async fn create(connection: &mut Connection, what: &str) -> Result<CreatedSlot, Error> {
    let sql = format!("CREATE_REPLICATION_SLOT {what}");
    let rows = connection.query(&sql).await?;
    let value = |index: usize| rows.first().and_then(|row| row.get(index).cloned().flatten());
    let consistent_point = value(1).and_then(|lsn| lsn.parse().ok());
    Ok(CreatedSlot {
        consistent_point: consistent_point.ok_or_else(|| {
            Error::Protocol("no consistent point in answer to CREATE_REPLICATION_SLOT".to_owned())
        })?,
        snapshot: value(2),
    })
}

/// Starts streaming from `lsn` with the text of [`StreamOptions`]; [`Connection::next_copy`] then gives frames.
///
/// # Errors
/// [`Error::Server`]: the slot is missing (42704), in use (55006), lost (55000), or belongs to something else.
pub async fn start(connection: &mut Connection, slot: &str, lsn: Lsn, options: &str) -> Result<(), Error> {
    let sql = format!("START_REPLICATION SLOT {} LOGICAL {lsn} ({options})", PgIdent::new(slot));
    connection.start_copy(&sql).await
}

impl StreamOptions {
    /// The options as SQL, which is also how the position record keeps them.
    pub fn text(&self) -> String {
        let mut text = format!(
            "proto_version '{}', publication_names {}",
            self.protocol,
            PgLiteral::new(&PgIdent::new(&self.publication).to_string())
        );
        if self.messages && !self.extra.iter().any(|(name, _)| name == "messages") {
            text.push_str(", messages 'true'");
        }
        for (name, value) in &self.extra {
            text.push_str(&format!(", {} {}", PgIdent::new(name), PgLiteral::new(value)));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_tells_where_each_timeline_ended() {
        let content = "# comment\n1\t0/3000148\tno recovery target specified\n\n2\t1/20\tbefore 2026-11-20\n";
        assert_eq!(parse_history(content), [(1, Lsn(0x0300_0148)), (2, Lsn(0x1_0000_0020))]);
    }

    #[test]
    fn messages_are_asked_for_once_and_the_properties_win() {
        let options = |messages, extra: &[(&str, &str)]| {
            let extra = extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            StreamOptions { protocol: 1, publication: "p".to_owned(), messages, extra }.text()
        };
        let base = "proto_version '1', publication_names '\"p\"'";
        assert_eq!(options(false, &[]), base);
        assert_eq!(options(true, &[]), format!("{base}, messages 'true'"));
        assert_eq!(options(true, &[("messages", "false")]), format!("{base}, \"messages\" 'false'"));
    }

    #[test]
    fn names_cannot_leave_their_quotes() {
        let options = StreamOptions {
            protocol: 1,
            publication: "p\"; DROP 'x'".to_owned(),
            messages: false,
            extra: vec![("origin".to_owned(), "no'ne".to_owned())],
        };
        assert_eq!(
            options.text(),
            r#"proto_version '1', publication_names '"p""; DROP ''x''"', "origin" 'no''ne'"#
        );
    }
}
