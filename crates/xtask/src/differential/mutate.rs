//! Changes records in every way that matters and counts which changes the comparer does not find.

use std::fmt;

use super::compare::{Verdict, compare, same_float};
use super::json::Json;
use super::stage::Side;
use super::topics::Record;

/// Records of one topic that are changed: the first of each kind is what matters, the rest repeats it.
const RECORDS_PER_TOPIC_MAX: usize = 6;
/// About so many bytes of a key or value are changed, and so many of its members: others in each record.
const PLACES_PER_PART: usize = 100;

#[derive(Debug, Default)]
pub(super) struct Tally {
    tried: u64,
    missed: Vec<String>,
    /// Counts the records, so that each is changed at other places.
    turn: usize,
}

impl Tally {
    /// Both sides hold the second side's records, one of them changed.
    pub(super) fn run(&mut self, sides: &[Side; 2]) {
        let [_, side] = sides;
        let mut topics: Vec<&str> = side.records.iter().map(|record| record.topic.as_str()).collect();
        // Topics take turns: each is looked at once.
        topics.sort_unstable();
        topics.dedup();
        for topic in topics {
            let records: Vec<Record> = side
                .records
                .iter()
                .filter(|record| record.topic == topic)
                .take(RECORDS_PER_TOPIC_MAX)
                .cloned()
                .collect();
            self.lists(&records);
            for index in 0..records.len() {
                self.record(&records, index);
            }
        }
    }

    /// Drop, repeat and swap records.
    fn lists(&mut self, records: &[Record]) {
        for index in 0..records.len() {
            let mut changed = records.to_vec();
            changed.remove(index);
            self.check(records, &changed, "dropped");
            let mut changed = records.to_vec();
            changed.insert(index, records[index].clone());
            self.check(records, &changed, "repeated");
            if index > 0 && records[index] != records[index - 1] {
                let mut changed = records.to_vec();
                changed.swap(index, index - 1);
                self.check(records, &changed, "swapped");
            }
        }
    }

    fn record(&mut self, records: &[Record], index: usize) {
        let original = &records[index];
        self.turn += 1;
        let turn = self.turn;
        let mut change = |what: String, changed: Record| {
            let mut list = records.to_vec();
            list[index] = changed;
            self.check(records, &list, &what);
        };
        change("partition".to_owned(), Record { partition: original.partition + 1, ..original.clone() });
        change("topic".to_owned(), Record { topic: format!("{}x", original.topic), ..original.clone() });
        let key = original.key.is_none().then(|| b"null".to_vec());
        change("key null".to_owned(), Record { key, ..original.clone() });
        let value = original.value.is_none().then(|| b"null".to_vec());
        change("value null".to_owned(), Record { value, ..original.clone() });
        for header in 0..original.headers.len() {
            let mut changed = original.clone();
            changed.headers.remove(header);
            change("header dropped".to_owned(), changed);
            let mut changed = original.clone();
            changed.headers[header].1 = Some(b"other".to_vec());
            change("header changed".to_owned(), changed);
            if header > 0 {
                let mut changed = original.clone();
                changed.headers.swap(header, header - 1);
                change("headers swapped".to_owned(), changed);
            }
        }
        for (part, bytes) in [("key", &original.key), ("value", &original.value)] {
            let Some(bytes) = bytes else { continue };
            let with = |bytes: Vec<u8>| match part {
                "key" => Record { key: Some(bytes), ..original.clone() },
                _ => Record { value: Some(bytes), ..original.clone() },
            };
            // Single bytes: all of a short record, a spread over a long one.
            let step = bytes.len() / PLACES_PER_PART + 1;
            for at in (turn % step..bytes.len()).step_by(step).filter(|at| !is_clock(bytes, *at)) {
                let mut changed = bytes.clone();
                changed[at] ^= 0x01;
                // Two texts of one float are no difference.
                if same_float(number(bytes, at), number(&changed, at)) {
                    continue;
                }
                change(format!("{part} byte {at} of {}", bytes.len()), with(changed));
            }
            if let Ok(json) = Json::parse(bytes) {
                let mut seen = turn;
                let mut each = |mutant: Mutant<'_>| {
                    if seen.is_multiple_of(step) {
                        let (path, mutant) = mutant();
                        change(format!("{part} {path}"), with(mutant.text().into_bytes()));
                    }
                    seen += 1;
                };
                mutants(&json, &mut String::new(), &mut each, &|json| json);
            }
        }
    }

    fn check(&mut self, left: &[Record], right: &[Record], what: &str) {
        self.tried += 1;
        let found = compare(left, right).iter().any(|judged| {
            matches!(judged.verdict, Verdict::Different(_) | Verdict::Missing(_) | Verdict::Extra(_))
        });
        if !found {
            let topic = left.first().map_or("", |record| record.topic.as_str());
            self.missed.push(format!("{topic}: {what}"));
        }
    }

    pub(super) fn all_found(&self) -> bool {
        self.tried > 0 && self.missed.is_empty()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for missed in self.missed.iter().take(20) {
            writeln!(f, "not found: {missed}")?;
        }
        let found = self.tried - self.missed.len() as u64;
        write!(f, "mutations: {found} of {} found", self.tried)
    }
}

/// The number that the byte is part of.
fn number(bytes: &[u8], at: usize) -> &str {
    let is_part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    let start = bytes[..at].iter().rposition(|byte| !is_part(byte)).map_or(0, |before| before + 1);
    let end = bytes[at..].iter().position(|byte| !is_part(byte)).map_or(bytes.len(), |length| at + length);
    std::str::from_utf8(bytes.get(start..end).unwrap_or_default()).unwrap_or_default()
}

