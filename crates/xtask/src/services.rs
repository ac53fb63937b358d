//! `cargo xtask services`: a command line over `cdcd_testkit::services`.

use anyhow::{Result, bail};
use cdcd_testkit::services::{self, Running, Service};
use clap::Subcommand;

/// What is started when no name is given.
const DEFAULT: [&str; 2] = ["postgres", "kafka"];

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

const NAMES: &str = "postgres, postgres14 to postgres18, NAME-postgres (a further cluster, for instance \
                     emulator-postgres), kafka, NAME-kafka1of3 (a broker of a further cluster), registry, debezium";

#[derive(Subcommand)]
enum Action {
    /// Start services that do not run yet, and print how to reach them
    #[command(after_help = NAMES)]
    Up {
        /// Services [default: postgres kafka]
        names: Vec<Service>,
    },
    /// Stop services; their data stays
    #[command(after_help = NAMES)]
    Down {
        /// Services [default: all of this checkout]
        names: Vec<Service>,
    },
    /// Stop services and remove their data
    #[command(after_help = NAMES)]
    Wipe {
        /// Services [default: all of this checkout]
        names: Vec<Service>,
    },
    /// Say which services run, and where
    Status,
    /// Print shell exports for services that run: eval "$(cargo xtask services env)"
    #[command(after_help = NAMES)]
    Env {
        /// Services [default: all that run]
        names: Vec<Service>,
    },
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.action {
        Action::Up { names } => up(names),
        Action::Down { names } => each(names, "stopped", services::down),
        Action::Wipe { names } => each(names, "stopped and removed", services::wipe),
        Action::Status => status(),
        Action::Env { names } => env(names),
    }
}

fn up(names: &[Service]) -> Result<()> {
    let default = || DEFAULT.iter().map(|name| name.parse()).collect::<Result<Vec<Service>>>();
    let names = if names.is_empty() { default()? } else { names.to_vec() };
    let running = names.iter().map(services::up).collect::<Result<Vec<Running>>>()?;
    print!("{}", exports(&running));
    Ok(())
}

fn each(names: &[Service], verb: &str, act: impl Fn(&Service) -> Result<bool>) -> Result<()> {
    let names = if names.is_empty() { services::known()? } else { names.to_vec() };
    let mut failures = Vec::new();
    for service in &names {
        match act(service) {
            Ok(true) => eprintln!("services: {service}: {verb}"),
            Ok(false) => eprintln!("services: {service}: nothing to do"),
            // The others still have to end.
            Err(error) => failures.push(format!("{service}: {error:#}")),
        }
    }
    if failures.is_empty() { Ok(()) } else { bail!("{}", failures.join("\n")) }
}

fn status() -> Result<()> {
    let known = services::known()?;
    if known.is_empty() {
        println!("no service was started from this checkout yet: cargo xtask services up");
    }
    for service in known {
        match services::find(&service)? {
            Some(running) => println!("{:<22} up    {}", service.to_string(), address(&running)),
            None => println!("{:<22} down", service.to_string()),
        }
    }
    Ok(())
}

fn address(running: &Running) -> String {
    match running {
        Running::Postgres(server) => {
            format!("{}:{} (log {})", server.host, server.port, server.log.display())
        }
        Running::Kafka(kafka) => format!("{} (log {})", kafka.bootstrap_servers, kafka.log.display()),
        Running::Registry(registry) => format!("{} (log {})", registry.url, registry.log.display()),
        Running::Debezium(connect) => format!("{} (log {})", connect.url, connect.log.display()),
    }
}

fn env(names: &[Service]) -> Result<()> {
    let mut running = Vec::new();
    if names.is_empty() {
        for service in services::known()? {
            running.extend(services::find(&service)?);
        }
        if running.is_empty() {
            bail!("no service runs: cargo xtask services up");
        }
    }
    for service in names {
        match services::find(service)? {
            Some(found) => running.push(found),
            None => bail!("{service} does not run: cargo xtask services up {service}"),
        }
    }
    print!("{}", exports(&running));
    Ok(())
}

/// `export NAME=value` lines. The first server of the main cluster gets libpq's names; a cluster of its own gets one
/// URL under its name.
fn exports(running: &[Running]) -> String {
    let mut lines = Vec::new();
    let mut main_seen = false;
    for service in running {
        match service {
            Running::Postgres(server) if server.cluster == "main" => {
                if !main_seen {
                    lines.push(format!("export PGHOST={}", server.host));
                    lines.push(format!("export PGPORT={}", server.port));
                    lines.push(format!("export PGUSER={}", server.user));
                    lines.push(format!("export PGPASSWORD={}", server.password));
                }
                main_seen = true;
                lines.push(format!("export POSTGRES{}_URL={}", server.major, server.url("postgres")));
            }
            Running::Postgres(server) => {
                let name = server.cluster.to_ascii_uppercase();
                lines.push(format!("export {name}_POSTGRES_URL={}", server.url("postgres")));
            }
            Running::Kafka(kafka) => {
                lines.push(format!("export BOOTSTRAP_SERVERS={}", kafka.bootstrap_servers));
            }
            Running::Registry(registry) => lines.push(format!("export SCHEMA_REGISTRY_URL={}", registry.url)),
            Running::Debezium(connect) => lines.push(format!("export CONNECT_URL={}", connect.url)),
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}
