//! Positions given to Debezium's place and taken back. The real Debezium is in `cargo xtask chaos takeover`.

use serde_json::Value;

use crate::kit::{Bench, cdcd, finish, posted, stderr};

const TOPIC: &str = "offset.storage.topic";

const FILE: &str = "offset.storage.file.filename";

/// Runs `cdcd offsets`; exit code, answer, what it said.
fn offsets(bench: &Bench, verb: &str, args: &[&str]) -> (Option<i32>, Value, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("connector.json");
    std::fs::write(&file, posted(&bench.name, &bench.connector(&[]))).unwrap();
    let mut command = cdcd();
    command.args(["offsets", verb]).arg(&file).args(["--bootstrap-servers", &bench.kafka.bootstrap_servers]);
    let topic = format!("{TOPIC}={}.offsets", bench.name);
    if !args.iter().any(|arg| arg.starts_with(FILE)) {
        command.args(["--set", &topic]);
    }
    command.args(args);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let output = finish(command.spawn().unwrap());
    let answer = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), answer, stderr(&output))
}

#[test]
fn a_position_that_was_given_away_is_taken_back_behind_what_is_in_kafka() {
    let bench = Bench::new("offsets");
    bench.psql("CREATE TABLE t (id int PRIMARY KEY, note text); INSERT INTO t VALUES (1, 'a')");
    let connector = bench.connector(&[]);
    bench.catch_up(&connector);
    let (exit, _, said) = offsets(&bench, "import", &[]);
    assert_eq!(exit, Some(2), "{said}");
    assert!(said.contains("has a position already"), "{said}");

    let (exit, given, said) = offsets(&bench, "export", &[]);
    assert_eq!(exit, Some(0), "{said}");
    assert_eq!(given["key"], format!(r#"["{0}",{{"server":"{0}"}}]"#, bench.name));
    let lsn = given["debezium"]["lsn_commit"].as_u64().unwrap();
    // Whoever starts now without an import would guess.
    let output = bench.run(&connector, &["--endpos", "now"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("E_POSITION_MISSING"), "{}", stderr(&output));

    bench.psql("INSERT INTO t SELECT i, 'b' FROM generate_series(2, 50) i; DELETE FROM t WHERE id = 1");
    let (exit, dry, said) = offsets(&bench, "import", &["--dry-run"]);
    assert_eq!((exit, &dry["written"]), (Some(0), &Value::Bool(false)), "{said}");
    let (exit, taken, said) = offsets(&bench, "import", &[]);
    assert_eq!(exit, Some(0), "{said}");
    assert_eq!(taken["debezium"]["lsn_commit"], lsn);
    // Nothing of the transaction after it is in Kafka.
    assert_eq!(
        (&taken["sent_beyond_its_offset"], &taken["will_be_repeated"]),
        (&0.into(), &0.into()),
        "{taken}"
    );
    bench.catch_up(&connector);
    let records = bench.topic("public.t");
    assert_eq!(
        records.len(),
        1 + 49 + 2,
        "a read, 49 creates, a delete and its tombstone, none of them twice"
    );
}

#[test]
fn the_file_of_a_standalone_worker_is_read_and_not_written() {
    let bench = Bench::new("offsets_file");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto-fixtures/connect/connect.offsets");
    let file = format!("{FILE}={path}");
    let args = ["--set", &file, "--set", "name=flights", "--set", "topic.prefix=air"];
    let (exit, shown, said) = offsets(&bench, "show", &args);
    assert_eq!((exit, &shown["debezium"]["lsn_commit"]), (Some(0), &109_347_112.into()), "{said}");
    let (exit, _, said) = offsets(&bench, "import", &args[..2]);
    assert_eq!(exit, Some(2), "{said}");
    assert!(said.contains("has no offset of") && said.contains("flights"), "{said}");
    let (exit, _, said) = offsets(&bench, "export", &args);
    assert_eq!(exit, Some(2), "{said}");
    assert!(said.contains("is only read"), "{said}");
}

/// What Debezium's connector of this name wrote last, put where a worker would have.
fn debezium_stopped(bench: &Bench, server: &str, lsn: &str) {
    let lsn: u64 = bench.psql(&format!("SELECT ('{lsn}'::pg_lsn - '0/0')::bigint")).parse().unwrap();
    let key = format!(r#"["{}",{{"server":"{server}"}}]"#, bench.name);
    let value = format!(r#"{{"lsn_proc":{lsn},"messageType":"COMMIT","lsn_commit":{lsn},"lsn":{lsn}}}"#);
    bench
        .kafka
        .tool(
            "org.apache.kafka.tools.ConsoleProducer",
            &[
                "--topic",
                &format!("{}.offsets", bench.name),
                "--property",
                "parse.key=true",
                "--property",
                "key.separator=\t",
            ],
            &format!("{key}\t{value}\n"),
        )
        .unwrap();
}

/// The slot is there, our position is not, and no topic holds a record: only Connect knows that Debezium has run.
#[test]
fn a_first_start_behind_debezium_is_stopped_by_its_offset() {
    let bench = Bench::new("offsets_first");
    bench.psql("CREATE TABLE t (id int PRIMARY KEY)");
    let slot = format!("SELECT lsn FROM pg_create_logical_replication_slot('{}', 'pgoutput')", bench.name);
    let lsn = bench.psql(&slot);
    let connector = bench.connector(&[("snapshot.mode", "no_data")]);
    let topic = format!("{TOPIC}={}.offsets", bench.name);
    let run = || bench.run(&connector, &["--endpos", "now", "--set", &topic]);
    debezium_stopped(&bench, "another", &lsn);
    debezium_stopped(&bench, &bench.name, &lsn);
    let output = run();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("E_POSITION_MISSING") && said.contains("holds an offset of"), "{said}");
    assert!(said.contains("cdcd offsets import"), "{said}");
    let (exit, _, said) = offsets(&bench, "import", &[]);
    assert_eq!(exit, Some(0), "{said}");
    let output = run();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn an_offset_of_another_prefix_is_no_reason_to_stop() {
    let bench = Bench::new("offsets_other");
    bench.psql("CREATE TABLE t (id int PRIMARY KEY)");
    let lsn = bench
        .psql(&format!("SELECT lsn FROM pg_create_logical_replication_slot('{}', 'pgoutput')", bench.name));
    debezium_stopped(&bench, "another", &lsn);
    let topic = format!("{TOPIC}={}.offsets", bench.name);
    let output =
        bench.run(&bench.connector(&[("snapshot.mode", "no_data")]), &["--endpos", "now", "--set", &topic]);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn an_offset_that_is_behind_the_topics_is_no_reason_to_repeat() {
    let bench = Bench::new("offsets_behind");
    bench.psql("CREATE TABLE t (id int PRIMARY KEY, note text)");
    let connector = bench.connector(&[]);
    bench.catch_up(&connector);
    let (_, given, _) = offsets(&bench, "export", &["--dry-run"]);
    // The offset of now, although more is sent and acknowledged by nobody: as after a crash.
    let key = given["key"].as_str().unwrap().to_owned();
    let value = given["debezium"].to_string();
    bench.psql(&format!("SELECT pg_copy_logical_replication_slot('{0}', '{0}_kept')", bench.name));
    bench.psql(
        "INSERT INTO t SELECT i, 'b' FROM generate_series(1, 30) i; UPDATE t SET note = 'c' WHERE id < 11",
    );
    bench.catch_up(&connector);
    bench.psql(&format!("SELECT pg_drop_replication_slot('{0}')", bench.name));
    bench.psql(&format!("SELECT pg_copy_logical_replication_slot('{0}_kept', '{0}')", bench.name));
    bench.psql(&format!("SELECT pg_drop_replication_slot('{0}_kept')", bench.name));
    let (exit, _, said) = offsets(&bench, "export", &[]);
    assert_eq!(exit, Some(0), "{said}");
    let topic = format!("{}.offsets", bench.name);
    bench
        .kafka
        .tool(
            "org.apache.kafka.tools.ConsoleProducer",
            &["--topic", &topic, "--property", "parse.key=true", "--property", "key.separator=\t"],
            &format!("{key}\t{value}\n"),
        )
        .unwrap();
    let (exit, taken, said) = offsets(&bench, "import", &[]);
    assert_eq!(exit, Some(0), "{said}");
    assert_eq!(
        (&taken["sent_beyond_its_offset"], &taken["will_be_repeated"]),
        (&40.into(), &0.into()),
        "{taken}"
    );
    bench.psql("INSERT INTO t VALUES (99, 'd')");
    bench.catch_up(&connector);
    assert_eq!(bench.topic("public.t").len(), 30 + 10 + 1, "none of them twice");
}
