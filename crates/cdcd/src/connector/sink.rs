//! A sink connector's properties as the settings of the crates that do the work.

use super::known::report_unused;
use super::known_sink::SINK;
use super::properties::{Origin, Properties, PropertyError};
use cdcd_kafka::ClientConfig;
use cdcd_kafka::consumer::Topics;
use cdcd_sink::config::{
    Config, DecimalMode, DeleteMode, Landing, Malformed, Metadata, Modes, Rejected, TableMode, TimeMode,
    Tombstones,
};
use cdcd_sink::destination::{Audit, Constant};
use cdcd_sink::row::column;
use cdcd_sink::table::destination_name;
use cdcd_snowflake::Secret;
use std::time::Duration;

use cdcd_debezium::event::schema::BytesNotation;

/// Everything that a sink needs to start.
#[derive(Debug)]
pub struct SinkSettings {
    /// The connector's name.
    pub name: String,
    /// The consumer's client settings, `group.id` included.
    pub consumer: ClientConfig,
    /// What to read.
    pub topics: Topics,
    /// Where to begin without a token and without a group offset.
    pub reset: Reset,
    /// The state machine's settings.
    pub sink: Config,
    /// The account.
    pub snowflake: cdcd_snowflake::Config,
    /// Topic names to table names.
    pub routes: Routes,
    /// Where records go that cannot be read.
    pub dead_letters: Option<DeadLetterTopic>,
    /// What to say at start.
    pub warnings: Vec<String>,
}

/// `auto.offset.reset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// The first offset of the log.
    Earliest,
    /// The end of the log.
    Latest,
    /// Refuse to start.
    None,
}

/// The dead letter topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterTopic {
    /// Its name.
    pub name: String,
    /// Wanted when it must be made; bounded by the number of brokers.
    pub replication_factor: i32,
}

/// How a topic finds its table.
#[derive(Debug, Clone)]
pub struct Routes {
    map: Vec<(String, Option<regex::Regex>, String)>,
    naming: Naming,
}

/// The table of a topic that no route names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// As Snowflake's connector: the topic if it is an identifier, else mangled with its hash.
    Mangled,
    /// The last part of `prefix.schema.table`.
    LastPart,
}

impl Routes {
    /// The table of `topic`, in upper case.
    pub fn table(&self, topic: &str) -> String {
        let exact = self.map.iter().find(|(key, ..)| key == topic);
        let matching = || {
            self.map.iter().find(|(_, regex, _)| regex.as_ref().is_some_and(|regex| regex.is_match(topic)))
        };
        if let Some((_, _, table)) = exact.or_else(matching) {
            return table.to_uppercase();
        }
        match self.naming {
            Naming::Mangled => mangled(topic).to_uppercase(),
            Naming::LastPart => identifier_of(topic.rsplit('.').next().unwrap_or(topic)).to_uppercase(),
        }
    }

    /// Routes that match none of `topics`: likely a mistake.
    pub(crate) fn idle<'r>(&'r self, topics: &'r [String]) -> impl Iterator<Item = &'r str> {
        let used = |key: &str, regex: &Option<regex::Regex>| {
            topics
                .iter()
                .any(|topic| topic == key || regex.as_ref().is_some_and(|regex| regex.is_match(topic)))
        };
        self.map.iter().filter(move |(key, regex, _)| !used(key, regex)).map(|(key, ..)| key.as_str())
    }
}

/// Snowflake's table name for a topic: what is no identifier gets `_` for each foreign character, and the absolute
/// value of Java's `String.hashCode`.
fn mangled(topic: &str) -> String {
    if is_identifier(topic) {
        return topic.to_owned();
    }
    let hash =
        topic.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    format!("{}_{}", identifier_of(&topic.replace(".*", "")), hash.unsigned_abs())
}

fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    let first = chars.next().is_some_and(|c| c == '_' || c.is_ascii_alphabetic());
    first && text.len() > 1 && chars.all(|c| matches!(c, '_' | '$') || c.is_ascii_alphanumeric())
}

