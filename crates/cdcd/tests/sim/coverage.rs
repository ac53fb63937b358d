//! What fired in how many seeds, and what the simulation does not reach.

use std::collections::BTreeMap;

use crate::world::Outcome;

/// Every class of fault, and every guard that one of them must end in.
const MUST_FIRE: &[&str] = &[
    "capture killed",
    "stopped in order",
    "stopped inside of a transaction",
    "capture paused",
    "second capture started",
    "predecessor evicted",
    "PostgreSQL crashed",
    "replication cut",
    "replication stalled",
    "server hung up",
    "large transaction",
    "killed as the stream starts",
    "second capture in a commit",
    "partitions away",
    "sinks died of a rejection",
    "transaction cut",
    "snapshot read",
    "snapshot continued",
    "snapshot interrupted in order",
    "Kafka away",
    "position topic's leader changed",
    "EndTxn reply lost",
    "EndTxn request lost",
    "EndTxn late",
    "unknown outcome",
    "transaction timed out",
    "request lost",
    "slot advanced by a stranger",
    "slot advanced before the start",
    "slot dropped",
    "slot made again",
    "slot invalidated",
    "slot of another plugin",
    "slot held by a stranger",
    "another server",
    "old primary",
    "recovered to a point in time",
    "old image of the server",
    "row filter changed",
    "topic made again",
    "positions lost",
    "position of another version",
    "transactions refused",
    "another Kafka cluster",
    "sink killed",
    "sink stopped in order",
    "sink paused",
    "group of two sinks",
    "channels invalidated",
    "Snowflake away",
    "Snowflake's answer lost",
    "partitions added",
    "ledger moved on",
    "end of the log asked for",
    "rows rejected",
    "log truncated",
    "retention passed the sink",
    "token overwritten",
    "table made again",
    "table unpublished",
    "publication changed",
    "publication dropped",
    "spool corrupt",
    "tokens went back",
    "channels forgotten",
    "channels contended for",
    "ledger contended for",
    "row inserted twice",
    "row lost in silence",
    "malformed record",
    "record of another table",
    "row too large",
    "request refused",
    "E_FENCED",
    "E_GAP_SLOT_AHEAD",
    "E_GAP_SLOT_LOST",
    "E_SLOT_MISSING",
    "E_SLOT_FOREIGN",
    "E_SLOT_ACTIVE",
    "E_DIVERGED",
    "E_TIMELINE",
    "E_SERVER_BEHIND",
    "E_TOPIC_RECREATED",
    "E_POSITION_MISSING",
    "E_CLUSTER_CHANGED",
    "E_POSITION_FORMAT",
    "E_GUARANTEE",
    "E_NONDETERMINISTIC_REPLAY",
    "E_SNAPSHOT_TRUNCATED",
    "E_NOT_COMMITTED (sink)",
    "E_TOPIC_TRUNCATED (sink)",
    "E_TOPIC_RECREATED (sink)",
    "E_RETENTION_GAP (sink)",
    "E_ROWS_REJECTED (sink)",
    "E_FOREIGN_TOKEN (sink)",
    "E_TABLE_RECREATED",
    "E_TABLE_UNPUBLISHED",
    "E_PUBLICATION_CHANGED",
    "E_PUBLICATION_HISTORY",
    "E_SPOOL_CORRUPT",
    "E_TOKEN_WENT_BACK (sink)",
    "E_CHANNEL_LOST (sink)",
    "E_LEDGER_CONFLICT (sink)",
    "E_ROW_COUNT (sink)",
    "E_MALFORMED_RECORD (sink)",
    "E_TABLE_CLASH (sink)",
    "E_ROW_TOO_LARGE (sink)",
    "E_DESTINATION (sink)",
];

/// Guards that lie outside of what the simulation drives, and the tests that provoke them instead: file, function.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    (
        "E_POSITION_OPEN",
        "src/capture/offsets.rs",
        "a_position_inside_of_a_transaction_or_a_snapshot_is_not_given_away",
    ),
    ("E_SPOOL_FULL", "tests/e2e/streamed.rs", "a_full_spool_stops_by_name_and_loses_nothing"),
    ("E_SPOOL_DISK", "tests/e2e/streamed.rs", "a_full_spool_stops_by_name_and_loses_nothing"),
];

