//! Compares the records of two sides, byte for byte first, then without what no two runs have in common.
//!
//! What may differ is listed in [`Normalised`]; everything else is a difference with a path.

use std::collections::{BTreeMap, BTreeSet};

use super::json::Json;
use super::topics::Record;

/// What is equal although its bytes are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Normalised {
    /// The connector's clock: `ts_ms`, `ts_us`, `ts_ns` of the envelope.
    Clock,
    /// The moment at which a side began its snapshot: `lsn`, `txId`, `sequence`, `ts_*` of an `r` event's source.
    SnapshotMoment,
    /// The id of a run in a header.
    RunId,
    /// Order of an hstore's keys (columns that are called `hs…`).
    HstoreOrder,
    /// Digits of a float: the same number, printed by another JDK.
    FloatText,
    /// Order of the tables of a transaction, which comes out of a hash map.
    CollectionOrder,
}

/// One place where two records differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) path: String,
    pub(super) left: String,
    pub(super) right: String,
    /// Of a snapshot's event.
    pub(super) is_snapshot: bool,
}

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Identical,
    Normalised(BTreeSet<Normalised>),
    Different(Vec<Difference>),
    /// The left side has it, the right side has not.
    Missing(String),
    /// The right side has it, the left side has not.
    Extra(String),
}

/// A verdict with the topic that it is about.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    pub(super) topic: String,
    pub(super) verdict: Verdict,
}

/// Compares all records; both lists are in order of topic, partition and offset.
pub(super) fn compare(left: &[Record], right: &[Record]) -> Vec<Judged> {
    let (left, right) = (by_topic(left), by_topic(right));
    let topics: BTreeSet<&str> = left.keys().chain(right.keys()).copied().collect();
    let none = Vec::new();
    let mut judged = Vec::new();
    for topic in topics {
        let pairs = align(left.get(topic).unwrap_or(&none), right.get(topic).unwrap_or(&none));
        judged.extend(pairs.into_iter().map(|pair| Judged { topic: topic.to_owned(), verdict: judge(pair) }));
    }
    judged
}

fn by_topic(records: &[Record]) -> BTreeMap<&str, Vec<&Record>> {
    let mut topics: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in records {
        topics.entry(&record.topic).or_default().push(record);
    }
    topics
}

type Pair<'a> = (Option<&'a Record>, Option<&'a Record>);

