//! The emulator on a real PostgreSQL: its SQL, its channels, its faults, and Snowflake's own client against it.

mod conformance;
mod faults;
mod harness;
mod sql;
mod streaming;
