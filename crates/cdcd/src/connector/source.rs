//! The settings of a capture, from its properties.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::time::Duration;

use cdcd_capture::column_rules::{Action, Algorithm, ColumnRules, Digested, Hashing};
use cdcd_capture::config::{
    BinaryMode, ConversionFailure, DecimalMode, Filters, Heartbeat, HstoreMode, IntervalMode, KeyColumns,
    Modes, NameFilter, Release, SkippedOperations, TimeMode, TransactionTopic,
};
use cdcd_capture::converter::{Converter, NameAdjustment};
use cdcd_debezium::transform::Chain;
use cdcd_kafka::ClientConfig;
use cdcd_kafka::admin::TopicSpec;
use cdcd_kafka::registry::RegistryConfig;
use cdcd_postgres::publication::AutoCreate;
use cdcd_postgres::replication::StreamOptions;
use cdcd_postgres::{ChannelBinding, Secret, SslMode};
use regex::{Regex, RegexBuilder};

use super::converter;
use super::known::report_unused;
use super::known_source::SOURCE;
use super::properties::{Properties, PropertyError};
use super::streaming::StreamingSettings;

/// The connector that we stand in for, as `source.version` names it.
const CONNECTOR_CLASS: &str = "io.debezium.connector.postgresql.PostgresConnector";

/// `snapshot.mode`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotMode {
    /// Once, then stream.
    Initial,
    /// Once, then stop.
    InitialOnly,
    /// Never; stream only.
    NoData,
    /// At every start.
    Always,
    /// Also when the slot or its log is gone.
    WhenNeeded,
}

/// Whether Kafka's transactions are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExactlyOnce {
    /// If the cluster lets us.
    Requested,
    /// Or not at all.
    Required,
    /// Never: `cdcd.delivery=at-least-once`.
    Off,
}

/// Settings of the initial snapshot.
#[derive(Debug, Clone)]
pub struct SnapshotSettings {
    /// When.
    pub mode: SnapshotMode,
    /// `snapshot.include.collection.list`: which of the captured tables.
    pub tables: NameFilter,
    /// `snapshot.select.statement.overrides`, by `schema.table`.
    pub overrides: BTreeMap<String, String>,
    /// `snapshot.max.threads`: how many sessions read.
    pub sessions: NonZeroU16,
    /// `snapshot.delay.ms`: wait before it.
    pub delay: Option<Duration>,
    /// `streaming.delay.ms`: wait behind it.
    pub streaming_delay: Option<Duration>,
}

/// `offset.mismatch.strategy`: what to do when the slot is ahead of the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MismatchStrategy {
    /// Stop: `no_validation` and `trust_offset`.
    Stop,
    /// Go on at the slot: `trust_slot` and `trust_greater_lsn`.
    TrustSlot,
}

/// Settings of the replication slot.
#[derive(Debug, Clone)]
pub struct SlotSettings {
    /// `slot.name`
    pub name: String,
    /// `slot.failover`
    pub failover: bool,
    /// `slot.drop.on.stop`
    pub drop_on_stop: bool,
    /// `slot.stream.params`
    pub stream_params: Vec<(String, String)>,
    /// `offset.mismatch.strategy`
    pub mismatch: MismatchStrategy,
    /// `slot.max.retries`
    pub max_retries: u32,
    /// `slot.retry.delay.ms`
    pub retry_delay: Duration,
}

/// Settings of the publication.
#[derive(Debug, Clone)]
pub struct PublicationSettings {
    /// `publication.name`
    pub name: String,
    /// `publication.autocreate.mode`
    pub auto_create: AutoCreate,
    /// `publish.via.partition.root`
    pub via_partition_root: bool,
    /// `publish`, if `skipped.operations` is set explicitly.
    pub publish: Option<String>,
    /// `replica.identity.autoset.values`
    pub identities: Vec<IdentityRule>,
}

/// A replica identity for the tables of a name.
#[derive(Debug, Clone)]
pub struct IdentityRule {
    /// `schema.table`
    pub table: Regex,
    /// What it is set to.
    pub identity: WantedIdentity,
}

/// A replica identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantedIdentity {
    /// The primary key.
    Default,
    /// All columns.
    Full,
    /// None.
    Nothing,
    /// A unique index of this name.
    Index(String),
}

/// `topic.creation.*`: rules in order, the default last. Empty: the broker creates topics by itself.
#[derive(Debug, Clone, Default)]
pub struct TopicCreation {
    rules: Vec<TopicRule>,
}

#[derive(Debug, Clone)]
struct TopicRule {
    include: Vec<Regex>,
    exclude: Vec<Regex>,
    partitions: i32,
    replication_factor: i32,
    config: Vec<(String, String)>,
}

/// Everything that `cdcd capture` needs to know.
#[derive(Debug, Clone)]
pub struct SourceSettings {
    /// Connector name, else `topic.prefix`.
    pub name: String,
    /// The engine's settings.
    pub capture: cdcd_capture::Config,
    /// The registry of `key.converter`, if it needs one.
    pub key_registry: Option<RegistryConfig>,
    /// The registry of `value.converter`, if it needs one.
    pub value_registry: Option<RegistryConfig>,
    /// How to reach the database.
    pub database: cdcd_postgres::Config,
    /// `database.query.timeout.ms`
    pub query_timeout: Option<Duration>,
    /// Slot.
    pub slot: SlotSettings,
    /// Publication.
    pub publication: PublicationSettings,
    /// Snapshot.
    pub snapshot: SnapshotSettings,
    /// How transactions in progress are received.
    pub streaming: StreamingSettings,
    /// `status.update.interval.ms`
    pub status_interval: Duration,
    /// Settings of the producer.
    pub producer: ClientConfig,
    /// Settings for reading the position.
    pub consumer: ClientConfig,
    /// Settings for making topics.
    pub admin: ClientConfig,
    /// `exactly.once.support` and `cdcd.delivery`
    pub exactly_once: ExactlyOnce,
    /// How topics are made.
    pub topic_creation: TopicCreation,
    /// SQL to be run with each heartbeat (`heartbeat.action.query`).
    pub heartbeat_action: Option<String>,
    /// Longest wait between two attempts (`retriable.restart.connector.wait.ms`).
    pub retry_wait: Duration,
    /// How long a dependency may stay away before the process ends with exit 3.
    pub retry_budget: Duration,
    /// `offset.storage.topic` of the worker whose place we may be taking.
    pub offset_topic: Option<String>,
    /// `cdcd.require.durable`: topics that a lost broker may take records from are refused; off by default, so that
    /// set-ups of one broker run.
    pub require_durable: bool,
}