fn identifier_of(text: &str) -> String {
    let fits = |(at, c): (usize, char)| match c {
        '_' => c,
        c if c.is_ascii_alphabetic() => c,
        c if at > 0 && (c == '$' || c.is_ascii_digit()) => c,
        _ => '_',
    };
    text.chars().enumerate().map(fits).collect()
}

/// The environment's names for sink properties: pipeline variables, SnowSQL's family, and the Confluent image's.
/// Later names win over earlier ones.
const ENVIRONMENT: &[(&str, &str, Origin)] = &[
    ("SNOWFLAKE_URL", "snowflake.url.name", Origin::Environment),
    ("SNOWFLAKE_ACCOUNT", "snowflake.url.name", Origin::Environment),
    ("SNOWSQL_ACCOUNT", "snowflake.url.name", Origin::Environment),
    ("SNOWFLAKE_USER", "snowflake.user.name", Origin::Environment),
    ("SNOWSQL_USER", "snowflake.user.name", Origin::Environment),
    ("SNOWFLAKE_ROLE", "snowflake.role.name", Origin::Environment),
    ("SNOWSQL_ROLE", "snowflake.role.name", Origin::Environment),
    ("SNOWFLAKE_DB", "snowflake.database.name", Origin::Environment),
    ("SNOWFLAKE_DATABASE", "snowflake.database.name", Origin::Environment),
    ("SNOWSQL_DATABASE", "snowflake.database.name", Origin::Environment),
    ("SNOWFLAKE_SCHEMA", "snowflake.schema.name", Origin::Environment),
    ("SNOWSQL_SCHEMA", "snowflake.schema.name", Origin::Environment),
    ("SNOWFLAKE_WH", "cdcd.snowflake.warehouse", Origin::Environment),
    ("SNOWFLAKE_WAREHOUSE", "cdcd.snowflake.warehouse", Origin::Environment),
    ("SNOWSQL_WAREHOUSE", "cdcd.snowflake.warehouse", Origin::Environment),
    ("SNOWFLAKE_PRIVATE_KEY", "snowflake.private.key", Origin::Environment),
    ("SNOWSQL_PRIVATE_KEY", "snowflake.private.key", Origin::Environment),
    ("SNOWFLAKE_PASS", "snowflake.password", Origin::Environment),
    ("SNOWFLAKE_PASSWORD", "snowflake.password", Origin::Environment),
    ("KAFKA_BOOTSTRAP_SERVERS", "bootstrap.servers", Origin::ImageEnvironment),
    ("KAFKA_TOPIC", "topics", Origin::ImageEnvironment),
    ("KAFKA_GROUP_ID", "consumer.group.id", Origin::ImageEnvironment),
    ("BATCH_SIZE", "buffer.count.records", Origin::ImageEnvironment),
    ("BATCH_TIMEOUT", "buffer.flush.time", Origin::ImageEnvironment),
];

/// Takes what the environment says about a sink, and tells which of two rival names won.
pub fn add_environment(properties: &mut Properties, look_up: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut notes = Vec::new();
    let mut winners: Vec<(&str, &str)> = Vec::new();
    for (variable, key, origin) in ENVIRONMENT {
        let Some(value) = look_up(variable).filter(|value| !value.is_empty()) else { continue };
        if let Some((earlier, _)) = winners.iter().find(|(_, taken)| taken == key) {
            notes.push(format!("{key}: {variable} is used, not {earlier}"));
        }
        winners.retain(|(_, taken)| taken != key);
        winners.push((variable, key));
        properties.set(*key, value, *origin);
    }
    notes
}

