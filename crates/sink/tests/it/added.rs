//! Partitions that were added to a topic after the group came to it.

use cdcd_sink::config::Config;
use cdcd_sink::destination::ChannelStatus;
use cdcd_sink::memory::MemoryEncoder;
use cdcd_sink::offset_token::TopicId;
use cdcd_sink::{Action, Assignment, Described, Sink, StopKind};
use std::sync::Arc;
use std::time::Duration;

/// Opens the third partition of a topic, of which `commits` are known: where it starts, or the guard's name.
fn begin(commits: &[String], low: i64, initial: i64) -> Result<i64, &'static str> {
    let mut sink = Sink::new(Config::default(), "test".to_owned(), Box::new(MemoryEncoder::default()));
    let assignment = Assignment {
        topic: Arc::from("t"),
        partition: 2,
        topic_id: TopicId([7; 16]),
        table: "T".to_owned(),
        low,
        high: 9,
        initial,
        group: None,
        partitions: 3,
        topic_commits: Arc::from(commits),
    };
    sink.handle_assigned(&assignment, Duration::ZERO);
    let first = sink.poll_action(Duration::ZERO);
    let Some(Action::Commit { offset: recorded, metadata, .. }) = first else { panic!("{first:?}") };
    let count = if commits.is_empty() { 3 } else { 2 };
    assert_eq!(metadata, format!("cdcd1 {} {count}", TopicId([7; 16])), "the first count stays");
    while let Some(action) = sink.poll_action(Duration::ZERO) {
        match action {
            Action::Describe { table, .. } => {
                let described = Described { landing: Some(Vec::new()), current: None };
                sink.handle_described(&table, Ok(described));
            }
            Action::Prepare { table, .. } => sink.handle_prepared(&table, Ok(())),
            Action::Open { id, channel } => {
                sink.handle_opened(id, channel.epoch, Ok(ChannelStatus::default()));
            }
            Action::Start { offset, .. } => {
                assert_eq!(offset, recorded, "where it begins is known to the group before anything is read");
                return Ok(offset);
            }
            Action::Stopped { reason, .. } => match reason.kind {
                StopKind::Guard(name) => return Err(name),
                other => panic!("{other:?}: {}", reason.message),
            },
            _ => {}
        }
    }
    panic!("the partition neither starts nor stops")
}

#[test]
fn an_added_partition_begins_at_its_first_record_or_not_at_all() {
    let commits = [format!("cdcd1 {} 2", TopicId([7; 16]))];
    assert_eq!(begin(&commits, 0, 0), Ok(0));
    assert_eq!(begin(&commits, 0, 9), Ok(0), "whatever auto.offset.reset says");
    assert_eq!(begin(&commits, 5, 5), Err("E_RETENTION_GAP"));
}

#[test]
fn a_group_that_comes_first_begins_where_it_is_told() {
    assert_eq!(begin(&[], 5, 5), Ok(5));
    assert_eq!(begin(&[], 0, 9), Ok(9));
}

#[test]
fn where_a_partition_begins_is_told_until_a_row_of_it_is_durable() {
    let mut sink = Sink::new(Config::default(), "test".to_owned(), Box::new(MemoryEncoder::default()));
    let assignment = Assignment {
        topic: Arc::from("t"),
        partition: 0,
        topic_id: TopicId([7; 16]),
        table: "T".to_owned(),
        low: 0,
        high: 0,
        initial: 0,
        group: None,
        partitions: 1,
        topic_commits: Arc::default(),
    };
    sink.handle_assigned(&assignment, Duration::ZERO);
    let mut told = 0;
    for seconds in 0..3600 {
        while let Some(action) = sink.poll_action(Duration::from_secs(seconds)) {
            told += u32::from(matches!(action, Action::Commit { offset: 0, .. }));
        }
    }
    assert!(told > 10, "{told}: a group that was away hears of it later");
}
