//! What a comparison found, and how it is printed.

use std::fmt::Write as _;

use cdcd_pgoutput::Lsn;
use serde_json::{Value, json};

use super::cell::Cell;
use super::key::Key;
use super::table::SourceTable;

/// Differences that are listed for each table; all of them are counted.
const LISTED_MAX: usize = 20;

/// How a key differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// In the source, not in the destination.
    Missing,
    /// In the destination, not in the source.
    Extra,
    /// Columns with both values; `None` for a value that the destination never got.
    Different(Vec<(String, Cell, Option<Cell>)>),
    /// The log is right, and the merged row is not what the log says.
    Stale,
}

/// A key that differs.
#[derive(Debug, Clone)]
pub(super) struct Difference {
    key: String,
    kind: Kind,
}

impl Difference {
    pub(super) fn new(table: &SourceTable, key: &Key, kind: Kind) -> Self {
        let parts: Vec<String> = table
            .key_columns()
            .zip(key)
            .map(|(column, text)| format!("{}={}", column.name, readable(column.family, text)))
            .collect();
        Difference { key: parts.join(", "), kind }
    }
}

/// Days and microseconds as people write them.
fn readable(family: super::cell::Family, text: &str) -> String {
    use super::cell::Family;
    use cdcd_debezium::event::value::{iso_date, iso_time, iso_timestamp};
    let date = || iso_date(text.parse().ok()?);
    let time = || iso_time(text.parse::<i64>().ok()?.checked_mul(1_000)?);
    let stamp = || iso_timestamp(text.parse::<i128>().ok()?.checked_mul(1_000)?);
    let shown = match family {
        Family::Date => date(),
        Family::Time => time(),
        Family::Timestamp | Family::Instant => stamp(),
        _ => None,
    };
    shown.unwrap_or_else(|| text.to_owned())
}

/// One chunk of keys.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub(super) rows_source: u64,
    pub(super) rows_destination: u64,
    pub(super) hash_source: String,
    pub(super) hash_destination: String,
}

/// One table.
#[derive(Debug, Clone)]
pub(super) struct TableReport {
    name: String,
    base: String,
    pub(super) rows_source: u64,
    pub(super) rows_destination: u64,
    pub(super) chunks: Vec<Chunk>,
    missing: u64,
    extra: u64,
    different: u64,
    listed: Vec<Difference>,
    skipped: Vec<String>,
    /// There are more differences than were looked at again.
    pub(super) is_cut: bool,
    obstacle: Option<String>,
}

impl TableReport {
    pub(super) fn new(table: &SourceTable) -> Self {
        TableReport {
            name: table.full_name(),
            base: table.base.clone(),
            rows_source: 0,
            rows_destination: 0,
            chunks: Vec::new(),
            missing: 0,
            extra: 0,
            different: 0,
            listed: Vec::new(),
            skipped: table.skipped.clone(),
            is_cut: false,
            obstacle: None,
        }
    }

    /// A table that was not compared.
    pub(super) fn not_compared(table: &SourceTable, why: String) -> Self {
        TableReport { obstacle: Some(why), ..TableReport::new(table) }
    }

    pub(super) fn add(&mut self, difference: Difference) {
        match difference.kind {
            Kind::Missing => self.missing += 1,
            Kind::Extra => self.extra += 1,
            Kind::Different(_) | Kind::Stale => self.different += 1,
        }
        if self.listed.len() < LISTED_MAX {
            self.listed.push(difference);
        }
    }

    fn differences(&self) -> u64 {
        self.missing + self.extra + self.different
    }

    fn verdict(&self) -> &'static str {
        match (&self.obstacle, self.differences()) {
            (Some(_), _) => "NOT COMPARED",
            (None, 0) => "agree",
            (None, _) => "DIFFER",
        }
    }
}

/// All tables.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) fence: Lsn,
    pub(super) tables: Vec<TableReport>,
    pub(super) seconds: f64,
    /// Whether values of differing columns are shown, besides their names.
    pub(super) shows_values: bool,
}

impl Report {
    /// Rows that differ, in all tables.
    pub(super) fn differences(&self) -> u64 {
        self.tables.iter().map(TableReport::differences).sum()
    }

