//! Option sets under which the type scenarios run.

use anyhow::{Context as _, Result};

use super::transforms;

/// One connector property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) value: String,
}

impl Setting {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let (key, value) = text.trim().split_once('=').with_context(|| format!("{text}: want key=value"))?;
        Ok(Setting::new(key, value))
    }

    pub(super) fn new(key: &str, value: &str) -> Self {
        Setting { key: key.to_owned(), value: value.to_owned() }
    }
}

/// A named set of properties.
#[derive(Debug, Clone)]
pub(super) struct OptionSet {
    pub(super) name: String,
    pub(super) settings: Vec<Setting>,
    /// The scenarios that it is for; all if there are none.
    pub(super) only: Vec<String>,
    /// Those that it is not for.
    pub(super) except: Vec<String>,
}

impl OptionSet {
    pub(super) fn new(name: &str, settings: &[&str]) -> Self {
        let settings = settings.iter().filter_map(|text| Setting::parse(text).ok()).collect();
        OptionSet { name: name.to_owned(), settings, only: Vec::new(), except: Vec::new() }
    }

    /// The same for these scenarios only.
    pub(super) fn only(mut self, scenarios: &[&str]) -> Self {
        self.only = scenarios.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// The same without these scenarios.
    pub(super) fn except(mut self, scenarios: &[&str]) -> Self {
        self.except = scenarios.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// Whether it is for this scenario.
    pub(super) fn is_for(&self, scenario: &str) -> bool {
        let is_in = |names: &[String]| names.iter().any(|name| name == scenario);
        (self.only.is_empty() || is_in(&self.only)) && !is_in(&self.except)
    }
}

const DECIMAL: [&str; 3] = ["precise", "string", "double"];
const TIME: [&str; 6] =
    ["adaptive", "adaptive_time_microseconds", "connect", "isostring", "microseconds", "nanoseconds"];
const BINARY: [&str; 4] = ["bytes", "base64", "base64-url-safe", "hex"];

/// Few sets that touch each mode once: for every change.
pub(super) fn quick() -> Vec<OptionSet> {
    let is_quick = |set: &OptionSet| ["unwrap-rewrite", "unwrap-tree"].contains(&set.name.as_str());
    let mut sets = vec![
        OptionSet::new("default", &[]),
        modes("double", "connect", "hex", true),
        modes("string", "isostring", "base64", false),
        OptionSet::new("unknown", &["include.unknown.datatypes=true", "time.precision.mode=nanoseconds"]),
        avro("avro", modes("precise", "connect", "bytes", false)),
    ];
    sets.extend(transforms::sets().into_iter().filter(is_quick));
    sets
}

/// What Debezium has since 3.7.
pub(super) fn of_3_7() -> Vec<OptionSet> {
    let structured = || OptionSet::new("structured", &["time.precision.mode=structured"]);
    vec![structured(), avro("structured-avro", structured())]
}

/// Sets that run when they are named only: what other forms declare by the path of a column is one text here.
pub(super) fn by_name() -> Vec<OptionSet> {
    vec![texts("texts", OptionSet::new("", &["time.precision.mode=connect"]))]
}

/// The same with keys and values as Java's `toString` makes them.
fn texts(name: &str, mut set: OptionSet) -> OptionSet {
    set.name = name.to_owned();
    for half in ["key", "value"] {
        let class = "org.apache.kafka.connect.storage.StringConverter";
        set.settings.push(Setting::new(&format!("{half}.converter"), class));
    }
    set
}

/// The same with keys and values in Avro; `{registry}` is where both sides register.
fn avro(name: &str, mut set: OptionSet) -> OptionSet {
    set.name = name.to_owned();
    for half in ["key", "value"] {
        let prefix = format!("{half}.converter");
        set.settings.push(Setting::new(&prefix, "io.confluent.connect.avro.AvroConverter"));
        set.settings.push(Setting::new(&format!("{prefix}.schema.registry.url"), "{registry}"));
    }
    for kind in ["schema", "field"] {
        set.settings.push(Setting::new(&format!("{kind}.name.adjustment.mode"), "avro"));
    }
    set
}

/// Every decimal mode with every time mode, the others in turn, and single options that change the form.
pub(super) fn full() -> Vec<OptionSet> {
    let mut sets = vec![OptionSet::new("default", &[])];
    let mut turn = 0;
    for decimal in DECIMAL {
        for time in TIME {
            let binary = BINARY.get(turn % BINARY.len()).copied().unwrap_or("bytes");
            sets.push(modes(decimal, time, binary, turn % 2 == 1));
            turn += 1;
        }
    }
    for binary in BINARY {
        let binary_mode = format!("binary.handling.mode={binary}");
        let settings = ["include.unknown.datatypes=true", &binary_mode];
        sets.push(OptionSet::new(&format!("unknown-{binary}"), &settings));
    }
    let single: &[(&str, &[&str])] = &[
        ("schemas-off", &["key.converter.schemas.enable=false", "value.converter.schemas.enable=false"]),
        ("schemas-key", &["value.converter.schemas.enable=false"]),
        ("schemas-value", &["key.converter.schemas.enable=false"]),
        ("tombstones-off", &["tombstones.on.delete=false"]),
        ("no-data", &["snapshot.mode=no_data"]),
        ("null-stays-null", &["value.converter.replace.null.with.default=false"]),
        ("headers-off", &["extended.headers.enabled=false"]),
        ("placeholder", &["unavailable.value.placeholder=gone"]),
        ("placeholder-hex", &["unavailable.value.placeholder=hex:00ff10"]),
        ("truncate-events", &["skipped.operations=none"]),
        ("skip-updates", &["skipped.operations=u"]),
        ("skip-creates", &["skipped.operations=c"]),
        ("skip-deletes", &["skipped.operations=d,t"]),
        ("money-digits", &["money.fraction.digits=4"]),
        ("delimiter", &["topic.delimiter=-"]),
        (
            "decimals-numeric",
            &["key.converter.decimal.format=NUMERIC", "value.converter.decimal.format=NUMERIC"],
        ),
        (
            "names-adjusted",
            &["schema.name.adjustment.mode=avro_unicode", "field.name.adjustment.mode=avro_unicode"],
        ),
        (
            "partitions",
            &["topic.creation.default.partitions=4", "topic.creation.default.replication.factor=1"],
        ),
    ];
    sets.extend(single.iter().map(|(name, settings)| OptionSet::new(name, settings)));
    sets.extend(transforms::sets());
    sets.push(avro("avro", modes("precise", "connect", "bytes", false)));
    sets.push(avro("avro-default", OptionSet::new("", &[])));
    sets.push(avro("avro-texts", modes("string", "isostring", "base64", true)));
    sets.push(avro(
        "avro-options",
        OptionSet::new(
            "",
            &[
                "decimal.handling.mode=double",
                "include.unknown.datatypes=true",
                "key.converter.key.subject.name.strategy=io.confluent.kafka.serializers.subject.RecordNameStrategy",
                "value.converter.value.subject.name.strategy=io.confluent.kafka.serializers.subject.TopicRecordNameStrategy",
                "value.converter.connect.meta.data=false",
                "value.converter.enhanced.avro.schema.support=true",
            ],
        ),
    ));
    let mut text_keys = avro("avro-text-keys", OptionSet::new("", &["heartbeat.interval.ms=500"]));
    text_keys.settings.retain(|setting| !setting.key.starts_with("key.converter"));
    text_keys
        .settings
        .push(Setting::new("key.converter", "org.apache.kafka.connect.storage.StringConverter"));
    text_keys.settings.retain(|setting| setting.key != "field.name.adjustment.mode");
    text_keys.settings.push(Setting::new("field.name.adjustment.mode", "avro_unicode"));
    sets.push(text_keys);
    sets.extend(transforms::in_avro().into_iter().map(|set| avro(&format!("avro-{}", set.name), set)));
    let told = ["transaction_metadata", "transaction_messages", "messages_excluded"];
    sets.push(texts("text-transactions", OptionSet::new("", &[]).only(&told)));
    sets.extend(transforms::in_text().into_iter().map(|set| texts(&format!("text-{}", set.name), set)));
    sets
}

fn modes(decimal: &str, time: &str, binary: &str, texts: bool) -> OptionSet {
    let settings = [
        format!("decimal.handling.mode={decimal}"),
        format!("time.precision.mode={time}"),
        format!("binary.handling.mode={binary}"),
        format!("hstore.handling.mode={}", if texts { "map" } else { "json" }),
        format!("interval.handling.mode={}", if texts { "string" } else { "numeric" }),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    OptionSet::new(&format!("{decimal}-{time}-{binary}"), &settings)
}
