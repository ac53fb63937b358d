//! The PostgreSQL edge: sockets, TLS, authentication, slots, publications, catalog, COPY.
//!
//! [`connection`] speaks the wire for what tokio-postgres has no mode for: streaming replication, and
//! COPY rows as borrowed slices. [`control`] is a tokio-postgres client over the same sockets, for
//! everything else.

#[doc(hidden)]
pub mod buffer;
pub mod catalog;
mod config;
pub mod connection;
pub mod control;
mod error;
mod gather;
pub mod health;
pub mod publication;
pub mod replication;
pub mod slices;
pub mod slot;
pub mod snapshot;
pub mod sql;
mod stream;
mod tls;

pub use config::{ChannelBinding, Config, Secret, SslMode};
pub use error::{Error, ServerError};
