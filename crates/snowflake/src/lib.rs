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

/// Doors for the fuzz targets.
#[doc(hidden)]
pub mod fuzzing {
    /// Reads an answer as each of the interfaces would.
    pub fn read_answer(body: &[u8]) {
        let reply = crate::http::Reply { status: 400, body: body.to_vec(), retry_after: None, session: None };
        let _ = reply.problem();
        crate::streaming::read_any(&reply);
        if let Ok(result) = crate::sql::read_result(body, "reading") {
            crate::ddl::described(&result);
        }
    }
}

pub use config::{Config, ConfigError, Secret};
pub use destination::Snowflake;
pub use encoding::NdjsonEncoder;
pub use sql::{ResultSet, SfIdent, SfLiteral};
