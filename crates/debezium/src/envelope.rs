//! The envelope around a row: `before, after, source, transaction, op, ts_ms, ts_us, ts_ns`.

use std::sync::LazyLock;

use crate::schema::{Field, Kind, Schema};
use crate::source;
use crate::transaction::{self, Block};
use crate::value::{FieldName, ValueWriter};

/// What happened to the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `r`: read by a snapshot.
    Read,
    /// `c`
    Create,
    /// `u`
    Update,
    /// `d`
    Delete,
    /// `t`
    Truncate,
}

impl Operation {
    /// The letter in `op`.
    pub fn letter(self) -> &'static str {
        match self {
            Operation::Read => "r",
            Operation::Create => "c",
            Operation::Update => "u",
            Operation::Delete => "d",
            Operation::Truncate => "t",
        }
    }
}

/// Names of the envelope's fields.
#[derive(Debug)]
pub struct Names {
    /// `before`
    pub before: FieldName,
    /// `after`
    pub after: FieldName,
    /// `source`
    pub source: FieldName,
    /// `transaction`
    pub transaction: FieldName,
    /// `op`
    pub op: FieldName,
    /// `ts_ms`
    pub ts_ms: FieldName,
    /// `ts_us`
    pub ts_us: FieldName,
    /// `ts_ns`
    pub ts_ns: FieldName,
}

/// The names, made once.
pub static NAMES: LazyLock<Names> = LazyLock::new(|| Names {
    before: FieldName::optional("before"),
    after: FieldName::optional("after"),
    source: FieldName::new("source"),
    transaction: FieldName::optional("transaction"),
    op: FieldName::new("op"),
    ts_ms: FieldName::optional("ts_ms"),
    ts_us: FieldName::optional("ts_us"),
    ts_ns: FieldName::optional("ts_ns"),
});

/// The last three fields: our clock, which many events share.
#[derive(Debug, Default, Clone)]
pub struct Clock {
    now_ns: Option<i64>,
    fields: Vec<u8>,
}

impl Clock {
    /// Renders another time (ns since 1970), unless it is the last one. `scratch` is left as it was.
    #[inline]
    pub fn render<W: ValueWriter>(&mut self, now_ns: i64, scratch: &mut W) {
        if self.now_ns == Some(now_ns) {
            return;
        }
        self.now_ns = Some(now_ns);
        let names = &*NAMES;
        let mark = scratch.mark();
        scratch.begin_record(&[]);
        scratch.field(&names.ts_ms);
        scratch.int(now_ns.div_euclid(1_000_000));
        scratch.field(&names.ts_us);
        scratch.int(now_ns.div_euclid(1_000));
        scratch.field(&names.ts_ns);
        scratch.int(now_ns);
        scratch.take_since(mark, &mut self.fields);
    }
}

/// Writes everything behind `source`: the transaction block, the operation, and our clock.
#[inline]
pub fn write_tail<W: ValueWriter>(
    writer: &mut W,
    block: Option<Block<'_>>,
    operation: Operation,
    clock: &Clock,
) {
    let names = &*NAMES;
    writer.field(&names.transaction);
    match block {
        None => writer.null(),
        Some(block) => block.write(writer),
    }
    writer.field(&names.op);
    writer.string(operation.letter());
    writer.fragment(&clock.fields);
}

/// Schema of the envelope of one table; `base` is `<topic.prefix>.<schema>.<table>`.
pub fn schema(base: &str, columns: &[Field]) -> Schema {
    let row =
        || Schema::structure(columns.to_vec()).named_without_version(format!("{base}.Value")).optional(true);
    let long = || Schema::new(Kind::Int64).optional(true);
    Schema::structure(vec![
        row().field("before"),
        row().field("after"),
        source::schema().field("source"),
        transaction::block_schema().field("transaction"),
        Schema::new(Kind::String).field("op"),
        long().field("ts_ms"),
        long().field("ts_us"),
        long().field("ts_ns"),
    ])
    .named(format!("{base}.Envelope"))
    .version(2)
}

/// Schema of the key of one table.
pub fn key_schema(base: &str, columns: Vec<Field>) -> Schema {
    Schema::structure(columns).named_without_version(format!("{base}.Key"))
}

/// Schema of a heartbeat's key, `{serverName}`.
pub fn heartbeat_key_schema() -> Schema {
    Schema::structure(vec![Schema::new(Kind::String).field("serverName")])
        .named("io.debezium.connector.common.ServerNameKey")
}

/// Schema of a heartbeat's value, `{ts_ms}`.
pub fn heartbeat_schema() -> Schema {
    Schema::structure(vec![Schema::new(Kind::Int64).field("ts_ms")])
        .named("io.debezium.connector.common.Heartbeat")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_know_what_the_schema_says() {
        let Kind::Struct(fields) = schema("p.s.t", &[]).kind else { panic!("a struct") };
        let names = &*NAMES;
        let all = [
            &names.before,
            &names.after,
            &names.source,
            &names.transaction,
            &names.op,
            &names.ts_ms,
            &names.ts_us,
            &names.ts_ns,
        ];
        let expected: Vec<FieldName> =
            fields.iter().map(|Field { name, schema }| FieldName::of(name, schema)).collect();
        assert_eq!(all.into_iter().cloned().collect::<Vec<_>>(), expected);
    }
}
