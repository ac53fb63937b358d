//! One seed's world: a clock, a queue of what will happen, the systems, the processes, and what is watched.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;

use cdcd::connector::source::SourceSettings;
use cdcd::exit::{Exit, Failure};
use cdcd_capture::position::Position;
use cdcd_pgoutput::replication::StandbyStatusUpdate;
use cdcd_sink::offset_token::{OffsetToken, TopicId, channel_name};
use cdcd_sink::{Action, StopReason};

use crate::bugs::Bug;
use crate::capture_node::{CaptureNode, Phase, Request};
use crate::checkers::{Checks, show_eid};
use crate::faults::{self, Fault};
use crate::kafka::{Kafka, Refusal, Upto};
use crate::postgres::{Change, Op, Postgres, Row, TABLES};
use crate::settings;
use crate::sink_node::{Answer, Attempt, Place, SinkNode, reason_name};
use crate::snowflake::Snowflake;
use crate::time::{MINUTE, MS, Nanos, SECOND};

/// Length of a seed.
pub(crate) const HOUR: Nanos = 60 * MINUTE;
/// No fault begins after this, and what lasts ends.
pub(crate) const CALM: Nanos = 50 * MINUTE;
/// The source writes nothing after this.
pub(crate) const QUIET: Nanos = 54 * MINUTE;
/// Time that a capture has to be at the end after that.
const CAPTURE_DRAINS: Nanos = 60 * SECOND;

/// What may be going to happen.
#[derive(Debug)]
pub(crate) enum Event {
    Transact,
    Work { xid: u32, changes: u32 },
    CommitTx { xid: u32 },
    Show { xid: u32 },
    Noise,
    Checkpoint,
    Timers,
    Supervise,
    Wake { node: usize },
    Request(Arrived),
    KafkaAnswers,
    Ended { node: usize, life: u64, serial: u64, result: Result<u32, Refusal> },
    Status { wire: u64, update: StandbyStatusUpdate },
    Fault(Fault),
    Drained,
    WakeSink { sink: usize },
    Attempt { sink: usize, attempt: Box<Attempt> },
    Answer { sink: usize, answered: Box<(Action, Answer)> },
    Rebalance,
    RetentionPasses,
    Assign { sink: usize, places: Vec<Place>, generation: u64 },
}

/// A producer's request, at the broker.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) node: usize,
    pub(crate) life: u64,
    pub(crate) epoch: u32,
    pub(crate) request: Request,
}

struct Entry {
    at: Nanos,
    serial: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.serial == other.serial
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}

/// How much the source writes. Most hours are quiet, so that there can be many of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// What the pauses between transactions are multiplied by.
    pause: i64,
    /// How long a process that has nothing to do sleeps.
    pub(crate) nap: Nanos,
    /// How long a sink sleeps that waits for something.
    pub(crate) tick: Nanos,
}

impl Load {
    fn draw(rng: &mut fastrand::Rng) -> Self {
        match rng.u8(0..10) {
            0 => Load { pause: 1, nap: 3 * SECOND, tick: SECOND },
            1..4 => Load { pause: 3, nap: 5 * SECOND, tick: 2 * SECOND },
            _ => Load { pause: 8, nap: 10 * SECOND, tick: 3 * SECOND },
        }
    }
}

pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) load: Load,
    pub(crate) now: Nanos,
    pub(crate) rng: fastrand::Rng,
    queue: BinaryHeap<Reverse<Entry>>,
    /// Requests that Kafka has not taken yet.
    held: VecDeque<Arrived>,
    serial: u64,
    pub(crate) events: u64,
    pub(crate) settings: SourceSettings,
    pub(crate) pg: Postgres,
    pub(crate) kafka: Kafka,
    pub(crate) captures: Vec<Option<Box<CaptureNode>>>,
    pub(crate) snow: Snowflake,
    pub(crate) sinks: Vec<Option<Box<SinkNode>>>,
    /// The consumer group's offsets, with their metadata.
    pub(crate) group: BTreeMap<Place, (i64, String)>,
    pub(crate) generation: u64,
    /// When it got its newest generation.
    rebalanced: Nanos,
    /// No sink runs before this.
    pub(crate) sinks_rest_until: Nanos,
    pub(crate) soft_deletes: bool,
    /// Whether the sink sees event ids; else it orders by the LSN of the change.
    pub(crate) sees_headers: bool,
    pub(crate) stopped_partitions: BTreeSet<Place>,
    pub(crate) checks: Checks,
    pub(crate) bug: Option<Bug>,
    /// Faults that come more often than the seed has it.
    pub(crate) focus: &'static [Fault],
    /// Faults and guards that fired.
    pub(crate) fired: BTreeSet<&'static str>,
    pub(crate) guards: BTreeSet<String>,
    pub(crate) tracing: bool,
    pub(crate) lines: VecDeque<String>,
    /// A guard stopped the capture for good.
    pub(crate) capture_stopped: Option<String>,
    next_value: u32,
    pub(crate) facts: Truth,
}

