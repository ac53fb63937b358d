//! From durable records to a durable position to an acknowledged LSN, in this order.

use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::replication::StandbyStatusUpdate;

/// Shortest time between two position records while changes flow: bounds what a crash repeats.
const BUSY_INTERVAL_NS: i64 = 200_000_000;
/// Shortest time between two position records while only keepalives arrive …
const IDLE_INTERVAL_NS: i64 = 10_000_000_000;
/// … unless this much log has gone by.
const IDLE_BYTES: u64 = 16 << 20;
/// Shortest time between two status updates that only tell of progress.
const STATUS_INTERVAL_NS: i64 = 100_000_000;

/// A position on its way into the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct InFlight {
    lsn: Lsn,
}

/// Which LSN may be written, which is written, which was told to the server.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Highest LSN received on this connection: nothing above it is ever acknowledged.
    received: Lsn,
    /// Covered by a durable position record.
    flushed: Lsn,
    /// Told to the server.
    acknowledged: Lsn,
    in_flight: Option<InFlight>,
    last_position_at: i64,
    last_status_at: i64,
    status_interval_ns: i64,
    reply_requested: bool,
    /// Whether a commit has been received since the last position record.
    busy: bool,
}

impl Progress {
    pub(crate) fn new(flushed: Lsn, status_interval_ns: i64) -> Self {
        Progress {
            received: Lsn::ZERO,
            flushed,
            acknowledged: Lsn::ZERO,
            in_flight: None,
            last_position_at: i64::MIN,
            last_status_at: i64::MIN,
            status_interval_ns,
            reply_requested: false,
            busy: false,
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

    /// The LSN to write into the position topic now, if it is time. `force` overrides the pace.
    pub(crate) fn poll_position(&mut self, durable: Lsn, now: i64, force: bool) -> Option<Lsn> {
        if self.in_flight.is_some() || durable <= self.flushed {
            return None;
        }
        let interval = match self.busy || durable.0 - self.flushed.0 >= IDLE_BYTES {
            true => BUSY_INTERVAL_NS,
            false => IDLE_INTERVAL_NS,
        };
        if !force && now < self.last_position_at.saturating_add(interval) {
            return None;
        }
        self.last_position_at = now;
        self.busy = false;
        self.in_flight = Some(InFlight { lsn: durable });
        Some(durable)
    }

    pub(crate) fn handle_position_durable(&mut self) {
        if let Some(in_flight) = self.in_flight.take() {
            self.flushed = self.flushed.max(in_flight.lsn);
        }
    }

    pub(crate) fn flushed(&self) -> Lsn {
        self.flushed
    }

    pub(crate) fn poll_status_update(&mut self, now: i64) -> Option<StandbyStatusUpdate> {
        let flushed = self.flushed.min(self.received);
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

    #[test]
    fn nothing_is_acknowledged_before_its_position_is_durable() {
        let mut progress = Progress::new(Lsn(10), 10 * SECOND);
        progress.received(Lsn(100));
        assert_eq!(progress.poll_status_update(0).unwrap().flushed, Lsn(10));
        assert_eq!(progress.poll_position(Lsn(50), 0, false), Some(Lsn(50)));
        assert_eq!(progress.poll_status_update(10 * SECOND).unwrap().flushed, Lsn(10));
        progress.handle_position_durable();
        assert_eq!(progress.poll_status_update(11 * SECOND).unwrap().flushed, Lsn(50));
    }

    #[test]
    fn nothing_above_what_this_connection_received_is_acknowledged() {
        let mut progress = Progress::new(Lsn(1000), SECOND);
        progress.received(Lsn(7));
        assert_eq!(progress.poll_status_update(0).unwrap().flushed, Lsn(7));
    }

    #[test]
    fn idle_progress_is_paced_and_busy_progress_is_not_held_back() {
        let mut progress = Progress::new(Lsn(0), SECOND);
        assert!(progress.poll_position(Lsn(1), 0, false).is_some());
        progress.handle_position_durable();
        assert!(progress.poll_position(Lsn(2), SECOND, false).is_none());
        assert!(progress.poll_position(Lsn(2), SECOND, true).is_some());
        progress.handle_position_durable();
        progress.committed();
        assert!(progress.poll_position(Lsn(3), 2 * SECOND, false).is_some());
        progress.handle_position_durable();
        assert!(progress.poll_position(Lsn(3 + IDLE_BYTES), 3 * SECOND, false).is_some());
    }
}
