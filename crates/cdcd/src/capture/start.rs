//! Where a capture starts: position, slot, server and cluster, looked at together.
//!
//! The order matters: who is the server, what does the position say, what does the slot say. Nothing that
//! exists is ever repaired in silence; every doubt is a named stop ([`guard`]), and consent to go on is given
//! for one start and logged with what it gives up.

mod guard;

use std::time::Duration;

use cdcd_capture::position::{OpenTransaction, Position, SnapshotProgress};
use cdcd_pgoutput::Lsn;
use cdcd_postgres::replication::System;
use cdcd_postgres::slot::SlotInfo;

use crate::connector::source::{MismatchStrategy, SnapshotMode, SourceSettings};
use crate::exit::Failure;

pub(super) use guard::slot_is_ahead;
pub use guard::topics_are_the_same;

/// Consent to go on where a guard would stop; for one start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Accept {
    /// `--accept-lineage`: another server, or another history of it.
    pub lineage: bool,
    /// `--accept-position`: no position, or one that was made on another cluster.
    pub position: bool,
    /// `--accept-loss`: changes that cannot be read any more.
    pub loss: bool,
}

/// All that is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The server.
    pub system: &'a System,
    /// Where each timeline before the server's ended; only asked for if the position was made on another one.
    pub history: &'a [(u32, Lsn)],
    /// What Kafka says.
    pub position: Option<&'a Position>,
    /// The replication slot, if it exists.
    pub slot: Option<&'a SlotInfo>,
    /// Id of the Kafka cluster; empty if it is not known.
    pub cluster_id: &'a str,
    /// What shows that this connector has run before although there is no position.
    pub trace: Option<&'a str>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Create the slot, then snapshot or stream from its consistent point.
    CreateSlot { snapshot: bool, lineage: u32, replace: bool },
    /// The slot is there.
    Resume {
        from: Lsn,
        last_commit: Option<Lsn>,
        /// Time of that commit, µs since 1970.
        last_commit_us: Option<i64>,
        /// The part of the next transaction that is in Kafka, too.
        open: Option<OpenTransaction>,
        snapshot: SnapshotNeed,
        lineage: u32,
    },
}

/// What is left of a snapshot where the slot exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotNeed {
    /// Nothing.
    None,
    /// All of it.
    Read,
    /// What an interrupted one has not read.
    Continue(SnapshotProgress),
    /// Nothing, but the stream is not past what its attempts have seen.
    Remember(SnapshotProgress),
}

/// Looks at the facts.
///
/// # Errors
/// A guard's stop.
pub fn decide(settings: &SourceSettings, facts: &Facts<'_>, accept: Accept) -> Result<Decision, Failure> {
    if let Some(slot) = facts.slot {
        guard::slot_is_ours(settings, slot)?;
    }
    let Some(position) = facts.position else { return first_start(settings, facts, accept) };
    guard::cluster_is_the_same(position, facts.cluster_id, accept)?;
    if let Err(failure) = guard::server_goes_on(facts, position) {
        if !accept.lineage {
            return Err(
                failure.hint("--accept-lineage starts anew here under the next lineage, for one start")
            );
        }
        tracing::warn!(
            error = failure.render(),
            position = %position,
            "--accept-lineage: the position means nothing here and is given up, the lineage goes up by one"
        );
        return Ok(anew(settings, facts, position.lineage + 1));
    }
    resume(settings, facts, position, accept)
}

/// G5 once more, after the start of the stream.
///
/// # Errors
/// `E_GAP_SLOT_AHEAD` if the slot was confirmed beyond `from` meanwhile.
pub fn slot_is_not_ahead(settings: &SourceSettings, confirmed: Lsn, from: Lsn) -> Result<(), Failure> {
    if confirmed > from { Err(slot_is_ahead(settings, confirmed, from)) } else { Ok(()) }
}

/// A transaction that was cut goes on with the options that it began with, because its changes are counted.
pub(super) fn replayed_options(wanted: String, position: Option<&Position>) -> String {
    match position.filter(|position| position.open.is_some()) {
        Some(position) if position.stream_options != wanted => {
            tracing::warn!(
                stored = position.stream_options,
                wanted,
                "a transaction is half done: streaming with the options that it began with until the next start"
            );
            position.stream_options.clone()
        }
        _ => wanted,
    }
}

/// The server ends a connection that stays silent for `wal_sender_timeout`, and while Kafka blocks its questions
/// wait unread behind data: so speak three times as often, whatever the property says.
pub fn status_interval(configured: Duration, wal_sender_timeout: Option<Duration>) -> Duration {
    wal_sender_timeout.map_or(configured, |timeout| configured.min(timeout / 3))
}

