//! T16: the broker does nothing for a minute, with wal_sender_timeout=2s: the server must not end the connection
//! (scenario B20 and section 2.6).

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use cdcd_testkit::services::{self, Signal};

use super::arena::{Arena, Ground, say};
use super::load::{Load, Plan};
use super::{Options, judge};

/// How long the broker is blocked in one round.
const BLOCKED: Duration = Duration::from_secs(60);
/// Load before and after.
const CALM: Duration = Duration::from_secs(5);
/// What the server writes when it ends a sender that heard nothing.
const TIMED_OUT: &str = "due to replication timeout";

pub(super) fn run(options: &Options, binary: &Path) -> Result<()> {
    let ground = Ground::prepare(options, binary)?;
    let mut arena = Arena::new(ground, &[])?;
    arena.database.psql(&format!("ALTER DATABASE {} SET wal_sender_timeout = '2s'", arena.name))?;
    arena.first_start()?;
    let seconds = u64::from(options.kills.max(1)) * (BLOCKED + CALM).as_secs();
    let plan = Plan { changes: options.changes, rate: (options.changes / seconds).max(500), huge: 1 };
    let load = Load::start(&arena, plan)?;
    let sender = format!("SELECT active_pid FROM pg_replication_slots WHERE slot_name = '{}'", arena.name);
    let (mut reconnects, mut held) = (0, 0);
    for _ in 0..options.kills {
        arena.pause(CALM)?;
        let before = arena.database.psql(&sender)?;
        ensure!(!before.is_empty(), "the capture does not stream before the block");
        let brokers = arena.ground.cluster.brokers.clone();
        for broker in &brokers {
            services::signal(&broker.service, Signal::Stop)?;
        }
        say(&format!("brokers are blocked for {} s", BLOCKED.as_secs()));
        let until = Instant::now() + BLOCKED;
        let mut most = 0;
        let mut looked = Ok(());
        while Instant::now() < until && looked.is_ok() {
            looked = arena.pause(Duration::from_secs(2));
            most = most.max(arena.in_flight()?.unwrap_or(0));
        }
        // Whatever happened: a stopped broker would not end at the end.
        for broker in &brokers {
            services::signal(&broker.service, Signal::Continue)?;
        }
        looked?;
        held += u32::from(most > 0);
        reconnects += u32::from(arena.database.psql(&sender)? != before);
        load.check()?;
    }
    let calm = judge::settle(&mut arena, load)?;
    let log = std::fs::read_to_string(&arena.ground.postgres.log).context("the server's log")?;
    let timeouts = log.lines().filter(|line| line.contains(TIMED_OUT)).count();
    println!(
        "blocks        {} of {} s; {timeouts} disconnects by the server, {reconnects} times another sender afterwards",
        options.kills,
        BLOCKED.as_secs()
    );
    judge::verdict(&arena, &calm)?;
    ensure!(timeouts == 0, "the server ended the connection {timeouts} times:\n{}", tail(&log));
    ensure!(held == options.kills, "only {held} of {} blocks held anything up", options.kills);
    Ok(())
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(TIMED_OUT)).take(3).collect();
    lines.join("\n")
}
