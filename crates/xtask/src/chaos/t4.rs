//! T4: the capture ends at each of its steps, right before and right after it, at rest and under load.
//!
//! The binary is built with the feature `failpoints`; `crates/cdcd/src/failpoint.rs` says what a step is.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::arena::{Arena, Ground, say};
use super::load::{Load, Plan};
use super::random::Random;
use super::{Options, judge};

/// Steps of every life, also when nothing is written.
const OF_EVERY_LIFE: [&str; 17] = [
    "fence.before",
    "fence.after",
    "read-position.after",
    "claim.before",
    "claim.after",
    "first-position.before",
    "first-position.after",
    "start-replication.before",
    "start-replication.after",
    "keepalive.before",
    "keepalive.after",
    "begin.before",
    "begin.after",
    "commit.before",
    "commit.after",
    "acknowledge.before",
    "acknowledge.after",
];
/// Steps that need changes.
const UNDER_LOAD: [&str; 7] = [
    "committed.before",
    "committed.after",
    "frame.before",
    "frame.after",
    "records.before",
    "record.after",
    "records.after",
];

/// How long a life may take to reach its step.
const STEP_LIMIT: Duration = Duration::from_secs(30);
/// How often its end is looked for.
const LOOK: Duration = Duration::from_millis(20);
/// Changes a second, and between two transactions of 120,000.
const RATE: u64 = 4_000;
const HUGE_EVERY: u64 = 150_000;
/// Signal that `abort` ends a process with.
const SIGABRT: i32 = 6;

pub(super) fn run(options: &Options, binary: &Path) -> Result<()> {
    let ground = Ground::prepare(options, binary)?;
    let mut arena = Arena::new(ground, &[])?;
    arena.first_start()?;
    let mut random = Random::new(options.seed, 4_000);
    // A life that ends behind its claim has committed once already, before the step that is meant.
    for step in OF_EVERY_LIFE {
        end_at(&mut arena, step, 0)?;
    }
    say(&format!("{} steps at rest", OF_EVERY_LIFE.len()));
    let plan = Plan { changes: options.changes, rate: RATE, huge: (options.changes / HUGE_EVERY).max(2) };
    let load = Load::start(&arena, plan)?;
    for round in 1..=options.kills {
        for step in OF_EVERY_LIFE.iter().chain(&UNDER_LOAD) {
            load.check()?;
            let passes = passes(step, &mut random);
            end_at(&mut arena, step, passes)?;
        }
        say(&format!("round {round} under load, {} changes sent", load.written()));
    }
    arena.keep_running()?;
    let calm = judge::settle(&mut arena, load)?;
    let under_load = (OF_EVERY_LIFE.len() + UNDER_LOAD.len()) * options.kills as usize;
    println!("steps         {} ended at rest, {under_load} under load", OF_EVERY_LIFE.len());
    judge::verdict(&arena, &calm)
}

/// How often the step is passed before it ends the process: few times where it is rare.
fn passes(step: &str, random: &mut Random) -> u64 {
    match step.split('.').next() {
        Some("frame" | "record") => random.below(30_000),
        Some("records" | "commit" | "committed" | "begin") => random.below(8),
        Some("acknowledge" | "keepalive") => random.below(2),
        _ => 0,
    }
}

/// Starts the capture and demands that it ends at the step.
fn end_at(arena: &mut Arena, step: &str, passes: u64) -> Result<()> {
    arena.ground.in_time()?;
    if let Some(mut running) = arena.capture.take() {
        running.kill()?;
    }
    let mut capture = arena.start_capture_with(&[("FAILPOINTS", &format!("{step}={passes}*off->return"))])?;
    let until = Instant::now() + STEP_LIMIT;
    let status = loop {
        if let Some(status) = capture.ended()? {
            break status;
        }
        if Instant::now() > until {
            bail!("{step}: not reached {} times within {STEP_LIMIT:?}:\n{}", passes + 1, capture.tail());
        }
        sleep(LOOK);
    };
    ensure!(status.signal() == Some(SIGABRT), "{step}: the capture ended with {status}:\n{}", capture.tail());
    Ok(())
}
