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

#[test]
fn no_seed_violates_a_rule() {
    let (first, count) = (number("SIM_SEED", 1), number("SIM_SEEDS", 300));
    let mut tally = Tally::default();
    let began = std::time::Instant::now();
    for seed in first..first + count {
        tally.add(world::run(seed, None));
    }
    println!(
        "{} seeds {} events {} records in {:?}",
        tally.seeds,
        tally.events,
        tally.records,
        began.elapsed()
    );
    for (name, count) in &tally.fired {
        println!("{name:<40} {:>6.1} %", *count as f64 * 100.0 / tally.seeds as f64);
    }
    for (seed, text) in tally.violations.iter().take(12) {
        println!("seed {seed}: {text}");
    }
    if let Some((seed, _)) = tally.violations.first() {
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
