//! `cdcd capture` on real PostgreSQL and Kafka.

use std::time::Duration;

use cdcd_testkit::wait_until;

use crate::kit::{Bench, finish, fold, kill, stderr};

/// The table of pipeline B.
const TRANSACTIONS: &str = "CREATE TABLE transactions (transaction_id serial PRIMARY KEY, user_id int NOT NULL, \
    amount decimal(10,2), status varchar(20), created_at timestamp DEFAULT current_timestamp, \
    updated_at timestamp DEFAULT current_timestamp)";

#[test]
fn snapshot_then_stream_gives_every_kind_of_event() {
    let bench = Bench::new("kinds");
    bench.psql(TRANSACTIONS);
    bench.psql(
        "INSERT INTO transactions(user_id, amount, status) VALUES (1, 10.50, 'pending'), (2, NULL, NULL)",
    );
    let connector = bench.connector(&[("table.include.list", "public.transactions")]);
    bench.catch_up(&connector);
    bench.psql("UPDATE transactions SET status = 'done' WHERE transaction_id = 1");
    bench.psql("DELETE FROM transactions WHERE transaction_id = 2");
    bench.psql("UPDATE transactions SET transaction_id = 100 WHERE transaction_id = 1");
    bench.psql("TRUNCATE transactions");
    bench.catch_up(&connector);
    let records = bench.topic("public.transactions");
    let ops: Vec<&str> = records.iter().map(|record| record.op()).collect();
    assert_eq!(ops, ["r", "r", "u", "d", "tombstone", "d", "tombstone", "c"]);
    let markers: Vec<_> =
        records[..2].iter().map(|r| r.payload().unwrap()["source"]["snapshot"].clone()).collect();
    assert_eq!(markers, ["first", "last"]);
    let first = &records[0].payload().unwrap()["after"];
    assert_eq!(first["amount"], "BBo=");
    assert!(first["created_at"].is_i64());
    assert_eq!(records[7].headers[0].0, "__debezium.oldkey");
    assert_eq!(
        records[5].headers[0],
        ("__debezium.newkey".to_owned(), r#"{"transaction_id":100}"#.to_owned())
    );
}

/// Pipeline A's file relies on every default: all tables, `FOR ALL TABLES`, schemas in every record.
#[test]
fn pipeline_a_runs_on_its_defaults() {
    let bench = Bench::new("flights");
    bench.psql(
        "CREATE TABLE flights (icao24 varchar(50), callsign varchar(50), origin_country varchar(100), \
         time_position timestamp, last_contact timestamp, longitude float, latitude float, baro_altitude float, \
         on_ground boolean, velocity float, heading float, vertical_rate float, inserted_by text, \
         inserted_at timestamp, PRIMARY KEY (icao24, last_contact))",
    );
    let mut connector = bench.connector(&[("database.sslmode", "disable")]);
    connector.retain(|(key, _)| !key.contains("converter"));
    bench.catch_up(&connector);
    bench.psql(
        "INSERT INTO flights VALUES ('abc123', 'TEST1', 'Nowhere', '2026-01-01 00:00:00', '2026-01-01 00:00:01', \
         1.5, -2.25, NULL, false, 230.1, 90, 0, 'me', '2026-01-01 00:00:02.123456')",
    );
    bench.catch_up(&connector);
    let records = bench.topic("public.flights");
    assert_eq!(records.len(), 1);
    let value = records[0].value.as_ref().unwrap();
    assert_eq!(value["schema"]["name"], format!("{}.public.flights.Envelope", bench.name));
    assert_eq!(value["payload"]["after"]["inserted_at"], 1_767_225_602_123_456_i64);
    assert_eq!(
        records[0].key.as_ref().unwrap()["payload"],
        serde_json::json!({"icao24": "abc123", "last_contact": 1_767_225_601_000_000_i64})
    );
}

#[test]
fn filtered_publication_holds_exactly_the_captured_tables() {
    let bench = Bench::new("filtered");
    bench.psql("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)");
    let filtered = |list: &str| {
        bench.catch_up(
            &bench.connector(&[("publication.autocreate.mode", "filtered"), ("table.include.list", list)]),
        );
        bench.psql("SELECT string_agg(tablename, ',' ORDER BY tablename) FROM pg_publication_tables")
    };
    assert_eq!(filtered("public.a").trim(), "a");
    assert_eq!(filtered("public.a,public.b").trim(), "a,b");
}

/// Kills while a writer runs: the topic, folded, equals the table. Duplicates are allowed, losses are not.
#[test]
fn kill_9_loses_nothing() {
    const KILLS: usize = 6;
    let bench = Bench::new("kill9");
    bench.psql("CREATE TABLE t (id bigserial PRIMARY KEY, v text, n int)");
    bench.psql("INSERT INTO t(v, n) SELECT md5(i::text), 0 FROM generate_series(1, 120000) i");
    let connector = bench.connector(&[]);
    let count = || bench.count("public.t");
    let mut seen = 0;
    for nth in 0..KILLS {
        let child = bench.command(&connector, &[]);
        if nth >= 1 {
            // A transaction of more than 100,000 changes in one of the rounds, small ones beside it.
            let rows = if nth == 3 { 120_000 } else { 5_000 };
            bench.psql(&format!(
                "INSERT INTO t(v, n) SELECT md5(i::text), {nth} FROM generate_series(1, {rows}) i"
            ));
            bench.psql(&format!("UPDATE t SET n = n + 1 WHERE id % 97 = {nth}"));
            bench.psql(&format!("DELETE FROM t WHERE id % 211 = {nth}"));
        }
        // The first kill falls into the snapshot, the second as a rule, the others into the stream: each after new records.
        let now = wait_until("new records", Duration::from_secs(60), || {
            let now = count();
            Ok((now > seen).then_some(now))
        });
        kill(child.id(), "KILL");
        let output = finish(child);
        seen = now.unwrap_or_else(|error| panic!("round {nth}: {error}: {}", stderr(&output)));
    }
    bench.catch_up(&connector);
    let rows = bench.psql("SELECT json_build_object('id', id, 'v', v, 'n', n) FROM t ORDER BY id");
    let expected: std::collections::BTreeMap<String, serde_json::Value> = rows
        .lines()
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            (serde_json::json!({"id": row["id"]}).to_string(), row)
        })
        .collect();
    let folded = fold(&bench.topic("public.t"));
    assert_eq!(folded.len(), expected.len(), "rows in the topic and in the table");
    assert!(folded == expected, "the folded topic differs from the table");
}

