//! The whole way on real services.
#![allow(clippy::unwrap_used)]

mod avro;
mod capture;
mod check;
mod exactly_once;
mod facts;
mod kit;
mod offsets;
mod rowless;
mod secrets;
mod sink;
mod streamed;
mod transforms;
mod verify;
mod verify_topics;
mod whole_way;
