//! Messages in, records out: the whole engine without a server.
#![allow(clippy::unwrap_used)]

mod allocations;
mod avro;
mod events;
mod facts;
mod harness;
mod rowless;
mod snapshot;
mod streamed;
mod transforms;
