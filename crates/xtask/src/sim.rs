//! `cargo xtask sim`: many seeds of the simulation, optimised, on all cores.

use std::process::Command;

use anyhow::{Result, bail};

/// Options of the simulation.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many seeds
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Threads, one world each
    #[arg(long, default_value_t = 2)]
    threads: u64,
    /// Look for the seeded bugs instead, in at most so many seeds each and without a focus on their faults
    #[arg(long)]
    bugs: bool,
    /// Release build with the release profile's settings; without it the profile `sim`, which asserts more
    #[arg(long)]
    release: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let profile = if args.release { "release" } else { "sim" };
    let test = if args.bugs { "every_seeded_bug_is_found" } else { "no_seed_violates_a_rule" };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["test", "--locked", "--profile", profile, "-p", "cdcd", "--test", "sim"])
        .args(["--", test, "--exact", "--nocapture"])
        .env("SIM_SEEDS", args.seeds.to_string())
        .env("SIM_BUG_SEEDS", args.seeds.to_string())
        .env("SIM_BUG_FOCUS", "0")
        .env("SIM_SEED", args.first.to_string())
        .env("SIM_THREADS", args.threads.to_string())
        .env("SIM_SECONDS", u64::MAX.to_string())
        .env("SIM_SHARES", "1")
        .status()?;
    if !status.success() {
        bail!("the simulation failed: {status}");
    }
    Ok(())
}
