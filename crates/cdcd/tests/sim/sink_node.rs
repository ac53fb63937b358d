//! A process that lands, as the run loop of `cdcd sink` drives it: the same answers to the same actions, late, lost, or
//! in another order than they were asked for.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use cdcd_debezium::header::EVENT_ID;
use cdcd_debezium::record::{Header, Record as SentRecord};
use cdcd_sink::config::{Config, DeleteMode, TableMode};
use cdcd_sink::destination::{ChannelStatus, DestinationError, ErrorKind};
use cdcd_sink::memory::MemoryEncoder;
use cdcd_sink::offset_token::TopicId;
use cdcd_sink::{Action, Assignment, Described, GroupOffset, Incoming, PartitionId, Sink, StopReason};

use crate::bugs::Bug;
use crate::kafka::Record;
use crate::postgres::TABLES;
use crate::time::{MS, Nanos, SECOND};
use crate::world::{Event, World, trace};

/// Records of one fetch.
const FETCH_MAX: usize = 12;

/// Pause behind the first attempt at a request.
const FIRST_PAUSE: Nanos = 200 * MS;

/// A topic-partition.
pub(crate) type Place = (usize, usize);

struct Owned {
    place: Place,
    topic_id: TopicId,
    epoch: u64,
    next: Option<usize>,
    after_records: usize,
    paused: bool,
}

/// Records that are on their way from the client's thread.
struct Fetched {
    id: PartitionId,
    epoch: u64,
    records: Vec<(usize, Rc<Record>)>,
    end: Option<(usize, usize)>,
}

pub(crate) struct SinkNode {
    pub(crate) id: usize,
    pub(crate) sink: Sink,
    pub(crate) alive: bool,
    pub(crate) wake_at: Nanos,
    pub(crate) paused_until: Nanos,
    pub(crate) stopping: bool,
    owned: BTreeMap<PartitionId, Owned>,
    /// The newest open of each channel: an older one is not tried again.
    opens: BTreeMap<String, u64>,
    fetched: Vec<Fetched>,
    /// Generation of the group that its partitions are of.
    pub(crate) generation: u64,
    started: Nanos,
}

/// What an attempt at an action came to, on its way back.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) action: Action,
    pub(crate) pause: Nanos,
    pub(crate) since: Nanos,
}

fn lost(what: &str) -> DestinationError {
    DestinationError::new(ErrorKind::Transient, what, "no answer")
}

impl SinkNode {
    pub(crate) fn new(id: usize, world: &World) -> Self {
        let config = Config {
            mode: TableMode::Merge,
            deletes: if world.soft_deletes { DeleteMode::Soft } else { DeleteMode::Hard },
            batch_rows_max: 9,
            status_interval: Duration::from_secs(2),
            merge_interval: Duration::from_secs(20),
            ..Config::default()
        };
        let instance = format!("sink-{id}");
        SinkNode {
            id,
            sink: Sink::new(config, instance, Box::new(MemoryEncoder::default())),
            alive: true,
            wake_at: Nanos::MAX,
            paused_until: 0,
            stopping: false,
            owned: BTreeMap::new(),
            opens: BTreeMap::new(),
            fetched: Vec::new(),
            generation: 0,
            started: world.now,
        }
    }

    fn elapsed(&self, world: &World) -> Duration {
        Duration::from_nanos((world.now - self.started) as u64)
    }

    pub(crate) fn revoke(&mut self) {
        for id in std::mem::take(&mut self.owned).into_keys() {
            self.sink.handle_revoked(id);
        }
        self.fetched.clear();
        self.opens.clear();
    }

    /// The group gives partitions; their facts were asked for at `facts`, a moment ago.
    pub(crate) fn assign(&mut self, world: &mut World, places: &[Place]) {
        let now = self.elapsed(world);
        let forgets = world.bug == Some(Bug::DurableNotPersisted);
        for place in places {
            let topic = &world.kafka.topics[place.0];
            let log = &topic.partitions[place.1];
            let mut committed = world.group.get(place).cloned();
            if let Some((_, metadata)) = committed.as_mut().filter(|_| forgets) {
                *metadata = metadata.split(' ').take(3).collect::<Vec<_>>().join(" ");
            }
            let assignment = Assignment {
                topic: Arc::from(format!("srv.public.{}", TABLES[place.0]).as_str()),
                partition: place.1 as i32,
                topic_id: topic.id,
                table: TABLES[place.0].to_uppercase(),
                low: if world.bug == Some(Bug::RetentionGapIgnored) { 0 } else { log.base as i64 },
                high: match world.bug {
                    Some(Bug::TruncationIgnored) => 1 << 40,
                    _ => world.kafka.stable(place.0, place.1) as i64,
                },
                initial: committed.as_ref().map_or(log.base as i64, |(offset, _)| *offset),
                group: committed.map(|(offset, metadata)| GroupOffset { offset, metadata }),
                partitions: topic.partitions.len() as i32,
                topic_commits: match world.bug {
                    Some(Bug::AddedPartitionIsNew) => Arc::default(),
                    _ => world.commits_of(place.0),
                },
            };
            let topic_id = topic.id;
            let id = self.sink.handle_assigned(&assignment, now);
            let owned =
                Owned { place: *place, topic_id, epoch: 0, next: None, after_records: 0, paused: false };
            self.owned.insert(id, owned);
        }
    }

