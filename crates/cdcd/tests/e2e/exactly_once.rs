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
    let waited =
        wait_until("the process that was taken over from", LIMIT, || Ok(child.try_wait()?.map(|_| ())));
    if waited.is_err() {
        kill(child.id(), "KILL");
    }
    let output = finish(child);
    waited.unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)));
    output
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

fn delete_topic(bench: &Bench, topic: &str) {
    let admin = "org.apache.kafka.tools.TopicCommand";
    bench.kafka.tool(admin, &["--delete", "--topic", topic], "").unwrap();
    wait_until("the topic to be gone", LIMIT, || {
        let list = bench.kafka.tool(admin, &["--list"], "")?;
        Ok((!list.lines().any(|line| line == topic)).then_some(()))
    })
    .unwrap();
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

    // What was written to is gone.
    let data = format!("{slot}.public.t");
    delete_topic(&bench, &data);
    let (code, said) = start(&bench, &no_data, &[]);
    assert!(code == Some(4) && said.contains("E_TOPIC_RECREATED"), "{said}");
    insert();
    assert_eq!(start(&bench, &no_data, &["--accept-loss"]).0, Some(0));
    assert_eq!(start(&bench, &no_data, &[]).0, Some(0));
    assert_eq!(bench.topic("public.t").len(), 1);

    // The position is gone.
    delete_topic(&bench, &format!("__cdcd_position.{slot}"));
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

/// Rows of a table by key, as the topic of the table tells them when it is folded.
fn source_rows(
    bench: &Bench,
    table: &str,
    key: &[&str],
    columns: &str,
) -> BTreeMap<String, serde_json::Value> {
    let rows = bench.psql(&format!("SELECT json_build_object({columns}) FROM {table}"));
    rows.lines()
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let key: serde_json::Map<_, _> =
                key.iter().map(|name| ((*name).to_owned(), row[*name].clone())).collect();
            (serde_json::Value::Object(key).to_string(), row)
        })
        .collect()
}

/// Each change of a row counts up in its column n: what it was read with does not come again.
fn counts_only_up(records: &[crate::kit::Read]) {
    let mut counts = BTreeMap::<String, i64>::new();
    for record in records {
        let key = record.key_payload().unwrap().to_string();
        match record.payload().and_then(|event| event["after"]["n"].as_i64()) {
            None => drop(counts.remove(&key)),
            Some(n) => {
                let before = counts.insert(key.clone(), n).unwrap_or(n);
                assert!(n >= before, "{key} went back from {before} to {n} by {}", record.op());
            }
        }
    }
}

/// Three kills and a stop inside of a snapshot, with writers in between that change what was read and what was
/// not, move keys across, and delete: nothing is lost, no row is read twice, the topic ends as the table.
#[test]
fn an_interrupted_snapshot_goes_on_and_is_consistent_with_the_stream() {
    interrupted_snapshot("resume", "1");
}

/// The same when several sessions read slices of one table: what is told to be read is a prefix of the order of
/// the key, whoever read it.
#[test]
fn an_interrupted_snapshot_of_several_sessions_goes_on_too() {
    interrupted_snapshot("resume_slices", "3");
}

