//! T11: the sink under kills, thefts of its channels, rebalances, HTTP faults and partitions that are added
//! (scenarios G1 to G7, H1 to H6, I1 to I5), between a source that is written all the time and the emulator.

mod account;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use cdcd_testkit::wait_until;

use super::arena::{Arena, Ground, say};
use super::load::{Load, Plan};
use super::process::{self, Running};
use super::random::Random;
use super::{Options, judge, oracle};
use account::Account;

/// Time between two faults.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// A theft of a channel comes with one kill in so many, a clean restart with one in so many.
const THEFT_EVERY: u32 = 2;
const RESTART_EVERY: u32 = 5;
/// Partitions at the start, and from the middle of the faults on.
const PARTITIONS: (&str, &str) = ("8", "12");
/// How long the group needs to notice a member that was killed: the least that Kafka allows.
const SESSION_MS: &str = "6000";
/// How long a sink may take to deliver and stop.
const STOP_LIMIT: Duration = Duration::from_secs(90);
/// How long the sink may take to be done with everything once nothing happens any more.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(600);
/// Bound on `cdcd verify`.
const VERIFY_LIMIT: Duration = Duration::from_secs(600);
/// How often a line of progress is printed, in kills.
const SAY_EVERY: u32 = 20;
/// One request in twenty fails: each kind every eightieth time.
const HTTP_FAULTS: &str = r#"[
    {"times": 0, "every": 80, "status": 429, "headers": {"Retry-After": "1"}},
    {"times": 0, "every": 80, "status": 503},
    {"times": 0, "every": 80, "drop": "after"},
    {"times": 0, "every": 80, "drop": "before"}
]"#;

/// One member of the sink's group.
struct Member {
    file: PathBuf,
    log: PathBuf,
    child: Option<Running>,
}

/// What the faults met.
#[derive(Debug, Default)]
struct Met {
    kills: u32,
    /// Rows were on their way.
    open: u32,
    thefts: usize,
    restarts: u32,
    supervised: u32,
}

pub(super) fn run(options: &Options, binary: &Path) -> Result<()> {
    let ground = Ground::prepare(options, binary)?;
    let account = Account::start(&ground)?;
    let more = [
        ("topic.creation.default.partitions", PARTITIONS.0),
        // The sink makes its tables from the schema in the records.
        ("value.converter.schemas.enable", "true"),
    ];
    let mut arena = Arena::new(ground, &more)?;
    arena.first_start()?;
    let average = (PAUSE.0 + PAUSE.1) / 2;
    let seconds = (average * options.kills.max(1)).as_secs().max(1);
    let plan =
        Plan { changes: options.changes, rate: (options.changes / seconds).clamp(500, 8_000), huge: 1 };
    let load = Load::start(&arena, plan)?;
    let mut members = members(&arena, &account)?;
    wait_until("the first landed rows", Duration::from_secs(120), || {
        keep_running(&arena, &mut members, &mut Met::default())?;
        Ok((account.landed()? > 0).then_some(()))
    })?;
    account.control("faults", HTTP_FAULTS)?;
    let met = faults(&mut arena, &mut members, &account, &load)?;
    let struck = account.struck()?;
    account.forgive()?;
    let calm = judge::settle(&mut arena, load)?;
    let caught_up = catch_up(&arena, &mut members)?;
    println!(
        "sink          {} kills, {} of them with rows on their way; {} channels stolen, {} clean restarts, {} by the supervisor",
        met.kills, met.open, met.thefts, met.restarts, met.supervised
    );
    println!("http          {struck} requests failed on purpose");
    println!("caught up     within {:.1} s", caught_up.as_secs_f64());
    let landing = landing(&arena, &account);
    let tables = verify(&arena, &members);
    for (what, outcome) in [("landing", &landing), ("tables", &tables)] {
        match outcome {
            Ok(text) => println!("{what:<13} agree: {text}"),
            Err(error) => println!("{what:<13} {error:#}"),
        }
    }
    let topics = judge::topics(&arena, &calm);
    ensure!(landing.is_ok() && tables.is_ok(), "source and destination do not agree");
    topics?;
    ensure!(met.open * 2 > met.kills, "most kills met a sink without work: raise --changes");
    ensure!(struck > 0 && met.thefts > 0 && met.restarts > 0, "a kind of fault never struck");
    Ok(())
}

fn faults(arena: &mut Arena, members: &mut [Member], account: &Account, load: &Load) -> Result<Met> {
    let mut random = Random::new(arena.ground.options.seed, 11_000);
    let mut met = Met::default();
    let kills = arena.ground.options.kills;
    for kill in 1..=kills {
        let until = Instant::now() + random.between(PAUSE.0, PAUSE.1);
        loop {
            arena.ground.in_time()?;
            load.check()?;
            arena.keep_running()?;
            keep_running(arena, members, &mut met)?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            sleep(left.min(Duration::from_millis(50)));
        }
        if kill % SAY_EVERY == 0 {
            say(&format!(
                "{kill} faults, {} changes sent, {} rows landed",
                load.written(),
                account.landed()?
            ));
        }
        if kill % THEFT_EVERY == 0 {
            met.thefts += account.steal(&mut random)?;
        }
        if kill * 2 == kills {
            add_partitions(arena)?;
        }
        // The member with an instance id comes back to its partitions at once; the other one is missed for a while.
        let which = usize::from(random.below(4) == 0);
        let member = members.get_mut(which).context("two members")?;
        let Some(mut child) = member.child.take() else { bail!("a member does not run") };
        if kill % RESTART_EVERY == 0 {
            child.stop(STOP_LIMIT)?;
            met.restarts += 1;
            member.child = Some(member.start(arena)?);
            continue;
        }
        met.open += u32::from(account.landed()? < load.written());
        child.kill()?;
        met.kills += 1;
        member.child = Some(member.start(arena)?);
    }
    Ok(met)
}

