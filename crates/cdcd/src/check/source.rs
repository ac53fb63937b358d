//! The PostgreSQL server and the role that the connector logs in with.

use cdcd_postgres::catalog::Table;
use cdcd_postgres::connection::{Connection, Purpose};
use cdcd_postgres::control;
use cdcd_postgres::health::{self, Role, Server};
use cdcd_postgres::publication::AutoCreate;
use cdcd_postgres::replication::{self, System};
use cdcd_postgres::sql::PgIdent;
use tokio_postgres::Client;

use super::report::{Mark, Report};
use super::{Brokers, chain, slot, tables};
use crate::connector::source::{SnapshotMode, SourceSettings};

const SERVER: &str = "server";
const ROLE: &str = "role";

/// Majors that the tests run on.
const MAJORS: std::ops::RangeInclusive<u32> = 14..=18;
/// Below this a large transaction soon spills to the server's disk.
const DECODING_MEMORY_MIN: i64 = 16 << 20;
/// Below this a short stop of the capture may already lose the slot.
const KEEP_SIZE_MIN: i64 = 1 << 30;

/// Everything about the database.
pub(super) async fn look(settings: &SourceSettings, brokers: Brokers, report: &mut Report) {
    let database = &settings.database;
    let address = format!("{}:{}", database.host, database.port);
    let control = match control::connect(database, settings.query_timeout).await {
        Ok(control) => control,
        Err(error) => {
            let (text, hints) = chain(error);
            report.mend(SERVER, Mark::Fail, format!("{address}: {text}"), hints);
            return;
        }
    };
    if let Err(error) = look_inside(settings, &control, brokers, report).await {
        let (text, hints) = chain(error);
        report.mend(SERVER, Mark::Fail, text, hints);
    }
}

async fn look_inside(
    settings: &SourceSettings,
    control: &Client,
    brokers: Brokers,
    report: &mut Report,
) -> Result<(), cdcd_postgres::Error> {
    let server = health::server(control).await?;
    look_at_server(settings, &server, report);
    let role = health::role(control).await?;
    let system = look_at_role(settings, &role, report).await;
    let captured = tables::captured(settings, control).await?;
    let published = tables::look_at_publication(settings, control, &captured, report).await?;
    look_at_rights(settings, control, (&role, &captured), published, report).await?;
    tables::look(control, &captured, report).await?;
    slot::look(settings, control, (&server, system.as_ref()), brokers, report).await
}

fn look_at_server(settings: &SourceSettings, server: &Server, report: &mut Report) {
    let (major, text) = (server.version_num / 10_000, &server.version);
    let database = &settings.database;
    let place = format!("{}:{}/{}", database.host, database.port, database.database);
    if major < *MAJORS.start() {
        report.add(
            SERVER,
            Mark::Warn,
            format!("PostgreSQL {text} at {place} is older than the tested {}", MAJORS.start()),
        );
    } else if major > *MAJORS.end() {
        report.add(
            SERVER,
            Mark::Warn,
            format!("PostgreSQL {text} at {place} is newer than the tested {}", MAJORS.end()),
        );
    } else {
        let tls = if server.tls { "with TLS" } else { "without TLS" };
        report.add(SERVER, Mark::Ok, format!("PostgreSQL {text} at {place}, {tls}"));
    }
    if server.in_recovery {
        report.add(SERVER, Mark::Fail, "the server is a standby: give the address of the primary");
    }
    match server.wal_level.as_str() {
        "logical" => report.add(SERVER, Mark::Ok, "wal_level is logical"),
        other => report.mend(
            SERVER,
            Mark::Fail,
            format!("wal_level is {other}, and decoding needs logical"),
            [
                "ALTER SYSTEM SET wal_level = 'logical';",
                "then restart the server (on RDS: rds.logical_replication = 1 in the parameter group)",
            ],
        ),
    }
    look_at_limits(server, report);
    look_at_settings(settings, server, report);
}

/// A session for the stream is always needed; a slot only if there is none yet, which is told with the slot.
fn look_at_limits(server: &Server, report: &mut Report) {
    let senders = format!("{} of {} WAL senders are in use", server.senders_used, server.senders_max);
    if server.senders_used >= server.senders_max {
        let wanted = server.senders_max + 10;
        let mend = format!("ALTER SYSTEM SET max_wal_senders = {wanted};\nthen restart the server");
        report.mend(SERVER, Mark::Fail, senders, [mend]);
    } else {
        report.add(SERVER, Mark::Ok, senders);
    }
    let slots = format!("{} of {} replication slots are in use", server.slots_used, server.slots_max);
    if server.slots_used >= server.slots_max {
        let wanted = server.slots_max + 10;
        report.mend(
            SERVER,
            Mark::Warn,
            slots,
            [
                "SELECT slot_name, active, wal_status FROM pg_replication_slots; -- drop what nobody uses"
                    .to_owned(),
                format!("ALTER SYSTEM SET max_replication_slots = {wanted};\nthen restart the server"),
            ],
        );
    } else {
        report.add(SERVER, Mark::Ok, slots);
    }
}

