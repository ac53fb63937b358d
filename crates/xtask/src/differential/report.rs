//! Counts verdicts, sorts differences into declared and undeclared ones, and prints both.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, bail};

use super::compare::{Difference, Judged, Normalised, Verdict, compare};
use super::deviations::{self, DEVIATIONS};
use super::stage::{Case, Opponent, Side};

/// Longest excerpt of a value in the report.
const EXCERPT_CHARS: usize = 300;

#[derive(Default)]
struct Place {
    count: u64,
    examples: Vec<String>,
}

#[derive(Default)]
pub(super) struct Report {
    examples_max: usize,
    opponent: Option<Opponent>,
    /// Whether we write Debezium 3.7's events.
    newer: bool,
    cases: u64,
    identical: u64,
    normalised: u64,
    kinds: BTreeMap<Normalised, u64>,
    declared: BTreeMap<&'static str, u64>,
    declared_records: u64,
    different: u64,
    missing: u64,
    extra: u64,
    stopped: u64,
    places: BTreeMap<(String, String), Place>,
}

impl Report {
    pub(super) fn new(examples_max: usize, opponent: Opponent, newer: bool) -> Self {
        Report { examples_max, opponent: Some(opponent), newer, ..Report::default() }
    }

    pub(super) fn case(&mut self, case: &Case<'_>, sides: &[Side; 2], took: Duration) {
        let before = (self.different, self.missing, self.extra, self.stopped, self.declared_records);
        self.cases += 1;
        let [left, right] = sides;
        let mut stopped = false;
        for (side, path) in [(left, "stop.debezium"), (right, "stop.ours")] {
            let Some(why) = &side.stopped else { continue };
            let as_the_other = stopped && self.opponent == Some(Opponent::Control);
            stopped = true;
            // Where Debezium stops, so does Debezium.
            if as_the_other {
                continue;
            }
            let names: Vec<&str> = case.scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
            let (left, right) =
                if path == "stop.ours" { ("runs", why.as_str()) } else { (why.as_str(), "runs") };
            let difference = Difference {
                path: path.to_owned(),
                left: left.to_owned(),
                right: right.to_owned(),
                is_snapshot: false,
            };
            if !self.declare(&names.join("+"), &difference) {
                self.stopped += 1;
                self.note(&case.name, &names.join("+"), &difference);
            }
        }
        // What a stopped side did not write says nothing.
        if !stopped {
            for judged in compare(&left.records, &right.records) {
                self.record(&case.name, judged);
            }
        }
        println!(
            "{:<40} {:>6} records {:>5} declared {:>5} different {:>4} missing {:>4} extra {:>2} stopped {:>5.1} s",
            case.name,
            left.records.len(),
            self.declared_records - before.4,
            self.different - before.0,
            self.missing - before.1,
            self.extra - before.2,
            self.stopped - before.3,
            took.as_secs_f64()
        );
    }

    fn record(&mut self, case: &str, judged: Judged) {
        // The first part of a topic is the case's own prefix; one option set has another delimiter.
        let table = judged.topic.split_once(['.', '-']).map_or("", |(_, table)| table).replace('-', ".");
        let (path, text) = match judged.verdict {
            Verdict::Identical => {
                self.identical += 1;
                return;
            }
            Verdict::Normalised(kinds) => {
                self.normalised += 1;
                for kind in kinds {
                    *self.kinds.entry(kind).or_default() += 1;
                }
                return;
            }
            Verdict::Different(differences) => return self.differences(case, &table, &differences),
            Verdict::Missing(name) => ("missing", name),
            Verdict::Extra(name) => ("extra", name),
        };
        let operation = text.split(' ').next().unwrap_or_default();
        let (left, right) =
            if path == "missing" { (text.clone(), String::new()) } else { (String::new(), text.clone()) };
        let is_snapshot = operation == "r";
        let difference = Difference { path: format!("{path}.{operation}"), left, right, is_snapshot };
        if self.declare(&table, &difference) {
            self.declared_records += 1;
            return;
        }
        *(if path == "missing" { &mut self.missing } else { &mut self.extra }) += 1;
        self.note(case, &table, &difference);
    }

    fn differences(&mut self, case: &str, table: &str, differences: &[Difference]) {
        let undeclared: Vec<&Difference> =
            differences.iter().filter(|difference| !self.declare(table, difference)).collect();
        if undeclared.is_empty() {
            self.declared_records += 1;
            return;
        }
        self.different += 1;
        for difference in undeclared {
            self.note(case, table, difference);
        }
    }

    fn declare(&mut self, table: &str, difference: &Difference) -> bool {
        let Some(deviation) = deviations::find(table, difference, self.newer) else { return false };
        *self.declared.entry(deviation.id).or_default() += 1;
        true
    }

    fn note(&mut self, case: &str, table: &str, difference: &Difference) {
        let examples_max = self.examples_max;
        let place = self.places.entry((table.to_owned(), difference.path.clone())).or_default();
        place.count += 1;
        if place.examples.len() < examples_max {
            let (left, right) = excerpts(&difference.left, &difference.right);
            place.examples.push(format!("    in {case}\n      debezium  {left}\n      other     {right}"));
        }
    }

    pub(super) fn is_clean(&self) -> bool {
        self.different + self.missing + self.extra + self.stopped == 0
    }

    /// A deviation that no scenario meets any more is a line to take out of the table.
    pub(super) fn require_all_deviations(&self, major: u16) -> Result<()> {
        let all: BTreeSet<&str> = DEVIATIONS.iter().map(|deviation| deviation.id).collect();
        let idle: Vec<&str> = all.into_iter().filter(|id| !self.declared.contains_key(id)).collect();
        match idle.is_empty() {
            true => Ok(()),
            false => bail!("declared, but never met on PostgreSQL {major}: {}", idle.join(", ")),
        }
    }

    pub(super) fn render(&self, took: Duration, opponent: Opponent) -> String {
        let mut text = String::new();
        for ((table, path), place) in &self.places {
            let _ = write!(text, "{table}  {path}  ({} times)\n{}\n", place.count, place.examples.join("\n"));
        }
        for (id, count) in &self.declared {
            let reason = deviations::declared(true)
                .find(|deviation| deviation.id == *id)
                .map_or("", |found| found.reason);
            let _ = writeln!(text, "declared {id} ({count} times): {reason}");
        }
        for (kind, count) in &self.kinds {
            let _ = writeln!(text, "normalised {kind:?}: {count} records");
        }
        let who = if opponent == Opponent::Control { "debezium" } else { "cdcd" };
        let _ = write!(
            text,
            "debezium against {who}: {} cases, {} identical, {} equal after normalisation, {} declared, \
             {} different, {} missing, {} extra, {} stopped, in {:.0} s",
            self.cases,
            self.identical,
            self.normalised,
            self.declared_records,
            self.different,
            self.missing,
            self.extra,
            self.stopped,
            took.as_secs_f64()
        );
        text
    }
}

/// Both values, cut to where they begin to differ if they are long.
fn excerpts(left: &str, right: &str) -> (String, String) {
    let same = left.chars().zip(right.chars()).take_while(|(a, b)| a == b).count();
    let skip = if left.chars().count().max(right.chars().count()) > EXCERPT_CHARS {
        same.saturating_sub(60)
    } else {
        0
    };
    let cut = |text: &str| {
        let dots = if skip > 0 { "…" } else { "" };
        let rest: String = text.chars().skip(skip).take(EXCERPT_CHARS).collect();
        format!("{dots}{rest}")
    };
    (cut(left), cut(right))
}
