//! `cargo xtask fixtures`: what real servers sent and what real Debezium made of it, for tests without any service.
//!
//! A fixture is a folder `proto-fixtures/pg<major>/<scenario>` with three files: `connector.json` (the properties),
//! `stream.jsonl` (frames of pgoutput, and the catalog's answers where capture asked for them), `records.jsonl`
//! (Debezium's records, their schemas once each). The tests decode and encode every one with our own core and
//! compare as the differential does.

#[cfg(test)]
mod coverage;
mod format;
pub(super) mod recorder;
#[cfg(test)]
mod replay;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::options::Setting;
use super::scenario::{self, Scenario};
use super::stage::{Case, Opponent, Side, Stage};
use format::Fixture;

/// A fixture that is larger than this tells little more than one that is not.
const BYTES_MAX: usize = 100 << 10;

/// Which fixtures are made anew.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Major release of PostgreSQL, 14 to 18; repeatable
    #[arg(long, default_values_t = [15, 17])]
    pg: Vec<u16>,
    /// Only this scenario of the differential; repeatable
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// Recordings at a time
    #[arg(long, value_name = "N", default_value_t = 2)]
    jobs: usize,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let scenarios = scenario::load()?;
    for name in &args.scenario {
        ensure!(scenarios.iter().any(|scenario| &scenario.name == name), "--scenario {name}: there is none");
    }
    for &major in &args.pg {
        let wanted = |scenario: &&Scenario| {
            (args.scenario.is_empty() || args.scenario.contains(&scenario.name)) && scenario.runs(major, &[])
        };
        let cases: Vec<Case<'_>> = scenarios.iter().filter(wanted).map(case).collect();
        let stage = Stage::start(major, Opponent::Recorder, false)?;
        let (mut kept, mut left_out) = (0, Vec::new());
        super::run_all(&stage, &cases, args.jobs, |case, sides, _| match keep(major, case, sides) {
            Ok(()) => kept += 1,
            Err(why) => left_out.push(format!("{}: {why:#}", case.name)),
        })?;
        println!("PostgreSQL {major}: {kept} fixtures");
        for line in left_out {
            println!("  left out {line}");
        }
    }
    Ok(())
}

/// A scenario by itself, without a snapshot: its rows come by the stream.
fn case(scenario: &Scenario) -> Case<'_> {
    let mut case = super::case(scenario.name.clone(), vec![scenario], &[], &scenario.set);
    case.settings.retain(|setting| setting.key != "snapshot.mode");
    case.settings.push(Setting::new("snapshot.mode", "no_data"));
    case
}

/// Writes a fixture; says why not if there is nothing to keep.
fn keep(major: u16, case: &Case<'_>, sides: &[Side; 2]) -> Result<()> {
    let [debezium, ours] = sides;
    for (who, side) in [("debezium", debezium), ("capture", ours)] {
        ensure!(side.stopped.is_none(), "{who} stops: {}", side.stopped.as_deref().unwrap_or_default());
    }
    let recording = ours.recording.as_ref().context("nothing was recorded")?;
    let fixture = Fixture::new(recording, &debezium.records)?;
    let files = fixture.files()?;
    ensure!(
        debezium.records.iter().any(|record| !format::is_sentinel(record)),
        "it is about the snapshot only"
    );
    let size: usize = files.iter().map(|(_, text)| text.len()).sum();
    ensure!(size <= BYTES_MAX, "{size} bytes are more than {BYTES_MAX}");
    let dir = root().join(format!("pg{major}")).join(&case.name);
    std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    for (name, text) in files {
        std::fs::write(dir.join(name), text).with_context(|| format!("writing {}", dir.display()))?;
    }
    Ok(())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto-fixtures")
}