/// Pairs records by place. If the numbers differ, by what they are about: the longest common subsequence.
fn align<'a>(left: &[&'a Record], right: &[&'a Record]) -> Vec<Pair<'a>> {
    if left.len() == right.len() {
        return left.iter().zip(right).map(|(l, r)| (Some(*l), Some(*r))).collect();
    }
    let (ids_left, ids_right): (Vec<_>, Vec<_>) =
        (left.iter().map(|r| identity(r)).collect(), right.iter().map(|r| identity(r)).collect());
    let width = right.len() + 1;
    let mut table = vec![0u32; (left.len() + 1) * width];
    let at = |table: &[u32], l: usize, r: usize| table.get(l * width + r).copied().unwrap_or(0);
    for l in (0..left.len()).rev() {
        for r in (0..right.len()).rev() {
            let best = match ids_left.get(l) == ids_right.get(r) {
                true => at(&table, l + 1, r + 1) + 1,
                false => at(&table, l + 1, r).max(at(&table, l, r + 1)),
            };
            if let Some(cell) = table.get_mut(l * width + r) {
                *cell = best;
            }
        }
    }
    let (mut l, mut r, mut pairs) = (0, 0, Vec::new());
    while l < left.len() || r < right.len() {
        let (a, b) = (left.get(l).copied(), right.get(r).copied());
        if a.is_some() && b.is_some() && ids_left.get(l) == ids_right.get(r) {
            pairs.push((a, b));
            (l, r) = (l + 1, r + 1);
        } else if b.is_none() || a.is_some() && at(&table, l + 1, r) >= at(&table, l, r + 1) {
            pairs.push((a, None));
            l += 1;
        } else {
            pairs.push((None, b));
            r += 1;
        }
    }
    pairs
}

/// What a record is about: partition, key, operation, and for streamed events the place in the log.
fn identity(record: &Record) -> (i32, Option<&[u8]>, String) {
    let value = record.value.as_deref().and_then(|value| Json::parse(value).ok());
    let about = value.as_ref().map(|value| {
        let payload = payload(value);
        let lsn = payload.get("source").and_then(|source| source.get("lsn")).map(Json::text);
        let op = payload.get("op").and_then(Json::as_str).unwrap_or("?");
        if op == "r" { "r".to_owned() } else { format!("{op} {}", lsn.unwrap_or_default()) }
    });
    (record.partition, record.key.as_deref(), about.unwrap_or_else(|| "tombstone".to_owned()))
}

fn judge(pair: Pair<'_>) -> Verdict {
    match pair {
        (Some(left), Some(right)) => judge_both(left, right),
        (Some(left), None) => Verdict::Missing(name(left)),
        (None, Some(right)) => Verdict::Extra(name(right)),
        (None, None) => Verdict::Identical,
    }
}

/// A record in few words, for reports.
fn name(record: &Record) -> String {
    let (_, key, about) = identity(record);
    format!("{about} {}", key.map_or("(no key)".into(), String::from_utf8_lossy))
}

fn judge_both(left: &Record, right: &Record) -> Verdict {
    if left == right {
        return Verdict::Identical;
    }
    let mut walk = Walk {
        is_snapshot: of_snapshot(left) && of_snapshot(right),
        is_tombstone: left.value.is_none() && right.value.is_none(),
        ..Walk::default()
    };
    if left.partition != right.partition {
        walk.differ("partition", &left.partition.to_string(), &right.partition.to_string());
    }
    if left.timestamp_ms != right.timestamp_ms {
        let text = |at: Option<i64>| at.map_or("(the clock's)".to_owned(), |at| at.to_string());
        walk.differ("timestamp", &text(left.timestamp_ms), &text(right.timestamp_ms));
    }
    walk.document("key", left.key.as_deref(), right.key.as_deref());
    walk.document("value", left.value.as_deref(), right.value.as_deref());
    walk.headers(&left.headers, &right.headers);
    if walk.differences.is_empty() {
        Verdict::Normalised(walk.normalised)
    } else {
        Verdict::Different(walk.differences)
    }
}

#[derive(Default)]
struct Walk {
    is_snapshot: bool,
    is_tombstone: bool,
    normalised: BTreeSet<Normalised>,
    differences: Vec<Difference>,
}

impl Walk {
    fn differ(&mut self, path: &str, left: &str, right: &str) {
        let (left, right) = (left.to_owned(), right.to_owned());
        let is_snapshot = self.is_snapshot;
        self.differences.push(Difference { path: path.to_owned(), left, right, is_snapshot });
    }

    fn document(&mut self, part: &str, left: Option<&[u8]>, right: Option<&[u8]>) {
        let text = |bytes: Option<&[u8]>| bytes.map_or("(null)".into(), String::from_utf8_lossy).into_owned();
        if left == right {
            return;
        }
        let (Some(left_bytes), Some(right_bytes)) = (left, right) else {
            return self.differ(part, &text(left), &text(right));
        };
        match (Json::parse(left_bytes), Json::parse(right_bytes)) {
            (Ok(a), Ok(b)) => {
                match has_schema(&a) || has_schema(&b) {
                    true => self.json(part, &a, &b),
                    false => self.json(&format!("{part}.payload"), &a, &b),
                }
                // Blanks between tokens are in no tree.
                let is_compact = |json: &Json, bytes: &[u8]| json.text().as_bytes() == bytes;
                if is_compact(&a, left_bytes) != is_compact(&b, right_bytes) {
                    self.differ(&format!("{part}.text"), &text(left), &text(right));
                }
            }
            _ => self.differ(part, &text(left), &text(right)),
        }
    }

    fn json(&mut self, path: &str, left: &Json, right: &Json) {
        if left == right {
            return;
        }
        match (left, right) {
            (Json::Object(a), Json::Object(b)) => self.object(path, a, b),
            (Json::Array(a), Json::Array(b)) => self.array(path, a, b),
            _ => match self.may_differ(path, left, right) {
                Some(kind) => {
                    self.normalised.insert(kind);
                }
                None => self.differ(path, &left.text(), &right.text()),
            },
        }
    }

    fn object(&mut self, path: &str, left: &[(String, Json)], right: &[(String, Json)]) {
        let find = |members: &[(String, Json)], name: &str| {
            members.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
        };
        for (name, value) in left {
            let path = format!("{path}.{name}");
            match find(right, name) {
                Some(other) => self.json(&path, value, &other),
                None => self.differ(&path, &value.text(), "(absent)"),
            }
        }
        for (name, value) in right.iter().filter(|(name, _)| find(left, name).is_none()) {
            self.differ(&format!("{path}.{name}"), "(absent)", &value.text());
        }
        let names =
            |members: &[(String, Json)]| members.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
        let (names_left, names_right) = (names(left), names(right));
        let (sorted_left, sorted_right) = (sorted(&names_left), sorted(&names_right));
        if names_left != names_right && sorted_left == sorted_right {
            if is_hstore(path) {
                self.normalised.insert(Normalised::HstoreOrder);
            } else {
                self.differ(&format!("{path}.(order)"), &names_left.join(","), &names_right.join(","));
            }
        }
    }

    /// Fields of a schema are compared by their names, everything else by its place.
    fn array(&mut self, path: &str, left: &[Json], right: &[Json]) {
        let field = |json: &Json| json.get("field").and_then(Json::as_str).map(str::to_owned);
        let named = |items: &[Json]| -> Option<Vec<(String, Json)>> {
            items.iter().map(|item| Some((field(item)?, item.clone()))).collect()
        };
        if let (Some(left), Some(right)) = (named(left), named(right)) {
            return self.object(path, &left, &right);
        }
        if path == "value.payload.data_collections" {
            let texts = |items: &[Json]| {
                let mut texts: Vec<String> = items.iter().map(Json::text).collect();
                texts.sort();
                texts
            };
            if texts(left) == texts(right) {
                self.normalised.insert(Normalised::CollectionOrder);
                return;
            }
        }
        if left.len() != right.len() {
            let text = |items: &[Json]| Json::Array(items.to_vec()).text();
            return self.differ(path, &text(left), &text(right));
        }
        for (index, (left, right)) in left.iter().zip(right).enumerate() {
            self.json(&format!("{path}[{index}]"), left, right);
        }
    }

    fn headers(&mut self, left: &[(String, Option<Vec<u8>>)], right: &[(String, Option<Vec<u8>>)]) {
        let names = |headers: &[(String, Option<Vec<u8>>)]| {
            headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>().join(",")
        };
        if names(left) != names(right) {
            let path = if self.is_tombstone { "tombstone.headers" } else { "headers" };
            return self.differ(path, &names(left), &names(right));
        }
        for ((name, a), (_, b)) in left.iter().zip(right) {
            let text = |value: &Option<Vec<u8>>| {
                value.as_deref().map_or("(null)".into(), String::from_utf8_lossy).into_owned()
            };
            let (a, b) = (text(a), text(b));
            if a == b {
            } else if name == "__debezium.context.runId" && is_run_id(&a) && is_run_id(&b) {
                self.normalised.insert(Normalised::RunId);
            } else if let (Ok(left), Ok(right)) = (Json::parse(a.as_bytes()), Json::parse(b.as_bytes()))
                && self.is_moment(name, &left, &right)
            {
                self.normalised.insert(Normalised::SnapshotMoment);
            } else {
                self.differ(&format!("headers.{name}"), &a, &b);
            }
        }
    }

    /// A header with a clock or a snapshot's moment in it, and nothing else that differs.
    fn is_moment(&self, name: &str, left: &Json, right: &Json) -> bool {
        let mut inner = Walk { is_snapshot: self.is_snapshot, ..Walk::default() };
        inner.json(&format!("value.payload.{name}"), left, right);
        let moments = BTreeSet::from([Normalised::Clock, Normalised::SnapshotMoment]);
        inner.differences.is_empty() && inner.normalised.is_subset(&moments)
    }

    fn may_differ(&self, path: &str, left: &Json, right: &Json) -> Option<Normalised> {
        if let Some(field) = path.strip_prefix("value.payload.") {
            let field = canonical(field);
            let same_length = |a: &str, b: &str| a.len() == b.len() && is_integer(a) && is_integer(b);
            match (field.as_str(), left, right) {
                ("ts_ms" | "ts_us" | "ts_ns", Json::Number(a), Json::Number(b)) if same_length(a, b) => {
                    return Some(Normalised::Clock);
                }
                ("source.ts_ms" | "source.ts_us" | "source.ts_ns", Json::Number(a), Json::Number(b))
                    if self.is_snapshot && same_length(a, b) =>
                {
                    return Some(Normalised::SnapshotMoment);
                }
                ("source.lsn" | "source.txId", Json::Number(a), Json::Number(b))
                    if self.is_snapshot && is_integer(a) && is_integer(b) =>
                {
                    return Some(Normalised::SnapshotMoment);
                }
                ("source.sequence", Json::String(a), Json::String(b))
                    if self.is_snapshot && without_digits(a) == without_digits(b) =>
                {
                    return Some(Normalised::SnapshotMoment);
                }
                _ => {}
            }
        }
        match (left, right) {
            (Json::Number(a), Json::Number(b)) if same_float(a, b) => Some(Normalised::FloatText),
            (Json::String(_), Json::String(_)) if is_hstore(path) && same_members(left, right) => {
                Some(Normalised::HstoreOrder)
            }
            _ => None,
        }
    }
}

/// Whether the schema stands beside the value, as JsonConverter puts it, or its id, as [`super::forms`] does; a row
/// may have a column that is called payload.
fn has_schema(json: &Json) -> bool {
    let schema = json.get("schema").or_else(|| json.get("schemaId"));
    schema.is_some() && json.get("payload").is_some()
}

fn payload(json: &Json) -> &Json {
    json.get("payload").filter(|_| has_schema(json)).unwrap_or(json)
}

/// The field of the envelope that `ExtractNewRecordState` and `Flatten` make this one of.
fn canonical(field: &str) -> String {
    let field = field.trim_start_matches("__");
    match field {
        "lsn" | "txId" | "sequence" => format!("source.{field}"),
        _ => match field.strip_prefix("source_") {
            Some(inner) => format!("source.{inner}"),
            None => field.to_owned(),
        },
    }
}

/// Whether it is of a snapshot's event: the operation stands in the value, or in a header if it was put there.
fn of_snapshot(record: &Record) -> bool {
    let value = record.value.as_deref().and_then(|value| Json::parse(value).ok());
    let operation = |value: &Json| {
        let payload = payload(value);
        ["op", "__op", "what"].iter().any(|name| payload.get(name).and_then(Json::as_str) == Some("r"))
    };
    let is_read = |(name, value): &(String, Option<Vec<u8>>)| {
        matches!(name.as_str(), "op" | "__op" | "____what") && value.as_deref() == Some(b"r")
    };
    value.as_ref().is_some_and(operation) || record.headers.iter().any(is_read)
}

fn sorted(names: &[String]) -> Vec<&String> {
    let mut names: Vec<&String> = names.iter().collect();
    names.sort();
    names
}

/// Columns that hold hstore are called so in the scenarios.
fn is_hstore(path: &str) -> bool {
    path.contains(".payload.") && path.rsplit('.').next().is_some_and(|name| name.starts_with("hs"))
}

/// Both are texts of JSON objects with the same members in another order.
fn same_members(left: &Json, right: &Json) -> bool {
    let members = |text: &Json| match Json::parse(text.decoded()?.as_bytes()) {
        Ok(Json::Object(mut members)) => {
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Some(members)
        }
        _ => None,
    };
    members(left).is_some_and(|left| Some(left) == members(right))
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn without_digits(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// A version 7 UUID's shape.
fn is_run_id(text: &str) -> bool {
    let parts: Vec<usize> = text.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12]
        && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
        && text.as_bytes().get(14) == Some(&b'7')
}

/// Both are floats and the same number: as doubles, or (with the few digits of a float) as floats.
pub(super) fn same_float(left: &str, right: &str) -> bool {
    let float = |text: &str| text.contains(['.', 'E']);
    if !float(left) || !float(right) {
        return false;
    }
    let (Ok(a), Ok(b)) = (left.parse::<f64>(), right.parse::<f64>()) else { return false };
    let short = |text: &str| {
        let mantissa = text.split('E').next().unwrap_or_default();
        mantissa.bytes().filter(u8::is_ascii_digit).count() <= 10
    };
    a.to_bits() == b.to_bits()
        || short(left) && short(right) && (a as f32).to_bits() == (b as f32).to_bits() && a != 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"before":null,"after":{"id":1,"f":1.0E-7,"hs":"{\"a\":\"1\",\"b\":null}"},"source":{"lsn":5,"txId":7,"sequence":"[null,\"5\"]","ts_ms":10},"op":"OP","ts_ms":123,"ts_us":123456}"#;

    fn record(op: &str, change: impl Fn(String) -> String) -> Record {
        let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
        Record {
            topic: "p.s.t".to_owned(),
            partition: 0,
            key: Some(br#"{"id":1}"#.to_vec()),
            value: Some(change(EVENT.replace("OP", op)).into_bytes()),
            headers: vec![
                header("__debezium.context.taskId", "0"),
                header("__debezium.context.runId", "019ab3c4-0000-7000-8000-000000000001"),
            ],
            timestamp_ms: None,
        }
    }

    fn verdict(left: &Record, right: &Record) -> Verdict {
        judge_both(left, right)
    }

    fn paths(left: &Record, right: &Record) -> Vec<String> {
        match verdict(left, right) {
            Verdict::Different(differences) => differences.into_iter().map(|found| found.path).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn clocks_and_run_ids_may_differ() {
        let left = record("c", |event| event);
        let mut right = record("c", |event| event.replace("\"ts_ms\":123,", "\"ts_ms\":124,"));
        right.headers[1].1 = Some(b"019ab3c4-0000-7000-8000-000000000002".to_vec());
        let expected = BTreeSet::from([Normalised::Clock, Normalised::RunId]);
        assert_eq!(verdict(&left, &right), Verdict::Normalised(expected));
        right.headers[1].1 = Some(b"not an id".to_vec());
        assert_eq!(paths(&left, &right), ["headers.__debezium.context.runId"]);
        assert_eq!(verdict(&left, &left.clone()), Verdict::Identical);
    }

    #[test]
    fn a_timestamp_from_the_data_is_compared() {
        let left = Record { timestamp_ms: Some(1), ..record("c", |event| event) };
        let right = Record { timestamp_ms: None, ..left.clone() };
        assert_eq!(paths(&left, &right), ["timestamp"]);
    }

    #[test]
    fn a_column_that_is_called_payload_is_no_envelope() {
        let row =
            |ts: &str| format!(r#"{{"id":1,"payload":{{"a":1}},"__op":"c","__ts_ms":{ts}}}"#).into_bytes();
        let left = Record { value: Some(row("5")), ..record("c", |event| event) };
        let right = Record { value: Some(row("6")), ..left.clone() };
        assert_eq!(verdict(&left, &right), Verdict::Normalised(BTreeSet::from([Normalised::Clock])));
        let other = Record {
            value: Some(row("7").iter().map(|b| if *b == b'c' { b'u' } else { *b }).collect()),
            ..left.clone()
        };
        assert_eq!(paths(&left, &other), ["value.payload.__op"]);
    }

    #[test]
    fn unwrapped_fields_and_headers_may_have_the_moment_of_a_snapshot() {
        let row = |op: &str, lsn: &str| {
            Some(format!(r#"{{"id":1,"__op":"{op}","__source_lsn":{lsn}}}"#).into_bytes())
        };
        let with = |op: &str, lsn: &str| {
            let header = ("__lsn".to_owned(), Some(lsn.as_bytes().to_vec()));
            Record { value: row(op, lsn), headers: vec![header], ..record("c", |event| event) }
        };
        let expected = BTreeSet::from([Normalised::SnapshotMoment]);
        assert_eq!(verdict(&with("r", "5"), &with("r", "6")), Verdict::Normalised(expected));
        assert_eq!(paths(&with("c", "5"), &with("c", "6")), ["value.payload.__source_lsn", "headers.__lsn"]);
    }

    #[test]
    fn places_in_the_log_may_differ_in_a_snapshot_only() {
        let moved = |event: String| event.replace("\"lsn\":5", "\"lsn\":6").replace("\\\"5\\\"", "\\\"6\\\"");
        let expected = BTreeSet::from([Normalised::SnapshotMoment]);
        let (left, right) = (record("r", |event| event), record("r", moved));
        assert_eq!(verdict(&left, &right), Verdict::Normalised(expected));
        let (left, right) = (record("c", |event| event), record("c", moved));
        assert_eq!(paths(&left, &right), ["value.payload.source.lsn", "value.payload.source.sequence"]);
    }

    #[test]
    fn the_same_float_and_the_same_hstore_may_be_printed_otherwise() {
        let left = record("c", |event| event);
        let right = record("c", |event| event.replace("1.0E-7", "1.00E-7"));
        assert_eq!(verdict(&left, &right), Verdict::Normalised(BTreeSet::from([Normalised::FloatText])));
        let right = record("c", |event| event.replace("1.0E-7", "1.1E-7"));
        assert_eq!(paths(&left, &right), ["value.payload.after.f"]);
        let other_order = r#"{\"b\":null,\"a\":\"1\"}"#;
        let right = record("c", |event| event.replace(r#"{\"a\":\"1\",\"b\":null}"#, other_order));
        assert_eq!(verdict(&left, &right), Verdict::Normalised(BTreeSet::from([Normalised::HstoreOrder])));
        let right = record("c", |event| event.replace(r#"\"b\":null"#, r#"\"b\":\"2\""#));
        assert_eq!(paths(&left, &right), ["value.payload.after.hs"]);
    }

    #[test]
    fn the_tables_of_a_transaction_may_come_in_any_order() {
        let end = |tables: &str| Record {
            value: Some(format!(r#"{{"status":"END","data_collections":[{tables}]}}"#).into_bytes()),
            ..record("c", |event| event)
        };
        let (a, b) =
            (r#"{"data_collection":"s.a","event_count":1}"#, r#"{"data_collection":"s.b","event_count":2}"#);
        let (left, right) = (end(&format!("{a},{b}")), end(&format!("{b},{a}")));
        assert_eq!(
            verdict(&left, &right),
            Verdict::Normalised(BTreeSet::from([Normalised::CollectionOrder]))
        );
        let right = end(&format!("{b},{}", a.replace('1', "3")));
        assert!(matches!(verdict(&left, &right), Verdict::Different(_)));
    }

    #[test]
    fn order_blanks_and_absent_members_are_differences() {
        let left = record("c", |event| event);
        let right = record("c", |event| event.replace("\"lsn\":5,\"txId\":7", "\"txId\":7,\"lsn\":5"));
        assert_eq!(paths(&left, &right), ["value.payload.source.(order)"]);
        let right = record("c", |event| event.replace("\"txId\":7,", ""));
        assert_eq!(paths(&left, &right), ["value.payload.source.txId"]);
        // Also where a clock differs, as it does in every event.
        let later = |event: String| event.replace("\"ts_ms\":123,", "\"ts_ms\":124,");
        let right = record("c", |event| later(event.replace("\"lsn\":5", "\"lsn\": 5")));
        assert_eq!(paths(&left, &right), ["value.text"]);
        let left = record("c", |event| event.replace("\"id\":1", "\"id\":\"\\u001F\""));
        let right = record("c", |event| later(event.replace("\"id\":1", "\"id\":\"\\u001f\"")));
        assert_eq!(paths(&left, &right), ["value.payload.after.id"]);
    }

    #[test]
    fn a_record_too_few_or_too_many_does_not_shift_the_others() {
        let at = |lsn: &str| record("c", |event| event.replace("\"lsn\":5", &format!("\"lsn\":{lsn}")));
        let left = [at("1"), at("2"), at("3")];
        let right = [at("1"), at("3"), at("4")];
        let kinds = |left: &[Record], right: &[Record]| {
            compare(left, right).into_iter().map(|judged| judged.verdict).collect::<Vec<_>>()
        };
        assert!(matches!(
            kinds(&left, &right[..2])[..],
            [Verdict::Identical, Verdict::Missing(_), Verdict::Identical]
        ));
        assert!(matches!(kinds(&left[..1], &right[..2])[..], [Verdict::Identical, Verdict::Extra(_)]));
        assert!(matches!(
            kinds(&left, &right)[..],
            [Verdict::Identical, Verdict::Different(_), Verdict::Different(_)]
        ));
    }
}
