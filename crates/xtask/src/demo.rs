//! `make demo`: flights in PostgreSQL, `cdcd capture` and `cdcd sink` between real services, and a Snowflake
//! emulator at the end; a line of figures while it runs, `cdcd verify` and a summary when it is over.
//!
//! Services, database and topics are the demo's own (a state directory apart from the tests'), made anew
//! each time and stopped at the end, whatever happens.

mod connectors;
mod latency;
mod process;
mod warehouse;

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use cdcd_testkit::services::{self, Kafka, Postgres};
use cdcd_testkit::wait_until;

pub(crate) use connectors::private_key;
use latency::Latency;
pub(crate) use process::Process;
use warehouse::Warehouse;

/// Row changes per second of the feeder: lively, and far below what two cores can carry.
const RATE: &str = "400/s";
/// Set in the process that runs inside of the demo's own state directory.
const INNER: &str = "CDCD_DEMO_INNER";
/// How long the last rows may take to arrive after the feeder has stopped.
const ARRIVE_LIMIT: Duration = Duration::from_secs(60);
/// Pipeline A's table in the warehouse: its topic2table.map matches no topic, so the name is made from the topic.
const LANDING: &str = "CDC_PUBLIC_FLIGHTS_2113051958";

/// Builds the binaries, then runs the demo in a process of its own.
pub(crate) fn run() -> Result<()> {
    if std::env::var_os(INNER).is_some() {
        return inner();
    }
    say("building cdcd, snowflake-emulator and flights (a few minutes the first time)");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let packages = ["-p", "cdcd", "-p", "cdcd-snowflake-emulator", "-p", "cdcd-flights"];
    let built = Command::new(cargo).args(["build", "--quiet"]).args(packages).status()?;
    ensure!(built.success(), "the build failed");
    let dir = services::state_dir_for("demo")?;
    let me = std::env::current_exe().context("finding this program")?;
    let done = Command::new(me).arg("demo").env("CDCD_SERVICES_DIR", &dir).env(INNER, "1").status()?;
    ensure!(done.success(), "the demo did not succeed; its logs are in {}", dir.join("logs").display());
    Ok(())
}

/// Runs the demo and stops its services.
fn inner() -> Result<()> {
    let outcome = play();
    for service in services::known()? {
        if let Err(error) = services::down(&service) {
            eprintln!("demo: {service}: {error:#}");
        }
    }
    outcome
}

/// The running parts, ended when dropped.
struct Stage {
    flights: Process,
    capture: Process,
    sinks: [Process; 2],
    _emulator: Process,
}

struct Settings {
    seconds: u64,
    binaries: PathBuf,
    logs: PathBuf,
}

fn play() -> Result<()> {
    let settings = settings()?;
    let (postgres, kafka, engine) = start_services()?;
    let key = private_key()?;
    postgres.psql("postgres", "CREATE DATABASE flights")?;
    engine.psql("postgres", "CREATE DATABASE emulator")?;
    let (emulator, url) = start_emulator(&settings, &engine)?;
    let files = connectors::write(&settings.logs, &postgres, &url, &key)?;
    let warehouse = Warehouse::new(&url)?;
    let mut stage = start_stage(&settings, &postgres, &kafka, &files, emulator)?;
    let latency = watch(&settings, &postgres, &warehouse, &mut stage)?;
    wait_for_arrival(&postgres, &warehouse)?;
    let report = conclude(&settings, &postgres, &kafka, &files, &warehouse, &latency, &mut stage)?;
    println!("{report}");
    Ok(())
}

fn settings() -> Result<Settings> {
    let seconds = match std::env::var("DEMO_SECONDS") {
        Ok(text) => text.parse().with_context(|| format!("DEMO_SECONDS={text} is not a number"))?,
        Err(_) => 60,
    };
    let me = std::env::current_exe().context("finding this program")?;
    let target = me.ancestors().nth(2).context("finding the target directory")?;
    let logs = PathBuf::from(std::env::var_os("CDCD_SERVICES_DIR").context("CDCD_SERVICES_DIR is not set")?)
        .join("logs");
    std::fs::create_dir_all(&logs).with_context(|| format!("making {}", logs.display()))?;
    Ok(Settings { seconds, binaries: target.join("debug"), logs })
}

fn start_services() -> Result<(Postgres, Kafka, Postgres)> {
    say("starting real services of the demo's own: PostgreSQL, Kafka, and a PostgreSQL for the emulator");
    for service in services::known()? {
        services::wipe(&service)?;
    }
    let postgres = services::postgres(15)?;
    let engine = services::postgres_cluster("emulator", 15)?;
    Ok((postgres, services::kafka()?, engine))
}

fn start_emulator(settings: &Settings, engine: &Postgres) -> Result<(Process, String)> {
    let mut command = Command::new(settings.binaries.join("snowflake-emulator"));
    command.args(["--listen", "127.0.0.1:0", "--database", "FLIGHTS"]);
    command.env("CDCD_EMULATOR_ENGINE", engine.url("emulator"));
    let emulator = Process::start("emulator", command, &settings.logs)?;
    let url =
        wait_until("the emulator's address", Duration::from_secs(20), || emulator.first_line("http://"))?;
    say(&format!("emulator at {url}"));
    Ok((emulator, url))
}

