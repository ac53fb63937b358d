//! `cargo xtask wasm`: the core crates build for a target that has no sockets, threads or files.
//!
//! The build alone does not prove that they are absent (the standard library has stubs for that target); their
//! `clippy.toml` and `tidy` do the rest.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

const TARGET: &str = "wasm32-unknown-unknown";

const CORE: [&str; 4] = ["cdcd-pgoutput", "cdcd-debezium", "cdcd-capture", "cdcd-sink"];

/// Installs the target if it is missing, then builds.
pub(crate) fn run() -> Result<()> {
    ensure_target()?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--locked", "--lib", "--target", TARGET]);
    for package in CORE {
        cargo.args(["--package", package]);
    }
    if !cargo.status().context("cargo: does not start")?.success() {
        bail!("wasm: the core crates do not build for {TARGET}");
    }
    println!("wasm: {} build for {TARGET}", CORE.join(", "));
    Ok(())
}

/// The standard library of the target: there, or fetched by rustup.
fn ensure_target() -> Result<()> {
    let print = ["--print", "target-libdir", "--target", TARGET];
    let output = Command::new("rustc").args(print).output().context("rustc: does not start")?;
    let libdir = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && std::path::Path::new(&libdir).is_dir() {
        return Ok(());
    }
    eprintln!("wasm: the standard library for {TARGET} is missing: rustup target add {TARGET}");
    let added = Command::new("rustup").args(["target", "add", TARGET]).status();
    match added {
        Ok(status) if status.success() => Ok(()),
        _ => bail!(
            "wasm: {libdir} is missing and rustup cannot add it: install the standard library for {TARGET} of exactly \
             this compiler (rustup target add {TARGET} where its server can be reached)"
        ),
    }
}
