//! TCP, Unix socket, or TLS over TCP.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::config::{ChannelBinding, Config, SslMode};
use crate::error::Error;
use crate::tls;

/// Request code of SSLRequest.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

/// Whether this attempt asks for TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    Plain,
    TlsIfOffered,
    Tls,
}

/// The attempts that a mode makes in order; the next is made only if the server refuses one.
pub(crate) fn attempts(config: &Config) -> &'static [Attempt] {
    match config.ssl_mode {
        // Without TLS there is nothing to bind to.
        mode if config.channel_binding == ChannelBinding::Require && mode != SslMode::Disable => {
            &[Attempt::Tls]
        }
        SslMode::Disable => &[Attempt::Plain],
        SslMode::Allow => &[Attempt::Plain, Attempt::Tls],
        SslMode::Prefer => &[Attempt::TlsIfOffered, Attempt::Plain],
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Attempt::Tls],
    }
}

/// `host:port`, for messages.
pub(crate) fn address(config: &Config) -> String {
    format!("{}:{}", config.host, config.port)
}

pub(crate) async fn connect(config: &Config, attempt: Attempt) -> Result<Stream, Error> {
    let io_error = |source| Error::Io { address: address(config), source };
    if config.host.starts_with('/') {
        let path = format!("{}/.s.PGSQL.{}", config.host, config.port);
        return Ok(Stream::Unix(UnixStream::connect(path).await.map_err(io_error)?));
    }
    let mut tcp = TcpStream::connect((config.host.as_str(), config.port)).await.map_err(io_error)?;
    tcp.set_nodelay(true).map_err(io_error)?;
    if attempt == Attempt::Plain {
        return Ok(Stream::Tcp(tcp));
    }
    tcp.write_all(&SSL_REQUEST).await.map_err(io_error)?;
    match tcp.read_u8().await.map_err(io_error)? {
        b'S' => {
            let connector = tokio_rustls::TlsConnector::from(tls::client_config(config)?);
            let name = tls::server_name(&config.host)?;
            let stream = connector.connect(name, tcp).await.map_err(|error| Error::Tls(error.to_string()))?;
            Ok(Stream::Tls(Box::new(stream)))
        }
        b'N' if attempt == Attempt::TlsIfOffered => Ok(Stream::Tcp(tcp)),
        b'N' => Err(Error::Tls(format!("the server at {} does not offer TLS", address(config)))),
        other => Err(Error::Protocol(format!("{other} in answer to SSLRequest: is this a PostgreSQL port?"))),
    }
}

impl Stream {
    /// What SCRAM-SHA-256-PLUS is bound to; `None` without TLS or for a certificate without a hash of its own.
    pub(crate) fn end_point(&self) -> Option<Vec<u8>> {
        match self {
            Stream::Tcp(_) | Stream::Unix(_) => None,
            Stream::Tls(stream) => tls::end_point(stream.get_ref().1.peer_certificates()?.first()?),
        }
    }

    /// An error if channel binding is required and impossible.
    pub(crate) fn check_binding(&self, config: &Config) -> Result<(), Error> {
        if config.channel_binding == ChannelBinding::Require && self.end_point().is_none() {
            return Err(Error::Authentication(
                "channel binding is required, and this connection has no TLS or a certificate without a hash: \
                 set database.sslmode to require or more"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
