//! What a channel says about itself, now and to a process that comes later.

use cdcd_debezium::record::Record;
use cdcd_sink::config::{Config, Landing};
use cdcd_sink::destination::{ChannelStatus, RowBatch};
use cdcd_sink::memory::MemoryEncoder;
use cdcd_sink::offset_token::TopicId;
use cdcd_sink::{Action, Assignment, Described, GroupOffset, Incoming, PartitionId, Sink, StopKind};
use std::sync::Arc;
use std::time::Duration;

/// One partition of ten records, its channel, and what the group has committed.
struct World {
    sink: Sink,
    now: Duration,
    status: ChannelStatus,
    start: Option<(PartitionId, u64, i64)>,
    sent: Vec<RowBatch>,
    opens: u32,
    metadata: String,
    stop: Option<StopKind>,
}

fn begin(config: Config, status: ChannelStatus, group: Option<GroupOffset>) -> World {
    let mut sink = Sink::new(config, "test".to_owned(), Box::new(MemoryEncoder::default()));
    let assignment = Assignment {
        topic: Arc::from("t"),
        partition: 0,
        topic_id: TopicId([7; 16]),
        table: "T".to_owned(),
        low: 0,
        high: 10,
        initial: group.as_ref().map_or(0, |group| group.offset),
        group,
        partitions: 1,
        topic_commits: Arc::default(),
    };
    sink.handle_assigned(&assignment, Duration::ZERO);
    let (now, sent, metadata) = (Duration::ZERO, Vec::new(), String::new());
    let mut world = World { sink, now, status, start: None, sent, opens: 0, metadata, stop: None };
    world.work();
    world
}

impl World {
    /// Carries out what the sink asks for; the channel says `status`.
    fn work(&mut self) {
        while let Some(action) = self.sink.poll_action(self.now) {
            match action {
                Action::Describe { table, .. } => {
                    let described = Described { landing: Some(Vec::new()), current: None };
                    self.sink.handle_described(&table, Ok(described));
                }
                Action::Prepare { table, .. } => self.sink.handle_prepared(&table, Ok(())),
                Action::Open { id, channel } => {
                    self.opens += 1;
                    self.sink.handle_opened(id, channel.epoch, Ok(self.status.clone()));
                }
                Action::Start { id, epoch, offset } => self.start = Some((id, epoch, offset)),
                Action::Append { id, batch } => {
                    self.sink.handle_appended(id, batch.channel.epoch, Ok(()), &batch, self.now);
                    self.sent.push(batch);
                }
                Action::Statuses { table, channels } => {
                    let statuses =
                        channels.iter().map(|channel| (channel.name.clone(), self.status.clone())).collect();
                    self.sink.handle_statuses(&table, &channels, Ok(statuses), self.now);
                }
                Action::Commit { metadata, .. } => self.metadata = metadata,
                Action::Stopped { reason, .. } => self.stop = Some(reason.kind),
                _ => {}
            }
        }
    }

    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now += Duration::from_secs(1);
            self.work();
        }
    }

    fn records(&mut self, count: i64) {
        let Some((id, epoch, first)) = self.start else { panic!("not started") };
        for offset in first..first + count {
            let record = Record {
                topic: "t",
                partition: Some(0),
                timestamp_ms: None,
                key: None,
                value: Some(br#"{"a":1}"#),
                headers: &[],
            };
            let incoming = Incoming { id, epoch, partition: 0, offset, timestamp_ms: Some(1), record };
            self.sink.handle_record(&incoming, self.now);
        }
        self.start = Some((id, epoch, first + count));
        self.pass(2);
    }

    /// The channel commits the newest batch, with so many rows in all.
    fn commit(&mut self, rows: u64) {
        self.status.token = self.sent.last().map(|batch| batch.end_token.clone());
        self.status.rows_inserted = Some(rows);
    }
}

fn config() -> Config {
    Config { landing: Landing::Variant, ..Config::default() }
}

fn counting() -> ChannelStatus {
    ChannelStatus { rows_inserted: Some(0), ..ChannelStatus::default() }
}

#[test]
fn a_token_that_went_back_is_seen_by_a_process_that_comes_later() {
    let mut world = begin(config(), counting(), None);
    world.records(3);
    world.commit(3);
    world.pass(10);
    let old = world.status.clone();
    world.records(3);
    world.commit(6);
    world.pass(10);
    assert_eq!(world.stop, None);
    let metadata = world.metadata.clone();
    assert_eq!(metadata, format!("cdcd1 {} 1 0:5", TopicId([7; 16])));
    let group = |metadata: &str| Some(GroupOffset { offset: 6, metadata: metadata.to_owned() });
    let later = begin(config(), old.clone(), group(&metadata));
    assert_eq!(later.stop, Some(StopKind::Guard("E_TOKEN_WENT_BACK")));
    let goes_on = begin(config(), world.status.clone(), group(&metadata));
    assert_eq!((goes_on.stop, goes_on.start.map(|start| start.2)), (None, Some(6)));
    // Of a commit of an earlier version nothing is known, and another lineage has other channels.
    for metadata in [format!("cdcd1 {} 1", TopicId([7; 16])), metadata.replace(" 0:", " 1:")] {
        assert_eq!(begin(config(), old.clone(), group(&metadata)).stop, None, "{metadata}");
    }
}

#[test]
fn rows_that_stay_away_from_a_committed_token_stop_the_partition() {
    let mut world = begin(config(), counting(), None);
    world.records(3);
    world.commit(2);
    world.pass(170);
    assert_eq!((world.stop, world.opens), (None, 1), "they may come yet");
    world.pass(20);
    assert_eq!((world.stop, world.opens), (Some(StopKind::Guard("E_ROW_COUNT")), 1));
    let mut late = begin(config(), counting(), None);
    late.records(3);
    late.commit(2);
    late.pass(100);
    late.commit(3);
    late.pass(300);
    assert_eq!(late.stop, None);
}
