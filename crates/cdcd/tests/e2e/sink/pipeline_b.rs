//! Pipeline B from end to end: transactions in PostgreSQL, the posted source file, the table TRANSACTIONS and its views.

use super::bench_topic;
use super::kafka_to_snowflake::{Account, run as run_sink};
use crate::kit::{Bench, finish, stderr};
use cdcd_snowflake::{Secret, Snowflake};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

const SOURCE_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/compose/transactions.json");
const SINK_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/sink/pipeline_b.json");

const SOURCE_TABLE: &str = "CREATE TABLE transactions (transaction_id serial PRIMARY KEY, user_id int NOT NULL, \
    amount decimal(10,2), status varchar(20), created_at timestamp DEFAULT current_timestamp, \
    updated_at timestamp DEFAULT current_timestamp)";

/// Pipeline B's own table, as its set-up makes it before the first event.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS TRANSACTIONS (transaction_id INTEGER PRIMARY KEY, \
    user_id INTEGER NOT NULL, amount DECIMAL(10,2), status VARCHAR(20), created_at TIMESTAMP_NTZ, \
    updated_at TIMESTAMP_NTZ, cdc_operation VARCHAR(10), cdc_timestamp TIMESTAMP_NTZ DEFAULT CURRENT_TIMESTAMP(), \
    source_db VARCHAR(50) DEFAULT 'postgres')";

const VIEWS: [&str; 3] = [
    "CREATE OR REPLACE VIEW ACTIVE_TRANSACTIONS AS SELECT transaction_id, user_id, amount, status, created_at, \
     updated_at, cdc_timestamp FROM TRANSACTIONS WHERE cdc_operation != 'DELETE' ORDER BY updated_at DESC",
    "CREATE OR REPLACE VIEW TRANSACTION_ANALYTICS AS SELECT DATE(created_at) AS transaction_date, status, \
     COUNT(*) AS transaction_count, SUM(amount) AS total_amount, AVG(amount) AS avg_amount, \
     MIN(amount) AS min_amount, MAX(amount) AS max_amount FROM TRANSACTIONS WHERE cdc_operation != 'DELETE' \
     GROUP BY DATE(created_at), status",
    "CREATE OR REPLACE VIEW USER_TRANSACTION_SUMMARY AS SELECT user_id, COUNT(*) AS total_transactions, \
     SUM(amount) AS total_amount, AVG(amount) AS avg_transaction_amount, MAX(updated_at) AS last_transaction_date \
     FROM TRANSACTIONS WHERE cdc_operation != 'DELETE' GROUP BY user_id",
];

/// Ids 1 to 10, with the amounts and times that a careless reader gets wrong.
const FIRST_ROWS: &str = "INSERT INTO transactions (user_id, amount, status, created_at, updated_at) VALUES \
    (1, 150.75, 'completed', '2026-01-15 10:00:00.000001', '2026-01-15 10:00:00.000001'), \
    (2, 99999999.99, 'pending', '2026-01-15 23:59:59.999999', '2026-01-16 00:00:00'), \
    (1, -0.01, 'failed', '2026-01-16 00:00:00', '2026-01-16 00:00:00.1'), \
    (3, 0.00, 'cancelled', '1969-12-31 23:59:59.123456', '2026-02-01 12:34:56.789012'), \
    (3, NULL, 'pending', '2026-01-16 08:00:00.5', '2026-02-02 08:00:00.000010'), \
    (4, 0.10, NULL, '2026-01-17', '2026-01-17'), (5, 20.20, 'completed', '2026-01-17', '2026-01-17 01:00:00'), \
    (5, 1234.50, 'pending', '2026-01-17 02:00:00', '2026-01-17 02:00:00'), \
    (6, 42.42, 'pending', '2026-01-18', '2026-01-18 00:00:01'), \
    (7, 7.00, 'completed', '2026-01-19', '2026-01-19 00:00:01')";

/// Inserts, updates, a changed key, and deletes of which PostgreSQL tells the key only.
const CHANGES: [&str; 6] = [
    "INSERT INTO transactions (user_id, amount, status, created_at, updated_at) VALUES \
     (100, 10.00, 'pending', '2026-03-01 00:00:00.654321', '2026-03-01 00:00:00.654321'), \
     (1, 1000.00, 'pending', '2026-03-02', '2026-03-02 00:00:00.000002')",
    "UPDATE transactions SET status = 'completed', amount = amount - 0.01, updated_at = '2026-03-03 01:02:03'::timestamp \
     + transaction_id * interval '1 microsecond' WHERE transaction_id IN (2, 12)",
    "UPDATE transactions SET amount = NULL, status = 'failed' WHERE transaction_id = 8",
    "UPDATE transactions SET transaction_id = 500 WHERE transaction_id = 9",
    // Here today, gone in the next statement: the table may never see it.
    "INSERT INTO transactions VALUES (77, 77, 77.77, NULL, NULL, NULL); \
     DELETE FROM transactions WHERE transaction_id = 77",
    "DELETE FROM transactions WHERE transaction_id IN (1, 4, 6)",
];

