//! Slot and stored position, judged by the same guards as a start.

use cdcd_postgres::health::Server;
use cdcd_postgres::replication::System;
use cdcd_postgres::slot::{self, SlotInfo};
use tokio_postgres::Client;

use super::Brokers;
use super::heard::listen;
use super::report::{Mark, Report};
use super::source::size;
use crate::capture::Accept;
use crate::capture::publication;
use crate::capture::start::{self, Decision, Facts, SnapshotNeed};
use crate::capture::store::Store;
use crate::connector::source::SourceSettings;
use crate::exit::Failure;

const SLOT: &str = "slot and position";

/// Everything about where a start would go on.
pub(super) async fn look(
    settings: &SourceSettings,
    control: &Client,
    (server, system): (&Server, Option<&System>),
    brokers: Brokers,
    report: &mut Report,
) -> Result<(), cdcd_postgres::Error> {
    let name = &settings.slot.name;
    let found = slot::find(control, name).await?;
    match &found {
        None if server.slots_used >= server.slots_max => report.mend(
            SLOT,
            Mark::Fail,
            format!("slot {name} does not exist, and no slot is free for it"),
            [format!(
                "ALTER SYSTEM SET max_replication_slots = {};\nthen restart the server",
                server.slots_max + 10
            )],
        ),
        None => report.add(SLOT, Mark::Ok, format!("slot {name} does not exist yet")),
        Some(found) => look_at_slot(name, found, server, report),
    }
    if brokers == Brokers::Silent {
        report.add(
            SLOT,
            Mark::Warn,
            "where a start would go on cannot be told: the position is kept in Kafka",
        );
        return Ok(());
    }
    let kept = match Store::new(settings).kept(settings).await {
        Ok(kept) => kept,
        Err(failure) => {
            tell(&failure, Mark::Warn, "the stored position cannot be read", report);
            return Ok(());
        }
    };
    let position = kept.position;
    match &position {
        None => report.add(SLOT, Mark::Ok, "no position is stored: this is a first start"),
        Some(position) => report.add(SLOT, Mark::Ok, format!("stored position: {position}")),
    }
    let Some(system) = system else { return Ok(()) };
    let store = Store::new(settings);
    let cluster_id = store.cluster_id(settings).await.unwrap_or_default();
    let trace = match (&position, &found) {
        (None, Some(_)) => store.trace(settings).await.unwrap_or_default(),
        _ => None,
    };
    let facts = Facts {
        system,
        history: &[],
        position: position.as_ref(),
        slot: found.as_ref(),
        cluster_id: &cluster_id,
        trace: trace.as_deref(),
    };
    let (decision, warnings) = listen(|| start::decide(settings, &facts, Accept::default()));
    for warning in warnings {
        report.add(SLOT, Mark::Warn, warning);
    }
    match decision {
        Ok(decision) => report.add(SLOT, Mark::Ok, format!("a start {}", describe(&decision))),
        Err(failure) => {
            tell(&failure, Mark::Fail, "a start would stop", report);
        }
    }
    let Some(position) = &position else { return Ok(()) };
    let topics = store.check_topics(settings, position, Accept::default()).await;
    let publication = publication::check(settings, control, kept.publication, false).await;
    for failure in [topics.map(|_| ()), publication].into_iter().filter_map(Result::err) {
        tell(&failure, Mark::Fail, "a start would stop", report);
    }
    Ok(())
}

fn look_at_slot(name: &str, slot: &SlotInfo, server: &Server, report: &mut Report) {
    let confirmed = slot.confirmed_flush_lsn.map_or("nothing".to_owned(), |lsn| lsn.to_string());
    let behind = slot.restart_lsn.map(|lsn| server.wal_end.0.saturating_sub(lsn.0) as i64);
    let kept = behind.map_or(String::new(), |bytes| format!(", {} of WAL kept for it", size(bytes)));
    let text = format!("slot {name} exists, confirmed up to {confirmed}{kept}");
    match slot.wal_status.as_deref() {
        Some("unreserved" | "extended") => report.mend(
            SLOT,
            Mark::Warn,
            format!("{text}: beyond max_wal_size ({})", slot.wal_status.as_deref().unwrap_or_default()),
            ["start the capture soon, or drop the slot if nobody needs it"],
        ),
        // The guard below says what a lost slot means.
        _ => report.add(SLOT, Mark::Ok, text),
    }
    if let Some(pid) = slot.active_pid {
        report.mend(
            SLOT,
            Mark::Warn,
            format!("slot {name} is in use by server process {pid}: a start waits for it, then stops"),
            [
                format!(
                    "SELECT application_name, client_addr, state FROM pg_stat_activity WHERE pid = {pid};"
                ),
                format!("SELECT pg_terminate_backend({pid}); -- only if that one should not run"),
            ],
        );
    }
}

fn describe(decision: &Decision) -> String {
    match decision {
        Decision::CreateSlot { snapshot: true, lineage: 0, .. } => {
            "makes the slot, reads a snapshot, then streams".to_owned()
        }
        Decision::CreateSlot { snapshot: true, .. } => {
            "makes a new slot, reads a new snapshot, then streams".to_owned()
        }
        Decision::CreateSlot { snapshot: false, .. } => {
            "makes the slot and streams from there, without a snapshot".to_owned()
        }
        Decision::Resume { from, snapshot: SnapshotNeed::Read, .. } => {
            format!("reads a snapshot, then streams from {from}")
        }
        Decision::Resume { from, snapshot: SnapshotNeed::Continue(progress), .. } => {
            let done = progress.tables.iter().filter(|table| table.done).count();
            format!(
                "goes on with the snapshot ({done} of {} tables are done), then streams from {from}",
                progress.tables.len()
            )
        }
        Decision::Resume { from, .. } => format!("goes on at {from}"),
    }
}

fn tell(failure: &Failure, mark: Mark, what: &str, report: &mut Report) {
    let text = failure.render();
    let first = text.lines().next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(first);
    report.mend(SLOT, mark, format!("{what}: {first}"), failure.hints.clone());
}
