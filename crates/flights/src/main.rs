//! `flights`: air traffic for tests and for the demo. `flights --help`.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use cdcd_flights::changes::{Changes, Mix};
use cdcd_flights::feed;
use cdcd_flights::live::{self, Answer, Credentials, Live};
use cdcd_flights::server::{self, Credits};
use cdcd_flights::simulator::Simulator;
use cdcd_flights::world::FLEET_MAX;
use cdcd_flights::writer::Writer;
use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Air traffic that never was: into PostgreSQL (--database), over HTTP (--serve), or both.
///
/// With --live the traffic is the OpenSky Network's, for holders of an account: OPENSKY_CLIENT_ID and
/// OPENSKY_CLIENT_SECRET, or OPENSKY_USERNAME and OPENSKY_PASSWORD.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Write to this database: postgres://user:password@host:port/name
    #[arg(long, env = "FLIGHTS_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database: Option<String>,
    /// Answer /api/states/all as the OpenSky Network does
    #[arg(long, value_name = "ADDRESS")]
    serve: Option<SocketAddr>,
    /// Take the traffic from the OpenSky Network's API instead of simulating it; needs --database
    #[arg(long, requires = "database", conflicts_with = "serve")]
    live: bool,
    /// Row changes per second
    #[arg(long, default_value = "100/s", value_parser = rate, value_name = "N/s")]
    rate: f64,
    /// Stop after this time [default: on a signal]
    #[arg(long)]
    seconds: Option<u64>,
    /// Stop after this number of row changes
    #[arg(long, value_name = "N")]
    changes: Option<u64>,
    /// The number that decides everything; printed at the start [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
    /// Size of the fleet
    #[arg(long, default_value_t = 500, value_name = "N")]
    aircraft: usize,
    /// Simulated time at the start, seconds since 1970 [default: now, or after the last report in the database]
    #[arg(long, value_name = "EPOCH")]
    start: Option<i64>,
    /// Weights of inserts (flights), updates and deletes (flights_current)
    #[arg(long, default_value = "c:60,u:35,d:5")]
    mix: Mix,
    /// One big transaction this often, in seconds
    #[arg(long, value_name = "SECONDS")]
    big_transaction_every: Option<u64>,
    /// Rows of the big transaction
    #[arg(long, default_value_t = 50_000, value_name = "N")]
    big_transaction_rows: usize,
    /// TRUNCATE flight_events this often, in seconds
    #[arg(long, value_name = "SECONDS")]
    truncate_every: Option<u64>,
    /// Add a column to flights_current this often, in seconds
    #[arg(long, value_name = "SECONDS")]
    ddl_every: Option<u64>,
    /// With --serve: simulated seconds per second
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// With --serve: credits per day without an account
    #[arg(long, default_value_t = Credits::default().anonymous, value_name = "N")]
    credits_anonymous: u32,
    /// With --serve: credits per day with an account
    #[arg(long, default_value_t = Credits::default().account, value_name = "N")]
    credits_account: u32,
    /// With --live: the API's server
    #[arg(long, default_value = live::API_URL, value_name = "URL")]
    api_url: String,
    /// With --live: the server of its tokens
    #[arg(long, default_value = live::AUTH_URL, value_name = "URL")]
    auth_url: String,
    /// With --live: seconds between two questions [default: what the credits allow]
    #[arg(long, value_name = "SECONDS")]
    interval: Option<u64>,
}

