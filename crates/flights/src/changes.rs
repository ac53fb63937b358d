//! Reports turned into row changes: which operation on which table, by a mix of weights. Pure: nothing here knows a
//! database.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use anyhow::{Context as _, Result, bail, ensure};

use crate::random::Random;
use crate::simulator::{Event, EventKind, Report, Simulator};
use crate::state::StateVector;

/// After this silence contact counts as lost, s.
pub const LOST_SECONDS: i64 = 900;

/// One change of one row.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// INSERT into `flights`.
    Report(StateVector),
    /// INSERT into `flights_current`.
    Appear(StateVector),
    /// UPDATE of `flights_current`.
    Move(StateVector),
    /// DELETE from `flights_current`: contact was lost.
    Vanish(String),
    /// INSERT into `flight_events`.
    Event(Event),
    /// UPDATE of `aircraft`: one more landing.
    Landed(String),
}

/// Weights of the operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mix {
    /// New rows in `flights`.
    pub create: u32,
    /// Updates of `flights_current`.
    pub update: u32,
    /// Deletes from `flights_current`.
    pub delete: u32,
}

impl FromStr for Mix {
    type Err = anyhow::Error;

    /// `c:60,u:35,d:5`; an operation that is left out has weight 0.
    fn from_str(text: &str) -> Result<Self> {
        let mut mix = Self { create: 0, update: 0, delete: 0 };
        for part in text.split(',') {
            let (operation, weight) = part
                .split_once(':')
                .with_context(|| format!("mix {text:?}: want for instance c:60,u:35,d:5"))?;
            let weight: u32 =
                weight.trim().parse().with_context(|| format!("mix {text:?}: weight {weight:?}"))?;
            ensure!(weight <= 1_000_000, "mix {text:?}: weight {weight} is above 1000000");
            match operation.trim() {
                "c" => mix.create = weight,
                "u" => mix.update = weight,
                "d" => mix.delete = weight,
                other => bail!("mix {text:?}: operation {other:?} is none of c, u, d"),
            }
        }
        ensure!(
            mix.create + mix.update > 0,
            "mix {text:?}: c and u are both 0, so that nothing could be deleted"
        );
        Ok(mix)
    }
}

/// An endless sequence of transactions.
#[derive(Debug)]
pub struct Changes {
    simulator: Simulator,
    random: Random,
    mix: Mix,
    /// Aircraft with a row in `flights_current`, and the `last_contact` of that row.
    present: BTreeMap<String, i64>,
    /// The same by silence: the longest first.
    silent: BTreeSet<(i64, String)>,
}

impl Changes {
    /// Of this traffic; `present` is what `flights_current` already holds.
    pub fn new(seed: u64, simulator: Simulator, mix: Mix, present: BTreeMap<String, i64>) -> Self {
        let silent = present.iter().map(|(icao24, at)| (*at, icao24.clone())).collect();
        // A stream beside those of the aircraft.
        Self { simulator, random: Random::new(seed, u64::MAX - 1), mix, present, silent }
    }

    /// The traffic behind it.
    pub fn simulator(&self) -> &Simulator {
        &self.simulator
    }

    /// How many aircraft `flights_current` holds once everything so far is applied.
    pub fn present(&self) -> usize {
        self.present.len()
    }

    /// The next transaction: at least `rows` row changes, and a few more where they belong together.
    pub fn transaction(&mut self, rows: usize) -> Vec<Change> {
        let mut changes = Vec::with_capacity(rows + 4);
        while changes.len() < rows {
            self.step(&mut changes);
        }
        changes
    }

    /// A transaction of exactly `rows` new rows in `flights`.
    pub fn bulk(&mut self, rows: usize) -> Vec<Change> {
        (0..rows).map(|_| Change::Report(self.simulator.next_report().state)).collect()
    }

