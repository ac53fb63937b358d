//! A table that is read again under a new lineage: what vanished meanwhile goes, everything else stays.

use crate::world::{Dice, KeyValue, World, lines};
use cdcd_sink::config::{Config, DeleteMode, TableMode};
use cdcd_sink::memory::{Commit, Memory};
use std::time::Duration;

fn event(op: &str, id: i64, note: &str, lsn: u64, snapshot: &str) -> KeyValue {
    const ROW: &str = r#"[{"type":"int64","optional":false,"field":"id"},{"type":"string","optional":true,"field":"note"}]"#;
    let schema = format!(
        r#"{{"type":"struct","fields":[{{"type":"struct","fields":{ROW},"optional":true,"field":"before"}},{{"type":"struct","fields":{ROW},"optional":true,"field":"after"}},{{"type":"string","field":"op"}}]}}"#
    );
    let row = format!(r#"{{"id":{id},"note":"{note}"}}"#);
    let source = format!(r#"{{"lsn":{lsn},"snapshot":"{snapshot}"}}"#);
    let payload = format!(r#"{{"before":null,"after":{row},"source":{source},"op":"{op}","ts_ms":1}}"#);
    let key_schema = r#"{"type":"struct","fields":[{"type":"int64","optional":false,"field":"id"}]}"#;
    (
        Some(format!(r#"{{"schema":{key_schema},"payload":{{"id":{id}}}}}"#)),
        Some(format!(r#"{{"schema":{schema},"payload":{payload}}}"#)),
    )
}

/// Four rows, then a snapshot of a new lineage that has three of them in two partitions, `ends` on its last row.
fn land(config: Config, lineage_from: Option<usize>, ends: &str) -> (Memory, Vec<String>) {
    let old = |id| event("u", id, "old", 9_000, "false");
    let again = |id, snapshot| event("r", id, "again", 50, snapshot);
    let logs = vec![
        vec![old(1), old(2), again(1, "first")],
        vec![old(3), old(4), again(3, "true"), event("u", 3, "new", 60, "false"), again(5, ends)],
    ];
    let memory = Memory::new(Commit::OnDemand);
    let mut world = World::new(config, &memory, vec![("srv.public.t".to_owned(), logs)]);
    world.lineage_from = lineage_from;
    world.assign_all();
    world.run(&mut Dice(11), 20_000);
    assert!(world.stops.is_empty(), "{:?}", world.stops);
    let rows = lines(&memory.rows("T"));
    (memory, rows)
}

fn config(mode: TableMode, deletes: DeleteMode) -> Config {
    Config {
        mode,
        deletes,
        batch_age_max: Duration::from_millis(20),
        status_interval: Duration::from_millis(20),
        merge_interval: Duration::from_millis(60),
        until_caught_up: true,
        ..Config::default()
    }
}

#[test]
fn rows_that_were_not_read_again_are_removed_when_the_table_has_been_read() {
    let wanted = [r#"ID="1" NOTE="again""#, r#"ID="3" NOTE="new""#, r#"ID="5" NOTE="again""#];
    for deletes in [DeleteMode::Hard, DeleteMode::Soft] {
        for ends in ["last", "last_in_data_collection"] {
            let (memory, rows) = land(config(TableMode::Merge, deletes), Some(2), ends);
            assert_eq!(rows, wanted, "{ends}");
            assert_eq!(memory.rows("T__LOG").len(), 9, "eight events, and the end of the lineages before");
        }
    }
}

#[test]
fn a_table_that_is_not_read_to_its_end_keeps_all_rows() {
    let (_, rows) = land(config(TableMode::Merge, DeleteMode::Hard), Some(2), "true");
    assert_eq!(rows.len(), 5, "{rows:?}");
}

#[test]
fn the_first_snapshot_of_all_removes_nothing_and_a_log_has_its_events_only() {
    let (_, rows) = land(config(TableMode::Merge, DeleteMode::Hard), None, "last");
    assert_eq!(rows.len(), 5, "{rows:?}");
    let (memory, _) = land(config(TableMode::Append, DeleteMode::Hard), Some(2), "last");
    assert_eq!(memory.rows("T__LOG").len(), 8);
}