    pub(crate) fn step(&mut self, world: &mut World) {
        if !self.alive {
            return;
        }
        if world.now < self.paused_until {
            return world.wake_sink(self, self.paused_until);
        }
        self.deliver(world);
        self.fetch(world);
        let now = self.elapsed(world);
        while let Some(action) = self.sink.poll_action(now) {
            self.begin(world, action);
        }
        if !self.alive {
            return;
        }
        if self.stopping && self.sink.is_idle() {
            self.alive = false;
            self.revoke();
            world.fired("sink stopped in order");
            return world.rebalance_soon();
        }
        let busy = !self.sink.is_idle() || !self.fetched.is_empty();
        let next = world.now + if busy { world.load.tick } else { world.load.nap };
        world.wake_sink(self, next);
        let pending = self.sink.stats().rows_pending;
        world.checks.rows_in_flight(pending, self.owned.len(), self.id);
    }

    /// What the client's thread has fetched comes to the loop, in order, and sometimes late.
    fn deliver(&mut self, world: &mut World) {
        if world.rng.u8(0..4) == 0 {
            return;
        }
        let now = self.elapsed(world);
        for fetched in std::mem::take(&mut self.fetched) {
            let Some(owned) = self.owned.get(&fetched.id) else { continue };
            let epoch = match world.bug {
                Some(Bug::StaleRecordsAccepted) => owned.epoch,
                _ => fetched.epoch,
            };
            let topic = format!("srv.public.{}", TABLES[owned.place.0]);
            let partition = owned.place.1 as i32;
            for (offset, record) in &fetched.records {
                let header = [Header { name: EVENT_ID, value: record.eid.as_deref() }];
                let headers = if record.eid.is_some() && world.sees_headers { &header[..] } else { &[] };
                let record = SentRecord {
                    topic: &topic,
                    timestamp_ms: None,
                    partition: Some(partition),
                    key: record.key.as_deref(),
                    value: record.value.as_deref(),
                    headers,
                };
                let is_foreign = world
                    .facts
                    .foreign
                    .is_some_and(|(at, foreign, _)| (at, foreign) == (owned.place, *offset));
                if is_foreign && world.bug == Some(Bug::MalformedSkipped) {
                    continue;
                }
                let offset = *offset as i64;
                let id = fetched.id;
                let incoming = Incoming { id, epoch, partition, offset, timestamp_ms: Some(1), record };
                self.sink.handle_record(&incoming, now);
            }
            if let Some((after, end)) = fetched.end {
                self.sink.handle_end(fetched.id, epoch, after as i64, end as i64);
            }
        }
    }

    fn fetch(&mut self, world: &mut World) {
        if !world.kafka.is_up(world.now) {
            return;
        }
        for (id, owned) in &mut self.owned {
            let (topic, partition) = owned.place;
            if world.kafka.topics[topic].id != owned.topic_id {
                // Reading an unknown topic id fails: the process ends and looks again.
                self.alive = false;
                break;
            }
            let Some(next) = owned.next.filter(|_| !owned.paused) else { continue };
            let log = &world.kafka.topics[topic].partitions[partition];
            if world.now < log.away_until {
                continue;
            }
            if next > log.entries.len() || next < log.base {
                // Out of range, and there is no automatic reset.
                self.alive = false;
                break;
            }
            let (records, next) = world.kafka.fetch(topic, partition, next, FETCH_MAX);
            if let Some((offset, _)) = records.last() {
                owned.after_records = offset + 1;
            }
            let end = (next == world.kafka.stable(topic, partition)).then_some((owned.after_records, next));
            if owned.next == Some(next) && records.is_empty() && end.is_none() {
                continue;
            }
            owned.next = Some(next);
            self.fetched.push(Fetched { id: *id, epoch: owned.epoch, records, end });
        }
        if !self.alive {
            self.revoke();
            world.fired("sink's offset out of range");
            world.rebalance_soon();
        }
    }

