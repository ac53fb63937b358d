//! `heartbeat.action.query`: what is done at the source with each heartbeat.

use std::time::Duration;

use tokio_postgres::Client;

use crate::exit::{Exit, Failure};

/// How long the stream may wait for it: well below the server's `wal_sender_timeout`.
const LIMIT: Duration = Duration::from_secs(5);
/// The server's way of saying that the session is over, and that there is no such table: Debezium stops at these,
/// and tells all others.
const ADMIN_SHUTDOWN: &str = "57P01";
const UNDEFINED_TABLE: &str = "42P01";

/// Runs the query.
///
/// # Errors
/// A table that is not there; a session that is over.
pub(super) async fn act(control: &Client, query: &str) -> Result<(), Failure> {
    let error = match tokio::time::timeout(LIMIT, control.batch_execute(query)).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error,
        Err(_) => {
            tracing::warn!(limit_s = LIMIT.as_secs(), "heartbeat.action.query goes on without us");
            return Ok(());
        }
    };
    let code = error.code().map(|state| state.code().to_owned()).unwrap_or_default();
    if code == UNDEFINED_TABLE {
        let failure = Failure::new(Exit::Configuration, error).context("heartbeat.action.query");
        return Err(failure.hint("make the table, or change the property"));
    }
    if code == ADMIN_SHUTDOWN || error.is_closed() {
        let mut failure = Failure::new(Exit::Dependency, error).context("heartbeat.action.query");
        failure.transient = true;
        return Err(failure);
    }
    tracing::warn!(%error, code, "heartbeat.action.query failed");
    Ok(())
}
