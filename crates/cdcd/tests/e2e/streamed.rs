//! Large transactions received while they are in progress: the same events as after their commit, and nothing left over.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use cdcd_testkit::wait_until;
use serde_json::Value;

use crate::kit::{Bench, Read, finish, kill, stderr};

const LIMIT: Duration = Duration::from_secs(60);

/// A bench whose server sends transactions in progress from 64 kB on, and a folder for the spool.
fn bench(name: &str, major: u16) -> (Bench, Folder) {
    let bench = Bench::on(name, major);
    bench.psql(&format!("ALTER DATABASE {} SET logical_decoding_work_mem = '64kB'", bench.database.name));
    let folder = std::env::temp_dir().join(format!("cdcd-e2e-{}", bench.name));
    std::fs::create_dir_all(&folder).unwrap();
    (bench, Folder(folder))
}

struct Folder(PathBuf);

impl Folder {
    fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// Files of all connectors' spools.
    fn files(&self) -> Vec<PathBuf> {
        let entries = |path: &Path| -> Vec<PathBuf> {
            let found = std::fs::read_dir(path).into_iter().flatten();
            found.map(|entry| entry.unwrap().path()).collect()
        };
        entries(&self.0).iter().flat_map(|folder| entries(folder)).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _: std::io::Result<()> = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs scripts at the same time, a session each.
fn at_once(bench: &Bench, scripts: &[String]) {
    let sessions: Vec<_> = scripts
        .iter()
        .map(|script| {
            let mut command = bench.postgres.psql_command(&bench.database.name).unwrap();
            let mut child =
                command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
            child
        })
        .collect();
    for session in sessions {
        let output = finish(session);
        assert!(output.status.success(), "{}", stderr(&output));
    }
}

/// Rows of a table `t(id serial, v text)` with a pause, so that sessions take turns.
fn rows(table: &str, count: usize, value: &str) -> String {
    format!(
        "INSERT INTO {table}(v) SELECT '{value}' || i FROM generate_series(1, {count}) i; SELECT pg_sleep(0.05);\n"
    )
}

/// Interleaved large transactions with savepoints, DDL, a truncate and a whole rollback, and short ones in between.
fn history(bench: &Bench) {
    let changed = [
        "BEGIN;\n".to_owned(),
        rows("a", 2000, "kept"),
        "SAVEPOINT s;\n".to_owned(),
        rows("a", 2000, "gone"),
        "ALTER TABLE a ADD COLUMN gone int DEFAULT 1;\n".to_owned(),
        rows("a", 2000, "gone"),
        "SAVEPOINT deep; TRUNCATE a; RELEASE deep;\n".to_owned(),
        "ROLLBACK TO s;\n".to_owned(),
        rows("a", 500, "kept"),
        rows("e", 2000, "kept"),
        "ALTER TABLE e ADD COLUMN added text DEFAULT 'new';\n".to_owned(),
        rows("e", 2000, "kept with"),
        "UPDATE a SET v = v || '!' WHERE id % 3 = 0; DELETE FROM a WHERE id % 7 = 0;\n".to_owned(),
        "COMMIT;\n".to_owned(),
    ];
    let whole =
        ["BEGIN;\n".to_owned(), rows("b", 3000, "gone"), rows("b", 3000, "gone"), "ROLLBACK;\n".to_owned()];
    let nested = "BEGIN;\n\
        DO $$ BEGIN FOR i IN 1..60 LOOP BEGIN\n\
          INSERT INTO c(v) SELECT 'loop' || i || '-' || n FROM generate_series(1, 100) n;\n\
          IF i % 3 = 0 THEN RAISE division_by_zero; END IF;\n\
        EXCEPTION WHEN division_by_zero THEN INSERT INTO c(v) VALUES ('caught' || i); END; END LOOP; END $$;\n\
        SELECT pg_sleep(0.1); TRUNCATE c;\n"
        .to_owned()
        + &rows("c", 2000, "after")
        + "COMMIT;\n";
    let short = rows("d", 3, "short").repeat(6);
    at_once(bench, &[changed.concat(), whole.concat(), nested, short.clone(), short]);
}

/// What a capture of the slot's whole backlog prints, without the times of processing.
fn printed(bench: &Bench, folder: &Folder, streaming: &str) -> Vec<Value> {
    let connector = bench.connector(&[
        ("snapshot.mode", "no_data"),
        ("cdcd.headers", "true"),
        ("provide.transaction.metadata", "true"),
        ("cdcd.streaming", streaming),
        ("cdcd.spool.dir", folder.text()),
    ]);
    let output = bench.run(&connector, &["--endpos", "now", "--output", "stdout"]);
    assert!(output.status.success(), "cdcd.streaming={streaming}: {}", stderr(&output));
    let line = |line: &str| {
        let mut record: Value = serde_json::from_str(line).unwrap();
        let headers = record["headers"].as_array_mut().unwrap();
        let run = headers.iter().position(|header| header == "__debezium.context.runId");
        if let Some(place) = run {
            headers.drain(place..place + 2);
        }
        let mut event: Value = record["payload"].as_str().map_or(Value::Null, |text| text.parse().unwrap());
        if let Some(event) = event.as_object_mut()
            && event.contains_key("op")
        {
            ["ts_ms", "ts_us", "ts_ns"].iter().for_each(|name| drop(event.remove(*name)));
        }
        record["payload"] = event;
        record
    };
    String::from_utf8(output.stdout).unwrap().lines().map(line).collect()
}

fn streamed_transactions(bench: &Bench) -> i64 {
    let sql = format!("SELECT stream_txns FROM pg_stat_replication_slots WHERE slot_name = '{}'", bench.name);
    // The server's statistics come a little later.
    let count = wait_until("statistics of the slot", LIMIT, || {
        let count: i64 = bench.psql(&sql).parse()?;
        Ok((count >= 2).then_some(count))
    });
    count.unwrap()
}

fn streamed_is_whole(major: u16) {
    let (bench, folder) = bench("streamed", major);
    for table in ["a", "b", "c", "d", "e"] {
        bench.psql(&format!("CREATE TABLE {table} (id serial PRIMARY KEY, v text)"));
    }
    assert!(printed(&bench, &folder, "off").is_empty());
    history(&bench);
    let whole = printed(&bench, &folder, "off");
    let streamed = printed(&bench, &folder, "on");
    assert!(streamed_transactions(&bench) >= 2);
    assert!(whole.len() > 10_000, "{} records", whole.len());
    assert!(!whole.iter().any(|record| record["payload"]["after"]["v"].to_string().contains("gone")));
    assert_eq!(whole.len(), streamed.len());
    for (whole, streamed) in whole.iter().zip(&streamed) {
        assert_eq!(whole, streamed);
    }
    assert!(folder.files().is_empty(), "{:?}", folder.files());
}

#[test]
fn streamed_and_whole_transactions_give_equal_events_on_15() {
    streamed_is_whole(15);
}

#[test]
fn streamed_and_whole_transactions_give_equal_events_on_18() {
    streamed_is_whole(18);
}

/// How often each value was delivered to a reader of committed records.
fn deliveries(records: &[Read]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for record in records {
        let value = record.payload().unwrap()["after"]["v"].as_str().unwrap().to_owned();
        *counts.entry(value).or_default() += 1;
    }
    counts
}

/// A5 and C15 of the matrix: kills in the middle of a transaction that is cut into several commits and has parts that
/// were rolled back; some starts ask for whole transactions.
#[test]
fn no_kill_loses_or_repeats_a_change_of_a_streamed_transaction() {
    let (bench, folder) = bench("streamed_kill", 18);
    bench.psql("CREATE TABLE t (id bigserial PRIMARY KEY, v text)");
    let connector = |streaming| {
        bench.connector(&[
            ("snapshot.mode", "no_data"),
            ("cdcd.streaming", streaming),
            ("cdcd.spool.dir", folder.text()),
        ])
    };
    bench.catch_up(&connector("on"));
    let (mut expected, mut seen, mut left) = (0, 0, 0);
    for round in 0..3 {
        let part = |value: &str, count: usize| {
            format!("INSERT INTO t(v) SELECT '{round}{value}' || i FROM generate_series(1, {count}) i;\n")
        };
        let long = format!(
            "BEGIN; {} SAVEPOINT s; {} ROLLBACK TO s; {} COMMIT;\n",
            part("a", 50_000),
            part("gone", 20_000),
            part("b", 50_000)
        );
        let other = format!("BEGIN; {} ROLLBACK;\n", part("gone", 20_000));
        at_once(&bench, &[long, other, part("c", 10)]);
        expected += 100_010;
        for (streaming, signal) in [("on", "KILL"), ("off", "KILL"), ("on", "TERM"), ("on", "KILL")] {
            let child = bench.command(&connector(streaming), &[]);
            let grown = wait_until("new records", LIMIT, || {
                let now = bench.count("public.t");
                Ok((now > seen || now >= expected).then_some(now))
            });
            seen = grown.unwrap();
            kill(child.id(), signal);
            let output = finish(child);
            assert!(signal == "KILL" || output.status.success(), "{}", stderr(&output));
            left += folder.files().len();
            if streaming == "on" && signal == "TERM" {
                assert!(folder.files().is_empty(), "{:?}", folder.files());
            }
        }
    }
    assert!(left > 0, "no kill met a file: the test shows nothing");
    bench.catch_up(&connector("on"));
    assert!(folder.files().is_empty(), "{:?}", folder.files());
    let counts = deliveries(&bench.topic("public.t"));
    assert!(!counts.keys().any(|value| value.contains("gone")));
    assert_eq!(counts.len(), expected, "each row is there");
    assert_eq!(counts.values().filter(|count| **count > 1).count(), 0, "delivered more than once");
}

/// A6: what was committed while a long transaction was open is acknowledged, and a restart still has all of the long one.
#[test]
fn a_long_transaction_survives_restarts_between_its_blocks() {
    let (bench, folder) = bench("streamed_long", 15);
    bench.psql("CREATE TABLE t (id bigserial PRIMARY KEY, v text)");
    let connector = bench.connector(&[("snapshot.mode", "no_data"), ("cdcd.spool.dir", folder.text())]);
    bench.catch_up(&connector);
    let mut command = bench.postgres.psql_command(&bench.database.name).unwrap();
    let mut long = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut session = long.stdin.take().unwrap();
    session.write_all(b"BEGIN;\n").unwrap();
    let mut flushed = Vec::new();
    for round in 0..3 {
        let statement =
            format!("INSERT INTO t(v) SELECT 'long{round}-' || i FROM generate_series(1, 3000) i;\n");
        session.write_all(statement.as_bytes()).unwrap();
        session.flush().unwrap();
        std::thread::sleep(Duration::from_millis(500));
        bench.psql(&format!("INSERT INTO t(v) VALUES ('short{round}')"));
        let child = bench.command(&connector, &[]);
        wait_until("the short transaction and a file", LIMIT, || {
            Ok((bench.count("public.t") > round && !folder.files().is_empty()).then_some(()))
        })
        .unwrap();
        let signal = if round == 1 { "TERM" } else { "KILL" };
        std::thread::sleep(Duration::from_millis(500));
        kill(child.id(), signal);
        finish(child);
        let sql = format!(
            "SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = '{}'",
            bench.name
        );
        flushed.push(bench.psql(&sql).parse::<f64>().unwrap());
    }
    assert!(flushed.is_sorted() && flushed.first() < flushed.last(), "{flushed:?}");
    session.write_all(b"COMMIT;\n").unwrap();
    drop(session);
    assert!(finish(long).status.success());
    bench.catch_up(&connector);
    let counts = deliveries(&bench.topic("public.t"));
    assert_eq!(counts.len(), 9003);
    assert!(counts.values().all(|count| *count == 1));
    assert!(folder.files().is_empty());
}

/// Of a streamed transaction whose rolled back DDL is followed by DDL on the same table the server may lose the catalog
/// ("could not map filenode", 14 to 18, while it decodes behind the session): it is received whole then.
#[test]
fn a_transaction_that_the_server_cannot_stream_is_received_whole() {
    let (bench, folder) = bench("streamed_lost", 18);
    bench.psql("CREATE TABLE t (id bigserial PRIMARY KEY, v text)");
    let connector = bench.connector(&[("snapshot.mode", "no_data"), ("cdcd.spool.dir", folder.text())]);
    bench.catch_up(&connector);
    bench.psql("INSERT INTO t(v) VALUES ('before')");
    let script = [
        "BEGIN;\n".to_owned(),
        rows("t", 2000, "a"),
        "SAVEPOINT s; TRUNCATE t;\n".to_owned(),
        rows("t", 2000, "gone"),
        "ROLLBACK TO s;\n".to_owned(),
        rows("t", 2000, "b"),
        "ALTER TABLE t ADD COLUMN added int;\n".to_owned(),
        rows("t", 2000, "c"),
        "COMMIT;\n".to_owned(),
    ];
    at_once(&bench, &[script.concat()]);
    let output = bench.run(&connector, &["--endpos", "now"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("could not map"), "{}", stderr(&output));
    let counts = deliveries(&bench.topic("public.t"));
    assert_eq!(counts.len(), 6001);
    assert!(counts.values().all(|count| *count == 1));
}

/// The server does not say to which subtransaction a streamed message belongs: such a transaction is received whole.
#[test]
fn a_message_in_a_rolled_back_subtransaction_is_not_delivered() {
    let (bench, folder) = bench("streamed_message", 18);
    bench.psql("CREATE TABLE t (id bigserial PRIMARY KEY, v text)");
    let connector = bench.connector(&[("snapshot.mode", "no_data"), ("cdcd.spool.dir", folder.text())]);
    bench.catch_up(&connector);
    let emit = |content: &str| format!("SELECT pg_logical_emit_message(true, 'p', '{content}'); ");
    let fill = "INSERT INTO t(v) SELECT 'v' || i FROM generate_series(1, 3000) i; ";
    bench.psql(&format!(
        "BEGIN; {fill} {} SAVEPOINT s; {} {fill} ROLLBACK TO s; {fill} {} COMMIT",
        emit("kept"),
        emit("gone"),
        emit("last")
    ));
    let output = bench.run(&connector, &["--endpos", "now"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("does not tell in full"), "{}", stderr(&output));
    assert_eq!(deliveries(&bench.topic("public.t")).len(), 3000);
    let messages = bench.topic("message");
    let contents: Vec<&Value> =
        messages.iter().map(|record| &record.payload().unwrap()["message"]["content"]).collect();
    assert_eq!(contents, ["a2VwdA==", "bGFzdA=="]);
}

/// In a stream the server leaves out the commit LSN of the origin, which is in every event.
#[test]
fn a_transaction_of_an_origin_is_received_whole() {
    let (bench, folder) = bench("streamed_origin", 18);
    bench.psql("CREATE TABLE t (id bigserial PRIMARY KEY, v text)");
    let connector = bench.connector(&[("snapshot.mode", "no_data"), ("cdcd.spool.dir", folder.text())]);
    bench.catch_up(&connector);
    let origin = &bench.name;
    let script = [
        format!(
            "SELECT pg_replication_origin_create('{origin}'), pg_replication_origin_session_setup('{origin}');\n"
        ),
        "BEGIN; SELECT pg_replication_origin_xact_setup('0/ABC', now());\n".to_owned(),
        rows("t", 3000, "v"),
        "COMMIT;\n".to_owned(),
    ];
    at_once(&bench, &[script.concat()]);
    let output = bench.run(&connector, &["--endpos", "now"]);
    bench.psql(&format!("SELECT pg_replication_origin_drop('{origin}')"));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("came from a replication origin"), "{}", stderr(&output));
    let records = bench.topic("public.t");
    assert_eq!(records.len(), 3000);
    let source = &records[0].payload().unwrap()["source"];
    assert_eq!(
        (&source["origin"], &source["origin_lsn"]),
        (&Value::from(origin.as_str()), &Value::from(0xabc))
    );
}

#[test]
fn a_full_spool_stops_by_name_and_loses_nothing() {
    let (bench, folder) = bench("streamed_full", 18);
    bench.psql("CREATE TABLE t (id bigserial PRIMARY KEY, v text)");
    let connector = |extra: &[(&str, &str)]| {
        bench.connector(&[&[("snapshot.mode", "no_data"), ("cdcd.spool.dir", folder.text())], extra].concat())
    };
    bench.catch_up(&connector(&[]));
    bench.psql("INSERT INTO t(v) SELECT 'v' || i FROM generate_series(1, 3000) i");
    let small = connector(&[("cdcd.spool.max.bytes", "50000")]);
    let output = bench.run(&small, &["--endpos", "now"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("E_SPOOL_FULL") && said.contains("cdcd.spool.max.bytes"), "{said}");
    let nowhere = ("cdcd.spool.dir", "/proc/cdcd");
    let output = bench.run(&connector(&[nowhere, ("cdcd.streaming", "on")]), &["--endpos", "now"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("E_SPOOL_DISK"), "{}", stderr(&output));
    assert_eq!(bench.count("public.t"), 0);
    // Without a folder, `auto` receives whole transactions.
    bench.catch_up(&connector(&[nowhere]));
    assert_eq!(deliveries(&bench.topic("public.t")).len(), 3000);
}
