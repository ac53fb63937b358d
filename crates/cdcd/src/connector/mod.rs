//! Connector files: the JSON or `.properties` that users post to Kafka Connect, read into checked settings.
//!
//! [`file`] reads the text, [`properties::Properties`] merges all sources by strength and hands the values
//! out, [`source`] makes the settings of a capture and [`sink`] those of a sink. Whatever is not taken at the
//! end is reported: an unknown key with the nearest known name, a dead or unsupported key with its reason
//! ([`known`]).

mod converter;
pub mod file;
pub mod known;
pub mod known_sink;
pub mod known_source;
pub mod properties;
pub mod sink;
pub mod source;
pub mod streaming;
