//! What the comparison found, and how it is printed.

use std::fmt::Write as _;

use cdcd_kafka::scan::Partition;
use cdcd_pgoutput::Lsn;
use serde_json::{Value, json};

use super::compare::{Example, Findings, Kind};
use super::event::Op;

/// One captured table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableCounts {
    pub(super) name: String,
    pub(super) topic: String,
    /// Records that the log demands, by operation.
    pub(super) expected: [u64; Op::ALL.len()],
    /// Records that the topic holds.
    pub(super) read: [u64; Op::ALL.len()],
}

/// The whole result.
#[derive(Debug)]
pub(super) struct Report {
    /// What the log was read through.
    pub(super) slot: String,
    pub(super) from: Lsn,
    pub(super) fence: Lsn,
    pub(super) transactions: u64,
    pub(super) tables: Vec<TableCounts>,
    pub(super) partitions: Vec<Partition>,
    pub(super) snapshot: u64,
    pub(super) outside: [u64; 2],
    pub(super) lineages: Option<(u32, u32)>,
    pub(super) findings: Findings,
    pub(super) seconds: f64,
}

impl Report {
    fn sum(&self, side: impl Fn(&TableCounts) -> &[u64; Op::ALL.len()]) -> u64 {
        self.tables.iter().map(|table| side(table).iter().sum::<u64>()).sum()
    }

    pub(super) fn expected(&self) -> u64 {
        self.sum(|table| &table.expected)
    }

    pub(super) fn read(&self) -> u64 {
        self.sum(|table| &table.read)
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |what: String| {
            text.push_str(&what);
            text.push('\n');
        };
        line(format!("log      {} to {} through slot {}", self.from, self.fence, self.slot));
        line(format!(
            "demands  {} records of {} transactions in {} tables",
            self.expected(),
            self.transactions,
            self.tables.len()
        ));
        let [before, behind] = self.outside;
        line(format!(
            "topics   {} records in {} partitions; besides {} rows of snapshots, {before} before the log, {behind} behind",
            self.read(),
            self.partitions.len(),
            self.snapshot
        ));
        for table in &self.tables {
            line(format!("  {:<30} {}", table.name, operations(table)));
        }
        if let Some((low, high)) = self.lineages.filter(|(_, high)| *high > 0) {
            line(format!("lineage  {low} to {high}: a discontinuity was accepted"));
        }
        let counts: Vec<String> = Kind::ALL
            .into_iter()
            .map(|kind| format!("{} {}", self.findings.count(kind), kind.word().replace('_', " ")))
            .collect();
        line(format!("found    {}", counts.join(", ")));
        for example in &self.findings.examples {
            line(format!("  {}", self.example(example)));
        }
        let verdict =
            if self.findings.total() == 0 { "topics and log agree" } else { "topics and log DIFFER" };
        line(format!("{verdict} ({:.1} s)", self.seconds));
        text
    }

    fn place(&self, place: (u16, u32)) -> Option<(&str, i32, i64)> {
        let (partition, offset) = place;
        let found = self.partitions.get(usize::from(partition))?;
        Some((&found.topic, found.partition, found.low + i64::from(offset)))
    }

    fn example(&self, example: &Example) -> String {
        let mut text = format!("{} {} {}", example.kind.word(), example.op.word(), example.id);
        if let Some((topic, partition, offset)) = example.place.and_then(|place| self.place(place)) {
            let written = write!(text, " at {topic}-{partition} offset {offset}");
            debug_assert!(written.is_ok(), "writing to a String cannot fail");
        }
        if let Some(table) = example.table.and_then(|table| self.tables.get(usize::from(table))) {
            let written = write!(text, " of {}", table.name);
            debug_assert!(written.is_ok(), "writing to a String cannot fail");
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        let by_op = |counts: &[u64; Op::ALL.len()]| -> Value {
            let pairs =
                Op::ALL.into_iter().zip(counts).filter(|(op, count)| *op != Op::Unknown || **count > 0);
            pairs
                .map(|(op, count)| (op.word().to_owned(), json!(count)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        let tables: Vec<Value> = self
            .tables
            .iter()
            .map(|table| {
                json!({ "table": table.name, "topic": table.topic, "expected": by_op(&table.expected),
                    "read": by_op(&table.read) })
            })
            .collect();
        let found: serde_json::Map<String, Value> = Kind::ALL
            .into_iter()
            .map(|kind| (kind.word().to_owned(), json!(self.findings.count(kind))))
            .collect();
        let examples: Vec<Value> = self.findings.examples.iter().map(|one| self.example_json(one)).collect();
        json!({
            "slot": self.slot,
            "from": self.from.to_string(),
            "fence": self.fence.to_string(),
            "transactions": self.transactions,
            "expected": self.expected(),
            "read": self.read(),
            "partitions": self.partitions.len(),
            "snapshot_rows": self.snapshot,
            "before": self.outside.first(),
            "behind": self.outside.last(),
            "lineage_max": self.lineages.map(|(_, high)| high),
            "tables": tables,
            "found": found,
            "examples": examples,
            "agrees": self.findings.total() == 0,
            "seconds": self.seconds,
        })
    }

    fn example_json(&self, example: &Example) -> Value {
        let place = example.place.and_then(|place| self.place(place));
        json!({
            "kind": example.kind.word(),
            "operation": example.op.word(),
            "eid": example.id.to_string(),
            "table": example.table.and_then(|table| self.tables.get(usize::from(table))).map(|table| &table.name),
            "topic": place.map(|(topic, ..)| topic),
            "partition": place.map(|(_, partition, _)| partition),
            "offset": place.map(|(.., offset)| offset),
        })
    }
}

/// `create 10/10, update 2/2`: demanded and read.
fn operations(table: &TableCounts) -> String {
    let pairs = Op::ALL.into_iter().zip(table.expected.iter().zip(&table.read));
    let shown: Vec<String> = pairs
        .filter(|(_, (expected, read))| **expected + **read > 0)
        .map(|(op, (expected, read))| format!("{} {read} of {expected}", op.word()))
        .collect();
    if shown.is_empty() { "no changes".to_owned() } else { shown.join(", ") }
}
