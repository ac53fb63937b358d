//! One token that asks every loop to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

/// Set once, never reset; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    requested: AtomicBool,
    notify: Notify,
}

impl Shutdown {
    /// Asks for the end.
    pub fn request(&self) {
        self.state.requested.store(true, Ordering::SeqCst);
        self.state.notify.notify_waiters();
    }

    /// Whether the end was asked for.
    pub fn is_requested(&self) -> bool {
        self.state.requested.load(Ordering::SeqCst)
    }

    /// Waits until it is.
    pub async fn requested(&self) {
        let notified = self.state.notify.notified();
        if !self.is_requested() {
            notified.await;
        }
    }

    /// Asks for the end at the first SIGTERM or SIGINT, and ends the process at the second.
    ///
    /// # Errors
    /// If the signals cannot be caught.
    pub fn on_signals(&self) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = self.clone();
        tokio::spawn(async move {
            for nth in 1.. {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                if nth == 2 {
                    tracing::warn!(signal = name, "second signal: ending at once");
                    std::process::exit(1);
                }
                tracing::info!(signal = name, "stopping: delivering what was read");
                shutdown.request();
            }
        });
        Ok(())
    }
}
