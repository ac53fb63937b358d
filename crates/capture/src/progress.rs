//! Group commit: from records that were sent to a durable position to an acknowledged LSN, in this order.
//!
//! A commit covers everything that was sent before it, and a position that says so. While changes pour in,
//! many transactions share a commit; when none waits, each gets its own at once.

use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::replication::StandbyStatusUpdate;

use crate::position::{OpenTransaction, SnapshotProgress};

/// Longest time that records wait for their commit under load.
const GROUP_NS: i64 = 500_000_000;
/// Most bytes that wait for their commit under load.
const GROUP_BYTES: u64 = 32 << 20;
/// A transaction of the source is cut only if it keeps a commit open for longer than this …
const CUT_NS: i64 = 2_000_000_000;
/// … or is larger than this.
const CUT_BYTES: u64 = 48 << 20;
/// Shortest time between two commits that only move the position over empty transactions …
const EMPTY_INTERVAL_NS: i64 = 200_000_000;
/// … or over keepalives …
const IDLE_INTERVAL_NS: i64 = 10_000_000_000;
/// … unless this much log has gone by.
const IDLE_BYTES: u64 = 16 << 20;
/// Shortest time between two status updates that only tell of progress.
const STATUS_INTERVAL_NS: i64 = 100_000_000;

/// How urgent a commit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// More input waits: gather.
    Busy,
    /// Nothing waits: commit what there is.
    Idle,
    /// We are about to stop: commit also inside of a transaction, and a position that is barely new.
    Stopping,
}

/// What a position record must say when it is committed together with everything that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitPoint {
    /// Every transaction that ends at or before this LSN is covered.
    pub done_end_lsn: Lsn,
    /// End of the last transaction before it.
    pub last_commit_lsn: Option<Lsn>,
    /// Time of the last transaction that had a commit, µs since 1970.
    pub last_commit_us: Option<i64>,
    /// The transaction of which a part is covered.
    pub open: Option<OpenTransaction>,
    /// The snapshot that is being read, or that the stream is not past yet.
    pub snapshot: Option<SnapshotProgress>,
}

/// What waits for its commit, what is committed, what was told to the server.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Highest LSN received on this connection: nothing above it is ever acknowledged.
    received: Lsn,
    /// Covered by a durable position record.
    flushed: Lsn,
    /// Told to the server.
    acknowledged: Lsn,
    in_flight: Option<Lsn>,
    last_commit_at: i64,
    last_status_at: i64,
    status_interval_ns: i64,
    reply_requested: bool,
    /// Whether a transaction has ended since the last commit.
    busy: bool,
    /// Records and bytes written since the last commit.
    records: u64,
    bytes: u64,
    /// When the first of them was seen.
    since: Option<i64>,
}

impl Progress {
    pub(crate) fn new(flushed: Lsn, status_interval_ns: i64) -> Self {
        Progress {
            received: Lsn::ZERO,
            flushed,
            acknowledged: Lsn::ZERO,
            in_flight: None,
            last_commit_at: i64::MIN,
            last_status_at: i64::MIN,
            status_interval_ns,
            reply_requested: false,
            busy: false,
            records: 0,
            bytes: 0,
            since: None,
        }
    }

    pub(crate) fn received(&mut self, lsn: Lsn) {
        self.received = self.received.max(lsn);
    }

    pub(crate) fn committed(&mut self) {
        self.busy = true;
    }

    pub(crate) fn reply_requested(&mut self) {
        self.reply_requested = true;
    }

    /// So many records were handed out, all of them at once.
    pub(crate) fn sent(&mut self, records: u64, bytes: u64) {
        self.records += records;
        self.bytes += bytes;
    }

    /// Whether everything that was sent should be committed now. `boundary` is the end of what was received
    /// outside of any transaction.
    pub(crate) fn poll_commit(&mut self, boundary: Lsn, in_transaction: bool, now: i64, pace: Pace) -> bool {
        if self.in_flight.is_some() {
            return false;
        }
        let due = if self.records > 0 {
            self.group_is_due(in_transaction, now, pace)
        } else {
            boundary > self.flushed && self.empty_is_due(boundary, now, pace)
        };
        if due {
            self.last_commit_at = now;
            self.in_flight = Some(boundary);
            (self.busy, self.records, self.bytes, self.since) = (false, 0, 0, None);
        }
        due
    }

    fn group_is_due(&mut self, in_transaction: bool, now: i64, pace: Pace) -> bool {
        let waited = now.saturating_sub(*self.since.get_or_insert(now));
        match (pace, in_transaction) {
            (Pace::Stopping, _) => true,
            (_, true) => waited >= CUT_NS || self.bytes >= CUT_BYTES,
            (Pace::Idle, false) => true,
            (Pace::Busy, false) => waited >= GROUP_NS || self.bytes >= GROUP_BYTES,
        }
    }

    fn empty_is_due(&self, boundary: Lsn, now: i64, pace: Pace) -> bool {
        let interval = match self.busy || boundary.0 - self.flushed.0 >= IDLE_BYTES {
            true => EMPTY_INTERVAL_NS,
            false => IDLE_INTERVAL_NS,
        };
        pace == Pace::Stopping || now >= self.last_commit_at.saturating_add(interval)
    }

