//! The `source` block of an event.
//!
//! Field order and types are Debezium's (`io.debezium.connector.postgresql.Source` version 1). Only
//! `sequence` and `lsn` differ between the events of one transaction and table, so the rest is rendered
//! once: [`Fragments`] per transaction, [`TableFragment`] per transaction and table.

use std::fmt::Write;
use std::sync::LazyLock;

use crate::schema::{Kind, Schema};
use crate::value::{FieldName, Literal, TextPart, ValueWriter};

/// What never changes while a connector runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constants {
    /// Version text of the connector that we stand in for.
    pub version: String,
    /// `topic.prefix`.
    pub name: String,
    /// `database.dbname`.
    pub db: String,
    /// Whether an unset `snapshot` is written as its default (`replace.null.with.default`).
    pub null_as_default: bool,
}

/// Where an event of the initial snapshot stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Snapshot {
    /// Not a snapshot.
    Streaming,
    /// Any other row.
    Middle,
    /// The very first row.
    First,
    /// First row of a table.
    FirstInTable,
    /// Last row of a table.
    LastInTable,
    /// The very last row.
    Last,
}

impl Snapshot {
    /// The marker's text; `None` while streaming.
    pub fn text(self) -> Option<&'static str> {
        match self {
            Snapshot::Streaming => None,
            Snapshot::Middle => Some("true"),
            Snapshot::First => Some("first"),
            Snapshot::FirstInTable => Some("first_in_data_collection"),
            Snapshot::LastInTable => Some("last_in_data_collection"),
            Snapshot::Last => Some("last"),
        }
    }
}

/// What the events of one transaction share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction<'a> {
    /// Commit time, µs since 1970.
    pub at_us: i64,
    /// Snapshot marker.
    pub snapshot: Snapshot,
    /// Transaction id.
    pub xid: Option<u32>,
    /// Name and commit LSN of the replication origin.
    pub origin: Option<(&'a str, u64)>,
    /// End LSN of the last commit before this transaction.
    pub last_commit_lsn: Option<u64>,
}

struct Names {
    sequence_end: TextPart,
    version: FieldName,
    connector: FieldName,
    name: FieldName,
    ts_ms: FieldName,
    snapshot: FieldName,
    db: FieldName,
    sequence: FieldName,
    ts_us: FieldName,
    ts_ns: FieldName,
    schema: FieldName,
    table: FieldName,
    tx_id: FieldName,
    lsn: FieldName,
    xmin: FieldName,
    origin: FieldName,
    origin_lsn: FieldName,
}

static NAMES: LazyLock<Names> = LazyLock::new(|| Names {
    sequence_end: TextPart::new("\"]"),
    version: FieldName::new("version"),
    connector: FieldName::new("connector"),
    name: FieldName::new("name"),
    ts_ms: FieldName::new("ts_ms"),
    snapshot: FieldName::of("snapshot", &snapshot_schema()),
    db: FieldName::new("db"),
    sequence: FieldName::optional("sequence"),
    ts_us: FieldName::optional("ts_us"),
    ts_ns: FieldName::optional("ts_ns"),
    schema: FieldName::new("schema"),
    table: FieldName::new("table"),
    tx_id: FieldName::optional("txId"),
    lsn: FieldName::optional("lsn"),
    xmin: FieldName::optional("xmin"),
    origin: FieldName::optional("origin"),
    origin_lsn: FieldName::optional("origin_lsn"),
});

/// The parts of `source` that one transaction shares.
#[derive(Debug, Default, Clone)]
pub struct Fragments {
    head: Vec<u8>,
    tail: Vec<u8>,
    /// `["<last commit>","` or `[null,"`: the sequence up to the event's own LSN.
    sequence: TextPart,
    /// A whole sequence, for those who want it by itself.
    whole_sequence: String,
    at_us: i64,
    snapshot: Option<&'static str>,
    xid: Option<u32>,
    origin: String,
    origin_lsn: Option<u64>,
}

/// What one field of the block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar<'a> {
    /// Nothing.
    Null,
    /// An integer.
    Int(i64),
    /// Text.
    Text(&'a str),
}

