//! Snowflake as a destination: Snowpipe Streaming (high-performance, REST) for rows, SQL API v2 for tables and merges.
//!
//! Implements [`cdcd_sink::destination::Destination`]. Every call is one attempt, apart from one renewal of the token
//! on 401: retries belong to the run loop.
#![deny(missing_docs)]

mod auth;
mod config;
mod ddl;
mod destination;
mod encoding;
mod http;
mod merge;
mod sql;
mod streaming;

pub use config::{Config, ConfigError, Secret};
pub use destination::Snowflake;
pub use encoding::NdjsonEncoder;
pub use sql::ResultSet;
