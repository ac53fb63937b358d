//! What goes wrong: a schedule drawn from the seed. Most of it passes; some of it ends with a guard's stop.

use crate::capture_node::CaptureNode;
use crate::endings;
use crate::time::{MINUTE, MS, Nanos, SECOND};
use crate::world::{CALM, Event, World, trace};

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    KillCapture,
    StopCapture,
    PauseCapture,
    SecondCapture,
    CrashPostgres,
    CutWire,
    StallWire,
    KafkaAway,
    LeaderChange,
    KillAtStart,
    SlowLarge,
    KillSink,
    KillSinks,
    StopSink,
    PauseSink,
    JoinSink,
    ChannelsInvalid,
    SnowflakeAway,
    KeysMove,
    PartitionsAdded,
    // What follows ends with a guard.
    SlotAdvanced,
    SlotAdvancedAtStart,
    SlotDropped,
    SlotMadeAgain,
    SlotLost,
    SlotForeign,
    SlotHeld,
    OtherServer,
    OldTimeline,
    PointInTime,
    OldImage,
    RowFilter,
    TopicRecreated,
    PositionsLost,
    PositionForeign,
    TransactionsRefused,
    OtherCluster,
    TableRecreated,
    TableUnpublished,
    PublicationChanged,
    PublicationDropped,
    SpoolCorrupt,
    RowsRejected,
    LogTruncated,
    RetentionPassed,
    TokenOverwritten,
    CommitsStall,
    TokensWentBack,
    ChannelsForgotten,
    ChannelsContended,
    LedgerContended,
    RowsDoubled,
    RowsLost,
    RecordMalformed,
    RecordStrange,
    RowTooLarge,
    RequestRefused,
}

use Fault::*;

const PASSING: &[Fault] = &[
    KillCapture,
    KillCapture,
    StopCapture,
    StopCapture,
    PauseCapture,
    SecondCapture,
    CrashPostgres,
    CrashPostgres,
    CutWire,
    StallWire,
    KafkaAway,
    LeaderChange,
    KillAtStart,
    SlowLarge,
    KillSink,
    KillSink,
    StopSink,
    PauseSink,
    PauseSink,
    JoinSink,
    ChannelsInvalid,
    SnowflakeAway,
    KeysMove,
    PartitionsAdded,
];

const ENDING: &[Fault] = &[
    SlotAdvanced,
    SlotAdvancedAtStart,
    SlotDropped,
    SlotMadeAgain,
    SlotLost,
    SlotForeign,
    SlotHeld,
    OtherServer,
    OldTimeline,
    PointInTime,
    PointInTime,
    OldImage,
    RowFilter,
    RowFilter,
    TopicRecreated,
    PositionsLost,
    PositionForeign,
    TransactionsRefused,
    OtherCluster,
    RowsRejected,
    RowsRejected,
    LogTruncated,
    LogTruncated,
    RetentionPassed,
    RetentionPassed,
    TokenOverwritten,
    CommitsStall,
    CommitsStall,
];

/// Draws what will go wrong.
pub(crate) fn schedule(world: &mut World) {
    for _ in 0..world.rng.u32(5..20) {
        let at = world.between(20 * SECOND, CALM - 2 * MINUTE);
        let fault = PASSING[world.rng.usize(0..PASSING.len())];
        world.push(at, Event::Fault(fault));
        // Misfortunes come together.
        if matches!(fault, LeaderChange | PauseCapture) {
            let after = world.between(0, 3 * SECOND);
            let then = if fault == LeaderChange { KillCapture } else { SecondCapture };
            world.push(at + after, Event::Fault(then));
        }
    }
    // While the snapshot is read.
    for _ in 0..world.rng.u32(0..4) {
        let at = world.between(SECOND, 8 * SECOND);
        let fault = [KillCapture, KillAtStart, StopCapture, KafkaAway, CrashPostgres][world.rng.usize(0..5)];
        world.push(at, Event::Fault(fault));
    }
    for fault in world.focus {
        if *fault == KillAtStart {
            let at = world.between(SECOND, 8 * SECOND);
            world.push(at, Event::Fault(*fault));
        }
        for _ in 0..4 {
            let at = world.between(20 * SECOND, CALM - 4 * MINUTE);
            world.push(at, Event::Fault(*fault));
        }
    }
    if world.rng.u8(0..100) < 55 {
        let at = world.between(8 * MINUTE, 45 * MINUTE);
        let fault = ENDING[world.rng.usize(0..ENDING.len())];
        world.push(at, Event::Fault(fault));
    } else if world.focus.is_empty() {
        endings::draw(world);
    }
}