/// What happened last to a row after [`CHANGES`].
const OPERATION: &str = "CASE WHEN transaction_id IN (11, 500) THEN 'CREATE' WHEN transaction_id IN (2, 8, 12) \
    THEN 'UPDATE' ELSE 'READ' END";

/// One pipeline of a test's own.
struct Pipeline {
    bench: Bench,
    account: Account,
    client: Snowflake,
    /// On top of the two posted files.
    source: Vec<(&'static str, &'static str)>,
    sink: Vec<(&'static str, &'static str)>,
}

impl Pipeline {
    async fn new(name: &str) -> Self {
        let bench = Bench::new(name);
        bench.psql(SOURCE_TABLE);
        bench.psql(FIRST_ROWS);
        let account = Account::start(name).await;
        let mut config = cdcd_snowflake::Config::new(&account.url, "CDC_LOADER", Secret::new(&account.key));
        (config.database, config.schema) = ("CDC".to_owned(), "PUBLIC".to_owned());
        let client = Snowflake::new(&config).unwrap();
        Pipeline { bench, account, client, source: Vec::new(), sink: Vec::new() }
    }

    /// Both commands, one after the other, until all that is committed now is in the table.
    fn catch_up(&self) {
        let Bench { name, postgres, database, kafka, .. } = &self.bench;
        let port = postgres.port.to_string();
        let mut own = vec![
            ("name", name.as_str()),
            ("topic.prefix", name),
            ("slot.name", name),
            ("database.hostname", &postgres.host),
            ("database.port", &port),
            ("database.user", &postgres.user),
            ("database.dbname", &database.name),
        ];
        own.extend(&self.source);
        let servers = kafka.bootstrap_servers.as_str();
        run(
            &["capture", SOURCE_FILE, "--endpos", "now"],
            servers,
            &own,
            ("POSTGRES_PASSWORD", &postgres.password),
        );
        let (sink, topic) = (format!("{name}-sink"), format!("{name}.public.transactions"));
        let mut own = vec![
            ("name", sink.as_str()),
            ("topics", &topic),
            ("snowflake.url.name", &self.account.url),
            ("snowflake.database.name", "CDC"),
        ];
        own.extend(&self.sink);
        let key = ("SNOWFLAKE_PRIVATE_KEY", self.account.key.as_str());
        run(&["sink", SINK_FILE, "--until-caught-up"], servers, &own, key);
    }

    /// Rows of a query in the order in which they come, cells joined by `|`.
    async fn rows(&self, statement: &str) -> Vec<String> {
        let result = self.client.query("reading back", statement).await.expect(statement);
        let line = |row: &Vec<Option<String>>| {
            row.iter().map(|cell| cell.as_deref().unwrap_or("-")).collect::<Vec<_>>().join("|")
        };
        result.rows.iter().map(line).collect()
    }

    async fn run(&self, statement: &str) {
        self.client.query("setting up", statement).await.expect(statement);
    }

    /// The source's rows as [`Pipeline::table`] shows them, `operation` for CDC_OPERATION.
    fn source(&self, operation: &str, filter: &str) -> Vec<String> {
        let cell = |sql: &str| format!("coalesce(({sql})::text, '-')");
        let time = |name: &str| cell(&format!("round(extract(epoch FROM {name}), 9)"));
        let cells = [
            cell("transaction_id"),
            cell("user_id"),
            cell("amount"),
            cell("status"),
            time("created_at"),
            time("updated_at"),
            cell(operation),
            "'postgres'".to_owned(),
        ];
        let sql = format!(
            "SELECT {} FROM transactions WHERE {filter} ORDER BY transaction_id",
            cells.join(" || '|' || ")
        );
        self.bench.psql(&sql).lines().map(str::to_owned).collect()
    }

    async fn table(&self, filter: &str) -> Vec<String> {
        let columns =
            "transaction_id, user_id, amount, status, created_at, updated_at, cdc_operation, source_db";
        self.rows(&format!("SELECT {columns} FROM TRANSACTIONS WHERE {filter} ORDER BY transaction_id")).await
    }

