//! The guards of a start: each a named stop with exit 4, the facts found, and what to do.

use std::collections::BTreeMap;

use cdcd_capture::position::Position;
use cdcd_pgoutput::Lsn;
use cdcd_postgres::slot::SlotInfo;

use super::{Accept, Facts};
use crate::connector::source::SourceSettings;
use crate::exit::Failure;

/// G6: a slot that is not ours to use.
pub(super) fn slot_is_ours(settings: &SourceSettings, slot: &SlotInfo) -> Result<(), Failure> {
    let name = &settings.slot.name;
    let wrong = |what: String| {
        Err(Failure::guard("E_SLOT_FOREIGN", format!("slot {name}: {what}"))
            .hint("choose another slot.name, or drop the slot:")
            .hint(format!("SELECT pg_drop_replication_slot('{name}');")))
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

/// A position speaks of the topics of one cluster.
pub(super) fn cluster_is_the_same(
    position: &Position,
    cluster_id: &str,
    accept: Accept,
) -> Result<(), Failure> {
    if position.cluster_id.is_empty() || cluster_id.is_empty() || position.cluster_id == cluster_id {
        return Ok(());
    }
    let facts = format!(
        "the position was made on the Kafka cluster {}, this one is {cluster_id}: what it says is in Kafka may not be",
        position.cluster_id
    );
    if accept.position {
        tracing::warn!("--accept-position: {facts}");
        return Ok(());
    }
    Err(Failure::guard("E_CLUSTER_CHANGED", facts).hint(
        "check bootstrap.servers; if the topics were mirrored here completely, --accept-position goes on, for one start",
    ))
}

/// G1, G2 and G3: the server that the position was made on, and not another history or an earlier state of it.
pub(super) fn server_goes_on(facts: &Facts<'_>, position: &Position) -> Result<(), Failure> {
    let (system, done) = (facts.system, position.done_end_lsn.0);
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
    if system.timeline < position.timeline {
        return Err(Failure::guard(
            "E_TIMELINE",
            format!(
                "the position was made on timeline {}, the server is on {}: an old primary came back",
                position.timeline, system.timeline
            ),
        )
        .hint("connect to the server that was promoted"));
    }
    let switch = facts.history.iter().find(|(timeline, _)| *timeline == position.timeline);
    if let Some((timeline, switch)) = switch
        && done > *switch
    {
        return Err(Failure::guard(
            "E_DIVERGED",
            format!(
                "timeline {timeline} ended at {switch} when the server was promoted, and events up to {done} are in \
                 Kafka: the server never had the changes between the two"
            ),
        )
        .hint("consumers have changes that were rolled back by the failover: take a new snapshot"));
    }
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
            "the server was promoted behind our position: going on"
        );
    }
    Ok(())
}

/// G4: why the server cannot give what lies behind the slot any more.
pub(super) fn why_lost(slot: &SlotInfo) -> Option<String> {
    match (&slot.invalidation_reason, slot.wal_status.as_deref()) {
        (Some(reason), _) => Some(reason.clone()),
        (None, Some("lost")) => Some("wal_removed (max_slot_wal_keep_size)".to_owned()),
        _ if slot.conflicting => Some("a conflict with recovery".to_owned()),
        _ => None,
    }
}

/// G4.
pub(super) fn slot_gone(settings: &SourceSettings, position: &Position, lost: Option<String>) -> Failure {
    let name = &settings.slot.name;
    let failure = match lost {
        Some(reason) => Failure::guard(
            "E_GAP_SLOT_LOST",
            format!("slot {name} was invalidated: {reason}; our position is {position}"),
        ),
        None => Failure::guard(
            "E_SLOT_MISSING",
            format!("slot {name} does not exist, but our position is {position}"),
        ),
    };
    failure.hint(format!(
        "changes after {position} cannot be read any more: set snapshot.mode=when_needed to take a new snapshot, or go on \
         without them with --accept-loss, for one start"
    ))
}

/// G5.
pub(in super::super) fn slot_is_ahead(settings: &SourceSettings, confirmed: Lsn, done: Lsn) -> Failure {
    Failure::guard(
        "E_GAP_SLOT_AHEAD",
        format!(
            "slot {} was confirmed up to {confirmed}, our position is {done}: somebody else consumed or advanced it",
            settings.slot.name
        ),
    )
    .hint(
        "the changes between the two are gone from the slot: go on without them with --accept-loss, for one start, or \
         take a new snapshot under another name",
    )
}

/// The topics that the position says were written to must be the same ones still.
///
/// # Errors
/// `E_TOPIC_RECREATED` if one is gone or was made anew, unless `accept` consents.
pub fn topics_are_the_same(
    position: &Position,
    ids: &BTreeMap<String, String>,
    accept: Accept,
) -> Result<(), Failure> {
    let Some((topic, _)) = position.topics.iter().find(|(name, id)| ids.get(*name) != Some(*id)) else {
        return Ok(());
    };
    let state = if ids.contains_key(topic) { "was deleted and made again" } else { "was deleted" };
    let facts = format!("topic {topic} {state}: the events that the position says are in it are gone");
    if accept.loss {
        tracing::warn!("--accept-loss: {facts}");
        return Ok(());
    }
    Err(Failure::guard("E_TOPIC_RECREATED", facts).hint(
        "take a new snapshot under another connector name, or go on with what comes now: --accept-loss, for one start",
    ))
}

/// The position topic is empty or gone, and yet this is not a first start.
pub(super) fn position_missing(settings: &SourceSettings, slot: &SlotInfo, trace: &str) -> Failure {
    let confirmed = slot.confirmed_flush_lsn.unwrap_or(Lsn::ZERO);
    Failure::guard(
        "E_POSITION_MISSING",
        format!(
            "topic {} holds no position, but slot {} exists (confirmed up to {confirmed}) and {trace}",
            cdcd_capture::position::topic(&settings.name),
            settings.slot.name
        ),
    )
    .hint("if Debezium ran this connector: cdcd offsets import makes a position of its offset, and nothing is lost or repeated")
    .hint(
        "restore the position topic; or consent to start at what was confirmed on the slot with --accept-position, for \
         one start",
    )
}