fn start_stage(
    settings: &Settings,
    postgres: &Postgres,
    kafka: &Kafka,
    files: &connectors::Files,
    emulator: Process,
) -> Result<Stage> {
    let mut command = Command::new(settings.binaries.join("flights"));
    command.args(["--rate", RATE, "--seed", "42", "--seconds", &settings.seconds.to_string()]);
    command.env("FLIGHTS_DATABASE_URL", postgres.url("flights"));
    let flights = Process::start("flights", command, &settings.logs)?;
    wait_until("the feeder's first rows", Duration::from_secs(30), || {
        Ok(count(postgres, "flights").ok().filter(|rows| *rows > 0))
    })?;
    say("flights are feeding; posting pipeline A's connector files to cdcd");
    let cdcd = |name: &str, verb: &str, file: &Path| {
        let mut command = connectors::command(&settings.binaries);
        command.arg(verb).arg(file).args([
            "--bootstrap-servers",
            &kafka.bootstrap_servers,
            "--stats-interval",
            "5s",
        ]);
        Process::start(name, command, &settings.logs)
    };
    let capture = cdcd("capture", "capture", &files.source)?;
    wait_until("the first topics", Duration::from_secs(60), || {
        Ok(capture.log()?.contains("streaming").then_some(()))
    })?;
    let sinks = [
        cdcd("sink-flights", "sink", &files.sink_landing)?,
        cdcd("sink-current", "sink", &files.sink_current)?,
    ];
    Ok(Stage { flights, capture, sinks, _emulator: emulator })
}

/// Shows a line of figures until the feeder has ended.
fn watch(
    settings: &Settings,
    postgres: &Postgres,
    warehouse: &Warehouse,
    stage: &mut Stage,
) -> Result<Latency> {
    let mut latency = Latency::default();
    let began = Instant::now();
    let mut shown = (Instant::now(), 0);
    let terminal = std::io::stdout().is_terminal();
    let pace = Duration::from_secs(if terminal { 1 } else { 5 });
    loop {
        for part in std::iter::once(&mut stage.capture).chain(&mut stage.sinks) {
            part.must_run()?;
        }
        let arrived = latency.look(warehouse, LANDING)?;
        if shown.0.elapsed() >= pace {
            let source = count(postgres, "flights")?;
            let rate = (arrived.saturating_sub(shown.1)) as f64 / shown.0.elapsed().as_secs_f64();
            let line = format!(
                "{:>3} s  PostgreSQL {source} rows  Snowflake {arrived} rows  {rate:.0} rows/s  behind {}  latency p50 {} p99 {}",
                began.elapsed().as_secs(),
                source.saturating_sub(arrived),
                latency.percentile(50.0),
                latency.percentile(99.0),
            );
            print!("{}{line}{}", if terminal { "\r\x1b[K" } else { "" }, if terminal { "" } else { "\n" });
            std::io::stdout().flush()?;
            shown = (Instant::now(), arrived);
        }
        if let Some(status) = stage.flights.ended()? {
            ensure!(status.success(), "flights ended with {status}");
            if terminal {
                println!();
            }
            return Ok(latency);
        }
        ensure!(
            began.elapsed() < Duration::from_secs(settings.seconds + 60),
            "flights did not stop after {} s",
            settings.seconds
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn wait_for_arrival(postgres: &Postgres, warehouse: &Warehouse) -> Result<()> {
    say("feeder stopped; waiting for the last rows");
    let wanted = count(postgres, "flights")?;
    wait_until("all rows of flights in the warehouse", ARRIVE_LIMIT, || {
        Ok((warehouse.count(LANDING)? >= wanted).then_some(()))
    })
}

/// Verifies, asks pipeline A's question, stops everything, and sums up.
fn conclude(
    settings: &Settings,
    postgres: &Postgres,
    kafka: &Kafka,
    files: &connectors::Files,
    warehouse: &Warehouse,
    latency: &Latency,
    stage: &mut Stage,
) -> Result<String> {
    let mut agree = true;
    for (name, sink) in
        [("flights (two VARIANTs)", &files.sink_landing), ("flights_current (merged)", &files.sink_current)]
    {
        say(&format!("cdcd verify: {name}"));
        let mut command = connectors::command(&settings.binaries);
        command
            .arg("verify")
            .arg(&files.source)
            .arg(sink)
            .args(["--bootstrap-servers", &kafka.bootstrap_servers]);
        let status = command.status().context("running cdcd verify")?;
        ensure!(matches!(status.code(), Some(0 | 5)), "cdcd verify ended with {status}");
        agree &= status.success();
    }
    let question = warehouse.latency_query(LANDING)?;
    say("stopping capture and sinks");
    stage.capture.terminate()?;
    for sink in &mut stage.sinks {
        sink.terminate()?;
    }
    ensure!(agree, "source and destination differ: see above");
    let rows = [("flights", LANDING), ("flights_current", "FLIGHTS_CURRENT")];
    let mut text = String::from("\nsummary\n");
    for (table, landed) in rows {
        text.push_str(&format!(
            "  {table:<16} {:>8} rows in PostgreSQL, {:>8} in {landed}\n",
            count(postgres, table)?,
            warehouse.count(landed)?
        ));
    }
    text.push_str(&format!(
        "  insert -> visible in the warehouse: p50 {}, p99 {} ({} rows seen)\n  \
         pipeline A's latency query: {} rows, average {} ms from insert to Kafka (the original claims 9,510 ms)\n  \
         cdcd verify: source and destination agree\n  logs: {}",
        latency.percentile(50.0),
        latency.percentile(99.0),
        latency.samples(),
        question.rows,
        question.average_ms,
        settings.logs.display(),
    ));
    Ok(text)
}

fn count(postgres: &Postgres, table: &str) -> Result<u64> {
    let text = postgres.psql("flights", &format!("SELECT count(*) FROM {table}"))?;
    text.trim().parse().with_context(|| format!("counting {table}: {text}"))
}

fn say(what: &str) {
    println!("demo: {what}");
}
