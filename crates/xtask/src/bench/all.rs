//! Every bench, and its figures beside the targets.

use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::{Args, Peer, bigtxn, drain, latency, memory, snapshot, stage};

/// Changes of the long backlog whose memory is watched.
const MEMORY_CHANGES: u64 = 10_000_000;
/// Rows of the one large transaction.
const BIG_CHANGES: u64 = 5_000_000;
/// Rows of the table that is read whole.
const SNAPSHOT_ROWS: u64 = 2_000_000;
/// Messages of the mixed stream that are changes: the others begin and end transactions.
const CHANGES_IN_MESSAGES: f64 = 10.0 / 12.0;

/// One figure beside its target.
struct Line {
    row: u8,
    what: String,
    figure: f64,
    unit: &'static str,
    target: Target,
}

#[derive(Debug, Clone, Copy)]
enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn is_met(self, figure: f64) -> bool {
        match self {
            Target::AtLeast(bound) => figure >= bound,
            Target::AtMost(bound) => figure <= bound,
        }
    }

    fn text(self) -> String {
        match self {
            Target::AtLeast(bound) => format!(">= {bound}"),
            Target::AtMost(bound) => format!("<= {bound}"),
        }
    }
}

/// The lines so far.
#[derive(Default)]
struct Table(Vec<Line>);

impl Table {
    fn add(&mut self, row: u8, what: &str, figure: f64, unit: &'static str, target: Target) {
        self.0.push(Line { row, what: what.to_owned(), figure, unit, target });
    }
}

pub(super) fn run(args: &Args) -> Result<Value> {
    ensure!(
        args.against == Some(Peer::Debezium),
        "the targets are set beside Debezium: add --against debezium"
    );
    ensure!(args.only.is_none(), "--only leaves contenders out that the targets need");
    let with = |changes: u64, against: Option<Peer>| Args { changes, against, ..args.clone() };
    let mut table = Table::default();
    decoding(&mut table)?;
    draining(&mut table, &drain::run(&with(args.changes, args.against))?)?;
    latencies(&mut table, &latency::run(&with(args.changes, args.against))?)?;
    large_transaction(&mut table, &bigtxn::run(&with(BIG_CHANGES, None))?)?;
    steady(&mut table, &memory::run(&with(MEMORY_CHANGES, None))?)?;
    whole_table(&mut table, &snapshot::run(&with(SNAPSHOT_ROWS, None))?)?;
    binary(&mut table)?;
    report(args, &table)
}

fn report(args: &Args, table: &Table) -> Result<Value> {
    let conditions = stage::conditions(args.pg);
    println!("\n{:<4}{:<66}{:>12}{:<8}{:>12}  ", "row", "", "figure", "", "target");
    let mut lines = Vec::new();
    for Line { row, what, figure, unit, target } in &table.0 {
        let met = target.is_met(*figure);
        let verdict = if met { "pass" } else { "FAIL" };
        println!("{row:<4}{what:<66}{figure:>12.2} {unit:<7}{:>12}  {verdict}", target.text());
        lines.push(json!({
            "row": row, "what": what, "figure": figure, "unit": unit, "target": target.text(), "met": met,
        }));
    }
    let report = json!({"conditions": conditions, "targets": lines});
    stage::write_report("all", &report)?;
    Ok(report)
}

/// Millions of messages a second of criterion's last run.
fn criterion(function: &str) -> Result<f64> {
    let folder = format!("target/criterion/mixed/{function}/new");
    let read = |file: &str| -> Result<Value> {
        let path = format!("{folder}/{file}");
        Ok(serde_json::from_slice(&std::fs::read(&path).context(path)?)?)
    };
    let messages = number(&read("benchmark.json")?, "/throughput/ElementsAndBytes/elements")?;
    let ns = number(&read("estimates.json")?, "/median/point_estimate")?;
    Ok(messages * 1e3 / ns)
}

fn decoding(table: &mut Table) -> Result<()> {
    let benches =
        ["bench", "--package", "cdcd-benches", "--bench", "decode", "--bench", "encode", "--", "mixed"];
    let status = Command::new("cargo").args(benches).status()?;
    ensure!(status.success(), "a criterion bench failed");
    let (walk, decode, peer) = (criterion("walk")?, criterion("decode")?, criterion("pg_walstream")?);
    table.add(1, "decoding, of a walk over the same bytes", decode / walk, "", Target::AtLeast(0.7));
    table.add(1, "decoding, beside pg_walstream's full parse", decode / peer, "times", Target::AtLeast(4.0));
    for (function, what, bound) in [
        ("json", "to Debezium's JSON, without schemas", 4.0),
        ("json_schemas", "to Debezium's JSON, with schemas", 2.5),
        ("avro", "to Debezium's Avro", 4.0),
    ] {
        let events = criterion(function)? * CHANGES_IN_MESSAGES;
        table.add(2, what, events, "M/s", Target::AtLeast(bound));
    }
    Ok(())
}