    /// The three views, set up as they are, against the same questions put to the source.
    async fn views_agree(&self) {
        for view in VIEWS {
            self.run(view).await;
        }
        let newest =
            self.rows("SELECT transaction_id FROM ACTIVE_TRANSACTIONS WHERE updated_at IS NOT NULL").await;
        let wanted = self.bench.psql(
            "SELECT transaction_id FROM transactions WHERE updated_at IS NOT NULL ORDER BY updated_at DESC",
        );
        assert_eq!(newest, wanted.lines().collect::<Vec<_>>(), "ACTIVE_TRANSACTIONS");
        let days = "SELECT TO_CHAR(transaction_date, 'YYYY-MM-DD'), status, transaction_count, total_amount, \
             ROUND(avg_amount, 2), min_amount, max_amount FROM TRANSACTION_ANALYTICS ORDER BY 1, 2";
        let of_source = "SELECT concat_ws('|', coalesce(to_char(created_at::date, 'YYYY-MM-DD'), '-'), \
             coalesce(status, '-'), count(*), coalesce(sum(amount)::text, '-'), \
             coalesce(round(avg(amount), 2)::text, '-'), coalesce(min(amount)::text, '-'), \
             coalesce(max(amount)::text, '-')) \
             FROM transactions GROUP BY created_at::date, status ORDER BY created_at::date, status";
        assert_eq!(self.rows(days).await, lines(&self.bench.psql(of_source)), "TRANSACTION_ANALYTICS");
        let users = "SELECT user_id, total_transactions, total_amount, ROUND(avg_transaction_amount, 2), \
             last_transaction_date FROM USER_TRANSACTION_SUMMARY ORDER BY user_id";
        let of_source = "SELECT concat_ws('|', user_id, count(*), coalesce(sum(amount)::text, '-'), \
             coalesce(round(avg(amount), 2)::text, '-'), \
             coalesce(round(extract(epoch FROM max(updated_at)), 9)::text, '-')) \
             FROM transactions GROUP BY user_id ORDER BY user_id";
        assert_eq!(self.rows(users).await, lines(&self.bench.psql(of_source)), "USER_TRANSACTION_SUMMARY");
    }

    /// Every row was stamped, in UTC, in the last minutes, and those that changed after the others.
    async fn stamps_are_right(&self) {
        let stamps = self
            .rows(
                "SELECT COUNT(*) - COUNT(cdc_timestamp), MAX(cdc_timestamp), \
                 MIN(CASE WHEN cdc_operation = 'UPDATE' THEN cdc_timestamp END) > \
                 MAX(CASE WHEN cdc_operation = 'READ' THEN cdc_timestamp END) FROM TRANSACTIONS",
            )
            .await;
        let cells: Vec<&str> = stamps[0].split('|').collect();
        assert_eq!((cells[0], cells[2]), ("0", "true"), "{stamps:?}");
        let newest: f64 = cells[1].parse().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((now - newest).abs() < 300.0, "merged at {newest}, now {now}");
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// Runs a command on a posted file to its end, which must be exit 0.
fn run(args: &[&str], servers: &str, properties: &[(&str, &str)], secret: (&str, &str)) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cdcd"));
    for variable in ["PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"] {
        command.env_remove(variable);
    }
    command.args(["--log-level", "warn"]).args(args).args(["--bootstrap-servers", servers]);
    for (key, value) in properties {
        command.args(["--set", &format!("{key}={value}")]);
    }
    command.env(secret.0, secret.1).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = finish(command.spawn().unwrap());
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
}

/// Catches up, changes, catches up: the table without deleted rows equals the source.
async fn deleted_rows_go(pipeline: Pipeline) {
    pipeline.catch_up();
    assert_eq!(pipeline.table("TRUE").await, pipeline.source("'READ'", "TRUE"), "after the snapshot");
    for change in CHANGES {
        pipeline.bench.psql(change);
    }
    pipeline.catch_up();
    let wanted = pipeline.source(OPERATION, "TRUE");
    assert_eq!(wanted.len(), 9);
    assert_eq!(pipeline.table("TRUE").await, wanted);
    pipeline.stamps_are_right().await;
    pipeline.views_agree().await;
    pipeline.account.end().await;
}

/// Both files as posted: the table is made from the events' schema.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_equal_the_source_and_deleted_rows_go() {
    deleted_rows_go(Pipeline::new("b_hard").await).await;
}

/// A row that came and went between two merges leaves nothing that its NOT NULL columns would refuse.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_made_beforehand_keeps_its_constraints() {
    let pipeline = Pipeline::new("b_made").await;
    pipeline.run(TABLE).await;
    deleted_rows_go(pipeline).await;
}

