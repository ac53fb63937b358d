//! `cdcd capture`: the run loop of one source connector.
//!
//! [`session`] is one life between two failures: it opens the output, decides where to start ([`start`]),
//! reads the snapshot ([`snapshot`]) and streams ([`stream`]). [`output`] takes the records, [`delivery`]
//! commits them, [`store`] keeps the position, [`takeover`] judges whose it is, [`catalog`] and [`schemas`] answer the
//! engine's questions, [`publication`] sees
//! to it that the stream has what it had.

pub mod catalog;
mod delivery;
pub(crate) mod durability;
mod facts;
mod heartbeat;
mod identity;
pub mod offsets;
mod output;
mod protocol;
pub mod publication;
mod report;
mod schemas;
mod session;
pub mod snapshot;
mod spool;
pub mod start;
pub mod store;
mod stream;
pub mod takeover;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cdcd_pgoutput::Lsn;

pub use start::Accept;

use crate::connector::source::SourceSettings;
use crate::exit::Failure;
use crate::shutdown::Shutdown;

/// First wait after a failure that may pass; doubles up to `retriable.restart.connector.wait.ms`.
const FIRST_RETRY_WAIT: Duration = Duration::from_millis(500);

/// `--output`
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputKind {
    /// Records go to Kafka; the position is kept there.
    Kafka,
    /// One JSON object a record on standard output; nothing is acknowledged to the server.
    Stdout,
    /// Nowhere, for benches; nothing is acknowledged to the server.
    Null,
}

/// `--endpos`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndPosition {
    /// The server's position when the command starts.
    Now,
    /// A position.
    Lsn(Lsn),
}

/// Flags of the command.
#[derive(Debug, Clone)]
pub struct CaptureOptions {
    /// Where records go.
    pub output: OutputKind,
    /// When to stop by itself.
    pub end: Option<EndPosition>,
    /// Consent to go on where a guard would stop.
    pub accept: Accept,
    /// How often to report figures.
    pub stats_interval: Option<Duration>,
}

/// Runs until the shutdown, the end position, or a failure that will not pass.
///
/// # Errors
/// The failure with its exit code. Failures that may pass are retried once the connector has run, for as
/// long as the retry budget lasts.
pub async fn run(
    settings: &SourceSettings,
    options: &CaptureOptions,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    if settings.database.believes_anybody() {
        tracing::warn!(
            host = settings.database.host,
            "the server's certificate is not checked: set database.sslmode=verify-full (with database.sslrootcert), or \
             driver.channelBinding=require"
        );
    }
    let mut life = session::Life::default();
    let mut failing_since: Option<Instant> = None;
    let mut wait = FIRST_RETRY_WAIT;
    loop {
        let began = Instant::now();
        let failure = match session::run(settings, options, shutdown, &mut life).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        if !takeover::may_try_again(&failure, life.has_run) || shutdown.is_requested() {
            return Err(failure);
        }
        if life.ran_since_failure {
            failing_since = None;
            wait = FIRST_RETRY_WAIT;
            life.ran_since_failure = false;
        }
        if failing_since.get_or_insert(began).elapsed() > settings.retry_budget {
            return Err(failure.hint(format!(
                "gave up after {} s (cdcd.retry.budget.ms)",
                settings.retry_budget.as_secs()
            )));
        }
        tracing::warn!(
            error = failure.render(),
            wait_ms = wait.as_millis() as u64,
            "connection lost, will try again"
        );
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.requested() => {}
        }
        wait = (wait * 2).min(settings.retry_wait);
    }
}

/// Nanoseconds since 1970.
fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}