/// What faults have done, for the judge of stops.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) first_system: u64,
    /// Wires whose silence has a reason.
    pub(crate) excused: BTreeSet<u64>,
    /// Hide a change of a transaction that is cut.
    pub(crate) hide_when_cut: bool,
    pub(crate) hidden: bool,
    /// Advance the slot between the look at it and the start.
    pub(crate) advance_at_start: bool,
    pub(crate) cluster_changed: bool,
    pub(crate) tries: u32,
    /// Start a second process while the first commits.
    pub(crate) second_in_commit: bool,
    /// Kill the process when its stream has just started.
    pub(crate) kill_at_start: bool,
    /// With the next rejected row the sinks die, and the source has nothing more to say.
    pub(crate) rejection_is_last: bool,
    rests: bool,
    pub(crate) topic_recreated: bool,
    /// A connection of somebody else that has our slot.
    pub(crate) stranger: Option<u64>,
    pub(crate) position_foreign: bool,
    pub(crate) transactions_refused: bool,
    pub(crate) token_overwritten: bool,
    /// Snowflake takes more than the deadline to commit.
    pub(crate) commits_stall: bool,
    /// The guard that must notice what was done to the publication.
    pub(crate) publication_guard: Option<&'static str>,
    pub(crate) publication_changed_at: Nanos,
    /// Spools give back what was not written, until it is noticed.
    pub(crate) spool_corrupt: bool,
    pub(crate) spool_was_corrupt: bool,
    pub(crate) tokens_went_back: bool,
    pub(crate) channels_forgotten: bool,
    pub(crate) rows_miscounted: bool,
    /// The guard that a refused append must end in.
    pub(crate) refusal: Option<&'static str>,
    /// A record that nobody of ours wrote: where, and the guard that must stop there.
    pub(crate) foreign: Option<(Place, usize, &'static str)>,
}

macro_rules! trace {
    ($world:expr, $($arg:tt)*) => {
        if $world.tracing {
            let line = format!("{:>11.3}s {}", $world.now as f64 / 1e9, format!($($arg)*));
            $world.note(line);
        }
    };
}
pub(crate) use trace;

impl World {
    pub(crate) fn new(seed: u64, bug: Option<Bug>, focus: &'static [Fault], tracing: bool) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66);
        let system_id = 7_400_000_000_000_000_000 + rng.u64(0..1_000_000);
        let settings = settings::source(rng.bool());
        let moves_back = rng.u8(0..4) == 0;
        let (partitions, new_protocol) = (rng.usize(1..4), rng.u8(0..3) == 0);
        let load = Load::draw(&mut rng);
        let mut world = World {
            seed,
            load,
            now: 0,
            queue: BinaryHeap::new(),
            held: VecDeque::new(),
            serial: 0,
            events: 0,
            settings,
            pg: Postgres::new(system_id, moves_back),
            kafka: Kafka::new(partitions, new_protocol),
            captures: Vec::new(),
            snow: Snowflake::default(),
            sinks: Vec::new(),
            group: BTreeMap::new(),
            generation: 0,
            rebalanced: 0,
            sinks_rest_until: 0,
            soft_deletes: rng.bool(),
            sees_headers: rng.bool(),
            stopped_partitions: BTreeSet::new(),
            checks: Checks::default(),
            bug,
            focus,
            fired: BTreeSet::new(),
            guards: BTreeSet::new(),
            tracing,
            lines: VecDeque::new(),
            capture_stopped: None,
            next_value: 1,
            facts: Truth { first_system: system_id, ..Truth::default() },
            rng,
        };
        // Not drawn: the rest of a seed's history stays what it was.
        world.pg.streams_from = (!seed.is_multiple_of(3)).then_some(1 + (seed % 4) as usize);
        world.fill();
        world.push(0, Event::Transact);
        world.push(SECOND, Event::Supervise);
        world.push(5 * SECOND, Event::Timers);
        let at = world.between(30 * SECOND, 5 * MINUTE);
        world.push(at, Event::Checkpoint);
        world.push(20 * SECOND, Event::Noise);
        faults::schedule(&mut world);
        world.push(QUIET + CAPTURE_DRAINS, Event::Drained);
        world
    }

    /// Rows that are there before the slot is.
    fn fill(&mut self) {
        let xid = self.pg.begin();
        for id in 0..self.rng.i32(0..40) {
            let row = self.row();
            let lsn = self.pg.write(64);
            self.pg.change(xid, lsn, Op::Insert { at: (id as usize % 2, id), row });
        }
        self.commit_tx(xid);
        self.pg.show(xid);
    }