/// Counts over many seeds.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) seeds: u64,
    pub(crate) events: u64,
    pub(crate) records: u64,
    pub(crate) fired: BTreeMap<String, u64>,
    pub(crate) violations: Vec<(u64, String)>,
}

impl Tally {
    pub(crate) fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.events += outcome.events;
        self.records += outcome.records;
        for name in outcome.fired {
            *self.fired.entry(name.to_owned()).or_default() += 1;
        }
        for name in outcome.guards {
            *self.fired.entry(name).or_default() += 1;
        }
        if let Some((checker, text)) = outcome.violation {
            self.violations.push((outcome.seed, format!("{checker}: {text}")));
        }
    }

    /// The table: what fired in which share of the seeds.
    pub(crate) fn print(&self, seconds: f64) {
        println!(
            "{} seeds of one simulated hour, {} events, {} records in {seconds:.1} s: {:.1} seeds/s",
            self.seeds,
            self.events,
            self.records,
            self.seeds as f64 / seconds
        );
        for (name, count) in &self.fired {
            println!("{name:<40} {:>6.2} %", *count as f64 * 100.0 / self.seeds as f64);
        }
        for (name, file, test) in ELSEWHERE {
            println!("{name:<40} not simulated: {file}: {test}");
        }
        for (seed, text) in self.violations.iter().take(20) {
            println!("seed {seed}: {text}");
        }
    }

    /// What must fire in at least one seed of a hundred, and did not.
    pub(crate) fn rare(&self) -> Vec<&'static str> {
        let share = |name: &str| self.fired.get(name).copied().unwrap_or(0) * 100;
        MUST_FIRE.iter().filter(|name| share(name) < self.seeds).copied().collect()
    }

    pub(crate) fn merge(&mut self, other: Tally) {
        self.seeds += other.seeds;
        self.events += other.events;
        self.records += other.records;
        for (name, count) in other.fired {
            *self.fired.entry(name).or_default() += count;
        }
        self.violations.extend(other.violations);
    }
}

/// Names of guards in a text.
fn names(text: &str, opens: &str) -> Vec<String> {
    let name = |rest: &str| {
        let end = rest.find(|c: char| !c.is_ascii_uppercase() && c != '_').unwrap_or(rest.len());
        format!("E_{}", &rest[..end])
    };
    text.split(&format!("{opens}E_")).skip(1).map(name).collect()
}

/// Sources of a crate that stands beside this one.
fn sources(folder: &std::path::Path, found: &mut String) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push_str(&std::fs::read_to_string(&path).expect("a source"));
        }
    }
}

#[test]
fn the_table_and_the_documents_name_every_guard() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = here.join("../../docs");
    let read = |path: &std::path::Path| std::fs::read_to_string(path).expect("a file");
    let documented = names(&(read(&docs.join("guarantees.md")) + &read(&docs.join("sink.md"))), "`");
    let mut text = String::new();
    for name in ["cdcd", "capture", "sink"] {
        sources(&here.join("..").join(name).join("src"), &mut text);
    }
    let simulated = MUST_FIRE.iter().map(|name| name.trim_end_matches(" (sink)"));
    let known: Vec<&str> = simulated.chain(ELSEWHERE.iter().map(|(name, ..)| *name)).collect();
    for name in names(&text, "\"") {
        assert!(known.contains(&name.as_str()), "{name} is neither in the table nor in a test that it names");
        assert!(documented.contains(&name), "{name} is not documented");
    }
    for name in documented {
        assert!(text.contains(&format!("\"{name}")), "{name} is documented, and nobody says it");
    }
    for (name, file, test) in ELSEWHERE {
        let text = read(&here.join(file));
        assert!(text.contains(&format!("fn {test}(")) && text.contains(name), "{name}: {file} has no {test}");
    }
}
