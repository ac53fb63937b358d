//! T5: kill -9 of the capture at random moments under load (scenarios A1, A5, A6, A7).

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::arena::{Arena, Ground, say};
use super::load::{Load, Plan};
use super::random::Random;
use super::{Options, judge};

/// A life lasts between these.
const LIFE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(3));
/// Changes between two transactions of 120,000.
const HUGE_EVERY: u64 = 1_000_000;
/// How often a line of progress is printed, in kills.
const SAY_EVERY: u32 = 25;

/// What the kills met.
#[derive(Debug, Default)]
struct Met {
    kills: u32,
    /// The server had sent something that was not acknowledged.
    in_flight: u32,
    /// The capture had not begun to stream, and the writers had gone on without it.
    starting: u32,
    /// Nothing was open.
    idle: u32,
}

pub(super) fn run(options: &Options, binary: &Path) -> Result<()> {
    let ground = Ground::prepare(options, binary)?;
    let mut arena = Arena::new(ground, &[])?;
    arena.first_start()?;
    let average = (LIFE.0 + LIFE.1) / 2;
    let seconds = (average * options.kills.max(1)).as_secs().max(1);
    let plan = Plan {
        changes: options.changes,
        rate: (options.changes / seconds).max(500),
        huge: (options.changes / HUGE_EVERY).max(1),
    };
    let load = Load::start(&arena, plan)?;
    let mut random = Random::new(options.seed, 5_000);
    let mut met = Met::default();
    for kill in 1..=options.kills {
        arena.ground.in_time()?;
        load.check()?;
        let mut capture = match arena.capture.take() {
            Some(capture) => capture,
            None => arena.start_capture(&[])?,
        };
        sleep(random.between(LIFE.0, LIFE.1));
        let in_flight = arena.in_flight()?;
        match in_flight {
            Some(0) => met.idle += 1,
            Some(_) => met.in_flight += 1,
            None => met.starting += 1,
        }
        capture.kill()?;
        met.kills += 1;
        if kill % SAY_EVERY == 0 {
            say(&format!("{kill} kills, {} changes sent, {} with open work", load.written(), met.in_flight));
        }
    }
    arena.keep_running()?;
    let calm = judge::settle(&mut arena, load)?;
    println!(
        "kills         {} of a living process: {} with unacknowledged WAL in flight, {} while it started, {} at rest",
        met.kills, met.in_flight, met.starting, met.idle
    );
    judge::verdict(&arena, &calm)?;
    if met.kills != options.kills {
        bail!("{} kills of {} hit", met.kills, options.kills);
    }
    ensure!(
        (met.in_flight + met.starting) * 2 > met.kills,
        "{} of {} kills met a capture with nothing to lose: this run proves little; raise --changes",
        met.idle,
        met.kills
    );
    Ok(())
}
