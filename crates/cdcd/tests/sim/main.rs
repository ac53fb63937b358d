//! The deterministic simulation: the real cores and decisions against models of PostgreSQL, Kafka and Snowflake.

mod bugs;
mod capture_node;
mod checkers;
mod faults;
mod kafka;
mod postgres;
mod settings;
mod sink_node;
mod snowflake;
mod time;
mod world;

use world::Tally;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs seeds on so many threads, one world each.
fn run_seeds(first: u64, count: u64, threads: u64) -> Tally {
    let next = std::sync::atomic::AtomicU64::new(first);
    let work = || {
        let mut tally = Tally::default();
        loop {
            let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if seed >= first + count {
                return tally;
            }
            tally.add(world::run(seed, None));
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
    let began = std::time::Instant::now();
    let mut tally = run_seeds(first, count, number("SIM_THREADS", 2));
    let seconds = began.elapsed().as_secs_f64();
    tally.violations.sort();
    tally.print(seconds);
    if let Some((seed, _)) = tally.violations.first() {
        println!("last steps of seed {seed}:");
        for line in world::last_steps(*seed, None, 60) {
            println!("{line}");
        }
    }
    assert!(tally.violations.is_empty(), "{} seeds violate a rule", tally.violations.len());
}

#[test]
fn every_seeded_bug_is_found() {
    let mut missed = Vec::new();
    for bug in bugs::ALL {
        let most = number("SIM_BUG_SEEDS", 2000);
        let found = (1..=most).find_map(|seed| Some((seed, world::run(seed, Some(*bug)).violation?)));
        match found {
            Some((seed, (checker, text))) => println!("{bug:?}: seed {seed}: {checker}: {text}"),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
