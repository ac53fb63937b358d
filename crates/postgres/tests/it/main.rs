//! The edge on a real server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod slices;
mod tls;
