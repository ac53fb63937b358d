//! Change events in, batches per table out: the sink as a state machine.
//!
//! No clock, no socket, no runtime: `handle_*` pushes facts in, [`Sink::poll_action`] pulls work out, `now` is an
//! argument. Whoever drives it carries the [`Action`]s out on a [`destination::Destination`] and reports back.
//!
//! A topic-partition has one channel. It opens (which fences any older writer), learns from the channel's
//! [`offset_token`] where to go on, appends batches in order, and calls an offset durable only when the channel's
//! committed token has passed it with no rejected row and with as many rows as were sent.
#![deny(missing_docs)]

mod action;
pub mod config;
pub mod destination;
pub mod destination_suite;
pub mod dlq;
mod group;
mod landing;
pub mod memory;
pub mod merge;
pub mod offset_token;
mod partition;
pub mod row;
pub mod sequence;
mod sink;
pub mod stats;
pub mod table;
mod validation;

pub use action::{Action, Assignment, Described, GroupOffset, Incoming, PartitionId, StopKind, StopReason};
pub use sink::Sink;
