//! What a person sees while it runs: a bar for the snapshot, a line of figures for the stream.

use std::fmt::Write;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use cdcd_capture::Capture;
use cdcd_capture::stats::Stats;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// One line of figures every now and then.
pub(super) struct StatsLine {
    interval: Option<Duration>,
    last: (Instant, Stats),
}

impl StatsLine {
    pub(super) fn new(interval: Option<Duration>) -> Self {
        StatsLine { interval, last: (Instant::now(), Stats::default()) }
    }

    pub(super) fn tick(&mut self, capture: &Capture, in_flight: usize) {
        let Some(interval) = self.interval else { return };
        let elapsed = self.last.0.elapsed();
        if elapsed < interval {
            return;
        }
        let stats = capture.stats();
        let rate = (stats.events() - self.last.1.events()) as f64 / elapsed.as_secs_f64();
        let lag_ms = match stats.last_commit_at_us {
            0 => -1,
            at_us => (super::now_ns() / 1000 - at_us) / 1000,
        };
        eprintln!(
            "capture: {} events ({rate:.0}/s), {} transactions, {in_flight} records in flight, flushed {}, last commit {lag_ms} ms ago",
            stats.events(),
            stats.transactions,
            capture.flushed(),
        );
        self.last = (Instant::now(), stats);
    }
}

/// Progress of a snapshot: a bar on a terminal, else a log line per table.
pub(super) struct SnapshotBar {
    bar: Option<ProgressBar>,
    began: Instant,
    rows: u64,
}

/// Rows between two updates of the bar: often enough to move, seldom enough to cost nothing.
const BAR_STEP: u64 = 1024;

impl SnapshotBar {
    pub(super) fn new(rows_estimate: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(
                "snapshot {bar:30} {human_pos}/{human_len} rows, {rate} rows/s, {eta} left, {msg}",
            );
            let bar = ProgressBar::new(rows_estimate);
            if let Ok(style) = style {
                bar.set_style(style.with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
                    let written = write!(out, "{:.0}", state.per_sec());
                    debug_assert!(written.is_ok(), "writing to a String cannot fail");
                }));
            }
            bar
        });
        SnapshotBar { bar, began: Instant::now(), rows: 0 }
    }

    pub(super) fn table(&self, name: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(name.to_owned());
        }
    }

    pub(super) fn row(&mut self) {
        self.rows += 1;
        if self.rows.is_multiple_of(BAR_STEP)
            && let Some(bar) = &self.bar
        {
            bar.set_position(self.rows);
        }
    }

    pub(super) fn table_done(&self, name: &str, rows: u64) {
        if self.bar.is_none() {
            tracing::info!(table = name, rows, "table read");
        }
    }

    pub(super) fn finish(self, tables: usize) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let seconds = self.began.elapsed().as_secs_f64();
        tracing::info!(
            tables,
            rows = self.rows,
            seconds = format!("{seconds:.1}"),
            rows_per_second = (self.rows as f64 / seconds.max(0.001)) as u64,
            "snapshot read"
        );
    }
}
