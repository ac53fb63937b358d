//! Avro through a real schema registry: read back by another client, and what becomes of a registry that says no or
//! nothing.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cdcd_testkit::proxy::{Direction, Door, Flow, Proxy};
use cdcd_testkit::services;
use serde_json::{Value, json};

use crate::kit::{Bench, finish, stderr};

const AVRO: &str = "io.confluent.connect.avro.AvroConverter";

/// A connector with keys and values in Avro; `extra` are options of both converters.
fn avro(bench: &Bench, registry: &str, extra: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut connector = bench.connector(&[("cdcd.retry.budget.ms", "1")]);
    connector.retain(|(key, _)| !key.contains("converter"));
    for half in ["key.converter", "value.converter"] {
        connector.push((half.to_owned(), AVRO.to_owned()));
        for (key, value) in [("schema.registry.url", registry)].iter().chain(extra) {
            connector.push((format!("{half}.{key}"), (*value).to_owned()));
        }
    }
    connector
}

/// Asks the registry by hand.
fn ask(registry: &str, method: &str, path: &str, body: &Value) -> Value {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "30", "-X", method, "-H", "Content-Type: application/json"]);
    if !body.is_null() {
        curl.args(["--data-binary", "@-"]);
    }
    curl.arg(format!("{registry}{path}")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = curl.spawn().expect("curl is needed");
    child.stdin.take().unwrap().write_all(body.to_string().as_bytes()).unwrap();
    let output = finish(child);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{path}: {}", stderr(&output)))
}

