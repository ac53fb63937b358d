//! Replication messages to change events, and when what may be acknowledged.
//!
//! A state machine without socket, clock or runtime: `handle_*` pushes facts in, `poll_*` pulls work out,
//! `now` is an argument. Start at [`Capture`]; the plan and the types decide how a row is written,
//! `progress` what is committed and acknowledged when, [`position`] what a restart needs to know.
#![deny(missing_docs)]

mod capture;
pub mod catalog;
mod column;
pub mod column_rules;
mod columns;
pub mod config;
pub mod converter;
mod defaults;
mod error;
pub mod kept;
mod logical;
mod metadata;
mod outbox;
mod plan;
pub mod position;
mod progress;
mod registered;
mod reread;
mod row_change;
mod snapshot;
pub mod spool;
pub mod stats;
mod streamed;
mod transaction;
mod trees;
pub mod types;
mod unwrapped;

pub use capture::{Capture, Start};
pub use config::Config;
pub use error::Error;
pub use outbox::Flow;
pub use plan::{ColumnShape, TableShape};
pub use progress::{CommitPoint, Pace};
pub use snapshot::{SnapshotTable, chunk_key};
pub use types::ConversionError;