fn look_at_settings(settings: &SourceSettings, server: &Server, report: &mut Report) {
    match server.keep_size {
        None => report.add(
            SERVER,
            Mark::Ok,
            "max_slot_wal_keep_size is -1: WAL is kept for as long as capture is down (watch the disk)",
        ),
        Some(bytes) if bytes < KEEP_SIZE_MIN => report.mend(
            SERVER,
            Mark::Warn,
            format!(
                "max_slot_wal_keep_size is {}: a capture that falls further behind loses its slot",
                size(bytes)
            ),
            ["ALTER SYSTEM SET max_slot_wal_keep_size = '50GB';\nSELECT pg_reload_conf();"],
        ),
        Some(bytes) => report.add(
            SERVER,
            Mark::Ok,
            format!(
                "max_slot_wal_keep_size is {}: a capture that falls further behind loses its slot",
                size(bytes)
            ),
        ),
    }
    if server.idle_slot_timeout_s > 0 {
        report.mend(
            SERVER,
            Mark::Warn,
            format!(
                "idle_replication_slot_timeout is {} s: a longer stop of the capture loses its slot",
                server.idle_slot_timeout_s
            ),
            ["ALTER SYSTEM SET idle_replication_slot_timeout = 0;\nSELECT pg_reload_conf();"],
        );
    }
    let status = settings.status_interval.as_millis() as i64;
    match server.sender_timeout_ms {
        0 => report.mend(
            SERVER,
            Mark::Warn,
            "wal_sender_timeout is 0: the server keeps the slot busy for a client that is long gone",
            ["ALTER SYSTEM SET wal_sender_timeout = '60s';\nSELECT pg_reload_conf();"],
        ),
        timeout if timeout < 2 * status => report.mend(
            SERVER,
            Mark::Warn,
            format!(
                "wal_sender_timeout is {timeout} ms, less than twice status.update.interval.ms ({status})"
            ),
            ["ALTER SYSTEM SET wal_sender_timeout = '60s';\nSELECT pg_reload_conf();"],
        ),
        timeout => report.add(SERVER, Mark::Ok, format!("wal_sender_timeout is {timeout} ms")),
    }
    let memory = server.decoding_memory;
    if memory < DECODING_MEMORY_MIN {
        report.mend(
            SERVER,
            Mark::Warn,
            format!(
                "logical_decoding_work_mem is {}: larger transactions are written to the server's disk first",
                size(memory)
            ),
            ["ALTER SYSTEM SET logical_decoding_work_mem = '64MB';\nSELECT pg_reload_conf();"],
        );
    } else {
        report.add(SERVER, Mark::Ok, format!("logical_decoding_work_mem is {}", size(memory)));
    }
    if server.encoding == "SQL_ASCII" {
        report.add(
            SERVER,
            Mark::Warn,
            "the database's encoding is SQL_ASCII: bytes that are not UTF-8 will stop the capture",
        );
    }
}

/// The right that counts is tried: a replication session is opened and closed again.
async fn look_at_role(settings: &SourceSettings, role: &Role, report: &mut Report) -> Option<System> {
    let user = PgIdent::new(&role.name);
    let opened = async {
        let mut connection = Connection::connect(&settings.database, Purpose::Replication).await?;
        replication::identify_system(&mut connection).await
    };
    match opened.await {
        Ok(system) => {
            report.add(ROLE, Mark::Ok, format!("role {} may replicate", role.name));
            Some(system)
        }
        Err(error) if error.code() == Some("42501") || !(role.may_replicate || role.is_superuser) => {
            report.mend(
                ROLE,
                Mark::Fail,
                format!("role {} may not replicate", role.name),
                [
                    format!("ALTER ROLE {user} REPLICATION;"),
                    format!("on RDS: GRANT rds_replication TO {user};"),
                ],
            );
            None
        }
        Err(error) => {
            let (text, hints) = chain(error);
            report.mend(ROLE, Mark::Fail, format!("a replication session cannot be opened: {text}"), hints);
            None
        }
    }
}