impl SinkSettings {
    /// Reads all properties of a sink.
    ///
    /// # Errors
    /// The first property that cannot be used.
    pub fn read(properties: &Properties) -> Result<Self, PropertyError> {
        let name = properties.required("name")?.to_owned();
        let landing = landing(properties)?;
        refuse_what_is_not_there(properties)?;
        let mut warnings = Vec::new();
        let topics = topics(properties)?;
        let routes = routes(properties, landing, &topics, &mut warnings)?;
        let dead_letters = dead_letters(properties, &mut warnings)?;
        let mut sink = sink(properties, &name, landing)?;
        if dead_letters.is_some() {
            sink.malformed = Malformed::DeadLetter;
        }
        let (consumer, reset) = consumer(properties, &name)?;
        let snowflake = snowflake(properties)?;
        if sink.mode == TableMode::Merge && snowflake.warehouse.is_none() {
            warnings.push(
                "cdcd.snowflake.warehouse is not set: merges need the user's default warehouse".to_owned(),
            );
        }
        report_unused(properties, &[SINK])?;
        Ok(SinkSettings { name, consumer, topics, reset, sink, snowflake, routes, dead_letters, warnings })
    }
}

const VARIANT_CLASS: &str = "com.snowflake.kafka.connector.SnowflakeSinkConnector";
const TYPED_CLASS: &str = "com.snowflake.kafka.connector.SnowflakeStreamingSinkConnector";

/// `cdcd.landing` decides; else the official connector's class and schematization, with their defaults.
fn landing(properties: &Properties) -> Result<Landing, PropertyError> {
    let schematized = match properties.non_empty("connector.class") {
        Some(VARIANT_CLASS) => false,
        None | Some(TYPED_CLASS) => true,
        Some(other) => {
            return Err(PropertyError::new(
                "connector.class",
                format!("'{other}' is not a sink that cdcd replaces"),
            )
            .hint(format!("use {VARIANT_CLASS} or {TYPED_CLASS}, or leave it out")));
        }
    };
    let schematized = properties.boolean("snowflake.enable.schematization", schematized)?;
    let default = if schematized { Landing::Log } else { Landing::Variant };
    properties.choice(
        "cdcd.landing",
        default,
        &[("log", Landing::Log), ("variant", Landing::Variant), ("id_data", Landing::IdData)],
    )
}

/// What would change data, and is not there.
fn refuse_what_is_not_there(properties: &Properties) -> Result<(), PropertyError> {
    const JSON: [&str; 2] = [
        "org.apache.kafka.connect.json.JsonConverter",
        "com.snowflake.kafka.connector.records.SnowflakeJsonConverter",
    ];
    const STRING: &str = "org.apache.kafka.connect.storage.StringConverter";
    for (key, also) in [("key.converter", Some(STRING)), ("value.converter", None)] {
        match properties.non_empty(key) {
            Some(class) if !JSON.contains(&class) && also != Some(class) => {
                return Err(PropertyError::new(key, format!("converter '{class}' is not there yet")).hint(
                    format!("the topics have to hold JSON: {} in the source connector and here", JSON[0]),
                ));
            }
            _ => {}
        }
    }
    if properties.non_empty("transforms").is_some() {
        return Err(PropertyError::new("transforms", "transformations in the sink are not there yet")
            .hint("apply them in the source connector, or leave them out: the sink reads wrapped and unwrapped events"));
    }
    properties.choice("snowflake.authenticator", (), &[("snowflake_jwt", ())])?;
    if let Some(method) = properties.non_empty("snowflake.ingestion.method")
        && !method.eq_ignore_ascii_case("SNOWPIPE_STREAMING")
    {
        return Err(PropertyError::new("snowflake.ingestion.method", format!("'{method}' is not there"))
            .hint("rows go by SNOWPIPE_STREAMING only"));
    }
    if properties.non_empty("snowflake.private.key.passphrase").is_some() {
        return Err(PropertyError::new(
            "snowflake.private.key.passphrase",
            "encrypted keys cannot be read yet",
        )
        .hint("decrypt the key with 'openssl pkcs8' and leave the passphrase out"));
    }
    Ok(())
}

