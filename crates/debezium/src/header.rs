//! The headers that Debezium puts on data records.

/// Names in the order in which they stand on a record.
pub const CONTEXT: [&str; 4] = [
    "__debezium.context.connectorLogicalName",
    "__debezium.context.taskId",
    "__debezium.context.connectorName",
    "__debezium.context.runId",
];

/// On the delete (and its tombstone) of a key change: the new key.
pub const NEW_KEY: &str = "__debezium.newkey";

/// On the create of a key change: the old key.
pub const OLD_KEY: &str = "__debezium.oldkey";

/// Ours: counts the accepted discontinuities of a connector, decimal text; absent while it is 0.
pub const LINEAGE: &str = "cdcd.lineage";

/// Ours, with `cdcd.headers=true`: the identity of a record, 21 bytes big-endian: lineage (u32), commit LSN (u64),
/// ordinal of the change in its transaction (u64), number of the record among those of the change (u8).
pub const EVENT_ID: &str = "cdcd.eid";

/// Length of an event id.
pub const EVENT_ID_BYTES: usize = 21;
