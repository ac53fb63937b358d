//! Progress lines on standard error: what is being done, and how long it took.

use std::time::Instant;

/// One step that takes noticeable time.
pub(super) struct Step {
    what: String,
    started: Instant,
}

impl Step {
    /// Prints that `what` begins.
    pub(super) fn start(what: impl Into<String>) -> Self {
        let what = what.into();
        eprintln!("services: {what} ...");
        Self { what, started: Instant::now() }
    }

    /// Prints that it is done, with `detail` and the time it took.
    pub(super) fn done(self, detail: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        let colon = if detail.is_empty() { "" } else { ": " };
        eprintln!("services: {}: done in {seconds:.1} s{colon}{detail}", self.what);
    }
}
