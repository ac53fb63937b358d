//! Bounded, jittered retries of one call.

use cdcd_sink::destination::DestinationError;
use std::future::Future;
use std::time::{Duration, Instant};

/// How long a dependency may stay away before the process gives up (exit 3).
const BUDGET: Duration = Duration::from_secs(600);

/// First pause; it doubles.
const PAUSE_MIN: Duration = Duration::from_millis(200);

/// Longest pause of our own; a server may ask for more.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Repeats `call` while its error is transient and the budget lasts.
pub(super) async fn patiently<T, F>(mut call: impl FnMut() -> F) -> Result<T, DestinationError>
where
    F: Future<Output = Result<T, DestinationError>>,
{
    let started = Instant::now();
    let mut pause = PAUSE_MIN;
    loop {
        let error = match call().await {
            Err(error) if error.is_transient() && started.elapsed() < BUDGET => error,
            answer => return answer,
        };
        let wait = error.retry_after.unwrap_or_else(|| jittered(pause));
        tracing::warn!(%error, wait_ms = wait.as_millis(), "trying again");
        tokio::time::sleep(wait).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Between half and all of `pause`, so that many channels do not come back at once.
fn jittered(pause: Duration) -> Duration {
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |now| now.subsec_nanos());
    pause.mul_f64(0.5 + f64::from(nanos % 1_000) / 2_000.0)
}
