//! One session on the wire: start-up, authentication, simple queries, and CopyData without copying.

use std::time::Instant;

use bytes::BytesMut;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{self, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256};
use postgres_protocol::message::{backend, frontend};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::fallible_iterator::FallibleIterator;

use crate::buffer::{Buffer, RawMessage};
use crate::config::{ChannelBinding, Config, SESSION_SETTINGS};
use crate::error::{Error, ServerError};
use crate::gather::Gather;
use crate::stream::{self, Attempt, Stream};

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Walsender commands and SQL (`replication=database`).
    Replication,
    /// SQL and COPY.
    Query,
}

/// An authenticated session.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    buffer: Buffer,
    outgoing: BytesMut,
    address: String,
    gather: Gather,
}

/// Bytes that are taken before what was taken is looked at.
const GATHER_BYTES_MAX: usize = 1 << 20;

/// One row of a simple query; all values are text.
pub type Row = Vec<Option<String>>;

/// What arrives while a COPY runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyMessage<'a> {
    /// A payload.
    Data(&'a [u8]),
    /// The server has ended the COPY.
    Done,
}

impl Connection {
    /// Connects and authenticates within `config.connect_timeout`.
    ///
    /// # Errors
    /// [`Error::Io`] if the server cannot be reached, [`Error::Server`] if it refuses, [`Error::Tls`],
    /// [`Error::Authentication`], [`Error::Config`].
    pub async fn connect(config: &Config, purpose: Purpose) -> Result<Self, Error> {
        let mut refused = None;
        for attempt in stream::attempts(config) {
            let connecting =
                tokio::time::timeout(config.connect_timeout, connect_once(config, purpose, *attempt));
            match connecting.await {
                Ok(Ok(mut connection)) => {
                    if purpose == Purpose::Query {
                        for command in config.initial_commands() {
                            connection.query(&command).await?;
                        }
                    }
                    return Ok(connection);
                }
                // 28000: pg_hba.conf wants the other kind of connection.
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

    /// Runs one statement and collects its rows.
    ///
    /// # Errors
    /// [`Error::Server`] with the server's report, after the session is ready again.
    pub async fn query(&mut self, sql: &str) -> Result<Vec<Row>, Error> {
        self.send_query(sql).await?;
        let mut rows = Vec::new();
        let mut failure = None;
        loop {
            match self.read().await? {
                backend::Message::DataRow(row) => rows.push(text_row(&row)?),
                backend::Message::ErrorResponse(body) => failure = Some(server_error(&body)),
                backend::Message::ReadyForQuery(_) => break,
                _ => {}
            }
        }
        match failure {
            None => Ok(rows),
            Some(source) => Err(Error::Server { doing: doing(sql), source: Box::new(source) }),
        }
    }

    /// Starts a COPY TO STDOUT or START_REPLICATION; afterwards [`Connection::next_copy`] gives its data.
    ///
    /// # Errors
    /// As [`Connection::query`].
    pub async fn start_copy(&mut self, sql: &str) -> Result<(), Error> {
        self.send_query(sql).await?;
        let mut failure = None;
        loop {
            // postgres-protocol does not know CopyBothResponse.
            if self.front_tag().await? == b'W' {
                self.buffer.next_message().map_err(bad_length)?;
                return Ok(());
            }
            match self.read().await? {
                backend::Message::CopyOutResponse(_) => return Ok(()),
                backend::Message::ErrorResponse(body) => failure = Some(server_error(&body)),
                backend::Message::ReadyForQuery(_) => break,
                _ => {}
            }
        }
        match failure {
            Some(source) => Err(Error::Server { doing: doing(sql), source: Box::new(source) }),
            None => Err(Error::Protocol(format!("no COPY in answer to {}", doing(sql)))),
        }
    }

    /// The next CopyData payload that has arrived already; `None` if more must be read first.
    ///
    /// # Errors
    /// [`Error::Server`] if the server ends the COPY with an error.
    #[inline]
    pub fn next_copy(&mut self) -> Result<Option<CopyMessage<'_>>, Error> {
        loop {
            match self.buffer.front_tag().map_err(bad_length)? {
                None => return Ok(None),
                Some(b'd') => break,
                Some(_) => {
                    if self.end_of_copy()? {
                        return Ok(Some(CopyMessage::Done));
                    }
                }
            }
        }
        let message = self.buffer.next_message().map_err(bad_length)?;
        Ok(message.map(|message| CopyMessage::Data(message.body)))
    }

    /// Takes a message that is not CopyData; says whether the COPY has ended.
    fn end_of_copy(&mut self) -> Result<bool, Error> {
        match self.buffer.next_message().map_err(bad_length)? {
            Some(RawMessage { tag: b'c', .. }) => Ok(true),
            Some(message @ RawMessage { tag: b'E', .. }) => {
                Err(server_failure("reading the stream", &message))
            }
            _ => Ok(false),
        }
    }

    /// Reads what follows a COPY TO STDOUT until the session is ready again.
    ///
    /// # Errors
    /// As [`Connection::query`].
    pub async fn end_copy_out(&mut self) -> Result<(), Error> {
        loop {
            match self.read().await? {
                backend::Message::ReadyForQuery(_) => return Ok(()),
                backend::Message::ErrorResponse(body) => {
                    return Err(Error::Server {
                        doing: "ending a COPY".to_owned(),
                        source: Box::new(server_error(&body)),
                    });
                }
                _ => {}
            }
        }
    }

    /// Waits for more bytes. Safe to cancel: nothing is lost.
    ///
    /// # Errors
    /// [`Error::Closed`] at the end of the stream, [`Error::Io`].
    pub async fn fill(&mut self) -> Result<usize, Error> {
        let address = &self.address;
        let read = self.stream.read_buf(self.buffer.room()).await;
        match read.map_err(|source| Error::Io { address: address.clone(), source })? {
            0 => Err(Error::Closed),
            bytes => Ok(bytes),
        }
    }

    /// As [`Connection::fill`], for a stream: takes all that has arrived, and while the stream is fast leaves the socket
    /// alone for a moment before the next time. A walsender sends change by change, and each send that wakes a waiting
    /// reader costs it more than the change itself. Safe to cancel: nothing is lost.
    ///
    /// # Errors
    /// As [`Connection::fill`].
    pub async fn fill_stream(&mut self) -> Result<usize, Error> {
        self.gather.wait();
        let mut bytes = self.fill().await?;
        let is_empty = loop {
            if bytes >= GATHER_BYTES_MAX {
                break false;
            }
            tokio::select! {
                biased;
                more = self.fill() => bytes += more?,
                () = std::future::ready(()) => break true,
            }
        };
        if is_empty {
            self.gather.took(bytes, Instant::now());
        }
        Ok(bytes)
    }

    /// Sends one CopyData payload.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn send_copy_data(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.outgoing.clear();
        let length =
            u32::try_from(payload.len() + 4).map_err(|_| Error::Config("payload too large".to_owned()))?;
        self.outgoing.extend_from_slice(b"d");
        self.outgoing.extend_from_slice(&length.to_be_bytes());
        self.outgoing.extend_from_slice(payload);
        self.flush().await
    }

    /// Ends a replication stream from our side and waits until the server has taken everything we sent.
    ///
    /// # Errors
    /// As [`Connection::fill`]; data that still arrives is dropped.
    pub async fn finish_copy(&mut self) -> Result<(), Error> {
        self.outgoing.clear();
        frontend::copy_done(&mut self.outgoing);
        self.flush().await?;
        loop {
            while let Some(message) = self.buffer.next_message().map_err(bad_length)? {
                match message.tag {
                    b'Z' => return Ok(()),
                    b'E' => return Err(server_failure("ending the replication stream", &message)),
                    _ => {}
                }
            }
            self.fill().await?;
        }
    }

    /// Bytes that have arrived and were not taken.
    pub(crate) fn buffered(&self) -> usize {
        self.buffer.pending()
    }

    pub(crate) async fn send_query(&mut self, sql: &str) -> Result<(), Error> {
        self.outgoing.clear();
        frontend::query(sql, &mut self.outgoing).map_err(|error| Error::Config(error.to_string()))?;
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), Error> {
        let written = async {
            self.stream.write_all(&self.outgoing).await?;
            self.stream.flush().await
        };
        let written = written.await;
        written.map_err(|source| Error::Io { address: self.address.clone(), source })
    }

    /// Waits for a whole message and gives its tag.
    async fn front_tag(&mut self) -> Result<u8, Error> {
        loop {
            if let Some(tag) = self.buffer.front_tag().map_err(bad_length)? {
                return Ok(tag);
            }
            self.fill().await?;
        }
    }

    /// Reads one message of any kind but CopyData and CopyBothResponse.
    async fn read(&mut self) -> Result<backend::Message, Error> {
        self.front_tag().await?;
        match self.buffer.next_message().map_err(bad_length)? {
            Some(message) => parse(&message),
            None => Err(Error::Closed),
        }
    }
}

async fn connect_once(config: &Config, purpose: Purpose, attempt: Attempt) -> Result<Connection, Error> {
    let mut connection = Connection {
        stream: stream::connect(config, attempt).await?,
        buffer: Buffer::default(),
        outgoing: BytesMut::new(),
        address: stream::address(config),
        gather: Gather::new(Instant::now()),
    };
    connection.stream.check_binding(config)?;
    let mut parameters = vec![
        ("user", config.user.as_str()),
        ("database", config.database.as_str()),
        ("application_name", config.application_name.as_str()),
    ];
    if purpose == Purpose::Replication {
        parameters.push(("replication", "database"));
    }
    parameters.extend(SESSION_SETTINGS);
    frontend::startup_message(parameters, &mut connection.outgoing)
        .map_err(|error| Error::Config(error.to_string()))?;
    connection.flush().await?;
    authenticate(&mut connection, config).await?;
    loop {
        match connection.read().await? {
            backend::Message::ReadyForQuery(_) => return Ok(connection),
            backend::Message::ErrorResponse(body) => {
                return Err(Error::Server {
                    doing: format!("connecting to database {}", config.database),
                    source: Box::new(server_error(&body)),
                });
            }
            _ => {}
        }
    }
}

async fn authenticate(connection: &mut Connection, config: &Config) -> Result<(), Error> {
    let mut bound = config.channel_binding != ChannelBinding::Require;
    loop {
        let message = connection.read().await?;
        connection.outgoing.clear();
        match message {
            backend::Message::AuthenticationSasl(body) => bound |= scram(connection, config, &body).await?,
            backend::Message::ErrorResponse(body) => {
                return Err(Error::Server {
                    doing: format!("logging in as {}", config.user),
                    source: Box::new(server_error(&body)),
                });
            }
            // Before a password is sent in any other way.
            _ if !bound => {
                return Err(Error::Authentication(
                    "channel binding is required, and the server asks for another login than scram-sha-256"
                        .to_owned(),
                ));
            }
            backend::Message::AuthenticationOk => return Ok(()),
            backend::Message::AuthenticationCleartextPassword => {
                let password = password(config)?.to_owned();
                send_password(connection, password.as_bytes()).await?;
            }
            backend::Message::AuthenticationMd5Password(body) => {
                let hash = md5_hash(config.user.as_bytes(), password(config)?.as_bytes(), body.salt());
                send_password(connection, hash.as_bytes()).await?;
            }
            _ => {
                return Err(Error::Authentication(
                    "the server wants a method other than trust, password, md5 or scram-sha-256".to_owned(),
                ));
            }
        }
    }
}

/// Which of the offered mechanisms is taken, and how it is bound.
fn mechanism(
    connection: &Connection,
    config: &Config,
    body: &backend::AuthenticationSaslBody,
) -> Result<(&'static str, sasl::ChannelBinding), Error> {
    let bad = |error: std::io::Error| Error::Authentication(error.to_string());
    let (mut plain, mut plus) = (false, false);
    let mut mechanisms = body.mechanisms();
    while let Some(mechanism) = mechanisms.next().map_err(bad)? {
        plain |= mechanism == SCRAM_SHA_256;
        plus |= mechanism == SCRAM_SHA_256_PLUS;
    }
    let end_point = match config.channel_binding {
        ChannelBinding::Disable => None,
        ChannelBinding::Prefer | ChannelBinding::Require => connection.stream.end_point(),
    };
    let missing = |what: &str| Err(Error::Authentication(format!("the server offers no {what}")));
    match end_point {
        Some(hash) if plus => Ok((SCRAM_SHA_256_PLUS, sasl::ChannelBinding::tls_server_end_point(hash))),
        _ if config.channel_binding == ChannelBinding::Require => missing("SCRAM-SHA-256-PLUS"),
        // "We could have": a server that could have as well knows that somebody hid its offer.
        Some(_) if plain => Ok((SCRAM_SHA_256, sasl::ChannelBinding::unrequested())),
        None if plain => Ok((SCRAM_SHA_256, sasl::ChannelBinding::unsupported())),
        _ => missing("SCRAM-SHA-256"),
    }
}

/// Says whether the exchange was bound to the server's certificate.
async fn scram(
    connection: &mut Connection,
    config: &Config,
    body: &backend::AuthenticationSaslBody,
) -> Result<bool, Error> {
    let bad = |error: std::io::Error| Error::Authentication(error.to_string());
    let (mechanism, binding) = mechanism(connection, config, body)?;
    let mut scram = ScramSha256::new(password(config)?.as_bytes(), binding);
    connection.outgoing.clear();
    frontend::sasl_initial_response(mechanism, scram.message(), &mut connection.outgoing).map_err(bad)?;
    connection.flush().await?;
    match connection.read().await? {
        backend::Message::AuthenticationSaslContinue(body) => scram.update(body.data()).map_err(bad)?,
        other => return Err(sasl_failure(config, &other)),
    }
    connection.outgoing.clear();
    frontend::sasl_response(scram.message(), &mut connection.outgoing).map_err(bad)?;
    connection.flush().await?;
    match connection.read().await? {
        backend::Message::AuthenticationSaslFinal(body) => {
            scram.finish(body.data()).map_err(bad)?;
            Ok(mechanism == SCRAM_SHA_256_PLUS)
        }
        other => Err(sasl_failure(config, &other)),
    }
}

fn sasl_failure(config: &Config, message: &backend::Message) -> Error {
    match message {
        backend::Message::ErrorResponse(body) => Error::Server {
            doing: format!("logging in as {}", config.user),
            source: Box::new(server_error(body)),
        },
        _ => Error::Authentication("the server left the SCRAM exchange".to_owned()),
    }
}

fn password(config: &Config) -> Result<&str, Error> {
    config.password.as_ref().map(|password| password.reveal()).ok_or_else(|| {
        Error::Authentication(format!("the server wants a password for {} and none is set", config.user))
    })
}

async fn send_password(connection: &mut Connection, password: &[u8]) -> Result<(), Error> {
    frontend::password_message(password, &mut connection.outgoing)
        .map_err(|error| Error::Config(error.to_string()))?;
    connection.flush().await
}

fn parse(message: &RawMessage<'_>) -> Result<backend::Message, Error> {
    let mut whole = BytesMut::with_capacity(message.body.len() + 5);
    whole.extend_from_slice(&[message.tag]);
    whole.extend_from_slice(&(message.body.len() as u32 + 4).to_be_bytes());
    whole.extend_from_slice(message.body);
    match backend::Message::parse(&mut whole) {
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err(Error::Protocol("half a message".to_owned())),
        Err(error) => Err(Error::Protocol(error.to_string())),
    }
}

fn text_row(row: &backend::DataRowBody) -> Result<Row, Error> {
    let bad = |_| Error::Protocol("a row that cannot be read".to_owned());
    let buffer = row.buffer();
    let mut values = Vec::new();
    let mut ranges = row.ranges();
    while let Some(range) = ranges.next().map_err(bad)? {
        let text = range.and_then(|range| buffer.get(range));
        values.push(text.map(|text| String::from_utf8_lossy(text).into_owned()));
    }
    Ok(values)
}

fn server_failure(doing: &str, message: &RawMessage<'_>) -> Error {
    match parse(message) {
        Ok(backend::Message::ErrorResponse(body)) => {
            Error::Server { doing: doing.to_owned(), source: Box::new(server_error(&body)) }
        }
        Ok(_) => Error::Protocol("an error report of another kind".to_owned()),
        Err(error) => error,
    }
}

fn server_error(body: &backend::ErrorResponseBody) -> ServerError {
    let mut error = ServerError {
        severity: "ERROR".to_owned(),
        code: String::new(),
        message: String::new(),
        detail: None,
        hint: None,
    };
    let mut fields = body.fields();
    while let Ok(Some(field)) = fields.next() {
        let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'V' => error.severity = value,
            b'C' => error.code = value,
            b'M' => error.message = value,
            b'D' => error.detail = Some(value),
            b'H' => error.hint = Some(value),
            _ => {}
        }
    }
    error
}

#[cold]
fn bad_length(length: crate::buffer::BadLength) -> Error {
    Error::Protocol(format!("a message of {} bytes", length.0))
}

/// The head of a statement, for messages.
fn doing(sql: &str) -> String {
    sql.chars().take(120).collect()
}