#[test]
fn sigterm_delivers_what_was_read_and_exits_0() {
    let bench = Bench::new("sigterm");
    bench.psql("CREATE TABLE t (id int PRIMARY KEY)");
    let connector = bench.connector(&[]);
    let child = bench.command(&connector, &[]);
    bench.psql("INSERT INTO t SELECT generate_series(1, 1000)");
    wait_until(
        "records",
        Duration::from_secs(60),
        || Ok((!bench.topic("public.t").is_empty()).then_some(())),
    )
    .unwrap();
    kill(child.id(), "TERM");
    let output = finish(child);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    bench.catch_up(&connector);
    assert_eq!(bench.topic("public.t").len(), 1000, "a stop in order repeats nothing");
    let slot = format!(
        "SELECT confirmed_flush_lsn >= '0/1' AND NOT active FROM pg_replication_slots WHERE slot_name = '{}'",
        bench.name
    );
    assert_eq!(bench.psql(&slot).trim(), "t");
}

#[test]
fn schema_changes_appear_from_the_next_row_on() {
    let bench = Bench::new("ddl");
    bench.psql("CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE t (id int PRIMARY KEY, m mood)");
    let connector = bench.connector(&[]);
    bench.catch_up(&connector);
    bench.psql("INSERT INTO t VALUES (1, 'ok')");
    bench.psql(
        "ALTER TABLE t ADD COLUMN u uuid DEFAULT 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', ADD COLUMN j jsonb",
    );
    bench.psql("INSERT INTO t VALUES (2, 'sad', DEFAULT, '{\"b\": [1, 2]}')");
    bench.psql("ALTER TABLE t DROP COLUMN m");
    bench.psql("INSERT INTO t(id) VALUES (3)");
    bench.catch_up(&connector);
    let after: Vec<_> =
        bench.topic("public.t").iter().map(|r| r.payload().unwrap()["after"].clone()).collect();
    let uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    assert_eq!(
        after,
        [
            serde_json::json!({"id": 1, "m": "ok"}),
            serde_json::json!({"id": 2, "m": "sad", "u": uuid, "j": "{\"b\": [1, 2]}"}),
            serde_json::json!({"id": 3, "u": uuid, "j": null})
        ]
    );
}

