//! The connector's file, read as the connector itself would read it.

use cdcd_capture::converter::Converter;

use super::heard::listen;
use super::report::{Mark, Report, Setting};
use crate::connector::known::report_unused;
use crate::connector::known_sink::SINK;
use crate::connector::properties::{Origin, Properties, PropertyError};
use crate::connector::sink::{self as sink_properties, SinkSettings};
use crate::connector::source::{KafkaNeed, SourceSettings};

const GROUP: &str = "properties";

/// Wrong properties that are told in one run; a file with more is no connector.
const WRONG_MAX: usize = 50;

/// Whether this is a sink connector.
pub(super) fn is_sink(properties: &Properties) -> bool {
    match properties.peek("connector.class") {
        Some(class) => class.contains("Sink"),
        None => properties.peek("topics").or(properties.peek("topics.regex")).is_some(),
    }
}

/// Settings of a source, and every property that is wrong.
pub(super) fn source(properties: &mut Properties, report: &mut Report) -> Option<SourceSettings> {
    let settings =
        read(properties, report, |properties| SourceSettings::new(properties, KafkaNeed::Required))?;
    let tolerant = properties.peek("errors.tolerance").is_some_and(|text| text.eq_ignore_ascii_case("all"));
    if tolerant {
        report.add(
            GROUP,
            Mark::Warn,
            "errors.tolerance=all: a source has no dead letter topic, so it is treated as none: an event that cannot \
             be handled stops the connector",
        );
    }
    report.add(
        GROUP,
        Mark::Ok,
        format!("keys are {}, values are {}", form(&settings.capture.key), form(&settings.capture.value)),
    );
    Some(settings)
}

fn form(converter: &Converter) -> &'static str {
    match converter {
        Converter::Json(options) if options.schemas => "JSON with schemas",
        Converter::Json(_) => "JSON without schemas",
        Converter::Avro(_) => "Avro",
        Converter::Text => "text for people",
        Converter::Bytes => "bytes as they are",
    }
}

/// Settings of a sink, and every property that is wrong.
pub(super) fn sink(properties: &mut Properties, report: &mut Report) -> Option<SinkSettings> {
    let notes = sink_properties::add_environment(properties, |name| std::env::var(name).ok());
    for note in notes {
        report.add(GROUP, Mark::Warn, note);
    }
    let settings = read(properties, report, |properties| {
        let settings = SinkSettings::read(properties)?;
        report_unused(properties, &[SINK])?;
        Ok(settings)
    })?;
    for warning in &settings.warnings {
        report.add(GROUP, Mark::Warn, warning.clone());
    }
    Some(settings)
}

/// Reads again without each wrong property, so that all of them are told.
fn read<S>(
    properties: &mut Properties,
    report: &mut Report,
    make: impl Fn(&Properties) -> Result<S, PropertyError>,
) -> Option<S> {
    report.connector =
        properties.peek("name").or(properties.peek("topic.prefix")).unwrap_or("connector").to_owned();
    report.settings = properties.entries().map(setting).collect();
    let mut wrong = 0;
    let (settings, warnings) = loop {
        let (outcome, warnings) = listen(|| make(properties));
        let error = match outcome {
            Ok(settings) => break (Some(settings), warnings),
            Err(error) => error,
        };
        report.mend(GROUP, Mark::Fail, error.to_string(), error.hint.clone());
        wrong += 1;
        if wrong == WRONG_MAX || !leave_out(properties, &error.key) {
            report.add(GROUP, Mark::Warn, "nothing further was looked at: mend this first");
            break (None, warnings);
        }
    };
    for warning in warnings {
        report.add(GROUP, Mark::Warn, warning);
    }
    if wrong == 0 {
        report.add(GROUP, Mark::Ok, format!("{} properties can be used", report.settings.len()));
    }
    settings
}

