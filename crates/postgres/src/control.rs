//! The SQL session beside the stream: a tokio-postgres client over our own sockets.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::time::Duration;

use tokio_postgres::tls::{self, TlsConnect, TlsStream};
use tokio_postgres::{Client, config};

use crate::config::{ChannelBinding, Config, SESSION_SETTINGS};
use crate::error::Error;
use crate::stream::{self, Stream};

/// Connects a client; its driver task ends when the client is dropped.
///
/// # Errors
/// As [`crate::connection::Connection::connect`].
pub async fn connect(config: &Config, statement_timeout: Option<Duration>) -> Result<Client, Error> {
    let mut refused = None;
    for attempt in stream::attempts(config) {
        let connecting =
            tokio::time::timeout(config.connect_timeout, connect_once(config, *attempt, statement_timeout));
        match connecting.await {
            Ok(Ok(client)) => {
                for command in config.initial_commands() {
                    let ran = client.batch_execute(&command).await;
                    ran.map_err(|error| {
                        Error::control(format!("running the initial statement {command}"), error)
                    })?;
                }
                return Ok(client);
            }
            Ok(Err(error)) if error.code() == Some("28000") => refused = Some(error),
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                let source = std::io::Error::new(
                    std::io::ErrorKind::TimedOut,
                    format!("no connection within {} s", config.connect_timeout.as_secs()),
                );
                return Err(Error::Io { address: stream::address(config), source });
            }
        }
    }
    Err(refused.unwrap_or(Error::Closed))
}

async fn connect_once(
    config: &Config,
    attempt: stream::Attempt,
    statement_timeout: Option<Duration>,
) -> Result<Client, Error> {
    let stream = stream::connect(config, attempt).await?;
    stream.check_binding(config)?;
    let mut settings = tokio_postgres::Config::new();
    settings
        .user(&config.user)
        .dbname(&config.database)
        .application_name(&config.application_name)
        .channel_binding(match config.channel_binding {
            ChannelBinding::Disable => config::ChannelBinding::Disable,
            ChannelBinding::Prefer => config::ChannelBinding::Prefer,
            ChannelBinding::Require => config::ChannelBinding::Require,
        })
        // TLS is done below, by the same code as for the stream: what is left to do "directly" is nothing.
        .ssl_negotiation(config::SslNegotiation::Direct)
        .ssl_mode(match stream {
            Stream::Tls(_) => config::SslMode::Require,
            Stream::Tcp(_) | Stream::Unix(_) => config::SslMode::Disable,
        });
    if let Some(password) = &config.password {
        settings.password(password.reveal());
    }
    let mut options: Vec<String> = SESSION_SETTINGS
        .iter()
        .filter(|(name, _)| *name != "client_encoding")
        .map(|(name, value)| format!("-c {name}={}", value.replace(' ', "\\ ")))
        .collect();
    if let Some(timeout) = statement_timeout {
        options.push(format!("-c statement_timeout={}", timeout.as_millis()));
    }
    settings.options(options.join(" "));
    let (client, driver) = settings
        .connect_raw(stream, Connected)
        .await
        .map_err(|error| Error::control(format!("connecting to database {}", config.database), error))?;
    tokio::spawn(async move {
        if let Err(error) = driver.await {
            tracing::debug!(%error, "control connection ended");
        }
    });
    Ok(client)
}

/// TLS stands already; what is left is to tell what it can be bound to.
struct Connected;

impl TlsConnect<Stream> for Connected {
    type Stream = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn connect(self, stream: Stream) -> Self::Future {
        ready(Ok(stream))
    }
}

impl TlsStream for Stream {
    fn channel_binding(&self) -> tls::ChannelBinding {
        self.end_point().map_or_else(tls::ChannelBinding::none, tls::ChannelBinding::tls_server_end_point)
    }
}

/// `server_version_num`, for example 150018.
///
/// # Errors
/// [`Error::Control`] or [`Error::Server`].
pub async fn server_version(client: &Client) -> Result<u32, Error> {
    let doing = "reading server_version_num";
    let row = client
        .query_one("SELECT current_setting('server_version_num')::int", &[])
        .await
        .map_err(|error| Error::control(doing, error))?;
    let version: i32 = row.try_get(0).map_err(|error| Error::control(doing, error))?;
    u32::try_from(version).map_err(|_| Error::Protocol("a negative server version".to_owned()))
}

/// `wal_sender_timeout` as sessions of this role and database have it; `None` if it is off.
///
/// # Errors
/// [`Error::Control`] or [`Error::Server`].
pub async fn wal_sender_timeout(client: &Client) -> Result<Option<Duration>, Error> {
    let doing = "reading wal_sender_timeout";
    let row = client
        .query_one("SELECT setting::bigint FROM pg_settings WHERE name = 'wal_sender_timeout'", &[])
        .await
        .map_err(|error| Error::control(doing, error))?;
    let milliseconds: i64 = row.try_get(0).map_err(|error| Error::control(doing, error))?;
    Ok(u64::try_from(milliseconds).ok().filter(|value| *value > 0).map(Duration::from_millis))
}
