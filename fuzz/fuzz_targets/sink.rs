//! Any records in any order, with thefts, restarts and lost answers: what is durable is what was read, once.
#![no_main]

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use arbitrary::Arbitrary;
use cdcd_debezium::record::Record;
use cdcd_sink::config::{Config, Landing, Malformed};
use cdcd_sink::destination::Destination as _;
use cdcd_sink::memory::{Commit, Memory, MemoryEncoder};
use cdcd_sink::offset_token::TopicId;
use cdcd_sink::{Action, Assignment, Described, Incoming, PartitionId, Sink};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
enum Step<'a> {
    /// The next record.
    Event { op: u8, id: u8, text: &'a str },
    /// A record of any bytes.
    Raw { key: Option<&'a [u8]>, value: Option<&'a [u8]> },
    /// A record again that was read before.
    Repeat { back: u8 },
    Tick { millis: u16 },
    /// The partition goes and comes back.
    Rebalance,
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the in-memory destination never waits"),
    }
}

struct World {
    sink: Sink,
    memory: Memory,
    id: PartitionId,
    epoch: Option<u64>,
    fetch: i64,
    log: Vec<(Option<Vec<u8>>, Option<Vec<u8>>)>,
    clock: Duration,
    stopped: bool,
}

fn assignment(high: i64) -> Assignment {
    Assignment {
        topic: "t.public.t".into(),
        partition: 0,
        topic_id: TopicId([7; 16]),
        table: "T".to_owned(),
        low: 0,
        high,
        initial: 0,
        group: None,
        partitions: 1,
        topic_commits: Arc::from([]),
    }
}

impl World {
    fn work(&mut self) {
        while let Some(action) = self.sink.poll_action(self.clock) {
            match action {
                Action::Describe { table, landing, current } => {
                    let describe = |name: &str| now(self.memory.describe(name)).expect("described");
                    let described =
                        Described { landing: describe(&landing), current: current.as_deref().and_then(describe) };
                    self.sink.handle_described(&table, Ok(described));
                }
                Action::Prepare { table, plan } => {
                    let prepared = now(self.memory.prepare(&plan));
                    self.sink.handle_prepared(&table, prepared);
                }
                Action::Open { id, channel } => {
                    let opened = now(self.memory.open(&channel));
                    self.sink.handle_opened(id, channel.epoch, opened);
                }
                Action::Start { epoch, offset, .. } => {
                    self.epoch = Some(epoch);
                    self.fetch = offset;
                }
                Action::Append { id, batch } => {
                    let appended = now(self.memory.append(&batch));
                    self.sink.handle_appended(id, batch.channel.epoch, appended, &batch, self.clock);
                }
                Action::Statuses { table, channels } => {
                    let statuses = now(self.memory.statuses(&channels));
                    self.sink.handle_statuses(&table, &channels, statuses, self.clock);
                }
                Action::Stopped { .. } => self.stopped = true,
                _ => {}
            }
        }
    }

    fn feed(&mut self, offset: i64) {
        let Some(epoch) = self.epoch else { return };
        let Some((key, value)) = usize::try_from(offset).ok().and_then(|at| self.log.get(at)) else { return };
        let (key, value) = (key.clone(), value.clone());
        let record = Record {
            topic: "t.public.t",
            key: key.as_deref(),
            value: value.as_deref(),
            headers: &[],
            partition: None,
            timestamp_ms: None,
        };
        let incoming =
            Incoming { id: self.id, epoch, partition: 0, offset, timestamp_ms: Some(1), record };
        self.sink.handle_record(&incoming, self.clock);
    }
}

fuzz_target!(|steps: Vec<Step<'_>>| {
    let config = Config { landing: Landing::Variant, malformed: Malformed::Stop, ..Config::default() };
    let sink = Sink::new(config, "fuzz".to_owned(), Box::new(MemoryEncoder::default()));
    let mut world = World {
        sink,
        memory: Memory::new(Commit::Immediate),
        id: PartitionId(0),
        epoch: None,
        fetch: 0,
        log: Vec::new(),
        clock: Duration::ZERO,
        stopped: false,
    };
    world.id = world.sink.handle_assigned(&assignment(0), world.clock);
    for step in &steps {
        world.clock += Duration::from_millis(10);
        world.work();
        match step {
            Step::Event { op, id, text } => {
                let op = ["c", "u", "d", "r"][usize::from(op % 4)];
                let text = serde_json::Value::from(*text);
                let value = format!(r#"{{"before":null,"after":{{"id":{id},"v":{text}}},"source":{{"lsn":1}},"op":"{op}","ts_ms":1}}"#);
                world.log.push((Some(format!(r#"{{"id":{id}}}"#).into_bytes()), Some(value.into_bytes())));
            }
            Step::Raw { key, value } => {
                world.log.push((key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec)));
            }
            Step::Repeat { back } => world.feed(world.fetch - i64::from(*back)),
            Step::Tick { millis } => world.clock += Duration::from_millis(u64::from(*millis)),
            Step::Rebalance => {
                world.sink.handle_revoked(world.id);
                world.epoch = None;
                let high = world.log.len() as i64;
                world.id = world.sink.handle_assigned(&assignment(high), world.clock);
            }
        }
        while world.epoch.is_some() && world.fetch < world.log.len() as i64 {
            world.feed(world.fetch);
            world.fetch += 1;
        }
    }
    for _ in 0..20 {
        world.clock += Duration::from_secs(1);
        world.work();
        while world.epoch.is_some() && world.fetch < world.log.len() as i64 {
            world.feed(world.fetch);
            world.fetch += 1;
        }
    }
    let rows = world.memory.rows("T");
    let offsets: Vec<String> =
        rows.iter().filter_map(|row| Some(row.get("RECORD_METADATA")?["offset"].to_string())).collect();
    let distinct: BTreeSet<&String> = offsets.iter().collect();
    assert_eq!(distinct.len(), offsets.len(), "a record landed twice");
    let tombstones = world.log.iter().filter(|(_, value)| value.is_none()).count();
    if !world.stopped {
        assert!(rows.len() + tombstones >= world.log.len(), "a record is lost");
    }
});
