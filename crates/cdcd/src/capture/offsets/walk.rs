//! Reads the log from where Debezium certainly was, and stops behind the last change that is in the topics.

use std::time::Duration;

use cdcd_capture::{Capture, CommitPoint, Flow, Pace, Start};
use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::replication::{Frame, StandbyStatusUpdate};
use cdcd_postgres::connection::{Connection, CopyMessage};
use tokio_postgres::Client;

use super::super::{catalog, now_ns};
use super::delivered::{Delivered, Namer};
use crate::connector::source::SourceSettings;
use crate::exit::{Exit, Failure};

/// How often the server hears of us.
const STATUS_INTERVAL: Duration = Duration::from_millis(500);

pub(super) struct Walk<'s> {
    pub(super) settings: &'s SourceSettings,
    pub(super) control: &'s Client,
    pub(super) delivered: Delivered,
    /// End of the log when the command began.
    pub(super) end: Lsn,
}

/// Where Debezium's work ends.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) point: CommitPoint,
    /// Records behind the offset that are in Kafka, and will not be sent again.
    pub(super) skipped: u64,
    /// Records that are in Kafka behind one that is not: partitions were not written in the order of the log.
    pub(super) repeated: u64,
}

impl Walk<'_> {
    /// `connection` streams the slot from `start` on; nothing is acknowledged on it.
    pub(super) async fn run(mut self, connection: &mut Connection, start: Lsn) -> Result<Found, Failure> {
        let mut capture = Capture::new(self.settings.capture.clone(), Start::at(start))?;
        let point = CommitPoint {
            done_end_lsn: start,
            last_commit_lsn: Some(start),
            last_commit_us: None,
            open: None,
            snapshot: None,
        };
        let mut found = Found { point, skipped: 0, repeated: 0 };
        let (mut namer, mut whole) = (Namer::default(), true);
        let mut spoke = None;
        while capture.received_boundary() < self.end || capture.in_transaction() {
            if spoke.is_none_or(|spoke: std::time::Instant| spoke.elapsed() >= STATUS_INTERVAL) {
                let written = capture.received_boundary();
                let update =
                    StandbyStatusUpdate { written, flushed: Lsn::ZERO, sent_at: 0, reply_requested: true };
                connection.send_copy_data(&update.to_bytes()).await?;
                spoke = Some(std::time::Instant::now());
            }
            let Some(message) = connection.next_copy()? else {
                if let Ok(filled) = tokio::time::timeout(STATUS_INTERVAL, connection.fill()).await {
                    filled?;
                }
                continue;
            };
            let CopyMessage::Data(payload) = message else {
                return Err(cdcd_postgres::Error::Closed.into());
            };
            match Frame::read(payload).map_err(|error| Failure::new(Exit::Unexpected, error))? {
                Frame::XLogData(data) => capture.handle_xlog_data(&data, now_ns())?,
                Frame::Keepalive(keepalive) => capture.handle_keepalive(&keepalive)?,
            }
            if let Some(request) = capture.poll_catalog_request() {
                let facts = catalog::answer(self.control, request).await?;
                capture.handle_catalog(&facts)?;
            }
            // Nothing is written, and nothing registered: bytes in Avro do not say which change they are of.
            while let Some(subject) = capture.poll_schema_request().map(|request| request.subject.clone()) {
                capture.handle_schema_id(&subject, 0);
            }
            whole &= self.look(&mut capture, &mut namer, whole, &mut found);
            if whole && let Some(point) = capture.poll_commit(now_ns(), Pace::Stopping) {
                capture.handle_committed();
                found.point = point;
            }
        }
        Ok(found)
    }

    /// Takes the records of one message; says whether all of them are in Kafka. Of records that cannot be told apart
    /// none counts.
    fn look(&mut self, capture: &mut Capture, namer: &mut Namer, whole: bool, found: &mut Found) -> bool {
        let (mut here, mut missing) = (0, 0);
        capture.send_records(|record| {
            let is_there = namer.name(&record).is_some_and(|name| self.delivered.take(name));
            *(if is_there { &mut here } else { &mut missing }) += 1;
            Flow::Taken
        });
        if whole && missing == 0 {
            found.skipped += here;
        } else {
            found.repeated += here;
        }
        missing == 0
    }
}