/// What Python's client reads of a topic.
fn python(bench: &Bench, registry: &str, table: &str, count: usize) -> Vec<Value> {
    let python = services::python_with_confluent_kafka().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/avro/read.py");
    let mut command = Command::new(python);
    command
        .arg(script)
        .args([
            &bench.kafka.bootstrap_servers,
            registry,
            &format!("{}.{table}", bench.name),
            &count.to_string(),
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = finish(command.spawn().unwrap());
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn exit(output: &std::process::Output) -> Option<i32> {
    output.status.code()
}

#[test]
fn pythons_client_reads_every_record_through_the_registry() {
    let bench = Bench::new("avro_python");
    let registry = services::registry().unwrap().url;
    bench.psql(
        "CREATE TABLE t (id int PRIMARY KEY, big bigint NOT NULL, small smallint, price numeric(10,2), any_scale numeric, \
         note text DEFAULT 'none', ok boolean, f double precision, raw bytea, day date, at timestamp, tags text[])",
    );
    bench.psql(
        "INSERT INTO t VALUES (1, 9223372036854775807, -3, 3.50, 1.25, 'ünï 🛫', true, 1e300, '\\x00ff', '2024-02-29', \
         '2024-02-29 12:34:56.789012', '{a,NULL}'), (2, -1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    );
    let mut connector = avro(&bench, &registry, &[]);
    connector.push(("heartbeat.interval.ms".to_owned(), "100".to_owned()));
    bench.catch_up(&connector);
    bench.psql("UPDATE t SET price = -0.01 WHERE id = 1");
    bench.psql("DELETE FROM t WHERE id = 2");
    bench.catch_up(&connector);
    let records = python(&bench, &registry, "public.t", 5);
    let ops: Vec<_> =
        records.iter().map(|record| record["value"]["op"].as_str().unwrap_or("tombstone")).collect();
    assert_eq!(ops, ["r", "r", "u", "d", "tombstone"]);
    assert_eq!(records[4]["key"], json!({"id": 2}));
    assert_eq!(
        records[0]["value"]["after"],
        json!({
            "id": 1, "big": i64::MAX, "small": -3, "price": "3.50", "any_scale": {"scale": 2, "value": "0x7d"},
            "note": "ünï 🛫", "ok": true, "f": 1e300, "raw": "0x00ff", "day": 19_782,
            "at": 1_709_210_096_789_012_i64, "tags": ["a", null]
        })
    );
    // NULL of a column with a default is the default, as Debezium writes it.
    let expected = json!({
        "id": 2, "big": -1, "small": null, "price": null, "any_scale": null, "note": "none", "ok": null, "f": null,
        "raw": null, "day": null, "at": null, "tags": null
    });
    assert_eq!(records[1]["value"]["after"], expected);
    assert_eq!(records[2]["value"]["after"]["price"], "-0.01");
    assert_eq!(records[0]["value"]["source"]["snapshot"], "first");
}

#[test]
fn a_registry_that_is_away_or_silent_is_exit_3_and_nothing_is_lost() {
    let bench = Bench::new("avro_away");
    let registry = services::registry().unwrap().url;
    let address = registry.trim_start_matches("http://").split('/').next().unwrap().parse().unwrap();
    let proxy = Proxy::start("127.0.0.1:0".parse().unwrap(), address, 1).unwrap();
    let path = registry.rsplit_once("/apis").unwrap().1;
    let proxied = format!("http://{}/apis{path}", proxy.address());
    bench.psql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    let connector = avro(&bench, &proxied, &[]);
    for silent in [false, true] {
        match silent {
            false => proxy.door(Door::Shut),
            true => proxy.flow(Direction::ToClient, Flow::Hold),
        }
        let began = Instant::now();
        let output = bench.run(&connector, &["--endpos", "now"]);
        let text = stderr(&output);
        assert_eq!(exit(&output), Some(3), "{text}");
        assert!(
            text.contains("schema registry http://127.0.0.1") && text.contains("cannot be reached"),
            "{text}"
        );
        assert!(text.contains(&format!("schema of {}.public.t-value", bench.name)), "{text}");
        assert!(began.elapsed() < Duration::from_secs(90), "{:?}", began.elapsed());
        proxy.heal();
        proxy.door(Door::Open);
    }
    bench.catch_up(&connector);
    // A connector that runs waits for a registry that comes back.
    bench.psql("CREATE TABLE later (id int PRIMARY KEY); INSERT INTO later VALUES (1), (2)");
    proxy.door(Door::Shut);
    let output = bench.run(&connector, &["--endpos", "now"]);
    assert_eq!(exit(&output), Some(3), "{}", stderr(&output));
    proxy.door(Door::Open);
    bench.catch_up(&connector);
    assert_eq!(python(&bench, &registry, "public.t", 1)[0]["value"]["op"], "r");
    let later = python(&bench, &registry, "public.later", 2);
    let ids: Vec<_> = later.iter().map(|record| record["value"]["after"]["id"].clone()).collect();
    assert_eq!(ids, [1, 2]);
}

#[test]
fn an_incompatible_schema_is_exit_2_in_the_registrys_words_and_goes_on_when_allowed() {
    let bench = Bench::new("avro_incompatible");
    let registry = services::registry().unwrap().url;
    bench.psql("CREATE TABLE t (id int PRIMARY KEY, note text); INSERT INTO t VALUES (1, 'a')");
    let connector = avro(&bench, &registry, &[]);
    bench.catch_up(&connector);
    let subject = format!("/config/{}.public.t-value", bench.name);
    ask(&registry, "PUT", &subject, &json!({"compatibility": "FULL_TRANSITIVE"}));
    bench.psql("ALTER TABLE t ADD COLUMN must int NOT NULL DEFAULT 0; ALTER TABLE t ALTER must DROP DEFAULT");
    bench.psql("INSERT INTO t VALUES (2, 'b', 7)");
    let output = bench.run(&connector, &["--endpos", "now"]);
    let text = stderr(&output);
    assert_eq!(exit(&output), Some(2), "{text}");
    assert!(
        text.contains("answers 409") && text.contains("public.t-value") && text.contains("hint:"),
        "{text}"
    );
    ask(&registry, "PUT", &subject, &json!({"compatibility": "NONE"}));
    bench.catch_up(&connector);
    let records = python(&bench, &registry, "public.t", 2);
    assert_eq!(records[1]["value"]["after"], json!({"id": 2, "note": "b", "must": 7}));
}

#[test]
fn schemas_that_may_not_be_registered_must_be_there() {
    let bench = Bench::new("avro_lookup");
    let registry = services::registry().unwrap().url;
    bench.psql("CREATE TABLE t (id int PRIMARY KEY, n smallint); INSERT INTO t VALUES (1, 5)");
    let refuse = |extra: &[(&str, &str)], says: &str| {
        let output = bench.run(&avro(&bench, &registry, extra), &["--endpos", "now"]);
        let text = stderr(&output);
        assert_eq!(exit(&output), Some(2), "{text}");
        assert!(text.contains(says), "{text}");
    };
    let (look_up, latest) = (
        [("auto.register.schemas", "false")],
        [("auto.register.schemas", "false"), ("use.latest.version", "true")],
    );
    refuse(&look_up, "answers 404");
    refuse(&latest, "answers 404");
    // Another layout as the newest one: our bytes would be read as something else.
    let subjects = ["key", "value"].map(|half| format!("/subjects/{}.public.t-{half}/versions", bench.name));
    for subject in &subjects {
        ask(&registry, "POST", subject, &json!({"schema": "\"string\""}));
        let rules = subject.replace("/subjects/", "/config/").replace("/versions", "");
        ask(&registry, "PUT", &rules, &json!({"compatibility": "NONE"}));
    }
    refuse(&latest, "other fields or types");
    // The table's own schemas without Connect's properties: another text, the same layout.
    let shared = [("connect.meta.data", "false")];
    bench.catch_up(&avro(&bench, &registry, &shared));
    bench.psql("INSERT INTO t VALUES (2, NULL)");
    bench.catch_up(&avro(&bench, &registry, &latest));
    let records = python(&bench, &registry, "public.t", 2);
    assert_eq!(records[1]["value"]["after"], json!({"id": 2, "n": null}));
}