fn topics(properties: &Properties) -> Result<Topics, PropertyError> {
    let names = properties.list("topics");
    match (properties.non_empty("topics.regex"), names.is_empty()) {
        (Some(_), false) => {
            Err(PropertyError::new("topics.regex", "topics and topics.regex exclude each other"))
        }
        (None, true) => {
            Err(PropertyError::new("topics", "is required and missing").hint("or set topics.regex"))
        }
        (Some(pattern), true) => {
            regex::Regex::new(pattern)
                .map_err(|error| PropertyError::new("topics.regex", error.to_string()))?;
            Ok(Topics::Pattern(pattern.to_owned()))
        }
        (None, false) => Ok(Topics::Names(names)),
    }
}

fn routes(
    properties: &Properties,
    landing: Landing,
    topics: &Topics,
    warnings: &mut Vec<String>,
) -> Result<Routes, PropertyError> {
    const KEY: &str = "snowflake.topic2table.map";
    let mut map = Vec::new();
    for route in properties.list(KEY) {
        let Some((topic, table)) = route.rsplit_once(':').map(|(topic, table)| (topic.trim(), table.trim()))
        else {
            return Err(PropertyError::new(KEY, format!("'{route}' is not topic:table")));
        };
        if !is_identifier(table) {
            return Err(PropertyError::new(KEY, format!("'{table}' is not a table name")));
        }
        // As in Java, a pattern must match the whole topic. A name that is no pattern still matches itself.
        let regex = regex::Regex::new(&format!("^(?:{topic})$")).ok();
        map.push((topic.to_owned(), regex, table.to_owned()));
    }
    let naming = if landing == Landing::Variant { Naming::Mangled } else { Naming::LastPart };
    let routes = Routes { map, naming };
    if let Topics::Names(names) = topics {
        for idle in routes.idle(names) {
            warnings.push(format!(
                "{KEY}: '{idle}' matches none of the topics, so their tables are named by rule"
            ));
        }
        let mut tables: Vec<(String, &str)> =
            names.iter().map(|topic| (routes.table(topic), topic.as_str())).collect();
        tables.sort();
        let unrouted = |topic: &str| routes.map.iter().all(|(key, ..)| key != topic);
        for pair in tables.windows(2) {
            if let [(table, first), (same, second)] = pair
                && table == same
                && unrouted(first)
                && unrouted(second)
                && routes.map.is_empty()
            {
                return Err(PropertyError::new(
                    "topics",
                    format!("{first} and {second} would both land in {table}"),
                )
                .hint(format!("name their tables in {KEY}")));
            }
        }
        for (table, topic) in &tables {
            tracing::info!(topic, table, "topic lands in table");
        }
    }
    Ok(routes)
}

fn dead_letters(
    properties: &Properties,
    warnings: &mut Vec<String>,
) -> Result<Option<DeadLetterTopic>, PropertyError> {
    let tolerant = properties.choice("errors.tolerance", false, &[("none", false), ("all", true)])?;
    let replication_factor = properties.number("errors.deadletterqueue.topic.replication.factor", 3)?;
    match (tolerant, properties.non_empty("errors.deadletterqueue.topic.name")) {
        (true, Some(name)) => Ok(Some(DeadLetterTopic { name: name.to_owned(), replication_factor })),
        (true, None) => {
            warnings.push(
                "errors.tolerance=all without errors.deadletterqueue.topic.name would lose records in silence: it is \
                 treated as none"
                    .to_owned(),
            );
            Ok(None)
        }
        (false, Some(_)) => {
            warnings.push(
                "errors.deadletterqueue.topic.name does nothing while errors.tolerance is none".to_owned(),
            );
            Ok(None)
        }
        (false, None) => Ok(None),
    }
}