fn draining(table: &mut Table, report: &Value) -> Result<()> {
    let of = |name: &str, field: &str| contender(report, name, field);
    let rate = |name| of(name, "events_per_s");
    let cpu = |name| of(name, "cpu_s_per_million");
    let server = |name| of(name, "walsender_cpu_s_per_million");
    let (peer, null, debezium) =
        ("pg_recvlogical to nothing", "cdcd to nothing", "Debezium into Kafka, tuned");
    let (once, least) = ("cdcd into Kafka, exactly once", "cdcd into Kafka, at least once");
    table.add(
        3,
        "to nothing, beside pg_recvlogical",
        rate(null)? / rate(peer)?,
        "times",
        Target::AtLeast(2.0),
    );
    let share = server(null)? / server(peer)?;
    table.add(3, "walsender's CPU, of what pg_recvlogical makes it use", share, "", Target::AtMost(0.5));
    table.add(3, "to nothing, per million events", cpu(null)?, "CPU-s", Target::AtMost(0.6));
    table.add(4, "into Kafka at least once, per million events", cpu(least)?, "CPU-s", Target::AtMost(1.6));
    table.add(4, "into Kafka exactly once, per million events", cpu(once)?, "CPU-s", Target::AtMost(1.6));
    table.add(4, "Debezium's CPU beside it", cpu(debezium)? / cpu(once)?, "times", Target::AtLeast(18.0));
    let beside = rate(once)? / rate(peer)?;
    table.add(4, "into Kafka, beside pg_recvlogical to nothing", beside, "times", Target::AtLeast(1.3));
    let beside = rate(once)? / rate(debezium)?;
    table.add(4, "into Kafka, beside Debezium", beside, "times", Target::AtLeast(4.0));
    let kept = rate(once)? / rate(least)?;
    table.add(5, "exactly once, of at least once", kept, "", Target::AtLeast(0.97));
    Ok(())
}

fn latencies(table: &mut Table, report: &Value) -> Result<()> {
    let of = |name: &str, field: &str| contender(report, name, field);
    let (once, least) = ("cdcd, exactly once (default)", "cdcd, at least once");
    table.add(6, "latency exactly once, p50", of(once, "p50_ms")?, "ms", Target::AtMost(10.0));
    table.add(6, "latency exactly once, p99", of(once, "p99_ms")?, "ms", Target::AtMost(40.0));
    table.add(6, "latency at least once, p50", of(least, "p50_ms")?, "ms", Target::AtMost(3.0));
    table.add(6, "latency at least once, p99", of(least, "p99_ms")?, "ms", Target::AtMost(15.0));
    for field in ["p50_ms", "p99_ms"] {
        let share = of(least, field)? / of("Debezium, for latency", field)?;
        let what = format!("the same {}, of Debezium tuned for latency", field.trim_end_matches("_ms"));
        table.add(6, &what, share, "", Target::AtMost(0.5));
    }
    Ok(())
}

fn large_transaction(table: &mut Table, report: &Value) -> Result<()> {
    let of = |name: &str, field: &str| contender(report, name, field);
    let (ours, kafka) = ("cdcd to nothing", "cdcd into Kafka, exactly once");
    let sooner =
        of("pg_recvlogical, protocol 1, to nothing", "commit_to_end_s")? / of(ours, "commit_to_end_s")?;
    table.add(
        7,
        "5 M rows, COMMIT to last event, beside pg_recvlogical",
        sooner,
        "times",
        Target::AtLeast(3.0),
    );
    table.add(7, "5 M rows, spilled on the primary", of(ours, "spilled_mib")?, "MiB", Target::AtMost(0.0));
    table.add(7, "5 M rows, memory, to nothing", of(ours, "rss_mib")?, "MiB", Target::AtMost(64.0));
    table.add(7, "5 M rows, memory, into Kafka", of(kafka, "rss_mib")?, "MiB", Target::AtMost(64.0));
    Ok(())
}

fn steady(table: &mut Table, report: &Value) -> Result<()> {
    let of = |name: &str, field: &str| contender(report, name, field);
    for (name, bound) in [("cdcd to nothing", 25.0), ("cdcd into Kafka, exactly once", 64.0)] {
        let (most, slope) = (of(name, "rss_mib")?, of(name, "slope_mib_per_10m")?);
        table.add(8, &format!("memory, {name}"), most, "MiB", Target::AtMost(bound));
        table.add(8, &format!("its slope over 10 M events, {name}"), slope, "MiB", Target::AtMost(1.0));
    }
    let first = number(report, "/first_event_ms")?;
    table.add(8, "start to first event, warm slot", first, "ms", Target::AtMost(100.0));
    Ok(())
}

fn whole_table(table: &mut Table, report: &Value) -> Result<()> {
    let rate = |name: &str| contender(report, name, "rows_per_s");
    let share = rate("cdcd, 2 to nothing")? / rate("COPY text, 2 to nothing")?;
    table.add(9, "snapshot by two sessions, of COPY text by two", share, "", Target::AtLeast(0.9));
    let cpu = contender(report, "cdcd, 2 into Kafka", "cpu_s_per_million")?;
    table.add(9, "snapshot into Kafka, per million rows", cpu, "CPU-s", Target::AtMost(1.5));
    Ok(())
}

fn binary(table: &mut Table) -> Result<()> {
    let me = std::env::current_exe()?;
    let target = me.ancestors().nth(2).context("finding the target directory")?;
    let bytes = std::fs::metadata(target.join("release/cdcd"))?.len();
    table.add(10, "the binary, stripped", bytes as f64 / 1e6, "MB", Target::AtMost(20.0));
    Ok(())
}

fn contender(report: &Value, name: &str, field: &str) -> Result<f64> {
    let all = report.get("contenders").and_then(Value::as_array).context("a report without contenders")?;
    let Some(found) = all.iter().find(|one| one.get("name").and_then(Value::as_str) == Some(name)) else {
        bail!("no contender {name} in the report");
    };
    number(found, &format!("/{field}"))
}

fn number(value: &Value, pointer: &str) -> Result<f64> {
    value.pointer(pointer).and_then(Value::as_f64).with_context(|| format!("no number at {pointer}"))
}
