//! PostgreSQL to the destination table through kills of both processes, proven by `cdcd verify`.

use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cdcd_testkit::wait_until;

use crate::kit::{Bench, cdcd, finish, posted, stderr};
use crate::sink::kafka_to_snowflake::Account;

/// Of each process.
const KILLS: usize = 10;
/// How long a restarted process may take for its next new rows.
const NEW_ROWS_LIMIT: Duration = Duration::from_secs(60);

/// Inserts, updates and deletes in small transactions until it is told to stop.
struct Feeder {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Feeder {
    fn start(bench: &Bench) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (server, name, told) = (bench.postgres.clone(), bench.database.name.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            for round in 0.. {
                if told.load(Ordering::SeqCst) {
                    return;
                }
                let sql = format!(
                    "BEGIN; INSERT INTO t(v, amount) SELECT md5(random()::text), i + 0.25 FROM generate_series(1, 50) i; \
                     UPDATE t SET amount = amount + 1, changed_at = clock_timestamp() WHERE id % 991 = {round}; \
                     DELETE FROM t WHERE id % 1013 = {round}; COMMIT"
                );
                server.psql(&name, &sql).unwrap();
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        Feeder { stop, thread }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap();
    }
}

fn run_sink(bench: &Bench, file: &std::path::Path, args: &[&str]) -> Child {
    let servers = &bench.kafka.bootstrap_servers;
    cdcd()
        .arg("sink")
        .arg(file)
        .args(["--bootstrap-servers", servers, "--log-level", "warn"])
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Kills a process after its count has grown.
fn kill_after_news(what: &str, mut child: Child, seen: &mut usize, count: &dyn Fn() -> usize) {
    let grown = wait_until(what, NEW_ROWS_LIMIT, || {
        let now = count();
        Ok((now > *seen).then_some(now))
    });
    let alive = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    let output = finish(child);
    assert!(alive, "{what}: the process had ended by itself: {}", stderr(&output));
    *seen = grown.unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)));
}

/// One transaction, killed when some of its records are in Kafka and others are not.
fn kill_inside_of_a_big_transaction(
    bench: &Bench,
    source: &[(String, String)],
    produced: &dyn Fn() -> usize,
) {
    const ROWS: usize = 150_000;
    bench.catch_up(source);
    let before = produced();
    bench.psql(&format!("INSERT INTO t(v, amount) SELECT md5(i::text), i FROM generate_series(1, {ROWS}) i"));
    let mut seen = before;
    kill_after_news("a part of the big transaction", bench.command(source, &[]), &mut seen, produced);
    let part = produced() - before;
    assert!(part > 0 && part < ROWS, "{part} of {ROWS} records were out: the kill was not inside");
}

#[test]
fn kill_9_of_capture_and_sink_under_load_leaves_source_and_destination_equal() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let account = runtime.block_on(Account::start("wholeway"));
    let bench = Bench::new("wholeway");
    bench.psql(
        "CREATE TABLE t (id bigserial PRIMARY KEY, v text NOT NULL, amount numeric(12,2), \
         changed_at timestamptz DEFAULT now(), note text)",
    );
    bench.psql("INSERT INTO t(v, amount) SELECT md5(i::text), i FROM generate_series(1, 50000) i");
    let mut source = bench.connector(&[]);
    // The sink makes its table from the schema in the records.
    source.retain(|(key, _)| key != "value.converter.schemas.enable");
    let topic = format!("{}.public.t", bench.name);
    let sink = [
        ("connector.class", "com.snowflake.kafka.connector.SnowflakeStreamingSinkConnector"),
        ("name", &format!("{}-sink", bench.name)),
        ("topics", &topic),
        ("snowflake.url.name", &account.url),
        ("snowflake.user.name", "loader"),
        ("snowflake.private.key", &account.key),
        ("snowflake.database.name", "CDC"),
        ("snowflake.schema.name", "PUBLIC"),
        ("value.converter.schemas.enable", "true"),
        ("cdcd.landing", "log"),
        ("cdcd.table.mode", "merge"),
        ("cdcd.merge.interval.ms", "500"),
        ("consumer.override.session.timeout.ms", "6000"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()));
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, connector: &[(String, String)]| {
        let path = folder.path().join(name);
        std::fs::write(&path, posted(name, connector)).unwrap();
        path
    };
    let source_file = write("source.json", &source);
    let sink_file = write("sink.json", &sink);

    let produced = || bench.count("public.t");
    let landed = || runtime.block_on(account.count("T__LOG"));
    let unacknowledged = || {
        let sql = format!(
            "SELECT confirmed_flush_lsn < pg_current_wal_flush_lsn() FROM pg_replication_slots WHERE slot_name = '{}'",
            bench.name
        );
        bench.psql(&sql).trim() == "t"
    };
    let (mut seen, mut seen_landed) = (0, 0);
    // Twice inside of the snapshot, before anything else can happen.
    for _ in 0..2 {
        kill_after_news("records of the snapshot", bench.command(&source, &[]), &mut seen, &produced);
    }
    let feeder = Feeder::start(&bench);
    // In the snapshot nothing was acknowledged yet.
    let (mut open_capture, mut open_sink) = (2, 0);
    for _ in 0..KILLS {
        let capture = bench.command(&source, &[]);
        let running = run_sink(&bench, &sink_file, &[]);
        kill_after_news("landed rows", running, &mut seen_landed, &landed);
        open_sink += usize::from(landed() < produced());
        kill_after_news("produced records", capture, &mut seen, &produced);
        open_capture += usize::from(unacknowledged());
    }
    feeder.stop();
    kill_inside_of_a_big_transaction(&bench, &source, &produced);
    open_capture += 1;
    assert!(open_capture >= 5 && open_sink >= 5, "kills with open work: {open_capture} and {open_sink}");

    bench.catch_up(&source);
    let output = finish(run_sink(&bench, &sink_file, &["--until-caught-up"]));
    assert!(output.status.success(), "{}", stderr(&output));
    let verify = cdcd()
        .arg("verify")
        .args([&source_file, &sink_file])
        .args(["--bootstrap-servers", &bench.kafka.bootstrap_servers])
        .output()
        .unwrap();
    let report = format!("{}{}", String::from_utf8_lossy(&verify.stdout), stderr(&verify));
    assert_eq!(verify.status.code(), Some(0), "{report}");
    println!("{report}");
    runtime.block_on(account.end());
}