/// Restarts what a supervisor would restart.
fn keep_running(arena: &Arena, members: &mut [Member], met: &mut Met) -> Result<()> {
    for member in members {
        let Some(child) = &mut member.child else { continue };
        let Some(status) = child.ended()? else { continue };
        ensure!(matches!(status.code(), Some(1 | 3)), "a sink ended with {status}:\n{}", child.tail());
        met.supervised += 1;
        say(&format!("a sink ended with {status}, the supervisor restarts it"));
        sleep(Duration::from_millis(500));
        member.child = Some(member.start(arena)?);
    }
    Ok(())
}

impl Member {
    fn start(&self, arena: &Arena) -> Result<Running> {
        Running::start(&arena.ground.binary, "sink", &self.file, &self.log, &[], &[])
    }
}

fn members(arena: &Arena, account: &Account) -> Result<[Member; 2]> {
    let member = |name: &str, more: &[(&str, &str)]| {
        let file = account.sink_file(arena, name, more)?;
        let mut member = Member { file, log: arena.ground.logs.join(format!("{name}.log")), child: None };
        member.child = Some(member.start(arena)?);
        anyhow::Ok(member)
    };
    let session = ("consumer.override.session.timeout.ms", SESSION_MS);
    let fixed = ("consumer.override.group.instance.id", "first");
    Ok([member("sink-a", &[session, fixed])?, member("sink-b", &[session])?])
}

/// Keys move to other partitions; the capture sees the new ones at its next start.
fn add_partitions(arena: &mut Arena) -> Result<()> {
    let kafka = &arena.ground.cluster.kafka;
    for table in ["a", "b", "c"] {
        let topic = format!("{}.public.{table}", arena.name);
        let args = ["--alter", "--topic", &topic, "--partitions", PARTITIONS.1];
        kafka.tool("org.apache.kafka.tools.TopicCommand", &args, "")?;
    }
    let mut capture = arena.capture.take().context("no capture runs")?;
    capture.stop(STOP_LIMIT)?;
    arena.capture = Some(arena.start_capture(&[])?);
    say("12 partitions instead of 8");
    Ok(())
}

/// Stops both members, and lets one read to the end of everything.
fn catch_up(arena: &Arena, members: &mut [Member; 2]) -> Result<Duration> {
    for member in members.iter_mut() {
        if let Some(mut child) = member.child.take() {
            child.stop(STOP_LIMIT)?;
        }
    }
    let began = Instant::now();
    let [first, _] = members;
    let flags = ["--until-caught-up"];
    let mut child = Running::start(&arena.ground.binary, "sink", &first.file, &first.log, &flags, &[])?;
    let status = child.wait(arena.ground.time_left(CATCH_UP_LIMIT))?;
    ensure!(status.success(), "the last sink ended with {status}:\n{}", child.tail());
    Ok(began.elapsed())
}

/// Each event is in its log once: as many rows as test_decoding counts, and no offset twice.
fn landing(arena: &Arena, account: &Account) -> Result<String> {
    let mut told = Vec::new();
    let mut rows = 0;
    for (table, demanded) in ["A", "B", "C"].into_iter().zip(oracle::counts_of_log(arena)?) {
        let log = format!("{table}__LOG");
        let twice = account.number(&format!("SELECT COUNT(*) - COUNT(DISTINCT _OFFSET) FROM {log}"))?;
        let read = account.query(&format!("SELECT _OP, COUNT(*) FROM {log} GROUP BY _OP"))?;
        let read: BTreeMap<String, u64> = read
            .into_iter()
            .filter_map(|row| Some((row.first()?.clone(), row.get(1)?.parse().ok()?)))
            .collect();
        let wanted: BTreeMap<String, u64> =
            [("c", demanded.creates), ("u", demanded.updates), ("d", demanded.deletes)]
                .map(|(op, count)| (op.to_owned(), count))
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .collect();
        rows += read.values().sum::<u64>();
        if twice != 0 || read != wanted {
            told.push(format!(
                "{log}: {twice} offsets twice; test_decoding demands {wanted:?}, landed {read:?}"
            ));
        }
    }
    ensure!(told.is_empty(), "DIFFERS: {}", told.join("; "));
    Ok(format!("{rows} rows landed once each"))
}

/// `cdcd verify SOURCE SINK`: the merged tables equal the source.
fn verify(arena: &Arena, members: &[Member; 2]) -> Result<String> {
    let mut command: Command = process::cdcd(&arena.ground.binary);
    let [first, _] = members;
    command.arg("verify").args([&arena.connector, &first.file]).args(["--log-level", "warn"]);
    let output = process::output(command, VERIFY_LIMIT)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "cdcd verify ended with {}: {said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(said.lines().last().unwrap_or_default().trim().to_owned())
}