/// SELECT for the snapshot, and what making or changing the publication takes.
async fn look_at_rights(
    settings: &SourceSettings,
    control: &Client,
    (role, captured): (&Role, &[Table]),
    published: tables::Published,
    report: &mut Report,
) -> Result<(), cdcd_postgres::Error> {
    let user = PgIdent::new(&role.name);
    let rights = health::rights(control, &captured.iter().map(|table| table.oid).collect::<Vec<_>>()).await?;
    let mut mend = Vec::new();
    let mut unreadable = Vec::new();
    for (table, right) in captured.iter().zip(&rights).filter(|(_, right)| !right.may_select) {
        unreadable.push(tables::name(table));
        if !right.may_use_schema {
            mend.push(format!("GRANT USAGE ON SCHEMA {} TO {user};", PgIdent::new(&table.schema)));
        }
        mend.push(format!("GRANT SELECT ON {} TO {user};", tables::quoted(table)));
    }
    mend.dedup();
    let reads = settings.snapshot.mode != SnapshotMode::NoData;
    if !unreadable.is_empty() {
        let (mark, what) = if reads {
            (Mark::Fail, "and the snapshot reads them")
        } else {
            (Mark::Warn, "which only a snapshot needs")
        };
        let text = format!("role {} has no SELECT on {}, {what}", role.name, unreadable.join(", "));
        report.mend(ROLE, mark, text, mend);
    } else if !captured.is_empty() {
        report.add(
            ROLE,
            Mark::Ok,
            format!("role {} may read all {} captured tables", role.name, captured.len()),
        );
    }
    look_at_owners(settings, (role, captured, &rights), published, report);
    Ok(())
}

fn look_at_owners(
    settings: &SourceSettings,
    (role, captured, rights): (&Role, &[Table], &[health::Right]),
    published: tables::Published,
    report: &mut Report,
) {
    use tables::Published;
    let wanted = &settings.publication;
    let (user, name) = (PgIdent::new(&role.name), PgIdent::new(&wanted.name));
    if role.is_superuser || published == Published::Fits {
        return;
    }
    let database = PgIdent::new(&settings.database.database);
    match (published, wanted.auto_create) {
        (Published::Missing, AutoCreate::AllTables) => report.mend(
            ROLE,
            Mark::Fail,
            format!(
                "role {} is no superuser, and only a superuser can make publication {} FOR ALL TABLES",
                role.name, wanted.name
            ),
            [
                format!("CREATE PUBLICATION {name} FOR ALL TABLES; -- as a superuser"),
                "or set publication.autocreate.mode=filtered".to_owned(),
            ],
        ),
        (Published::Missing, AutoCreate::Filtered | AutoCreate::NoTables) if !role.may_create => report.mend(
            ROLE,
            Mark::Fail,
            format!("role {} may not make publication {}", role.name, wanted.name),
            [format!("GRANT CREATE ON DATABASE {database} TO {user};")],
        ),
        _ => {}
    }
    if wanted.auto_create == AutoCreate::Filtered {
        let foreign: Vec<&Table> = captured
            .iter()
            .zip(rights)
            .filter(|(_, right)| !right.is_owner)
            .map(|(table, _)| table)
            .collect();
        if !foreign.is_empty() {
            let list: Vec<String> = foreign.iter().map(|table| tables::quoted(table)).collect();
            report.mend(
                ROLE,
                Mark::Fail,
                format!(
                    "role {} owns {} of the captured tables not, and only an owner can publish a table",
                    role.name,
                    foreign.len()
                ),
                [
                    format!("CREATE PUBLICATION {name} FOR TABLE {}; -- as their owner", list.join(", ")),
                    "and set publication.autocreate.mode=disabled".to_owned(),
                ],
            );
        }
    }
}

/// Bytes as people write them.
pub(super) fn size(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["bytes", "kB", "MB", "GB", "TB"];
    let mut value = bytes;
    let mut unit = 0;
    while value >= 10 * 1024 && unit + 1 < UNITS.len() {
        value /= 1024;
        unit += 1;
    }
    // Whole multiples read better in the larger unit.
    while value >= 1024 && value % 1024 == 0 && unit + 1 < UNITS.len() {
        value /= 1024;
        unit += 1;
    }
    format!("{value} {}", UNITS.get(unit).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_in_the_unit_that_fits() {
        assert_eq!(size(64 << 20), "64 MB");
        assert_eq!(size(1 << 30), "1 GB");
        assert_eq!(size(500), "500 bytes");
        assert_eq!(size(1_500_000), "1464 kB");
    }
}
