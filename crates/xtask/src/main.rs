//! The project's own chores: `cargo xtask --help`.

mod bench;
mod chaos;
mod demo;
mod differential;
mod services;
mod sim;
mod tidy;
mod wasm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Chores of the cdcd workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Provision, start, stop and find real PostgreSQL, Kafka, schema registry and Debezium
    Services(services::Args),
    /// PostgreSQL to "Snowflake" on this machine for DEMO_SECONDS (60), then verify and sum up
    Demo,
    /// Whole commands beside a peer or a ceiling, on real services
    Bench(bench::Args),
    /// Failure tests on real processes: kills, restarts, guards, network faults
    Chaos(chaos::Args),
    /// The same SQL to real Debezium and to cdcd capture, then record against record
    Differential(differential::Args),
    /// Record what real servers send and real Debezium writes, for tests without services
    Fixtures(differential::FixtureArgs),
    /// Seeds of the deterministic simulation: a table of what fired, and every violation with its seed
    Sim(sim::Args),
    /// Fail on an arrow between crates that the map does not have, on banned dependencies, on overlong files
    Tidy,
    /// Build the core crates for wasm32-unknown-unknown
    Wasm,
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Services(args) => services::run(&args),
        Task::Demo => demo::run(),
        Task::Bench(args) => bench::run(&args),
        Task::Chaos(args) => chaos::run(&args),
        Task::Differential(args) => differential::run(&args),
        Task::Fixtures(args) => differential::record(&args),
        Task::Sim(args) => sim::run(&args),
        Task::Tidy => tidy::run(),
        Task::Wasm => wasm::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