fn sink(properties: &Properties, name: &str, landing: Landing) -> Result<Config, PropertyError> {
    let defaults = Config::default();
    let millis = |key: &str, default: Duration| {
        let default = u64::try_from(default.as_millis()).unwrap_or(u64::MAX);
        properties.number(key, default).map(Duration::from_millis)
    };
    let flush = properties.number("buffer.flush.time", 0u64)?;
    let age = if flush == 0 { defaults.batch_age_max } else { Duration::from_secs(flush) };
    let rows = properties.number("buffer.count.records", defaults.batch_rows_max)?;
    let bytes =
        properties.number("buffer.size.bytes", defaults.batch_bytes_max)?.min(defaults.batch_bytes_max);
    let default_mode = if landing == Landing::IdData { TableMode::Merge } else { TableMode::Append };
    let all = properties.boolean("snowflake.metadata.all", true)?;
    let metadata = Metadata {
        create_time: properties.boolean("snowflake.metadata.createtime", all)? && all,
        topic: properties.boolean("snowflake.metadata.topic", all)? && all,
        offset_and_partition: properties.boolean("snowflake.metadata.offset.and.partition", all)? && all,
        land_null_values: properties.choice(
            "behavior.on.null.values",
            true,
            &[("DEFAULT", true), ("IGNORE", false)],
        )?,
        whole_value: !properties.boolean("value.converter.schemas.enable", true)?,
    };
    let config = Config {
        sink_id: channel_safe(name),
        lineage: properties.number("cdcd.lineage", 0)?,
        landing,
        mode: properties.choice(
            "cdcd.table.mode",
            default_mode,
            &[("append", TableMode::Append), ("view", TableMode::View), ("merge", TableMode::Merge)],
        )?,
        deletes: properties.choice(
            "cdcd.delete.mode",
            DeleteMode::Hard,
            &[("hard", DeleteMode::Hard), ("soft", DeleteMode::Soft)],
        )?,
        audit: audit(properties)?,
        merge_interval: millis("cdcd.merge.interval.ms", defaults.merge_interval)?,
        batch_rows_max: properties.number("cdcd.batch.rows.max", rows)?,
        batch_bytes_max: properties.number("cdcd.batch.bytes.max", bytes)?,
        batch_age_max: millis("cdcd.batch.age.max.ms", age)?,
        commit_deadline: millis("cdcd.commit.deadline.ms", defaults.commit_deadline)?,
        offsets_interval: millis("offset.flush.interval.ms", defaults.offsets_interval)?,
        rejected: properties.choice(
            "cdcd.rejected.rows",
            Rejected::Stop,
            &[("stop", Rejected::Stop), ("accept-known", Rejected::AcceptKnown)],
        )?,
        tombstones: properties.choice(
            "cdcd.tombstone",
            Tombstones::Auto,
            &[("auto", Tombstones::Auto), ("ignore", Tombstones::Ignore), ("delete", Tombstones::Delete)],
        )?,
        key_fields: properties.list("cdcd.key.fields"),
        modes: modes(properties)?,
        placeholder: properties
            .non_empty("unavailable.value.placeholder")
            .unwrap_or(&defaults.placeholder)
            .to_owned(),
        metadata,
        ..defaults
    };
    if config.batch_rows_max == 0 || config.batch_bytes_max == 0 {
        return Err(PropertyError::new("cdcd.batch.rows.max", "a batch holds at least one row and one byte"));
    }
    if landing == Landing::Variant && config.mode != TableMode::Append {
        return Err(PropertyError::new("cdcd.table.mode", "the variant landing is append only")
            .hint("set cdcd.landing to log or id_data for a view or a merged table"));
    }
    if config.mode == TableMode::Append && config.audit != Audit::default() {
        return Err(PropertyError::new("cdcd.table.mode", "the cdcd.column.* columns are not part of a log")
            .hint("set cdcd.table.mode to merge or view, or leave cdcd.column.* out"));
    }
    Ok(config)
}