/// Whether Kafka is needed at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KafkaNeed {
    /// Records go to Kafka.
    Required,
    /// `--output stdout` or `null`.
    None,
}

impl SourceSettings {
    /// Checks all properties.
    ///
    /// # Errors
    /// The first property that is missing, wrong, contradictory, or cannot be honoured.
    pub fn new(properties: &Properties, kafka: KafkaNeed) -> Result<Self, PropertyError> {
        check_class(properties)?;
        let prefix = properties.required("topic.prefix")?.to_owned();
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if !prefix.chars().all(valid) {
            return Err(PropertyError::new(
                "topic.prefix",
                "may hold letters, digits, '.', '_' and '-' only",
            ));
        }
        let name = properties.non_empty("name").unwrap_or(&prefix).to_owned();
        let database = database(properties, &name)?;
        let bootstrap = match kafka {
            KafkaNeed::Required => properties.required("bootstrap.servers").map_err(|error| {
                error.hint("give --bootstrap-servers HOST:PORT, or a worker file with --worker")
            })?,
            KafkaNeed::None => properties.non_empty("bootstrap.servers").unwrap_or_default(),
        };
        let client = |kind: &str| client_config(properties, bootstrap, kind, &name);
        let (key, key_registry) = converter::read(properties, "key.converter")?;
        let (value, value_registry) = converter::read(properties, "value.converter")?;
        let settings = SourceSettings {
            capture: capture_config(properties, &prefix, &database.database, (key, value))?,
            key_registry,
            value_registry,
            query_timeout: milliseconds(properties, "database.query.timeout.ms", 600_000)?,
            slot: slot(properties)?,
            publication: publication(properties)?,
            snapshot: snapshot(properties)?,
            streaming: StreamingSettings::new(properties)?,
            status_interval: milliseconds(properties, "status.update.interval.ms", 10_000)?
                .unwrap_or(Duration::from_secs(10)),
            producer: client("producer")?,
            consumer: client("consumer")?,
            admin: client("admin")?,
            exactly_once: exactly_once(properties)?,
            topic_creation: TopicCreation::new(properties)?,
            heartbeat_action: properties.non_empty("heartbeat.action.query").map(str::to_owned),
            retry_wait: milliseconds(properties, "retriable.restart.connector.wait.ms", 10_000)?
                .unwrap_or(Duration::from_secs(10)),
            retry_budget: retry_budget(properties)?,
            offset_topic: properties.non_empty("offset.storage.topic").map(str::to_owned),
            require_durable: properties.boolean("cdcd.require.durable", false)?,
            name,
            database,
        };
        let _: u32 = properties.number("tasks.max", 1)?;
        report_unused(properties, &[SOURCE])?;
        Ok(settings)
    }

    /// What to ask a server of this version (as in `server_version_num`) for: logical decoding messages, too, as soon as
    /// it has them.
    pub fn stream_options(&self, server_version: u32) -> StreamOptions {
        StreamOptions {
            protocol: 1,
            publication: self.publication.name.clone(),
            messages: server_version >= 140_000,
            extra: self.slot.stream_params.clone(),
        }
    }
}

fn check_class(properties: &Properties) -> Result<(), PropertyError> {
    match properties.non_empty("connector.class") {
        None | Some(CONNECTOR_CLASS | "PostgresConnector") => {}
        Some(other) => {
            return Err(PropertyError::new("connector.class", format!("'{other}' is not {CONNECTOR_CLASS}"))
                .hint("cdcd capture runs PostgreSQL sources; a sink connector is run by cdcd sink"));
        }
    }
    match properties.non_empty("plugin.name") {
        Some("pgoutput") => Ok(()),
        None | Some("decoderbufs") => {
            tracing::warn!(
                "plugin.name is decoderbufs (Debezium's default) or unset: pgoutput is used, which every server has"
            );
            Ok(())
        }
        Some(other) => Err(PropertyError::new("plugin.name", format!("'{other}' is not pgoutput"))),
    }
}

fn database(properties: &Properties, name: &str) -> Result<cdcd_postgres::Config, PropertyError> {
    let file = |key: &str| properties.non_empty(key).map(Into::into);
    let timeout = milliseconds(properties, "database.connection.timeout.ms", 30_000)?;
    Ok(cdcd_postgres::Config {
        host: properties.required("database.hostname")?.to_owned(),
        port: properties.number("database.port", 5432)?,
        user: properties.required("database.user")?.to_owned(),
        password: properties.text("database.password").map(Secret::new),
        database: properties.required("database.dbname")?.to_owned(),
        ssl_mode: properties.choice(
            "database.sslmode",
            SslMode::Prefer,
            &[
                ("disable", SslMode::Disable),
                ("allow", SslMode::Allow),
                ("prefer", SslMode::Prefer),
                ("require", SslMode::Require),
                ("verify-ca", SslMode::VerifyCa),
                ("verify-full", SslMode::VerifyFull),
            ],
        )?,
        ssl_root_cert: file("database.sslrootcert"),
        ssl_cert: file("database.sslcert"),
        ssl_key: file("database.sslkey"),
        channel_binding: properties.choice(
            "driver.channelBinding",
            ChannelBinding::Prefer,
            &[
                ("disable", ChannelBinding::Disable),
                ("prefer", ChannelBinding::Prefer),
                ("require", ChannelBinding::Require),
            ],
        )?,
        connect_timeout: timeout.unwrap_or(Duration::from_secs(30)),
        application_name: format!("cdcd {name}"),
        initial_statements: statements(
            properties.non_empty("database.initial.statements").unwrap_or_default(),
        ),
    })
}

/// SQL between semicolons; two of them stand for one that is part of a statement.
fn statements(text: &str) -> Vec<String> {
    const KEPT: &str = "\u{0}";
    let parts = text.replace(";;", KEPT);
    let parts = parts.split(';').map(|part| part.trim().replace(KEPT, ";"));
    parts.filter(|part| !part.is_empty()).collect()
}