    /// Runs the hour.
    pub(crate) fn run(&mut self) {
        while let Some(Reverse(entry)) = self.queue.pop() {
            if entry.at > HOUR || self.checks.violation.is_some() {
                break;
            }
            self.now = entry.at.max(self.now);
            self.events += 1;
            self.happen(entry.event);
        }
        if self.checks.violation.is_none() {
            self.finish();
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Transact => self.transact(),
            Event::Work { xid, changes } => self.work(xid, changes),
            Event::CommitTx { xid } => self.commit_tx(xid),
            Event::Show { xid } => self.pg.show(xid),
            Event::Noise => self.noise(),
            Event::Checkpoint => {
                if self.pg.is_up(self.now) && !self.pg.quiet {
                    self.pg.checkpoint();
                }
                let next = self.between(MINUTE, 5 * MINUTE);
                self.push(self.now + next, Event::Checkpoint);
            }
            Event::Timers => self.timers(),
            Event::Supervise => self.supervise(),
            Event::Wake { node } => self.with_capture(node, |node, world| {
                if node.wake_at <= world.now {
                    node.wake_at = Nanos::MAX;
                }
                node.step(world);
            }),
            Event::Request(arrived) => self.request(arrived),
            Event::KafkaAnswers => self.kafka_answers(),
            Event::Ended { node, life, serial, result } => self.with_capture(node, |node, world| {
                if node.life == life {
                    node.commit_done(serial, result);
                    node.step(world);
                }
            }),
            Event::Status { wire, update } => self.pg.acknowledge(wire, update.flushed.0, self.now),
            Event::Fault(fault) => faults::strike(self, fault),
            Event::Drained => self.check_capture_drained(),
            Event::WakeSink { sink } => self.with_sink(sink, |node, world| {
                if node.wake_at <= world.now {
                    node.wake_at = Nanos::MAX;
                }
                node.step(world);
            }),
            Event::Attempt { sink, attempt } => {
                self.with_sink(sink, |node, world| node.attempt(world, *attempt));
            }
            Event::Answer { sink, answered } => {
                self.with_sink(sink, |node, world| node.answered(world, *answered));
            }
            Event::Rebalance => self.rebalance(),
            Event::RetentionPasses => faults::retention_passes(self),
            Event::Assign { sink, places, generation } => {
                if generation == self.generation {
                    self.with_sink(sink, |node, world| {
                        if node.alive && world.now >= node.paused_until {
                            node.generation = generation;
                            node.assign(world, &places);
                            world.wake_sink(node, world.now);
                        }
                    });
                }
            }
        }
    }

    pub(crate) fn with_capture(&mut self, node: usize, act: impl FnOnce(&mut CaptureNode, &mut World)) {
        let Some(mut taken) = self.captures.get_mut(node).and_then(Option::take) else { return };
        act(&mut taken, self);
        self.captures[node] = Some(taken);
    }

    pub(crate) fn with_sink(&mut self, sink: usize, act: impl FnOnce(&mut SinkNode, &mut World)) {
        let Some(mut taken) = self.sinks.get_mut(sink).and_then(Option::take) else { return };
        act(&mut taken, self);
        self.sinks[sink] = Some(taken);
    }

    pub(crate) fn wake_sink(&mut self, node: &mut SinkNode, at: Nanos) {
        if at < node.wake_at {
            node.wake_at = at;
            self.push(at, Event::WakeSink { sink: node.id });
        }
    }

    pub(crate) fn start_sink(&mut self) {
        let id = self.sinks.len();
        let node = Box::new(SinkNode::new(id, self));
        trace!(self, "sink {id} starts");
        self.sinks.push(Some(node));
        self.rebalance_soon();
    }

    pub(crate) fn rebalance_soon(&mut self) {
        let delay = self.delay(100, 10_000);
        self.push(self.now + delay, Event::Rebalance);
    }

    /// The group's members of now share the partitions. Who is paused does not hear of it.
    fn rebalance(&mut self) {
        self.generation += 1;
        let now = self.now;
        self.rebalanced = now;
        let members: Vec<usize> = self
            .sinks
            .iter()
            .flatten()
            .filter(|node| node.alive && !node.stopping && now >= node.paused_until)
            .map(|node| node.id)
            .collect();
        trace!(self, "group generation {} of {members:?}", self.generation);
        let partitions = |(topic, found): (usize, &crate::kafka::Topic)| {
            (0..found.partitions.len()).map(move |partition| (topic, partition)).collect::<Vec<_>>()
        };
        let places: Vec<Place> = self.kafka.topics.iter().enumerate().flat_map(partitions).collect();
        for (index, sink) in members.iter().enumerate() {
            self.with_sink(*sink, |node, _| node.revoke());
            let own = places.iter().enumerate().filter(|(at, _)| at % members.len() == index);
            let places = own.map(|(_, place)| *place).collect();
            let delay = self.delay(20, 600);
            let generation = self.generation;
            self.push(now + delay, Event::Assign { sink: *sink, places, generation });
        }
        if members.len() > 1 {
            self.fired("group of two sinks");
        }
    }

