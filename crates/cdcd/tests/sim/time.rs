//! Simulated time, in nanoseconds since the world began.

pub(crate) type Nanos = i64;

pub(crate) const MS: Nanos = 1_000_000;
pub(crate) const SECOND: Nanos = 1_000_000_000;
pub(crate) const MINUTE: Nanos = 60 * SECOND;
