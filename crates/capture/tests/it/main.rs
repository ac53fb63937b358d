//! Messages in, records out: the whole engine without a server.
#![allow(clippy::unwrap_used)]

mod events;
mod harness;
mod snapshot;
mod transforms;
