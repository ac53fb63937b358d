//! The Debezium event model and its written forms.
//!
//! Knows neither PostgreSQL nor Kafka: `capture` writes events through it, `sink` and `verify` read them.
//!
//! Writing, in reading order: [`schema`] says what a field is, [`value`] is the one way to write a value,
//! [`format`] holds the written forms that implement it, [`envelope`] and [`source`] put an event
//! together from fragments that are rendered once, [`transaction`] and [`message`] are the events that are about no row, [`topic`] names the topic, [`record`] is what leaves, [`transform`] what may change it on
//! its way.
#![deny(missing_docs)]

pub mod envelope;
pub mod event;
pub mod format;
pub mod header;
pub mod message;
pub mod record;
pub mod schema;
pub mod source;
pub mod topic;
pub mod transaction;
pub mod transform;
pub mod value;