    pub(crate) fn handle_committed(&mut self) {
        if let Some(lsn) = self.in_flight.take() {
            self.flushed = self.flushed.max(lsn);
        }
    }

    pub(crate) fn flushed(&self) -> Lsn {
        self.flushed
    }

    /// Highest LSN received on this connection.
    pub(crate) fn highest_received(&self) -> Lsn {
        self.received
    }

    /// Covered by a durable position, and received on this connection.
    pub(crate) fn acknowledgeable(&self) -> Lsn {
        self.flushed.min(self.received)
    }

    pub(crate) fn poll_status_update(&mut self, now: i64) -> Option<StandbyStatusUpdate> {
        let flushed = self.acknowledgeable();
        let progressed =
            flushed > self.acknowledged && now >= self.last_status_at.saturating_add(STATUS_INTERVAL_NS);
        let due = now >= self.last_status_at.saturating_add(self.status_interval_ns);
        if !(self.reply_requested || progressed || due) {
            return None;
        }
        self.reply_requested = false;
        self.last_status_at = now;
        self.acknowledged = self.acknowledged.max(flushed);
        Some(StandbyStatusUpdate {
            written: self.received,
            flushed,
            sent_at: now.div_euclid(1000) - crate::transaction::unix_us(0),
            reply_requested: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn progress(flushed: u64) -> Progress {
        Progress::new(Lsn(flushed), 10 * SECOND)
    }

    #[test]
    fn nothing_is_acknowledged_before_its_position_is_durable() {
        let mut progress = progress(10);
        progress.received(Lsn(100));
        assert_eq!(progress.poll_status_update(0).unwrap().flushed, Lsn(10));
        progress.sent(1, 100);
        assert!(progress.poll_commit(Lsn(50), false, 0, Pace::Idle));
        assert_eq!(progress.poll_status_update(10 * SECOND).unwrap().flushed, Lsn(10));
        assert!(!progress.poll_commit(Lsn(60), false, 11 * SECOND, Pace::Stopping), "one at a time");
        progress.handle_committed();
        assert_eq!(progress.poll_status_update(11 * SECOND).unwrap().flushed, Lsn(50));
    }

    #[test]
    fn nothing_above_what_this_connection_received_is_acknowledged() {
        let mut progress = progress(1000);
        assert_eq!(progress.acknowledgeable(), Lsn::ZERO);
        progress.received(Lsn(7));
        assert_eq!(progress.acknowledgeable(), Lsn(7));
        assert_eq!(progress.poll_status_update(0).unwrap().flushed, Lsn(7));
    }

    #[test]
    fn a_group_is_committed_at_once_when_idle_and_in_batches_under_load() {
        let mut progress = progress(0);
        progress.sent(1, 100);
        assert!(!progress.poll_commit(Lsn(1), false, 0, Pace::Busy));
        assert!(!progress.poll_commit(Lsn(1), false, GROUP_NS - 1, Pace::Busy));
        assert!(progress.poll_commit(Lsn(1), false, GROUP_NS, Pace::Busy));
        progress.handle_committed();
        progress.sent(1, GROUP_BYTES);
        assert!(progress.poll_commit(Lsn(2), false, GROUP_NS, Pace::Busy));
        progress.handle_committed();
        progress.sent(1, 100);
        assert!(progress.poll_commit(Lsn(3), false, GROUP_NS, Pace::Idle));
    }

    #[test]
    fn a_transaction_is_cut_only_when_it_is_large_or_slow_or_we_stop() {
        let mut progress = progress(0);
        progress.sent(1, GROUP_BYTES);
        assert!(!progress.poll_commit(Lsn(0), true, 0, Pace::Busy));
        assert!(!progress.poll_commit(Lsn(0), true, CUT_NS - 1, Pace::Idle));
        assert!(progress.poll_commit(Lsn(0), true, CUT_NS, Pace::Busy));
        progress.handle_committed();
        progress.sent(1, CUT_BYTES);
        assert!(progress.poll_commit(Lsn(0), true, CUT_NS, Pace::Busy));
        progress.handle_committed();
        progress.sent(1, 1);
        assert!(progress.poll_commit(Lsn(0), true, CUT_NS, Pace::Stopping));
    }

    #[test]
    fn progress_without_records_is_paced() {
        let mut progress = progress(0);
        assert!(progress.poll_commit(Lsn(1), false, 0, Pace::Idle));
        progress.handle_committed();
        assert!(!progress.poll_commit(Lsn(2), false, SECOND, Pace::Idle));
        assert!(progress.poll_commit(Lsn(2), false, SECOND, Pace::Stopping));
        progress.handle_committed();
        progress.committed();
        assert!(progress.poll_commit(Lsn(3), false, 2 * SECOND, Pace::Idle));
        progress.handle_committed();
        assert!(progress.poll_commit(Lsn(3 + IDLE_BYTES), false, 3 * SECOND, Pace::Idle));
        progress.handle_committed();
        assert!(
            !progress.poll_commit(Lsn(3 + IDLE_BYTES), false, 99 * SECOND, Pace::Stopping),
            "nothing new"
        );
    }
}
