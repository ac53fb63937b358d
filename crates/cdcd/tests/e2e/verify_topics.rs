//! `cdcd verify --topics`: it agrees with a capture that was killed, and finds what is planted in a topic.

use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use cdcd_testkit::wait_until;
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;

use crate::kit::{Bench, cdcd, finish, posted, stderr};

const ORACLE: &str = "topics_oracle";

/// A bench whose oracle slot was made before everything else.
struct Witness {
    bench: Bench,
    connector: Vec<(String, String)>,
    file: PathBuf,
    slot: String,
}

impl Witness {
    fn new(name: &str, tables: &str, extra: &[(&str, &str)]) -> Self {
        let bench = Bench::new(name);
        bench.psql(tables);
        bench.psql(&format!("CREATE PUBLICATION {} FOR ALL TABLES", bench.name));
        let slot = format!("{ORACLE}_{}", bench.name);
        bench.psql(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"));
        let mut own = vec![
            ("snapshot.mode", "no_data"),
            ("cdcd.headers", "true"),
            ("topic.creation.default.partitions", "2"),
            ("topic.creation.default.replication.factor", "1"),
        ];
        own.extend(extra);
        let connector = bench.connector(&own);
        let file = std::env::temp_dir().join(format!("{}-topics.json", bench.name));
        std::fs::write(&file, posted(&bench.name, &connector)).unwrap();
        let witness = Witness { bench, connector, file, slot };
        witness.bench.catch_up(&witness.connector);
        witness
    }

    fn command(&self, args: &[&str]) -> std::process::Child {
        cdcd()
            .args(["verify", "--topics", self.file.to_str().unwrap(), "--output", "json"])
            .args(["--bootstrap-servers", &self.bench.kafka.bootstrap_servers])
            .args(args)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Exit code, report, all that was said.
    fn verify(&self, args: &[&str]) -> (i32, Value, Output) {
        let output = finish(self.command(args));
        let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (output.status.code().unwrap(), report, output)
    }

    fn with_oracle(&self) -> (i32, Value, Output) {
        self.verify(&["--oracle-slot", &self.slot])
    }

    fn topic(&self, table: &str) -> String {
        format!("{}.public.{table}", self.bench.name)
    }

    /// Appends a copy of the newest record of one partition to another, with its headers changed.
    fn plant(&self, table: &str, to: i32, change: impl Fn(&mut Vec<u8>)) {
        use rdkafka::consumer::{BaseConsumer, Consumer as _};
        let mut config = rdkafka::ClientConfig::new();
        config.set("bootstrap.servers", &self.bench.kafka.bootstrap_servers).set("group.id", "plant");
        let consumer: BaseConsumer = config.create().unwrap();
        let topic = self.topic(table);
        let mut assignment = rdkafka::TopicPartitionList::new();
        for partition in 0..2 {
            assignment.add_partition_offset(&topic, partition, rdkafka::Offset::Beginning).unwrap();
        }
        consumer.assign(&assignment).unwrap();
        let message = wait_until("a record", Duration::from_secs(20), || {
            Ok(consumer.poll(Duration::from_millis(100)).map(|message| message.unwrap().detach()))
        })
        .unwrap();
        let mut headers = OwnedHeaders::new();
        for header in message.headers().unwrap().iter() {
            let mut value = header.value.unwrap().to_vec();
            if header.key == "cdcd.eid" {
                change(&mut value);
            }
            if !value.is_empty() {
                headers = headers.insert(Header { key: header.key, value: Some(&value) });
            }
        }
        let producer: BaseProducer = config.create().unwrap();
        let record = BaseRecord::to(&topic)
            .partition(to)
            .key(message.key().unwrap())
            .payload(message.payload().unwrap())
            .headers(headers);
        producer.send(record).unwrap();
        producer.flush(Duration::from_secs(20)).unwrap();
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // A file in the temporary folder; what remains is small.
        let _ = std::fs::remove_file(&self.file);
    }
}

const TABLES: &str = "
    CREATE TABLE plain (id int PRIMARY KEY, v text);
    CREATE TABLE pair (a text, b uuid DEFAULT gen_random_uuid(), v int, PRIMARY KEY (b, a));
    CREATE TABLE whole (id bigint PRIMARY KEY, v text); ALTER TABLE whole REPLICA IDENTITY FULL;
    CREATE TABLE keyless (v text); ALTER TABLE keyless REPLICA IDENTITY FULL;
    CREATE TABLE stamped (at timestamptz PRIMARY KEY, v int);
    CREATE TABLE quiet (id int PRIMARY KEY)";

/// Every kind of change that makes one, two or three records, or none.
const CHANGES: &str = "
    BEGIN; INSERT INTO plain SELECT i, 'x' FROM generate_series(1, 50) i; UPDATE plain SET v = 'y' WHERE id < 10;
    UPDATE plain SET id = id + 1000 WHERE id < 5; DELETE FROM plain WHERE id = 7; COMMIT;
    BEGIN; INSERT INTO pair(a, v) SELECT i::text, i FROM generate_series(1, 20) i; SAVEPOINT s; DELETE FROM pair;
    ROLLBACK TO s; UPDATE pair SET a = 'moved ' || a WHERE v < 4; UPDATE pair SET v = v + 1; COMMIT;
    INSERT INTO whole SELECT i, 'x' FROM generate_series(1, 10) i; UPDATE whole SET v = 'y' WHERE id < 4;
    UPDATE whole SET id = -id WHERE id > 7; DELETE FROM whole WHERE id = 1;
    INSERT INTO keyless VALUES ('a'), ('b'), ('c'); UPDATE keyless SET v = 'd' WHERE v = 'a'; DELETE FROM keyless WHERE v = 'b';
    INSERT INTO stamped SELECT now() + i * interval '1 s', i FROM generate_series(1, 5) i; UPDATE stamped SET v = 0;
    TRUNCATE quiet, whole;";

#[test]
fn topics_of_a_capture_that_was_killed_agree_with_the_log() {
    let witness = Witness::new("topics_agree", TABLES, &[("skipped.operations", "none")]);
    let bench = &witness.bench;
    bench.psql(CHANGES);
    let mut capture = bench.command(&witness.connector, &[]);
    wait_until("records", Duration::from_secs(60), || Ok((bench.count("public.plain") > 0).then_some(())))
        .unwrap();
    bench.psql("INSERT INTO plain SELECT i, 'z' FROM generate_series(20000, 50000) i");
    capture.kill().unwrap();
    capture.wait().unwrap();
    bench.psql("DELETE FROM plain WHERE id > 49990");
    bench.catch_up(&witness.connector);

    let (exit, report, output) = witness.with_oracle();
    assert_eq!(exit, 0, "{report:#}\n{}", stderr(&output));
    assert_eq!(report["expected"], report["read"]);
    let plain =
        report["tables"].as_array().unwrap().iter().find(|table| table["table"] == "public.plain").unwrap();
    let expected = serde_json::json!({ "create": 50 + 4 + 30_001, "update": 9, "delete": 4 + 1 + 10, "tombstone": 15, "truncate": 0 });
    assert_eq!((&plain["expected"], &plain["read"]), (&expected, &expected), "{report:#}");
    // Nothing was acknowledged on the oracle's slot: the second answer is the first one.
    let (exit, again, _) = witness.with_oracle();
    assert_eq!((exit, &again["expected"]), (0, &report["expected"]));
}

#[test]
fn a_planted_duplicate_and_a_planted_event_are_found() {
    let witness = Witness::new("topics_planted", "CREATE TABLE t (id int PRIMARY KEY)", &[]);
    witness.bench.psql("INSERT INTO t SELECT i FROM generate_series(1, 20) i");
    witness.bench.catch_up(&witness.connector);
    let found = |kind: &str, args: &[&str]| {
        let (exit, report, output) = witness.verify(args);
        assert_eq!(exit, 5, "{report:#}\n{}", stderr(&output));
        assert!(stderr(&output).contains("violations"), "{}", stderr(&output));
        report["found"][kind].as_u64().unwrap()
    };
    let oracle = ["--oracle-slot", witness.slot.as_str()];
    witness.plant("t", 0, |_| {});
    assert_eq!(found("duplicate", &oracle), 1);
    // The ordinal's last byte: change 200 of a transaction of twenty.
    witness.plant("t", 1, |eid| eid[19] = 200);
    assert_eq!(found("unexpected", &oracle), 1);
    let (_, report, output) = witness.verify(&oracle);
    let example = report["examples"]
        .as_array()
        .unwrap()
        .iter()
        .find(|example| example["kind"] == "unexpected")
        .unwrap();
    assert_eq!(
        (&example["topic"], &example["partition"]),
        (&witness.topic("t").into(), &1.into()),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_change_that_no_topic_has_is_found() {
    let witness = Witness::new("topics_lost", "CREATE TABLE t (id int PRIMARY KEY)", &[]);
    let bench = &witness.bench;
    bench.psql("INSERT INTO t SELECT i FROM generate_series(1, 20) i");
    bench.catch_up(&witness.connector);
    // As a slot that somebody else has read: the change is in the log and will never be in a topic.
    bench.psql("INSERT INTO t VALUES (100)");
    bench.psql(&format!("SELECT pg_replication_slot_advance('{}', pg_current_wal_flush_lsn())", bench.name));
    let (exit, report, output) = witness.with_oracle();
    assert_eq!(exit, 5, "{report:#}\n{}", stderr(&output));
    assert_eq!((&report["found"]["missing"], &report["found"]["duplicate"]), (&1.into(), &0.into()));
    assert_eq!(report["examples"][0]["table"], "public.t");
}

#[test]
fn records_without_event_id_are_refused_with_the_property_that_gives_them() {
    let witness =
        Witness::new("topics_nameless", "CREATE TABLE t (id int PRIMARY KEY)", &[("cdcd.headers", "false")]);
    witness.bench.psql("INSERT INTO t VALUES (1)");
    witness.bench.catch_up(&witness.connector);
    let (exit, _, output) = witness.with_oracle();
    assert_eq!(exit, 2, "{}", stderr(&output));
    assert!(stderr(&output).contains("cdcd.headers=true"), "{}", stderr(&output));
    assert!(stderr(&output).contains(&witness.topic("t")), "{}", stderr(&output));
    let (exit, _, output) = witness.verify(&["--oracle-slot", &witness.bench.name]);
    assert_eq!(exit, 2);
    assert!(stderr(&output).contains("capture's own slot"), "{}", stderr(&output));
}

#[test]
fn without_an_oracle_slot_what_commits_meanwhile_is_compared() {
    let witness = Witness::new("topics_meanwhile", "CREATE TABLE t (id int PRIMARY KEY)", &[]);
    let bench = &witness.bench;
    bench.psql("INSERT INTO t SELECT i FROM generate_series(1, 30) i");
    let capture = bench.command(&witness.connector, &[]);
    let verify = witness.command(&["--during", "3s"]);
    let temporary =
        "SELECT count(*) FROM pg_replication_slots WHERE temporary AND database = current_database()";
    wait_until("the temporary slot", Duration::from_secs(30), || {
        Ok((bench.psql(temporary) == "1").then_some(()))
    })
    .unwrap();
    bench.psql("INSERT INTO t SELECT i FROM generate_series(101, 140) i");
    let output = finish(verify);
    crate::kit::kill(capture.id(), "TERM");
    finish(capture);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    assert_eq!(output.status.code(), Some(0), "{report:#}\n{}", stderr(&output));
    assert_eq!((&report["expected"], &report["before"]), (&40.into(), &30.into()), "{report:#}");
    assert!(stderr(&output).contains("temporary slot"), "{}", stderr(&output));
    assert_eq!(bench.psql(temporary), "0");
}