/// Pipeline B's own table, made before the first event, tells the types of events without a schema; deleted rows stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_made_beforehand_keeps_deleted_rows_marked() {
    let mut pipeline = Pipeline::new("b_soft").await;
    // Without the last one a NULL in a column with a default is written as the default, as Debezium does.
    pipeline.source = vec![
        ("key.converter.schemas.enable", "false"),
        ("value.converter.schemas.enable", "false"),
        ("value.converter.replace.null.with.default", "false"),
    ];
    pipeline.bench.psql("INSERT INTO transactions VALUES (60, 60, 0.60, NULL, NULL, NULL)");
    pipeline.sink = vec![("cdcd.delete.mode", "soft")];
    pipeline.run(TABLE).await;
    pipeline.catch_up();
    assert_eq!(pipeline.table("TRUE").await, pipeline.source("'READ'", "TRUE"), "after the snapshot");
    let mut gone = pipeline.source("'DELETE'", "transaction_id IN (1, 4, 6, 9)");
    gone.push("77|77|77.77|-|-|-|DELETE|postgres".to_owned());
    for change in CHANGES {
        pipeline.bench.psql(change);
    }
    pipeline.catch_up();
    assert_eq!(pipeline.table("cdc_operation != 'DELETE'").await, pipeline.source(OPERATION, "TRUE"));
    assert_eq!(pipeline.table("cdc_operation = 'DELETE'").await, gone);
    pipeline.stamps_are_right().await;
    pipeline.views_agree().await;
    pipeline.account.end().await;
}

#[test]
fn the_guide_shows_the_sink_file_that_is_tested() {
    let guide = include_str!("../../../../../docs/sink.md");
    assert!(guide.contains(include_str!("pipeline_b.json").trim()));
}

/// Settings may ask for audit columns when the table is there already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_columns_are_added_to_a_table_that_merges_keep() {
    use bench_topic::event;
    let account = Account::start("b_added").await;
    let bench = bench_topic::Bench::new("b_added");
    let topic = bench.topic("public.orders");
    bench.make_topic(&topic, 1).await;
    let plain = account.properties(&bench, &topic, &[("cdcd.table.mode", "merge")]);
    bench.produce(&topic, &[event("c", 1, Some("x"), 1), event("c", 2, Some("x"), 2)]);
    run_sink(&account, &plain).await.expect("first run");
    let audited = account.properties(
        &bench,
        &topic,
        &[
            ("cdcd.table.mode", "merge"),
            ("cdcd.column.operation", "what"),
            ("cdcd.column.source", "origin"),
            ("cdcd.column.source.value", "it's\\here"),
        ],
    );
    bench.produce(&topic, &[event("u", 1, Some("y"), 3)]);
    run_sink(&account, &audited).await.expect("second run");
    let rows = account.rows(&audited, r#"SELECT "ID", "NOTE", "WHAT", "ORIGIN" FROM "ORDERS""#).await;
    assert_eq!(rows, [r"1|y|UPDATE|it's\here", "2|x|-|-"]);
    account.end().await;
}

/// A view has no merge: its time is that of the change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_tells_the_newest_change_of_a_row() {
    use bench_topic::event;
    let account = Account::start("b_view").await;
    let bench = bench_topic::Bench::new("b_view");
    let topic = bench.topic("public.orders");
    bench.make_topic(&topic, 1).await;
    let properties = account.properties(
        &bench,
        &topic,
        &[
            ("cdcd.table.mode", "view"),
            ("cdcd.column.operation", "cdc_operation"),
            ("cdcd.column.timestamp", "cdc_timestamp"),
            ("cdcd.column.source", "source_db"),
            ("cdcd.column.source.value", "postgres"),
        ],
    );
    let events = [
        event("r", 1, Some("x"), 1),
        event("r", 2, Some("x"), 2),
        event("u", 2, Some("y"), 3),
        event("d", 1, None, 4),
        event("r", 3, Some("z"), 5),
    ];
    bench.produce(&topic, &events);
    run_sink(&account, &properties).await.expect("runs");
    let columns = r#""ID", "NOTE", "CDC_OPERATION", "CDC_TIMESTAMP", "SOURCE_DB""#;
    let rows = account.rows(&properties, &format!(r#"SELECT {columns} FROM "ORDERS""#)).await;
    let wanted = ["2|y|UPDATE|1700000000.000000000|postgres", "3|z|READ|1700000000.000000000|postgres"];
    assert_eq!(rows, wanted);
    account.end().await;
}