fn client_config(
    properties: &Properties,
    bootstrap: &str,
    kind: &str,
    name: &str,
) -> Result<ClientConfig, PropertyError> {
    let mut config = ClientConfig::new(bootstrap);
    config.set("client.id", format!("cdcd-{name}"));
    // Plain security.*, sasl.* and ssl.* are the worker's own; `producer.*` and the overrides come on top.
    let shared = ["security.", "sasl.", "ssl."];
    for prefix in shared {
        for (rest, value) in properties.with_prefix(prefix) {
            set_java(&mut config, &format!("{prefix}{rest}"), value)?;
        }
    }
    for prefix in [format!("{kind}."), format!("{kind}.override.")] {
        for (key, value) in properties.with_prefix(&prefix) {
            if !key.starts_with("override.") {
                set_java(&mut config, key, value)
                    .map_err(|error| PropertyError { key: format!("{prefix}{}", error.key), ..error })?;
            }
        }
    }
    Ok(config)
}

fn set_java(config: &mut ClientConfig, key: &str, value: &str) -> Result<(), PropertyError> {
    config.set_java(key, value).map_err(|error| match error {
        cdcd_kafka::Error::Config { key, problem } => PropertyError::new(key, problem),
        other => PropertyError::new(key, other.to_string()),
    })
}

fn capture_config(
    properties: &Properties,
    prefix: &str,
    database: &str,
    (key, value): (Converter, Converter),
) -> Result<cdcd_capture::Config, PropertyError> {
    let modes = modes(properties)?;
    Ok(cdcd_capture::Config {
        topic_prefix: prefix.to_owned(),
        topic_delimiter: properties.non_empty("topic.delimiter").unwrap_or(".").to_owned(),
        database: database.to_owned(),
        connector_version: modes.release.version().to_owned(),
        run_id: uuid::Uuid::now_v7().to_string(),
        filters: Filters {
            schemas: name_filter(properties, "schema")?,
            tables: name_filter(properties, "table")?,
            columns: name_filter(properties, "column")?,
            ignore_builtin: properties.boolean("table.ignore.builtin", true)?,
        },
        modes,
        column_rules: column_rules(properties)?,
        message_key_columns: message_key_columns(properties)?,
        tombstones_on_delete: properties.boolean("tombstones.on.delete", true)?,
        skipped_operations: skipped_operations(properties)?,
        skip_unchanged: properties.boolean("skip.messages.without.change", false)?,
        conversion_failure: properties.choice(
            "event.converting.failure.handling.mode",
            ConversionFailure::Fail,
            &[
                ("fail", ConversionFailure::Fail),
                ("warn", ConversionFailure::Warn),
                ("skip", ConversionFailure::Skip),
            ],
        )?,
        extended_headers: properties.boolean("extended.headers.enabled", true)?,
        event_ids: properties.boolean("cdcd.headers", false)?,
        key,
        value,
        schema_names: name_adjustment(properties, "schema.name.adjustment.mode")?,
        field_names: name_adjustment(properties, "field.name.adjustment.mode")?,
        transforms: transforms(properties, [key, value])?,
        heartbeat: heartbeat(properties, prefix)?,
        transactions: transactions(properties, prefix)?,
        messages: name_filter(properties, "message.prefix")?,
    })
}

/// `transforms` and `predicates`, with all that belongs to them.
fn transforms(properties: &Properties, converters: [Converter; 2]) -> Result<Chain, PropertyError> {
    let mut own = BTreeMap::new();
    for name in ["transforms", "predicates"] {
        own.extend(properties.text(name).map(|text| (name.to_owned(), text.to_owned())));
        let prefix = format!("{name}.");
        for (rest, text) in properties.with_prefix(&prefix) {
            own.insert(format!("{prefix}{rest}"), text.to_owned());
        }
    }
    let chain = Chain::new(&own).map_err(|error| PropertyError {
        key: error.key,
        problem: error.problem,
        hint: error.hint,
    })?;
    for (converter, key) in converters.iter().zip(["key.converter", "value.converter"]) {
        if chain.is_empty() && *converter == Converter::Bytes {
            return Err(PropertyError::new(
                key,
                "ByteArrayConverter takes bytes only, and a change event is a struct",
            )
            .hint("use JsonConverter, AvroConverter or StringConverter, or transforms that take bytes out of the event"));
        }
    }
    Ok(chain)
}

fn modes(properties: &Properties) -> Result<Modes, PropertyError> {
    let defaults = Modes::default();
    let placeholder = match properties.text("unavailable.value.placeholder") {
        None => defaults.unavailable_placeholder,
        Some(text) => match text.strip_prefix("hex:") {
            None => text.as_bytes().to_vec(),
            Some(hex) => decode_hex(hex).ok_or_else(|| {
                PropertyError::new(
                    "unavailable.value.placeholder",
                    "hex: is not followed by hexadecimal octets",
                )
            })?,
        },
    };
    let digits = properties.number("money.fraction.digits", defaults.money_fraction_digits)?;
    if !(0..=18).contains(&digits) {
        return Err(PropertyError::new("money.fraction.digits", "is not between 0 and 18"));
    }
    let release = properties.choice(
        "cdcd.compat.version",
        Release::V3_6,
        &[("3.6", Release::V3_6), ("3.7", Release::V3_7)],
    )?;
    let time = properties.choice(
        "time.precision.mode",
        TimeMode::Adaptive,
        &[
            ("adaptive", TimeMode::Adaptive),
            ("adaptive_time_microseconds", TimeMode::AdaptiveTimeMicroseconds),
            ("connect", TimeMode::Connect),
            ("isostring", TimeMode::IsoString),
            ("microseconds", TimeMode::Microseconds),
            ("nanoseconds", TimeMode::Nanoseconds),
            ("structured", TimeMode::Structured),
        ],
    )?;
    if time == TimeMode::Structured && release == Release::V3_6 {
        return Err(PropertyError::new(
            "time.precision.mode",
            "structured is Debezium 3.7's: set cdcd.compat.version=3.7 to write that release's events",
        ));
    }
    Ok(Modes {
        decimal: properties.choice(
            "decimal.handling.mode",
            DecimalMode::Precise,
            &[
                ("precise", DecimalMode::Precise),
                ("string", DecimalMode::String),
                ("double", DecimalMode::Double),
            ],
        )?,
        time,
        release,
        binary: properties.choice(
            "binary.handling.mode",
            BinaryMode::Bytes,
            &[
                ("bytes", BinaryMode::Bytes),
                ("base64", BinaryMode::Base64),
                ("base64-url-safe", BinaryMode::Base64UrlSafe),
                ("hex", BinaryMode::Hex),
            ],
        )?,
        interval: properties.choice(
            "interval.handling.mode",
            IntervalMode::Numeric,
            &[("numeric", IntervalMode::Numeric), ("string", IntervalMode::String)],
        )?,
        hstore: properties.choice(
            "hstore.handling.mode",
            HstoreMode::Json,
            &[("json", HstoreMode::Json), ("map", HstoreMode::Map)],
        )?,
        money_fraction_digits: digits,
        include_unknown: properties.boolean("include.unknown.datatypes", false)?,
        unavailable_placeholder: placeholder,
    })
}