fn interrupted_snapshot(name: &str, threads: &str) {
    let bench = Bench::new(name);
    bench.psql(
        "CREATE TABLE t (id bigint PRIMARY KEY, v text, n int); \
         INSERT INTO t SELECT i, md5(i::text), 0 FROM generate_series(1, 80000) i; \
         CREATE TABLE u (name text, day date, v text, PRIMARY KEY (name, day)); \
         INSERT INTO u SELECT md5((i / 2)::text) || CASE WHEN i % 3 = 0 THEN 'Ä z' ELSE 'b' END, \
           date '2026-01-01' + i, 'x' FROM generate_series(1, 20000) i; \
         CREATE TABLE plain (v text); ALTER TABLE plain REPLICA IDENTITY FULL; \
         INSERT INTO plain SELECT i::text FROM generate_series(1, 5000) i",
    );
    let connector = bench.connector(&[("snapshot.max.threads", threads)]);
    let tables = ["public.t", "public.u", "public.plain"];
    let total = || tables.iter().map(|table| bench.count(table)).sum::<usize>();
    let mut seen = 0;
    for (nth, signal) in ["KILL", "KILL", "TERM", "KILL"].into_iter().enumerate() {
        let child = bench.command(&connector, &[]);
        let grown =
            wait_until("records of the snapshot", LIMIT, || Ok((total() > seen + 1_000).then_some(())));
        kill(child.id(), signal);
        let output = finish(child);
        grown.unwrap_or_else(|error| panic!("round {nth}: {error}: {}", stderr(&output)));
        seen = total();
        bench.psql(&format!(
            "BEGIN; UPDATE t SET n = n + 1 WHERE id % 5 = 0; DELETE FROM t WHERE id % 101 = {nth}; \
             UPDATE t SET id = id + 1000000 WHERE id % 103 = {nth} AND id < 1000000; \
             UPDATE t SET id = id - 2000000 WHERE id % 107 = {nth} AND id > 0; \
             INSERT INTO t VALUES ({nth} - 100, 'low', {nth}), (500000 + {nth}, 'high', {nth}); COMMIT; \
             UPDATE u SET v = v || '{nth}' WHERE day < date '2026-01-01' + 300 * ({nth} + 1); \
             DELETE FROM u WHERE name LIKE '{nth}%'; UPDATE u SET name = 'zz' || name WHERE name LIKE 'c{nth}%'; \
             INSERT INTO plain VALUES ('new {nth}'); DELETE FROM plain WHERE v = '{nth}7'"
        ));
    }
    let output = bench.run(&connector, &["--endpos", "now"]);
    assert!(output.status.success(), "{}", stderr(&output));
    // The stream was behind the snapshot all the time; now it is not.
    bench.psql("UPDATE t SET v = 'last' WHERE id < 50");
    bench.catch_up(&connector);
    let position = format!("__cdcd_position.{}", bench.name);
    let last =
        crate::kit::read_topic(&bench.kafka.bootstrap_servers, &position).pop().unwrap().value.unwrap();
    assert_eq!(last["snapshot"], serde_json::Value::Null, "the attempts are forgotten");

    for (table, key, columns) in [
        ("t", &["id"][..], "'id', id, 'v', v, 'n', n"),
        ("u", &["name", "day"][..], "'name', name, 'day', day - date '1970-01-01', 'v', v"),
    ] {
        let records = bench.topic(&format!("public.{table}"));
        let mut reads = BTreeMap::<String, usize>::new();
        for record in records.iter().filter(|record| record.op() == "r") {
            *reads.entry(record.key_payload().unwrap().to_string()).or_default() += 1;
        }
        assert!(reads.values().all(|count| *count == 1), "{table}: a row was read twice");
        counts_only_up(&records);
        let (folded, expected) = (crate::kit::fold(&records), source_rows(&bench, table, key, columns));
        assert_eq!(folded.len(), expected.len(), "{table}: rows");
        assert!(folded == expected, "{table}: the folded topic differs from the table");
    }
}

/// What takes changes out of the stream without an error of the server.
#[test]
fn a_publication_that_loses_something_is_noticed() {
    let bench = Bench::new("published");
    bench.psql("CREATE TABLE t (id bigserial PRIMARY KEY, v text); CREATE TABLE other (id int PRIMARY KEY)");
    let settings = [
        ("snapshot.mode", "no_data"),
        ("publication.autocreate.mode", "filtered"),
        ("table.include.list", "public.t,public.other"),
    ];
    let stops = |with: &str| {
        let (code, said) = start(&bench, &settings, &[]);
        assert!(code == Some(4) && said.contains(with), "{with}: {said}");
        assert_eq!(start(&bench, &settings, &["--accept-loss"]).0, Some(0));
        assert_eq!(start(&bench, &settings, &[]).0, Some(0), "consent is kept as what is");
    };
    assert_eq!(start(&bench, &settings, &[]).0, Some(0));
    let name = &bench.name;
    bench.psql("DROP TABLE t; CREATE TABLE t (id bigserial PRIMARY KEY, v text)");
    stops("E_TABLE_RECREATED");
    bench.psql(&format!("ALTER PUBLICATION {name} SET (publish = 'insert, update')"));
    stops("E_PUBLICATION_CHANGED");
    bench.psql(&format!("ALTER PUBLICATION {name} SET TABLE t WHERE (id > 10), other"));
    stops("the row filter of public.t was changed");
    bench.psql(&format!("ALTER PUBLICATION {name} DROP TABLE other"));
    stops("E_TABLE_UNPUBLISHED");
    // A table that is dropped for good is nobody's loss, and a list that got shorter neither.
    bench.psql("DROP TABLE other");
    assert_eq!(start(&bench, &settings, &[]).0, Some(0));
    bench.psql(&format!("DROP PUBLICATION {name}; CREATE PUBLICATION {name} FOR TABLE t"));
    stops("E_PUBLICATION_HISTORY");
}
