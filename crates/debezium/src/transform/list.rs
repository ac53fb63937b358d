//! The supported classes, one line each: what the configuration, its errors and the reference page are made from.

use super::options::{OptionError, Options};
use super::{
    Side, Transform, by_logical_table_router, cast, drop_headers, event_router, extract_field,
    extract_new_record_state, filter, flatten, header_from, hoist_field, insert_field, insert_header,
    mask_field, partition_routing, regex_router, replace_field, scripted, set_schema_metadata,
    timestamp_converter, timestamp_router, value_to_key,
};

/// One supported class.
#[derive(Debug)]
pub struct Entry {
    /// The full Java name, without `$Key` and `$Value`.
    pub class: &'static str,
    /// Whether it is used as `$Key` or `$Value`.
    pub sided: bool,
    /// Names of its options.
    pub options: &'static [&'static str],
    /// What it does, in a few words.
    pub about: &'static str,
    make: Make,
}

type Make = fn(&Options<'_>, Side) -> Result<Box<dyn Transform>, OptionError>;

const fn entry(
    class: &'static str,
    options: &'static [&'static str],
    make: Make,
    about: &'static str,
) -> Entry {
    Entry { class, sided: false, options, about, make }
}

const fn sided(
    class: &'static str,
    options: &'static [&'static str],
    make: Make,
    about: &'static str,
) -> Entry {
    Entry { class, sided: true, options, about, make }
}