fn decode_hex(hex: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let bytes = pairs.iter().map(|[high, low]| Some((digit(*high)? * 16 + digit(*low)?) as u8));
    if rest.is_empty() { bytes.collect() } else { None }
}

fn name_adjustment(properties: &Properties, key: &str) -> Result<NameAdjustment, PropertyError> {
    properties.choice(
        key,
        NameAdjustment::None,
        &[
            ("none", NameAdjustment::None),
            ("avro", NameAdjustment::Avro),
            ("avro_unicode", NameAdjustment::AvroUnicode),
        ],
    )
}

fn heartbeat(properties: &Properties, prefix: &str) -> Result<Option<Heartbeat>, PropertyError> {
    let interval = milliseconds(properties, "heartbeat.interval.ms", 0)?;
    let topic_prefix = properties.non_empty("topic.heartbeat.prefix").unwrap_or("__debezium-heartbeat");
    let delimiter = properties.non_empty("topic.delimiter").unwrap_or(".");
    let topic = match properties.non_empty("topic.heartbeat.name") {
        Some(name) => name.to_owned(),
        None => cdcd_debezium::topic::heartbeat_topic(topic_prefix, delimiter, prefix),
    };
    Ok(interval.map(|interval| Heartbeat { interval_ns: interval.as_nanos() as i64, topic }))
}

fn transactions(properties: &Properties, prefix: &str) -> Result<Option<TransactionTopic>, PropertyError> {
    let delimiter = properties.non_empty("topic.delimiter").unwrap_or(".");
    let name = properties.non_empty("topic.transaction").unwrap_or("transaction");
    let name = cdcd_debezium::topic::special_topic(prefix, delimiter, name);
    Ok(properties.boolean("provide.transaction.metadata", false)?.then_some(TransactionTopic { name }))
}

/// A duration; zero means off.
fn milliseconds(properties: &Properties, key: &str, default: u64) -> Result<Option<Duration>, PropertyError> {
    let value = properties.number(key, default)?;
    Ok((value > 0).then(|| Duration::from_millis(value)))
}

fn exactly_once(properties: &Properties) -> Result<ExactlyOnce, PropertyError> {
    let support = properties.choice(
        "exactly.once.support",
        ExactlyOnce::Requested,
        &[("requested", ExactlyOnce::Requested), ("required", ExactlyOnce::Required)],
    )?;
    let delivery = properties.choice(
        "cdcd.delivery",
        support,
        &[("exactly-once", support), ("at-least-once", ExactlyOnce::Off)],
    )?;
    if delivery == ExactlyOnce::Off && support == ExactlyOnce::Required {
        return Err(PropertyError::new(
            "cdcd.delivery",
            "is at-least-once, and exactly.once.support is required",
        ));
    }
    Ok(delivery)
}

fn retry_budget(properties: &Properties) -> Result<Duration, PropertyError> {
    let retries: i64 = properties.number("errors.max.retries", -1)?;
    let budget: u64 = properties.number("cdcd.retry.budget.ms", 300_000)?;
    Ok(if retries == 0 { Duration::ZERO } else { Duration::from_millis(budget) })
}

/// `<what>.include.list` or `<what>.exclude.list`, not both.
fn name_filter(properties: &Properties, what: &str) -> Result<NameFilter, PropertyError> {
    let include_key = format!("{what}.include.list");
    let exclude_key = format!("{what}.exclude.list");
    let include = patterns(properties, &include_key)?;
    let exclude = patterns(properties, &exclude_key)?;
    match (include.is_empty(), exclude.is_empty()) {
        (true, true) => Ok(NameFilter::All),
        (false, true) => Ok(NameFilter::Include(include)),
        (true, false) => Ok(NameFilter::Exclude(exclude)),
        (false, false) => {
            Err(PropertyError::new(include_key, format!("cannot be set together with {exclude_key}")))
        }
    }
}

fn patterns(properties: &Properties, key: &str) -> Result<Vec<Regex>, PropertyError> {
    properties.list(key).iter().map(|pattern| anchored(key, pattern)).collect()
}

/// An anchored, case-insensitive expression.
fn anchored(key: &str, pattern: &str) -> Result<Regex, PropertyError> {
    RegexBuilder::new(&format!("^(?:{pattern})$")).case_insensitive(true).build().map_err(|error| {
        PropertyError::new(key, format!("'{pattern}' is not an expression that can be used: {error}"))
            .hint("look-around and back-references of Java are not supported")
    })
}

/// Rules of single columns, in the order in which Debezium looks at them.
fn column_rules(properties: &Properties) -> Result<ColumnRules, PropertyError> {
    let mut actions = Vec::new();
    for (prefix, make) in [
        ("column.truncate.to.", Action::Truncate as fn(usize) -> Action),
        ("column.mask.with.", Action::Mask as fn(usize) -> Action),
    ] {
        for (rest, _) in properties.with_prefix(prefix) {
            let key = format!("{prefix}{rest}");
            let count = rest.strip_suffix(".chars").and_then(|count| count.parse().ok());
            let count = count.ok_or_else(|| PropertyError::new(&key, "is not followed by NUMBER.chars"))?;
            actions.push((patterns(properties, &key)?, make(count)));
        }
    }
    actions.extend(hashed(properties)?);
    Ok(ColumnRules {
        actions,
        propagate_columns: patterns(properties, "column.propagate.source.type")?,
        propagate_types: patterns(properties, "datatype.propagate.source.type")?,
    })
}

