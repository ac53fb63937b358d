//! A local stand-in for a Snowflake account: Snowpipe Streaming (high-performance, REST) and the SQL API v2 over http and
//! https, with PostgreSQL as the SQL engine.
//!
//! What it cannot evaluate it refuses, with Snowflake's error shape; it never pretends. See the README beside this crate for
//! the command line, the control plane and the list of what differs from a real account.

mod account;
mod body;
mod control;
pub mod datatype;
mod driver;
pub mod engine;
pub mod error;
pub mod fault;
mod server;
pub mod settings;
pub mod sql;
pub mod streaming;
mod tls;

pub use server::{Config, Emulator};
