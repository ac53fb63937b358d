//! Exactly once into Kafka, and every doubt a named stop.

use std::collections::BTreeMap;
use std::process::Child;
use std::time::Duration;

use cdcd_testkit::wait_until;

use crate::kit::{Bench, finish, kill, stderr};

const LIMIT: Duration = Duration::from_secs(60);

fn wait_for_growth(bench: &Bench, seen: &mut usize) {
    let grown = wait_until("new records", LIMIT, || {
        let now = bench.count("public.t");
        Ok((now > *seen).then_some(now))
    });
    *seen = grown.unwrap();
}

/// How often each id was delivered to a reader of committed records.
fn deliveries(bench: &Bench) -> BTreeMap<i64, usize> {
    let mut counts = BTreeMap::new();
    for record in bench.topic("public.t") {
        let id = record.payload().unwrap()["after"]["id"].as_i64().unwrap();
        *counts.entry(id).or_default() += 1;
    }
    counts
}

/// Kills and stops at random moments, some inside of a transaction that is cut into several commits.
#[test]
fn no_kill_and_no_stop_loses_or_repeats_a_change() {
    let bench = Bench::new("once");
    bench.psql("CREATE TABLE t (id bigserial PRIMARY KEY, v text)");
    let connector = bench.connector(&[("snapshot.mode", "no_data")]);
    bench.catch_up(&connector);
    let mut seen = 0;
    let mut rows = 0;
    for (nth, signal) in ["KILL", "TERM", "KILL", "KILL", "TERM", "KILL", "KILL"].into_iter().enumerate() {
        // 150,000 rows are about 80 MB of events: several commits.
        let batch = if nth == 1 || nth == 3 { 150_000 } else { 4_000 };
        bench.psql(&format!("INSERT INTO t(v) SELECT md5(i::text) FROM generate_series(1, {batch}) i"));
        rows += batch;
        let child = bench.command(&connector, &[]);
        wait_for_growth(&bench, &mut seen);
        kill(child.id(), signal);
        let output = finish(child);
        assert!(signal == "KILL" || output.status.success(), "{}", stderr(&output));
    }
    bench.catch_up(&connector);
    let counts = deliveries(&bench);
    assert_eq!(counts.len(), rows, "each row is there");
    let twice = counts.iter().filter(|(_, count)| **count > 1).count();
    assert_eq!(twice, 0, "rows that were delivered more than once");
}

fn ended(mut child: Child) -> std::process::Output {
    wait_until("the process that was taken over from", LIMIT, || Ok(child.try_wait()?.map(|_| ()))).unwrap();
    finish(child)
}

#[test]
fn of_two_processes_the_second_takes_over_and_the_first_says_so() {
    let bench = Bench::new("two");
    bench.psql("CREATE TABLE t (id bigserial PRIMARY KEY, v text)");
    let connector = bench.connector(&[("snapshot.mode", "no_data")]);
    bench.catch_up(&connector);
    let mut seen = 0;
    let mut rows = 0;
    let mut insert = || {
        bench.psql("INSERT INTO t(v) SELECT md5(i::text) FROM generate_series(1, 1000) i");
        rows += 1000;
        rows
    };
    let mut first = bench.command(&connector, &[]);
    for sleeps in [false, true] {
        insert();
        wait_for_growth(&bench, &mut seen);
        if sleeps {
            kill(first.id(), "STOP");
        }
        let second = bench.command(&connector, &[]);
        insert();
        wait_for_growth(&bench, &mut seen);
        if sleeps {
            kill(first.id(), "CONT");
        }
        let output = ended(first);
        assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
        assert!(stderr(&output).contains("E_FENCED"), "{}", stderr(&output));
        first = second;
    }
    kill(first.id(), "TERM");
    assert!(finish(first).status.success());
    let rows = insert();
    bench.catch_up(&connector);
    let counts = deliveries(&bench);
    assert_eq!(counts.len(), rows);
    assert!(counts.values().all(|count| *count == 1));
}

/// Runs once; gives exit code and what was said.
fn start(bench: &Bench, extra: &[(&str, &str)], flags: &[&str]) -> (Option<i32>, String) {
    let flags: Vec<&str> = ["--endpos", "now"].iter().chain(flags).copied().collect();
    let output = bench.run(&bench.connector(extra), &flags);
    (output.status.code(), stderr(&output))
}

#[test]
fn a_guard_stops_and_consent_is_good_for_one_start() {
    let bench = Bench::new("guards");
    bench.psql("CREATE TABLE t (id bigserial PRIMARY KEY, v text)");
    let no_data = [("snapshot.mode", "no_data")];
    assert_eq!(start(&bench, &no_data, &[]).0, Some(0));
    let insert = || bench.psql("INSERT INTO t(v) VALUES ('x')");

    // The slot is gone, and made again by somebody who means well.
    let slot = &bench.name;
    bench.psql(&format!("SELECT pg_drop_replication_slot('{slot}')"));
    insert();
    let (code, said) = start(&bench, &no_data, &[]);
    assert!(code == Some(4) && said.contains("E_SLOT_MISSING"), "{said}");
    bench.psql(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"));
    let (code, said) = start(&bench, &no_data, &[]);
    assert!(code == Some(4) && said.contains("E_GAP_SLOT_AHEAD"), "{said}");
    insert();
    let (code, said) = start(&bench, &no_data, &["--accept-loss"]);
    assert!(code == Some(0) && said.contains("given up"), "{said}");
    let records = bench.topic("public.t");
    assert_eq!(records.len(), 1, "the row behind the new slot");
    let lineage = records[0].headers.iter().find(|(name, _)| name == "cdcd.lineage");
    assert_eq!(lineage.map(|(_, value)| value.as_str()), Some("1"));

    // The position is gone.
    let admin = "org.apache.kafka.tools.TopicCommand";
    let topic = format!("__cdcd_position.{slot}");
    bench.kafka.tool(admin, &["--delete", "--topic", &topic], "").unwrap();
    wait_until("the topic to be gone", LIMIT, || {
        let list = bench.kafka.tool(admin, &["--list"], "")?;
        Ok((!list.lines().any(|line| line == topic)).then_some(()))
    })
    .unwrap();
    let (code, said) = start(&bench, &no_data, &[]);
    assert!(code == Some(4) && said.contains("E_POSITION_MISSING"), "{said}");
    insert();
    assert_eq!(start(&bench, &no_data, &["--accept-position"]).0, Some(0));
    assert_eq!(start(&bench, &no_data, &[]).0, Some(0));
    assert_eq!(bench.topic("public.t").len(), 2);

    // Less than was promised.
    let weaker = [("snapshot.mode", "no_data"), ("cdcd.delivery", "at-least-once")];
    let (code, said) = start(&bench, &weaker, &[]);
    assert!(code == Some(0) && said.contains("AT LEAST ONCE"), "{said}");
}

#[test]
fn a_publication_that_is_younger_than_a_change_is_named() {
    let bench = Bench::new("history");
    bench.psql("CREATE TABLE t (id bigserial PRIMARY KEY, v text)");
    let no_data = [("snapshot.mode", "no_data")];
    assert_eq!(start(&bench, &no_data, &[]).0, Some(0));
    bench.psql(&format!("DROP PUBLICATION {}", bench.name));
    bench.psql("INSERT INTO t(v) VALUES ('x')");
    bench.psql(&format!("CREATE PUBLICATION {} FOR ALL TABLES", bench.name));
    let (code, said) = start(&bench, &no_data, &[]);
    assert!(code == Some(4) && said.contains("E_PUBLICATION_HISTORY"), "{said}");
}
