//! `cargo xtask chaos <id>`: failure tests on real processes, judged by `cdcd verify --topics` and by a second oracle.
//!
//! Every test has a PostgreSQL cluster, Kafka brokers and a state directory of its own; it ends only processes that it
//! started, is bounded in count and time, and prints its seed. The order is always the same: load, faults under load,
//! load without faults, no load, recovery at rest, verdict. A fault that hit nothing is a failure of the test.
//!
//! [`arena`] is what all tests stand on, [`load`] writes, [`process`] runs the capture, [`judge`] and [`oracle`] decide.
//! One file for each test.

mod arena;
mod judge;
mod load;
mod oracle;
mod process;
mod random;
mod t11;
mod t16;
mod t17;
mod t4;
mod t5;
mod t6;
mod t7;
mod t8;
mod t9;
mod takeover;

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use cdcd_testkit::services;

use arena::say;

/// Set in the process that runs inside of the test's own state directory.
const INNER: &str = "CDCD_CHAOS_INNER";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which test
    id: Test,
    /// Faults: kills, restarts, take-overs, rounds [default: of the test]
    #[arg(long)]
    kills: Option<u32>,
    /// Row changes under the faults [default: 15,000 a fault; t4: 300,000 a round]
    #[arg(long)]
    changes: Option<u64>,
    /// What is random is drawn from it [default: the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// PostgreSQL's major release
    #[arg(long, default_value_t = 15)]
    pg: u16,
    /// Kafka brokers, 1 or 3
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    brokers: u8,
    /// The test fails if it takes longer [default: of the test]
    #[arg(long)]
    seconds: Option<u64>,
    /// Build cdcd with optimisations
    #[arg(long)]
    release: bool,
    /// t9: only the situations of this id, for instance B12
    #[arg(long, value_name = "ID")]
    only: Option<String>,
    /// A connector property of every capture, KEY=VALUE; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Test {
    /// The capture ends at each of its steps, before and after it, at rest and under load
    T4,
    /// kill -9 of the capture at random moments under load
    T5,
    /// Immediate restarts of PostgreSQL under load
    T6,
    /// Restarts of brokers under load, clean and kill -9
    T7,
    /// A second capture takes over from one that is stopped and wakes up again
    T8,
    /// Each guard scenario ends with its named error
    T9,
    /// The sink: kills, stolen channels, rebalances, HTTP faults, added partitions
    T11,
    /// A blocked broker, with wal_sender_timeout=2s
    T16,
    /// Network faults on both legs
    T17,
    /// cdcd from Debezium's offset and Debezium from cdcd's, in turn, under load
    Takeover,
}

/// Options with the defaults of the test.
#[derive(Debug, Clone)]
struct Options {
    kills: u32,
    changes: u64,
    seed: u64,
    pg: u16,
    brokers: u8,
    deadline: Instant,
    only: Option<String>,
    set: Vec<(String, String)>,
}

impl Test {
    fn name(self) -> &'static str {
        match self {
            Test::T4 => "t4",
            Test::T5 => "t5",
            Test::T6 => "t6",
            Test::T7 => "t7",
            Test::T8 => "t8",
            Test::T9 => "t9",
            Test::T11 => "t11",
            Test::T16 => "t16",
            Test::T17 => "t17",
            Test::Takeover => "takeover",
        }
    }

    /// Faults, and seconds until the test counts as stuck.
    fn defaults(self) -> (u32, u64) {
        match self {
            Test::T4 => (2, 900),
            Test::T5 => (50, 600),
            Test::T6 | Test::T7 => (20, 900),
            Test::T8 => (30, 900),
            Test::T9 => (1, 1_200),
            Test::T11 => (40, 900),
            Test::T16 => (1, 600),
            Test::T17 => (1, 1_200),
            Test::Takeover => (4, 900),
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if std::env::var_os(INNER).is_some() {
        return inner(args);
    }
    let (kills, seconds) = args.id.defaults();
    let seed = match args.seed {
        Some(seed) => seed,
        None => random::fresh_seed()?,
    };
    let kills = args.kills.unwrap_or(kills);
    // One fault of t4 is a round of all steps.
    let changes_a_fault = if args.id == Test::T4 { 300_000 } else { 15_000 };
    let changes = args.changes.unwrap_or(u64::from(kills) * changes_a_fault);
    // A fault may cost ten seconds on a busy machine, and a second must do for 4,000 changes.
    let seconds = args.seconds.unwrap_or(seconds.max(u64::from(kills) * 10 + changes / 4_000));
    let name = args.id.name();
    let again = format!(
        "cargo xtask chaos {name} --kills {kills} --changes {changes} --seed {seed} --pg {} --brokers {} --seconds \
         {seconds}{}{}{}",
        args.pg,
        args.brokers,
        if args.release { " --release" } else { "" },
        args.only.iter().map(|id| format!(" --only {id}")).collect::<String>(),
        args.set.iter().map(|pair| format!(" --set {pair}")).collect::<String>(),
    );
    say(&again);
    say("building cdcd and snowflake-emulator");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .args(["build", "--quiet", "--locked", "-p", "cdcd", "-p", "cdcd-snowflake-emulator"])
        .args(args.release.then_some("--release"))
        .args((args.id == Test::T4).then_some("--features=cdcd/failpoints"));
    ensure!(build.status().context("cargo")?.success(), "the build failed");
    let dir = services::state_dir_for(&format!("chaos-{name}"))?;
    let me = std::env::current_exe().context("finding this program")?;
    let words = again.split_ascii_whitespace().skip(2);
    let done = Command::new(me).args(words).env("CDCD_SERVICES_DIR", &dir).env(INNER, "1").status()?;
    ensure!(
        done.success(),
        "{name} failed; its logs are in {}; again with:\n{again}",
        dir.join("logs").display()
    );
    Ok(())
}

/// Runs the test in services that are new, and stops them whatever happens.
fn inner(args: &Args) -> Result<()> {
    let needed = |what: &str| format!("--{what}: is given by the outer process");
    let options = Options {
        kills: args.kills.with_context(|| needed("kills"))?,
        changes: args.changes.with_context(|| needed("changes"))?,
        seed: args.seed.with_context(|| needed("seed"))?,
        pg: args.pg,
        brokers: args.brokers,
        deadline: Instant::now() + Duration::from_secs(args.seconds.with_context(|| needed("seconds"))?),
        only: args.only.clone(),
        set: arena::pairs(&args.set)?,
    };
    for service in services::known()? {
        services::wipe(&service)?;
    }
    let binary = process::binary(args.release)?;
    let outcome = match args.id {
        Test::T4 => t4::run(&options, &binary),
        Test::T5 => t5::run(&options, &binary),
        Test::T6 => t6::run(&options, &binary),
        Test::T7 => t7::run(&options, &binary),
        Test::T8 => t8::run(&options, &binary),
        Test::T9 => t9::run(&options, &binary),
        Test::T11 => t11::run(&options, &binary),
        Test::T16 => t16::run(&options, &binary),
        Test::T17 => t17::run(&options, &binary),
        Test::Takeover => takeover::run(&options, &binary),
    };
    for service in services::known()? {
        // What a failure leaves behind is evidence; what a success leaves behind is gigabytes.
        let ended = if outcome.is_ok() { services::wipe(&service) } else { services::down(&service) };
        if let Err(error) = ended {
            eprintln!("chaos: {service}: {error:#}");
        }
    }
    outcome
}