pub(crate) fn kill_all(world: &mut World) {
    for id in 0..world.captures.len() {
        world.with_capture(id, CaptureNode::end);
    }
}

pub(crate) fn strike(world: &mut World, fault: Fault) {
    let is_sinks = fault as u8 >= RowsRejected as u8
        || (KillSink as u8..=PartitionsAdded as u8).contains(&(fault as u8));
    if world.is_calm() || world.capture_stopped.is_some() && !is_sinks {
        return;
    }
    trace!(world, "fault {fault:?}");
    let alive: Vec<usize> = world.captures.iter().flatten().filter(|n| n.is_alive()).map(|n| n.id).collect();
    match fault {
        KillCapture => {
            let Some(id) = alive.get(world.rng.usize(0..alive.len().max(1))).copied() else { return };
            world.with_capture(id, CaptureNode::end);
            world.fired("capture killed");
        }
        StopCapture => {
            for id in alive {
                world.with_capture(id, |node, _| node.stopping = true);
            }
        }
        PauseCapture => {
            let Some(id) = alive.first().copied() else { return };
            // At the worst moment: with records in an open transaction.
            world.facts.tries += 1;
            let busy = world.captures[id].as_ref().is_some_and(|node| node.has_uncommitted());
            if !busy && world.facts.tries < 200 {
                let again = world.now + world.between(50 * MS, 400 * MS);
                return world.push(again, Event::Fault(fault));
            }
            let until = world.now + world.between(SECOND, 5 * MINUTE);
            excuse_all(world);
            world.with_capture(id, |node, _| node.paused_until = until);
            world.fired("capture paused");
        }
        SecondCapture => {
            if world.rng.bool() {
                world.facts.second_in_commit = true;
            } else {
                world.start_capture();
                world.fired("second capture started");
            }
        }
        KillAtStart => {
            world.facts.kill_at_start = true;
            kill_all(world);
        }
        StallWire | CutWire => {
            let Some(wire) = world.pg.wires.keys().next().copied() else { return };
            if fault == CutWire {
                world.pg.cut(wire);
                world.fired("replication cut");
            } else {
                let until = world.now + world.between(3 * SECOND, 40 * SECOND);
                if let Some(wire) = world.pg.wires.get_mut(&wire) {
                    wire.stalled_until = until;
                }
                world.fired("replication stalled");
            }
        }
        CrashPostgres => {
            let down = world.between(SECOND, 20 * SECOND);
            world.pg.crash(world.now, down);
            world.fired("PostgreSQL crashed");
        }
        KafkaAway => {
            let until = world.now + world.between(SECOND, 100 * SECOND);
            world.kafka.down_until = world.kafka.down_until.max(until);
            world.fired("Kafka away");
        }
        SlowLarge => {
            large(world);
            if world.rng.bool() {
                let after = world.between(2 * SECOND, 6 * SECOND);
                world.push(world.now + after, Event::Fault(StopCapture));
            }
        }
        LeaderChange => {
            world.kafka.lagging_until = world.now + world.between(SECOND, 20 * SECOND);
            world.fired("position topic's leader changed");
        }
        KillSinks => kill_sinks(world),
        KeysMove => keys_move(world),
        KillSink | StopSink | PauseSink | JoinSink | ChannelsInvalid | SnowflakeAway | PartitionsAdded => {
            strike_sink(world, fault);
        }
        RowsRejected | LogTruncated | RetentionPassed | TokenOverwritten | CommitsStall => {
            end_sink(world, fault);
        }
        fault if fault as u8 > CommitsStall as u8 => endings::sink(world, fault),
        _ => end_well_or_not(world, fault),
    }
}

