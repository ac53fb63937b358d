//! `cdcd`: PostgreSQL changes to Kafka and Snowflake, without Kafka Connect.
//!
//! The one place where edges meet: command line ([`cli`]), connector files ([`connector`]), run loops
//! ([`capture`], [`sink`]), exit codes ([`exit`]), logs ([`telemetry`]).

pub mod capture;
pub mod check;
pub mod cli;
pub mod connector;
pub mod exit;
mod failpoint;
pub mod shutdown;
pub mod sink;
pub mod telemetry;
pub mod verify;
