//! A process that captures, as the run loop of `cdcd capture` drives it: the same decisions in the same order, with
//! requests that take their time and may be lost instead of sockets.

use std::collections::BTreeMap;
use std::rc::Rc;

use cdcd::capture::publication::{Published, Watch};
use cdcd::capture::snapshot::{Attempt, Prepared, tables_left};
use cdcd::capture::start::{self, Accept, Decision, Facts};
use cdcd::capture::store::{Identity, Store};
use cdcd::capture::takeover;
use cdcd::connector::source::SourceSettings;
use cdcd::exit::{Exit, Failure};
use cdcd_capture::position::{Guarantee, LsnText, Moment, OpenTransaction, Position, SnapshotProgress};
use cdcd_capture::{Capture, ColumnShape, CommitPoint, Flow, Pace, SnapshotTable, TableShape, chunk_key};
use cdcd_debezium::header::EVENT_ID;
use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::relation::ReplicaIdentity;
use cdcd_pgoutput::replication::{Frame, StandbyStatusUpdate};
use cdcd_postgres::ServerError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::bugs::Bug;
use crate::faults;
use crate::kafka::{Record, Refusal, Upto};
use crate::postgres::{self, FIRST_OID, Rows, SENDER_TIMEOUT, TABLES};
use crate::streaming::Memory;
use crate::time::{MS, Nanos, SECOND};
use crate::world::{Arrived, Event, World, trace};

/// As `OUTBOX_BYTES_MAX` of the run loop, smaller, so that it is met.
pub(crate) const OUTBOX_MAX: usize = 8 << 10;
/// Bytes that the client library holds.
pub(crate) const QUEUE_MAX: usize = 16 << 10;
/// `TRANSACTION_PATIENCE` and `POSITION_LIMIT`.
const PATIENCE: Nanos = 60 * SECOND;
const FIRST_RETRY_WAIT: Nanos = 500 * MS;
const RETRY_WAIT: Nanos = 10 * SECOND;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Open,
    Fence,
    Read,
    Claiming,
    Judge,
    Prepare,
    Writing,
    Snapshot,
    Settling,
    WritingEnd,
    Start,
    Stream,
    Ended,
}

/// A producer of one life.
#[derive(Debug)]
pub(crate) struct Producer {
    pub(crate) epoch: u32,
    pub(crate) unacked: usize,
    last_arrival: Nanos,
    refused: Option<Refusal>,
}

#[derive(Debug)]
struct Commit {
    deadline: Nanos,
    result: Option<Result<u32, Refusal>>,
    serial: u64,
    counts: bool,
}

/// What a producer sends.
#[derive(Debug)]
pub(crate) enum Request {
    Produce { records: Vec<Rc<Record>>, bytes: usize },
    Position { value: Vec<u8>, kept: Option<Vec<u8>> },
    EndTxn { serial: u64, reply: bool },
}

/// A snapshot that is being read.
struct Reading {
    rows: Rows,
    table: usize,
    after: Option<i32>,
    begun: bool,
}

pub(crate) struct CaptureNode {
    pub(crate) id: usize,
    pub(crate) run_id: String,
    settings: SourceSettings,
    store: Store,
    has_run: bool,
    has_claimed: bool,
    pub(crate) phase: Phase,
    /// Which of its lives; what belongs to an earlier one is ignored.
    pub(crate) life: u64,
    due: Nanos,
    pub(crate) wake_at: Nanos,
    pub(crate) paused_until: Nanos,
    pub(crate) stopping: bool,
    pub(crate) producer: Option<Producer>,
    commit: Option<Commit>,
    commits: u64,
    position: Option<Position>,
    decision: Option<Decision>,
    identity: Option<Identity>,
    prepared: Option<Prepared>,
    pub(crate) capture: Option<Capture>,
    pub(crate) wire: Option<u64>,
    exported: Option<Rows>,
    reading: Option<Reading>,
    topic_ids: BTreeMap<String, String>,
    watch: Option<Watch>,
    /// Since when its stream runs.
    pub(crate) streams_since: Nanos,
    /// What is to be kept of the publication, with the next position.
    keep: Option<Vec<u8>>,
    sent_to: usize,
    wait: Nanos,
    blocked_since: Option<Nanos>,
    keepalive: u64,
    slot_retries: u32,
    uncommitted: bool,
    pub(crate) last_position: Option<Position>,
}

/// What a step comes to.
type Step = Result<(), Failure>;

fn fenced() -> Failure {
    let source = KafkaError::MessageProduction(RDKafkaErrorCode::ProducerFenced);
    Failure::from(cdcd_kafka::Error::Fenced { source })
}

/// What decoding a change of a time without publication comes to.
fn no_publication(name: &str) -> Failure {
    let source = ServerError {
        severity: "ERROR".to_owned(),
        code: "42704".to_owned(),
        message: format!("publication \"{name}\" does not exist"),
        detail: None,
        hint: None,
    };
    let doing = "streaming".to_owned();
    Failure::from(cdcd_postgres::Error::Server { doing, source: Box::new(source) })
}