fn strike_sink(world: &mut World, fault: Fault) {
    let now = world.now;
    let alive: Vec<usize> = world.sinks.iter().flatten().filter(|n| n.alive).map(|n| n.id).collect();
    let some = alive.get(world.rng.usize(0..alive.len().max(1))).copied();
    match (fault, some) {
        (KillSink, Some(id)) => {
            world.with_sink(id, |node, _| {
                node.revoke();
                node.alive = false;
            });
            world.fired("sink killed");
            // The group waits for the session of the one that died.
            let session = world.between(SECOND, 45 * SECOND);
            world.push(now + session, Event::Rebalance);
        }
        (StopSink, Some(id)) => world.with_sink(id, |node, world| {
            node.sink.handle_stopping();
            node.stopping = true;
            // One that waits for its first partitions hears of it as well.
            if node.wake_at == Nanos::MAX {
                world.wake_sink(node, world.now);
            }
        }),
        (PauseSink, Some(id)) => {
            let until = now + world.between(20 * SECOND, 4 * MINUTE);
            world.with_sink(id, |node, _| node.paused_until = until);
            world.fired("sink paused");
            world.start_sink();
            world.push(now + 45 * SECOND, Event::Rebalance);
            // It wakes up as an owner of partitions that others have, until it hears of it.
            let hears = world.between(200 * MS, 4 * SECOND);
            world.push(until + hears, Event::Rebalance);
        }
        (JoinSink, _) => world.start_sink(),
        (ChannelsInvalid, _) => {
            world.settle();
            world.snow.invalidate();
            world.fired("channels invalidated");
        }
        (SnowflakeAway, _) => {
            world.snow.down_until = now + world.between(SECOND, 90 * SECOND);
            world.fired("Snowflake away");
        }
        (PartitionsAdded, _) => {
            for topic in &mut world.kafka.topics {
                topic.partitions.push(crate::kafka::Log::default());
            }
            world.fired("partitions added");
            world.rebalance_soon();
        }
        _ => {}
    }
}

/// Partitions are added while what was written before cannot be read yet: changes of a key overtake each other.
fn keys_move(world: &mut World) {
    let until = world.now + world.between(30 * SECOND, 4 * MINUTE);
    for log in world.kafka.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        log.away_until = until;
    }
    world.fired("partitions away");
    large(world);
    world.push(world.now + 3 * SECOND, Event::Fault(PartitionsAdded));
    let then = world.now + world.between(4 * SECOND, 20 * SECOND);
    world.push(then, Event::Fault(SlowLarge));
}

fn kill_sinks(world: &mut World) {
    for id in 0..world.sinks.len() {
        world.with_sink(id, |node, _| {
            node.revoke();
            node.alive = false;
        });
    }
}

/// Faults after which a person must look after the sink.
fn end_sink(world: &mut World, fault: Fault) {
    world.settle();
    match fault {
        RowsRejected => {
            world.snow.reject_next = true;
            match world.rng.u8(0..3) {
                0 => {
                    // The process does not live to see it.
                    let dies = world.between(SECOND, 30 * SECOND);
                    world.push(world.now + dies, Event::Fault(KillSink));
                }
                1 => world.facts.rejection_is_last = true,
                _ => {}
            }
            world.fired("rows rejected");
        }
        LogTruncated => {
            // An unclean election: what was acknowledged and landed is gone from the log. Nobody writes until it shows.
            kill_all(world);
            world.capture_stopped = Some("no capture behind an unclean election".to_owned());
            kill_sinks(world);
            for topic in &mut world.kafka.topics {
                for log in &mut topic.partitions {
                    let keep = log.entries.len() / 2;
                    log.entries.truncate(keep);
                }
            }
            world.checks.truncated = true;
            world.fired("log truncated");
        }
        RetentionPassed => {
            kill_sinks(world);
            let rest = world.between(2 * MINUTE, 5 * MINUTE);
            world.sinks_rest_until = world.now + rest;
            world.push(world.now + rest - SECOND, Event::RetentionPasses);
        }
        CommitsStall => {
            world.facts.commits_stall = true;
            world.fired("commits stall");
        }
        _ => {
            world.snow.overwrite_tokens("4711");
            world.facts.token_overwritten = true;
            world.fired("token overwritten");
        }
    }
}

/// Retention deletes what no sink has read.
pub(crate) fn retention_passes(world: &mut World) {
    for topic in 0..world.kafka.topics.len() {
        for partition in 0..world.kafka.topics[topic].partitions.len() {
            let end = world.kafka.stable(topic, partition);
            world.kafka.topics[topic].partitions[partition].base = end;
        }
    }
    world.fired("retention passed the sink");
}

/// A large transaction that comes slowly, so that it is cut.
pub(crate) fn large(world: &mut World) {
    if world.pg.is_up(world.now) && !world.pg.quiet && !world.pg.wires.is_empty() {
        world.large_transaction();
        let after = world.between(210 * MS, 240 * MS);
        world.push(world.now + after, Event::Fault(StallWire));
        world.fired("large transaction");
    }
}

fn excuse_all(world: &mut World) {
    let wires: Vec<u64> = world.pg.wires.keys().copied().collect();
    world.facts.excused.extend(wires);
}