/// One field of the block, for those who want it by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceField {
    /// `version`
    Version,
    /// `connector`
    Connector,
    /// `name`
    Name,
    /// `ts_ms`
    TsMs,
    /// `snapshot`; null while streaming, whatever stands for null in the block.
    Snapshot,
    /// `db`
    Db,
    /// `sequence`
    Sequence,
    /// `ts_us`
    TsUs,
    /// `ts_ns`
    TsNs,
    /// `schema`
    Schema,
    /// `table`
    Table,
    /// `txId`
    TxId,
    /// `lsn`
    Lsn,
    /// `xmin`
    Xmin,
    /// `origin`
    Origin,
    /// `origin_lsn`
    OriginLsn,
}

impl SourceField {
    /// The field of this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "version" => SourceField::Version,
            "connector" => SourceField::Connector,
            "name" => SourceField::Name,
            "ts_ms" => SourceField::TsMs,
            "snapshot" => SourceField::Snapshot,
            "db" => SourceField::Db,
            "sequence" => SourceField::Sequence,
            "ts_us" => SourceField::TsUs,
            "ts_ns" => SourceField::TsNs,
            "schema" => SourceField::Schema,
            "table" => SourceField::Table,
            "txId" => SourceField::TxId,
            "lsn" => SourceField::Lsn,
            "xmin" => SourceField::Xmin,
            "origin" => SourceField::Origin,
            "origin_lsn" => SourceField::OriginLsn,
            _ => return None,
        })
    }
}

/// The part of `source` that one transaction and table share.
#[derive(Debug, Default, Clone)]
pub struct TableFragment {
    bytes: Vec<u8>,
    serial: u64,
}

impl Fragments {
    /// Renders the shared parts for a new transaction. `scratch` is left as it was.
    pub fn render<W: ValueWriter>(
        &mut self,
        constants: &Constants,
        transaction: &Transaction<'_>,
        scratch: &mut W,
    ) {
        self.at_us = transaction.at_us;
        self.snapshot = transaction.snapshot.text();
        self.xid = transaction.xid;
        self.origin.clear();
        self.origin.push_str(transaction.origin.map_or("", |(name, _)| name));
        self.origin_lsn = transaction.origin.map(|(_, lsn)| lsn);
        let names = &*NAMES;
        let mark = scratch.mark();
        scratch.begin_record(&[]);
        scratch.field(&names.version);
        scratch.string(&constants.version);
        scratch.field(&names.connector);
        scratch.string("postgresql");
        scratch.field(&names.name);
        scratch.string(&constants.name);
        scratch.field(&names.ts_ms);
        scratch.int(transaction.at_us.div_euclid(1000));
        scratch.field(&names.snapshot);
        match transaction.snapshot.text() {
            Some(marker) => scratch.string(marker),
            None if constants.null_as_default => scratch.string("false"),
            None => scratch.null(),
        }
        scratch.field(&names.db);
        scratch.string(&constants.db);
        scratch.take_since(mark, &mut self.head);
        scratch.begin_record(&[]);
        scratch.field(&names.xmin);
        scratch.null();
        scratch.field(&names.origin);
        match transaction.origin {
            Some((name, _)) => scratch.string(name),
            None => scratch.null(),
        }
        scratch.field(&names.origin_lsn);
        match transaction.origin {
            Some((_, lsn)) => scratch.int(lsn as i64),
            None => scratch.null(),
        }
        scratch.take_since(mark, &mut self.tail);
        self.sequence.set(|text| match transaction.last_commit_lsn {
            Some(lsn) => write!(text, "[\"{lsn}\",\""),
            None => write!(text, "[null,\""),
        });
    }