/// The audit columns; unset is none of them.
fn audit(properties: &Properties) -> Result<Audit, PropertyError> {
    const OWN: [&str; 9] = [
        column::OP,
        column::SEQ,
        column::TS,
        column::OFFSET,
        column::UNCHANGED,
        column::DELETED,
        column::ID,
        column::DATA,
        "_RN",
    ];
    let mut taken: Vec<String> = Vec::new();
    let mut named = |key: &str| -> Result<Option<String>, PropertyError> {
        let Some(name) = properties.non_empty(key).map(destination_name) else { return Ok(None) };
        if OWN.contains(&name.as_str()) || taken.contains(&name) {
            return Err(PropertyError::new(
                key,
                format!("'{name}' is the name of another column of the table"),
            ));
        }
        taken.push(name.clone());
        Ok(Some(name))
    };
    let operation = named("cdcd.column.operation")?;
    let timestamp = named("cdcd.column.timestamp")?;
    let source = named("cdcd.column.source")?;
    let value = properties.non_empty("cdcd.column.source.value").map(str::to_owned);
    let source = match (source, value) {
        (Some(name), Some(value)) => Some(Constant { name, value }),
        (None, None) => None,
        (Some(name), None) => {
            return Err(PropertyError::new("cdcd.column.source.value", "is required and missing")
                .hint(format!("say what {name} shall hold, for example postgres")));
        }
        (None, Some(_)) => {
            return Err(PropertyError::new("cdcd.column.source", "is required and missing")
                .hint("name the column that shall hold cdcd.column.source.value, for example source_db"));
        }
    };
    Ok(Audit { operation, timestamp, source })
}

fn modes(properties: &Properties) -> Result<Modes, PropertyError> {
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
        time: properties.choice(
            "time.precision.mode",
            TimeMode::Adaptive,
            &[
                ("adaptive", TimeMode::Adaptive),
                ("adaptive_time_microseconds", TimeMode::AdaptiveTimeMicroseconds),
                ("connect", TimeMode::Connect),
                ("microseconds", TimeMode::Microseconds),
                ("nanoseconds", TimeMode::Nanoseconds),
                ("isostring", TimeMode::IsoString),
            ],
        )?,
        binary: properties.choice(
            "binary.handling.mode",
            BytesNotation::Base64,
            &[
                ("bytes", BytesNotation::Base64),
                ("base64", BytesNotation::Base64),
                ("base64-url-safe", BytesNotation::Base64Url),
                ("hex", BytesNotation::Hex),
            ],
        )?,
    })
}

/// The sink's part of a channel name: letters, digits, `_`, `-` and `.`.
fn channel_safe(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' })
        .collect()
}

/// Worker settings, then `consumer.`, then `consumer.override.`: the later wins.
fn consumer(properties: &Properties, name: &str) -> Result<(ClientConfig, Reset), PropertyError> {
    let mut config = ClientConfig::new(properties.required("bootstrap.servers")?);
    config.set("group.id", format!("connect-{name}"));
    config.set("client.id", format!("connector-consumer-{name}-0"));
    let mut reset = Reset::Earliest;
    let mut take = |prefix: &str, key: &str, value: &str| -> Result<(), PropertyError> {
        let named = |problem: String| PropertyError::new(format!("{prefix}{key}"), problem);
        match key {
            "auto.offset.reset" => {
                reset = match value {
                    "earliest" => Reset::Earliest,
                    "latest" => Reset::Latest,
                    "none" => Reset::None,
                    other => return Err(named(format!("'{other}' is not one of earliest, latest, none"))),
                };
                Ok(())
            }
            // Always read_committed, and assignments always eager: correctness is not for tuning.
            "isolation.level" | "partition.assignment.strategy" => Ok(()),
            _ => config.set_java(key, value).map_err(|error| named(error.to_string())),
        }
    };
    for family in ["security.", "sasl.", "ssl."] {
        for (rest, value) in properties.with_prefix(family) {
            take(family, &format!("{family}{rest}"), value)
                .map_err(|error| PropertyError { key: format!("{family}{rest}"), ..error })?;
        }
    }
    for (key, value) in properties.with_prefix("consumer.") {
        if !key.starts_with("override.") {
            take("consumer.", key, value)?;
        }
    }
    for (key, value) in properties.with_prefix("consumer.override.") {
        take("consumer.override.", key, value)?;
    }
    Ok((config, reset))
}

