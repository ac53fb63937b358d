//! Transaction metadata: the `transaction` block of an event, and the records that tell a transaction's ends.

use std::sync::LazyLock;

use crate::schema::{Field, Kind, Schema};
use crate::value::{FieldName, ValueWriter};

/// The place of an event in its transaction: `{id, total_order, data_collection_order}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    /// Transaction id and LSN of the event, `<xid>:<lsn>`: only the first half is the same all through a transaction.
    pub id: &'a str,
    /// Place among all events of the transaction, from 1.
    pub total_order: u64,
    /// Place among those of the same table, from 1.
    pub data_collection_order: u64,
}

/// One end of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary<'a> {
    /// `BEGIN`
    Begin,
    /// `END`, with the number of events and the same by table, in order of their first events.
    End(u64, &'a [(String, u64)]),
}

struct Names {
    id: FieldName,
    total_order: FieldName,
    data_collection_order: FieldName,
    status: FieldName,
    event_count: FieldName,
    data_collections: FieldName,
    data_collection: FieldName,
    collection_count: FieldName,
    ts_ms: FieldName,
}

static NAMES: LazyLock<Names> = LazyLock::new(|| Names {
    id: FieldName::new("id"),
    total_order: FieldName::new("total_order"),
    data_collection_order: FieldName::new("data_collection_order"),
    status: FieldName::new("status"),
    event_count: FieldName::optional("event_count"),
    data_collections: FieldName::of("data_collections", &collections_schema()),
    data_collection: FieldName::new("data_collection"),
    collection_count: FieldName::new("event_count"),
    ts_ms: FieldName::new("ts_ms"),
});

impl Block<'_> {
    /// Writes it.
    pub fn write<W: ValueWriter>(&self, writer: &mut W) {
        let names = &*NAMES;
        writer.begin_struct();
        writer.field(&names.id);
        writer.string(self.id);
        writer.field(&names.total_order);
        writer.int(self.total_order as i64);
        writer.field(&names.data_collection_order);
        writer.int(self.data_collection_order as i64);
        writer.end_struct();
    }
}

impl Boundary<'_> {
    /// Writes the value of its record; `at_ms` is the commit time, ms since 1970.
    pub fn write<W: ValueWriter>(&self, id: &str, at_ms: i64, writer: &mut W) {
        let names = &*NAMES;
        writer.begin_struct();
        writer.field(&names.status);
        writer.string(if *self == Boundary::Begin { "BEGIN" } else { "END" });
        writer.field(&names.id);
        writer.string(id);
        match self {
            Boundary::Begin => {
                writer.field(&names.event_count);
                writer.null();
                writer.field(&names.data_collections);
                writer.null();
            }
            Boundary::End(events, collections) => {
                writer.field(&names.event_count);
                writer.int(*events as i64);
                writer.field(&names.data_collections);
                writer.begin_array(collections.len());
                for (name, events) in *collections {
                    writer.begin_struct();
                    writer.field(&names.data_collection);
                    writer.string(name);
                    writer.field(&names.collection_count);
                    writer.int(*events as i64);
                    writer.end_struct();
                }
                writer.end_array();
            }
        }
        writer.field(&names.ts_ms);
        writer.int(at_ms);
        writer.end_struct();
    }
}

/// Writes the key of a boundary's record.
pub fn write_key<W: ValueWriter>(id: &str, writer: &mut W) {
    writer.begin_struct();
    writer.field(&NAMES.id);
    writer.string(id);
    writer.end_struct();
}

/// Schema of the block in an event.
pub fn block_schema() -> Schema {
    Schema::structure(vec![
        Schema::new(Kind::String).field("id"),
        Schema::new(Kind::Int64).field("total_order"),
        Schema::new(Kind::Int64).field("data_collection_order"),
    ])
    .named("event.block")
    .optional(true)
}

/// Schema of a boundary's key.
pub fn key_schema() -> Schema {
    Schema::structure(vec![Schema::new(Kind::String).field("id")])
        .named("io.debezium.connector.common.TransactionMetadataKey")
}

/// Schema of a boundary's value.
pub fn value_schema() -> Schema {
    Schema::structure(vec![
        Schema::new(Kind::String).field("status"),
        Schema::new(Kind::String).field("id"),
        Schema::new(Kind::Int64).optional(true).field("event_count"),
        Field { name: "data_collections".to_owned(), schema: collections_schema() },
        Schema::new(Kind::Int64).field("ts_ms"),
    ])
    .named("io.debezium.connector.common.TransactionMetadataValue")
}

fn collections_schema() -> Schema {
    let collection = Schema::structure(vec![
        Schema::new(Kind::String).field("data_collection"),
        Schema::new(Kind::Int64).field("event_count"),
    ]);
    Schema::new(Kind::Array(Box::new(collection.named("event.collection").optional(true)))).optional(true)
}
