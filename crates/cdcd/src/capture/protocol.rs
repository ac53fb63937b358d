//! Which options of START_REPLICATION a connection uses, and whether it needs a spool.

use cdcd_capture::Error;
use cdcd_capture::position::Position;

use super::spool::FileSpool;
use super::start;
use crate::connector::source::SourceSettings;
use crate::connector::streaming::Streaming;
use crate::exit::Failure;

/// How the server sends transactions.
#[derive(Debug)]
pub(super) struct Protocol {
    /// As the position keeps them.
    pub(super) stream_options: String,
    /// There if it sends them in progress.
    pub(super) spool: Option<FileSpool>,
}

/// New options apply from the next transaction: one that is half done goes on with the options that it began with.
/// `has_refused` says that a transaction came which only protocol 1 can tell.
///
/// # Errors
/// Streaming is demanded and impossible.
pub(super) fn choose(
    settings: &SourceSettings,
    server_version: u32,
    has_refused: bool,
    position: Option<&Position>,
) -> Result<Protocol, Failure> {
    let whole = settings.stream_options(server_version).text();
    let streamed = settings.streamed_options(server_version).map(|options| options.text());
    let mode = settings.streaming.streaming;
    // Counts and hashes are the same in both protocols, so protocol 1 can go on inside of a transaction, too.
    let gives_up =
        has_refused && position.is_some_and(|position| Some(&position.stream_options) == streamed.as_ref());
    let (wanted, spool) = match (mode, streamed) {
        _ if has_refused => (whole, None),
        (Streaming::Off, _) | (Streaming::Auto, None) => (whole, None),
        (Streaming::On, None) => return Err(impossible(server_version)),
        (_, Some(streamed)) => match open(settings) {
            Ok(spool) => (streamed, Some(spool)),
            Err(failure) if mode == Streaming::On => return Err(failure),
            Err(failure) => {
                tracing::warn!(
                    error = failure.render(),
                    "without a spool each transaction is received after its commit (protocol 1)"
                );
                (whole, None)
            }
        },
    };
    let stream_options = if gives_up { wanted } else { start::replayed_options(wanted, position) };
    let spool = match spool {
        None if is_streamed(&stream_options) => Some(open(settings)?),
        spool => spool.filter(|_| is_streamed(&stream_options)),
    };
    Ok(Protocol { stream_options, spool })
}

fn impossible(server_version: u32) -> Failure {
    Failure::configuration(format!(
        "cdcd.streaming=on, and a server of version {server_version} or slot.stream.params do not allow it"
    ))
    .hint("set cdcd.streaming=auto, and leave streaming and proto_version out of slot.stream.params")
}

/// Whether a transaction came that only protocol 1 can tell: by what is in it, or because the server lost its catalog
/// while it decoded a transaction in progress. That one is an internal error of its own: "could not map filenode", where
/// rolled back DDL is followed by DDL on the same table (PostgreSQL 14 to 18).
pub(super) fn is_unstreamable(failure: &Failure) -> bool {
    failure.error.chain().any(|cause| {
        let is_internal = |error: &cdcd_postgres::Error| error.code() == Some("XX000");
        matches!(cause.downcast_ref(), Some(Error::Unstreamable { .. }))
            || cause.downcast_ref().is_some_and(is_internal)
    })
}

fn is_streamed(options: &str) -> bool {
    options.contains("\"streaming\" 'on'")
}

fn open(settings: &SourceSettings) -> Result<FileSpool, Failure> {
    let (streaming, run_id) = (&settings.streaming, &settings.capture.run_id);
    let spool = FileSpool::open(&streaming.spool_dir, &settings.name, run_id, streaming.spool_bytes_max);
    spool.map_err(|error| Failure::from(Error::Spool(error)))
}