    fn begin(&mut self, world: &mut World, action: Action) {
        match action {
            Action::Start { id, epoch, offset } => {
                if let Some(owned) = self.owned.get_mut(&id) {
                    let offset = usize::try_from(offset).unwrap_or(0);
                    let committed = world.group.get(&owned.place).map(|(offset, _)| *offset as usize);
                    let offset = match world.bug {
                        Some(Bug::NullTokenStartsAtEnd) => {
                            let has_token = committed.is_some_and(|committed| committed < offset);
                            let end = world.kafka.stable(owned.place.0, owned.place.1);
                            if has_token || offset > 0 { offset } else { end }
                        }
                        _ => offset,
                    };
                    (owned.epoch, owned.next, owned.paused) = (epoch, Some(offset), false);
                    owned.after_records = offset;
                }
            }
            Action::LogEnd { id, epoch } => {
                let Some(owned) = self.owned.get(&id) else { return };
                let (topic, partition) = owned.place;
                let base = world.kafka.topics[topic].partitions[partition].base as i64;
                let end = world.kafka.stable(topic, partition) as i64;
                self.sink.handle_log_end(id, epoch, Ok((base, end)));
                world.fired("end of the log asked for");
            }
            Action::Pause(id) => {
                if let Some(owned) = self.owned.get_mut(&id) {
                    owned.paused = true;
                }
            }
            Action::Resume(id) => {
                if let Some(owned) = self.owned.get_mut(&id) {
                    owned.paused = false;
                }
            }
            Action::Commit { id, offset, metadata } => {
                let Some(owned) = self.owned.get(&id) else { return };
                // The group refuses commits of members of an earlier generation.
                if self.generation == world.generation && world.kafka.is_up(world.now) {
                    let offset = match world.bug {
                        Some(Bug::OffsetBeyondDurable) => owned.next.map_or(offset, |next| next as i64),
                        _ => offset,
                    };
                    let (place, id) = (owned.place, owned.topic_id);
                    world.group_committed(place, id, offset, metadata);
                }
            }
            Action::Stopped { id, reason } => {
                let Some(owned) = self.owned.get(&id) else { return };
                let (place, topic_id) = (owned.place, owned.topic_id);
                world.partition_stopped(self.id, place, topic_id, &reason);
            }
            Action::DeadLetter { .. } => {
                world.checks.violate("C6", "a dead letter where every record can be read".to_owned());
            }
            action => {
                if let Action::Open { channel, .. } = &action {
                    self.opens.insert(channel.name.clone(), channel.epoch);
                }
                let delay = world.delay(1, 120);
                let attempt = Attempt { action, pause: FIRST_PAUSE, since: world.now };
                world.push(world.now + delay, Event::Attempt { sink: self.id, attempt: Box::new(attempt) });
            }
        }
    }

    /// An attempt reaches Snowflake; its answer goes back, unless one of the two is lost.
    pub(crate) fn attempt(&mut self, world: &mut World, attempt: Attempt) {
        let is_stale = match &attempt.action {
            // The first request is on its way.
            Action::Open { channel, .. } if attempt.pause > FIRST_PAUSE => {
                self.opens.get(&channel.name) != Some(&channel.epoch)
            }
            _ => false,
        };
        if !self.alive || is_stale {
            return;
        }
        let request_lost = !world.snow.is_up(world.now) || world.one_in(150);
        let reply_lost = !request_lost && world.one_in(150);
        if reply_lost {
            world.fired("Snowflake's answer lost");
        }
        world.settle();
        let done = if request_lost { None } else { Some(self.carry_out(world, &attempt.action)) };
        let retries = !matches!(attempt.action, Action::Merge { .. });
        if (request_lost || reply_lost) && retries && world.now - attempt.since < 600 * SECOND {
            let Attempt { action, pause, since } = attempt;
            let again = Box::new(Attempt { action, pause: (pause * 2).min(30 * SECOND), since });
            return world.push(world.now + pause, Event::Attempt { sink: self.id, attempt: again });
        }
        let answer = match done {
            Some(answer) if !reply_lost => answer,
            _ => Answer::Failed(lost("asking")),
        };
        let delay = world.delay(1, 120);
        let answered = Box::new((attempt.action, answer));
        world.push(world.now + delay, Event::Answer { sink: self.id, answered });
    }

