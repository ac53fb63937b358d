//! A world for the sink: topics in memory, a hand-held clock, and actions that are carried out one by one.

use cdcd_debezium::record::{Header, Record};
use cdcd_sink::config::Config;
use cdcd_sink::destination::Destination;
use cdcd_sink::dlq::DeadLetter;
use cdcd_sink::memory::{Memory, MemoryEncoder, Row};
use cdcd_sink::offset_token::TopicId;
use cdcd_sink::{Action, Assignment, Described, Incoming, PartitionId, Sink, StopReason};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Futures of the in-memory destination are ready at once.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the in-memory destination never waits"),
    }
}

/// Key and value of one record.
pub(crate) type KeyValue = (Option<String>, Option<String>);

/// A xorshift generator: the seed is printed by the failing test.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides.max(1)
    }
}

/// A sink and what surrounds it.
pub(crate) struct World<'m> {
    pub(crate) sink: Sink,
    pub(crate) memory: &'m Memory,
    pub(crate) topics: Vec<(String, Vec<Vec<KeyValue>>)>,
    pub(crate) letters: Vec<DeadLetter>,
    pub(crate) stops: Vec<StopReason>,
    pub(crate) commits: BTreeMap<(String, i32), i64>,
    /// Records of every partition are of lineage 1 from this offset on.
    pub(crate) lineage_from: Option<usize>,
    now: Duration,
    owned: BTreeMap<PartitionId, Owned>,
    waiting: Vec<Action>,
}

struct Owned {
    topic: usize,
    partition: usize,
    epoch: u64,
    next: Option<usize>,
}

impl<'m> World<'m> {
    pub(crate) fn new(config: Config, memory: &'m Memory, topics: Vec<(String, Vec<Vec<KeyValue>>)>) -> Self {
        World {
            sink: Sink::new(config, "test".to_owned(), Box::new(MemoryEncoder::default())),
            memory,
            topics,
            letters: Vec::new(),
            stops: Vec::new(),
            commits: BTreeMap::new(),
            now: Duration::ZERO,
            lineage_from: None,
            owned: BTreeMap::new(),
            waiting: Vec::new(),
        }
    }

    /// Assigns every partition; table names are the last part of the topic's.
    pub(crate) fn assign_all(&mut self) {
        let parts: Vec<(usize, usize)> = self
            .topics
            .iter()
            .enumerate()
            .flat_map(|(t, (_, all))| (0..all.len()).map(move |p| (t, p)))
            .collect();
        for (topic, partition) in parts {
            let (name, log) = (&self.topics[topic].0, &self.topics[topic].1[partition]);
            let assignment = Assignment {
                topic: Arc::from(name.as_str()),
                partition: partition as i32,
                topic_id: TopicId([topic as u8 + 1; 16]),
                table: name.rsplit('.').next().unwrap_or(name).to_uppercase(),
                low: 0,
                high: log.len() as i64 + 1,
                initial: 0,
                group: None,
                partitions: self.topics[topic].1.len() as i32,
                topic_commits: Arc::default(),
            };
            let id = self.sink.handle_assigned(&assignment, self.now);
            self.owned.insert(id, Owned { topic, partition, epoch: 0, next: None });
        }
    }

    /// One step: the next action, a waiting answer, a record or time, by the dice.
    pub(crate) fn step(&mut self, dice: &mut Dice) {
        self.now += Duration::from_millis(dice.roll(40) as u64);
        while let Some(action) = self.sink.poll_action(self.now) {
            self.waiting.push(action);
        }
        match dice.roll(4) {
            // Work of one partition stays in order; everything else may overtake.
            0 | 1 if !self.waiting.is_empty() => {
                let action = self.waiting.remove(0);
                self.carry_out(action);
            }
            2 => {
                self.memory.commit_one(dice.roll(8));
            }
            _ => self.deliver(dice),
        }
    }

    pub(crate) fn run(&mut self, dice: &mut Dice, steps: usize) {
        for _ in 0..steps {
            if self.sink.is_caught_up() && self.waiting.is_empty() {
                return;
            }
            self.step(dice);
        }
        panic!("not caught up after {steps} steps: {:?} {:?}", self.sink.stats(), self.stops);
    }

