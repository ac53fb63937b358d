//! T8: a capture is stopped, another takes over, the first wakes up: exactly one may go on (scenarios A3 and A4).

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::arena::{Arena, Ground, say};
use super::load::{Load, Plan};
use super::process::Running;
use super::random::Random;
use super::{Options, judge};

/// How long the first one lies still before the second starts.
const STILL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));
/// How long the second one runs before the first wakes up: from before it has taken over to long after.
const OVERLAP: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(3));
/// How long a process that was overtaken may live on.
const FENCED_LIMIT: Duration = Duration::from_secs(20);
/// Time without a second process.
const CALM: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));
/// Seconds that one take-over takes, about: it gives the pace of the load.
const SECONDS_EACH: u64 = 5;

/// How the take-overs ended.
#[derive(Debug, Default)]
struct Ends {
    first_fenced: u32,
    second_fenced: u32,
    /// Both lived on.
    zombies: u32,
    /// Neither did, and a supervisor had to start a third.
    none: u32,
    names: Vec<String>,
}

pub(super) fn run(options: &Options, binary: &Path) -> Result<()> {
    let ground = Ground::prepare(options, binary)?;
    let mut arena = Arena::new(ground, &[])?;
    arena.first_start()?;
    let seconds = u64::from(options.kills.max(1)) * SECONDS_EACH;
    let plan = Plan { changes: options.changes, rate: (options.changes / seconds).max(500), huge: 1 };
    let load = Load::start(&arena, plan)?;
    let mut random = Random::new(options.seed, 8_000);
    let mut ends = Ends::default();
    for round in 1..=options.kills {
        arena.pause(random.between(CALM.0, CALM.1))?;
        load.check()?;
        let mut first = arena.capture.take().context("no capture runs")?;
        first.signal("STOP")?;
        sleep(random.between(STILL.0, STILL.1));
        let mut second = arena.start_capture(&[])?;
        sleep(random.between(OVERLAP.0, OVERLAP.1));
        first.signal("CONT")?;
        arena.capture = decide(&arena, &mut first, &mut second, &mut ends)?.map(|who| match who {
            Who::First => first,
            Who::Second => second,
        });
        if round % 10 == 0 {
            say(&format!("{round} take-overs, {} changes sent, {ends:?}", load.written()));
        }
    }
    let calm = judge::settle(&mut arena, load)?;
    println!(
        "take-overs    {}: the first was fenced {} times, the second {}; both lived on {} times, neither {}; errors: {}",
        options.kills,
        ends.first_fenced,
        ends.second_fenced,
        ends.zombies,
        ends.none,
        ends.names.join(", ")
    );
    judge::verdict(&arena, &calm)?;
    ensure!(ends.zombies == 0, "{} times both processes lived on", ends.zombies);
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Who {
    First,
    Second,
}

/// Waits until only one lives; two that both do not end are a finding, and the first is ended.
fn decide(arena: &Arena, first: &mut Running, second: &mut Running, ends: &mut Ends) -> Result<Option<Who>> {
    let began = std::time::Instant::now();
    loop {
        arena.ground.in_time()?;
        match (first.ended()?, second.ended()?) {
            (None, None) if began.elapsed() < FENCED_LIMIT => sleep(Duration::from_millis(50)),
            (None, None) => {
                ends.zombies += 1;
                first.kill()?;
                return Ok(Some(Who::Second));
            }
            (Some(_), None) => {
                ends.first_fenced += 1;
                note(first, ends)?;
                return Ok(Some(Who::Second));
            }
            (None, Some(_)) => {
                ends.second_fenced += 1;
                note(second, ends)?;
                return Ok(Some(Who::First));
            }
            (Some(_), Some(_)) => {
                ends.none += 1;
                note(first, ends)?;
                note(second, ends)?;
                return Ok(None);
            }
        }
    }
}

/// Remembers how a process ended; anything but a stop of its own is an error of the product.
fn note(ended: &mut Running, ends: &mut Ends) -> Result<()> {
    let status = ended.ended()?.context("it has not ended")?;
    let said = ended.said()?;
    let line = said.lines().rev().find(|line| line.starts_with("error: ")).unwrap_or_default();
    let name =
        line.split(|c: char| !(c.is_ascii_uppercase() || c == '_')).find(|word| word.starts_with("E_"));
    let text = match (status.code(), name) {
        (Some(4), Some(name)) => name.to_owned(),
        (Some(code @ (1 | 3)), _) => format!("exit {code}: {line}"),
        _ => bail!("an overtaken capture ended with {status}:\n{}", ended.tail()),
    };
    if !ends.names.contains(&text) {
        ends.names.push(text);
    }
    Ok(())
}
