//! T17: network faults on both legs, through proxies (scenarios F1 to F6).

use std::num::NonZeroU64;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cdcd_testkit::proxy::{Direction, Door, Flow, Proxy};

use super::arena::{Arena, Ground, say};
use super::load::{Load, Plan};
use super::random::Random;
use super::{Options, judge};

/// How long a fault lasts.
const FAULT: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(7));
/// How long a blackhole lasts: longer than a read deadline of the capture's own would be with the set timeout.
const BLACKHOLE: Duration = Duration::from_secs(12);
/// How long the capture may take to be at the present again after a fault.
const RECOVERY_LIMIT: Duration = Duration::from_secs(120);
/// 1 Mbit/s.
const SLOW: NonZeroU64 = NonZeroU64::new(125_000).expect("not zero");
/// Seconds that one fault takes, about: it gives the pace of the load.
const SECONDS_EACH: u64 = 10;

/// What is done to a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Latency,
    Throttle,
    /// All connections are reset, again and again.
    Cuts,
    /// Bytes to the service vanish.
    HalfOpenThere,
    /// Bytes from the service vanish.
    HalfOpenBack,
    Blackhole,
    /// Nothing is read: a peer that hangs.
    Hang,
    /// Connections are reset and new ones refused.
    Refused,
    /// Each connection is late by a time of its own.
    Reorder,
}

const FAULTS: [Fault; 9] = [
    Fault::Latency,
    Fault::Throttle,
    Fault::Cuts,
    Fault::HalfOpenThere,
    Fault::HalfOpenBack,
    Fault::Blackhole,
    Fault::Hang,
    Fault::Refused,
    Fault::Reorder,
];

/// The two legs with their proxies.
struct Legs {
    legs: Vec<(&'static str, Vec<Proxy>)>,
}

pub(super) fn run(options: &Options, binary: &Path) -> Result<()> {
    let ground = Ground::prepare(options, binary)?;
    let legs = Legs::open(&ground)?;
    let (port, servers) = legs.addresses()?;
    let extra = [("database.port", port.as_str()), ("bootstrap.servers", servers.as_str())];
    let mut arena = Arena::new(ground, &extra)?;
    arena.database.psql(&format!("ALTER DATABASE {} SET wal_sender_timeout = '5s'", arena.name))?;
    arena.first_start()?;
    let count = u64::from(options.kills.max(1)) * (FAULTS.len() * 2) as u64;
    let rate = (options.changes.max(150_000) / (count * SECONDS_EACH)).max(500);
    let load = Load::start(&arena, Plan { changes: options.changes, rate, huge: 1 })?;
    let mut random = Random::new(options.seed, 17_000);
    let mut lines = Vec::new();
    for _ in 0..options.kills {
        for (leg, proxies) in &legs.legs {
            for fault in FAULTS {
                load.check()?;
                let line = one(&mut arena, (leg, proxies), fault, &mut random)
                    .with_context(|| format!("{fault:?} on the leg to {leg}"))?;
                say(&line);
                lines.push(line);
            }
        }
    }
    let calm = judge::settle(&mut arena, load)?;
    for line in &lines {
        println!("fault         {line}");
    }
    judge::verdict(&arena, &calm)
}

/// One fault, and the recovery from it.
fn one(
    arena: &mut Arena,
    (leg, proxies): (&str, &[Proxy]),
    fault: Fault,
    random: &mut Random,
) -> Result<String> {
    let before = felt(proxies);
    let restarts = arena.restarts;
    let time = if fault == Fault::Blackhole { BLACKHOLE } else { random.between(FAULT.0, FAULT.1) };
    for proxy in proxies {
        begin(proxy, fault);
    }
    if fault == Fault::Cuts {
        for _ in 0..5 {
            arena.pause(time / 5)?;
            proxies.iter().for_each(|proxy| {
                proxy.cut();
            });
        }
    } else {
        arena.pause(time)?;
    }
    for proxy in proxies {
        proxy.heal();
    }
    let end = arena.wal_end()?;
    let recovery =
        arena.wait_for("the present after a fault", RECOVERY_LIMIT, |arena| arena.has_confirmed(&end))?;
    let after = felt(proxies);
    ensure!(after > before, "the fault hit nothing: {before} before, {after} after");
    Ok(format!(
        "{leg:<10} {fault:<14} {:>4.1} s, felt {:>6} times, recovered within {:>5.1} s, {} restarts",
        time.as_secs_f64(),
        after - before,
        recovery.as_secs_f64(),
        arena.restarts - restarts,
        fault = format!("{fault:?}"),
    ))
}

fn begin(proxy: &Proxy, fault: Fault) {
    match fault {
        Fault::Latency => proxy.latency(Duration::from_millis(200), Duration::from_millis(600)),
        Fault::Throttle => proxy.throttle(Some(SLOW)),
        Fault::Cuts => {}
        Fault::HalfOpenThere => proxy.flow(Direction::ToTarget, Flow::Swallow),
        Fault::HalfOpenBack => proxy.flow(Direction::ToClient, Flow::Swallow),
        Fault::Blackhole => {
            proxy.flow(Direction::ToTarget, Flow::Swallow);
            proxy.flow(Direction::ToClient, Flow::Swallow);
        }
        Fault::Hang => {
            proxy.flow(Direction::ToTarget, Flow::Hold);
            proxy.flow(Direction::ToClient, Flow::Hold);
        }
        Fault::Refused => {
            proxy.door(Door::Shut);
            proxy.cut();
        }
        Fault::Reorder => proxy.skew(Duration::from_millis(1_500)),
    }
}

/// How often anything was felt at all, in one number that only grows.
fn felt(proxies: &[Proxy]) -> u64 {
    let of = |proxy: &Proxy| {
        let stats = proxy.stats();
        stats.refused + stats.cut + stats.delayed + stats.held + stats.throttled + stats.swallowed_bytes
    };
    proxies.iter().map(of).sum()
}

impl Legs {
    fn open(ground: &Ground) -> Result<Self> {
        let seed = ground.options.seed;
        let server = ([127, 0, 0, 1], ground.postgres.port).into();
        let postgres = vec![Proxy::start(([127, 0, 0, 1], 0).into(), server, seed)?];
        let brokers = ground.cluster.brokers.iter();
        let kafka = brokers
            .map(|broker| Proxy::start(broker.front, broker.behind, seed ^ u64::from(broker.node)))
            .collect::<Result<Vec<Proxy>>>()?;
        Ok(Legs { legs: vec![("PostgreSQL", postgres), ("Kafka", kafka)] })
    }

    /// PostgreSQL's port and Kafka's servers, as the capture is told.
    fn addresses(&self) -> Result<(String, String)> {
        let of = |leg: usize| -> Result<Vec<&Proxy>> {
            Ok(self.legs.get(leg).context("a leg")?.1.iter().collect())
        };
        let port = of(0)?.first().context("a proxy")?.address().port().to_string();
        let servers: Vec<String> = of(1)?.iter().map(|proxy| proxy.address().to_string()).collect();
        Ok((port, servers.join(",")))
    }
}
