//! Where a capture starts: position, slot and server, looked at together.
//!
//! The order matters: who is the server, what does the position say, what does the slot say. Nothing that
//! exists is ever repaired in silence; every doubt is a named stop.

use cdcd_capture::position::{OpenTransaction, Position};
use cdcd_pgoutput::Lsn;
use cdcd_postgres::replication::System;
use cdcd_postgres::slot::SlotInfo;

use crate::connector::source::{SnapshotMode, SourceSettings};
use crate::exit::Failure;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Create the slot, then snapshot or stream from its consistent point.
    CreateSlot { snapshot: bool, lineage: u32 },
    /// The slot is there.
    Resume {
        from: Lsn,
        last_commit: Option<Lsn>,
        /// The part of the next transaction that is in Kafka, too.
        open: Option<OpenTransaction>,
        /// Read a snapshot first; its rows are marked with `from`. The number is the attempt.
        snapshot: Option<u32>,
        lineage: u32,
    },
}

/// Looks at the facts.
pub(crate) fn decide(
    settings: &SourceSettings,
    system: &System,
    position: Option<&Position>,
    slot: Option<&SlotInfo>,
) -> Result<Decision, Failure> {
    if let Some(slot) = slot {
        check_slot(settings, slot)?;
    }
    let mode = settings.snapshot.mode;
    let wants_data = mode != SnapshotMode::NoData;
    match (position, slot) {
        (None, None) => Ok(Decision::CreateSlot { snapshot: wants_data, lineage: 0 }),
        (None, Some(slot)) => {
            let from = slot.confirmed_flush_lsn.unwrap_or(Lsn::ZERO);
            tracing::warn!(
                slot = settings.slot.name, lsn = %from,
                "no stored position, but the slot exists: starting at what was confirmed on it"
            );
            let snapshot = wants_data.then_some(1);
            Ok(Decision::Resume { from, last_commit: None, open: None, snapshot, lineage: 0 })
        }
        (Some(position), slot) => {
            check_server(system, position)?;
            resume(settings, position, slot)
        }
    }
}

fn resume(
    settings: &SourceSettings,
    position: &Position,
    slot: Option<&SlotInfo>,
) -> Result<Decision, Failure> {
    let done = position.done_end_lsn.0;
    let mode = settings.snapshot.mode;
    let lost = slot.is_some_and(|slot| slot.wal_status.as_deref() == Some("lost"));
    let Some(slot) = slot.filter(|_| !lost) else {
        return match mode {
            SnapshotMode::WhenNeeded if !lost => {
                tracing::warn!(
                    slot = settings.slot.name,
                    "the slot is gone: snapshot.mode=when_needed starts a new lineage with a snapshot"
                );
                Ok(Decision::CreateSlot { snapshot: true, lineage: position.lineage + 1 })
            }
            _ => Err(slot_lost(settings, position, lost)),
        };
    };
    if let Some(confirmed) = slot.confirmed_flush_lsn
        && confirmed > done
    {
        return Err(Failure::guard(
            "E_GAP_SLOT_AHEAD",
            format!(
                "slot {} was confirmed up to {confirmed}, our position is {done}: somebody else consumed or advanced it",
                settings.slot.name
            ),
        )
        .hint("the changes between the two are gone from the slot: take a new snapshot under another name, or drop slot and position topic"));
    }
    let snapshot = match &position.snapshot {
        Some(progress) => {
            tracing::warn!(
                attempt = progress.attempt + 1,
                "the snapshot was interrupted: its tables are read again"
            );
            Some(progress.attempt + 1)
        }
        None if mode == SnapshotMode::Always => Some(1),
        None => None,
    };
    Ok(Decision::Resume {
        from: done,
        last_commit: position.last_commit_lsn.map(|lsn| lsn.0),
        open: position.open.clone(),
        snapshot,
        lineage: position.lineage,
    })
}

fn slot_lost(settings: &SourceSettings, position: &Position, lost: bool) -> Failure {
    let facts = match lost {
        true => format!(
            "slot {} has lost WAL that was not read (max_slot_wal_keep_size); our position is {position}",
            settings.slot.name
        ),
        false => format!("slot {} does not exist, but our position is {position}", settings.slot.name),
    };
    Failure::guard("E_GAP_SLOT_LOST", facts).hint(format!(
        "changes after {position} cannot be read any more: set snapshot.mode=when_needed to take a new snapshot, \
         or drop the topic {} to start from nothing",
        cdcd_capture::position::topic(&settings.name)
    ))
}

/// G6: a slot that is not ours to use.
fn check_slot(settings: &SourceSettings, slot: &SlotInfo) -> Result<(), Failure> {
    let name = &settings.slot.name;
    let wrong = |what: String| {
        Err(Failure::configuration(format!("slot {name}: {what}"))
            .hint("choose another slot.name, or drop the slot: SELECT pg_drop_replication_slot(…)"))
    };
    match (&slot.plugin, &slot.database) {
        (Some(plugin), _) if plugin != "pgoutput" => {
            wrong(format!("it decodes with {plugin}, not with pgoutput"))
        }
        (None, _) => wrong("it is a physical slot".to_owned()),
        (_, Some(database)) if *database != settings.database.database => {
            wrong(format!("it belongs to database {database}, not to {}", settings.database.database))
        }
        _ if slot.temporary => wrong("it is temporary and vanishes with its session".to_owned()),
        _ if slot.two_phase => {
            wrong("it decodes prepared transactions (two_phase), which would tear them".to_owned())
        }
        _ => Ok(()),
    }
}

/// G1 and G3: the server that the position was made on, and not an earlier state of it.
fn check_server(system: &System, position: &Position) -> Result<(), Failure> {
    if system.system_id != position.system_id {
        return Err(Failure::guard(
            "E_DIVERGED",
            format!(
                "the position was made on the server with system identifier {}, this one has {}",
                position.system_id, system.system_id
            ),
        )
        .hint(
            "a restored or upgraded server, or a wrong address: LSNs of one server mean nothing on another",
        ));
    }
    let done = position.done_end_lsn.0;
    if system.wal_end < done {
        return Err(Failure::guard(
            "E_SERVER_BEHIND",
            format!("the server's log ends at {}, our position is {done}", system.wal_end),
        )
        .hint("the server was restored to an earlier time or lost its newest commits: PostgreSQL would skip changes in silence"));
    }
    if system.timeline != position.timeline {
        tracing::warn!(
            stored = position.timeline,
            server = system.timeline,
            "the server is on another timeline: it was promoted"
        );
    }
    Ok(())
}