    fn step(&mut self, changes: &mut Vec<Change>) {
        let Mix { create, update, delete } = self.mix;
        let drawn = self.random.between(0, u64::from(create) + u64::from(update) + u64::from(delete));
        if drawn < u64::from(delete)
            && let Some((_, icao24)) = self.silent.pop_first()
        {
            self.present.remove(&icao24);
            changes.push(Change::Vanish(icao24));
            return;
        }
        let Report { state, events } = self.simulator.next_report();
        self.forget_lost(state.last_contact, changes);
        let is_update = (u64::from(delete)..u64::from(delete) + u64::from(update)).contains(&drawn);
        if !is_update {
            changes.push(Change::Report(state.clone()));
        }
        // What happened goes into one transaction with the state after it.
        if is_update || !events.is_empty() {
            changes.push(self.seen(state));
        }
        for event in events {
            if event.kind == EventKind::Landing {
                changes.push(Change::Landed(event.icao24.clone()));
            }
            changes.push(Change::Event(event));
        }
    }

    fn seen(&mut self, state: StateVector) -> Change {
        let (icao24, at) = (state.icao24.clone(), state.last_contact);
        let before = self.present.insert(icao24.clone(), at);
        if let Some(before) = before {
            self.silent.remove(&(before, icao24.clone()));
        }
        self.silent.insert((at, icao24));
        if before.is_some() { Change::Move(state) } else { Change::Appear(state) }
    }

    /// Deletes one aircraft that has been silent for too long; one per step, so that a transaction stays small.
    fn forget_lost(&mut self, now: i64, changes: &mut Vec<Change>) {
        let lost = self.silent.first().is_some_and(|(at, _)| now - at > LOST_SECONDS);
        if let Some((_, icao24)) = lost.then(|| self.silent.pop_first()).flatten() {
            self.present.remove(&icao24);
            changes.push(Change::Vanish(icao24));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(seed: u64) -> Changes {
        let mix = "c:60,u:35,d:5".parse().unwrap();
        Changes::new(seed, Simulator::new(seed, 100, 1_700_000_000), mix, BTreeMap::new())
    }

    #[test]
    fn mix_reads_and_refuses() {
        assert_eq!("c:60,u:35,d:5".parse::<Mix>().unwrap(), Mix { create: 60, update: 35, delete: 5 });
        assert_eq!("u:1".parse::<Mix>().unwrap(), Mix { create: 0, update: 1, delete: 0 });
        for (text, expect) in [("", "want"), ("x:1", "none of"), ("c:-1", "weight"), ("d:5", "both 0")] {
            let error = text.parse::<Mix>().unwrap_err().to_string();
            assert!(error.contains(expect), "{text}: {error}");
        }
    }

    #[test]
    fn equal_seeds_give_equal_transactions() {
        let (mut a, mut b) = (changes(9), changes(9));
        for rows in 1..200 {
            assert_eq!(a.transaction(rows), b.transaction(rows));
        }
    }

    #[test]
    fn operations_come_in_the_proportions_of_the_mix() {
        let mut changes = changes(11);
        let all = changes.transaction(100_000);
        let part =
            |holds: fn(&Change) -> bool| all.iter().filter(|change| holds(change)).count() as f64 / 1e5;
        let created = part(|change| matches!(change, Change::Report(_)));
        let updated = part(|change| matches!(change, Change::Move(_) | Change::Appear(_)));
        let deleted = part(|change| matches!(change, Change::Vanish(_)));
        assert!((created - 0.60).abs() < 0.02, "{created}");
        assert!((updated - 0.35).abs() < 0.02, "{updated}");
        assert!((deleted - 0.05).abs() < 0.01, "{deleted}");
    }

    #[test]
    fn each_row_is_inserted_before_it_is_updated_or_deleted() {
        let mut changes = changes(12);
        let mut rows = BTreeSet::new();
        for change in changes.transaction(50_000) {
            match change {
                Change::Appear(state) => assert!(rows.insert(state.icao24)),
                Change::Move(state) => assert!(rows.contains(&state.icao24)),
                Change::Vanish(icao24) => assert!(rows.remove(&icao24)),
                _ => {}
            }
        }
        assert_eq!(rows.len(), changes.present());
    }

    #[test]
    fn primary_key_of_flights_is_never_used_twice() {
        let mut changes = changes(13);
        let mut keys = BTreeSet::new();
        let all = changes.transaction(20_000).into_iter().chain(changes.bulk(20_000));
        for change in all {
            if let Change::Report(state) = change {
                assert!(keys.insert((state.icao24, state.last_contact)));
            }
        }
    }
}