    /// Tables that were not compared, with the reason.
    pub(super) fn obstacles(&self) -> Vec<String> {
        let told = |table: &TableReport| table.obstacle.as_ref().map(|why| format!("{}: {why}", table.name));
        self.tables.iter().filter_map(told).collect()
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let heads = [
            "table",
            "destination",
            "rows source",
            "rows destination",
            "missing",
            "extra",
            "different",
            "verdict",
        ];
        let mut lines: Vec<Vec<String>> = vec![heads.iter().map(|head| (*head).to_owned()).collect()];
        for table in &self.tables {
            let numbers =
                [table.rows_source, table.rows_destination, table.missing, table.extra, table.different];
            let mut line = vec![table.name.clone(), table.base.clone()];
            line.extend(numbers.iter().map(u64::to_string));
            line.push(table.verdict().to_owned());
            lines.push(line);
        }
        let width =
            |at: usize| lines.iter().filter_map(|line| line.get(at)).map(String::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..heads.len()).map(width).collect();
        for line in &lines {
            for (at, (cell, width)) in line.iter().zip(&widths).enumerate() {
                // Numbers to the right, words to the left.
                match at {
                    2..=6 => push(&mut text, format_args!("{cell:>width$}  ")),
                    _ => push(&mut text, format_args!("{cell:width$}  ")),
                }
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        for table in &self.tables {
            self.details(table, &mut text);
        }
        push(&mut text, format_args!("compared at LSN {} in {:.1} s\n", self.fence, self.seconds));
        text
    }

    fn details(&self, table: &TableReport, text: &mut String) {
        if let Some(why) = &table.obstacle {
            push(text, format_args!("{}: not compared: {why}\n", table.name));
        }
        if !table.skipped.is_empty() && table.obstacle.is_none() {
            push(text, format_args!("{}: columns not compared: {}\n", table.name, table.skipped.join(", ")));
        }
        for Difference { key, kind } in &table.listed {
            let what = match kind {
                Kind::Missing => "missing in the destination".to_owned(),
                Kind::Extra => "not in the source".to_owned(),
                Kind::Stale => "the merged row is not what its log says".to_owned(),
                Kind::Different(columns) => {
                    let one = |(name, source, found): &(String, Cell, Option<Cell>)| match self.shows_values {
                        true => format!(
                            "{name} (source {}, destination {})",
                            shown(Some(source)),
                            shown(found.as_ref())
                        ),
                        false => name.clone(),
                    };
                    format!("differs in {}", columns.iter().map(one).collect::<Vec<_>>().join(", "))
                }
            };
            push(text, format_args!("{}: {key}: {what}\n", table.name));
        }
        let hidden = table.differences().saturating_sub(table.listed.len() as u64);
        if hidden > 0 {
            push(text, format_args!("{}: and {hidden} more\n", table.name));
        }
        if table.is_cut {
            push(text, format_args!("{}: at least; the rest was not looked at row by row\n", table.name));
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "fence": self.fence.to_string(),
            "verdict": if self.differences() == 0 { "agree" } else { "differ" },
            "tables": self.tables.iter().map(|table| self.table_json(table)).collect::<Vec<_>>(),
        })
    }

    fn table_json(&self, table: &TableReport) -> Value {
        let chunk = |chunk: &Chunk| {
            json!({
                "rows_source": chunk.rows_source,
                "rows_destination": chunk.rows_destination,
                "hash_source": chunk.hash_source,
                "hash_destination": chunk.hash_destination,
            })
        };
        json!({
            "table": table.name,
            "destination": table.base,
            "verdict": table.verdict().to_lowercase(),
            "not_compared": table.obstacle,
            "rows_source": table.rows_source,
            "rows_destination": table.rows_destination,
            "missing": table.missing,
            "extra": table.extra,
            "different": table.different,
            "columns_not_compared": table.skipped,
            "chunks": table.chunks.iter().map(chunk).collect::<Vec<_>>(),
            "differences": table.listed.iter().map(|one| self.difference_json(one)).collect::<Vec<_>>(),
        })
    }

    fn difference_json(&self, difference: &Difference) -> Value {
        let kind = match &difference.kind {
            Kind::Missing => "missing",
            Kind::Extra => "extra",
            Kind::Different(_) => "different",
            Kind::Stale => "stale",
        };
        let column = |(name, source, found): &(String, Cell, Option<Cell>)| match self.shows_values {
            true => {
                json!({ "name": name, "source": source.text(), "destination": found.as_ref().and_then(Cell::text) })
            }
            false => json!({ "name": name }),
        };
        let columns = match &difference.kind {
            Kind::Different(columns) => columns.iter().map(column).collect(),
            _ => Vec::new(),
        };
        json!({ "key": difference.key, "kind": kind, "columns": columns })
    }
}

fn shown(cell: Option<&Cell>) -> &str {
    match cell {
        None => "never sent",
        Some(cell) => cell.text().unwrap_or("NULL"),
    }
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let written = text.write_fmt(arguments);
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}
