//! T7: restarts of brokers under load, clean and kill -9, and with three brokers also of the leader (scenario E1).

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cdcd_testkit::services::{self, Broker, Signal};

use super::arena::{Arena, Ground, say};
use super::load::{Load, Plan};
use super::random::Random;
use super::{Options, judge};

/// Time between two restarts.
const CALM: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(4));
/// Seconds that one restart takes, about: it gives the pace of the load.
const SECONDS_EACH: u64 = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Clean,
    Kill,
}

pub(super) fn run(options: &Options, binary: &Path) -> Result<()> {
    let ground = Ground::prepare(options, binary)?;
    let mut arena = Arena::new(ground, &[])?;
    arena.first_start()?;
    let seconds = u64::from(options.kills.max(1)) * SECONDS_EACH;
    let plan = Plan { changes: options.changes, rate: (options.changes / seconds).max(500), huge: 1 };
    let load = Load::start(&arena, plan)?;
    let mut random = Random::new(options.seed, 7_000);
    let (mut clean, mut killed, mut leaders, mut met) = (0, 0, 0, 0);
    for restart in 1..=options.kills {
        arena.pause(random.between(CALM.0, CALM.1))?;
        load.check()?;
        let how = if restart % 2 == 0 { How::Clean } else { How::Kill };
        let brokers = arena.ground.cluster.brokers.clone();
        let broker = match leader(&arena, &brokers, restart)? {
            Some(leader) => {
                leaders += 1;
                leader
            }
            None => brokers.get(random.below(brokers.len() as u64) as usize).context("no broker")?.clone(),
        };
        met += u32::from(arena.in_flight()? != Some(0));
        match how {
            How::Clean => {
                clean += 1;
                ensure!(services::down(&broker.service)?, "{}: did not run", broker.service);
            }
            How::Kill => {
                killed += 1;
                services::signal(&broker.service, Signal::Kill)?;
            }
        }
        arena.keep_running()?;
        services::up(&broker.service)?;
        arena.keep_running()?;
        if restart % 5 == 0 {
            say(&format!("{restart} restarts, {} changes sent", load.written()));
        }
    }
    let calm = judge::settle(&mut arena, load)?;
    println!(
        "restarts      {clean} clean and {killed} by kill -9 of {} brokers, {leaders} of the position's leader; {met} \
         with work open",
        options.brokers
    );
    judge::verdict(&arena, &calm)?;
    ensure!(clean + killed == options.kills, "{} restarts of {}", clean + killed, options.kills);
    Ok(())
}

/// With several brokers every third restart hits the one that leads the position topic.
fn leader(arena: &Arena, brokers: &[Broker], restart: u32) -> Result<Option<Broker>> {
    if brokers.len() < 2 || !restart.is_multiple_of(3) {
        return Ok(None);
    }
    let topic = format!("__cdcd_position.{}", arena.name);
    let told = arena.ground.cluster.kafka.tool(
        "org.apache.kafka.tools.TopicCommand",
        &["--describe", "--topic", &topic],
        "",
    )?;
    let number = told.split("Leader: ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let node: u8 = number.context("no leader")?.parse().with_context(|| told.clone())?;
    Ok(brokers.iter().find(|broker| broker.node == node).cloned())
}
