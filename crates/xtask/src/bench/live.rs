//! A command that runs on while it is looked at, and what it says of itself.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::measure;
use super::stage::Stage;

/// How often things are looked at.
pub(super) const LOOK: Duration = Duration::from_millis(50);
/// Bound on whatever is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);

/// A running client; killed when dropped.
pub(super) struct Live {
    child: Child,
    lines: Receiver<(Instant, String)>,
    /// The newest line of figures.
    pub(super) figures: Option<Figures>,
    last_words: String,
}

/// What a line of figures of `cdcd capture` says, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    pub(super) at: Instant,
    pub(super) events: u64,
    pub(super) flushed: u64,
}

impl Live {
    pub(super) fn start(mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{command:?}"))?;
        let stderr = child.stderr.take().context("no standard error")?;
        let (said, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if said.send((Instant::now(), line)).is_err() {
                    break;
                }
            }
        });
        Ok(Live { child, lines, figures: None, last_words: String::new() })
    }

    /// Takes in what was said since; an error if the client has ended.
    pub(super) fn look(&mut self) -> Result<()> {
        for (at, line) in self.lines.try_iter() {
            match figures(&line) {
                Some((events, flushed)) => self.figures = Some(Figures { at, events, flushed }),
                None => self.last_words = line,
            }
        }
        if let Some(status) = self.child.try_wait()? {
            bail!("the client ended early with {status}: {}", self.last_words);
        }
        Ok(())
    }

    /// Looks until `done` gives something.
    pub(super) fn until<T>(
        &mut self,
        what: &str,
        mut done: impl FnMut(&Self) -> Result<Option<T>>,
    ) -> Result<T> {
        let began = Instant::now();
        loop {
            self.look()?;
            if let Some(found) = done(self)? {
                return Ok(found);
            }
            if began.elapsed() > PATIENCE {
                bail!("{what} did not come within {} s: {}", PATIENCE.as_secs(), self.last_words);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// CPU-seconds so far.
    pub(super) fn cpu(&self) -> Result<f64> {
        measure::cpu(self.child.id())
    }

    /// Resident memory now and the most so far, MiB.
    pub(super) fn rss(&self) -> Result<(f64, f64)> {
        let pid = self.child.id();
        measure::rss_now(pid).zip(measure::rss(pid)).context("the client's memory")
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Events and flushed LSN of a line such as
/// `capture: 5000 events (900/s), 50 transactions, 0 records in flight, flushed 0/16B3748, last commit 3 ms ago`.
fn figures(line: &str) -> Option<(u64, u64)> {
    let rest = line.strip_prefix("capture: ")?;
    let (events, rest) = rest.split_once(" events")?;
    let (_, rest) = rest.split_once("flushed ")?;
    let (flushed, _) = rest.split_once(',')?;
    Some((events.parse().ok()?, lsn(flushed)?))
}

/// `0/16B3748` as a number.
pub(super) fn lsn(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    Some(u64::from_str_radix(high, 16).ok()? << 32 | u64::from_str_radix(low, 16).ok()?)
}

/// Waits until a client has taken the slot, and returns how it is sent to.
pub(super) fn wait_for_slot(stage: &Stage<'_>, live: &mut Live, slot: &str) -> Result<()> {
    live.until("the client's connection", |_| {
        let active = stage
            .database
            .psql(&format!("SELECT 1 FROM pg_replication_slots WHERE slot_name = '{slot}' AND active"))?;
        Ok((active == "1").then_some(()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_figures_is_read_and_any_other_is_not() {
        let line = "capture: 5000 events (900/s), 50 transactions, 0 records in flight, flushed 1/16B3748, last commit 3 ms ago";
        assert_eq!(figures(line), Some((5000, 0x1_016B_3748)));
        assert_eq!(figures("2026-11-01 INFO capture stopped"), None);
    }
}
