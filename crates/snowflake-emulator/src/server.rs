//! Start, listen, stop: the emulator as a value that a test or a binary holds.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::put;
use axum::{Json, body::Body};
use axum::{Router, middleware};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::account::Account;
use crate::body;
use crate::control;
use crate::driver::{self, DriverSessions};
use crate::engine::Engine;
use crate::error::ApiError;
use crate::fault::{self, Faults};
use crate::settings::{Settings, SharedSettings};
use crate::streaming::{self, BinaryFormat, FileStore, Mode, Registry};
use crate::tls;

/// Connections that are served at a time on all listeners; more wait in the backlog.
const CONNECTIONS_MAX: usize = 1_024;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may take to send the head of a request.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a stop waits for requests and commits that are under way.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Largest upload to the stage; the official client cuts files at 16 to 32 MB.
const STAGE_UPLOAD_BYTES_MAX: usize = 128 << 20;

/// How the emulator is started.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address of the http listener; port 0 chooses one.
    pub listen: SocketAddr,
    /// Address of the https listener and the file that its authority is written to.
    pub tls: Option<(SocketAddr, PathBuf)>,
    /// URL of the engine: a PostgreSQL 15 or newer, and a superuser.
    pub engine: String,
    /// What is done with streamed rows.
    pub mode: Mode,
    /// How strings in BINARY columns are read.
    pub binary: BinaryFormat,
    /// Databases that exist from the start, each with the schema PUBLIC.
    pub databases: Vec<String>,
    /// The settings at the start.
    pub settings: Settings,
}

/// What every handler shares.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) engine: Engine,
    pub(crate) account: Arc<Account>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) files: Arc<FileStore>,
    pub(crate) settings: Arc<SharedSettings>,
    pub(crate) sql: Arc<crate::sql::Service>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) drivers: Arc<DriverSessions>,
    pub(crate) initial_settings: Arc<Settings>,
}

/// A running emulator.
pub struct Emulator {
    /// Where it listens for http.
    pub http: SocketAddr,
    /// Where it listens for https.
    pub https: Option<SocketAddr>,
    app: App,
    phase: watch::Sender<Phase>,
    listeners: Vec<JoinHandle<()>>,
}

impl Emulator {
    /// Starts listeners and committers.
    ///
    /// # Errors
    /// When the engine cannot be used, or an address is taken.
    pub async fn start(config: Config) -> anyhow::Result<Emulator> {
        let (phase, phases) = watch::channel(Phase::Running);
        let engine = Engine::connect(&config.engine).await?;
        let settings = Arc::new(SharedSettings::new(config.settings.clone()));
        let secret = engine.secret().await.context("reading the emulator's secret from the engine")?;
        let account = Arc::new(Account::new(secret.clone()));
        let registry =
            Registry::load(engine.clone(), settings.clone(), config.mode, config.binary, phases.clone())
                .await
                .context("loading the channels")?;
        let files = Arc::new(FileStore::new(&secret, config.binary));
        let sql =
            crate::sql::Service::new(engine.clone(), registry.clone(), account.clone(), &config.databases);
        sql.start().await?;
        let app = App {
            engine,
            account,
            registry,
            files,
            settings,
            sql,
            faults: Arc::new(Faults::default()),
            drivers: Arc::new(DriverSessions::default()),
            initial_settings: Arc::new(config.settings),
        };

        let router = router(app.clone());
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let (http, listener) = bind(config.listen).await?;
        let mut listeners =
            vec![tokio::spawn(accept(listener, None, router.clone(), slots.clone(), phases.clone()))];
        let mut https = None;
        if let Some((address, ca_file)) = &config.tls {
            let acceptor = TlsAcceptor::from(tls::server_config(ca_file)?);
            let (bound, listener) = bind(*address).await?;
            https = Some(bound);
            listeners.push(tokio::spawn(accept(listener, Some(acceptor), router, slots, phases)));
        }
        Ok(Emulator { http, https, app, phase, listeners })
    }

