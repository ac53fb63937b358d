//! Exit codes, and the one form in which an error reaches a person.

use std::fmt::Write as _;

use crate::connector::properties::PropertyError;
use crate::sink::SinkError;

/// What a supervisor should make of the end of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// A bug, or the machine: restart.
    Unexpected = 1,
    /// Configuration, permission or environment: a person mends it.
    Configuration = 2,
    /// A dependency stayed away: restart later.
    Dependency = 3,
    /// Going on could lose, repeat or tear data: a person decides.
    Guard = 4,
    /// `verify` found a difference.
    Difference = 5,
}

/// Why a command ended before its work was done.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// Whether trying again in the same process may help.
    pub transient: bool,
    /// The error with its causes.
    pub error: anyhow::Error,
    /// What to do, a line each.
    pub hints: Vec<String>,
}

impl Failure {
    /// A failure of a kind.
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Failure { exit, transient: false, error: error.into(), hints: Vec::new() }
    }

    /// A configuration failure told in words.
    pub fn configuration(message: impl Into<String>) -> Self {
        Failure::new(Exit::Configuration, anyhow::anyhow!(message.into()))
    }

    /// A guard's stop: its name, and the facts found.
    pub fn guard(name: &str, facts: impl Into<String>) -> Self {
        Failure::new(Exit::Guard, anyhow::anyhow!("{name}: {}", facts.into()))
    }

    /// The same with one more hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same with a word on what was being done.
    pub fn context(mut self, context: impl Into<String>) -> Self {
        self.error = self.error.context(context.into());
        self
    }

    /// `error: what: where: why` and the hints, for standard error.
    pub fn render(&self) -> String {
        let mut text = "error".to_owned();
        let mut last = String::new();
        for cause in self.error.chain() {
            let cause = cause.to_string();
            // Libraries often repeat their cause inside their own text.
            if !last.contains(&cause) {
                let written = write!(text, ": {cause}");
                debug_assert!(written.is_ok(), "writing to a String cannot fail");
                last = cause;
            }
        }
        for hint in &self.hints {
            text.push_str("\nhint: ");
            text.push_str(hint);
        }
        text
    }
}

impl From<PropertyError> for Failure {
    fn from(error: PropertyError) -> Self {
        let hint = error.hint.clone();
        let failure = Failure::new(Exit::Configuration, error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<cdcd_capture::Error> for Failure {
    fn from(error: cdcd_capture::Error) -> Self {
        let hint = error.hint().map(str::to_owned);
        let exit = match &error {
            cdcd_capture::Error::Decode { .. } | cdcd_capture::Error::Protocol { .. } => Exit::Unexpected,
            cdcd_capture::Error::Position(_)
            | cdcd_capture::Error::Facts { .. }
            | cdcd_capture::Error::Nondeterministic { .. }
            | cdcd_capture::Error::SnapshotTruncated { .. } => Exit::Guard,
            _ => Exit::Configuration,
        };
        let failure = Failure::new(exit, error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<cdcd_postgres::Error> for Failure {
    fn from(error: cdcd_postgres::Error) -> Self {
        if is_publication_history(&error) {
            return publication_history(error);
        }
        let transient = error.is_transient();
        let hint = postgres_hint(&error);
        let exit = if transient { Exit::Dependency } else { Exit::Configuration };
        let mut failure = Failure::new(exit, error);
        failure.transient = transient;
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// The server decodes with the catalog as of each change: a publication that is younger than the slot, or was
/// dropped and made again, is unknown there for ever.
fn is_publication_history(error: &cdcd_postgres::Error) -> bool {
    matches!(error, cdcd_postgres::Error::Server { source, .. }
        if source.code == "42704" && source.message.contains("publication"))
}

fn publication_history(error: cdcd_postgres::Error) -> Failure {
    Failure::new(Exit::Guard, error)
        .context("E_PUBLICATION_HISTORY: the publication did not exist when a change in the slot was made")
        .hint("it was made after the slot, or dropped and made again: the changes in the slot cannot be decoded")
        .hint(
            "drop the slot, SELECT pg_drop_replication_slot(…), then set snapshot.mode=when_needed for a new snapshot, \
             or start once with --accept-loss",
        )
}

fn postgres_hint(error: &cdcd_postgres::Error) -> Option<String> {
    use cdcd_postgres::Error;
    let text = match error {
        Error::Io { .. } => {
            "check database.hostname and database.port, and that the server accepts connections"
        }
        Error::Tls(_) => {
            "check database.sslmode (prefer uses TLS only where the server has it) and database.sslrootcert"
        }
        Error::Authentication(_) => {
            "check database.user and database.password, and pg_hba.conf on the server"
        }
        Error::Server { source, .. } => match source.code.as_str() {
            "28P01" | "28000" => "check database.user and database.password, and pg_hba.conf on the server",
            "3D000" => "check database.dbname",
            "42501" => {
                "the role needs REPLICATION, SELECT on the tables, and to create a publication CREATE on the \
                 database (superuser for FOR ALL TABLES): see cdcd check"
            }
            "53300" | "53400" => "raise max_replication_slots or max_wal_senders, or drop an unused slot",
            "55000" if source.message.contains("wal_level") => {
                "ALTER SYSTEM SET wal_level = 'logical'; then restart the server"
            }
            "55006" => "another process uses the slot: stop it, or choose another slot.name",
            _ => return source.hint.clone(),
        },
        _ => return None,
    };
    Some(text.to_owned())
}

impl From<SinkError> for Failure {
    fn from(error: SinkError) -> Self {
        let exit = match error {
            SinkError::Property(error) => return error.into(),
            SinkError::Config(_) => Exit::Configuration,
            SinkError::Dependency(_) => Exit::Dependency,
            SinkError::Guard { .. } => Exit::Guard,
            SinkError::Unexpected(_) => Exit::Unexpected,
        };
        Failure::new(exit, error)
    }
}

impl From<cdcd_kafka::Error> for Failure {
    fn from(error: cdcd_kafka::Error) -> Self {
        let transient = error.is_transient();
        let hint = match &error {
            cdcd_kafka::Error::TooLarge { .. } => Some(
                "raise producer.override.max.request.size, and max.message.bytes of the topic (or \
                 message.max.bytes of the broker)",
            ),
            cdcd_kafka::Error::Client { .. } if transient => {
                Some("check bootstrap.servers, and that the brokers' advertised addresses can be reached")
            }
            _ => None,
        };
        let exit = if transient { Exit::Dependency } else { Exit::Configuration };
        let mut failure = Failure::new(exit, error);
        failure.transient = transient;
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
