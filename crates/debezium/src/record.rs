//! What crosses the door between the engine and a Kafka topic.

/// One Kafka record, borrowed from the buffers of whoever made or fetched it.
///
/// A tombstone has `value: None`; a record of a table without a key has `key: None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Topic name, already sanitised.
    pub topic: &'a str,
    /// Partition, if it is chosen by us; otherwise Java's default partitioner decides (murmur2 over the key).
    pub partition: Option<i32>,
    /// Kafka's timestamp in milliseconds since 1970, if it is chosen by us; otherwise the producer's clock. Not told of
    /// records that were fetched.
    pub timestamp_ms: Option<i64>,
    /// Serialized key.
    pub key: Option<&'a [u8]>,
    /// Serialized value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Record headers in order.
    pub headers: &'a [Header<'a>],
}

/// One record header. Kafka allows the same name more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// Header name, for example `__debezium.context.connectorName`.
    pub name: &'a str,
    /// Raw header value.
    pub value: Option<&'a [u8]>,
}