    /// Stops listening and commits what was accepted.
    pub async fn stop(mut self) {
        self.phase.send_replace(Phase::Draining);
        for listener in std::mem::take(&mut self.listeners) {
            let _ = listener.await;
        }
        let deadline = tokio::time::Instant::now() + DRAIN_MAX;
        while self.app.registry.uncommitted().await > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Stops at once, as a crash does: accepted rows that are not committed are lost, connections are cut.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.phase.send_replace(Phase::Gone);
        for listener in &self.listeners {
            listener.abort();
        }
    }
}

/// Where the emulator is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It serves.
    Running,
    /// It takes no more requests and commits what it has.
    Draining,
    /// It is gone, and every task of it ends.
    Gone,
}

fn router(app: App) -> Router {
    Router::new()
        .merge(streaming::router())
        .merge(crate::sql::router())
        .merge(control::router())
        .merge(driver::router())
        .route("/emulator-stage/{*key}", put(upload))
        .fallback(no_route)
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(app.clone(), fault::layer))
        .with_state(app)
}

async fn no_route(uri: Uri) -> ApiError {
    ApiError::new(404, "390404", format!("the emulator has no route {}", uri.path()))
}

/// S3's PutObject, as far as the official client uses it.
async fn upload(
    State(app): State<App>,
    Path(key): Path<String>,
    mut headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let coding = headers.remove("content-encoding");
    let chunked = coding.is_some_and(|value| value.to_str().is_ok_and(|text| text.contains("aws-chunked")))
        || headers.contains_key("x-amz-decoded-content-length");
    let wire = body::read(&headers, body, STAGE_UPLOAD_BYTES_MAX, STAGE_UPLOAD_BYTES_MAX).await?;
    let file = if chunked {
        streaming::decode_aws_chunked(&wire)
            .ok_or_else(|| ApiError::new(400, "IncompleteBody", "the body is not aws-chunked as it says"))?
    } else {
        wire
    };
    let etag = format!("\"{:016x}{:016x}\"", file.len(), 0);
    app.files.put(&key, file)?;
    Ok((StatusCode::OK, [("etag", etag)], Json(json!({}))).into_response())
}

async fn bind(address: SocketAddr) -> anyhow::Result<(SocketAddr, TcpListener)> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
    Ok((listener.local_addr().context("reading the listener's address")?, listener))
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    slots: Arc<Semaphore>,
    mut phases: watch::Receiver<Phase>,
) {
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = phase_after_running(&mut phases) => return,
        };
        let (stream, _) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (tls, router, phases) = (tls.clone(), router.clone(), phases.clone());
        tokio::spawn(async move {
            serve(stream, tls, router, phases).await;
            drop(slot);
        });
    }
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, router: Router, phases: watch::Receiver<Phase>) {
    let _ = stream.set_nodelay(true);
    match tls {
        None => serve_http(TokioIo::new(stream), router, phases).await,
        Some(acceptor) => match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => serve_http(TokioIo::new(stream), router, phases).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        },
    }
}

/// One connection's fault hook: a handler that wants the connection gone without a reply calls it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cut(Arc<tokio::sync::Notify>);

impl Cut {
    /// Ends the connection; never returns, because the handler ends with it.
    pub(crate) async fn now(&self) -> std::convert::Infallible {
        self.0.notify_one();
        std::future::pending().await
    }
}

/// Waits for the end; the guard that the channel gives is dropped before anything else is awaited.
async fn phase_after_running(phases: &mut watch::Receiver<Phase>) -> Phase {
    phases.wait_for(|phase| *phase != Phase::Running).await.map_or(Phase::Gone, |phase| *phase)
}

async fn serve_http<I>(io: I, router: Router, mut phases: watch::Receiver<Phase>)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let cut = Cut::default();
    let service = TowerToHyperService::new(router.layer(axum::Extension(cut.clone())));
    let mut connection = std::pin::pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_READ_TIMEOUT)
            .serve_connection(io, service)
    );
    tokio::select! {
        result = connection.as_mut() => {
            if let Err(error) = result {
                tracing::debug!(%error, "connection ended");
            }
        }
        () = cut.0.notified() => {}
        phase = phase_after_running(&mut phases) => {
            if phase == Phase::Draining {
                connection.as_mut().graceful_shutdown();
                let _ = tokio::time::timeout(DRAIN_MAX, connection).await;
            }
        }
    }
}