impl SnapshotNeed {
    /// What the stream must know of a snapshot that is complete.
    pub fn remembered(&self) -> Option<SnapshotProgress> {
        match self {
            SnapshotNeed::Remember(progress) => Some(progress.clone()),
            _ => None,
        }
    }
}

/// No position: what does the slot say?
fn first_start(settings: &SourceSettings, facts: &Facts<'_>, accept: Accept) -> Result<Decision, Failure> {
    if let (Some(slot), Some(trace)) = (facts.slot, facts.trace) {
        if !accept.position {
            return Err(guard::position_missing(settings, slot, trace));
        }
        tracing::warn!(trace, "--accept-position: starting although this connector has run before");
    }
    Ok(anew(settings, facts, 0))
}

/// As if there had never been a position.
fn anew(settings: &SourceSettings, facts: &Facts<'_>, lineage: u32) -> Decision {
    let snapshot = settings.snapshot.mode != SnapshotMode::NoData;
    let Some(slot) = facts.slot else { return Decision::CreateSlot { snapshot, lineage, replace: false } };
    let from = slot.confirmed_flush_lsn.unwrap_or(Lsn::ZERO);
    tracing::warn!(
        slot = settings.slot.name, lsn = %from,
        "no stored position, but the slot exists: starting at what was confirmed on it"
    );
    let snapshot = if snapshot { SnapshotNeed::Read } else { SnapshotNeed::None };
    Decision::Resume { from, last_commit: None, last_commit_us: None, open: None, snapshot, lineage }
}

fn resume(
    settings: &SourceSettings,
    facts: &Facts<'_>,
    position: &Position,
    accept: Accept,
) -> Result<Decision, Failure> {
    let done = position.done_end_lsn.0;
    let lost = facts.slot.and_then(guard::why_lost);
    let Some(slot) = facts.slot.filter(|_| lost.is_none()) else {
        return slot_gone(settings, facts, position, accept, lost);
    };
    let confirmed = slot.confirmed_flush_lsn.unwrap_or(Lsn::ZERO);
    if confirmed > done {
        let failure = slot_is_ahead(settings, confirmed, done);
        let trusts_slot = settings.slot.mismatch == MismatchStrategy::TrustSlot;
        if !accept.loss && !trusts_slot {
            return Err(failure);
        }
        tracing::warn!(
            from = %done, to = %confirmed,
            "--accept-loss or offset.mismatch.strategy: the changes between the two are given up, the lineage goes up \
             by one"
        );
        let lineage = position.lineage + 1;
        return Ok(Decision::Resume {
            from: confirmed,
            last_commit: None,
            last_commit_us: None,
            open: None,
            snapshot: SnapshotNeed::None,
            lineage,
        });
    }
    let snapshot = match &position.snapshot {
        Some(progress) if !progress.complete => {
            tracing::warn!(
                attempt = progress.attempt + 1,
                "the snapshot was interrupted: going on with what it has not read"
            );
            SnapshotNeed::Continue(progress.clone())
        }
        _ if settings.snapshot.mode == SnapshotMode::Always => SnapshotNeed::Read,
        Some(progress) => SnapshotNeed::Remember(progress.clone()),
        None => SnapshotNeed::None,
    };
    Ok(Decision::Resume {
        from: done,
        last_commit: position.last_commit_lsn.map(|lsn| lsn.0),
        last_commit_us: position.last_commit_us,
        open: position.open.clone(),
        snapshot,
        lineage: position.lineage,
    })
}

/// The changes behind the position cannot be read any more.
fn slot_gone(
    settings: &SourceSettings,
    facts: &Facts<'_>,
    position: &Position,
    accept: Accept,
    lost: Option<String>,
) -> Result<Decision, Failure> {
    let (lineage, replace) = (position.lineage + 1, facts.slot.is_some());
    if settings.snapshot.mode == SnapshotMode::WhenNeeded {
        tracing::warn!(
            slot = settings.slot.name,
            lineage,
            "the slot is gone: snapshot.mode=when_needed starts a new lineage with a snapshot"
        );
        return Ok(Decision::CreateSlot { snapshot: true, lineage, replace });
    }
    let failure = guard::slot_gone(settings, position, lost);
    if !accept.loss {
        return Err(failure);
    }
    tracing::warn!(
        error = failure.render(),
        "--accept-loss: all changes after the position up to now are given up, the lineage goes up by one"
    );
    Ok(Decision::CreateSlot { snapshot: false, lineage, replace })
}