    /// Metadata of what the group has committed for a topic.
    pub(crate) fn commits_of(&self, topic: usize) -> Arc<[String]> {
        let own = self.group.range((topic, 0)..(topic + 1, 0));
        own.map(|(_, (_, metadata))| metadata.clone()).collect()
    }

    /// A member of the group commits an offset.
    pub(crate) fn group_committed(&mut self, place: Place, id: TopicId, offset: i64, metadata: String) {
        self.checks.offset_committed(&self.kafka, place, id, offset);
        self.group.insert(place, (offset, metadata));
    }

    /// Snowflake commits what is due.
    pub(crate) fn settle(&mut self) {
        let known = self.snow.rejected.len();
        let commits = self.snow.settle(self.now);
        if self.facts.rejection_is_last && self.snow.rejected.len() > known {
            (self.facts.rejection_is_last, self.facts.rests) = (false, true);
            self.fired("sinks died of a rejection");
            self.push(self.now, Event::Fault(Fault::KillSinks));
        }
        for landed in commits {
            trace!(self, "Snowflake commits {}: {:?}", landed.token, landed.offsets);
            self.checks.landed(&self.kafka, &landed, &self.snow.rejected);
        }
    }

    /// A partition of a sink stopped for good: is the cause true?
    pub(crate) fn partition_stopped(&mut self, sink: usize, place: Place, id: TopicId, reason: &StopReason) {
        let name = reason_name(reason);
        trace!(self, "sink {sink} stops {place:?}: {}", reason.message);
        let log = &self.kafka.topics[place.0].partitions[place.1];
        let channel = channel_name("sink", id, 0, place.1 as i32);
        let token = self.snow.token(&channel).and_then(|token| token.parse::<OffsetToken>().ok());
        let group = self.group.get(&place).map(|(offset, _)| *offset as usize);
        let next = token.map(|token| token.offset as usize + 1).or(group);
        let is_true = match name.as_str() {
            "E_TOPIC_TRUNCATED" => next.is_some_and(|next| next > log.entries.len()),
            "E_RETENTION_GAP" => next.unwrap_or(0) < log.base,
            "E_TOPIC_RECREATED" => self.facts.topic_recreated,
            "E_ROWS_REJECTED" => self.snow.errors() > 0,
            "E_FOREIGN_TOKEN" => self.facts.token_overwritten,
            "E_NOT_COMMITTED" => self.facts.commits_stall,
            // Two processes that take the channel from each other.
            "E_CHANNEL_LOST" => self.facts.channels_forgotten || self.snow.takeovers(&channel) >= 2,
            "E_TOKEN_WENT_BACK" => self.facts.tokens_went_back,
            // What the last of the merges came to.
            "E_LEDGER_CONFLICT" | "Dependency" => self.snow.ledger_contended,
            "E_ROW_COUNT" => self.facts.rows_miscounted || self.facts.tokens_went_back,
            "E_ROW_TOO_LARGE" | "E_DESTINATION" => self.facts.refusal == Some(&name),
            "E_MALFORMED_RECORD" | "E_TABLE_CLASH" => {
                self.facts.foreign.is_some_and(|(at, _, guard)| (at, guard) == (place, &name))
            }
            _ => false,
        };
        if !is_true {
            let text = format!("sink {sink} stopped {place:?} without cause: {name}: {}", reason.message);
            self.checks.violate("C6", text);
        }
        self.guards.insert(format!("{name} (sink)"));
        self.stopped_partitions.insert(place);
    }

    pub(crate) fn push(&mut self, at: Nanos, event: Event) {
        self.serial += 1;
        self.queue.push(Reverse(Entry { at, serial: self.serial, event }));
    }

    pub(crate) fn wake(&mut self, node: &mut CaptureNode, at: Nanos) {
        if at < node.wake_at {
            node.wake_at = at;
            self.push(at, Event::Wake { node: node.id });
        }
    }

