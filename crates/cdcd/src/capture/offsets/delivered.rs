//! Which changes are in the topics: counted by what tells one from another.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher as _};

use cdcd_debezium::record::Record;
use cdcd_kafka::scan::Scan;

use super::connect::Offset;
use crate::connector::source::SourceSettings;
use crate::exit::{Exit, Failure};

/// Records are looked for from this long before the offset's own time on: clocks differ.
const MARGIN_MS: i64 = 15 * 60 * 1_000;

/// Members of the envelope; the last of each name is the envelope's own, for rows stand before `source`, and strings
/// cannot hold a bare quote.
const LSN: &[u8] = br#""lsn":"#;
const OP: &[u8] = br#""op":""#;
/// Members of what tells the end of a transaction.
const STATUS: &[u8] = br#""status":""#;
const COLLECTIONS: &[u8] = br#""data_collections":"#;

/// How often each change is in the topics.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    counts: HashMap<u64, u32>,
    /// Records that do not say what they are: written by another converter, or transformed.
    pub(super) unreadable: u64,
}

impl Delivered {
    /// Takes one out; `false` if there was none.
    pub(super) fn take(&mut self, change: u64) -> bool {
        match self.counts.get_mut(&change) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        }
    }

    fn add(&mut self, change: u64) {
        *self.counts.entry(change).or_default() += 1;
    }
}

/// Names changes; a tombstone is named after the delete before it.
#[derive(Debug, Default)]
pub(super) struct Namer {
    /// Key and name of the last delete.
    last_delete: Option<(Vec<u8>, u64)>,
}

impl Namer {
    /// `None` if the record does not say.
    pub(super) fn name(&mut self, record: &Record<'_>) -> Option<u64> {
        let key = record.key.unwrap_or_default();
        let Some(value) = record.value else {
            let (deleted, name) = self.last_delete.take()?;
            return (deleted == key).then(|| hash(&("tombstone", name)));
        };
        let (Some(lsn), Some(op)) = (number_after(value, LSN), letter_after(value, OP)) else {
            // The end of a transaction: its key is used for nothing else.
            let is_boundary = last(value, STATUS).is_some() && last(value, COLLECTIONS).is_some();
            return is_boundary.then(|| hash(&("transaction", record.topic, key)));
        };
        let name = hash(&(record.topic, key, lsn, op));
        self.last_delete = (op == b'd').then(|| (key.to_vec(), name));
        Some(name)
    }
}

fn hash(value: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn last<'v>(value: &'v [u8], name: &[u8]) -> Option<&'v [u8]> {
    let at = value.windows(name.len()).rposition(|window| window == name)?;
    value.get(at + name.len()..)
}

fn number_after(value: &[u8], name: &[u8]) -> Option<u64> {
    let rest = last(value, name)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(rest.get(..digits)?).ok()?.parse().ok()
}

fn letter_after(value: &[u8], name: &[u8]) -> Option<u8> {
    last(value, name)?.first().copied()
}

/// Reads the newest part of all topics of the connector.
pub(super) async fn read(settings: &SourceSettings, offset: &Offset) -> Result<Delivered, Failure> {
    let since = offset.ts_usec.map(|micros| micros / 1_000 - MARGIN_MS);
    let prefix = format!("{}{}", settings.capture.topic_prefix, settings.capture.topic_delimiter);
    let (consumer, admin) = (settings.consumer.clone(), settings.admin.clone());
    let read = move || {
        let topics = cdcd_kafka::admin::Admin::new(&admin)?.cluster()?.topics.into_keys();
        let topics: Vec<String> = topics.filter(|topic| topic.starts_with(&prefix)).collect();
        let mut scan = Scan::open(&consumer, &topics)?;
        if let Some(since) = since {
            scan.since(since)?;
        }
        let mut namers: Vec<Namer> = scan.partitions().iter().map(|_| Namer::default()).collect();
        let mut delivered = Delivered::default();
        scan.run(|place, record| {
            let name = namers.get_mut(place.partition).and_then(|namer| namer.name(record));
            match name {
                Some(name) => delivered.add(name),
                None => delivered.unreadable += 1,
            }
        })?;
        Ok::<_, cdcd_kafka::Error>(delivered)
    };
    let read = tokio::task::spawn_blocking(read).await;
    Ok(read.map_err(|error| Failure::new(Exit::Unexpected, error))??)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record<'a>(key: &'a str, value: Option<&'a str>) -> Record<'a> {
        let value = value.map(str::as_bytes);
        Record {
            topic: "t",
            partition: None,
            timestamp_ms: None,
            key: Some(key.as_bytes()),
            value,
            headers: &[],
        }
    }

    #[test]
    fn the_envelopes_own_members_name_a_change() {
        let value = r#"{"before":null,"after":{"lsn":7,"op":"x"},"source":{"lsn":9,"xmin":null},"op":"c"}"#;
        let other = r#"{"before":null,"after":{"lsn":8,"op":"y"},"source":{"lsn":9},"ts_ms":5,"op":"c"}"#;
        let mut namer = Namer::default();
        let name = namer.name(&record("1", Some(value)));
        assert!(name.is_some());
        assert_eq!(
            name,
            namer.name(&record("1", Some(other))),
            "neither the row nor the clock is part of the name"
        );
        assert_ne!(name, namer.name(&record("2", Some(value))));
        assert_eq!(namer.name(&record("1", Some("\0\0\0\0\u{1}"))), None);
    }

    #[test]
    fn the_ends_of_a_transaction_are_named_by_their_keys() {
        let end = r#"{"status":"END","id":"7:9","event_count":0,"data_collections":[],"ts_ms":1}"#;
        let mut namer = Namer::default();
        let name = namer.name(&record(r#"{"id":"7:9"}"#, Some(end)));
        assert!(name.is_some());
        assert_ne!(name, namer.name(&record(r#"{"id":"7:8"}"#, Some(end))));
        let row = r#"{"id":"7:9","status":"END"}"#;
        assert_eq!(namer.name(&record("1", Some(row))), None, "a row without its envelope says nothing");
    }

    #[test]
    fn a_tombstone_belongs_to_its_delete() {
        let delete = r#"{"before":{},"after":null,"source":{"lsn":9},"op":"d"}"#;
        let later = r#"{"before":{},"after":null,"source":{"lsn":10},"op":"d"}"#;
        let mut namer = Namer::default();
        let mut tombstone_of = |value| {
            namer.name(&record("1", Some(value)));
            namer.name(&record("1", None))
        };
        let (first, second) = (tombstone_of(delete), tombstone_of(later));
        assert!(first.is_some() && first != second);
        assert_eq!(namer.name(&record("1", None)), None, "a second one belongs to nothing");
    }

    #[test]
    fn each_delivery_covers_one_change() {
        let mut delivered = Delivered::default();
        delivered.add(5);
        assert_eq!([delivered.take(5), delivered.take(5), delivered.take(6)], [true, false, false]);
    }
}
