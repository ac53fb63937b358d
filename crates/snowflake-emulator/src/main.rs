//! `snowflake-emulator`: a local stand-in for a Snowflake account.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use cdcd_snowflake_emulator::settings::Settings;
use cdcd_snowflake_emulator::streaming::{BinaryFormat, Mode};
use cdcd_snowflake_emulator::{Config, Emulator};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// A local stand-in for a Snowflake account: Snowpipe Streaming and SQL API v2, with PostgreSQL as the SQL engine.
#[derive(Debug, Parser)]
#[command(name = "snowflake-emulator", version)]
struct Arguments {
    /// Address for http; port 0 chooses one.
    #[arg(long, default_value = "127.0.0.1:8085")]
    listen: SocketAddr,
    /// Address for https with a certificate of the emulator's own.
    #[arg(long, requires = "tls_ca")]
    tls_listen: Option<SocketAddr>,
    /// File that the certificate authority of the https listener is written to (PEM).
    #[arg(long, requires = "tls_listen")]
    tls_ca: Option<PathBuf>,
    /// PostgreSQL 15 or newer, of the emulator's own: postgres://user:password@host:port/database, a superuser.
    #[arg(long, env = "CDCD_EMULATOR_ENGINE", hide_env_values = true)]
    engine: String,
    /// What is done with streamed rows.
    #[arg(long, value_enum, default_value_t = Mode::Store)]
    mode: Mode,
    /// Milliseconds from the acceptance of rows to their commit.
    #[arg(long, default_value_t = 100)]
    commit_delay_ms: u64,
    /// How strings in BINARY columns are read.
    #[arg(long, value_enum, default_value_t = BinaryFormat::Hex)]
    binary_input_format: BinaryFormat,
    /// Database that exists from the start, with the schema PUBLIC; repeatable.
    #[arg(long = "database", value_name = "NAME")]
    databases: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(run(arguments))
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let emulator = Emulator::start(Config {
        listen: arguments.listen,
        tls: arguments.tls_listen.zip(arguments.tls_ca),
        engine: arguments.engine,
        mode: arguments.mode,
        binary: arguments.binary_input_format,
        databases: arguments.databases,
        settings: Settings { commit_delay_ms: arguments.commit_delay_ms, ..Settings::default() },
    })
    .await?;
    let mut out = std::io::stdout();
    writeln!(out, "http://{}", emulator.http).context("printing the address")?;
    if let Some(https) = emulator.https {
        writeln!(out, "https://{https}").context("printing the address")?;
    }
    out.flush().context("printing the address")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    emulator.stop().await;
    Ok(())
}
