//! Replication messages to change events, and the LSN ledger.
//!
//! A state machine without socket, clock or runtime: `handle_*` pushes facts in, `poll_*` pulls work out,
//! `now` is an argument. Start at [`Capture`]; the plan and the types decide how a row is written,
//! [`ledger`] what may be acknowledged, [`position`] what a restart needs to know.
#![deny(missing_docs)]

mod capture;
pub mod catalog;
pub mod column_rules;
pub mod config;
mod defaults;
mod error;
pub mod ledger;
mod outbox;
mod plan;
pub mod position;
mod progress;
mod row_change;
mod snapshot;
pub mod stats;
mod transaction;
pub mod types;

pub use capture::{Capture, Start};
pub use config::Config;
pub use error::Error;
pub use ledger::Token;
pub use outbox::Flow;
pub use plan::{ColumnShape, TableShape};
pub use snapshot::SnapshotTable;
pub use types::ConversionError;
