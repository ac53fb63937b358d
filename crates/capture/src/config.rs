//! What a connector's properties mean to capture. Values are checked before they come here.

use cdcd_debezium::transform::Chain;
use regex::Regex;

use crate::column_rules::ColumnRules;
use crate::converter::NameAdjustment;
pub use crate::converter::{Converter, JsonOptions};

/// `decimal.handling.mode`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DecimalMode {
    /// Exact: Connect's Decimal, or a struct where there is no scale.
    #[default]
    Precise,
    /// Text.
    String,
    /// A double.
    Double,
}

/// `cdcd.compat.version`: the release of Debezium whose events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Release {
    /// 3.6, which everything is compared with.
    #[default]
    V3_6,
    /// 3.7.
    V3_7,
}

impl Release {
    /// `source.version`
    pub fn version(self) -> &'static str {
        match self {
            Release::V3_6 => "3.6.3.Final",
            Release::V3_7 => "3.7.0.Final",
        }
    }
}

/// `time.precision.mode`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeMode {
    /// As fine as the column.
    #[default]
    Adaptive,
    /// The same, but `time` always in microseconds.
    AdaptiveTimeMicroseconds,
    /// Kafka Connect's own types, milliseconds.
    Connect,
    /// ISO 8601 text.
    IsoString,
    /// Always microseconds.
    Microseconds,
    /// Always nanoseconds.
    Nanoseconds,
    /// A struct of the calendar's and the clock's parts ([`Release::V3_7`]).
    Structured,
}

/// `binary.handling.mode`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BinaryMode {
    /// Bytes.
    #[default]
    Bytes,
    /// Base64 text.
    Base64,
    /// Base64 text in the URL alphabet.
    Base64UrlSafe,
    /// Hexadecimal text.
    Hex,
}

/// `interval.handling.mode`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IntervalMode {
    /// Microseconds, with months of 30.4375 days.
    #[default]
    Numeric,
    /// ISO 8601 text.
    String,
}

/// `hstore.handling.mode`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HstoreMode {
    /// JSON text.
    #[default]
    Json,
    /// A map.
    Map,
}

/// `event.converting.failure.handling.mode`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConversionFailure {
    /// Stop (our default: Debezium's silent null is a declared deviation).
    #[default]
    Fail,
    /// Write null and warn.
    Warn,
    /// Write null.
    Skip,
}

/// How values are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modes {
    /// `decimal.handling.mode`
    pub decimal: DecimalMode,
    /// `time.precision.mode`
    pub time: TimeMode,
    /// `binary.handling.mode`
    pub binary: BinaryMode,
    /// `interval.handling.mode`
    pub interval: IntervalMode,
    /// `hstore.handling.mode`
    pub hstore: HstoreMode,
    /// `money.fraction.digits`, 0 to 18.
    pub money_fraction_digits: i32,
    /// `include.unknown.datatypes`
    pub include_unknown: bool,
    /// `unavailable.value.placeholder`
    pub unavailable_placeholder: Vec<u8>,
    /// `cdcd.compat.version`
    pub release: Release,
}

impl Default for Modes {
    fn default() -> Self {
        Modes {
            decimal: DecimalMode::default(),
            time: TimeMode::default(),
            binary: BinaryMode::default(),
            interval: IntervalMode::default(),
            hstore: HstoreMode::default(),
            money_fraction_digits: 2,
            include_unknown: false,
            unavailable_placeholder: b"__debezium_unavailable_value".to_vec(),
            release: Release::default(),
        }
    }
}

/// An include list or an exclude list of anchored, case-insensitive expressions.
#[derive(Debug, Clone, Default)]
pub enum NameFilter {
    /// No list.
    #[default]
    All,
    /// Only names that match one of them.
    Include(Vec<Regex>),
    /// All names that match none of them.
    Exclude(Vec<Regex>),
}

impl NameFilter {
    /// Whether `name` passes.
    pub fn passes(&self, name: &str) -> bool {
        match self {
            NameFilter::All => true,
            NameFilter::Include(list) => list.iter().any(|pattern| pattern.is_match(name)),
            NameFilter::Exclude(list) => !list.iter().any(|pattern| pattern.is_match(name)),
        }
    }
}

/// What is captured.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    /// `schema.include.list` / `schema.exclude.list`
    pub schemas: NameFilter,
    /// `table.include.list` / `table.exclude.list`, on `schema.table`.
    pub tables: NameFilter,
    /// `column.include.list` / `column.exclude.list`, on `schema.table.column`.
    pub columns: NameFilter,
    /// `table.ignore.builtin`
    pub ignore_builtin: bool,
}

