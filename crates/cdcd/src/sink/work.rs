//! One action of the sink as one task.

use super::retry::patiently;
use cdcd_sink::destination::{Channel, ChannelStatus, Destination, DestinationError, RowBatch};
use cdcd_sink::merge::{LedgerAnswer, MergePlan};
use cdcd_sink::{Action, Described, PartitionId};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// What came of an action.
pub(super) enum Done {
    Described {
        table: String,
        answer: Result<Described, DestinationError>,
    },
    Prepared {
        table: String,
        answer: Result<(), DestinationError>,
    },
    Opened {
        id: PartitionId,
        epoch: u64,
        answer: Result<ChannelStatus, DestinationError>,
    },
    Appended {
        id: PartitionId,
        batch: RowBatch,
        answer: Result<(), DestinationError>,
    },
    Statuses {
        table: String,
        channels: Vec<Channel>,
        answer: Result<Vec<(String, ChannelStatus)>, DestinationError>,
    },
    Ledger {
        table: String,
        answer: Result<LedgerAnswer, DestinationError>,
    },
    Merged {
        table: String,
        plan: MergePlan,
        answer: Result<(), DestinationError>,
    },
    LogEnd {
        id: PartitionId,
        epoch: u64,
        answer: Result<(i64, i64), String>,
    },
    DeadLetter {
        id: PartitionId,
        epoch: u64,
        offset: i64,
        written: Result<(), String>,
    },
}

impl Done {
    /// The error of a call that was repeated until the budget was spent.
    pub(super) fn exhausted(&self) -> Option<&DestinationError> {
        let error = match self {
            Done::Described { answer: Err(error), .. }
            | Done::Prepared { answer: Err(error), .. }
            | Done::Opened { answer: Err(error), .. }
            | Done::Appended { answer: Err(error), .. }
            | Done::Statuses { answer: Err(error), .. }
            | Done::Ledger { answer: Err(error), .. } => error,
            // A merge is one attempt: the sink looks at the ledger before the next one.
            _ => return None,
        };
        error.is_transient().then_some(error)
    }
}

/// A task that can be spawned.
type Task = Pin<Box<dyn Future<Output = Done> + Send>>;

/// The task of an action that asks something of the destination.
pub(super) fn task<D: Destination + 'static>(action: Action, to: Arc<D>) -> Option<Task> {
    Some(match action {
        Action::Describe { table, landing, current } => Box::pin(async move {
            let answer = patiently(|| describe(to.as_ref(), &landing, current.as_deref())).await;
            Done::Described { table, answer }
        }),
        Action::Prepare { table, plan } => Box::pin(async move {
            let answer = patiently(|| to.prepare(&plan)).await;
            tracing::info!(
                table = plan.table,
                columns = plan.columns.len(),
                ok = answer.is_ok(),
                "table prepared"
            );
            Done::Prepared { table, answer }
        }),
        Action::Open { id, channel } => Box::pin(async move {
            let answer = patiently(|| to.open(&channel)).await;
            if let Ok(status) = &answer {
                tracing::info!(channel = channel.name, token = status.token, "channel opened");
            }
            Done::Opened { id, epoch: channel.epoch, answer }
        }),
        Action::Append { id, batch } => Box::pin(async move {
            let answer = patiently(|| to.append(&batch)).await;
            tracing::debug!(
                channel = batch.channel.name,
                rows = batch.rows,
                bytes = batch.body.len(),
                last_offset = batch.last_offset,
                ok = answer.is_ok(),
                "batch appended"
            );
            Done::Appended { id, batch, answer }
        }),
        Action::Statuses { table, channels } => Box::pin(async move {
            let answer = patiently(|| to.statuses(&channels)).await;
            Done::Statuses { table, channels, answer }
        }),
        Action::Ledger { table, plan, channels } => Box::pin(async move {
            let answer = patiently(|| to.ledger(&plan, &channels)).await;
            Done::Ledger { table, answer }
        }),
        Action::Merge { table, plan } => Box::pin(async move {
            let started = std::time::Instant::now();
            let answer = to.merge(&plan).await;
            let took_ms = started.elapsed().as_millis();
            tracing::debug!(table, ranges = plan.ranges.len(), took_ms, ok = answer.is_ok(), "merge ended");
            Done::Merged { table, plan, answer }
        }),
        Action::Start { .. }
        | Action::LogEnd { .. }
        | Action::Pause(_)
        | Action::Resume(_)
        | Action::Commit { .. }
        | Action::DeadLetter { .. }
        | Action::Stopped { .. } => return None,
    })
}

async fn describe<D: Destination>(
    to: &D,
    landing: &str,
    current: Option<&str>,
) -> Result<Described, DestinationError> {
    let landing = to.describe(landing).await?;
    let current = match current {
        Some(name) => to.describe(name).await?,
        None => None,
    };
    Ok(Described { landing, current })
}
