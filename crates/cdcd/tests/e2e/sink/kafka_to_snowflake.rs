//! The whole sink: real Kafka, the emulator as the account, real PostgreSQL behind it.

use super::bench_topic::{Bench, TEST_MAX, catch_up, event};
use cdcd::connector::properties::{Origin, Properties};
use cdcd::connector::sink::SinkSettings;
use cdcd::sink::SinkError;
use cdcd_debezium::record::Header;
use cdcd_sink::destination_suite;
use cdcd_snowflake::{NdjsonEncoder, Snowflake};
use cdcd_snowflake_emulator::settings::Settings;
use cdcd_snowflake_emulator::streaming::{BinaryFormat, Mode};
use cdcd_snowflake_emulator::{Config, Emulator};
use cdcd_testkit::services::{self, Database};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// An account of this test's own.
pub(crate) struct Account {
    emulator: Emulator,
    database: Database,
    pub(crate) url: String,
    pub(crate) key: String,
}

impl Account {
    pub(crate) async fn start(name: &str) -> Account {
        let (server, name) =
            (services::postgres_cluster("emulator", 17).expect("PostgreSQL starts"), name.to_owned());
        let database = server.fresh_database(&name).expect("a database");
        let emulator = Self::emulator(&database, "127.0.0.1:0").await;
        let url = format!("http://{}", emulator.http);
        Account { emulator, database, url, key: private_key() }
    }

    async fn emulator(database: &Database, listen: &str) -> Emulator {
        let config = Config {
            listen: listen.parse().expect("an address"),
            tls: None,
            engine: database.url(),
            mode: Mode::Store,
            binary: BinaryFormat::Hex,
            databases: vec!["CDC".to_owned()],
            settings: Settings { commit_delay_ms: 20, ..Settings::default() },
        };
        Emulator::start(config).await.expect("the emulator starts")
    }

    pub(crate) fn properties(&self, bench: &Bench, topics: &str, pairs: &[(&str, &str)]) -> Properties {
        let mut all =
            vec![("snowflake.url.name", self.url.as_str()), ("snowflake.private.key", self.key.as_str())];
        all.extend(pairs);
        bench.properties(topics, &all)
    }

    fn client(&self, properties: &Properties) -> Arc<Snowflake> {
        let settings = SinkSettings::read(properties).expect("usable properties");
        Arc::new(Snowflake::new(&settings.snowflake).expect("a client"))
    }

    /// Rows of a query, cells joined by `|`, sorted.
    pub(crate) async fn rows(&self, properties: &Properties, statement: &str) -> Vec<String> {
        let result = self.client(properties).query("reading back", statement).await.expect(statement);
        let line = |row: &Vec<Option<String>>| {
            row.iter().map(|cell| cell.as_deref().unwrap_or("-")).collect::<Vec<_>>().join("|")
        };
        let mut lines: Vec<String> = result.rows.iter().map(line).collect();
        lines.sort();
        lines
    }

