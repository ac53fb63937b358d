//! The deterministic simulation: the real cores and decisions against models of PostgreSQL, Kafka and Snowflake.

mod bugs;
mod capture_node;
mod checkers;
mod conformance;
mod coverage;
mod endings;
mod faults;
mod kafka;
mod postgres;
mod settings;
mod sink_node;
mod snowflake;
mod streaming;
mod time;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use bugs::Bug;
use coverage::Tally;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs seeds on so many threads, one world each, for at most so many seconds.
fn run_seeds(first: u64, count: u64, threads: u64, seconds: u64) -> Tally {
    let began = Instant::now();
    let next = AtomicU64::new(first);
    let work = || {
        let mut tally = Tally::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count || began.elapsed().as_secs() >= seconds {
                return tally;
            }
            tally.add(world::run(seed, None, &[]));
        }
    };
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        let mut all = Tally::default();
        for handle in handles {
            all.merge(handle.join().expect("a world does not panic"));
        }
        all
    })
}

#[test]
fn no_seed_violates_a_rule() {
    let (first, count) = (number("SIM_SEED", 1), number("SIM_SEEDS", 300));
    let began = Instant::now();
    let mut tally = run_seeds(first, count, number("SIM_THREADS", 2), number("SIM_SECONDS", 25));
    let seconds = began.elapsed().as_secs_f64();
    tally.violations.sort();
    tally.print(seconds);
    if let Some((seed, _)) = tally.violations.first() {
        println!("last steps of seed {seed}:");
        for line in world::last_steps(*seed, None, number("SIM_STEPS", 60) as usize) {
            println!("{line}");
        }
    }
    assert!(tally.seeds > 0, "no seed was run");
    assert!(tally.violations.is_empty(), "{} seeds violate a rule", tally.violations.len());
    if number("SIM_SHARES", 0) == 1 {
        let rare = tally.rare();
        assert!(rare.is_empty(), "fired in less than 1 % of the seeds: {rare:?}");
    }
}

/// The first seed that finds a bug, and what it says. Without a focus as in the seeds that run without bugs.
fn seeds_to_find(bug: Bug, most: u64, focused: bool) -> Option<(u64, String)> {
    let focus = if focused { bug.focus() } else { &[] };
    (1..=most).find_map(|seed| {
        let (checker, text) = world::run(seed, Some(bug), focus).violation?;
        // It must be the bug that shows, and nothing else.
        let is_right = world::run(seed, None, focus).violation.is_none();
        is_right.then(|| (seed, format!("{checker}: {text}")))
    })
}

#[test]
fn every_seeded_bug_is_found() {
    let most = number("SIM_BUG_SEEDS", 2_000);
    let focused = number("SIM_BUG_FOCUS", 1) == 1;
    let next = AtomicUsize::new(0);
    let missed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..number("SIM_THREADS", 2) {
            scope.spawn(|| {
                while let Some(bug) = bugs::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match seeds_to_find(*bug, most, focused) {
                        Some((seeds, text)) => println!("{bug:?}: seed {seeds}: {text}"),
                        None => missed.lock().expect("no thread panics").push(bug),
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().expect("no thread panics");
    assert!(missed.is_empty(), "not found in {most} seeds: {missed:?}");
}