/// Whether the byte stands in what two runs need not have in common: the last three members of an envelope,
/// and what tells the moment of a snapshot.
fn is_clock(bytes: &[u8], at: usize) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let tail = text.rfind("\"op\":").unwrap_or(text.len());
    let digits = bytes.get(at).is_some_and(u8::is_ascii_digit);
    let in_source = text.rfind("\"source\":{\"version\"").is_some_and(|start| at > start);
    digits && (at > tail || text.contains("\"op\":\"r\"") && in_source || is_unwrapped_clock(bytes, at))
}

/// The same in a row that `ExtractNewRecordState` made, whose fields are called `__ts_ms` and, of a snapshot, `__lsn`.
fn is_unwrapped_clock(bytes: &[u8], at: usize) -> bool {
    let is_in_number = |byte: &u8| byte.is_ascii_digit();
    let start = bytes[..at].iter().rposition(|byte| !is_in_number(byte)).map_or(0, |before| before + 1);
    let before = String::from_utf8_lossy(&bytes[..start]);
    let of_snapshot = bytes.windows(10).any(|part| part == br#""__op":"r""#);
    let in_sequence = before.rsplit_once("\"__sequence\":").is_some_and(|(_, text)| !text.contains(']'));
    if of_snapshot && in_sequence {
        return true;
    }
    let Some(name) = before.strip_suffix("\":").and_then(|text| text.rsplit('"').next()) else {
        return false;
    };
    match name.strip_prefix("__") {
        Some("ts_ms" | "ts_us" | "ts_ns") => true,
        Some("lsn" | "txId" | "source_lsn" | "source_txId" | "source_ts_ms") => of_snapshot,
        _ => false,
    }
}

type Members = Vec<(String, Json)>;

/// A document that differs from another, and where; made when it is asked for, as making one copies all of it.
type Mutant<'a> = &'a dyn Fn() -> (String, Json);

/// Every document that differs from this one by one member or element: taken away, renamed, changed or moved.
fn mutants(json: &Json, path: &mut String, emit: &mut impl FnMut(Mutant<'_>), wrap: &dyn Fn(Json) -> Json) {
    match json {
        Json::Object(members) => {
            let changed = |change: &dyn Fn(&mut Members)| {
                let mut members = members.clone();
                change(&mut members);
                wrap(Json::Object(members))
            };
            for (index, (name, value)) in members.iter().enumerate() {
                emit(&|| (format!("{path}.{name} taken away"), changed(&|all| drop(all.remove(index)))));
                emit(&|| (format!("{path}.{name} renamed"), changed(&|all| all[index].0.push('x'))));
                if index > 0 && !path.rsplit('.').next().is_some_and(|name| name.starts_with("hs")) {
                    emit(&|| (format!("{path}.{name} moved"), changed(&|all| all.swap(index, index - 1))));
                }
                let length = path.len();
                path.push('.');
                path.push_str(name);
                mutants(value, path, emit, &|inner| changed(&|all| all[index].1 = inner.clone()));
                path.truncate(length);
            }
        }
        Json::Array(items) => {
            let changed = |change: &dyn Fn(&mut Vec<Json>)| {
                let mut items = items.clone();
                change(&mut items);
                wrap(Json::Array(items))
            };
            for (index, item) in items.iter().enumerate() {
                emit(&|| (format!("{path}[{index}] taken away"), changed(&|all| drop(all.remove(index)))));
                mutants(item, path, emit, &|inner| changed(&|all| all[index] = inner.clone()));
            }
        }
        Json::Null => emit(&|| (format!("{path} not null"), wrap(Json::Bool(false)))),
        Json::Bool(value) => emit(&|| (format!("{path} other"), wrap(Json::Bool(!value)))),
        Json::Number(text) => emit(&|| (format!("{path} as text"), wrap(Json::String(text.clone())))),
        Json::String(text) => emit(&|| (format!("{path} longer"), wrap(Json::String(format!("{text}x"))))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_clocks_need_not_be_the_same() {
        let at = |text: &str, part: &str| is_clock(text.as_bytes(), text.find(part).unwrap());
        let row =
            r#"{"payload":{"id":12,"__op":"r","__ts_ms":345,"__lsn":678,"__sequence":"[null,\\"9\\"]"}}"#;
        assert!(at(row, "45") && at(row, "678") && at(row, "9") && !at(row, "12") && !at(row, "ts_ms"));
        let streamed = row.replace("\"r\"", "\"c\"");
        assert!(at(&streamed, "45") && !at(&streamed, "678") && !at(&streamed, "9"));
        let event =
            r#"{"payload":{"after":{"id":12},"source":{"version":"3","lsn":678},"op":"c","ts_ms":345}}"#;
        assert!(at(event, "45") && !at(event, "678") && !at(event, "12"));
    }

    #[test]
    fn every_member_is_changed_once_in_each_way() {
        let json = Json::parse(br#"{"a":1,"b":[true,null]}"#).unwrap();
        let mut seen = Vec::new();
        mutants(&json, &mut String::new(), &mut |mutant| seen.push(mutant().1.text()), &|json| json);
        assert_eq!(seen.len(), 10);
        assert!(seen.contains(&r#"{"a":1,"b":[false,null]}"#.to_owned()) && !seen.contains(&json.text()));
    }
}
