//! After the faults: load without faults, no load, recovery at rest, and the verdict.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::arena::{Arena, ORACLE_SLOT, say};
use super::load::Load;
use super::{oracle, process};

/// Load that goes on after the last fault.
const CALM: Duration = Duration::from_secs(2);
/// How long the rest of the planned load may take.
const LOAD_LIMIT: Duration = Duration::from_secs(1_800);
/// How long the capture may take to be done with everything once nothing happens any more.
const RECOVERY_LIMIT: Duration = Duration::from_secs(600);
/// How long it may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// Bound on the verifier: it reads 10 million events twice.
const VERIFY_LIMIT: Duration = Duration::from_secs(1_800);

/// What happened in the phases after the faults.
#[derive(Debug)]
pub(super) struct Calm {
    changes: u64,
    huge: u64,
    recovery: Duration,
}

/// Ends the load, and demands that the capture catches up alone and stops in order.
pub(super) fn settle(arena: &mut Arena, load: Load) -> Result<Calm> {
    load.release();
    load.check()?;
    say(&format!("faults are over; {} changes were sent, the rest follows", load.written()));
    arena.wait_for("the rest of the load", LOAD_LIMIT, |_| {
        load.check()?;
        Ok(load.is_done())
    })?;
    arena.pause(CALM)?;
    let huge = load.huge();
    let changes = load.stop()?;
    let end = arena.wal_end()?;
    let recovery = arena.wait_for("recovery at rest", RECOVERY_LIMIT, |arena| arena.has_confirmed(&end))?;
    let mut capture = arena.capture.take().context("no capture runs")?;
    capture.stop(STOP_LIMIT)?;
    say(&format!("recovered at rest within {:.1} s", recovery.as_secs_f64()));
    Ok(Calm { changes, huge, recovery })
}

/// Asks both oracles. Both are heard before either decides.
pub(super) fn verdict(arena: &Arena, calm: &Calm) -> Result<()> {
    let first = verify(arena);
    let second = oracle::second(arena);
    let Calm { changes, huge, recovery } = calm;
    println!("load          {changes} changes sent, {huge} huge transactions");
    println!("supervisor    {} restarts", arena.restarts);
    println!("recovery      {:.1} s at rest", recovery.as_secs_f64());
    match &first {
        Ok(report) => println!("verify        agrees: {}", summary(report)),
        Err(error) => println!("verify        {error:#}"),
    }
    match &second {
        Ok(text) => println!("second oracle {text}"),
        Err(error) => println!("second oracle {error:#}"),
    }
    // What they found is printed above, whole.
    ensure!(first.is_ok() && second.is_ok(), "log and topics do not agree");
    Ok(())
}

/// As [`verdict`], for a test that asks a second oracle of its own.
pub(super) fn topics(arena: &Arena, calm: &Calm) -> Result<()> {
    let report = verify(arena)?;
    println!("load          {} changes sent, {} huge transactions", calm.changes, calm.huge);
    println!("verify        agrees: {}", summary(&report));
    Ok(())
}

/// `cdcd verify --topics` with the oracle slot.
fn verify(arena: &Arena) -> Result<Value> {
    let began = Instant::now();
    let mut command: Command = process::cdcd(&arena.ground.binary);
    command.args(["verify", "--topics"]).arg(&arena.connector);
    command.args(["--oracle-slot", ORACLE_SLOT, "--output", "json", "--log-level", "warn"]);
    let output = process::output(command, VERIFY_LIMIT)?;
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("cdcd verify ended with {}: {said}", output.status))?;
    std::fs::write(arena.ground.logs.join("verify.json"), format!("{report:#}"))?;
    say(&format!("verified in {:.1} s", began.elapsed().as_secs_f64()));
    ensure!(
        output.status.success() && report["agrees"] == true,
        "DIFFERS: {}; examples:\n{}",
        summary(&report),
        examples(&report)
    );
    Ok(report)
}

/// `expected 10, read 10; missing 0, duplicate 0, …`
fn summary(report: &Value) -> String {
    let found = report["found"].as_object().into_iter().flatten();
    let found: Vec<String> =
        found.map(|(kind, count)| format!("{count} {}", kind.replace('_', " "))).collect();
    format!(
        "{} transactions demand {} records, {} were read; {}",
        report["transactions"],
        report["expected"],
        report["read"],
        found.join(", ")
    )
}

fn examples(report: &Value) -> String {
    let lines = report["examples"].as_array().into_iter().flatten().map(|example| format!("  {example}"));
    lines.collect::<Vec<_>>().join("\n")
}