    fn carry_out(&self, world: &mut World, action: &Action) -> Answer {
        let bug = world.bug;
        match action {
            Action::Describe { landing, current, .. } => Answer::Described(Described {
                landing: world.snow.describe(landing),
                current: current.as_ref().and_then(|name| world.snow.describe(name)),
            }),
            Action::Prepare { plan, .. } => {
                world.snow.prepare(plan);
                Answer::Done
            }
            Action::Open { id, channel } => {
                world.fired("channel opened");
                let mut status = world.snow.open((self.id, id.0), channel, world.now, bug);
                trace!(world, "sink {} opens {} at {:?}", self.id, channel.name, status.token);
                if bug == Some(Bug::ErrorsForgiven) || bug == Some(Bug::ErrorsNotPersisted) {
                    status.rows_error_count = 0;
                }
                if bug == Some(Bug::RowCountIgnored) {
                    status.rows_inserted = None;
                }
                if bug == Some(Bug::StartAtGroupOffset) {
                    status.token = None;
                }
                Answer::Opened(status)
            }
            Action::Append { batch, .. } => {
                let lag = match world.rng.u8(0..20) {
                    _ if world.facts.commits_stall && !world.is_calm() => 400 * SECOND,
                    0 if !world.is_calm() => world.delay(5_000, 60_000),
                    _ => world.delay(20, 3_000),
                };
                let commit_at = world.now + lag;
                let appended = world.snow.append(self.id, batch, commit_at, bug);
                trace!(world, "sink {} appends {} to {appended:?}", self.id, batch.end_token);
                match appended {
                    Ok(()) => Answer::Done,
                    Err(error) if bug == Some(Bug::RefusalForgiven) && error.kind != ErrorKind::Reopen => {
                        Answer::Done
                    }
                    Err(error) => Answer::Failed(error),
                }
            }
            Action::Statuses { channels, .. } => {
                let mut statuses = world.snow.statuses(channels);
                if bug == Some(Bug::ErrorsForgiven) {
                    statuses.iter_mut().for_each(|(_, status)| status.rows_error_count = 0);
                }
                Answer::Statuses(statuses)
            }
            Action::Ledger { plan, channels, .. } => Answer::Ledger(world.snow.ledger(plan, channels)),
            Action::Merge { plan, .. } => match world.snow.merge(plan, world.now, bug) {
                Ok(()) => {
                    world.checks.merged(&plan.ranges);
                    Answer::Done
                }
                Err(error) => {
                    world.fired("ledger moved on");
                    Answer::Failed(error)
                }
            },
            _ => Answer::Done,
        }
    }

    /// The answer comes in.
    pub(crate) fn answered(&mut self, world: &mut World, (action, answer): (Action, Answer)) {
        if !self.alive {
            return;
        }
        if world.now < self.paused_until {
            let at = self.paused_until;
            let answered = Box::new((action, answer));
            return world.push(at, Event::Answer { sink: self.id, answered });
        }
        let now = self.elapsed(world);
        match (action, answer) {
            (Action::Describe { table, .. }, answer) => {
                let answer = answer.or_failure(|answer| match answer {
                    Answer::Described(described) => Some(described),
                    _ => None,
                });
                self.sink.handle_described(&table, answer);
            }
            (Action::Prepare { table, .. }, answer) => self.sink.handle_prepared(&table, answer.done()),
            (Action::Open { id, channel }, answer) => {
                let answer = answer.or_failure(|answer| match answer {
                    Answer::Opened(status) => Some(status),
                    _ => None,
                });
                self.sink.handle_opened(id, channel.epoch, answer);
            }
            (Action::Append { id, batch }, answer) => {
                self.sink.handle_appended(id, batch.channel.epoch, answer.done(), &batch, now);
            }
            (Action::Statuses { table, channels }, answer) => {
                let answer = answer.or_failure(|answer| match answer {
                    Answer::Statuses(statuses) => Some(statuses),
                    _ => None,
                });
                self.sink.handle_statuses(&table, &channels, answer, now);
            }
            (Action::Ledger { table, .. }, answer) => {
                let answer = answer.or_failure(|answer| match answer {
                    Answer::Ledger(ledger) => Some(ledger),
                    _ => None,
                });
                self.sink.handle_ledger(&table, answer, now);
            }
            (Action::Merge { table, plan }, answer) => {
                self.sink.handle_merged(&table, &plan, answer.done(), now);
            }
            _ => {}
        }
        world.wake_sink(self, world.now);
    }
}

/// What Snowflake says.
#[derive(Debug)]
pub(crate) enum Answer {
    Done,
    Described(Described),
    Opened(ChannelStatus),
    Statuses(Vec<(String, ChannelStatus)>),
    Ledger(cdcd_sink::merge::LedgerAnswer),
    Failed(DestinationError),
}

impl Answer {
    fn done(self) -> Result<(), DestinationError> {
        match self {
            Answer::Failed(error) => Err(error),
            _ => Ok(()),
        }
    }

    fn or_failure<T>(self, read: impl FnOnce(Answer) -> Option<T>) -> Result<T, DestinationError> {
        match self {
            Answer::Failed(error) => Err(error),
            answer => read(answer).ok_or_else(|| lost("asking")),
        }
    }
}

pub(crate) fn reason_name(reason: &StopReason) -> String {
    match reason.kind {
        cdcd_sink::StopKind::Guard(name) => name.to_owned(),
        other => format!("{other:?}"),
    }
}
