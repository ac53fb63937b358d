//! The decoder against its encoder, cut bytes and random bytes.
#![allow(clippy::unwrap_used)]

mod round_trip;
