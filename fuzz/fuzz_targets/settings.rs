//! Any text is a connector or a named error, and so are its properties.
#![no_main]

use cdcd::connector::file;
use cdcd::connector::properties::{Origin, Properties};
use cdcd::connector::sink::SinkSettings;
use cdcd::connector::source::{KafkaNeed, SourceSettings};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(pairs) = file::parse_connector("fuzz", text) else { return };
    let mut properties = Properties::default();
    for (key, value) in pairs {
        properties.set(key, value, Origin::Connector);
    }
    let _ = SourceSettings::new(&properties, KafkaNeed::Required);
    let _ = SinkSettings::read(&properties);
});