    fn deliver(&mut self, dice: &mut Dice) {
        let ids: Vec<PartitionId> = self.owned.keys().copied().collect();
        let Some(id) = ids.get(dice.roll(ids.len())) else { return };
        for _ in 0..=dice.roll(4) {
            let Some(owned) = self.owned.get_mut(id) else { return };
            let Some(next) = owned.next else { return };
            let (topic, log) = (&self.topics[owned.topic].0, &self.topics[owned.topic].1[owned.partition]);
            let Some((key, value)) = log.get(next) else {
                // One more offset for the mark that ends a transaction.
                let end = log.len() as i64;
                self.sink.handle_end(*id, owned.epoch, end, end + 1);
                return;
            };
            owned.next = Some(next + 1);
            let lineage = self.lineage_from.filter(|from| next >= *from).map(|_| &b"1"[..]);
            let headers = [Header { name: "cdcd.lineage", value: lineage }];
            let record = Record {
                topic,
                partition: Some(owned.partition as i32),
                timestamp_ms: None,
                key: key.as_ref().map(String::as_bytes),
                value: value.as_ref().map(String::as_bytes),
                headers: if lineage.is_some() { &headers } else { &[] },
            };
            let incoming = Incoming {
                id: *id,
                epoch: owned.epoch,
                partition: owned.partition as i32,
                offset: next as i64,
                timestamp_ms: Some(1_700_000_000_000),
                record,
            };
            self.sink.handle_record(&incoming, self.now);
            if dice.roll(20) == 0 {
                // Delivered again: it is old now.
                self.sink.handle_record(&incoming, self.now);
            }
        }
    }

    fn carry_out(&mut self, action: Action) {
        let (memory, now) = (self.memory, self.now);
        match action {
            Action::Describe { table, landing, current } => {
                let columns = |name: &str| block_on(memory.describe(name)).expect("described");
                let answer = Described {
                    landing: columns(&landing),
                    current: current.and_then(|name| columns(&name)),
                };
                self.sink.handle_described(&table, Ok(answer));
            }
            Action::Prepare { table, plan } => {
                self.sink.handle_prepared(&table, block_on(memory.prepare(&plan)));
            }
            Action::Open { id, channel } => {
                self.sink.handle_opened(id, channel.epoch, block_on(memory.open(&channel)));
            }
            Action::LogEnd { id, epoch } => {
                let owned = &self.owned[&id];
                let end = self.topics[owned.topic].1[owned.partition].len() as i64 + 1;
                self.sink.handle_log_end(id, epoch, Ok((0, end)));
            }
            Action::Start { id, epoch, offset } => {
                if let Some(owned) = self.owned.get_mut(&id) {
                    (owned.epoch, owned.next) = (epoch, Some(offset as usize));
                }
            }
            Action::Append { id, batch } => {
                let answer = block_on(memory.append(&batch));
                self.sink.handle_appended(id, batch.channel.epoch, answer, &batch, now);
            }
            Action::Statuses { table, channels } => {
                let answer = block_on(memory.statuses(&channels));
                self.sink.handle_statuses(&table, &channels, answer, now);
            }
            Action::DeadLetter { id, epoch, letter } => {
                self.sink.handle_dead_lettered(id, epoch, letter.offset, Ok(()));
                self.letters.push(letter);
            }
            Action::Commit { id, offset, .. } => {
                let owned = &self.owned[&id];
                let name = self.topics[owned.topic].0.clone();
                self.commits.insert((name, owned.partition as i32), offset);
            }
            Action::Ledger { table, plan, channels } => {
                self.sink.handle_ledger(&table, block_on(memory.ledger(&plan, &channels)), now);
            }
            Action::Merge { table, plan } => {
                self.sink.handle_merged(&table, &plan, block_on(memory.merge(&plan)), now);
            }
            Action::Stopped { reason, .. } => self.stops.push(reason),
            Action::Pause(_) | Action::Resume(_) => {}
        }
    }
}

/// Business columns of rows, as one line each, sorted.
pub(crate) fn lines(rows: &[Row]) -> Vec<String> {
    let mut lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let business = row.iter().filter(|(name, _)| !name.starts_with('_'));
            business.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        })
        .collect();
    lines.sort();
    lines
}