const fn predicate(class: &'static str, options: &'static [&'static str], about: &'static str) -> Entry {
    Entry { class, sided: false, options, about, make: filter::make }
}

/// Every transformation.
#[rustfmt::skip]
pub const LIST: &[Entry] = &[
    entry("io.debezium.transforms.ExtractNewRecordState", extract_new_record_state::OPTIONS, extract_new_record_state::make,
        "the row instead of the envelope; deletes dropped, rewritten or made tombstones"),
    entry("io.debezium.transforms.ByLogicalTableRouter", by_logical_table_router::OPTIONS, by_logical_table_router::make,
        "several tables to one topic, with the table in the key"),
    entry("io.debezium.transforms.ToLogicalTopicRouter", by_logical_table_router::NEW_OPTIONS, by_logical_table_router::make_new,
        "the same under its name after Debezium 3.6"),
    entry("io.debezium.transforms.outbox.EventRouter", event_router::OPTIONS, event_router::make,
        "rows of an outbox table to a topic by aggregate type"),
    entry("io.debezium.transforms.partitions.PartitionRouting", partition_routing::OPTIONS, partition_routing::make,
        "the partition from fields of the event"),
    entry("io.debezium.transforms.Filter", scripted::FILTER_OPTIONS, scripted::make_filter,
        "keeps the records for which a CEL expression is true"),
    entry("io.debezium.transforms.ContentBasedRouter", scripted::ROUTER_OPTIONS, scripted::make_router,
        "the topic from a CEL expression"),
    entry("org.apache.kafka.connect.transforms.RegexRouter", regex_router::OPTIONS, regex_router::make,
        "the topic from an expression and a replacement"),
    entry("org.apache.kafka.connect.transforms.TimestampRouter", timestamp_router::OPTIONS, timestamp_router::make,
        "the topic from the record's timestamp, which only EventRouter sets"),
    entry("org.apache.kafka.connect.transforms.Filter", filter::OPTIONS, filter::make,
        "drops all records that its predicate lets through to it"),
    sided("org.apache.kafka.connect.transforms.InsertField", insert_field::OPTIONS, insert_field::make,
        "topic, partition, timestamp or a fixed text as a field"),
    sided("org.apache.kafka.connect.transforms.ReplaceField", replace_field::OPTIONS, replace_field::make,
        "drops, keeps and renames fields"),
    sided("org.apache.kafka.connect.transforms.MaskField", mask_field::OPTIONS, mask_field::make,
        "zeros, empty texts or a replacement instead of values"),
    entry("org.apache.kafka.connect.transforms.ValueToKey", value_to_key::OPTIONS, value_to_key::make,
        "the key from fields of the value"),
    sided("org.apache.kafka.connect.transforms.ExtractField", extract_field::OPTIONS, extract_field::make,
        "one field instead of the whole"),
    sided("org.apache.kafka.connect.transforms.HoistField", hoist_field::OPTIONS, hoist_field::make,
        "the whole as the only field of a struct"),
    sided("org.apache.kafka.connect.transforms.Flatten", flatten::OPTIONS, flatten::make,
        "nested structs as fields with joined names"),
    sided("org.apache.kafka.connect.transforms.Cast", cast::OPTIONS, cast::make,
        "other types for fields or for the whole"),
    sided("org.apache.kafka.connect.transforms.TimestampConverter", timestamp_converter::OPTIONS, timestamp_converter::make,
        "timestamps as text, numbers, Date, Time or Timestamp"),
    sided("org.apache.kafka.connect.transforms.SetSchemaMetadata", set_schema_metadata::OPTIONS, set_schema_metadata::make,
        "name and version of the schema"),
    sided("org.apache.kafka.connect.transforms.HeaderFrom", header_from::OPTIONS, header_from::make,
        "fields copied or moved to headers"),
    entry("org.apache.kafka.connect.transforms.InsertHeader", insert_header::OPTIONS, insert_header::make,
        "a header with a fixed value"),
    entry("org.apache.kafka.connect.transforms.DropHeaders", drop_headers::OPTIONS, drop_headers::make,
        "without these headers"),
];

/// Every predicate.
pub const PREDICATES: &[Entry] = &[
    predicate(
        "org.apache.kafka.connect.transforms.predicates.TopicNameMatches",
        &["pattern"],
        "the topic matches an expression",
    ),
    predicate(
        "org.apache.kafka.connect.transforms.predicates.HasHeaderKey",
        &["name"],
        "the record has a header",
    ),
    predicate("org.apache.kafka.connect.transforms.predicates.RecordIsTombstone", &[], "the value is null"),
];

/// The entry of an alias, with its half of the record.
pub(crate) fn find(
    list: &'static [Entry],
    options: &Options<'_>,
) -> Result<(&'static Entry, Side), OptionError> {
    let class = options.required("type")?;
    let (base, side) = match class.rsplit_once('$') {
        Some((base, "Key")) => (base, Some(Side::Key)),
        Some((base, "Value")) => (base, Some(Side::Value)),
        _ => (class, None),
    };
    let simple = |entry: &Entry| entry.class.rsplit('.').next() == Some(base);
    let mut named = list.iter().filter(|entry| entry.class == base || simple(entry));
    match (named.next(), named.next()) {
        (Some(_), Some(_)) => Err(options
            .error("type", format!("'{class}' is the name of more than one class"))
            .hint("give the full name of the class")),
        (Some(entry), None) if entry.sided == side.is_some() => Ok((entry, side.unwrap_or(Side::Value))),
        (Some(entry), None) if entry.sided => Err(options
            .error("type", format!("'{class}' is not for itself"))
            .hint(format!("use {0}$Key or {0}$Value", entry.class))),
        _ => Err(options
            .error("type", format!("'{class}' is not supported"))
            .hint(format!("supported: {}", classes(list)))),
    }
}

/// Makes the transformation of an alias.
pub(crate) fn make(options: &Options<'_>) -> Result<Box<dyn Transform>, OptionError> {
    let (entry, side) = find(LIST, options)?;
    check_names(options, entry, &["type", "predicate", "negate"])?;
    (entry.make)(options, side)
}

/// Refuses options that the class does not have.
pub(crate) fn check_names(options: &Options<'_>, entry: &Entry, common: &[&str]) -> Result<(), OptionError> {
    let is_known = |name: &&str| entry.options.contains(name) || common.contains(name);
    match options.names().find(|name| !is_known(name)) {
        None => Ok(()),
        Some(name) => Err(options.error(name, format!("{} has no such option", entry.class)).hint(
            match entry.options.is_empty() {
                true => "it has no options".to_owned(),
                false => format!("supported: {}", entry.options.join(", ")),
            },
        )),
    }
}

fn classes(list: &[Entry]) -> String {
    let names = list.iter().map(|entry| match entry.sided {
        true => format!("{}$Key|$Value", entry.class),
        false => entry.class.to_owned(),
    });
    names.collect::<Vec<_>>().join(", ")
}

/// The tables of the reference page.
pub fn markdown() -> String {
    let mut out = String::new();
    for (title, list) in [("transformation", LIST), ("predicate", PREDICATES)] {
        out.push_str(&format!("| {title} | what it does | options |\n|---|---|---|\n"));
        for entry in list {
            let sides = if entry.sided { "`$Key`, `$Value`" } else { "" };
            let class = [&format!("`{}`", entry.class), sides].join(" ");
            let options = entry.options.iter().map(|name| format!("`{name}`"));
            let options = options.collect::<Vec<_>>().join(", ");
            out.push_str(&format!("| {} | {} | {options} |\n", class.trim_end(), entry.about));
        }
        out.push('\n');
    }
    out
}