impl Filters {
    /// Whether the table is captured.
    pub fn captures(&self, schema: &str, table: &str) -> bool {
        let builtin = matches!(schema, "" | "pg_catalog" | "information_schema")
            || schema.starts_with("pg_temp")
            || schema.starts_with("pg_toast")
            || table == "spatial_ref_sys";
        !(self.ignore_builtin && builtin)
            && self.schemas.passes(schema)
            && self.tables.passes(&format!("{schema}.{table}"))
    }
}

/// `skipped.operations`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SkippedOperations {
    /// `c`
    pub create: bool,
    /// `u`
    pub update: bool,
    /// `d`
    pub delete: bool,
    /// `t`
    pub truncate: bool,
}

impl Default for SkippedOperations {
    fn default() -> Self {
        SkippedOperations { create: false, update: false, delete: false, truncate: true }
    }
}

/// `message.key.columns`: the key of the tables that match, in the order given.
#[derive(Debug, Clone)]
pub struct KeyColumns {
    /// On `schema.table`.
    pub table: Regex,
    /// Column names.
    pub columns: Vec<String>,
}

/// All settings of a capture.
#[derive(Debug, Clone)]
pub struct Config {
    /// `topic.prefix`
    pub topic_prefix: String,
    /// `topic.delimiter`
    pub topic_delimiter: String,
    /// `database.dbname`
    pub database: String,
    /// What stands in `source.version`.
    pub connector_version: String,
    /// UUID of this start, in the header `__debezium.context.runId`.
    pub run_id: String,
    /// What is captured.
    pub filters: Filters,
    /// How values are written.
    pub modes: Modes,
    /// `column.truncate.*`, `column.mask.*`, `*.propagate.source.type`
    pub column_rules: ColumnRules,
    /// `message.key.columns`
    pub message_key_columns: Vec<KeyColumns>,
    /// `tombstones.on.delete`
    pub tombstones_on_delete: bool,
    /// `skipped.operations`
    pub skipped_operations: SkippedOperations,
    /// `skip.messages.without.change`
    pub skip_unchanged: bool,
    /// `event.converting.failure.handling.mode`
    pub conversion_failure: ConversionFailure,
    /// `extended.headers.enabled`
    pub extended_headers: bool,
    /// `cdcd.headers`: the header `cdcd.eid` on data records.
    pub event_ids: bool,
    /// `key.converter.*`
    pub key: Converter,
    /// `value.converter.*`
    pub value: Converter,
    /// `schema.name.adjustment.mode`
    pub schema_names: NameAdjustment,
    /// `field.name.adjustment.mode`
    pub field_names: NameAdjustment,
    /// `transforms` and `predicates`
    pub transforms: Chain,
    /// `heartbeat.interval.ms`, if heartbeats are on, and their topic.
    pub heartbeat: Option<Heartbeat>,
    /// `provide.transaction.metadata`, if it is on, and its topic.
    pub transactions: Option<TransactionTopic>,
    /// `message.prefix.include.list` / `message.prefix.exclude.list`: which logical decoding messages are captured.
    pub messages: NameFilter,
}

impl Default for Config {
    /// Debezium's defaults, for tests and benches.
    fn default() -> Self {
        Config {
            topic_prefix: "cdc".to_owned(),
            topic_delimiter: ".".to_owned(),
            database: "postgres".to_owned(),
            connector_version: String::new(),
            run_id: String::new(),
            filters: Filters::default(),
            modes: Modes::default(),
            column_rules: ColumnRules::default(),
            message_key_columns: Vec::new(),
            tombstones_on_delete: true,
            skipped_operations: SkippedOperations::default(),
            skip_unchanged: false,
            conversion_failure: ConversionFailure::default(),
            extended_headers: true,
            event_ids: false,
            key: Converter::Json(JsonOptions::default()),
            value: Converter::Json(JsonOptions::default()),
            schema_names: NameAdjustment::default(),
            field_names: NameAdjustment::default(),
            transforms: Chain::default(),
            heartbeat: None,
            transactions: None,
            messages: NameFilter::default(),
        }
    }
}

/// `heartbeat.interval.ms` and the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Interval in nanoseconds.
    pub interval_ns: i64,
    /// Topic.
    pub topic: String,
}

/// Where the ends of transactions are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionTopic {
    /// Its name: the prefix and `topic.transaction`.
    pub name: String,
}
