//! `cdcd capture` with single message transforms on real PostgreSQL and Kafka.

use std::time::Duration;

use cdcd_testkit::wait_until;

use crate::kit::{Bench, finish, kill, stderr};

/// The shop pipeline's connector as its manager posts it, with the options that Debezium 2 had; only host, port,
/// database, password and slot are the test's.
#[test]
fn pipeline_c_runs_unchanged() {
    let bench = Bench::new("shop");
    bench.psql(
        "CREATE TABLE users (id serial PRIMARY KEY, name varchar(100) NOT NULL, email varchar(100) UNIQUE NOT NULL, \
         created_at timestamp DEFAULT '2026-01-01', updated_at timestamp DEFAULT '2026-01-01')",
    );
    bench.psql("INSERT INTO users (name, email) VALUES ('a', 'a@b.c'), ('b', 'b@b.c')");
    let connector = bench.connector(&[
        ("database.server.name", "cdc-server"),
        ("table.include.list", "public.users,public.products,public.orders"),
        ("plugin.name", "pgoutput"),
        ("publication.autocreate.mode", "filtered"),
        ("key.converter", "org.apache.kafka.connect.json.JsonConverter"),
        ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
        ("key.converter.schemas.enable", "false"),
        ("value.converter.schemas.enable", "false"),
        ("transforms", "unwrap"),
        ("transforms.unwrap.type", "io.debezium.transforms.ExtractNewRecordState"),
        ("transforms.unwrap.add.fields", "op,ts_ms,source"),
        ("transforms.unwrap.delete.handling.mode", "rewrite"),
        ("heartbeat.interval.ms", "5000"),
        ("schema.history.internal.kafka.bootstrap.servers", "kafka:29092"),
        ("schema.history.internal.kafka.topic", "schema-changes.cdc"),
    ]);
    bench.catch_up(&connector);
    bench.psql("UPDATE users SET name = 'c' WHERE id = 1");
    bench.psql("DELETE FROM users WHERE id = 2");
    bench.catch_up(&connector);
    let records = bench.topic("public.users");
    let facts: Vec<String> = records
        .iter()
        .map(|record| {
            let row = record.value.as_ref().unwrap();
            assert!(row["__ts_ms"].is_i64() && row["__source"]["lsn"].is_i64(), "{row}");
            assert_eq!(row["__source"]["table"], "users");
            format!("{} {} {} {}", row["id"], row["name"], row["__deleted"], row["__op"])
        })
        .collect();
    assert_eq!(
        facts,
        [
            r#"1 "a" "false" "r""#,
            r#"2 "b" "false" "r""#,
            r#"1 "c" "false" "u""#,
            // The old key is all that the default identity sends of a deleted row.
            r#"2 "" "true" "d""#,
        ]
    );
    assert_eq!(records[3].key.as_ref().unwrap(), &serde_json::json!({"id": 2}));
}

/// Half of all records is dropped, and the process is killed again and again: what is left is there once.
#[test]
fn a_chain_that_drops_records_loses_and_repeats_none() {
    const KILLS: usize = 4;
    let bench = Bench::new("halved");
    bench.psql("CREATE TABLE t (id bigserial PRIMARY KEY, v text)");
    bench.psql("INSERT INTO t(v) SELECT md5(i::text) FROM generate_series(1, 20000) i");
    let routed = format!("{}.public.half", bench.name);
    let connector = bench.connector(&[
        ("transforms", "half,unwrap,route"),
        ("transforms.half.type", "io.debezium.transforms.Filter"),
        ("transforms.half.language", "cel"),
        ("transforms.half.condition", "value.after.id % 2 == 0"),
        ("transforms.unwrap.type", "io.debezium.transforms.ExtractNewRecordState"),
        ("transforms.unwrap.add.headers", "op"),
        ("transforms.route.type", "org.apache.kafka.connect.transforms.RegexRouter"),
        ("transforms.route.regex", r"(.*)\.t"),
        ("transforms.route.replacement", "$1.half"),
    ]);
    let mut seen = 0;
    for nth in 0..KILLS {
        let child = bench.command(&connector, &[]);
        if nth > 0 {
            bench.psql("INSERT INTO t(v) SELECT md5(i::text) FROM generate_series(1, 10000) i");
        }
        let now = wait_until("new records", Duration::from_secs(60), || {
            let now = bench.count("public.half");
            Ok((now > seen).then_some(now))
        });
        kill(child.id(), "KILL");
        let output = finish(child);
        seen = now.unwrap_or_else(|error| panic!("round {nth}: {error}: {}", stderr(&output)));
    }
    bench.catch_up(&connector);
    let records = bench.topic("public.half");
    let ids: Vec<i64> =
        records.iter().map(|record| record.value.as_ref().unwrap()["id"].as_i64().unwrap()).collect();
    let expected: Vec<i64> = bench
        .psql("SELECT id FROM t WHERE id % 2 = 0 ORDER BY id")
        .lines()
        .map(|id| id.parse().unwrap())
        .collect();
    assert_eq!(ids.len(), expected.len(), "records of {routed}");
    assert!(ids == expected, "the ids of {routed} are not those of the table, once each and in order");
    assert!(records.iter().all(|record| record.headers.iter().any(|(name, _)| name == "__op")));
    assert_eq!(bench.topic("public.t").len(), 0, "nothing goes to the table's own topic");
}
