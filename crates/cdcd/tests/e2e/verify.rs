//! `cdcd verify` on the whole way: it agrees while writers run, and finds every planted difference.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use cdcd_snowflake_emulator::settings::Settings;
use cdcd_snowflake_emulator::streaming::{BinaryFormat, Mode};
use cdcd_snowflake_emulator::{Config, Emulator};
use cdcd_testkit::services::{self, Database};
use serde_json::Value;

use crate::kit::{Bench, finish, kill, stderr};

/// The whole way of one test: source, broker, account, and the two connector files.
struct Way {
    bench: Bench,
    runtime: tokio::runtime::Runtime,
    emulator: Option<Emulator>,
    /// The emulator's engine.
    engine: Option<Database>,
    sink: cdcd_snowflake::Snowflake,
    files: [PathBuf; 2],
}

impl Way {
    fn new(name: &str, source: &[(&str, &str)], sink: &[(&str, &str)]) -> Way {
        let bench = Bench::new(name);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let engine = services::postgres_cluster("emulator", 17).unwrap().fresh_database(name).unwrap();
        let config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            tls: None,
            engine: engine.url(),
            mode: Mode::Store,
            binary: BinaryFormat::Hex,
            databases: vec!["CDC".to_owned()],
            settings: Settings { commit_delay_ms: 20, ..Settings::default() },
        };
        let emulator = runtime.block_on(Emulator::start(config)).unwrap();
        let (url, key) = (format!("http://{}", emulator.http), private_key());
        let file = |kind: &str, config: serde_json::Map<String, Value>| {
            let path = std::env::temp_dir().join(format!("{}-{kind}.json", bench.name));
            std::fs::write(&path, serde_json::json!({ "config": config }).to_string()).unwrap();
            path
        };
        let source = bench.connector(source).into_iter().map(|(key, value)| (key, value.into())).collect();
        let topics = format!("{}\\..*", bench.name);
        let own = [
            ("name", format!("{}-sink", bench.name)),
            ("topics.regex", topics),
            ("bootstrap.servers", bench.kafka.bootstrap_servers.clone()),
            ("snowflake.url.name", url.clone()),
            ("snowflake.user.name", "loader".to_owned()),
            ("snowflake.private.key", key.clone()),
            ("snowflake.database.name", "CDC".to_owned()),
            ("cdcd.batch.age.max.ms", "50".to_owned()),
            ("cdcd.merge.interval.ms", "300".to_owned()),
        ];
        let extra = sink.iter().map(|(key, value)| (*key, (*value).to_owned()));
        let sink = own.into_iter().chain(extra).map(|(key, value)| (key.to_owned(), value.into())).collect();
        let files = [file("source", source), file("sink", sink)];
        let mut account = cdcd_snowflake::Config::new(url, "loader", cdcd_snowflake::Secret::new(key));
        account.database = "CDC".to_owned();
        let sink = cdcd_snowflake::Snowflake::new(&account).unwrap();
        Way { bench, runtime, emulator: Some(emulator), engine: Some(engine), sink, files }
    }

    fn spawn(&self, args: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cdcd"));
        command.args(args).args(["--bootstrap-servers", &self.bench.kafka.bootstrap_servers]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn source_file(&self) -> &str {
        self.files[0].to_str().unwrap()
    }

    fn sink_file(&self) -> &str {
        self.files[1].to_str().unwrap()
    }

    /// Brings everything that is in the source to the account.
    fn flow(&self) {
        for args in [
            ["capture", self.source_file(), "--endpos", "now"].as_slice(),
            &["sink", self.sink_file(), "--until-caught-up"],
        ] {
            let output = finish(self.spawn(args));
            assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        }
    }

    fn verify(&self, args: &[&str]) -> (i32, Value, Output) {
        let mut all =
            vec!["verify", self.source_file(), self.sink_file(), "--output", "json", "--show-values"];
        all.extend(args);
        let output = finish(self.spawn(&all));
        let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (output.status.code().unwrap(), report, output)
    }

    /// Both agree on `rows` rows of the only table.
    fn agrees(&self, rows: u64, args: &[&str]) {
        let (exit, report, output) = self.verify(args);
        assert_eq!(exit, 0, "{report:#}\n{}", stderr(&output));
        let table = &report["tables"][0];
        assert_eq!(
            (table["rows_source"].as_u64(), table["rows_destination"].as_u64()),
            (Some(rows), Some(rows))
        );
        let chunks = table["chunks"].as_array().unwrap();
        assert!(chunks.iter().all(|chunk| chunk["hash_source"] == chunk["hash_destination"]), "{report:#}");
    }

    /// The differences as `kind key columns`, sorted.
    fn differs(&self, args: &[&str]) -> Vec<String> {
        let (exit, report, output) = self.verify(args);
        assert_eq!(exit, 5, "{report:#}\n{}", stderr(&output));
        let one = |found: &Value| {
            let columns = found["columns"].as_array().unwrap().iter().map(|column| {
                format!(
                    " {}:{}:{}",
                    column["name"].as_str().unwrap(),
                    text(&column["source"]),
                    text(&column["destination"])
                )
            });
            let columns: String = columns.collect();
            format!("{} {}{columns}", found["kind"].as_str().unwrap(), found["key"].as_str().unwrap())
        };
        let mut all: Vec<String> =
            report["tables"][0]["differences"].as_array().unwrap().iter().map(one).collect();
        all.sort();
        all
    }

    /// Changes the account behind the sink's back.
    fn plant(&self, statement: &str) {
        self.runtime.block_on(self.sink.query("planting", statement)).unwrap();
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        if let Some(emulator) = self.emulator.take() {
            self.runtime.block_on(emulator.stop());
        }
        if let Some(engine) = self.engine.take() {
            let _gone = engine.remove();
        }
        for file in &self.files {
            let _gone = std::fs::remove_file(file);
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("NULL").to_owned()
}

fn private_key() -> String {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use base64::Engine;
    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    base64::engine::general_purpose::STANDARD.encode(der.as_ref())
}

/// Every kind of value that is compared, extremes included.
const ITEMS: &str = "CREATE TYPE mood AS ENUM ('sad', 'happy'); \
    CREATE TABLE items (id int, part text, PRIMARY KEY (id, part), price numeric(20,6), big bigint, flag boolean, \
    ratio float8, small_ratio float4, day date, at timestamp, at_milli timestamp(3), instant timestamptz, clock time, \
    raw bytea, note text, doc jsonb, code uuid, feeling mood, padded char(6)); \
    INSERT INTO items SELECT n, 'p' || n % 7, n * 1.000001, 9223372036854775807 - n, n % 2 = 0, n / 3.0, n / 7.0, \
    date '2026-01-01' + n, timestamp '2026-01-01 00:00:00.123456' + n * interval '1 second', \
    timestamp '1969-12-31 23:59:59.987', timestamptz '2026-06-01 12:00:00+02' + n * interval '1 hour', \
    time '23:59:59.999999', decode(md5(n::text), 'hex'), 'note ' || n, jsonb_build_object('n', n, 'list', jsonb_build_array(1.5, null, 'ü')), \
    md5(n::text)::uuid, CASE WHEN n % 2 = 0 THEN 'sad' ELSE 'happy' END::mood, 'ab' FROM generate_series(1, 300) n; \
    INSERT INTO items (id, part) VALUES (-5, 'only ''nulls'''), (7, 'back\\slash'), (8, 'Ünïcode'), (8, 'z'), (8, 'Z')";

#[test]
fn the_log_agrees_and_every_planted_difference_is_found() {
    let way = Way::new("verify_log", &[], &[("cdcd.table.mode", "view")]);
    way.bench.psql(ITEMS);
    way.bench.psql("ALTER TABLE items ALTER COLUMN note SET STORAGE EXTERNAL; UPDATE items SET note = repeat('long ', 2000) WHERE id = 20");
    let schemas =
        ["--set", "key.converter.schemas.enable=true", "--set", "value.converter.schemas.enable=true"];
    let capture = |way: &Way| {
        let mut args = vec!["capture", way.source_file(), "--endpos", "now"];
        args.extend(schemas);
        let output = finish(way.spawn(&args));
        assert!(output.status.success(), "{}", stderr(&output));
        let output = finish(way.spawn(&["sink", way.sink_file(), "--until-caught-up"]));
        assert!(output.status.success(), "{}", stderr(&output));
    };
    capture(&way);
    way.agrees(305, &["--chunk-rows", "50"]);
    // Updates that leave TOAST unsent, a changed key, a delete, a row that came back.
    way.bench
        .psql("UPDATE items SET flag = NOT flag WHERE id = 20; UPDATE items SET id = 1000 WHERE id = 21");
    way.bench.psql("DELETE FROM items WHERE id IN (22, 23); INSERT INTO items (id, part) VALUES (23, 'p2')");
    capture(&way);
    way.agrees(304, &["--chunk-rows", "100"]);

    way.plant(r#"DELETE FROM "ITEMS__LOG" WHERE "ID" = 30"#);
    way.plant(r#"UPDATE "ITEMS__LOG" SET "PRICE" = "PRICE" + 0.000001 WHERE "ID" = 31"#);
    way.plant(r#"UPDATE "ITEMS__LOG" SET "NOTE" = 'another' WHERE "ID" = 32"#);
    way.plant(r#"UPDATE "ITEMS__LOG" SET "AT" = NULL, "FLAG" = TRUE WHERE "ID" = 33"#);
    way.plant(r#"UPDATE "ITEMS__LOG" SET "ID" = 999 WHERE "ID" = 34"#);
    let found = way.differs(&["--chunk-rows", "64"]);
    let expected = [
        "different id=31, part=p3 price:31.000031:31.000032",
        "different id=32, part=p4 note:note 32:another",
        "different id=33, part=p5 flag:f:t at:1767225633123456:NULL",
        "extra id=999, part=p6",
        "missing id=30, part=p2",
        "missing id=34, part=p6",
    ];
    assert_eq!(found, expected);
    assert_eq!(
        way.bench.psql(
            "SELECT count(*) FROM pg_replication_slots \
             WHERE slot_name LIKE 'cdcd_verify%' AND database = current_database()"
        ),
        "0"
    );
}

#[test]
fn a_merged_table_agrees_under_a_running_writer() {
    let source = [
        ("key.converter.schemas.enable", "true"),
        ("value.converter.schemas.enable", "true"),
        ("status.update.interval.ms", "500"),
    ];
    let way = Way::new("verify_merge", &source, &[("cdcd.table.mode", "merge")]);
    way.bench.psql("CREATE TABLE hot (id int PRIMARY KEY, n int, amount numeric(12,2)); INSERT INTO hot SELECT g, 0, g FROM generate_series(1, 200) g");
    way.flow();
    let capture = way.spawn(&["capture", way.source_file()]);
    let sink = way.spawn(&["sink", way.sink_file()]);
    let writer = {
        let url = way.bench.database.url();
        let database = way.bench.database.name.clone();
        let server = way.bench.postgres.clone();
        std::thread::spawn(move || {
            assert!(!url.is_empty());
            // Rows change, go and come back faster than they are merged; some transactions stay open for a while.
            for round in 0..40 {
                let sql = format!(
                    "BEGIN; UPDATE hot SET n = n + 1, amount = amount + 0.01 WHERE id % 4 = {0}; SELECT pg_sleep(0.1); COMMIT; \
                     DELETE FROM hot WHERE id % 50 = {0}; INSERT INTO hot SELECT g, -1, g FROM generate_series(1, 200) g ON CONFLICT DO NOTHING",
                    round % 4
                );
                server.psql(&database, &sql).unwrap();
            }
        })
    };
    std::thread::sleep(Duration::from_millis(500));
    for _ in 0..3 {
        let (exit, report, output) = way.verify(&["--chunk-rows", "37"]);
        assert_eq!(exit, 0, "{report:#}\n{}", stderr(&output));
        assert!(report["tables"][0]["rows_source"].as_u64().unwrap() >= 190, "{report:#}");
    }
    writer.join().unwrap();
    way.agrees(200, &[]);
    for child in [capture, sink] {
        kill(child.id(), "TERM");
        let output = finish(child);
        assert!(output.status.success(), "{}", stderr(&output));
    }
    way.agrees(200, &[]);
    way.plant(r#"UPDATE "HOT" SET "AMOUNT" = "AMOUNT" + 0.01 WHERE "ID" = 7"#);
    way.plant(r#"DELETE FROM "HOT" WHERE "ID" = 8"#);
    way.plant(r#"INSERT INTO "HOT" ("ID", "N", "_SEQ", "_DELETED") VALUES (9999, 1, '', FALSE)"#);
    let found: Vec<String> = way
        .differs(&["--patience", "1s"])
        .iter()
        .map(|line| line.split(':').next().unwrap().to_owned())
        .collect();
    assert_eq!(found, ["different id=7 amount", "extra id=9999", "missing id=8"]);
}

#[test]
fn the_variant_landing_of_pipeline_a_is_compared_through_its_messages() {
    let sink = [
        ("connector.class", "com.snowflake.kafka.connector.SnowflakeSinkConnector"),
        ("value.converter.schemas.enable", "false"),
    ];
    let source = [
        ("key.converter.schemas.enable", "true"),
        ("value.converter.schemas.enable", "true"),
        ("status.update.interval.ms", "500"),
    ];
    let way = Way::new("verify_variant", &source, &sink);
    way.bench.psql(
        "CREATE TABLE flights (icao24 varchar(50), last_contact timestamp, longitude float, on_ground boolean, \
         inserted_at timestamp, fee numeric(10,2), PRIMARY KEY (icao24, last_contact)); \
         INSERT INTO flights SELECT 'abc' || g % 10, timestamp '2026-01-01' + g * interval '1 second', g / 3.0, g % 2 = 0, \
         timestamp '2026-01-01 00:00:02.123456', g / 100.0 FROM generate_series(1, 150) g",
    );
    way.flow();
    way.agrees(150, &["--chunk-rows", "40"]);
    way.bench.psql("UPDATE flights SET on_ground = NULL WHERE icao24 = 'abc3'; DELETE FROM flights WHERE icao24 = 'abc4'");
    way.flow();
    way.agrees(135, &[]);
    // What the destination lacks, it lacks: nothing more goes into Kafka.
    way.bench.psql(&format!("ALTER PUBLICATION {} SET (publish = '')", way.bench.name));
    way.bench.psql("UPDATE flights SET fee = fee + 0.01 WHERE icao24 = 'abc5' AND last_contact < timestamp '2026-01-01 00:00:10'");
    way.bench.psql("INSERT INTO flights VALUES ('new', timestamp '2026-02-01', 1, true, NULL, NULL)");
    way.bench
        .psql("DELETE FROM flights WHERE icao24 = 'abc6' AND last_contact < timestamp '2026-01-01 00:00:10'");
    let found = way.differs(&[]);
    let expected = [
        "different icao24=abc5, last_contact=2026-01-01 00:00:05 fee:0.06:0.05",
        "extra icao24=abc6, last_contact=2026-01-01 00:00:06",
        "missing icao24=new, last_contact=2026-02-01 00:00:00",
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_cannot_be_compared_is_said_and_a_sink_that_stands_still_is_waited_for() {
    let source = [("key.converter.schemas.enable", "true"), ("value.converter.schemas.enable", "true")];
    let way = Way::new("verify_wait", &source, &[]);
    way.bench.psql("CREATE TABLE keyless (a int); INSERT INTO keyless VALUES (1); CREATE TABLE t (id int PRIMARY KEY, tags text[]); INSERT INTO t VALUES (1, '{a}')");
    way.flow();
    let (exit, report, output) = way.verify(&[]);
    assert_eq!(exit, 2, "{report:#}");
    assert!(stderr(&output).contains("public.keyless: it has no key"), "{}", stderr(&output));
    let (exit, report, output) = way.verify(&["--tables", "public.t"]);
    assert_eq!(exit, 0, "{}", stderr(&output));
    assert_eq!(report["tables"][0]["columns_not_compared"][0], "tags");
    let (exit, _, output) = way.verify(&["--tables", "public.nosuch"]);
    assert_eq!(exit, 2, "{}", stderr(&output));

    way.bench.psql("INSERT INTO t VALUES (2, NULL)");
    let (exit, _, output) = way.verify(&["--tables", "public.t", "--wait", "1s"]);
    assert_eq!(exit, 3);
    assert!(stderr(&output).contains("the capture, which does not run"), "{}", stderr(&output));
    let captured = finish(way.spawn(&["capture", way.source_file(), "--endpos", "now"]));
    assert!(captured.status.success(), "{}", stderr(&captured));
    let (exit, _, output) = way.verify(&["--tables", "public.t", "--wait", "1s"]);
    assert_eq!(exit, 3);
    assert!(stderr(&output).contains("public.t-0 is at 2 of 4"), "{}", stderr(&output));
}

#[test]
fn a_sink_is_checked_down_to_its_tables() {
    let way = Way::new(
        "check_sink",
        &[],
        &[("cdcd.landing", "variant"), ("errors.tolerance", "all"), ("toppics", "x")],
    );
    way.bench.psql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    way.flow();
    let check = |args: &[&str]| {
        let mut all = vec!["check", way.sink_file(), "--output", "json"];
        all.extend(args);
        let output = finish(way.spawn(&all));
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let finds = |args: &[&str], wanted: i32, texts: &[&str]| {
        let (exit, report) = check(args);
        assert_eq!(exit, wanted, "{report}");
        for text in texts {
            assert!(report.contains(text), "{text}: {report}");
        }
    };
    finds(
        &[],
        0,
        &[
            "logged in as",
            "schema CDC.PUBLIC exists",
            "which exists with 2 columns",
            "treated as none",
            "toppics: unknown property",
        ],
    );
    finds(
        &["--set", "snowflake.database.name=nosuch"],
        2,
        &["database NOSUCH does not exist", "CREATE DATABASE"],
    );
    finds(
        &["--set", "snowflake.schema.name=nosuch"],
        2,
        &["schema CDC.NOSUCH does not exist", "CREATE SCHEMA"],
    );
    finds(&["--set", "snowflake.private.key=AAAA"], 2, &["snowflake.private.key"]);
    finds(&["--set", "snowflake.url.name=http://127.0.0.1:1"], 2, &["check snowflake.url.name"]);
    way.plant("CREATE TABLE \"OTHER\" (\"A\" NUMBER(38,0))");
    let route = format!("snowflake.topic2table.map={}.public.t:other", way.bench.name);
    finds(&["--set", &route], 2, &["the table there has other columns"]);
}
