//! The streaming loop: frames in, records out, positions and acknowledgements behind them.

use std::time::Duration;

use cdcd_capture::{Capture, Flow};
use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::replication::{Frame, StandbyStatusUpdate};
use cdcd_postgres::connection::{Connection, CopyMessage};
use tokio_postgres::Client;

use super::output::Output;
use super::report::StatsLine;
use super::store::{Identity, Store};
use super::{catalog, now_ns};
use crate::exit::{Exit, Failure};
use crate::shutdown::Shutdown;

/// Bytes of records that are gathered before they are sent.
const OUTBOX_BYTES_MAX: usize = 256 << 10;
/// How often to look after deliveries while records are in flight …
const BUSY_TICK: Duration = Duration::from_millis(1);
/// … and after timers when nothing is.
const IDLE_TICK: Duration = Duration::from_millis(50);
/// How long Kafka may take for what was read before a stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(60);
/// How often to ask the server for a keepalive while waiting for an end position.
const ASK_INTERVAL_NS: i64 = 100_000_000;

/// The parts of a streaming session.
pub(super) struct Stream<'s> {
    pub(super) connection: Connection,
    pub(super) control: &'s Client,
    pub(super) capture: &'s mut Capture,
    pub(super) output: &'s mut Output,
    pub(super) store: &'s Store,
    pub(super) identity: &'s Identity,
    pub(super) end: Option<Lsn>,
    pub(super) stats: StatsLine,
}

/// Why the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Shutdown,
    EndPosition,
}

impl Stream<'_> {
    /// Streams until the shutdown or the end position; everything read is then durable and acknowledged.
    pub(super) async fn run(mut self, shutdown: &Shutdown) -> Result<(), Failure> {
        let mut asked_at = i64::MIN;
        let stop = loop {
            let more = self.take_frames().await?;
            let flow = self.output.send(self.capture).await?;
            self.look_after(false).await?;
            self.stats.tick(self.capture, self.output.in_flight());
            if shutdown.is_requested() {
                break Stop::Shutdown;
            }
            if let Some(end) = self.end {
                if self.capture.received_boundary() >= end && !self.capture.in_transaction() {
                    break Stop::EndPosition;
                }
                if !more && now_ns() >= asked_at.saturating_add(ASK_INTERVAL_NS) {
                    asked_at = now_ns();
                    self.ask_for_keepalive().await?;
                }
            }
            match (flow, more) {
                // Kafka is behind: leave the socket alone, so that the server feels it.
                (Flow::Full, _) => self.output.wait().await,
                (Flow::Taken, true) => {}
                (Flow::Taken, false) => self.wait(shutdown).await?,
            }
        };
        self.finish(stop).await
    }

    /// Feeds frames that have arrived; says whether more may wait in the buffer.
    async fn take_frames(&mut self) -> Result<bool, Failure> {
        let now = now_ns();
        while self.capture.pending_bytes() < OUTBOX_BYTES_MAX {
            match self.connection.next_copy()? {
                None => return Ok(false),
                Some(CopyMessage::Done) => {
                    return Err(Failure::from(cdcd_postgres::Error::Closed));
                }
                Some(CopyMessage::Data(payload)) => match Frame::read(payload) {
                    Ok(Frame::XLogData(data)) => self.capture.handle_xlog_data(&data, now)?,
                    Ok(Frame::Keepalive(keepalive)) => self.capture.handle_keepalive(&keepalive)?,
                    Err(error) => {
                        return Err(
                            Failure::new(Exit::Unexpected, error).context("reading a replication frame")
                        );
                    }
                },
            }
            if let Some(request) = self.capture.poll_catalog_request() {
                let facts = catalog::answer(self.control, request).await?;
                self.capture.handle_catalog(&facts)?;
            }
        }
        Ok(true)
    }

    /// Waits for bytes, but not longer than deliveries and timers can.
    async fn wait(&mut self, shutdown: &Shutdown) -> Result<(), Failure> {
        let tick = if self.output.in_flight() > 0 { BUSY_TICK } else { IDLE_TICK };
        tokio::select! {
            filled = self.connection.fill() => { filled?; }
            () = tokio::time::sleep(tick) => {}
            () = shutdown.requested() => {}
        }
        Ok(())
    }

    /// Heartbeats, positions and status updates; also while Kafka blocks.
    async fn look_after(&mut self, force: bool) -> Result<(), Failure> {
        let now = now_ns();
        self.capture.handle_timer(now);
        if !self.output.is_durable() {
            return self.keep_alive(now).await;
        }
        if let Some(lsn) = self.capture.poll_position(now, force) {
            let commit = self.capture.durable_commit();
            let position = self.store.position(self.identity, lsn, commit, None);
            self.output.send_position(self.store, &position)?;
        }
        if let Some(update) = self.capture.poll_status_update(now) {
            self.connection.send_copy_data(&update.to_bytes()).await?;
        }
        Ok(())
    }

    /// A status update that acknowledges nothing: what is not durable is not ours to forget.
    async fn keep_alive(&mut self, now: i64) -> Result<(), Failure> {
        if let Some(update) = self.capture.poll_status_update(now) {
            let update = StandbyStatusUpdate { flushed: Lsn::ZERO, ..update };
            self.connection.send_copy_data(&update.to_bytes()).await?;
        }
        Ok(())
    }

    async fn ask_for_keepalive(&mut self) -> Result<(), Failure> {
        let flushed = if self.output.is_durable() { self.capture.flushed() } else { Lsn::ZERO };
        let flushed = flushed.min(self.capture.received_boundary());
        let update = StandbyStatusUpdate {
            written: self.capture.received_boundary(),
            flushed,
            sent_at: 0,
            reply_requested: true,
        };
        Ok(self.connection.send_copy_data(&update.to_bytes()).await?)
    }

    /// Delivers what was read, writes the last position, acknowledges it, and leaves in order.
    async fn finish(mut self, stop: Stop) -> Result<(), Failure> {
        self.output.drain(self.capture, DRAIN_LIMIT).await?;
        self.look_after(true).await?;
        self.output.drain(self.capture, DRAIN_LIMIT).await?;
        if self.output.is_durable() {
            self.ask_for_keepalive().await?;
        }
        self.connection.finish_copy().await?;
        let stats = self.capture.stats();
        tracing::info!(
            reason = if stop == Stop::Shutdown { "signal" } else { "end position" },
            events = stats.events(),
            transactions = stats.transactions,
            flushed = %self.capture.flushed(),
            "capture stopped"
        );
        Ok(())
    }
}
