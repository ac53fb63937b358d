//! Positions given to Debezium's place and taken back. The real Debezium is in `cargo xtask chaos takeover`.

use serde_json::Value;

use crate::kit::{Bench, cdcd, finish, posted, stderr};

const TOPIC: &str = "offset.storage.topic";

/// Runs `cdcd offsets`; exit code, answer, what it said.
fn offsets(bench: &Bench, verb: &str, args: &[&str]) -> (Option<i32>, Value, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("connector.json");
    std::fs::write(&file, posted(&bench.name, &bench.connector(&[]))).unwrap();
    let mut command = cdcd();
    command.args(["offsets", verb]).arg(&file).args(["--bootstrap-servers", &bench.kafka.bootstrap_servers]);
    command.arg("--set").arg(format!("{TOPIC}={}.offsets", bench.name)).args(args);
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