/// `column.mask.hash.*`: the first version stands before the second, whatever their columns are.
fn hashed(properties: &Properties) -> Result<Vec<(Vec<Regex>, Action)>, PropertyError> {
    let prefix = "column.mask.hash.";
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for (rest, _) in properties.with_prefix(prefix) {
        let key = format!("{prefix}{rest}");
        let (list, digested, rest) = match rest.strip_prefix("v2.") {
            Some(rest) => (&mut second, Digested::Text, rest),
            None => (&mut first, Digested::Serialized, rest),
        };
        let (name, salt) = rest
            .split_once(".with.salt.")
            .filter(|(_, salt)| !salt.is_empty())
            .ok_or_else(|| PropertyError::new(&key, "is not ALGORITHM.with.salt.SALT"))?;
        let algorithm = match name.to_ascii_uppercase().as_str() {
            "MD5" => Algorithm::Md5,
            "SHA-224" => Algorithm::Sha224,
            "SHA-256" => Algorithm::Sha256,
            "SHA-384" => Algorithm::Sha384,
            "SHA-512" => Algorithm::Sha512,
            _ => {
                let what =
                    format!("has the algorithm '{name}': want MD5, SHA-224, SHA-256, SHA-384 or SHA-512");
                return Err(PropertyError::new(&key, what));
            }
        };
        let hashing = Hashing { algorithm, digested, salt: salt.to_owned() };
        list.push((patterns(properties, &key)?, Action::Hash(hashing)));
    }
    first.append(&mut second);
    Ok(first)
}

fn message_key_columns(properties: &Properties) -> Result<Vec<KeyColumns>, PropertyError> {
    let key = "message.key.columns";
    let Some(text) = properties.non_empty(key) else { return Ok(Vec::new()) };
    let entries = text.split(';').map(str::trim).filter(|entry| !entry.is_empty());
    entries
        .map(|entry| {
            let (table, columns) = entry
                .split_once(':')
                .ok_or_else(|| PropertyError::new(key, format!("'{entry}' is not schema.table:column,…")))?;
            let columns = columns.split(',').map(|column| column.trim().to_owned()).collect();
            Ok(KeyColumns { table: anchored(key, table.trim())?, columns })
        })
        .collect()
}

fn skipped_operations(properties: &Properties) -> Result<SkippedOperations, PropertyError> {
    let key = "skipped.operations";
    let list = properties.list(key);
    if list.is_empty() {
        return Ok(SkippedOperations::default());
    }
    let mut skipped = SkippedOperations { create: false, update: false, delete: false, truncate: false };
    for operation in &list {
        match operation.as_str() {
            "c" => skipped.create = true,
            "u" => skipped.update = true,
            "d" => skipped.delete = true,
            "t" => skipped.truncate = true,
            "none" => {}
            other => {
                return Err(PropertyError::new(key, format!("'{other}' is not one of c, u, d, t, none")));
            }
        }
    }
    Ok(skipped)
}

fn slot(properties: &Properties) -> Result<SlotSettings, PropertyError> {
    let name = properties.non_empty("slot.name").unwrap_or("debezium").to_owned();
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.len() > 63 || !name.chars().all(valid) {
        return Err(PropertyError::new(
            "slot.name",
            format!("'{name}' is not 1 to 63 lower-case letters, digits and underscores"),
        ));
    }
    let params = properties.non_empty("slot.stream.params").unwrap_or_default();
    let stream_params = params
        .split(';')
        .filter(|pair| !pair.trim().is_empty())
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) => Ok((name.trim().to_owned(), value.trim().to_owned())),
            None => Err(PropertyError::new("slot.stream.params", format!("'{pair}' is not name=value"))),
        })
        .collect::<Result<_, _>>()?;
    Ok(SlotSettings {
        name,
        failover: properties.boolean("slot.failover", false)?,
        drop_on_stop: properties.boolean("slot.drop.on.stop", false)?,
        stream_params,
        mismatch: properties.choice(
            "offset.mismatch.strategy",
            MismatchStrategy::Stop,
            &[
                ("no_validation", MismatchStrategy::Stop),
                ("trust_offset", MismatchStrategy::Stop),
                ("trust_slot", MismatchStrategy::TrustSlot),
                ("trust_greater_lsn", MismatchStrategy::TrustSlot),
            ],
        )?,
        max_retries: properties.number("slot.max.retries", 6)?,
        retry_delay: Duration::from_millis(properties.number("slot.retry.delay.ms", 10_000)?),
    })
}

fn publication(properties: &Properties) -> Result<PublicationSettings, PropertyError> {
    let explicit = properties.non_empty("skipped.operations").is_some();
    let skipped = skipped_operations(properties)?;
    let operations = [
        ("insert", skipped.create),
        ("update", skipped.update),
        ("delete", skipped.delete),
        ("truncate", skipped.truncate),
    ];
    let publish =
        operations.iter().filter(|(_, skipped)| !skipped).map(|(name, _)| *name).collect::<Vec<_>>();
    Ok(PublicationSettings {
        name: properties.non_empty("publication.name").unwrap_or("dbz_publication").to_owned(),
        auto_create: properties.choice(
            "publication.autocreate.mode",
            AutoCreate::AllTables,
            &[
                ("disabled", AutoCreate::Disabled),
                ("all_tables", AutoCreate::AllTables),
                ("filtered", AutoCreate::Filtered),
                ("no_tables", AutoCreate::NoTables),
            ],
        )?,
        via_partition_root: properties.boolean("publish.via.partition.root", false)?,
        publish: explicit.then(|| publish.join(", ")),
        identities: identities(properties)?,
    })
}

fn identities(properties: &Properties) -> Result<Vec<IdentityRule>, PropertyError> {
    let key = "replica.identity.autoset.values";
    let entries = properties.list(key).into_iter();
    let rule = |entry: String| {
        let wrong = || {
            PropertyError::new(key, format!("'{entry}' is not schema.table:IDENTITY"))
                .hint("identities are DEFAULT, FULL, NOTHING and INDEX name")
        };
        let (table, identity) = entry.rsplit_once(':').ok_or_else(wrong)?;
        let identity = match identity.trim().split_once(' ') {
            None if identity.trim() == "DEFAULT" => WantedIdentity::Default,
            None if identity.trim() == "FULL" => WantedIdentity::Full,
            None if identity.trim() == "NOTHING" => WantedIdentity::Nothing,
            Some(("INDEX", name)) => WantedIdentity::Index(name.trim().to_owned()),
            _ => return Err(wrong()),
        };
        Ok(IdentityRule { table: anchored(key, table)?, identity })
    };
    entries.map(rule).collect()
}

