//! The streaming loop: frames in, records out, positions and acknowledgements behind them.

use std::time::Duration;

use cdcd_capture::{Capture, Flow, Pace};
use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::replication::{Frame, StandbyStatusUpdate};
use cdcd_postgres::connection::{Connection, CopyMessage};
use tokio_postgres::Client;

use super::delivery::{Deadline, Delivery};
use super::publication::Watch;
use super::report::StatsLine;
use super::schemas::Schemas;
use super::{catalog, heartbeat, now_ns};
use crate::connector::source::SourceSettings;
use crate::exit::{Exit, Failure};
use crate::failpoint::reached;
use crate::shutdown::Shutdown;

/// Bytes of records that are gathered before they are sent …
const OUTBOX_BYTES: usize = 1 << 20;
/// … and while a commit runs.
const OUTBOX_BYTES_COMMITTING: usize = 4 << 20;
/// How often to look after records that are on their way …
const BUSY_TICK: Duration = Duration::from_millis(5);
/// … and after timers when nothing is.
const IDLE_TICK: Duration = Duration::from_millis(50);
/// How long Kafka may take for what was read before a stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(60);
/// Messages played back of a streamed transaction before other work is looked after, most of which may be skipped.
const PLAYED_MAX: usize = 20_000;
/// How often to ask the server for a keepalive while waiting for an end position.
const ASK_INTERVAL_NS: i64 = 100_000_000;

/// The parts of a streaming session.
pub(super) struct Stream<'s> {
    pub(super) connection: Connection,
    pub(super) settings: &'s SourceSettings,
    pub(super) control: &'s Client,
    pub(super) capture: &'s mut Capture,
    pub(super) schemas: &'s mut Schemas,
    pub(super) watch: Watch,
    pub(super) delivery: Delivery<'s>,
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
            let pace = if more { Pace::Busy } else { Pace::Idle };
            let flow = self.delivery.pump(self.capture, pace).await?;
            self.look_after().await?;
            self.stats.tick(self.capture, self.delivery.output.in_flight());
            if shutdown.is_requested() {
                break Stop::Shutdown;
            }
            if let Some(end) = self.end {
                // Not by what an earlier connection brought: only what this one did can be acknowledged.
                let reached = self.capture.received_boundary().min(self.capture.received());
                if reached >= end && !self.capture.in_transaction() {
                    break Stop::EndPosition;
                }
                if !more && now_ns() >= asked_at.saturating_add(ASK_INTERVAL_NS) {
                    asked_at = now_ns();
                    self.ask_for_keepalive().await?;
                }
            }
            if flow == Flow::Full || !more {
                self.wait(more, shutdown).await?;
            }
        };
        self.finish(stop).await
    }

    /// Feeds frames that have arrived; says whether more may wait in the buffer.
    async fn take_frames(&mut self) -> Result<bool, Failure> {
        let now = now_ns();
        let mut played = 0;
        let bytes_max = match self.delivery.output.is_committing() {
            true => OUTBOX_BYTES_COMMITTING,
            false => OUTBOX_BYTES,
        };
        while self.capture.pending_bytes() < bytes_max && played < PLAYED_MAX {
            if self.capture.handle_spooled(now)? {
                played += 1;
                self.answer().await?;
                continue;
            }
            match self.connection.next_copy()? {
                None => return Ok(false),
                Some(CopyMessage::Done) => {
                    return Err(Failure::from(cdcd_postgres::Error::Closed));
                }
                Some(CopyMessage::Data(payload)) => match Frame::read(payload) {
                    Ok(Frame::XLogData(data)) => {
                        reached("frame.before");
                        self.capture.handle_xlog_data(&data, now)?;
                        reached("frame.after");
                    }
                    Ok(Frame::Keepalive(keepalive)) => {
                        reached("keepalive.before");
                        self.capture.handle_keepalive(&keepalive)?;
                        reached("keepalive.after");
                    }
                    Err(error) => {
                        return Err(
                            Failure::new(Exit::Unexpected, error).context("reading a replication frame")
                        );
                    }
                },
            }
            self.answer().await?;
        }
        Ok(true)
    }

    /// Answers what the last message asked for.
    async fn answer(&mut self) -> Result<(), Failure> {
        while let Some(request) = self.capture.poll_catalog_request() {
            let facts = catalog::answer(self.control, request).await?;
            self.capture.handle_catalog(&facts)?;
        }
        self.schemas.answer(self.capture).await
    }

    /// Waits for bytes or the end of a commit, but not longer than timers can. If records wait that nobody takes,
    /// the socket is left alone, so that the server feels it.
    async fn wait(&mut self, is_full: bool, shutdown: &Shutdown) -> Result<(), Failure> {
        let committing = self.delivery.output.is_committing();
        let tick = if !committing && self.delivery.output.in_flight() > 0 { BUSY_TICK } else { IDLE_TICK };
        tokio::select! {
            filled = self.connection.fill_stream(), if !is_full => { filled?; }
            ended = self.delivery.committed(self.capture), if committing => ended?,
            () = tokio::time::sleep(tick) => {}
            () = shutdown.requested() => {}
        }
        Ok(())
    }

    /// Heartbeats and status updates; also while Kafka blocks.
    async fn look_after(&mut self) -> Result<(), Failure> {
        let now = now_ns();
        if self.capture.handle_timer(now)
            && let Some(query) = &self.settings.heartbeat_action
        {
            heartbeat::act(self.control, query).await?;
        }
        self.schemas.answer(self.capture).await?;
        self.watch.look(self.settings, self.control, now).await?;
        if let Some(update) = self.capture.poll_status_update(now) {
            // What is not durable is not ours to let the server forget.
            let update = match self.delivery.output.is_durable() {
                true => update,
                false => StandbyStatusUpdate { flushed: Lsn::ZERO, ..update },
            };
            reached("acknowledge.before");
            self.connection.send_copy_data(&update.to_bytes()).await?;
            reached("acknowledge.after");
        }
        Ok(())
    }

    async fn ask_for_keepalive(&mut self) -> Result<(), Failure> {
        let flushed =
            if self.delivery.output.is_durable() { self.capture.acknowledgeable() } else { Lsn::ZERO };
        let update = StandbyStatusUpdate {
            written: self.capture.received(),
            flushed,
            sent_at: 0,
            reply_requested: true,
        };
        Ok(self.connection.send_copy_data(&update.to_bytes()).await?)
    }

    /// Delivers what was read, writes the last position, acknowledges it, and leaves in order.
    async fn finish(mut self, stop: Stop) -> Result<(), Failure> {
        let deadline = Deadline::new(DRAIN_LIMIT);
        while !self.delivery.settle(self.capture).await? {
            self.look_after().await?;
            deadline.check()?;
        }
        if self.delivery.output.is_durable() {
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
