//! Debezium's offset as Kafka Connect keeps it: key `["<connector>",{"server":"<prefix>"}]`, value a JSON object.

use std::path::Path;

use cdcd_kafka::compacted;
use cdcd_pgoutput::Lsn;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::java_map;
use crate::connector::source::SourceSettings;
use crate::exit::{Exit, Failure};

/// What Debezium 2 and 3 write while they stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Offset {
    /// LSN of the last event that was handed out.
    #[serde(default)]
    lsn: Option<u64>,
    /// LSN that was processed completely.
    #[serde(default)]
    lsn_proc: Option<u64>,
    /// End of the last transaction.
    #[serde(default)]
    lsn_commit: Option<u64>,
    /// Kind of the last message.
    #[serde(rename = "messageType", default, skip_serializing_if = "Option::is_none")]
    message_type: Option<String>,
    /// Time of the last event, µs since 1970.
    #[serde(default)]
    pub(super) ts_usec: Option<i64>,
    /// Everything else: `txId`, the snapshot's state, counters.
    #[serde(flatten)]
    more: BTreeMap<String, serde_json::Value>,
}

impl Offset {
    /// Everything before this is in Kafka; `None` if no transaction has ended yet.
    pub(super) fn done(&self) -> Option<Lsn> {
        self.lsn_commit.map(Lsn)
    }

    /// As after the commit that ends at `lsn`.
    pub(super) fn after_commit(lsn: Lsn, wall_ms: i64) -> Self {
        Offset {
            lsn: Some(lsn.0),
            lsn_proc: Some(lsn.0),
            lsn_commit: Some(lsn.0),
            message_type: Some("COMMIT".to_owned()),
            ts_usec: Some(wall_ms.saturating_mul(1_000)),
            more: BTreeMap::new(),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::json!(self).to_string().into_bytes()
    }

    /// Whether a snapshot was running: what it has read is not in the offset.
    fn is_in_snapshot(&self) -> bool {
        let completed = self.more.get("snapshot_completed").or_else(|| self.more.get("last_snapshot_record"));
        self.more.contains_key("snapshot") && completed != Some(&serde_json::Value::Bool(true))
    }
}

/// The key of a connector's offset.
pub(super) fn key(settings: &SourceSettings) -> Vec<u8> {
    serde_json::json!([settings.name, { "server": settings.capture.topic_prefix }]).to_string().into_bytes()
}

/// All offsets of a worker.
pub(super) struct Offsets {
    /// `topic …` or `file …`
    place: String,
    offsets: BTreeMap<String, Offset>,
}

/// Reads the topic of a worker.
pub(super) async fn read(settings: &SourceSettings, topic: &str) -> Result<Offsets, Failure> {
    let (consumer, name) = (settings.consumer.clone(), topic.to_owned());
    let values = tokio::task::spawn_blocking(move || compacted::read(&consumer, &name))
        .await
        .map_err(|error| Failure::new(Exit::Unexpected, error))??;
    Ok(Offsets::of(format!("topic {topic}"), values))
}

/// Reads the file of a standalone worker or of Debezium's engine.
pub(super) fn read_file(path: &str) -> Result<Offsets, Failure> {
    let place = format!("file {path}");
    let entries = java_map::read(Path::new(path)).map_err(|error| {
        Failure::new(Exit::Configuration, error)
            .context(format!("offset.storage.file.filename: {place}"))
            .hint(
                "it must be the file of a standalone worker or of Debezium's engine, which must have stopped",
            )
    })?;
    let values = entries.into_iter().filter_map(|(key, value)| Some((key?, value?)));
    Ok(Offsets::of(place, values))
}

/// The key in one way of writing.
fn canonical(key: &[u8]) -> Option<String> {
    let (name, partition): (String, BTreeMap<String, String>) = serde_json::from_slice(key).ok()?;
    Some(serde_json::json!([name, partition]).to_string())
}

impl Offsets {
    fn of(place: String, values: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Self {
        // Offsets of other kinds of connectors are nobody's business here.
        let offset = |(key, value): (Vec<u8>, Vec<u8>)| {
            Some((canonical(&key)?, serde_json::from_slice::<Offset>(&value).ok()?))
        };
        Offsets { place, offsets: values.into_iter().filter_map(offset).collect() }
    }

    /// `topic …` or `file …`
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// This connector's offset.
    pub(super) fn find(&self, settings: &SourceSettings) -> Option<&Offset> {
        self.offsets.get(&canonical(&key(settings))?)
    }

    /// The same, which must be there and say where streaming is.
    pub(super) fn expect(&self, settings: &SourceSettings) -> Result<&Offset, Failure> {
        let key = String::from_utf8_lossy(&key(settings)).into_owned();
        let Some(offset) = self.find(settings) else {
            let known: Vec<&str> = self.offsets.keys().map(String::as_str).collect();
            return Err(Failure::configuration(format!("{} has no offset of {key}", self.place)).hint(
                format!(
                    "name and topic.prefix must be those of Debezium's connector; it has: {}",
                    known.join(", ")
                ),
            ));
        };
        if offset.is_in_snapshot() {
            return Err(Failure::guard(
                "E_POSITION_OPEN",
                format!("Debezium's snapshot was not complete when it stopped (offset of {key})"),
            )
            .hint("let Debezium finish it, or begin anew with another connector name and slot"));
        }
        Ok(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAMING: &str = r#"{"lsn_proc":27178240,"messageType":"COMMIT","lsn_commit":27178240,"lsn":27178240,"txId":751,"ts_usec":1795169745765550}"#;

    #[test]
    fn an_offset_is_read_as_debezium_writes_it_and_written_with_what_it_reads() {
        let offset: Offset = serde_json::from_str(STREAMING).expect("an offset");
        assert_eq!((offset.done(), offset.is_in_snapshot()), (Some(Lsn(27_178_240)), false));
        let written = Offset::after_commit(Lsn(16), 3);
        let read: serde_json::Value = serde_json::from_slice(&written.encode()).expect("json");
        assert_eq!(
            read,
            serde_json::json!({"lsn": 16, "lsn_proc": 16, "lsn_commit": 16, "messageType": "COMMIT", "ts_usec": 3000})
        );
    }

    #[test]
    fn a_snapshot_that_was_not_complete_is_seen() {
        let offset = |text: &str| serde_json::from_str::<Offset>(text).expect("an offset").is_in_snapshot();
        assert!(offset(r#"{"snapshot":"INITIAL","snapshot_completed":false,"lsn":5}"#));
        assert!(offset(r#"{"snapshot":true,"lsn":5}"#));
        assert!(!offset(r#"{"snapshot":"INITIAL","snapshot_completed":true,"lsn":5}"#));
    }

    #[test]
    fn keys_are_the_same_however_they_are_spaced() {
        assert_eq!(canonical(br#"["a", {"server": "p"}]"#), canonical(br#"["a",{"server":"p"}]"#));
        assert_eq!(canonical(b"{}"), None);
    }

    #[test]
    fn the_file_of_a_standalone_worker_has_the_offset() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto-fixtures/connect/connect.offsets");
        let offsets = read_file(path).expect("a file of offsets");
        let offset = offsets.offsets.get(r#"["flights",{"server":"air"}]"#).expect("Debezium's");
        assert_eq!(offset.done(), Some(Lsn(109_347_112)));
        let failure = read_file("Cargo.toml").err().expect("no file of offsets");
        let said = failure.render();
        assert!(said.contains("offset.storage.file.filename") && said.contains("at byte 0"), "{said}");
    }
}