fn snapshot(properties: &Properties) -> Result<SnapshotSettings, PropertyError> {
    let mode = properties.choice(
        "snapshot.mode",
        SnapshotMode::Initial,
        &[
            ("initial", SnapshotMode::Initial),
            ("initial_only", SnapshotMode::InitialOnly),
            ("no_data", SnapshotMode::NoData),
            ("never", SnapshotMode::NoData),
            ("always", SnapshotMode::Always),
            ("when_needed", SnapshotMode::WhenNeeded),
        ],
    )?;
    if properties.non_empty("snapshot.mode") == Some("never") {
        tracing::warn!("snapshot.mode=never is Debezium 2.x: it is read as no_data");
    }
    let include = patterns(properties, "snapshot.include.collection.list")?;
    let listed = properties.list("snapshot.select.statement.overrides");
    let mut overrides = BTreeMap::new();
    for table in listed {
        let key = format!("snapshot.select.statement.overrides.{table}");
        overrides.insert(table, properties.required(&key)?.to_owned());
    }
    Ok(SnapshotSettings {
        mode,
        tables: if include.is_empty() { NameFilter::All } else { NameFilter::Include(include) },
        overrides,
        sessions: properties.number("snapshot.max.threads", NonZeroU16::MIN)?,
        delay: milliseconds(properties, "snapshot.delay.ms", 0)?,
        streaming_delay: milliseconds(properties, "streaming.delay.ms", 0)?,
    })
}

impl TopicCreation {
    fn new(properties: &Properties) -> Result<Self, PropertyError> {
        let mut groups = properties.list("topic.creation.groups");
        let has_default = properties.with_prefix("topic.creation.default.").next().is_some();
        if groups.is_empty() && !has_default {
            return Ok(TopicCreation::default());
        }
        groups.push("default".to_owned());
        let rules = groups.iter().map(|group| TopicRule::new(properties, group)).collect::<Result<_, _>>()?;
        Ok(TopicCreation { rules })
    }

    /// How to make `topic`; `None` if the broker is to do it.
    pub fn spec(&self, topic: &str) -> Option<TopicSpec> {
        let matches = |list: &[Regex]| list.iter().any(|pattern| pattern.is_match(topic));
        let rule = self.rules.iter().find(|rule| matches(&rule.include) && !matches(&rule.exclude))?;
        Some(TopicSpec {
            name: topic.to_owned(),
            partitions: rule.partitions,
            replication_factor: rule.replication_factor,
            config: rule.config.clone(),
        })
    }
}

