//! The Kafka edge. librdkafka is C with threads of its own: it gets records in, makes them durable,
//! and never sees an LSN.
//!
//! [`config`] reads Java's client property names, [`producer`] sends records, [`admin`] makes and describes
//! topics, [`compacted`] reads the newest value of each key of a small topic, [`consumer`] reads a group's
//! partitions from where it is told to, [`scan`] reads whole topics once, [`registry`] asks a schema registry.

pub mod admin;
pub mod compacted;
pub mod config;
pub mod consumer;
mod error;
mod ffi;
pub mod producer;
pub mod progress;
pub mod registry;
pub mod scan;

pub use config::ClientConfig;
pub use error::Error;
