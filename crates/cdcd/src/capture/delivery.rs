//! Records out, commits behind them: the part that snapshot and stream share.

use std::time::{Duration, Instant};

use cdcd_capture::{Capture, Flow, Pace};

use super::now_ns;
use super::output::Output;
use super::store::{Identity, Store};
use crate::exit::{Exit, Failure};
use crate::failpoint::reached;

/// Sends what a capture has written and commits it with the positions that cover it.
pub(super) struct Delivery<'s> {
    pub(super) output: &'s mut Output,
    pub(super) store: &'s Store,
    pub(super) identity: &'s Identity,
}

impl Delivery<'_> {
    /// Offers what waits, and begins a commit if one is due. `Full`: the receiver takes nothing more now.
    pub(super) async fn pump(&mut self, capture: &mut Capture, pace: Pace) -> Result<Flow, Failure> {
        if capture.pending_bytes() > 0 && !self.output.is_committing() {
            self.keep_facts(capture)?;
        }
        let flow = self.output.send(capture).await?;
        if flow == Flow::Taken && self.output.is_durable() && !self.output.is_committing() {
            self.begin_commit(capture, pace)?;
        }
        Ok(flow)
    }

    fn begin_commit(&mut self, capture: &mut Capture, pace: Pace) -> Result<(), Failure> {
        match capture.poll_commit(now_ns(), pace) {
            None => Ok(()),
            Some(point) => {
                capture.forget_facts(point.done_end_lsn);
                self.keep_facts(capture)?;
                let position = self.store.position(self.identity, point);
                self.output.begin_commit(self.store, position)
            }
        }
    }

    /// What the catalog answered goes where the position is, before what was written with it.
    fn keep_facts(&mut self, capture: &mut Capture) -> Result<(), Failure> {
        while let Some(record) = capture.poll_facts_record() {
            let key = format!("{}.{}", self.store.key, record.key);
            self.output.keep(&self.store.topic, &key, record.value.as_deref())?;
        }
        Ok(())
    }

    /// Waits for the end of the running commit. May be dropped and called again.
    pub(super) async fn committed(&mut self, capture: &mut Capture) -> Result<(), Failure> {
        self.output.committed().await?;
        reached("committed.before");
        capture.handle_committed();
        reached("committed.after");
        Ok(())
    }

    /// Waits until the receiver may take more.
    pub(super) async fn relieve(&mut self, capture: &mut Capture) -> Result<(), Failure> {
        match self.output.is_committing() {
            true => self.committed(capture).await,
            false => self.output.wait().await,
        }
    }

    /// One step towards everything being durable; says whether it is.
    pub(super) async fn settle(&mut self, capture: &mut Capture) -> Result<bool, Failure> {
        let flow = self.pump(capture, Pace::Stopping).await?;
        if self.output.is_committing() {
            // Not longer than timers can wait.
            let slice = tokio::time::timeout(Duration::from_millis(50), self.committed(capture));
            if let Ok(ended) = slice.await {
                ended?;
            }
            return Ok(false);
        }
        if flow == Flow::Full {
            self.output.wait().await?;
        }
        Ok(flow == Flow::Taken)
    }

    /// Returns when everything is durable.
    pub(super) async fn finish(&mut self, capture: &mut Capture, limit: Duration) -> Result<(), Failure> {
        let deadline = Deadline::new(limit);
        while !self.settle(capture).await? {
            deadline.check()?;
        }
        Ok(())
    }
}

/// A bound on what Kafka may take.
pub(super) struct Deadline {
    began: Instant,
    limit: Duration,
}

impl Deadline {
    pub(super) fn new(limit: Duration) -> Self {
        Deadline { began: Instant::now(), limit }
    }

    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.began.elapsed() <= self.limit {
            return Ok(());
        }
        let error = anyhow::anyhow!("Kafka did not take all records within {} s", self.limit.as_secs());
        Err(Failure::new(Exit::Dependency, error)
            .hint("nothing is lost: what was not acknowledged is read again at the next start"))
    }
}