impl TopicRule {
    fn new(properties: &Properties, group: &str) -> Result<Self, PropertyError> {
        let key = |name: &str| format!("topic.creation.{group}.{name}");
        let is_default = group == "default";
        let required_number = |name: &str| -> Result<i32, PropertyError> {
            if is_default {
                properties.required(&key(name))?;
            }
            properties.number(&key(name), -1)
        };
        let include = match is_default {
            true => vec![anchored("topic.creation.default.include", ".*")?],
            false => patterns(properties, &key("include"))?,
        };
        let prefix = format!("topic.creation.{group}.");
        let own = ["include", "exclude", "partitions", "replication.factor"];
        let config = properties
            .with_prefix(&prefix)
            .filter(|(name, _)| !own.contains(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Ok(TopicRule {
            include,
            exclude: patterns(properties, &key("exclude"))?,
            partitions: required_number("partitions")?,
            replication_factor: required_number("replication.factor")?,
            config,
        })
    }
}

#[cfg(test)]
mod tests {
    use cdcd_capture::converter::JsonOptions;

    use super::*;
    use crate::connector::properties::Origin;
    use cdcd_debezium::transform::unwrap::Deletes;

    fn properties(pairs: &[(&str, &str)]) -> Properties {
        let mut properties = Properties::default();
        let required = [
            ("topic.prefix", "cdc"),
            ("database.hostname", "h"),
            ("database.user", "u"),
            ("database.dbname", "d"),
            ("bootstrap.servers", "b:1"),
        ];
        for (key, value) in required.iter().chain(pairs) {
            properties.set(*key, *value, Origin::Connector);
        }
        properties
    }

    fn error(pairs: &[(&str, &str)]) -> String {
        SourceSettings::new(&properties(pairs), KafkaNeed::Required).unwrap_err().to_string()
    }

    #[test]
    fn defaults_are_debeziums() {
        let settings = SourceSettings::new(&properties(&[]), KafkaNeed::Required).unwrap();
        assert_eq!(settings.name, "cdc");
        assert_eq!(settings.slot.name, "debezium");
        assert_eq!(settings.publication.name, "dbz_publication");
        assert_eq!(settings.publication.auto_create, AutoCreate::AllTables);
        assert_eq!(settings.publication.publish, None);
        assert_eq!(settings.database.port, 5432);
        assert_eq!(settings.capture.key, Converter::Json(JsonOptions::default()));
        assert_eq!(settings.capture.value, settings.capture.key);
        assert!(settings.topic_creation.spec("cdc.public.t").is_none());
    }

    #[test]
    fn events_are_those_of_3_6_unless_3_7_is_asked_for() {
        let capture = |pairs: &[(&str, &str)]| {
            SourceSettings::new(&properties(pairs), KafkaNeed::Required).unwrap().capture
        };
        assert_eq!(capture(&[]).connector_version, "3.6.3.Final");
        let newer = [("cdcd.compat.version", "3.7"), ("time.precision.mode", "structured")];
        let newer = capture(&newer);
        assert_eq!(
            (newer.connector_version.as_str(), newer.modes.time),
            ("3.7.0.Final", TimeMode::Structured)
        );
    }

    #[test]
    fn wrong_properties_name_their_key() {
        for (pairs, expected) in [
            (&[("topic.prefix", "a b")][..], "topic.prefix"),
            (&[("slot.name", "My-Slot")], "slot.name"),
            (&[("table.include.list", "a"), ("table.exclude.list", "b")], "table.include.list"),
            (&[("table.include.list", "a(?=b)")], "table.include.list"),
            (&[("decimal.handling.mode", "exact")], "decimal.handling.mode"),
            (&[("value.converter", "com.acme.Mine")], "value.converter"),
            (&[("transforms", "unwrap")], "transforms.unwrap.type"),
            (&[("transforms", "x"), ("transforms.x.type", "com.acme.Mine")], "transforms.x.type"),
            (
                &[("transforms", "x"), ("transforms.x.type", "RegexRouter"), ("transforms.x.regx", "a")],
                "transforms.x.regx",
            ),
            (&[("predicates", "p"), ("predicates.p.type", "com.acme.Mine")], "predicates.p.type"),
            (&[("converters", "isbn")], "converters"),
            (&[("connector.class", "com.acme.Mine")], "connector.class"),
            (&[("database.port", "fivethousand")], "database.port"),
            (&[("cdcd.delivery", "maybe")], "cdcd.delivery"),
            (&[("cdcd.compat.version", "2.7")], "cdcd.compat.version"),
            (&[("time.precision.mode", "structured")], "time.precision.mode"),
            (&[("cdcd.delivery", "at-least-once"), ("exactly.once.support", "required")], "cdcd.delivery"),
            (&[("column.truncate.to.x.chars", "a")], "column.truncate.to.x.chars"),
            (&[("column.mask.hash.SHA-1.with.salt.s", "a")], "column.mask.hash.SHA-1.with.salt.s"),
            (&[("column.mask.hash.SHA-256.with.salt.", "a")], "column.mask.hash.SHA-256.with.salt."),
            (&[("column.mask.hash.v2.CRC.with.salt.s", "a")], "column.mask.hash.v2.CRC.with.salt.s"),
            (
                &[("producer.override.ssl.keystore.location", "/x.jks")],
                "producer.override.ssl.keystore.location",
            ),
        ] {
            let message = error(pairs);
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn transforms_go_with_every_converter_and_bytes_with_nothing_else() {
        let unwrap = [("transforms", "u"), ("transforms.u.type", "ExtractNewRecordState")];
        let (avro, url) = ("io.confluent.connect.avro.AvroConverter", "http://registry:8081");
        let bytes = "org.apache.kafka.connect.converters.ByteArrayConverter";
        for converter in [
            &[("key.converter", "org.apache.kafka.connect.storage.StringConverter")][..],
            &[("value.converter", avro), ("value.converter.schema.registry.url", url)],
            &[("value.converter", bytes)],
        ] {
            let all = [&unwrap[..], converter].concat();
            assert!(SourceSettings::new(&properties(&all), KafkaNeed::Required).is_ok(), "{converter:?}");
        }
        let message = error(&[("key.converter", bytes)]);
        assert!(message.starts_with("key.converter: ByteArrayConverter takes bytes only"), "{message}");
    }

    #[test]
    fn the_server_is_reached_as_the_properties_say() {
        let settings = |pairs: &[(&str, &str)]| SourceSettings::new(&properties(pairs), KafkaNeed::Required);
        let given = settings(&[
            ("database.sslmode", "verify-full"),
            ("database.sslrootcert", "ca.pem"),
            ("database.sslcert", "me.pem"),
            ("database.sslkey", "me.key"),
            ("driver.channelBinding", "require"),
            ("database.query.timeout.ms", "0"),
            ("database.connection.timeout.ms", "1500"),
        ])
        .unwrap();
        let file = |name: &str| Some(std::path::PathBuf::from(name));
        assert_eq!(given.database.ssl_mode, SslMode::VerifyFull);
        assert_eq!(given.database.ssl_root_cert, file("ca.pem"));
        assert_eq!(given.database.ssl_cert, file("me.pem"));
        assert_eq!(given.database.ssl_key, file("me.key"));
        assert_eq!(given.database.channel_binding, ChannelBinding::Require);
        assert_eq!(given.query_timeout, None);
        assert_eq!(given.database.connect_timeout, Duration::from_millis(1500));
        let other = settings(&[]).unwrap();
        assert_eq!(other.query_timeout, Some(Duration::from_secs(600)));
        assert_eq!(other.database.channel_binding, ChannelBinding::Prefer);
        assert!(error(&[("driver.channelBinding", "maybe")]).starts_with("driver.channelBinding"));
    }

    #[test]
    fn the_slot_is_used_as_the_properties_say() {
        let slot = |pairs: &[(&str, &str)]| {
            SourceSettings::new(&properties(pairs), KafkaNeed::Required).unwrap().slot
        };
        let given = slot(&[
            ("slot.failover", "true"),
            ("slot.drop.on.stop", "true"),
            ("slot.stream.params", "origin=none; two_phase = off"),
            ("slot.max.retries", "2"),
            ("slot.retry.delay.ms", "250"),
            ("offset.mismatch.strategy", "trust_greater_lsn"),
        ]);
        assert!(given.failover && given.drop_on_stop);
        let param = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(given.stream_params, [param("origin", "none"), param("two_phase", "off")]);
        assert_eq!((given.max_retries, given.retry_delay), (2, Duration::from_millis(250)));
        assert_eq!(given.mismatch, MismatchStrategy::TrustSlot);
        let other = slot(&[("offset.mismatch.strategy", "trust_offset")]);
        assert!(!other.failover && !other.drop_on_stop && other.stream_params.is_empty());
        assert_eq!((other.max_retries, other.retry_delay), (6, Duration::from_secs(10)));
        assert_eq!(other.mismatch, MismatchStrategy::Stop);
        assert!(error(&[("slot.stream.params", "origin")]).starts_with("slot.stream.params"));
    }

    #[test]
    fn heartbeats_go_where_the_properties_say() {
        let topic = |pairs: &[(&str, &str)]| {
            let pairs = [&[("heartbeat.interval.ms", "250")], pairs].concat();
            let settings = SourceSettings::new(&properties(&pairs), KafkaNeed::Required).unwrap();
            let heartbeat = settings.capture.heartbeat.unwrap();
            assert_eq!(heartbeat.interval_ns, 250_000_000);
            heartbeat.topic
        };
        assert_eq!(topic(&[]), "__debezium-heartbeat.cdc");
        assert_eq!(topic(&[("topic.heartbeat.prefix", "beats")]), "beats.cdc");
        assert_eq!(topic(&[("topic.heartbeat.prefix", "beats"), ("topic.heartbeat.name", "one")]), "one");
        let off = SourceSettings::new(&properties(&[]), KafkaNeed::Required).unwrap();
        assert!(off.capture.heartbeat.is_none());
    }

    #[test]
    fn statements_end_with_a_semicolon_and_two_are_one() {
        let given = [("database.initial.statements", "SET a TO 1; SELECT ';;' ;")];
        let settings = SourceSettings::new(&properties(&given), KafkaNeed::Required).unwrap();
        assert_eq!(settings.database.initial_statements, ["SET a TO 1", "SELECT ';'"]);
    }

    #[test]
    fn identities_are_set_for_tables_by_name() {
        let given = [(
            "replica.identity.autoset.values",
            r"public\.a:FULL, public\.(b|c):INDEX by_name,x\.y:NOTHING",
        )];
        let settings = SourceSettings::new(&properties(&given), KafkaNeed::Required).unwrap();
        let rules = settings.publication.identities;
        let of = |name: &str| {
            rules.iter().filter(|r| r.table.is_match(name)).map(|r| &r.identity).collect::<Vec<_>>()
        };
        assert_eq!(of("public.a"), [&WantedIdentity::Full]);
        assert_eq!(of("public.c"), [&WantedIdentity::Index("by_name".to_owned())]);
        assert_eq!(of("public.ab"), [&WantedIdentity::Nothing; 0]);
        for wrong in ["public.a", "public.a:full", "public.a:INDEX"] {
            assert!(error(&[("replica.identity.autoset.values", wrong)]).contains("IDENTITY"), "{wrong}");
        }
    }

    #[test]
    fn built_in_tables_are_left_alone_unless_they_are_asked_for() {
        for (value, expected) in [("true", false), ("false", true)] {
            let settings =
                SourceSettings::new(&properties(&[("table.ignore.builtin", value)]), KafkaNeed::Required);
            let filters = settings.unwrap().capture.filters;
            assert_eq!(filters.captures("public", "spatial_ref_sys"), expected);
            assert!(filters.captures("public", "mine"));
        }
    }

    #[test]
    fn clients_are_overridden_apart() {
        let pairs = [
            ("producer.override.linger.ms", "7"),
            ("consumer.override.fetch.min.bytes", "2"),
            ("admin.override.request.timeout.ms", "1234"),
        ];
        let settings = SourceSettings::new(&properties(&pairs), KafkaNeed::Required).unwrap();
        let has =
            |config: &ClientConfig, value: &str| format!("{config:?}").contains(&format!("\"{value}\""));
        let clients = [&settings.producer, &settings.consumer, &settings.admin];
        for (at, value) in ["7", "2", "1234"].into_iter().enumerate() {
            for (index, client) in clients.iter().enumerate() {
                assert_eq!(has(client, value), index == at, "{value} in {client:?}");
            }
        }
    }

    /// The shop pipeline's connector as it is described in three places, apart from the password.
    #[test]
    fn a_connector_of_debezium_2_starts_unchanged() {
        let script = r#"{
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "database.hostname": "postgres", "database.port": "5432", "database.user": "postgres",
            "database.password": "x", "database.dbname": "cdc_demo", "database.server.name": "cdc-server",
            "topic.prefix": "cdc", "table.include.list": "public.users,public.products,public.orders",
            "plugin.name": "pgoutput", "publication.autocreate.mode": "filtered", "slot.name": "debezium_slot",
            "key.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "key.converter.schemas.enable": "false", "value.converter.schemas.enable": "false",
            "transforms": "unwrap",
            "transforms.unwrap.type": "io.debezium.transforms.ExtractNewRecordState",
            "transforms.unwrap.add.fields": "op,ts_ms,source",
            "heartbeat.interval.ms": "5000"
        }"#;
        let manager = [
            ("transforms.unwrap.delete.handling.mode", Some("rewrite")),
            ("schema.history.internal.kafka.bootstrap.servers", Some("kafka:29092")),
            ("schema.history.internal.kafka.topic", Some("schema-changes.cdc")),
            ("slot.name", None),
            ("publication.autocreate.mode", None),
        ];
        let dag = [("transforms", None), ("transforms.unwrap.type", None), ("heartbeat.interval.ms", None)];
        for changes in [&[][..], &manager, &dag] {
            let mut pairs: BTreeMap<String, String> = serde_json::from_str(script).unwrap();
            for (key, value) in changes {
                match value {
                    Some(value) => pairs.insert((*key).to_owned(), (*value).to_owned()),
                    None => pairs.remove(*key),
                };
            }
            let mut properties = Properties::default();
            for (key, value) in &pairs {
                properties.set(key, value, Origin::Connector);
            }
            properties.set("bootstrap.servers", "kafka:9092", Origin::CommandLine);
            let settings = SourceSettings::new(&properties, KafkaNeed::Required).unwrap();
            let resolved = settings.capture.transforms.resolve("cdc.public.users").unwrap();
            assert_eq!(resolved.topic, "cdc.public.users");
            let deletes = resolved.unwrap.map(|unwrap| unwrap.deletes);
            let expected = match pairs.contains_key("transforms.unwrap.delete.handling.mode") {
                true => Some(Deletes::Rewrite),
                false => pairs.contains_key("transforms").then_some(Deletes::Null),
            };
            assert_eq!(deletes, expected);
        }
    }

    #[test]
    fn transactions_and_messages_are_told_as_the_properties_say() {
        let read = |pairs: &[(&str, &str)]| SourceSettings::new(&properties(pairs), KafkaNeed::Required);
        let plain = read(&[("topic.transaction", "tx")]).unwrap();
        assert_eq!(plain.capture.transactions, None);
        assert!(plain.capture.messages.passes("any"));
        let text = |version| plain.stream_options(version).text();
        assert!(text(140_000).ends_with(", messages 'true'") && !text(130_020).contains("messages"));
        let both = [("provide.transaction.metadata", "true"), ("topic.delimiter", "-")];
        let name = |settings: SourceSettings| settings.capture.transactions.unwrap().name;
        let prefix = plain.capture.topic_prefix.clone();
        assert_eq!(name(read(&both).unwrap()), format!("{prefix}-transaction"));
        assert_eq!(name(read(&[both[0], ("topic.transaction", "tx")]).unwrap()), format!("{prefix}.tx"));
        let lists = [("message.prefix.include.list", "A.*"), ("message.prefix.exclude.list", "b")];
        let some = read(&lists[..1]).unwrap().capture.messages;
        assert!(some.passes("abc") && !some.passes("bab"));
        assert_eq!(read(&lists).unwrap_err().key, "message.prefix.include.list");
    }

    #[test]
    fn topic_groups_come_before_the_default() {
        let pairs = [
            ("topic.creation.groups", "big"),
            ("topic.creation.big.include", "cdc\\.public\\.big.*"),
            ("topic.creation.big.partitions", "12"),
            ("topic.creation.big.cleanup.policy", "compact"),
            ("topic.creation.default.partitions", "3"),
            ("topic.creation.default.replication.factor", "1"),
        ];
        let settings = SourceSettings::new(&properties(&pairs), KafkaNeed::Required).unwrap();
        let big = settings.topic_creation.spec("cdc.public.big_one").unwrap();
        assert_eq!((big.partitions, big.replication_factor), (12, -1));
        assert_eq!(big.config, [("cleanup.policy".to_owned(), "compact".to_owned())]);
        assert_eq!(settings.topic_creation.spec("cdc.public.t").unwrap().partitions, 3);
    }
}