fn timed_out(doing: &str) -> Failure {
    Failure::from(cdcd_kafka::Error::Client {
        doing: doing.to_owned(),
        source: KafkaError::MessageProduction(RDKafkaErrorCode::OperationTimedOut),
    })
}

impl CaptureNode {
    pub(crate) fn new(id: usize, settings: &SourceSettings, seed: u64, now: Nanos) -> Self {
        let mut settings = settings.clone();
        let run_id = format!("run-{seed:x}-{id}");
        run_id.clone_into(&mut settings.capture.run_id);
        CaptureNode {
            id,
            run_id,
            store: Store::new(&settings),
            settings,
            has_run: false,
            has_claimed: false,
            phase: Phase::Open,
            life: 0,
            due: now,
            wake_at: Nanos::MAX,
            paused_until: 0,
            stopping: false,
            producer: None,
            commit: None,
            commits: 0,
            position: None,
            decision: None,
            identity: None,
            prepared: None,
            capture: None,
            wire: None,
            exported: None,
            reading: None,
            topic_ids: BTreeMap::new(),
            watch: None,
            streams_since: 0,
            keep: None,
            sent_to: 0,
            wait: FIRST_RETRY_WAIT,
            blocked_since: None,
            keepalive: 0,
            slot_retries: 0,
            uncommitted: false,
            last_position: None,
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.phase != Phase::Ended
    }

    /// Whether records stand in an open transaction.
    pub(crate) fn has_uncommitted(&self) -> bool {
        self.phase == Phase::Stream && self.uncommitted
    }

    /// The next life begins at `due`.
    fn renew(&mut self, world: &mut World, due: Nanos) {
        if let Some(wire) = self.wire.take() {
            world.pg.cut(wire);
        }
        self.life += 1;
        self.has_claimed = false;
        self.phase = Phase::Open;
        self.due = due;
        (self.producer, self.commit, self.capture, self.reading) = (None, None, None, None);
        (self.decision, self.identity, self.prepared) = (None, None, None);
        self.topic_ids.clear();
        (self.watch, self.keep) = (None, None);
        (self.sent_to, self.blocked_since, self.keepalive, self.slot_retries) = (0, None, 0, 0);
        self.uncommitted = false;
        world.wake(self, due);
    }

    /// The process is gone.
    pub(crate) fn end(&mut self, world: &mut World) {
        if let Some(wire) = self.wire.take() {
            world.pg.cut(wire);
        }
        self.life += 1;
        self.phase = Phase::Ended;
        (self.producer, self.commit, self.capture, self.reading) = (None, None, None, None);
    }

    /// Wakes up, looks, and goes to sleep again.
    pub(crate) fn step(&mut self, world: &mut World) {
        if !self.is_alive() {
            return;
        }
        if world.now < self.paused_until {
            return world.wake(self, self.paused_until);
        }
        if world.now < self.due && self.phase != Phase::Stream {
            return world.wake(self, self.due);
        }
        if let Err(failure) = self.advance(world) {
            self.failed(world, failure);
        }
        if let Some(capture) = &self.capture {
            let queued = self.producer.as_ref().map_or(0, |producer| producer.unacked);
            world.checks.bytes_in_flight(capture.pending_bytes(), queued, self.id);
        }
    }

    /// What `capture::run` and `session::run` do with the failure of a life.
    fn failed(&mut self, world: &mut World, failure: Failure) {
        let ran = self.phase == Phase::Stream || self.phase == Phase::Snapshot;
        let failure = if takeover::is_fenced(&failure) {
            let position = self.peek(world);
            takeover::judge_fenced(&self.settings, failure, position)
        } else if failure.exit == Exit::Guard && self.has_claimed {
            let position = self.peek(world);
            takeover::judge_guard(&self.settings, failure, position)
        } else {
            failure
        };
        trace!(world, "capture {} failed in {:?}: {}", self.id, self.phase, failure.render());
        if world.bug == Some(Bug::PrefixHashIgnored) && failure.render().contains("E_NONDETERMINISTIC") {
            self.position = None;
            world.checks.forget_open = true;
            return self.renew(world, world.now + FIRST_RETRY_WAIT);
        }
        if !takeover::may_try_again(&failure, self.has_run) {
            self.end(world);
            return world.capture_stopped(self, &failure);
        }
        if ran {
            self.wait = FIRST_RETRY_WAIT;
        }
        let due = world.now + self.wait;
        self.wait = (self.wait * 2).min(RETRY_WAIT);
        if world.bug == Some(Bug::ProducerReused)
            && let Some(producer) = self.producer.take()
        {
            self.renew(world, due);
            self.producer = Some(Producer { unacked: 0, refused: None, ..producer });
            return;
        }
        self.renew(world, due);
    }

    fn advance(&mut self, world: &mut World) -> Step {
        match self.phase {
            Phase::Open => self.open(world),
            Phase::Fence => self.fence(world),
            Phase::Read => self.read(world),
            Phase::Claiming => self.when_written(world, Phase::Judge),
            Phase::Judge => self.judge(world),
            Phase::Prepare => self.prepare(world),
            Phase::Writing => self.written(world),
            Phase::Snapshot => self.read_rows(world),
            Phase::Settling => self.settle_snapshot(world),
            Phase::WritingEnd => self.when_written(world, Phase::Start),
            Phase::Start => self.start(world),
            Phase::Stream => self.stream(world),
            Phase::Ended => Ok(()),
        }
    }

    fn go(&mut self, world: &mut World, phase: Phase) -> Step {
        self.phase = phase;
        let delay = world.delay(1, 40);
        self.due = world.now + delay;
        world.wake(self, self.due);
        Ok(())
    }

    /// Whether Kafka answers; if it does not for too long, an error.
    fn asks_kafka(&mut self, world: &mut World, doing: &str) -> Result<bool, Failure> {
        if world.kafka.is_up(world.now) {
            self.blocked_since = None;
            if world.loses() {
                return Err(timed_out(doing));
            }
            return Ok(true);
        }
        let since = *self.blocked_since.get_or_insert(world.now);
        if world.now - since > PATIENCE {
            return Err(timed_out(doing));
        }
        self.due = world.now + SECOND;
        world.wake(self, self.due);
        Ok(false)
    }

    fn asks_postgres(&self, world: &mut World) -> Step {
        if !world.pg.is_up(world.now) || world.loses() {
            return Err(Failure::from(cdcd_postgres::Error::Closed));
        }
        Ok(())
    }

    fn peek(&mut self, world: &mut World) -> Result<Option<Position>, Failure> {
        if !world.kafka.is_up(world.now) {
            return Err(timed_out("reading the position"));
        }
        let upto =
            if world.bug == Some(Bug::PositionReadTooShort) { Upto::EmptyFetch } else { Upto::ListedEnd };
        let position = world.kafka.position(upto, world.now).map(Position::decode).transpose();
        position.map_err(|error| Failure::from(error).context("E_POSITION_FORMAT: the position's topic"))
    }

    fn open(&mut self, world: &mut World) -> Step {
        if !self.asks_kafka(world, "reading the position")? {
            return Ok(());
        }
        if self.has_run {
            let position = self.peek(world)?;
            takeover::refuse_if_taken_over(&self.settings, position.as_ref())?;
        }
        if world.bug == Some(Bug::PositionReadBeforeFence) {
            self.position = self.peek(world)?;
        }
        self.go(world, Phase::Fence)
    }

    fn fence(&mut self, world: &mut World) -> Step {
        if !self.asks_kafka(world, "fencing other producers")? {
            return Ok(());
        }
        let epoch = match world.bug {
            Some(Bug::NotFenced) => world.kafka.epoch,
            Some(Bug::ProducerReused) if self.producer.is_some() => world.kafka.epoch,
            _ => world.kafka.init_producer(),
        };
        trace!(world, "capture {} has epoch {epoch}", self.id);
        self.producer = Some(Producer { epoch, unacked: 0, last_arrival: 0, refused: None });
        if world.loses() {
            return Err(timed_out("fencing other producers"));
        }
        self.go(world, Phase::Read)
    }

    fn read(&mut self, world: &mut World) -> Step {
        if !self.asks_kafka(world, "reading the position")? {
            return Ok(());
        }
        let remembers = match world.bug {
            Some(Bug::PositionReadBeforeFence) => true,
            Some(Bug::PositionNotReadAgain) => self.has_run,
            _ => false,
        };
        if remembers && world.bug == Some(Bug::PositionNotReadAgain) {
            self.position = self.last_position.clone();
        } else if !remembers {
            self.position = self.peek(world)?;
        }
        if std::mem::take(&mut world.checks.forget_open)
            && let Some(position) = &mut self.position
        {
            position.open = None;
        }
        let guarantee = match world.facts.transactions_refused {
            true => Guarantee::AtLeastOnce,
            false => Guarantee::ExactlyOnce,
        };
        takeover::check_guarantee(&self.settings, guarantee, self.position.as_ref())?;
        match &mut self.position {
            Some(position) => {
                let claimed = takeover::claim(position, &self.run_id, Guarantee::ExactlyOnce);
                self.begin_commit(world, claimed, false);
                self.phase = Phase::Claiming;
                Ok(())
            }
            None => self.go(world, Phase::Judge),
        }
    }

    /// Goes on when the commit of a position has ended well.
    fn when_written(&mut self, world: &mut World, next: Phase) -> Step {
        if self.commit_ended(world)? { self.go(world, next) } else { Ok(()) }
    }

    fn judge(&mut self, world: &mut World) -> Step {
        self.has_claimed = self.position.is_some();
        self.asks_postgres(world)?;
        let system = world.pg.system();
        let slot = world.pg.slot_info(&self.settings.database.database);
        let has_records =
            world.kafka.topics.iter().any(|topic| topic.partitions.iter().any(|log| !log.entries.is_empty()));
        let trace = has_records.then_some("topic srv.public.alpha holds records of this connector");
        let trace = trace.filter(|_| self.position.is_none() && slot.is_some());
        let trace = trace.filter(|_| world.bug != Some(Bug::TraceIgnored));
        let history: Vec<(u32, Lsn)> = match &self.position {
            Some(position) if position.timeline < system.timeline => {
                world.pg.history.iter().map(|(timeline, lsn)| (*timeline, Lsn(*lsn))).collect()
            }
            _ => Vec::new(),
        };
        let facts = Facts {
            system: &system,
            history: &history,
            position: self.position.as_ref(),
            slot: slot.as_ref(),
            cluster_id: world.kafka.cluster_id,
            trace,
        };
        let decision = match (start::decide(&self.settings, &facts, Accept::default()), world.bug) {
            (Err(failure), Some(bug)) => bug.overrules(&failure, &facts).ok_or(failure),
            (
                Ok(Decision::Resume { last_commit, last_commit_us, open, snapshot, lineage, .. }),
                Some(Bug::ResumeAtConfirmed),
            ) if world.pg.slot.is_some() => {
                let from = Lsn(world.pg.slot.as_ref().map_or(0, |slot| slot.confirmed));
                Ok(Decision::Resume { from, last_commit, last_commit_us, open, snapshot, lineage })
            }
            (decision, _) => decision,
        }?;
        let mut topics = BTreeMap::new();
        if let Some(position) = &self.position {
            let ids: BTreeMap<String, String> = if position.topics.is_empty() {
                BTreeMap::new()
            } else {
                topic_ids(world).into_iter().filter(|(name, _)| position.topics.contains_key(name)).collect()
            };
            if world.bug != Some(Bug::TopicIdsIgnored) {
                start::topics_are_the_same(position, &ids, Accept::default())?;
            }
            topics = ids;
            self.look_at_publication(world)?;
        }
        let lineage = match &decision {
            Decision::CreateSlot { lineage, .. } | Decision::Resume { lineage, .. } => *lineage,
        };
        self.identity = Some(Identity {
            system_id: system.system_id.clone(),
            timeline: system.timeline,
            db_oid: 5,
            stream_options: "proto_version '1'".to_owned(),
            lineage,
            guarantee: Guarantee::ExactlyOnce,
            cluster_id: world.kafka.cluster_id.to_owned(),
            topics,
            writer: self.run_id.clone(),
            writer_epoch: self.position.as_ref().map_or(1, |position| position.writer_epoch),
        });
        trace!(world, "capture {} decided {decision:?}", self.id);
        self.decision = Some(decision);
        self.go(world, Phase::Prepare)
    }

    /// G7, as it was kept.
    fn look_at_publication(&self, world: &World) -> Step {
        let kept = world.kafka.kept().map(Published::decode).transpose()?;
        let Some(before) = kept.filter(|_| world.bug != Some(Bug::PublicationIgnored)) else { return Ok(()) };
        self.publication_goes_on(&before, world)
    }

    fn publication_goes_on(&self, before: &Published, world: &World) -> Step {
        let name = &self.settings.publication.name;
        before.goes_on(name, world.pg.publication.as_ref(), &world.pg.catalog())
    }

    fn prepare(&mut self, world: &mut World) -> Step {
        self.asks_postgres(world)?;
        self.keep = world.pg.publication.as_ref().map(Published::encode);
        self.watch = Some(Watch::new(world.pg.publication.clone(), world.now));
        let tables = postgres::tables();
        let Some(decision) = self.decision.clone() else { return self.go(world, Phase::Judge) };
        let prepared = match decision {
            Decision::CreateSlot { snapshot, replace, .. } => {
                if replace {
                    world.pg.slot = None;
                }
                match world.pg.create_slot() {
                    None => {
                        // It waits for running transactions.
                        self.due = world.now + 20 * MS;
                        world.wake(self, self.due);
                        return Ok(());
                    }
                    Some(Err(code)) => {
                        return Err(Failure::new(
                            Exit::Configuration,
                            anyhow::anyhow!("creating the slot: {code}"),
                        ));
                    }
                    Some(Ok(point)) => {
                        let before = (!snapshot).then_some(&world.pg.rows);
                        world.checks.slot_created(point, before);
                        self.exported = Some(world.pg.rows.clone());
                        let exported = Some("exported".to_owned());
                        Prepared::created(&self.settings, &tables, Lsn(point), exported, snapshot)
                    }
                }
            }
            Decision::Resume { from, last_commit, last_commit_us, open, snapshot, .. } => {
                let open = match world.bug {
                    Some(Bug::OpenForgotten) => None,
                    Some(Bug::OrdinalReset) => open.map(|open| OpenTransaction { ordinal_next: 0, ..open }),
                    _ => open,
                };
                self.exported = None;
                let read = Attempt::resumed(&self.settings, &tables, from, &snapshot);
                let remembered = snapshot.remembered().filter(|_| world.bug != Some(Bug::RereadForgotten));
                Prepared { from, last_commit, last_commit_us, open, read, remembered }
            }
        };
        let point = prepared.commit_point(prepared.progress());
        self.prepared = Some(prepared);
        if let Some(position) = self.position_of(point) {
            self.begin_commit(world, position, false);
        }
        self.phase = Phase::Writing;
        Ok(())
    }

    fn position_of(&self, point: CommitPoint) -> Option<Position> {
        self.identity.as_ref().map(|identity| self.store.position(identity, point))
    }

    fn written(&mut self, world: &mut World) -> Step {
        if !self.commit_ended(world)? {
            return Ok(());
        }
        self.has_run = true;
        self.wait = FIRST_RETRY_WAIT;
        let Some(prepared) = self.prepared.clone() else { return Ok(()) };
        let lineage = self.identity.as_ref().map_or(0, |identity| identity.lineage);
        let timeout = std::time::Duration::from_nanos(SENDER_TIMEOUT as u64);
        let interval = start::status_interval(self.settings.status_interval, Some(timeout));
        let capture = Capture::new(self.settings.capture.clone(), prepared.start(interval, lineage))?;
        let is_corrupt = world.facts.spool_corrupt;
        let spool = Memory { is_corrupt, ..Memory::default() };
        self.capture = Some(capture.with_spool(Box::new(spool)));
        match &prepared.read {
            None => self.go(world, Phase::Start),
            Some(attempt) => self.begin_snapshot(world, attempt),
        }
    }

    fn begin_snapshot(&mut self, world: &mut World, attempt: &Attempt) -> Step {
        let mut progress = attempt.progress.clone();
        if progress.attempt > 1 {
            world.fired("snapshot continued");
        }
        let rows = match self.exported.take().filter(|_| attempt.exported.is_some()) {
            Some(rows) => rows,
            None => {
                let (rows, snapshot, end) = world.pg.snapshot();
                let running = world.pg.running.iter().map(|tx| tx.xid).collect();
                world.checks.snapshot_began(progress.attempt, running, world.pg.next_xid);
                let moment = Moment { snapshot, horizon: LsnText(Lsn(end)) };
                if world.bug != Some(Bug::SnapshotUnfiltered) {
                    progress.moments.insert(progress.attempt, moment);
                }
                rows
            }
        };
        if world.bug == Some(Bug::SnapshotFromTheStart) {
            for table in &mut progress.tables {
                (table.done, table.parts) = (false, Vec::new());
            }
        }
        tables_left(&mut progress, &postgres::tables());
        if let Some(capture) = &mut self.capture {
            capture.begin_snapshot(progress, Some(1));
        }
        self.reading = Some(Reading { rows, table: 0, after: None, begun: false });
        self.go(world, Phase::Snapshot)
    }

    /// Reads a handful of rows.
    fn read_rows(&mut self, world: &mut World) -> Step {
        self.asks_postgres(world)?;
        if self.stopping {
            // What was read counts: the next start goes on behind it.
            if self.settle(world)? {
                world.fired("snapshot interrupted in order");
                self.end(world);
            }
            return Ok(());
        }
        let (Some(capture), Some(reading)) = (&mut self.capture, &mut self.reading) else { return Ok(()) };
        let full = capture.pending_bytes() >= OUTBOX_MAX;
        if !full && reading.table < TABLES.len() {
            let oid = FIRST_OID + reading.table as u32;
            let known =
                |progress: &SnapshotProgress| progress.tables.iter().find(|table| table.oid == oid).cloned();
            let done = capture.snapshot().and_then(known).is_none_or(|table| table.done);
            if done && !reading.begun {
                reading.table += 1;
            } else {
                if !reading.begun {
                    let shape = shape(reading.table);
                    let key = chunk_key(&shape, &["id".to_owned()]);
                    let facts = postgres::facts();
                    capture.begin_snapshot_table(SnapshotTable { shape, facts, key, at_us: 1 })?;
                    let upto =
                        capture.snapshot().and_then(known).and_then(|table| table.parts.last()?.upto.clone());
                    reading.after = upto.and_then(|key| key.first()?.parse().ok());
                    reading.begun = true;
                }
                let (table, after) = (reading.table, reading.after.map_or(i32::MIN, |after| after + 1));
                let some: Vec<_> = reading
                    .rows
                    .range((table, after)..(table + 1, i32::MIN))
                    .take(4)
                    .map(|(at, row)| (*at, *row))
                    .collect();
                for (at, row) in &some {
                    capture.handle_snapshot_row(&postgres::copy_line(at.1, row), world.now)?;
                    reading.after = Some(at.1);
                }
                if some.is_empty() {
                    capture.end_snapshot_table();
                    (reading.table, reading.begun, reading.after) = (reading.table + 1, false, None);
                }
            }
        }
        if reading.table >= TABLES.len() {
            capture.end_snapshot(world.now)?;
            self.reading = None;
            self.phase = Phase::Settling;
        }
        self.take_commit(world)?;
        self.pump(world, Pace::Busy)?;
        let delay = world.delay(20, 400);
        self.due = world.now + delay;
        world.wake(self, self.due);
        Ok(())
    }

    fn settle_snapshot(&mut self, world: &mut World) -> Step {
        if !self.settle(world)? {
            return Ok(());
        }
        world.fired("snapshot read");
        let progress = self.capture.as_ref().and_then(|capture| capture.snapshot().cloned());
        let Some(prepared) = &self.prepared else { return Ok(()) };
        if let Some(position) = self.position_of(prepared.commit_point(progress)) {
            self.begin_commit(world, position, false);
        }
        self.phase = Phase::WritingEnd;
        Ok(())
    }

    /// One step towards everything being durable.
    fn settle(&mut self, world: &mut World) -> Result<bool, Failure> {
        self.take_commit(world)?;
        let flow = self.pump(world, Pace::Stopping)?;
        let settled = flow == Flow::Taken && self.commit.is_none();
        if !settled {
            self.due = world.now + 20 * MS;
            world.wake(self, self.due);
        }
        Ok(settled)
    }

    fn start(&mut self, world: &mut World) -> Step {
        self.asks_postgres(world)?;
        faults::between_look_and_start(world);
        let Some(from) = self.prepared.as_ref().map(|prepared| prepared.from) else { return Ok(()) };
        match world.pg.start(from.0, world.now) {
            Ok(wire) => {
                self.wire = Some(wire);
                let confirmed = world.pg.slot.as_ref().map(|slot| Lsn(slot.confirmed));
                if let Some(confirmed) = confirmed.filter(|_| world.bug != Some(Bug::SlotNotLookedAtAgain)) {
                    start::slot_is_not_ahead(&self.settings, confirmed, from)?;
                }
                (self.phase, self.streams_since) = (Phase::Stream, world.now);
                if std::mem::take(&mut world.facts.kill_at_start) {
                    world.fired("killed as the stream starts");
                    let dies = world.delay(20, 400);
                    world.push(world.now + dies, Event::Fault(faults::Fault::KillCapture));
                }
                world.pump_wire(wire);
                world.wake(self, world.now + 100 * MS);
                Ok(())
            }
            Err("55006") if self.slot_retries < self.settings.slot.max_retries => {
                self.slot_retries += 1;
                // G8: with fencing a process of ours that still holds the slot is ended.
                let active = world.pg.slot.as_ref().and_then(|slot| slot.active);
                if let Some(wire) = active.filter(|wire| world.facts.stranger != Some(*wire)) {
                    world.pg.cut(wire);
                    world.fired("predecessor evicted");
                }
                self.due = world.now + 100 * MS;
                world.wake(self, self.due);
                Ok(())
            }
            Err("55006") => {
                Err(Failure::guard("E_SLOT_ACTIVE", "the slot is used by another process".to_owned()))
            }
            Err(code) => {
                Err(Failure::new(Exit::Configuration, anyhow::anyhow!("starting replication: {code}")))
            }
        }
    }

    fn stream(&mut self, world: &mut World) -> Step {
        let Some(wire) = self.wire.filter(|wire| world.pg.wires.contains_key(wire)) else {
            return Err(Failure::from(cdcd_postgres::Error::Closed));
        };
        if world.pg.is_refused(wire) {
            return Err(no_publication(&self.settings.publication.name));
        }
        let watched =
            world.bug != Some(Bug::PublicationIgnored) && world.bug != Some(Bug::PublicationNotWatched);
        let due = self.watch.as_mut().filter(|_| watched).and_then(|watch| watch.due(world.now));
        if let Some(before) = due.cloned() {
            self.publication_goes_on(&before, world)?;
        }
        let (mut more, mut flow) = (false, Flow::Taken);
        for _ in 0..64 {
            self.take_commit(world)?;
            more = self.take_frames(world, wire)?;
            flow = self.pump(world, if more { Pace::Busy } else { Pace::Idle })?;
            self.look_after(world, wire)?;
            if self.stopping {
                return self.finish(world, wire);
            }
            if flow == Flow::Full || !more {
                break;
            }
        }
        world.pump_wire(wire);
        // While nothing can be taken, frames that wait are no reason to wake up.
        let busy = self.uncommitted || self.commit.is_some() || more;
        let mut next = world.now + if busy { 100 * MS } else { world.load.nap };
        if let Some(arrival) = world.pg.next_arrival(wire).filter(|_| flow == Flow::Taken) {
            next = next.min(arrival.max(world.now + MS));
        }
        world.wake(self, next);
        Ok(())
    }

    /// Feeds frames that have arrived; says whether more may wait.
    fn take_frames(&mut self, world: &mut World, wire: u64) -> Result<bool, Failure> {
        let Some(capture) = &mut self.capture else { return Ok(false) };
        while capture.pending_bytes() < OUTBOX_MAX || world.bug == Some(Bug::ReadsOnWhileBlocked) {
            if capture.handle_spooled(world.now)? {
                world.fired("streamed transaction played back");
                if capture.poll_catalog_request().is_some() {
                    capture.handle_catalog(&postgres::facts())?;
                }
                continue;
            }
            let Some(payload) = world.pg.receive(wire, world.now) else { return Ok(false) };
            match Frame::read(&payload) {
                Ok(Frame::XLogData(data)) => capture.handle_xlog_data(&data, world.now)?,
                Ok(Frame::Keepalive(keepalive)) => {
                    self.keepalive = keepalive.wal_end.0;
                    capture.handle_keepalive(&keepalive)?;
                }
                Err(error) => return Err(Failure::new(Exit::Unexpected, error)),
            }
            if capture.poll_catalog_request().is_some() {
                capture.handle_catalog(&postgres::facts())?;
            }
        }
        Ok(true)
    }

    /// `Delivery::pump`: offers what waits, and begins a commit if one is due.
    fn pump(&mut self, world: &mut World, pace: Pace) -> Result<Flow, Failure> {
        let flow = self.send(world)?;
        if flow == Flow::Taken && self.commit.is_none() {
            let Some(capture) = &mut self.capture else { return Ok(flow) };
            if let Some(mut point) = capture.poll_commit(world.now, pace) {
                if let Some(bug) = world.bug {
                    bug.bends(&mut point, capture, self.keepalive);
                }
                if let Some(position) = self.position_of(point) {
                    self.begin_commit(world, position, true);
                }
            }
        }
        Ok(flow)
    }

    fn send(&mut self, world: &mut World) -> Result<Flow, Failure> {
        let (Some(capture), Some(producer)) = (&mut self.capture, &mut self.producer) else {
            return Ok(Flow::Full);
        };
        if producer.refused.is_some() {
            return Err(fenced());
        }
        if self.commit.is_some() {
            return Ok(Flow::Full);
        }
        if capture.pending_bytes() == 0 {
            return Ok(Flow::Taken);
        }
        let mut records = Vec::new();
        let mut bytes = 0;
        let unbounded = world.bug == Some(Bug::ReadsOnWhileBlocked);
        let flow = capture.send_records(|record| {
            let size = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
            if producer.unacked + bytes + size > QUEUE_MAX && !unbounded {
                return Flow::Full;
            }
            bytes += size;
            let eid = record.headers.iter().find(|header| header.name == EVENT_ID);
            records.push(Rc::new(Record {
                topic: usize::from(record.topic.ends_with(TABLES[1])),
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                eid: eid.and_then(|header| header.value).map(<[u8]>::to_vec),
            }));
            Flow::Taken
        });
        if !records.is_empty() {
            self.uncommitted = true;
            producer.unacked += bytes;
            self.request(world, Request::Produce { records, bytes }, 0);
        }
        Ok(flow)
    }

    /// Puts a request on the producer's connection.
    fn request(&mut self, world: &mut World, request: Request, extra: Nanos) {
        let delay = world.delay(1, 15) + extra;
        let Some(producer) = &mut self.producer else { return };
        let at = (world.now + delay).max(producer.last_arrival);
        if extra == 0 {
            producer.last_arrival = at;
        }
        let (node, life, epoch) = (self.id, self.life, producer.epoch);
        world.push(at, Event::Request(Arrived { node, life, epoch, request }));
    }

    fn begin_commit(&mut self, world: &mut World, mut position: Position, counts: bool) {
        if let Some(capture) = &self.capture {
            let new = capture.topics().iter().skip(self.sent_to).cloned().collect::<Vec<_>>();
            self.sent_to += new.len();
            let ids = topic_ids(world);
            for name in new {
                if let Some(id) = ids.get(&name) {
                    self.topic_ids.insert(name, id.clone());
                }
            }
        }
        if counts && self.uncommitted && std::mem::take(&mut world.facts.second_in_commit) {
            world.fired("second capture in a commit");
            world.start_capture();
        }
        position.topics.extend(self.topic_ids.clone());
        self.commits += 1;
        let serial = self.commits;
        let value = position.encode();
        self.last_position = Some(position);
        if world.bug == Some(Bug::PositionInItsOwnTransaction) {
            self.request(world, Request::EndTxn { serial: 0, reply: false }, 0);
        }
        let kept = self.keep.take();
        self.request(world, Request::Position { value, kept }, 0);
        let (mut reply, mut extra) = (true, 0);
        if world.one_in(400) {
            reply = false;
            world.fired("EndTxn reply lost");
        } else if world.one_in(400) {
            reply = false;
            extra = PATIENCE + world.delay(0, 60_000);
            world.fired("EndTxn late");
        }
        if world.one_in(500) {
            world.fired("EndTxn request lost");
        } else {
            self.request(world, Request::EndTxn { serial, reply }, extra);
        }
        let deadline = world.now + PATIENCE;
        self.commit = Some(Commit { deadline, result: None, serial, counts });
        self.uncommitted = false;
        if world.bug == Some(Bug::CommittedWhenAsked)
            && let Some(capture) = &mut self.capture
        {
            capture.handle_committed();
        }
        world.wake(self, deadline + MS);
    }

    /// The broker has answered.
    pub(crate) fn commit_done(&mut self, serial: u64, result: Result<u32, Refusal>) {
        if let Some(commit) = self.commit.as_mut().filter(|commit| commit.serial == serial) {
            commit.result = Some(result);
        }
    }

    pub(crate) fn acked(&mut self, bytes: usize, result: Result<(), Refusal>) {
        let Some(producer) = &mut self.producer else { return };
        producer.unacked = producer.unacked.saturating_sub(bytes);
        if let Err(refusal) = result {
            producer.refused = Some(refusal);
        }
    }

    fn commit_ended(&mut self, world: &mut World) -> Result<bool, Failure> {
        let Some(commit) = &self.commit else { return Ok(true) };
        match commit.result {
            Some(Ok(epoch)) => {
                self.commit = None;
                if let Some(producer) = &mut self.producer {
                    producer.epoch = epoch;
                }
                Ok(true)
            }
            Some(Err(Refusal::Fenced)) => Err(fenced()),
            None if self.producer.as_ref().is_some_and(|producer| producer.refused.is_some()) => {
                Err(fenced())
            }
            None if world.now >= commit.deadline => {
                world.fired("unknown outcome");
                if world.bug == Some(Bug::UnknownTakenForCommitted) {
                    self.commit = None;
                    return Ok(true);
                }
                Err(timed_out("committing a transaction"))
            }
            None => {
                let deadline = commit.deadline;
                world.wake(self, deadline + MS);
                Ok(false)
            }
        }
    }

    /// `Delivery::committed`, if it has ended.
    fn take_commit(&mut self, world: &mut World) -> Step {
        let Some(counts) = self.commit.as_ref().map(|commit| commit.counts) else { return Ok(()) };
        if self.commit_ended(world)?
            && counts
            && let Some(capture) = &mut self.capture
        {
            capture.handle_committed();
        }
        Ok(())
    }

    fn look_after(&mut self, world: &mut World, wire: u64) -> Step {
        let Some(capture) = &mut self.capture else { return Ok(()) };
        capture.handle_timer(world.now);
        if world.bug == Some(Bug::SilentWhileCommitting) && self.commit.is_some() {
            return Ok(());
        }
        if let Some(mut update) = capture.poll_status_update(world.now) {
            if let Some(bug) = world.bug {
                bug.bends_update(&mut update, capture, self.keepalive);
            }
            world.send_status(wire, update);
        }
        Ok(())
    }

    /// Delivers what was read, writes the last position, acknowledges it, and leaves in order.
    fn finish(&mut self, world: &mut World, wire: u64) -> Step {
        if !self.settle(world)? {
            return Ok(());
        }
        let Some(capture) = &self.capture else { return Ok(()) };
        let update = StandbyStatusUpdate {
            written: capture.received(),
            flushed: capture.acknowledgeable(),
            sent_at: 0,
            reply_requested: true,
        };
        world.send_status(wire, update);
        world.fired("stopped in order");
        if capture.in_transaction() {
            world.fired("stopped inside of a transaction");
        }
        self.end(world);
        Ok(())
    }
}

fn topic_ids(world: &World) -> BTreeMap<String, String> {
    let ids = world.kafka.topics.iter().enumerate().filter(|(_, topic)| topic.exists);
    ids.map(|(index, topic)| (format!("srv.public.{}", TABLES[index]), topic.id.to_string())).collect()
}

fn shape(table: usize) -> TableShape {
    let column = |name: &str, is_identity, type_oid| ColumnShape {
        name: name.to_owned(),
        is_identity,
        type_oid,
        typmod: -1,
    };
    TableShape {
        oid: FIRST_OID + table as u32,
        schema: "public".to_owned(),
        table: TABLES[table].to_owned(),
        identity: ReplicaIdentity::Default,
        columns: vec![column("id", true, 23), column("v", false, 25), column("big", false, 25)],
    }
}