#[test]
fn output_stdout_acknowledges_nothing() {
    let bench = Bench::new("stdout");
    bench.psql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (7)");
    let connector = bench.connector(&[]);
    let output = bench.run(&connector, &["--output", "stdout", "--endpos", "now"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(line["key"], r#"{"id":7}"#);
    assert_eq!(line["topic"], format!("{}.public.t", bench.name));
    assert!(bench.topic("public.t").is_empty());
    bench.psql("INSERT INTO t VALUES (8)");
    for _ in 0..2 {
        let output = bench
            .run(&connector, &["--output", "stdout", "--endpos", "now", "--set", "snapshot.mode=no_data"]);
        assert!(String::from_utf8_lossy(&output.stdout).contains(r#"{\"id\":8}"#), "{}", stderr(&output));
    }
}

#[test]
fn wrong_settings_end_with_their_exit_code_and_a_hint() {
    let bench = Bench::new("wrong");
    bench.psql("CREATE TABLE t (id int PRIMARY KEY)");
    let check = |extra: &[(&str, &str)], code: i32, expected: &[&str]| {
        let output = bench.run(&bench.connector(extra), &["--endpos", "now"]);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{extra:?}: {text}");
        for part in expected {
            assert!(text.contains(part), "{extra:?}: {part} is not in: {text}");
        }
        assert!(!text.contains(&bench.postgres.password), "the password is shown");
    };
    check(&[("database.password", "no")], 2, &["28P01", "hint: check database.user"]);
    check(&[("database.dbname", "no_such")], 2, &["3D000", "hint: check database.dbname"]);
    check(&[("database.port", "1")], 3, &["127.0.0.1:1", "hint: check database.hostname"]);
    check(&[("database.sslmode", "require")], 2, &["TLS"]);
    check(
        &[("transforms", "x"), ("transforms.x.type", "com.acme.Mine")],
        2,
        &["transforms.x.type", "supported: io.debezium"],
    );
    let groovy = [
        ("transforms", "x"),
        ("transforms.x.type", "io.debezium.transforms.Filter"),
        ("transforms.x.language", "jsr223.groovy"),
        ("transforms.x.condition", "value.op == 'u'"),
    ];
    check(&groovy, 2, &["transforms.x.language", "language=cel"]);
    check(&[("publication.autocreate.mode", "disabled")], 2, &["publication"]);
    check(&[("plugin.name", "wal2json")], 2, &["plugin.name"]);
    check(&[("slot.nam", "x")], 0, &["slot.nam", "did you mean slot.name?"]);
}

#[test]
fn a_missing_slot_and_a_foreign_slot_stop() {
    let bench = Bench::new("lost");
    bench.psql("CREATE TABLE t (id int PRIMARY KEY)");
    let connector = bench.connector(&[]);
    bench.catch_up(&connector);
    bench.psql(&format!("SELECT pg_drop_replication_slot('{}')", bench.name));
    let output = bench.run(&connector, &["--endpos", "now"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains("E_SLOT_MISSING"));
    bench.psql(&format!("SELECT pg_create_logical_replication_slot('{}', 'test_decoding')", bench.name));
    let output = bench.run(&connector, &["--endpos", "now"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains("E_SLOT_FOREIGN") && stderr(&output).contains("test_decoding"));
    bench.psql(&format!("SELECT pg_drop_replication_slot('{}')", bench.name));
    bench.psql("INSERT INTO t VALUES (1)");
    bench.catch_up(&bench.connector(&[("snapshot.mode", "when_needed")]));
    assert_eq!(bench.topic("public.t").len(), 1);
}

#[test]
fn an_advanced_slot_is_noticed() {
    let bench = Bench::new("ahead");
    bench.psql("CREATE TABLE t (id int PRIMARY KEY)");
    let connector = bench.connector(&[]);
    bench.catch_up(&connector);
    bench.psql("INSERT INTO t VALUES (1)");
    bench.psql(&format!("SELECT pg_replication_slot_advance('{}', pg_current_wal_lsn())", bench.name));
    let output = bench.run(&connector, &["--endpos", "now"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains("E_GAP_SLOT_AHEAD"));
}

#[test]
fn heartbeats_and_topic_rules_are_honoured() {
    let bench = Bench::new("rules");
    bench.psql("CREATE TABLE t (id int PRIMARY KEY)");
    let connector = bench.connector(&[
        ("heartbeat.interval.ms", "100"),
        ("topic.creation.default.partitions", "3"),
        ("topic.creation.default.replication.factor", "1"),
    ]);
    let child = bench.command(&connector, &[]);
    bench.psql("INSERT INTO t SELECT generate_series(1, 50)");
    let heartbeats = format!("__debezium-heartbeat.{}", bench.name);
    let servers = bench.kafka.bootstrap_servers.clone();
    let found = wait_until("heartbeats", Duration::from_secs(60), || {
        let found = crate::kit::read_topic(&servers, &heartbeats);
        Ok((found.len() >= 2 && bench.topic("public.t").len() == 50).then_some(found))
    })
    .unwrap();
    kill(child.id(), "TERM");
    assert!(finish(child).status.success());
    assert_eq!(found[0].key.as_ref().unwrap()["serverName"], bench.name);
    assert!(found[0].value.as_ref().unwrap()["ts_ms"].is_i64());
    let described = bench.kafka.tool(
        "org.apache.kafka.tools.TopicCommand",
        &["--describe", "--topic", &format!("{}.public.t", bench.name)],
        "",
    );
    assert!(described.unwrap().contains("PartitionCount: 3"));
}

#[test]
fn what_the_properties_ask_for_is_done_at_the_source() {
    let bench = Bench::new("asked");
    bench
        .psql("CREATE TABLE \"T\" (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY, n int NOT NULL)");
    bench.psql("CREATE UNIQUE INDEX by_n ON u (n); CREATE TABLE beats (marker text)");
    let connector = bench.connector(&[
        ("heartbeat.interval.ms", "50"),
        ("heartbeat.action.query", "INSERT INTO beats VALUES (current_setting('my.marker'))"),
        ("database.initial.statements", "SET my.marker TO 'a;;b'; SET DateStyle TO German"),
        ("replica.identity.autoset.values", r"public\.T:FULL,public\.u:INDEX by_n"),
        ("snapshot.delay.ms", "300"),
        ("streaming.delay.ms", "200"),
        ("slot.drop.on.stop", "true"),
        ("slot.stream.params", "binary=false"),
    ]);
    let child = bench.command(&connector, &[]);
    wait_until("heartbeats at the source", Duration::from_secs(60), || {
        Ok((bench.psql("SELECT count(*) >= 2 FROM beats") == "t").then_some(()))
    })
    .unwrap();
    let identities = "SELECT string_agg(relname || '=' || relreplident::text, ',' ORDER BY relname COLLATE \"C\") \
                      FROM pg_class WHERE relname IN ('T', 'u')";
    assert_eq!(bench.psql(identities), "T=f,u=i");
    assert_eq!(bench.psql("SELECT DISTINCT marker FROM beats"), "a;b");
    assert_eq!(
        bench.psql("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"),
        "1"
    );
    kill(child.id(), "TERM");
    let output = finish(child);
    assert!(output.status.success(), "{}", stderr(&output));
    for property in ["snapshot.delay.ms", "streaming.delay.ms"] {
        assert!(stderr(&output).contains(property), "{property}");
    }
    assert_eq!(
        bench.psql("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"),
        "0"
    );
}

#[test]
fn a_heartbeat_action_without_its_table_stops_the_connector() {
    let bench = Bench::new("noaction");
    let connector = bench.connector(&[
        ("heartbeat.interval.ms", "50"),
        ("heartbeat.action.query", "INSERT INTO nowhere VALUES (1)"),
    ]);
    let output = finish(bench.command(&connector, &[]));
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("heartbeat.action.query"), "{}", stderr(&output));
}
