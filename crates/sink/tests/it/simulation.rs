//! Seeded runs with crashes, lost channels, late commits and reordered answers: no row lost, none twice.

use crate::world::{Dice, KeyValue, World};
use cdcd_sink::config::{Config, TableMode};
use cdcd_sink::memory::{Commit, Memory, Row};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const SCHEMA: &str = r#"{"type":"struct","fields":[{"type":"struct","fields":[{"type":"int32","optional":false,"field":"id"},{"type":"string","optional":true,"field":"note"}EXTRA],"optional":true,"field":"after"},{"type":"string","field":"op"}]}"#;

/// One topic with `partitions` partitions; a key lives in one partition. Also what must be in the merged table.
fn history(
    dice: &mut Dice,
    partitions: usize,
    events: usize,
) -> (Vec<Vec<KeyValue>>, BTreeMap<String, Option<String>>) {
    let mut logs = vec![Vec::new(); partitions];
    let mut model: BTreeMap<String, Option<String>> = BTreeMap::new();
    for lsn in 0..events {
        let id = dice.roll(6);
        let log = &mut logs[id % partitions];
        let key = Some(format!(r#"{{"id":{id}}}"#));
        // Half-way the table gets another column.
        let extra =
            if lsn * 2 > events { r#",{"type":"int64","optional":true,"field":"extra"}"# } else { "" };
        let schema = SCHEMA.replace("EXTRA", extra);
        let mut push = |op: &str, before: &str, after: &str| {
            let payload = format!(
                r#"{{"before":{before},"after":{after},"source":{{"lsn":{lsn},"ts_us":1700000000000000}},"op":"{op}","ts_ms":1}}"#
            );
            log.push((key.clone(), Some(format!(r#"{{"schema":{schema},"payload":{payload}}}"#))));
        };
        let id_text = id.to_string();
        match (model.contains_key(&id_text), dice.roll(5)) {
            (true, 0) => {
                push("d", &format!(r#"{{"id":{id},"note":null}}"#), "null");
                log.push((key, None));
                model.remove(&id_text);
            }
            (true, 1) => {
                push("u", "null", &format!(r#"{{"id":{id},"note":"__debezium_unavailable_value"}}"#));
            }
            (true, 2) => {
                push("u", "null", &format!(r#"{{"id":{id},"note":null}}"#));
                model.insert(id_text, None);
            }
            (known, _) => {
                let note = format!("n{lsn}");
                push(if known { "u" } else { "c" }, "null", &format!(r#"{{"id":{id},"note":"{note}"}}"#));
                model.insert(id_text, Some(note));
            }
        }
    }
    (logs, model)
}

fn check_log(rows: &[Row], logs: &[Vec<KeyValue>], seed: u64) {
    let wanted: BTreeSet<String> = logs
        .iter()
        .enumerate()
        .flat_map(|(p, log)| {
            log.iter().enumerate().filter(|(_, (_, value))| value.is_some()).map(move |(o, _)| (p, o))
        })
        .map(|(partition, offset)| format!("01010101:{partition:05}:{offset:019}"))
        .collect();
    let mut found = BTreeSet::new();
    for row in rows {
        let offset = row["_OFFSET"].as_str().unwrap_or("").to_owned();
        assert!(found.insert(offset.clone()), "seed {seed}: {offset} landed twice");
    }
    assert_eq!(found, wanted, "seed {seed}: landed offsets");
}

#[test]
fn no_row_is_lost_or_doubled_whatever_fails() {
    for seed in 1..=300u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let partitions = 1 + dice.roll(3);
        let (logs, model) = history(&mut dice, partitions, 120);
        let memory = Memory::new(Commit::OnDemand);
        let config = || Config {
            mode: TableMode::Merge,
            batch_rows_max: 7,
            batch_age_max: Duration::from_millis(100),
            status_interval: Duration::from_millis(20),
            merge_interval: Duration::from_millis(300),
            until_caught_up: true,
            ..Config::default()
        };
        let topics = vec![("srv.public.t".to_owned(), logs.clone())];
        for _ in 0..dice.roll(5) {
            let mut world = World::new(config(), &memory, topics.clone());
            world.assign_all();
            for _ in 0..dice.roll(900) {
                world.step(&mut dice);
                if dice.roll(200) == 0 {
                    memory.invalidate();
                }
            }
            assert!(world.stops.is_empty(), "seed {seed}: {:?}", world.stops);
            // Dropped here as by kill -9: what was accepted and not committed is gone with the next open.
        }
        let mut world = World::new(config(), &memory, topics);
        world.assign_all();
        world.run(&mut dice, 200_000);
        assert!(world.stops.is_empty(), "seed {seed}: {:?}", world.stops);
        check_log(&memory.rows("T__LOG"), &logs, seed);
        let merged: BTreeMap<String, Option<String>> = memory
            .rows("T")
            .iter()
            .map(|row| {
                let text = |name: &str| row.get(name).and_then(|value| value.as_str()).map(str::to_owned);
                (text("ID").unwrap_or_default(), text("NOTE"))
            })
            .collect();
        assert_eq!(merged, model, "seed {seed}: merged table");
        for ((_, partition), offset) in &world.commits {
            // One is the mark that ends a transaction.
            let end = logs[*partition as usize].len() + 1;
            assert_eq!(*offset as usize, end, "seed {seed}: group offset");
        }
    }
}

#[test]
fn a_rejected_row_stops_the_partition_now_and_after_a_restart() {
    let mut dice = Dice(7);
    let (logs, _) = history(&mut dice, 1, 40);
    let memory = Memory::new(Commit::OnDemand);
    let topics = vec![("srv.public.t".to_owned(), logs)];
    let config =
        || Config { batch_rows_max: 3, batch_age_max: Duration::from_millis(50), ..Config::default() };
    let mut world = World::new(config(), &memory, topics.clone());
    world.assign_all();
    for _ in 0..60 {
        world.step(&mut dice);
    }
    assert!(world.sink.stats().rows_durable < 40, "something is still under way");
    memory.reject_rows("T__LOG", 1);
    for _ in 0..400 {
        world.step(&mut dice);
    }
    assert!(format!("{:?}", world.stops).contains("E_ROWS_REJECTED"), "{:?}", world.stops);
    drop(world);
    let mut world = World::new(config(), &memory, topics);
    world.assign_all();
    for _ in 0..400 {
        world.step(&mut dice);
    }
    assert!(format!("{:?}", world.stops).contains("E_ROWS_REJECTED"), "after a restart: {:?}", world.stops);
}