fn snowflake(properties: &Properties) -> Result<cdcd_snowflake::Config, PropertyError> {
    let url = properties.required("snowflake.url.name")?;
    let user = properties.required("snowflake.user.name")?;
    let Some(key) = properties.non_empty("snowflake.private.key") else {
        let error = PropertyError::new("snowflake.private.key", "is required and missing");
        return Err(match properties.non_empty("snowflake.password") {
            Some(_) => error.hint("Snowpipe Streaming takes no password: register a key pair for the user"),
            None => error,
        });
    };
    let mut config = cdcd_snowflake::Config::new(url, user, Secret::new(key));
    config.database = properties.required("snowflake.database.name")?.to_uppercase();
    config.schema = properties.non_empty("snowflake.schema.name").unwrap_or("PUBLIC").to_uppercase();
    config.role = properties.non_empty("snowflake.role.name").map(str::to_owned);
    config.warehouse = properties.non_empty("cdcd.snowflake.warehouse").map(str::to_owned);
    if let Some(account) = properties.non_empty("cdcd.snowflake.account") {
        config.account = account.to_uppercase();
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(pairs: &[(&str, &str)]) -> Properties {
        let mut properties = Properties::default();
        let base = [
            ("name", "snowflake-test-connector"),
            ("topics", "cdc.public.flights"),
            ("bootstrap.servers", "broker:9092"),
            ("snowflake.url.name", "acc.snowflakecomputing.com"),
            ("snowflake.user.name", "loader"),
            ("snowflake.private.key", "AAAA"),
            ("snowflake.database.name", "flights"),
        ];
        for (key, value) in base.iter().chain(pairs) {
            properties.set(*key, *value, Origin::Connector);
        }
        properties
    }

    fn read(pairs: &[(&str, &str)]) -> SinkSettings {
        SinkSettings::read(&properties(pairs)).unwrap()
    }

    #[test]
    fn pipeline_a_lands_in_the_mangled_table_and_says_so() {
        let settings = read(&[
            ("connector.class", VARIANT_CLASS),
            ("tasks.max", "1"),
            ("snowflake.topic2table.map", "cdc.public.flights.test_topic:flights"),
            ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
            ("value.converter.schemas.enable", "false"),
            ("errors.tolerance", "all"),
            ("snowflake.ingestion.method", "SNOWPIPE_STREAMING"),
        ]);
        assert_eq!(settings.routes.table("cdc.public.flights"), "CDC_PUBLIC_FLIGHTS_2113051958");
        assert_eq!(settings.sink.landing, Landing::Variant);
        assert!(settings.sink.metadata.whole_value);
        assert_eq!(settings.dead_letters, None);
        let warnings = settings.warnings.join("\n");
        assert!(
            warnings.contains("'cdc.public.flights.test_topic' matches none of the topics"),
            "{warnings}"
        );
        assert!(warnings.contains("treated as none"), "{warnings}");
        assert_eq!(settings.consumer.get("group.id"), Some("connect-snowflake-test-connector"));
    }

    #[test]
    fn tables_are_named_by_route_pattern_or_last_part() {
        let settings = read(&[
            ("topics", "a.public.orders,b.public.items"),
            ("snowflake.topic2table.map", "b\\.public\\..*:everything"),
        ]);
        assert_eq!(settings.routes.table("a.public.orders"), "ORDERS");
        assert_eq!(settings.routes.table("b.public.items"), "EVERYTHING");
        assert_eq!(mangled("plain_topic"), "plain_topic");
        assert_eq!(identifier_of("1-x"), "__x");
    }

    #[test]
    fn overrides_win_and_java_names_are_read() {
        let settings = read(&[
            ("consumer.override.group.id", "mine"),
            ("consumer.group.id", "worker"),
            ("consumer.override.auto.offset.reset", "latest"),
            ("consumer.override.isolation.level", "read_uncommitted"),
        ]);
        assert_eq!(settings.consumer.get("group.id"), Some("mine"));
        assert_eq!(settings.consumer.get("isolation.level"), None, "the consumer itself sets read_committed");
        assert_eq!(settings.reset, Reset::Latest);
    }

    #[test]
    fn both_families_of_environment_names_are_taken() {
        let mut all = Properties::default();
        let notes = add_environment(&mut all, |name| match name {
            "SNOWFLAKE_DB" => Some("old".to_owned()),
            "SNOWFLAKE_DATABASE" => Some("new".to_owned()),
            "SNOWFLAKE_WH" => Some("wh".to_owned()),
            _ => None,
        });
        assert_eq!(all.text("snowflake.database.name"), Some("new"));
        assert_eq!(all.text("cdcd.snowflake.warehouse"), Some("wh"));
        assert_eq!(notes, ["snowflake.database.name: SNOWFLAKE_DATABASE is used, not SNOWFLAKE_DB"]);
    }

    #[test]
    fn audit_columns_are_named_as_the_table_s_others() {
        let merged = ("cdcd.table.mode", "merge");
        assert_eq!(read(&[merged]).sink.audit, Audit::default(), "none by default");
        let settings = read(&[
            merged,
            ("cdcd.column.operation", "cdc_operation"),
            ("cdcd.column.timestamp", "cdc_timestamp"),
            ("cdcd.column.source", "source_db"),
            ("cdcd.column.source.value", "postgres"),
        ]);
        let source = Constant { name: "SOURCE_DB".to_owned(), value: "postgres".to_owned() };
        assert_eq!(
            settings.sink.audit,
            Audit {
                operation: Some("CDC_OPERATION".to_owned()),
                timestamp: Some("CDC_TIMESTAMP".to_owned()),
                source: Some(source),
            }
        );
    }

    #[test]
    fn unusable_audit_columns_are_named() {
        let check = |pairs: &[(&str, &str)], key: &str| {
            let pairs: Vec<_> = [("cdcd.table.mode", "merge")].iter().chain(pairs).copied().collect();
            let error = SinkSettings::read(&properties(&pairs)).err();
            assert_eq!(error.map(|error| error.key).as_deref(), Some(key));
        };
        check(&[("cdcd.column.source", "source_db")], "cdcd.column.source.value");
        check(&[("cdcd.column.source.value", "postgres")], "cdcd.column.source");
        check(&[("cdcd.column.operation", "x"), ("cdcd.column.timestamp", "X")], "cdcd.column.timestamp");
        check(&[("cdcd.column.operation", "_deleted")], "cdcd.column.operation");
        check(&[("cdcd.table.mode", "append"), ("cdcd.column.operation", "x")], "cdcd.table.mode");
    }

    #[test]
    fn unusable_properties_are_named() {
        let check = |pairs: &[(&str, &str)], key: &str| {
            assert_eq!(
                SinkSettings::read(&properties(pairs)).err().map(|error| error.key).as_deref(),
                Some(key)
            );
        };
        check(&[("connector.class", "org.example.Sink")], "connector.class");
        check(&[("value.converter", "io.confluent.connect.avro.AvroConverter")], "value.converter");
        check(&[("transforms", "unwrap")], "transforms");
        check(&[("topics.regex", "x.*")], "topics.regex");
        check(&[("topics", "a.x.t,a.y.t")], "topics");
        check(&[("cdcd.landing", "variant"), ("cdcd.table.mode", "merge")], "cdcd.table.mode");
        check(&[("consumer.override.auto.offset.reset", "sometimes")], "consumer.override.auto.offset.reset");
        check(&[("snowflake.private.key", "")], "snowflake.private.key");
        check(&[("snowflake.topic2table.map", "a:b:c d")], "snowflake.topic2table.map");
    }
}
