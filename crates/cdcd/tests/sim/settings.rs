//! The connector files of the simulated processes, read by the product's own reader.

use std::sync::OnceLock;

use cdcd::connector::properties::{Origin, Properties};
use cdcd::connector::source::{KafkaNeed, SnapshotMode, SourceSettings};

/// A source connector; `snapshot`: `initial`, else `no_data`.
pub(crate) fn source(snapshot: bool) -> SourceSettings {
    static SETTINGS: OnceLock<SourceSettings> = OnceLock::new();
    let read = || {
        let mut properties = Properties::default();
        for (key, value) in [
            ("topic.prefix", "srv"),
            ("database.hostname", "db"),
            ("database.user", "cdcd"),
            ("database.dbname", "app"),
            ("bootstrap.servers", "kafka:9092"),
            ("skipped.operations", "none"),
            ("cdcd.headers", "true"),
            // Messages are counted, and what they become has no event id that a checker could know it by.
            ("message.prefix.exclude.list", ".*"),
            ("key.converter", "org.apache.kafka.connect.json.JsonConverter"),
            ("key.converter.schemas.enable", "false"),
            ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
            ("value.converter.schemas.enable", "false"),
        ] {
            properties.set(key, value, Origin::Connector);
        }
        SourceSettings::new(&properties, KafkaNeed::Required).expect("the properties are right")
    };
    let mut settings = SETTINGS.get_or_init(read).clone();
    settings.snapshot.mode = if snapshot { SnapshotMode::Initial } else { SnapshotMode::NoData };
    settings
}