/// Faults after which a person must look.
fn end_well_or_not(world: &mut World, fault: Fault) {
    let Some(position) = world.checks.position.clone() else { return };
    let is_reading = position.snapshot.as_ref().is_some_and(|snapshot| !snapshot.complete);
    if is_reading || world.pg.slot.is_none() || !world.pg.is_up(world.now) {
        return;
    }
    match fault {
        SlotAdvanced => {
            // A stranger needs the slot for himself: ours is not there.
            kill_all(world);
            let to = world.pg.flushed;
            if let Some(slot) = &mut world.pg.slot {
                slot.confirmed = to;
            }
            world.fired("slot advanced by a stranger");
        }
        SlotAdvancedAtStart => {
            world.facts.advance_at_start = true;
            kill_all(world);
        }
        SlotDropped | SlotMadeAgain => {
            kill_all(world);
            world.pg.slot = None;
            world.fired("slot dropped");
            if fault == SlotMadeAgain {
                world.pg.running.clear();
                world.pg.write(4096);
                world.pg.create_slot();
                world.fired("slot made again");
            }
        }
        SlotLost | SlotForeign => {
            kill_all(world);
            if let Some(slot) = &mut world.pg.slot {
                match fault {
                    SlotLost => slot.lost = true,
                    _ => slot.plugin = "test_decoding",
                }
            }
            world.fired(if fault == SlotLost { "slot invalidated" } else { "slot of another plugin" });
        }
        SlotHeld => {
            // A stranger reads from it, and acknowledges nothing.
            kill_all(world);
            let stranger = world.pg.start(0, world.now).ok();
            world.facts.excused.extend(stranger);
            world.facts.stranger = stranger;
            world.fired("slot held by a stranger");
        }
        OtherServer => {
            kill_all(world);
            world.pg.system_id += 1;
            world.fired("another server");
        }
        OldTimeline => {
            // The old primary comes back after we have followed the new one.
            kill_all(world);
            world.pg.timeline = 0;
            world.fired("old primary");
        }
        PointInTime | OldImage => back(world, fault),
        RowFilter => {
            world.facts.hide_when_cut = true;
            large(world);
        }
        TopicRecreated => {
            kill_all(world);
            let topic =
                usize::from(world.kafka.topics[0].partitions.iter().all(|log| log.entries.is_empty()));
            if position.topics.is_empty() {
                return;
            }
            world.kafka.recreate(topic);
            world.facts.topic_recreated = true;
            world.fired("topic made again");
        }
        PositionsLost => {
            kill_all(world);
            world.kafka.lose_positions();
            world.fired("positions lost");
        }
        PositionForeign => {
            // A process of a version to come wrote it.
            kill_all(world);
            world.kafka.write_position(br#"{"v":99}"#.to_vec());
            world.facts.position_foreign = true;
            world.fired("position of another version");
        }
        TransactionsRefused => {
            kill_all(world);
            world.facts.transactions_refused = true;
            world.fired("transactions refused");
        }
        OtherCluster => {
            kill_all(world);
            world.kafka.cluster_id = "cluster-2";
            world.facts.cluster_changed = true;
            world.fired("another Kafka cluster");
        }
        TableRecreated | TableUnpublished | PublicationChanged | PublicationDropped | SpoolCorrupt => {
            endings::source(world, fault);
        }
        _ => {}
    }
}

/// The server as it was some transactions ago.
fn back(world: &mut World, fault: Fault) {
    let depth = world.rng.usize(0..8);
    let keep = world.pg.log.len().saturating_sub(depth);
    // Never before the slot was made.
    let done = world.checks.position.as_ref().map_or(0, |position| position.done_end_lsn.0.0);
    let end = world.pg.log.get(keep.wrapping_sub(1)).map_or(0, |tx| tx.end_lsn);
    if end < world.checks.slot_point || keep == 0 {
        return;
    }
    world.pg.go_back(keep, fault == PointInTime);
    world.checks.history_cut(end);
    if fault == PointInTime {
        world.fired("recovered to a point in time");
    } else {
        world.fired("old image of the server");
        // It goes on where nobody can tell the difference any more, unless it is looked at before.
        world.pg.quiet = done > end;
    }
}

/// What may happen between the look at the slot and the start of the stream.
pub(crate) fn between_look_and_start(world: &mut World) {
    if std::mem::take(&mut world.facts.advance_at_start) {
        let to = world.pg.flushed;
        if let Some(slot) = &mut world.pg.slot {
            slot.confirmed = slot.confirmed.max(to);
        }
        world.fired("slot advanced before the start");
    }
}
