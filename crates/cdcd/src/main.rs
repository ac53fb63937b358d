//! The `cdcd` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    cdcd::cli::main()
}
