//! T6: immediate restarts of PostgreSQL under load (scenarios B1 and B3). The slot comes back at an earlier position.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use cdcd_testkit::services::{self, Signal};

use super::arena::{Arena, Ground, say};
use super::load::{Load, Plan};
use super::random::Random;
use super::{Options, judge};

/// Time between two restarts.
const CALM: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(3));
/// Seconds that one restart takes, about: it gives the pace of the load.
const SECONDS_EACH: u64 = 4;
/// How long the capture may take to stream again after a restart (B3).
const BACK_LIMIT: Duration = Duration::from_secs(30);

pub(super) fn run(options: &Options, binary: &Path) -> Result<()> {
    let ground = Ground::prepare(options, binary)?;
    let mut arena = Arena::new(ground, &[])?;
    arena.first_start()?;
    let seconds = u64::from(options.kills.max(1)) * SECONDS_EACH;
    let plan = Plan { changes: options.changes, rate: (options.changes / seconds).max(500), huge: 1 };
    let load = Load::start(&arena, plan)?;
    let mut random = Random::new(options.seed, 6_000);
    let service = arena.ground.postgres.service();
    let (mut met, mut slowest) = (0, Duration::ZERO);
    for restart in 1..=options.kills {
        arena.pause(random.between(CALM.0, CALM.1))?;
        load.check()?;
        // Every second restart waits for the capture to be back: the others hit whatever it is doing.
        if restart % 2 == 0 {
            let took = arena.wait_for("the stream after a restart", BACK_LIMIT, |arena| {
                Ok(arena.in_flight()?.is_some())
            })?;
            slowest = slowest.max(took);
        }
        met += u32::from(arena.in_flight()? != Some(0));
        services::signal(&service, Signal::Quit)?;
        let again = services::postgres_cluster("chaos", options.pg)?;
        ensure!(again.port == arena.ground.postgres.port, "the server's port was taken by another process");
        if restart % 10 == 0 {
            say(&format!("{restart} restarts, {} changes sent", load.written()));
        }
    }
    let calm = judge::settle(&mut arena, load)?;
    println!(
        "restarts      {} immediate ones of PostgreSQL {}, {met} with work open; streaming again within {:.1} s",
        options.kills,
        options.pg,
        slowest.as_secs_f64()
    );
    judge::verdict(&arena, &calm)?;
    ensure!(
        met * 2 > options.kills,
        "{met} of {} restarts met open work: this run proves little",
        options.kills
    );
    Ok(())
}
