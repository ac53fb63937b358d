//! When to leave the socket of a stream alone, so that bytes gather in it.

use std::time::{Duration, Instant};

/// A stream is judged over at least this much time.
const WINDOW: Duration = Duration::from_millis(1);
/// Bytes a second of a stream that is fast: some ten thousand changes.
const FAST: f64 = 4e6;
/// How long bytes gather then; a socket's buffer that is full by then only makes the server wait. Of 4 and 10 ms the
/// second let a walsender of PostgreSQL 15 send twice as fast as pg_recvlogical does (`cargo xtask bench drain`).
const GATHER: Duration = Duration::from_millis(10);

/// Watches how fast bytes come.
#[derive(Debug)]
pub(crate) struct Gather {
    window_began: Instant,
    window_bytes: usize,
    until: Option<Instant>,
}

impl Gather {
    pub(crate) fn new(now: Instant) -> Self {
        Gather { window_began: now, window_bytes: 0, until: None }
    }

    /// Leaves the socket alone as long as it should be. The thread itself sleeps: one that waits for sockets would be
    /// woken by each change that arrives, and that is what costs the sender.
    pub(crate) fn wait(&mut self) {
        if let Some(until) = self.until.take() {
            std::thread::sleep(until.saturating_duration_since(Instant::now()));
        }
    }

    /// So many bytes were taken, and the socket is empty now.
    pub(crate) fn took(&mut self, bytes: usize, now: Instant) {
        self.window_bytes += bytes;
        let elapsed = now.saturating_duration_since(self.window_began);
        if elapsed < WINDOW {
            return;
        }
        let is_fast = self.window_bytes as f64 >= FAST * elapsed.as_secs_f64();
        *self = Gather { until: is_fast.then(|| now + GATHER), ..Gather::new(now) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(steps: &[(u64, usize)]) -> bool {
        let mut now = Instant::now();
        let mut gather = Gather::new(now);
        for (us, bytes) in steps {
            now += Duration::from_micros(*us);
            gather.took(*bytes, now);
        }
        gather.until.is_some()
    }

    #[test]
    fn a_fast_stream_gathers_whether_its_reads_are_large_or_small() {
        assert!(after(&[(4_000, 400_000)]));
        assert!(after(&[(10, 700); 101]));
    }

    #[test]
    fn a_slow_stream_is_read_at_once() {
        assert!(!after(&[(2_000, 700)]));
        assert!(!after(&[(100_000, 200_000)]));
        assert!(!after(&[(10, 700); 50]));
        // One large row after a pause is no fast stream.
        assert!(!after(&[(1_000_000, 1_000_000)]));
    }
}
