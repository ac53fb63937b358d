//! One large transaction, all clients connected before it begins: from the end of its COMMIT to its last event, and
//! what it takes of memory and of the server's disk meanwhile.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::Args;
use super::live::{self, Live};
use super::stage::{self, Stage};
use super::tables;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contender {
    Recvlogical,
    Whole,
    Streamed,
    Kafka,
}

const CONTENDERS: [Contender; 4] =
    [Contender::Recvlogical, Contender::Whole, Contender::Streamed, Contender::Kafka];

impl Contender {
    fn name(self) -> &'static str {
        match self {
            Contender::Recvlogical => "pg_recvlogical, protocol 1, to nothing",
            Contender::Whole => "cdcd, protocol 1, to nothing",
            Contender::Streamed => "cdcd to nothing",
            Contender::Kafka => "cdcd into Kafka, exactly once",
        }
    }
}

/// What one transaction cost.
struct Seen {
    /// From the COMMIT to the last event.
    seconds: f64,
    cpu: f64,
    rss_mib: f64,
    /// What the walsender wrote to the primary's disk, and what it sent before the commit.
    spilled_mib: f64,
    streamed_mib: f64,
}

pub(super) fn run(args: &Args) -> Result<Value> {
    let stage = Stage::open(args)?;
    let recvlogical = stage.postgres_program("pg_recvlogical")?;
    stage.database.psql(tables::ROWS)?;
    stage.database.psql("CREATE PUBLICATION bench FOR TABLE t")?;
    let conditions = stage::conditions(args.pg);
    println!("one transaction of {} inserts, {conditions}", args.changes);
    println!(
        "{:<42}{:>18}{:>10}{:>10}{:>12}{:>14}",
        "", "COMMIT to end, s", "CPU-s", "RSS MiB", "spilled MiB", "streamed MiB"
    );
    let mut rows = Vec::new();
    for contender in CONTENDERS {
        if args.only.as_ref().is_some_and(|part| !contender.name().contains(part)) {
            continue;
        }
        let seen = watch(&stage, &recvlogical, contender)?;
        let Seen { seconds, cpu, rss_mib, spilled_mib, streamed_mib } = seen;
        let name = contender.name();
        println!(
            "{name:<42}{seconds:>18.2}{cpu:>10.1}{rss_mib:>10.0}{spilled_mib:>12.0}{streamed_mib:>14.0}"
        );
        rows.push(json!({
            "name": name, "commit_to_end_s": seconds, "cpu_s": cpu, "rss_mib": rss_mib,
            "spilled_mib": spilled_mib, "streamed_mib": streamed_mib,
        }));
    }
    let report = json!({"changes": args.changes, "conditions": conditions, "contenders": rows});
    stage::write_report("bigtxn", &report)?;
    Ok(report)
}

fn watch(stage: &Stage<'_>, recvlogical: &std::path::Path, contender: Contender) -> Result<Seen> {
    let database = &stage.database;
    let slot = format!("{}_{}", database.name, contender as usize);
    database.psql("TRUNCATE t")?;
    database.psql(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"))?;
    let mut live = Live::start(command(stage, recvlogical, contender, &slot)?)?;
    live::wait_for_slot(stage, &mut live, &slot)?;
    database.psql(&tables::insert(1, stage.args.changes))?;
    let committed = Instant::now();
    let end = database.psql("SELECT pg_current_wal_flush_lsn()")?;
    let end_lsn = live::lsn(&end).context("an LSN")?;
    let ended = live.until("the last event", |live| {
        Ok(match (contender, live.figures) {
            (Contender::Recvlogical, _) => is_sent(stage, &slot, &end)?.then(Instant::now),
            (Contender::Kafka, Some(figures)) => (figures.flushed >= end_lsn).then_some(figures.at),
            (_, Some(figures)) => (figures.events >= stage.args.changes).then_some(figures.at),
            (_, None) => None,
        })
    })?;
    let (cpu, (_, rss_mib)) = (live.cpu()?, live.rss()?);
    drop(live);
    let (spilled_mib, streamed_mib) = on_the_way(stage, &slot)?;
    Ok(Seen { seconds: (ended - committed).as_secs_f64(), cpu, rss_mib, spilled_mib, streamed_mib })
}

fn command(
    stage: &Stage<'_>,
    recvlogical: &std::path::Path,
    contender: Contender,
    slot: &str,
) -> Result<Command> {
    if contender == Contender::Recvlogical {
        let mut command = Command::new(recvlogical);
        command.args(["--start", "--no-loop", "--slot", slot, "--file", "/dev/null"]);
        command.args(["--dbname", &stage.database.url(), "-o", "proto_version=1"]);
        command.args(["-o", "publication_names=bench"]);
        return Ok(command);
    }
    let (args, extra): (&[&str], &[(&str, &str)]) = match contender {
        Contender::Whole => (&["--output", "null"], &[("cdcd.streaming", "off")]),
        Contender::Kafka => (&[], &[]),
        _ => (&["--output", "null"], &[]),
    };
    let config = stage.connector(slot, slot, extra)?;
    let mut command = stage.capture(slot, &config, args)?;
    command.args(["--stats-interval", "50ms"]);
    Ok(command)
}

/// Whether the server has sent everything before this position; this client says nothing itself.
fn is_sent(stage: &Stage<'_>, slot: &str, end: &str) -> Result<bool> {
    let sent = stage.database.psql(&format!(
        "SELECT sent_lsn >= '{end}' FROM pg_stat_replication r \
         JOIN pg_replication_slots s ON s.active_pid = r.pid WHERE s.slot_name = '{slot}'"
    ))?;
    Ok(sent == "t")
}

/// MiB that the slot's walsender spilled and streamed; it tells them when it ends.
fn on_the_way(stage: &Stage<'_>, slot: &str) -> Result<(f64, f64)> {
    let ask = format!(
        "SELECT spill_bytes / 1048576.0, stream_bytes / 1048576.0 FROM pg_stat_replication_slots \
         WHERE slot_name = '{slot}'"
    );
    let free = format!("SELECT NOT active FROM pg_replication_slots WHERE slot_name = '{slot}'");
    for _ in 0..100 {
        if stage.database.psql(&free)? == "t" {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let answer = stage.database.psql(&ask)?;
    let (spilled, streamed) = answer.split_once('|').context("the slot's figures")?;
    stage.database.psql(&format!("SELECT pg_drop_replication_slot('{slot}')"))?;
    Ok((spilled.parse()?, streamed.parse()?))
}