fn setting((key, value, origin): (&str, &str, Origin)) -> Setting {
    let value = if is_secret(key) { "***".to_owned() } else { shorten(value) };
    let origin = match origin {
        Origin::Environment => "environment",
        Origin::Worker => "worker file",
        Origin::ImageEnvironment => "environment, image's name",
        Origin::Connector => "connector file",
        Origin::CommandLine => "command line",
    };
    Setting { key: key.to_owned(), value, origin }
}

/// Keys whose values are never shown.
fn is_secret(key: &str) -> bool {
    const PARTS: [&str; 9] = [
        "password",
        "secret",
        "private.key",
        "passphrase",
        "jaas",
        "token",
        "ssl.keystore.key",
        "credential",
        "user.info",
    ];
    let key = key.to_lowercase();
    PARTS.iter().any(|part| key.contains(part)) || key.ends_with(".pem")
}

/// Takes a wrong property away, so that the others can be looked at; transformations go as a whole.
fn leave_out(properties: &mut Properties, key: &str) -> bool {
    let chain = ["transforms", "predicates"];
    match chain.iter().any(|name| key.starts_with(&format!("{name}."))) {
        true => chain.map(|name| properties.remove(name)).contains(&true),
        false => properties.remove(key),
    }
}

/// Longest value that is shown whole.
const VALUE_CHARS_MAX: usize = 100;

fn shorten(value: &str) -> String {
    let value = value.replace(['\n', '\r'], " ");
    match value.char_indices().nth(VALUE_CHARS_MAX) {
        Some((at, _)) => format!("{}…", value.get(..at).unwrap_or_default()),
        None => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(pairs: &[(&str, &str)]) -> Properties {
        let mut properties = Properties::default();
        for (key, value) in pairs {
            properties.set(*key, *value, Origin::Connector);
        }
        properties
    }

    const GOOD: [(&str, &str); 6] = [
        ("topic.prefix", "shop"),
        ("plugin.name", "pgoutput"),
        ("database.hostname", "h"),
        ("database.user", "u"),
        ("database.dbname", "d"),
        ("bootstrap.servers", "b:1"),
    ];

    #[test]
    fn every_wrong_property_is_told_at_once() {
        let mut pairs = GOOD.to_vec();
        pairs.extend([
            ("decimal.handling.mode", "exact"),
            ("slot.name", "My-Slot"),
            ("transforms", "unwrap"),
            ("transforms.unwrap.type", "com.acme.Mine"),
            ("slot.nam", "x"),
            ("database.history.kafka.topic", "h"),
            ("database.password", "hush"),
            ("errors.tolerance", "all"),
        ]);
        let mut report = Report::default();
        let settings = source(&mut properties(&pairs), &mut report);
        assert!(settings.is_some(), "the rest can still be looked at");
        let text = report.text();
        for wanted in [
            "FAIL  decimal.handling.mode: 'exact' is not one of",
            "FAIL  slot.name: 'My-Slot'",
            "FAIL  transforms.unwrap.type: 'com.acme.Mine' is not supported",
            "warn  slot.nam: unknown property: did you mean slot.name?",
            "warn  database.history.kafka.topic: property has no effect",
            "warn  errors.tolerance=all",
            "***  (connector file)",
        ] {
            assert!(text.contains(wanted), "{wanted}\n{text}");
        }
        assert!(!text.contains("hush"));
    }

    #[test]
    fn a_missing_property_ends_the_look() {
        let mut report = Report::default();
        assert!(source(&mut properties(&GOOD[1..]), &mut report).is_none());
        assert!(report.text().contains("FAIL  topic.prefix: is required and missing"), "{}", report.text());
    }

    #[test]
    fn a_sink_is_told_by_its_class_or_its_topics() {
        assert!(is_sink(&properties(&[(
            "connector.class",
            "com.snowflake.kafka.connector.SnowflakeSinkConnector"
        )])));
        assert!(is_sink(&properties(&[("topics", "a")])));
        assert!(!is_sink(&properties(&GOOD)));
    }
}
