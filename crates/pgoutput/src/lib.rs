//! PostgreSQL logical replication on the wire: CopyData payloads to replication messages and back.
//!
//! Reading order: [`replication`] is the frame around everything (XLogData, keepalive, status update),
//! [`decoder`] turns an XLogData body into a [`message::Message`], [`tuple`] is a row inside of it.
//! [`encode`] writes the same messages, for tests, benches and the simulation.
//!
//! Every function here is total: bytes from outside give a value or a [`DecodeError`] that says where.
//! Nothing is copied: a message borrows from the payload and from the decoder's reused column buffer.
#![deny(missing_docs)]

pub mod decoder;
pub mod encode;
mod error;
pub mod lsn;
pub mod message;
mod reader;
pub mod relation;
pub mod replication;
pub mod tuple;

pub use decoder::Decoder;
pub use error::{DecodeError, ErrorKind};
pub use lsn::Lsn;
pub use message::Message;