    /// Rows in the log, 0 while there is none.
    async fn log_rows(&self, properties: &Properties) -> i64 {
        let counted =
            self.client(properties).query("counting", r#"SELECT COUNT(*) FROM "ORDERS__LOG""#).await;
        let cell = counted.ok().and_then(|result| result.rows.first()?.first()?.clone());
        cell.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// Rows of a table, 0 while there is none.
    pub(crate) async fn count(&self, table: &str) -> usize {
        let mut properties = Properties::default();
        for (key, value) in [
            ("name", "counting"),
            ("topics", "unused"),
            ("bootstrap.servers", "127.0.0.1:1"),
            ("snowflake.url.name", &self.url),
            ("snowflake.user.name", "loader"),
            ("snowflake.private.key", &self.key),
            ("snowflake.database.name", "CDC"),
        ] {
            properties.set(key, value, Origin::Connector);
        }
        let counted =
            self.client(&properties).query("counting", &format!("SELECT COUNT(*) FROM {table}")).await;
        let cell = counted.ok().and_then(|result| result.rows.first()?.first()?.clone());
        cell.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    pub(crate) async fn end(self) {
        self.emulator.stop().await;
        self.database.remove().expect("removed");
    }
}

/// A key of this test's own, in one line as pipeline A pastes it.
fn private_key() -> String {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use base64::Engine;
    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect("a key");
    let der: Pkcs8V1Der<'_> = pair.as_der().expect("pkcs8");
    let body = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
    format!("-----BEGIN PRIVATE KEY-----{body}-----END PRIVATE KEY-----")
}

fn encoder() -> Box<NdjsonEncoder> {
    Box::new(NdjsonEncoder::default())
}

/// The binary as a process of its own; the connector goes in by standard input.
fn start(properties: &Properties, flags: &[&str]) -> Child {
    start_as(properties, flags, Stdio::inherit())
}

fn start_as(properties: &Properties, flags: &[&str], stderr: Stdio) -> Child {
    let config: serde_json::Map<String, serde_json::Value> =
        properties.entries().map(|(key, text, _)| (key.to_owned(), text.into())).collect();
    let mut child = Command::new(env!("CARGO_BIN_EXE_cdcd"))
        .args(["--log-level", "warn", "sink", "-"])
        .args(flags)
        .stdin(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .expect("cdcd starts");
    let mut input = child.stdin.take().expect("a pipe");
    input
        .write_all(serde_json::Value::Object(config).to_string().as_bytes())
        .expect("the connector is written");
    child
}

/// Waits until the process says something on standard error, and goes on reading so that it can say more.
fn wait_for_line(child: &mut Child, part: &str) {
    let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    let (said, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || lines.for_each(|line| drop(said.send(line))));
    let (began, mut all) = (std::time::Instant::now(), String::new());
    while !all.contains(part) {
        let left = TEST_MAX.saturating_sub(began.elapsed());
        let line = heard.recv_timeout(left).unwrap_or_else(|_| panic!("{part:?} was not said: {all}"));
        all.push_str(&line);
        all.push('\n');
    }
}

/// How a process ends, within the time of a test.
async fn ended(child: &mut Child) -> ExitStatus {
    let started = std::time::Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("asked") {
            return status;
        }
        if started.elapsed() > TEST_MAX {
            child.kill().expect("killed");
            panic!("the process did not end in {} s", TEST_MAX.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) async fn run(account: &Account, properties: &Properties) -> Result<(), SinkError> {
    catch_up(properties, &account.client(properties), encoder()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snowflake_keeps_the_rules_of_the_port() {
    let account = Account::start("port").await;
    let bench = Bench::new("port");
    let properties = account.properties(&bench, "unused", &[]);
    let client = account.client(&properties);
    let pause = || tokio::time::sleep(Duration::from_millis(20));
    let suite = destination_suite::run(client.as_ref(), encoder().as_mut(), "SUITE", pause).await;
    assert_eq!(suite, Ok(()));
    account.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_and_merged_table_follow_the_events_through_restarts() {
    let account = Account::start("merged").await;
    let bench = Bench::new("merged");
    let topic = bench.topic("public.orders");
    bench.make_topic(&topic, 3).await;
    let properties = account.properties(&bench, &topic, &[("cdcd.table.mode", "merge")]);
    let first: Vec<_> = (0..300).map(|id| event("c", id, Some("first"), id as u64 + 1)).collect();
    bench.produce(&topic, &first);
    run(&account, &properties).await.expect("first run");
    let mut second: Vec<_> = (0..100).map(|id| event("u", id, Some("second"), id as u64 + 1_000)).collect();
    second.push(event("u", 200, Some("__debezium_unavailable_value"), 2_000));
    second.extend((0..50).map(|id| event("d", id, None, id as u64 + 3_000)));
    bench.produce(&topic, &second);
    run(&account, &properties).await.expect("second run");
    let count =
        account.rows(&properties, r#"SELECT COUNT(*), COUNT(DISTINCT "_OFFSET") FROM "ORDERS__LOG""#).await;
    assert_eq!(count, ["451|451"]);
    let notes = account.rows(&properties, r#"SELECT "NOTE", COUNT(*) FROM "ORDERS" GROUP BY "NOTE""#).await;
    assert_eq!(notes, ["first|200", "second|50"]);
    let toast = account.rows(&properties, r#"SELECT "NOTE" FROM "ORDERS" WHERE "ID" = 200"#).await;
    assert_eq!(toast, ["first"], "an unchanged value stays");
    account.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_vanished_before_a_new_snapshot_are_removed() {
    for mode in ["merge", "view"] {
        let name = format!("again{mode}");
        let account = Account::start(&name).await;
        let bench = Bench::new(&name);
        let topic = bench.topic("public.orders");
        bench.make_topic(&topic, 3).await;
        let properties = account.properties(&bench, &topic, &[("cdcd.table.mode", mode)]);
        let first: Vec<_> = (0..60).map(|id| event("c", id, Some("first"), id as u64 + 9_000)).collect();
        bench.produce(&topic, &first);
        run(&account, &properties).await.expect("first run");
        let notes = r#"SELECT "NOTE", COUNT(*) FROM "ORDERS" GROUP BY "NOTE""#;
        let lineage = [Header { name: "cdcd.lineage", value: Some(b"1") }];
        let again: Vec<_> = (20..50).map(|id| event("r", id, Some("again"), 500)).collect();
        bench.produce_under(&topic, &again, &lineage);
        run(&account, &properties).await.expect("second run");
        assert_eq!(
            account.rows(&properties, notes).await,
            ["again|30", "first|30"],
            "{mode}: not at its end yet"
        );
        let (key, value) = event("r", 50, Some("again"), 500);
        let marked = value.map(|text| text.replace(r#""source":{"#, r#""source":{"snapshot":"last","#));
        bench.produce_under(&topic, &[(key, marked), event("u", 30, Some("new"), 600)], &lineage);
        run(&account, &properties).await.expect("third run");
        assert_eq!(account.rows(&properties, notes).await, ["again|30", "new|1"], "{mode}");
        account.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_shows_the_current_rows() {
    let account = Account::start("view").await;
    let bench = Bench::new("view");
    let topic = bench.topic("public.orders");
    bench.make_topic(&topic, 2).await;
    let properties = account.properties(&bench, &topic, &[("cdcd.table.mode", "view")]);
    let mut events: Vec<_> = (0..20).map(|id| event("r", id, Some("snapshot"), 900)).collect();
    events.push(event("u", 3, Some("changed"), 1));
    events.push(event("u", 3, Some("__debezium_unavailable_value"), 2));
    events.push(event("d", 4, None, 3));
    bench.produce(&topic, &events);
    run(&account, &properties).await.expect("runs");
    let notes = account.rows(&properties, r#"SELECT "NOTE", COUNT(*) FROM "ORDERS" GROUP BY "NOTE""#).await;
    assert_eq!(notes, ["changed|1", "snapshot|18"]);
    account.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipeline_a_lands_variants_and_its_latency_query_runs_unchanged() {
    let account = Account::start("flights").await;
    let bench = Bench::new("flights");
    let topic = bench.topic("public.flights");
    bench.make_topic(&topic, 1).await;
    let properties = account.properties(
        &bench,
        &topic,
        &[
            ("connector.class", "com.snowflake.kafka.connector.SnowflakeSinkConnector"),
            ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
            ("value.converter.schemas.enable", "false"),
            ("snowflake.topic2table.map", "cdc.public.flights.test_topic:flights"),
            ("errors.tolerance", "all"),
            ("snowflake.ingestion.method", "SNOWPIPE_STREAMING"),
        ],
    );
    let now_us =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_micros();
    let flight = |icao: &str| {
        let payload = format!(
            r#"{{"before":null,"after":{{"icao24":"{icao}","inserted_at":{now_us}}},"source":{{}},"op":"c"}}"#
        );
        (None, Some(format!(r#"{{"schema":{{"type":"struct","fields":[]}},"payload":{payload}}}"#)))
    };
    bench.produce(&topic, &[flight("a1"), flight("b2")]);
    run(&account, &properties).await.expect("runs");
    let table = SinkSettings::read(&properties).expect("usable").routes.table(&topic);
    let latency = format!(
        "WITH lags AS (SELECT DATEDIFF(millisecond, \
         TO_TIMESTAMP(((record_content:payload):after):inserted_at::string), \
         TO_TIMESTAMP((record_metadata:CreateTime)::string)) AS lag FROM {table}) \
         SELECT COUNT(*), AVG(lag) >= 0, AVG(lag)/1000 < 60 FROM lags"
    );
    assert_eq!(account.rows(&properties, &latency).await, ["2|true|true"]);
    account.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipeline_d_keeps_the_message_under_its_key() {
    let account = Account::start("customers").await;
    let bench = Bench::new("customers");
    let topic = bench.topic("customers");
    bench.make_topic(&topic, 1).await;
    let properties = account.properties(
        &bench,
        &topic,
        &[("cdcd.landing", "id_data"), ("cdcd.key.fields", "customer_id")],
    );
    let message = |op: &str, before: &str, after: &str| {
        (None, Some(format!(r#"{{"operation":"{op}","before":{before},"after":{after}}}"#)))
    };
    let (one, two) = (r#"{"customer_id":"c1","name":"Zoë"}"#, r#"{"customer_id":"c2"}"#);
    bench.produce(
        &topic,
        &[message("INSERT", "null", one), message("INSERT", "null", two), message("DELETE", two, "null")],
    );
    run(&account, &properties).await.expect("runs");
    let statement = r#"SELECT "ID", "DATA":after.name::string, "LAST_UPDATED" IS NOT NULL FROM "CUSTOMERS""#;
    assert_eq!(account.rows(&properties, statement).await, ["c1|Zoë|true"]);
    account.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_row_stops_the_partition_with_the_reason() {
    let account = Account::start("rejected").await;
    let bench = Bench::new("rejected");
    let topic = bench.topic("public.orders");
    bench.make_topic(&topic, 1).await;
    let properties = account.properties(&bench, &topic, &[]);
    bench.produce(&topic, &[event("c", 1, Some("fits"), 1)]);
    run(&account, &properties).await.expect("first run");
    let client = account.client(&properties);
    client
        .query("narrowing", r#"ALTER TABLE "ORDERS__LOG" ADD COLUMN "MUST" VARCHAR"#)
        .await
        .expect("altered");
    client.query("refilling", r#"UPDATE "ORDERS__LOG" SET "MUST" = 'x'"#).await.expect("updated");
    client
        .query("narrowing", r#"ALTER TABLE "ORDERS__LOG" ALTER COLUMN "MUST" SET NOT NULL"#)
        .await
        .expect("a column that no row fills");
    bench.produce(&topic, &[event("c", 2, Some("does not fit"), 2)]);
    for attempt in ["now", "after a restart"] {
        let error = run(&account, &properties).await.expect_err("stops");
        assert!(matches!(error, SinkError::Guard { name: "E_ROWS_REJECTED", .. }), "{attempt}: {error}");
    }
    account.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_of_sink_and_account_lose_and_double_nothing() {
    let mut account = Account::start("kills").await;
    let bench = Bench::new("kills");
    let topic = bench.topic("public.orders");
    bench.make_topic(&topic, 2).await;
    let pairs = [
        ("cdcd.table.mode", "merge"),
        ("cdcd.batch.rows.max", "25"),
        ("consumer.override.session.timeout.ms", "6000"),
    ];
    let properties = account.properties(&bench, &topic, &pairs);
    let (mut produced, mut landed, mut unfinished) = (0i64, 0i64, 0u32);
    for round in 0..5u64 {
        let events: Vec<_> =
            (0..2_000).map(|at| event("c", produced + at, Some("x"), (produced + at) as u64 + 1)).collect();
        bench.produce(&topic, &events);
        produced += 2_000;
        let mut sink = start(&properties, &[]);
        // New rows since the last kill, and more under way.
        let mut rows = landed;
        let started = std::time::Instant::now();
        while rows == landed {
            assert!(started.elapsed() < TEST_MAX, "round {round}: nothing new landed");
            tokio::time::sleep(Duration::from_millis(10)).await;
            rows = account.log_rows(&properties).await;
        }
        landed = rows;
        unfinished += u32::from(landed < produced);
        assert!(sink.try_wait().expect("asked").is_none(), "the sink was still running");
        // SIGKILL: no drain, no commit.
        sink.kill().expect("killed");
        sink.wait().expect("reaped");
        if round % 2 == 1 {
            let listen = account.url.trim_start_matches("http://").to_owned();
            account.emulator.kill();
            account.emulator = Account::emulator(&account.database, &listen).await;
        }
    }
    assert!(unfinished >= 3, "only {unfinished} of the kills met unfinished work");
    let mut last = start(&properties, &["--until-caught-up"]);
    assert!(ended(&mut last).await.success(), "caught up with exit 0");
    let statement = r#"SELECT COUNT(*), COUNT(DISTINCT "_OFFSET"), COUNT(DISTINCT "ID") FROM "ORDERS__LOG""#;
    assert_eq!(account.rows(&properties, statement).await, [format!("{produced}|{produced}|{produced}")]);
    let merged = account.rows(&properties, r#"SELECT COUNT(*), COUNT(DISTINCT "ID") FROM "ORDERS""#).await;
    assert_eq!(merged, [format!("{produced}|{produced}")]);
    account.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_stop_it_drains_and_commits() {
    let account = Account::start("drain").await;
    let bench = Bench::new("drain");
    let topic = bench.topic("public.orders");
    bench.make_topic(&topic, 1).await;
    let properties = account.properties(&bench, &topic, &[("cdcd.batch.age.max.ms", "60000")]);
    bench.produce(&topic, &(0..50).map(|id| event("c", id, Some("x"), id as u64 + 1)).collect::<Vec<_>>());
    let mut sink = start_as(&properties, &["--stats-interval", "50ms"], Stdio::piped());
    // The batch itself is not due for a minute: only the stop sends it.
    wait_for_line(&mut sink, " 0 rows durable (0/s), 50 pending,");
    let told = Command::new("kill").args(["-TERM", &sink.id().to_string()]).status().expect("kill runs");
    assert!(told.success());
    assert!(ended(&mut sink).await.success(), "exit 0");
    let count = account.rows(&properties, r#"SELECT COUNT(*) FROM "ORDERS__LOG""#).await;
    assert_eq!(count, ["50"], "a batch that was not due is sent all the same");
    account.end().await;
}

const ORDER: &str = r#"[{"type":"int32","optional":false,"field":"transaction_id"},{"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"10"},"field":"amount"},{"type":"string","optional":true,"field":"status"},{"type":"int64","optional":true,"name":"io.debezium.time.MicroTimestamp","field":"created_at"},{"type":"string","optional":true,"name":"io.debezium.data.Json","field":"extra"},{"type":"bytes","optional":true,"field":"raw"},{"type":"string","optional":true,"name":"io.debezium.time.ZonedTimestamp","field":"seen_at"}]"#;

/// Create, update, delete and another create of transactions, in one of the shapes of an event.
fn transactions(shape: &str) -> Vec<(Option<String>, Option<String>)> {
    let row = |id: i32, amount: &str, status: &str| {
        format!(
            r#"{{"transaction_id":{id},"amount":{amount},"status":"{status}","created_at":1709210096789012,"extra":"{{\"k\":[1,null]}}","raw":"AAF/gP8=","seen_at":"2024-02-29T10:34:56.789012Z"}}"#
        )
    };
    let changes = [
        ("c", 1, row(1, r#""SZYC0g==""#, "pending")),
        ("u", 1, row(1, r#""/w==""#, "completed")),
        ("c", 2, row(2, "null", "pending")),
        ("d", 2, row(2, "null", "pending")),
        ("r", 3, row(3, r#""AA==""#, "failed")),
    ];
    let mut records = Vec::new();
    for (lsn, (op, id, row)) in changes.iter().enumerate() {
        let images = match *op {
            "d" => format!(r#""before":{row},"after":null"#),
            _ => format!(r#""before":null,"after":{row}"#),
        };
        let bare = format!(
            r#"{{{images},"source":{{"lsn":{lsn},"ts_us":1700000000000000}},"op":"{op}","ts_ms":1}}"#
        );
        let key = format!(r#"{{"transaction_id":{id}}}"#);
        let flat = row.trim_end_matches('}');
        let added = format!(r#""__op":"{op}","__lsn":{lsn},"__source_ts_us":1700000000000000"#);
        let deleted = *op == "d";
        let (key, value) = match shape {
            "schema" => {
                let schema = format!(
                    r#"{{"type":"struct","fields":[{{"type":"struct","fields":{ORDER},"field":"before"}},{{"type":"struct","fields":{ORDER},"field":"after"}},{{"type":"string","field":"op"}}]}}"#
                );
                let key_schema = r#"{"type":"struct","fields":[{"type":"int32","field":"transaction_id"}]}"#;
                let key = format!(r#"{{"schema":{key_schema},"payload":{key}}}"#);
                (key, Some(format!(r#"{{"schema":{schema},"payload":{bare}}}"#)))
            }
            "bare" => (key, Some(bare)),
            "unwrapped" => (key, (!deleted).then(|| format!("{flat},{added}}}"))),
            "rewritten" => (key, Some(format!(r#"{flat},{added},"__deleted":"{deleted}"}}"#))),
            _ => {
                let operation = match *op {
                    "u" => "UPDATE",
                    "d" => "DELETE",
                    _ => "INSERT",
                };
                (key, Some(format!(r#"{{"operation":"{operation}",{images}}}"#)))
            }
        };
        records.push((Some(key.clone()), value));
        if deleted && matches!(shape, "schema" | "bare") {
            records.push((Some(key), None));
        }
    }
    records
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_data_set_in_all_shapes_gives_one_and_the_same_table() {
    let account = Account::start("shapes").await;
    let bench = Bench::new("shapes");
    let mut tables = Vec::new();
    for shape in ["schema", "bare", "unwrapped", "rewritten", "simple"] {
        let topic = bench.topic(&format!("public.{shape}_transactions"));
        bench.make_topic(&topic, 1).await;
        bench.produce(&topic, &transactions(shape));
        let name = format!("{}-{shape}", bench.prefix);
        let table = format!("{shape}_transactions").to_uppercase();
        let properties = account.properties(&bench, &topic, &[("name", &name), ("cdcd.table.mode", "merge")]);
        if shape != "schema" {
            // Pipeline B's way: the table is there before the first event, and tells the types.
            let make = format!(
                r#"CREATE TABLE "{table}" ("TRANSACTION_ID" NUMBER(38,0), "AMOUNT" NUMBER(10,2), "STATUS" VARCHAR(20), "CREATED_AT" TIMESTAMP_NTZ(6), "EXTRA" VARIANT, "RAW" BINARY, "SEEN_AT" TIMESTAMP_TZ(9), "SOURCE_DB" VARCHAR(50))"#
            );
            account.client(&properties).query("making", &make).await.expect("made");
        }
        run(&account, &properties).await.unwrap_or_else(|error| panic!("{shape}: {error}"));
        let columns = r#""TRANSACTION_ID", "AMOUNT", "STATUS", "CREATED_AT", "EXTRA":k[0]::string, "RAW", "SEEN_AT", "_DELETED""#;
        let rows = account.rows(&properties, &format!(r#"SELECT {columns} FROM "{table}""#)).await;
        let logged = account.rows(&properties, &format!(r#"SELECT COUNT(*) FROM "{table}__LOG""#)).await;
        tables.push((shape, rows, logged));
    }
    let (_, wanted, _) = tables[0].clone();
    assert_eq!(wanted.len(), 2, "{wanted:?}");
    assert!(wanted[0].starts_with("1|-0.01|completed|1709210096.789012"), "{wanted:?}");
    for (shape, rows, logged) in tables {
        assert_eq!((rows, logged), (wanted.clone(), vec!["5".to_owned()]), "{shape}");
    }
    account.end().await;
}