/// `50`, `50/s`.
fn rate(text: &str) -> Result<f64> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    let rate: f64 =
        number.parse().with_context(|| format!("{text:?} is not a number of row changes per second"))?;
    ensure!((0.01..=1e6).contains(&rate), "{text:?} is not between 0.01/s and 1000000/s");
    Ok(rate)
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.context("runtime").and_then(|runtime| runtime.block_on(run(cli))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: flights: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<()> {
    ensure!((1..=FLEET_MAX).contains(&cli.aircraft), "--aircraft {}: want 1 to {FLEET_MAX}", cli.aircraft);
    ensure!(cli.speed > 0.0, "--speed {}: want more than 0", cli.speed);
    if cli.live {
        return run_live(&cli).await;
    }
    let seed = cli.seed.unwrap_or_else(|| u64::from(std::process::id()) ^ server::unix_now().unsigned_abs());
    match (&cli.serve, &cli.database) {
        (None, None) => bail!("nothing to do: want --database, --serve, or both"),
        (Some(address), None) => serve(*address, &cli, seed).await,
        (None, Some(url)) => feed_database(url, &cli, seed).await,
        (Some(address), Some(url)) => tokio::select! {
            done = serve(*address, &cli, seed) => done,
            done = feed_database(url, &cli, seed) => done,
        },
    }
}

fn simulator(cli: &Cli, seed: u64, start: i64) -> Simulator {
    eprintln!("flights: {} aircraft, seed {seed}, start {start}", cli.aircraft);
    Simulator::new(seed, cli.aircraft, start)
}

async fn serve(address: SocketAddr, cli: &Cli, seed: u64) -> Result<()> {
    let simulator = simulator(cli, seed, cli.start.unwrap_or_else(server::unix_now));
    let credits = Credits { anonymous: cli.credits_anonymous, account: cli.credits_account };
    let listener = TcpListener::bind(address).await.with_context(|| format!("--serve {address}"))?;
    eprintln!("flights: serving http://{}{}", listener.local_addr()?, server::STATES_PATH);
    let router = server::router(simulator, credits, cli.speed);
    let server = axum::serve(listener, router).with_graceful_shutdown(stop_signal()?);
    match cli.seconds.filter(|_| cli.database.is_none()) {
        Some(seconds) => tokio::select! {
            done = server.into_future() => done.context("server"),
            () = tokio::time::sleep(Duration::from_secs(seconds)) => Ok(()),
        },
        None => server.await.context("server"),
    }
}

async fn feed_database(url: &str, cli: &Cli, seed: u64) -> Result<()> {
    let mut writer = Writer::connect(url).await?;
    // Simulated time may have run ahead of the clock: a report must not meet one of an earlier run.
    let after_latest = writer.latest().await?.map_or(i64::MIN, |latest| latest.saturating_add(1));
    let simulator = simulator(cli, seed, cli.start.unwrap_or_else(|| server::unix_now().max(after_latest)));
    let filled = writer.fill_dimensions(simulator.airframes()).await?;
    eprintln!("flights: tables are there, {} rows of airports and aircraft are new", filled.inserted);
    let mut changes = Changes::new(seed, simulator, cli.mix, writer.present().await?);
    let options = feed::Options {
        rate: cli.rate,
        duration: cli.seconds.map(Duration::from_secs),
        changes: cli.changes,
        big_every: cli.big_transaction_every.map(Duration::from_secs),
        big_rows: cli.big_transaction_rows,
        truncate_every: cli.truncate_every.map(Duration::from_secs),
        ddl_every: cli.ddl_every.map(Duration::from_secs),
    };
    feed::run(&mut writer, &mut changes, &options, stop_signal()?).await?;
    Ok(())
}

/// Asks, writes, waits. A question that fails is asked again at the next turn; a database that fails ends the run.
async fn run_live(cli: &Cli) -> Result<()> {
    let url = cli.database.as_deref().context("--live needs --database")?;
    let credentials = Credentials::from_env()?;
    let interval = cli.interval.map_or(credentials.interval(), Duration::from_secs);
    eprintln!("flights: live from {} as {credentials:?}, each {} s", cli.api_url, interval.as_secs());
    let mut live = Live::new(&cli.api_url, &cli.auth_url, credentials)?;
    let mut writer = Writer::connect(url).await?;
    let mut present = writer.present().await?;
    let end = cli.seconds.map(|seconds| tokio::time::Instant::now() + Duration::from_secs(seconds));
    let mut stop = std::pin::pin!(stop_signal()?);
    loop {
        let wait = match live.states().await {
            Ok(Answer::States(now, states)) => {
                let tally = writer.apply(&live::changes(now, states, &mut present)).await?;
                let (inserted, updated, deleted) = (tally.inserted, tally.updated, tally.deleted);
                eprintln!("flights: {inserted} inserted, {updated} updated, {deleted} deleted");
                interval
            }
            Ok(Answer::Wait(wait)) => {
                eprintln!("flights: out of credits: next question in {} s", wait.as_secs());
                wait.max(interval)
            }
            Err(error) => {
                eprintln!("flights: {error:#}; next question in {} s", interval.as_secs());
                interval
            }
        };
        let next = tokio::time::Instant::now() + wait;
        let is_last = end.is_some_and(|end| next >= end);
        tokio::select! {
            () = &mut stop => return Ok(()),
            () = tokio::time::sleep_until(end.map_or(next, |end| next.min(end))) => {}
        }
        if is_last {
            return Ok(());
        }
    }
}

/// Resolves on SIGINT or SIGTERM.
fn stop_signal() -> Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
