//! From Debezium's records to the bodies that are sent to Snowflake: the whole sink core, with its encoder, in each landing.
//! Beside it `tree`: what parsing the same records into a value tree and writing the row again costs.
#![allow(missing_docs, clippy::unwrap_used)]

use std::time::Duration;

use cdcd_benches::engine::records;
use cdcd_benches::streams;
use cdcd_capture::config::{Converter, JsonOptions};
use cdcd_debezium::record::Record;
use cdcd_sink::config::{Config, Landing, TableMode};
use cdcd_sink::destination::{ChannelStatus, TableColumn};
use cdcd_sink::offset_token::TopicId;
use cdcd_sink::{Action, Assignment, Described, Incoming, PartitionId, Sink};
use cdcd_snowflake::NdjsonEncoder;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const TOPIC: &str = "cdc.public.t";

struct Recorded {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

/// A destination that takes everything at once and keeps nothing.
#[derive(Default)]
struct Nothing {
    columns: Option<Vec<TableColumn>>,
    status: ChannelStatus,
    rows: u64,
    bytes: usize,
}

impl Nothing {
    /// Answers all that the sink asks; the epoch to read under, once there is one.
    fn answer(&mut self, sink: &mut Sink, now: Duration) -> Option<u64> {
        let mut started = None;
        while let Some(action) = sink.poll_action(now) {
            match action {
                Action::Describe { table, .. } => {
                    let described = Described { landing: self.columns.clone(), current: None };
                    sink.handle_described(&table, Ok(described));
                }
                Action::Prepare { table, plan } => {
                    self.columns = Some(plan.columns);
                    sink.handle_prepared(&table, Ok(()));
                }
                Action::Open { id, channel } => {
                    sink.handle_opened(id, channel.epoch, Ok(self.status.clone()));
                }
                Action::Start { epoch, .. } => started = Some(epoch),
                Action::Append { id, batch } => {
                    self.rows += u64::from(batch.rows);
                    self.bytes += batch.body.len();
                    self.status.token = Some(batch.end_token.clone());
                    self.status.rows_inserted = Some(self.rows);
                    sink.handle_appended(id, batch.channel.epoch, Ok(()), &batch, now);
                }
                Action::Statuses { table, channels } => {
                    let statuses =
                        channels.iter().map(|channel| (channel.name.clone(), self.status.clone())).collect();
                    sink.handle_statuses(&table, &channels, Ok(statuses), now);
                }
                Action::Stopped { reason, .. } => panic!("{reason:?}"),
                _ => {}
            }
        }
        started
    }
}

/// All records through a sink; rows and bytes that were sent.
fn land(records: &[Recorded], landing: Landing) -> (u64, usize) {
    let config = Config { landing, mode: TableMode::Append, ..Config::default() };
    let mut sink = Sink::new(config, "bench".to_owned(), Box::new(NdjsonEncoder::default()));
    let mut nothing = Nothing::default();
    let mut now = Duration::ZERO;
    let id = sink.handle_assigned(&assignment(records.len()), now);
    let mut epoch = nothing.answer(&mut sink, now).unwrap();
    let mut offset = 0;
    while let Some(recorded) = records.get(offset) {
        let record = Record {
            topic: TOPIC,
            key: recorded.key.as_deref(),
            value: recorded.value.as_deref(),
            headers: &[],
            partition: None,
            timestamp_ms: Some(0),
        };
        let at = i64::try_from(offset).unwrap();
        sink.handle_record(&incoming(id, epoch, at, record), now);
        offset += 1;
        if offset % 256 == 0 || offset == 1 {
            now += Duration::from_millis(1);
            if let Some(again) = nothing.answer(&mut sink, now) {
                (epoch, offset) = (again, usize::try_from(at).unwrap());
            }
        }
    }
    for _ in 0..4 {
        now += Duration::from_secs(1);
        nothing.answer(&mut sink, now);
    }
    (nothing.rows, nothing.bytes)
}

fn incoming<'a>(id: PartitionId, epoch: u64, offset: i64, record: Record<'a>) -> Incoming<'a> {
    Incoming { id, epoch, partition: 0, offset, timestamp_ms: Some(0), record }
}

fn assignment(records: usize) -> Assignment {
    Assignment {
        topic: TOPIC.into(),
        partition: 0,
        topic_id: TopicId([7; 16]),
        table: "T".to_owned(),
        low: 0,
        high: i64::try_from(records).unwrap(),
        initial: 0,
        group: None,
        partitions: 1,
        topic_commits: [].into(),
    }
}

fn tree(records: &[Recorded]) -> usize {
    let mut out = Vec::new();
    for value in records.iter().filter_map(|record| record.value.as_deref()) {
        let event: serde_json::Value = serde_json::from_slice(value).unwrap();
        let payload = event.get("payload").unwrap_or(&event);
        serde_json::to_writer(&mut out, payload.get("after").unwrap()).unwrap();
    }
    out.len()
}

fn bench(criterion: &mut Criterion) {
    let stream = streams::mixed();
    for (name, schemas) in [("sink", false), ("sink_schemas", true)] {
        let converter: Converter = JsonOptions { schemas, ..JsonOptions::default() }.into();
        let mut recorded = Vec::new();
        records(&stream, converter, |record| {
            let (key, value) = (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
            recorded.push(Recorded { key, value });
        });
        let bytes: usize = recorded.iter().filter_map(|record| record.value.as_ref()).map(Vec::len).sum();
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::ElementsAndBytes {
            elements: recorded.len() as u64,
            bytes: bytes as u64,
        });
        for (name, landing) in
            [("log", Landing::Log), ("variant", Landing::Variant), ("id_data", Landing::IdData)]
        {
            let (rows, _) = land(&recorded, landing);
            let values = recorded.iter().filter(|record| record.value.is_some()).count();
            assert_eq!(rows, values as u64, "a row for each event");
            group.bench_function(name, |bencher| bencher.iter(|| land(&recorded, landing)));
        }
        group.bench_function("tree", |bencher| bencher.iter(|| tree(&recorded)));
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(3));
    targets = bench
}
criterion_main!(benches);
