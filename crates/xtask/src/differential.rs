//! `cargo xtask differential`: the same SQL to real Debezium and to `cdcd capture`, then record against record.
//!
//! A case is a database with some scenarios and one set of connector options. Both sides get the same connector
//! file apart from name and slot, and write to a broker of their own, so that topics, keys, values, headers and
//! order must be equal byte for byte. [`compare`] lists what may not; [`deviations`] where we mean to differ.

mod compare;
pub(crate) mod connect;
pub(crate) use connect::Worker;
mod deviations;
mod fixtures;
pub(crate) use fixtures::{Args as FixtureArgs, run as record};
mod forms;
mod json;
mod mutate;
mod options;
mod random;
mod report;
mod scenario;
mod stage;
mod topics;
mod transforms;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use options::{OptionSet, Setting};
use report::Report;
use scenario::Scenario;
use stage::{Case, Opponent, Side, Stage};
use topics::Record;

/// A worker, two brokers and a server carry this many cases on two cores; more only wait for each other.
const JOBS_MAX: usize = 8;
/// Random workloads of a full sweep: with them it compares well over 100,000 events a release.
const SEEDS_FULL: std::ops::RangeInclusive<u64> = 1..=10;

/// What is run if nothing else is asked for: all scenarios, the option sets that touch every mode once.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Major release of PostgreSQL: 15 or 17
    #[arg(long, default_value_t = 15)]
    pg: u16,
    /// Another release of Debezium than the pinned one. With 3.7.0.Final, cdcd is told to write that release's events; with
    /// any other, differences are printed and are no failure
    #[arg(long, value_name = "RELEASE", conflicts_with = "mutate")]
    debezium: Option<String>,
    /// Only this scenario (a file in scenarios/, without .sql); repeatable
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// Only this option set, or "all"; repeatable
    #[arg(long, value_name = "NAME")]
    options: Vec<String>,
    /// A random workload from this seed on top of the scenarios; repeatable (--full: 1 to 10 unless given)
    #[arg(long, value_name = "N")]
    seed: Vec<u64>,
    /// All scenarios under the few option sets that touch every mode once
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// All scenarios under all option sets; a declared deviation that does not occur is then a failure
    #[arg(long)]
    full: bool,
    /// Compare Debezium with Debezium: nothing may differ
    #[arg(long)]
    control: bool,
    /// Change our records in many ways and see that each change is found
    #[arg(long)]
    mutate: bool,
    /// Do not drop the databases
    #[arg(long)]
    keep: bool,
    /// Print what Debezium wrote to the topics of this table (scenario.table); repeatable
    #[arg(long, value_name = "TABLE")]
    show: Vec<String>,
    /// Cases at a time
    #[arg(long, value_name = "N", default_value_t = 3)]
    jobs: usize,
    /// Differences to print per place
    #[arg(long, value_name = "N", default_value_t = 1)]
    examples: usize,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!([15, 17].contains(&args.pg), "--pg {}: want 15 or 17", args.pg);
    let began = Instant::now();
    let opponent = if args.control { Opponent::Control } else { Opponent::Ours };
    let mut scenarios = scenario::load()?;
    let seeds = seeds(args);
    scenarios.extend(seeds.iter().copied().map(random::scenario));
    let cases = cases(args, &scenarios)?;
    println!(
        "PostgreSQL {}, {} option sets, seeds {seeds:?}, {} cases",
        args.pg,
        option_sets(args)?.len(),
        cases.len()
    );
    let stage = Stage::start(args.pg, args.debezium.as_deref(), opponent, args.keep)?;
    let mut report = Report::new(args.examples, opponent, compat(args).is_some());
    let mut mutations = mutate::Tally::default();
    run_all(&stage, &cases, args.jobs, |case, sides, took| {
        show(&args.show, &sides[0].records);
        report.case(case, sides, took);
        if args.mutate {
            mutations.run(sides);
        }
    })?;
    println!("{}", report.render(began.elapsed(), opponent));
    if args.mutate {
        println!("{mutations}");
        ensure!(mutations.all_found(), "the comparer missed a change");
    }
    if let (Some(release), None) = (&args.debezium, compat(args)) {
        println!("Debezium {release} is not the pinned release: what differs is reported, and no failure");
        return Ok(());
    }
    if args.full && !args.control && args.debezium.is_none() {
        report.require_all_deviations(args.pg)?;
    }
    if !report.is_clean() {
        bail!("records differ");
    }
    Ok(())
}

/// Seeds of the random workloads.
fn seeds(args: &Args) -> Vec<u64> {
    if args.seed.is_empty() && args.full { SEEDS_FULL.collect() } else { args.seed.clone() }
}

/// What the reference wrote, in full.
fn show(tables: &[String], records: &[Record]) {
    for record in
        records.iter().filter(|record| tables.iter().any(|table| record.topic.ends_with(table.as_str())))
    {
        let text = |bytes: &Option<Vec<u8>>| {
            bytes.as_deref().map_or("(null)".into(), String::from_utf8_lossy).into_owned()
        };
        println!(
            "{}/{}\n  key   {}\n  value {}",
            record.topic,
            record.partition,
            text(&record.key),
            text(&record.value)
        );
    }
}

