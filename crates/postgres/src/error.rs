use std::io;

/// An error that the server reported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{severity} {code}: {message}{}", detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default())]
pub struct ServerError {
    /// `ERROR` or `FATAL`.
    pub severity: String,
    /// SQLSTATE.
    pub code: String,
    /// Primary message.
    pub message: String,
    /// Detail.
    pub detail: Option<String>,
    /// Hint.
    pub hint: Option<String>,
}

/// What can go wrong with a server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Name resolution, connect, read or write failed.
    #[error("talking to PostgreSQL at {address}")]
    Io {
        /// `host:port`
        address: String,
        /// Cause.
        source: io::Error,
    },
    /// The connection is not there any more.
    #[error("PostgreSQL closed the connection")]
    Closed,
    /// TLS could not be agreed on.
    #[error("TLS with PostgreSQL: {0}")]
    Tls(String),
    /// The server asks for a way to authenticate that we cannot serve.
    #[error("authentication: {0}")]
    Authentication(String),
    /// The server reported an error.
    #[error("{doing}")]
    Server {
        /// What was being done.
        doing: String,
        /// The report.
        source: Box<ServerError>,
    },
    /// The server broke the protocol.
    #[error("PostgreSQL sent {0}")]
    Protocol(String),
    /// A setting that cannot be used.
    #[error("{0}")]
    Config(String),
    /// An error of the control connection without a server report.
    #[error("{doing}")]
    Control {
        /// What was being done.
        doing: String,
        /// Cause.
        source: tokio_postgres::Error,
    },
}

impl Error {
    /// SQLSTATE, if the server reported one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Error::Server { source, .. } => Some(&source.code),
            _ => None,
        }
    }

    /// Whether trying again later may help. Connections are transient unless proven definite.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Io { .. } | Error::Closed => true,
            // Class 08 connection, 53 resources, 57P shutdown and start-up, 55006 slot in use, 58 system.
            Error::Server { source, .. } => {
                let code = source.code.as_str();
                code.starts_with("08")
                    || code.starts_with("53")
                    || code.starts_with("57P")
                    || code.starts_with("58")
                    || code == "55006"
                    || code == "40001"
            }
            Error::Control { source, .. } => source.is_closed() || source.as_db_error().is_none(),
            Error::Tls(_) | Error::Authentication(_) | Error::Protocol(_) | Error::Config(_) => false,
        }
    }

    pub(crate) fn control(doing: impl Into<String>, source: tokio_postgres::Error) -> Self {
        let doing = doing.into();
        match source.as_db_error() {
            Some(report) => Error::Server {
                doing,
                source: Box::new(ServerError {
                    severity: report.severity().to_owned(),
                    code: report.code().code().to_owned(),
                    message: report.message().to_owned(),
                    detail: report.detail().map(str::to_owned),
                    hint: report.hint().map(str::to_owned),
                }),
            },
            None => Error::Control { doing, source },
        }
    }
}
