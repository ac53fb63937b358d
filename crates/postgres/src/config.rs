use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A text that must never be shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// `database.sslmode`, with libpq's meanings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// Without TLS; with it if the server refuses that.
    Allow,
    /// With TLS if the server has it.
    #[default]
    Prefer,
    /// TLS; the certificate is checked only if a root certificate is given.
    Require,
    /// TLS with a certificate of a known authority.
    VerifyCa,
    /// The same, issued for the host we asked for.
    VerifyFull,
}

/// `channel_binding`, with libpq's meanings: a password exchange that is tied to the server's certificate, so that it
/// cannot be passed on by who stands in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// Where TLS and the server have it.
    #[default]
    Prefer,
    /// Only so: TLS and SCRAM-SHA-256-PLUS, or no login.
    Require,
}

/// How to reach a database.
#[derive(Debug, Clone)]
pub struct Config {
    /// Host name, address, or the folder of a Unix socket.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Role.
    pub user: String,
    /// Password, if the server asks for one.
    pub password: Option<Secret>,
    /// Database.
    pub database: String,
    /// TLS mode.
    pub ssl_mode: SslMode,
    /// PEM file with root certificates (`database.sslrootcert`).
    pub ssl_root_cert: Option<PathBuf>,
    /// PEM file with the client's certificate (`database.sslcert`).
    pub ssl_cert: Option<PathBuf>,
    /// PEM or PKCS#8 DER file with the client's key (`database.sslkey`).
    pub ssl_key: Option<PathBuf>,
    /// Channel binding of SCRAM.
    pub channel_binding: ChannelBinding,
    /// Bound on connecting and authenticating.
    pub connect_timeout: Duration,
    /// `application_name` of the sessions.
    pub application_name: String,
    /// SQL that each ordinary session begins with (`database.initial.statements`); replication sessions do not.
    pub initial_statements: Vec<String>,
}

impl Config {
    /// What an ordinary session begins with: the user's statements, and then once more what the type readers rely on.
    pub(crate) fn initial_commands(&self) -> Vec<String> {
        if self.initial_statements.is_empty() {
            return Vec::new();
        }
        let settings = SESSION_SETTINGS.iter().map(|(name, value)| format!("SET {name} TO '{value}'"));
        let settings = settings.map(|set| set.replace("'ISO, MDY'", "ISO, MDY"));
        self.initial_statements.iter().cloned().chain(settings).collect()
    }

    /// Whether whoever answers at the address is believed to be the server: no certificate is checked and nothing is
    /// bound to it. Loopback and Unix sockets are left out.
    pub fn believes_anybody(&self) -> bool {
        let is_local = self.host.starts_with('/')
            || self.host == "localhost"
            || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let is_checked = match self.ssl_mode {
            SslMode::VerifyCa | SslMode::VerifyFull => true,
            SslMode::Require => self.ssl_root_cert.is_some(),
            SslMode::Disable | SslMode::Allow | SslMode::Prefer => false,
        };
        !is_local && !is_checked && self.channel_binding != ChannelBinding::Require
    }
}

/// Session settings that the type readers rely on: one text form for every server.
pub(crate) const SESSION_SETTINGS: [(&str, &str); 7] = [
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("lc_monetary", "C"),
];