    /// One field of one event's `source` by itself.
    pub fn field<'a>(
        &'a mut self,
        field: SourceField,
        constants: &'a Constants,
        (schema, table): (&'a str, &'a str),
        lsn: u64,
    ) -> Scalar<'a> {
        let int = |value: Option<i64>| value.map_or(Scalar::Null, Scalar::Int);
        match field {
            SourceField::Version => Scalar::Text(&constants.version),
            SourceField::Connector => Scalar::Text("postgresql"),
            SourceField::Name => Scalar::Text(&constants.name),
            SourceField::Db => Scalar::Text(&constants.db),
            SourceField::Schema => Scalar::Text(schema),
            SourceField::Table => Scalar::Text(table),
            SourceField::TsMs => Scalar::Int(self.at_us.div_euclid(1000)),
            SourceField::TsUs => Scalar::Int(self.at_us),
            SourceField::TsNs => Scalar::Int(self.at_us.wrapping_mul(1000)),
            SourceField::Lsn => Scalar::Int(lsn as i64),
            SourceField::Sequence => Scalar::Text(self.sequence_of(lsn)),
            SourceField::Snapshot => self.snapshot.map_or(Scalar::Null, Scalar::Text),
            SourceField::TxId => int(self.xid.map(i64::from)),
            SourceField::Origin if self.origin_lsn.is_some() => Scalar::Text(&self.origin),
            SourceField::OriginLsn => int(self.origin_lsn.map(|lsn| lsn as i64)),
            SourceField::Origin | SourceField::Xmin => Scalar::Null,
        }
    }

    fn sequence_of(&mut self, lsn: u64) -> &str {
        self.whole_sequence.clear();
        self.whole_sequence.push_str(self.sequence.as_str());
        self.whole_sequence.push_str(itoa::Buffer::new().format(lsn as i64));
        self.whole_sequence.push_str("\"]");
        &self.whole_sequence
    }

    /// Writes one event's `source` value.
    pub fn write<W: ValueWriter>(&mut self, table: &TableFragment, lsn: u64, writer: &mut W) {
        let names = &*NAMES;
        writer.begin_struct();
        writer.fragment(&self.head);
        writer.field(&names.sequence);
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(lsn as i64);
        writer.digits_between(&self.sequence, digits, &names.sequence_end);
        writer.fragment(&table.bytes);
        writer.field(&names.lsn);
        writer.int_with_digits(lsn as i64, digits.as_bytes());
        writer.fragment(&self.tail);
        writer.end_struct();
    }
}

impl TableFragment {
    /// Renders the table's part, unless it was rendered for this `serial` (a transaction's running number,
    /// never 0) already.
    pub fn render<W: ValueWriter>(
        &mut self,
        serial: u64,
        (schema, table): (&str, &str),
        transaction: (i64, Option<u32>),
        scratch: &mut W,
    ) {
        if self.serial == serial {
            return;
        }
        self.serial = serial;
        let names = &*NAMES;
        let (at_us, xid) = transaction;
        let mark = scratch.mark();
        scratch.begin_record(&[]);
        scratch.field(&names.ts_us);
        scratch.int(at_us);
        scratch.field(&names.ts_ns);
        scratch.int(at_us.wrapping_mul(1000));
        scratch.field(&names.schema);
        scratch.string(schema);
        scratch.field(&names.table);
        scratch.string(table);
        scratch.field(&names.tx_id);
        match xid {
            Some(xid) => scratch.int(xid.into()),
            None => scratch.null(),
        }
        scratch.take_since(mark, &mut self.bytes);
    }
}

/// The schema of the block.
pub fn schema() -> Schema {
    let text = || Schema::new(Kind::String);
    let long = || Schema::new(Kind::Int64).optional(true);
    Schema::structure(vec![
        text().field("version"),
        text().field("connector"),
        text().field("name"),
        Schema::new(Kind::Int64).field("ts_ms"),
        snapshot_schema().field("snapshot"),
        text().field("db"),
        text().optional(true).field("sequence"),
        long().field("ts_us"),
        long().field("ts_ns"),
        text().field("schema"),
        text().field("table"),
        long().field("txId"),
        long().field("lsn"),
        long().field("xmin"),
        text().optional(true).field("origin"),
        long().field("origin_lsn"),
    ])
    .named("io.debezium.connector.postgresql.Source")
}

fn snapshot_schema() -> Schema {
    Schema::new(Kind::String)
        .named("io.debezium.data.Enum")
        .parameter(
            "allowed",
            "true,first,first_in_data_collection,last_in_data_collection,last,false,incremental",
        )
        .optional(true)
        .default_value(Literal::String("false".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Field;

    #[test]
    fn names_know_what_the_schema_says() {
        let Kind::Struct(fields) = schema().kind else { panic!("a struct") };
        let names = &*NAMES;
        let all = [
            &names.version,
            &names.connector,
            &names.name,
            &names.ts_ms,
            &names.snapshot,
            &names.db,
            &names.sequence,
            &names.ts_us,
            &names.ts_ns,
            &names.schema,
            &names.table,
            &names.tx_id,
            &names.lsn,
            &names.xmin,
            &names.origin,
            &names.origin_lsn,
        ];
        let expected: Vec<FieldName> =
            fields.iter().map(|Field { name, schema }| FieldName::of(name, schema)).collect();
        assert_eq!(all.into_iter().cloned().collect::<Vec<_>>(), expected);
    }
}