    pub(crate) fn note(&mut self, line: String) {
        if self.lines.len() >= 4_000 {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    pub(crate) fn fired(&mut self, what: &'static str) {
        if self.fired.insert(what) || self.tracing {
            trace!(self, "* {what}");
        }
    }

    pub(crate) fn delay(&mut self, from_ms: i64, to_ms: i64) -> Nanos {
        self.rng.i64(from_ms..=to_ms) * MS
    }

    pub(crate) fn between(&mut self, from: Nanos, to: Nanos) -> Nanos {
        self.rng.i64(from..to)
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.now >= CALM
    }

    /// A rare fault that needs no schedule.
    pub(crate) fn one_in(&mut self, n: u32) -> bool {
        !self.is_calm() && self.rng.u32(0..n) == 0
    }

    /// Whether a request or its answer is lost.
    pub(crate) fn loses(&mut self) -> bool {
        let lost = self.one_in(120);
        if lost {
            self.fired("request lost");
        }
        lost
    }

    fn row(&mut self) -> Row {
        self.next_value += 2;
        let v = (self.rng.u8(0..8) > 0).then_some(self.next_value);
        Row { v, big: self.next_value + 1 }
    }

    /// A transaction of the source begins.
    fn transact(&mut self) {
        if self.now >= QUIET {
            self.pg.quiet = true;
            return;
        }
        let next = match self.rng.u8(0..10) {
            _ if self.now < 20 * SECOND => self.delay(100, 1_000),
            0..3 => self.delay(5, 400),
            3..9 => self.delay(3_000, 50_000) * self.load.pause,
            _ => self.delay(50_000, 150_000) * self.load.pause,
        };
        self.push(self.now + next, Event::Transact);
        if !self.pg.is_up(self.now) || self.pg.quiet || self.facts.rests {
            return;
        }
        let xid = self.pg.begin();
        let changes = match self.rng.u8(0..40) {
            0 => self.rng.u32(60..160),
            1..4 => self.rng.u32(10..30),
            4 => 0,
            _ => self.rng.u32(1..5),
        };
        self.work(xid, changes / 2);
        let (middle, end) = (self.delay(1, 60), self.delay(60, 200));
        self.push(self.now + middle, Event::Work { xid, changes: changes - changes / 2 });
        self.push(self.now + end, Event::CommitTx { xid });
    }

    /// One that does not fit a connection.
    pub(crate) fn large_transaction(&mut self) {
        if self.facts.rests {
            return;
        }
        let xid = self.pg.begin();
        self.work(xid, 150);
        self.push(self.now + 100 * MS, Event::Work { xid, changes: 150 });
        self.push(self.now + 200 * MS, Event::CommitTx { xid });
    }

    /// Changes of a transaction.
    fn work(&mut self, xid: u32, changes: u32) {
        let Some(index) = self.pg.running.iter().position(|tx| tx.xid == xid) else { return };
        let copy = self.rng.u8(0..6) == 0 && changes > 2;
        let copy_lsn = copy.then(|| self.pg.write(u64::from(changes) * 50));
        for _ in 0..changes {
            let at = (self.rng.usize(0..2), self.rng.i32(0..40));
            if !self.pg.is_free(xid, at) {
                continue;
            }
            let tx = &self.pg.running[index];
            let known = self.pg.see(tx, at);
            let truncates = tx.locks.is_empty()
                && self.pg.running.len() == 1
                && self.rng.u8(0..if self.now < 20 * SECOND { 16 } else { 120 }) == 0;
            let row = self.row();
            let op = match (known, copy_lsn, self.rng.u8(0..20)) {
                (None, _, _) => Op::Insert { at, row },
                (Some(_), Some(_), _) => continue,
                _ if truncates => Op::Truncate { tables: self.rng.u8(1..4) },
                (_, _, 0) => Op::Message,
                (_, _, 1..4) => Op::Delete { at },
                (Some(_), _, 4..7) => {
                    let to = (at.0, self.rng.i32(0..40));
                    let free = self.pg.is_free(xid, to) && self.pg.see(&self.pg.running[index], to).is_none();
                    if !free {
                        continue;
                    }
                    Op::Update { from: at, at: to, row, sends_big: true }
                }
                (Some(old), _, roll) => {
                    let sends_big = roll < 12;
                    let row = if sends_big { row } else { Row { big: old.big, ..row } };
                    Op::Update { from: at, at, row, sends_big }
                }
            };
            let lsn = copy_lsn.unwrap_or_else(|| self.pg.write(72));
            self.pg.change(xid, lsn, op);
        }
    }

    pub(crate) fn commit_tx(&mut self, xid: u32) {
        if !self.pg.is_up(self.now) {
            return;
        }
        let Some(tx) = self.pg.commit(xid) else { return };
        self.checks.source_committed(tx);
        let delay = self.delay(0, 30);
        self.push(self.now + delay, Event::Show { xid });
        self.pump_wires();
    }

    /// Log that concerns nobody.
    fn noise(&mut self) {
        if self.pg.is_up(self.now) && !self.pg.quiet {
            let bytes = self.rng.u64(100..40_000) & !7;
            self.pg.write(bytes);
            self.pg.flushed = self.pg.lsn;
            self.pump_wires();
        }
        let next = self.between(5 * SECOND, MINUTE);
        self.push(self.now + next, Event::Noise);
    }

    fn pump_wires(&mut self) {
        for wire in self.pg.wires.keys().copied().collect::<Vec<_>>() {
            self.pump_wire(wire);
        }
    }

    /// The server sends; the client wakes up when it arrives.
    pub(crate) fn pump_wire(&mut self, wire: u64) {
        let delay = self.delay(1, 15);
        let Some(arrival) = self.pg.pump(wire, self.now, delay) else { return };
        for node in self.captures.iter_mut().flatten() {
            if node.wire == Some(wire) && arrival < node.wake_at {
                node.wake_at = arrival;
                self.serial += 1;
                self.queue.push(Reverse(Entry {
                    at: arrival,
                    serial: self.serial,
                    event: Event::Wake { node: node.id },
                }));
            }
        }
    }

    pub(crate) fn send_status(&mut self, wire: u64, update: StandbyStatusUpdate) {
        let received = self.pg.wires.get(&wire).map_or(0, |wire| wire.received);
        self.checks.acknowledged(update.flushed.0, received);
        let delay = self.delay(1, 15);
        self.push(self.now + delay, Event::Status { wire, update });
    }

    fn timers(&mut self) {
        self.push(self.now + 5 * SECOND, Event::Timers);
        if self.kafka.is_up(self.now) {
            self.kafka.timer(self.now);
            if self.kafka.timed_out > 0 {
                self.fired("transaction timed out");
            }
        }
        self.publication_is_watched();
        if !self.pg.is_up(self.now) {
            return;
        }
        for wire in self.pg.wires.keys().copied().collect::<Vec<_>>() {
            if self.pg.sender_timer(wire, self.now) {
                trace!(self, "server hangs up on wire {wire}");
                self.fired("server hung up");
                if !self.facts.excused.contains(&wire) {
                    self.checks
                        .violate("C7", "the server hung up on a client that was not at rest".to_owned());
                }
            }
        }
    }

    /// One process is kept alive, unless a guard says that a person must look.
    fn supervise(&mut self) {
        self.push(self.now + 5 * SECOND, Event::Supervise);
        let alive = self.captures.iter().flatten().any(|node| node.is_alive());
        let wires = &self.pg.wires;
        let is_on = |node: &CaptureNode| node.wire.is_some_and(|wire| wires.contains_key(&wire));
        let streams =
            self.captures.iter().flatten().any(|node| node.phase == Phase::Stream && is_on(node.as_ref()));
        self.pg.quiet &= !(streams && self.now < QUIET);
        if !alive && self.capture_stopped.is_none() {
            self.start_capture();
        }
        let lands = self.sinks.iter().flatten().any(|node| node.alive);
        if !lands && self.now >= self.sinks_rest_until {
            self.start_sink();
        }
        self.settle();
    }

    pub(crate) fn start_capture(&mut self) {
        let id = self.captures.len();
        let mut node = Box::new(CaptureNode::new(id, &self.settings, self.seed, self.now));
        trace!(self, "capture {id} starts");
        self.wake(&mut node, self.now);
        self.captures.push(Some(node));
    }

    /// A request of a producer arrives. While Kafka is away requests wait, in their order.
    fn request(&mut self, arrived: Arrived) {
        if self.kafka.is_up(self.now) && self.held.is_empty() {
            return self.answer(arrived);
        }
        if self.held.is_empty() {
            self.push(self.kafka.down_until, Event::KafkaAnswers);
        }
        self.held.push_back(arrived);
    }

    fn kafka_answers(&mut self) {
        if !self.kafka.is_up(self.now) {
            return self.push(self.kafka.down_until, Event::KafkaAnswers);
        }
        std::mem::take(&mut self.held).into_iter().for_each(|arrived| self.answer(arrived));
    }

    fn answer(&mut self, Arrived { node, life, epoch, request }: Arrived) {
        let now = self.now;
        match request {
            Request::Produce { records, bytes } => {
                let result = self.kafka.produce(epoch, &records, None, now);
                self.with_capture(node, |node, _| {
                    if node.life == life {
                        node.acked(bytes, result);
                    }
                });
            }
            Request::Position { value, kept } => {
                let kept = kept.map_or(Ok(()), |kept| self.kafka.keep(epoch, kept, now));
                let result = kept.and_then(|()| self.kafka.produce(epoch, &[], Some(&value), now));
                self.with_capture(node, |node, _| {
                    if node.life == life {
                        node.acked(0, result);
                    }
                });
            }
            Request::EndTxn { serial, reply } => {
                let result = self.kafka.end_txn(epoch);
                let told = result.map(|(_, epoch)| epoch);
                if !matches!(result, Ok((Some(_), _))) {
                    trace!(self, "capture {node}: end of a transaction: {result:?}");
                }
                if let Ok((Some(txn), _)) = result {
                    self.committed(txn);
                }
                if reply {
                    let delay = self.delay(1, 15);
                    self.push(now + delay, Event::Ended { node, life, serial, result: told });
                }
            }
        }
    }

    fn committed(&mut self, txn: usize) {
        if self.tracing {
            let txn = &self.kafka.txns[txn];
            let ids =
                txn.records.iter().map(|record| record.eid.as_deref().map(show_eid).unwrap_or_default());
            let ids: Vec<String> = ids.collect();
            let position = txn.position.as_deref().and_then(|value| Position::decode(value).ok());
            let position = position.map(|position| position.to_string());
            trace!(self, "Kafka commits {} to {position:?}", ids.join(" "));
        }
        let txn = &self.kafka.txns[txn];
        self.checks.kafka_committed(&txn.records, txn.position.as_deref());
        for sink in 0..self.sinks.len() {
            let at = self.now + self.rng.i64(1..200) * MS;
            self.with_sink(sink, |node, world| {
                if node.alive {
                    world.wake_sink(node, at);
                }
            });
        }
        let cut = self.checks.position.as_ref().and_then(|position| position.open.clone());
        if let Some(open) = cut {
            self.fired("transaction cut");
            if self.facts.hide_when_cut && open.ordinal_next > 1 {
                let lsn = open.commit_lsn.0.0;
                if let Some(tx) = self.pg.log.iter_mut().find(|tx| tx.commit_lsn == lsn) {
                    tx.hidden = Some(0);
                    self.facts.hide_when_cut = false;
                    self.facts.hidden = true;
                    self.fired("row filter changed");
                    faults::strike(self, Fault::KillCapture);
                }
            }
        }
    }

    /// The process ended with an error that is not tried again: is it named, and true?
    pub(crate) fn capture_stopped(&mut self, node: &CaptureNode, failure: &Failure) {
        let text = failure.render();
        trace!(self, "capture {} ended: {text}", node.id);
        let name = text.split([' ', ':']).find(|word| word.starts_with("E_")).unwrap_or_default().to_owned();
        if failure.exit == Exit::Guard {
            self.guards.insert(name.clone());
            if !self.is_true(&name, node) {
                self.checks.violate("C6", format!("stopped without cause: {text}"));
            }
            if name != "E_FENCED" {
                self.capture_stopped = Some(name);
            }
            return;
        }
        // What the server sends again is whole.
        if name == "E_SPOOL_CORRUPT" && self.facts.spool_was_corrupt {
            self.facts.spool_corrupt = false;
            self.guards.insert(name);
            return;
        }
        // A first start that meets an outage, or a slot that just went: the supervisor tries again.
        let passes = failure.transient || text.contains("the slot: 42710") || text.contains("replication: ");
        if !passes {
            self.checks.violate("C6", format!("stopped by an error that is no guard: {text}"));
        }
    }

    /// The cause of a stop, from what the simulator knows and the process cannot.
    fn is_true(&self, name: &str, node: &CaptureNode) -> bool {
        let Some(position) = &self.checks.position else {
            return name == "E_POSITION_MISSING";
        };
        let done = position.done_end_lsn.0.0;
        let confirmed = self.pg.slot.as_ref().map(|slot| slot.confirmed);
        match name {
            "E_FENCED" => position.writer != node.run_id,
            "E_GAP_SLOT_AHEAD" => confirmed.is_some_and(|confirmed| confirmed > done),
            "E_SLOT_MISSING" => confirmed.is_none(),
            "E_GAP_SLOT_LOST" => self.pg.slot.as_ref().is_some_and(|slot| slot.lost),
            "E_SLOT_FOREIGN" => self.pg.slot.as_ref().is_some_and(|slot| slot.plugin != "pgoutput"),
            "E_DIVERGED" => {
                self.pg.system_id != self.facts.first_system
                    || self.pg.history.iter().any(|(_, lsn)| done > *lsn)
            }
            "E_TIMELINE" => self.pg.timeline < position.timeline,
            "E_SERVER_BEHIND" => self.pg.flushed < done,
            "E_TOPIC_RECREATED" => self.kafka.topics.iter().any(|topic| {
                !topic.exists || !position.topics.values().any(|id| *id == topic.id.to_string())
            }),
            "E_POSITION_MISSING" => self.kafka.position(Upto::ListedEnd, self.now).is_none(),
            "E_CLUSTER_CHANGED" => self.facts.cluster_changed,
            "E_SLOT_ACTIVE" => self.facts.stranger.is_some_and(|wire| self.pg.wires.contains_key(&wire)),
            "E_POSITION_FORMAT" => self.facts.position_foreign,
            "E_GUARANTEE" => self.facts.transactions_refused,
            "E_PUBLICATION_HISTORY"
            | "E_PUBLICATION_CHANGED"
            | "E_TABLE_RECREATED"
            | "E_TABLE_UNPUBLISHED" => self.facts.publication_guard == Some(name),
            // A server that was put back may have lost the transaction of which Kafka has a part.
            "E_NONDETERMINISTIC_REPLAY" => self.facts.hidden || self.checks.cut_at.is_some(),
            "E_SNAPSHOT_TRUNCATED" => {
                let attempts = position.snapshot.as_ref().map_or(0, |snapshot| snapshot.attempt);
                let truncates = |change: &Change| matches!(change.op, Op::Truncate { .. });
                let since = self.pg.log.iter().rev().take_while(|tx| tx.end_lsn > self.checks.slot_point);
                attempts > 1 && since.flat_map(|tx| &tx.changes).any(truncates)
            }
            _ => false,
        }
    }

    /// C7: a minute after the last change everything is in Kafka, or a guard has stopped the capture.
    fn check_capture_drained(&mut self) {
        if self.capture_stopped.is_some() {
            return;
        }
        let end = self.pg.log.last().map_or(0, |tx| tx.end_lsn);
        let done = self.checks.position.as_ref().map_or(0, |position| position.done_end_lsn.0.0);
        if done < end {
            let phases: Vec<Phase> = self.captures.iter().flatten().map(|node| node.phase).collect();
            let facts = format!("Kafka is at {done:x} and the source at {end:x}; processes: {phases:?}");
            self.checks.violate("C7", facts);
        }
    }

    /// C6 the other way round: no stream goes on for long under a publication that was changed.
    fn publication_is_watched(&mut self) {
        const PATIENCE: Nanos = 90 * SECOND;
        let changed_at = self.facts.publication_changed_at;
        let is_late = |node: &CaptureNode| {
            let since = changed_at.max(node.streams_since).max(node.paused_until);
            node.phase == Phase::Stream && self.now - since > PATIENCE
        };
        let late = self.captures.iter().flatten().find(|node| is_late(node)).map(|node| node.id);
        if let Some(node) = late.filter(|_| self.facts.publication_guard.is_some()) {
            let text = format!("capture {node} streams on under another publication, and nobody says so");
            self.checks.violate("C6", text);
        }
    }

    /// C6 the other way round: a token beyond the log must have stopped its partition.
    fn truncation_was_told(&mut self) {
        for (topic, found) in self.kafka.topics.iter().enumerate() {
            for (partition, log) in found.partitions.iter().enumerate() {
                let channel = channel_name("sink", found.id, 0, partition as i32);
                let token = self.snow.token(&channel).and_then(|token| token.parse::<OffsetToken>().ok());
                let is_beyond = token.is_some_and(|token| token.offset as usize + 1 > log.entries.len());
                if is_beyond && !self.stopped_partitions.contains(&(topic, partition)) {
                    let place = (topic, partition);
                    self.checks
                        .violate("C6", format!("{place:?}: a token lies beyond the log, and nobody said so"));
                    return;
                }
            }
        }
    }

    /// C6 the other way round: a row that was doubled or lost must have stopped its partition.
    fn miscounts_were_told(&mut self) {
        // `commit_deadline` of the sink.
        const DEADLINE: Nanos = 180 * SECOND;
        for (topic, found) in self.kafka.topics.iter().enumerate() {
            for partition in 0..found.partitions.len() {
                let (place, channel) =
                    ((topic, partition), channel_name("sink", found.id, 0, partition as i32));
                let must = self.snow.must_tell(&channel, self.now, DEADLINE);
                let is_told = self.stopped_partitions.contains(&place);
                if self.snow.is_twisted(&channel) && !must {
                    // Nobody who knew what was sent has lived to see it.
                    self.stopped_partitions.insert(place);
                }
                if must && !is_told {
                    let text = format!("{place:?}: rows are not as many as were sent, and nobody said so");
                    return self.checks.violate("C6", text);
                }
            }
        }
    }

    /// Who cannot merge because somebody else always does says so within ten minutes; until then nothing is wrong.
    fn contention_was_told(&mut self) {
        const PATIENCE: Nanos = 10 * MINUTE;
        for (topic, name) in TABLES.iter().enumerate() {
            let Some(first) = self.snow.conflicts.get(&name.to_uppercase()) else { continue };
            if self.now - (*first).max(self.rebalanced) < PATIENCE {
                self.stopped_partitions.insert((topic, 0));
            }
        }
    }

    fn finish(&mut self) {
        self.settle();
        self.checks.at_rest(&self.kafka, &self.pg, self.capture_stopped.is_some());
        if self.checks.truncated {
            self.truncation_was_told();
        }
        self.miscounts_were_told();
        self.contention_was_told();
        self.checks.landed_all(&self.kafka, &self.snow, &self.stopped_partitions);
    }
}

/// What a run has shown.
pub(crate) struct Outcome {
    pub(crate) seed: u64,
    pub(crate) events: u64,
    pub(crate) records: u64,
    pub(crate) fired: BTreeSet<&'static str>,
    pub(crate) guards: BTreeSet<String>,
    pub(crate) violation: Option<(&'static str, String)>,
}

/// Runs one seed.
pub(crate) fn run(seed: u64, bug: Option<Bug>, focus: &'static [Fault]) -> Outcome {
    let mut world = World::new(seed, bug, focus, false);
    world.run();
    Outcome {
        seed,
        events: world.events,
        records: world.checks.records,
        fired: world.fired,
        guards: world.guards,
        violation: world.checks.violation,
    }
}

/// Runs one seed again and gives its last steps.
pub(crate) fn last_steps(seed: u64, bug: Option<Bug>, steps: usize) -> Vec<String> {
    let mut world = World::new(seed, bug, &[], true);
    world.run();
    let skip = world.lines.len().saturating_sub(steps);
    world.lines.into_iter().skip(skip).collect()
}