/// Runs the cases, some at a time (most of a case is waiting), and judges each as it ends; the first error ends all.
fn run_all<'a>(
    stage: &Stage,
    cases: &'a [Case<'a>],
    jobs: usize,
    mut judge: impl FnMut(&'a Case<'a>, &[Side; 2], Duration),
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let (done, results) = mpsc::sync_channel(jobs);
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, JOBS_MAX) {
            let (next, done) = (&next, done.clone());
            scope.spawn(move || {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let started = Instant::now();
                    let sides = stage.run(case).with_context(|| format!("case {}", case.name));
                    if done.send((case, sides, started.elapsed())).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        for (case, sides, took) in results {
            match sides {
                Ok(sides) => judge(case, &sides, took),
                Err(error) => {
                    // No more cases; those that run come to their end.
                    next.store(cases.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(())
    })
}

/// Scenarios that share options share a database; those with options of their own run under the default only.
fn cases<'a>(args: &Args, scenarios: &'a [Scenario]) -> Result<Vec<Case<'a>>> {
    let wanted = |scenario: &&Scenario| {
        args.scenario.is_empty()
            || args.scenario.contains(&scenario.name)
            || scenario.name.starts_with("seed_")
    };
    for name in &args.scenario {
        ensure!(scenarios.iter().any(|scenario| &scenario.name == name), "--scenario {name}: there is none");
    }
    let sets = option_sets(args)?;
    let chosen: Vec<&Scenario> = scenarios.iter().filter(wanted).collect();
    let mut cases = Vec::new();
    for set in &sets {
        let shared: Vec<&Scenario> = chosen
            .iter()
            .copied()
            .filter(|scenario| !scenario.alone && set.is_for(&scenario.name))
            .filter(|scenario| scenario.runs(args.pg, &set.settings))
            .collect();
        if !shared.is_empty() {
            cases.push(case(set.name.clone(), shared, &set.settings, &[]));
        }
    }
    let with_alone = args.options.is_empty() || !args.scenario.is_empty();
    for scenario in chosen.iter().copied().filter(|scenario| with_alone && scenario.alone) {
        for set in &sets {
            let is_meant = set.name == "default" || set.only.contains(&scenario.name);
            let is_chosen = is_meant || !args.options.is_empty();
            if is_chosen && set.is_for(&scenario.name) && scenario.runs(args.pg, &set.settings) {
                let name = format!("{}/{}", scenario.name, set.name);
                cases.push(case(name, vec![scenario], &set.settings, &scenario.set));
            }
        }
    }
    ensure!(!cases.is_empty(), "no scenario runs on PostgreSQL {} under these options", args.pg);
    Ok(cases)
}

/// Values that a mode cannot hold are compared as null; the default, which stops, has a scenario of its own.
fn case<'a>(name: String, scenarios: Vec<&'a Scenario>, set: &[Setting], own: &[Setting]) -> Case<'a> {
    let mut settings = vec![Setting::new("event.converting.failure.handling.mode", "warn")];
    for setting in set.iter().chain(own) {
        settings.retain(|earlier| earlier.key != setting.key);
        // An empty value takes a property away.
        if !setting.value.is_empty() {
            settings.push(setting.clone());
        }
    }
    Case { name, scenarios, settings, streams: true }
}

/// The release whose events `cdcd` can be told to write instead of the pinned one's.
fn compat(args: &Args) -> Option<&str> {
    args.debezium.as_deref().filter(|release| release.starts_with("3.7.")).map(|_| "3.7")
}

fn option_sets(args: &Args) -> Result<Vec<OptionSet>> {
    let mut sets = chosen_sets(args)?;
    if let Some(release) = compat(args) {
        if args.options.is_empty() {
            sets.extend(options::of_3_7());
        }
        // Debezium does not look at it.
        let settings = sets.iter_mut().map(|set| &mut set.settings);
        settings.for_each(|settings| settings.push(Setting::new("cdcd.compat.version", release)));
    }
    Ok(sets)
}

fn chosen_sets(args: &Args) -> Result<Vec<OptionSet>> {
    let known = options::full();
    let quick = options::quick();
    let by_name: Vec<OptionSet> = options::by_name().into_iter().chain(options::of_3_7()).collect();
    if args.options.is_empty() {
        return Ok(if args.full { known } else { quick });
    }
    if args.options.iter().any(|name| name == "all") {
        return Ok(known);
    }
    let find =
        |name: &String| known.iter().chain(&quick).chain(&by_name).find(|set| &set.name == name).cloned();
    let names: Vec<&str> = known.iter().chain(&quick).chain(&by_name).map(|set| set.name.as_str()).collect();
    args.options
        .iter()
        .map(|name| {
            find(name).ok_or_else(|| anyhow::anyhow!("--options {name}: want one of {}", names.join(", ")))
        })
        .collect()
}
