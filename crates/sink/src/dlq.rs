//! Records that cannot be read, on their way to the dead letter topic.

/// One record for the dead letter topic: its bytes untouched, and the headers that Kafka Connect writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where it came from.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// The key as it was.
    pub key: Option<Vec<u8>>,
    /// The value as it was.
    pub value: Option<Vec<u8>>,
    /// The record's own headers, then `__connect.errors.*`.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Connect's headers for a record that failed in the value converter of `connector`.
pub(crate) fn error_headers(
    topic: &str,
    partition: i32,
    offset: i64,
    connector: &str,
    reason: &str,
) -> Vec<(String, Option<Vec<u8>>)> {
    let facts = [
        ("topic", topic.to_owned()),
        ("partition", partition.to_string()),
        ("offset", offset.to_string()),
        ("connector.name", connector.to_owned()),
        ("task.id", "0".to_owned()),
        ("stage", "VALUE_CONVERTER".to_owned()),
        ("class.name", "org.apache.kafka.connect.json.JsonConverter".to_owned()),
        ("exception.class.name", "org.apache.kafka.connect.errors.DataException".to_owned()),
        ("exception.message", reason.to_owned()),
    ];
    facts
        .into_iter()
        .map(|(name, value)| (format!("__connect.errors.{name}"), Some(value.into_bytes())))
        .collect()
}
