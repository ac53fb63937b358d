//! The transaction that is being received.

use cdcd_pgoutput::Lsn;

/// Seconds between 1970-01-01 and PostgreSQL's epoch, 2000-01-01.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// Microseconds since 1970 of a time on the wire.
pub(crate) fn unix_us(postgres_us: i64) -> i64 {
    postgres_us.saturating_add(POSTGRES_EPOCH_US)
}

/// An open transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transaction {
    pub(crate) commit_lsn: Lsn,
    /// µs since 1970.
    pub(crate) committed_at_us: i64,
    pub(crate) xid: u32,
    /// Data messages received so far, before any filter: the next one's ordinal.
    pub(crate) ordinal: u64,
}
