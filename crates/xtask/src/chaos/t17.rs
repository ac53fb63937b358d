//! Not written yet.
use super::Options;
use anyhow::{Result, bail};
use std::path::Path;
pub(super) fn run(_: &Options, _: &Path) -> Result<()> {
    bail!("not written yet")
}
