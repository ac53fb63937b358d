//! The event of a logical decoding message (`pg_logical_emit_message`).

use std::sync::LazyLock;

use crate::schema::{Kind, Schema};
use crate::source;
use crate::transaction::{self, Block};
use crate::value::{FieldName, ValueWriter};

struct Names {
    op: FieldName,
    ts_ms: FieldName,
    source: FieldName,
    transaction: FieldName,
    message: FieldName,
    prefix: FieldName,
    content: FieldName,
}

static NAMES: LazyLock<Names> = LazyLock::new(|| Names {
    op: FieldName::new("op"),
    ts_ms: FieldName::optional("ts_ms"),
    source: FieldName::new("source"),
    transaction: FieldName::optional("transaction"),
    message: FieldName::new("message"),
    prefix: FieldName::optional("prefix"),
    content: FieldName::optional("content"),
});

/// Writes the key: `{prefix}`.
pub fn write_key<W: ValueWriter>(prefix: &str, writer: &mut W) {
    writer.begin_struct();
    writer.field(&NAMES.prefix);
    writer.string(prefix);
    writer.end_struct();
}

/// Writes the value; `source` and `content` write theirs. `now_ns` is our clock, ns since 1970.
pub fn write_value<W: ValueWriter>(
    writer: &mut W,
    (prefix, block, now_ns): (&str, Option<Block<'_>>, i64),
    source: impl FnOnce(&mut W),
    content: impl FnOnce(&mut W),
) {
    let names = &*NAMES;
    writer.begin_struct();
    writer.field(&names.op);
    writer.string("m");
    writer.field(&names.ts_ms);
    writer.int(now_ns.div_euclid(1_000_000));
    writer.field(&names.source);
    source(writer);
    writer.field(&names.transaction);
    match block {
        None => writer.null(),
        Some(block) => block.write(writer),
    }
    writer.field(&names.message);
    writer.begin_struct();
    writer.field(&names.prefix);
    writer.string(prefix);
    writer.field(&names.content);
    content(writer);
    writer.end_struct();
    writer.end_struct();
}

/// Schema of the key.
pub fn key_schema() -> Schema {
    Schema::structure(vec![Schema::new(Kind::String).optional(true).field("prefix")])
        .named("io.debezium.connector.postgresql.MessageKey")
}

/// Schema of the value; `content` is bytes or text.
pub fn value_schema(content: Kind) -> Schema {
    let message = Schema::structure(vec![
        Schema::new(Kind::String).optional(true).field("prefix"),
        Schema::new(content).optional(true).field("content"),
    ]);
    Schema::structure(vec![
        Schema::new(Kind::String).field("op"),
        Schema::new(Kind::Int64).optional(true).field("ts_ms"),
        source::schema().field("source"),
        transaction::block_schema().field("transaction"),
        message.named("io.debezium.connector.postgresql.Message").field("message"),
    ])
    .named("io.debezium.connector.postgresql.MessageValue")
}
