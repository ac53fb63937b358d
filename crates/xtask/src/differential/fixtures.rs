//! `cargo xtask fixtures`: what real servers sent and what real Debezium made of it, for tests without any service.
//!
//! A fixture is a folder `proto-fixtures/pg<major>/<scenario>` with three files: `connector.json` (the properties),
//! `stream.jsonl` (frames of pgoutput, and the answers of catalog and registry where capture asked for them; or the
//! tables of a snapshot with their rows), `records.jsonl` (Debezium's records, their schemas once each). The tests
//! decode and encode every one with our own core and compare as the differential does.

#[cfg(test)]
mod coverage;
mod format;
pub(super) mod recorder;
#[cfg(test)]
mod replay;
mod snapshot;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::options::{self, Setting};
use super::scenario::{self, Scenario};
use super::stage::{Case, Opponent, Side, Stage};
use format::Fixture;

/// A fixture that is larger than this tells little more than one that is not.
const BYTES_MAX: usize = 100 << 10;

/// Scenarios that are recorded in Avro as well.
const IN_AVRO: [&str; 8] =
    ["arrays", "binary", "domains", "integers", "numbers", "temporal", "texts", "toast_short"];

/// Scenarios whose rows are recorded as a snapshot reads them.
const IN_SNAPSHOT: [&str; 23] = [
    "arrays",
    "arrays_dimensions",
    "arrays_hstore",
    "arrays_times",
    "binary",
    "dates_beyond",
    "defaults",
    "domains",
    "geometry",
    "integers",
    "intervals_rounded",
    "keyless",
    "names",
    "network",
    "numbers",
    "numbers_infinity",
    "partitioned",
    "temporal",
    "temporal_edges",
    "texts",
    "unknown",
    "unknown_arrays",
    "vectors",
];

/// What is recorded of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// The stream, in JSON
    Json,
    /// The stream, in Avro with a registry
    Avro,
    /// The snapshot, in JSON
    Snapshot,
}

impl Form {
    const ALL: [Form; 3] = [Form::Json, Form::Avro, Form::Snapshot];

    /// Whether a scenario is recorded so.
    fn has(self, scenario: &Scenario) -> bool {
        let name = scenario.name.as_str();
        match self {
            Form::Json => true,
            Form::Avro => IN_AVRO.contains(&name),
            Form::Snapshot => IN_SNAPSHOT.contains(&name),
        }
    }

    /// The name of a fixture.
    fn name(self, scenario: &Scenario) -> String {
        match self {
            Form::Json => scenario.name.clone(),
            Form::Avro => format!("avro_{}", scenario.name),
            Form::Snapshot => format!("snapshot_{}", scenario.name),
        }
    }

    /// A scenario by itself: its rows come either by the stream or by the snapshot.
    fn case<'a>(self, scenario: &'a Scenario, avro: &[Setting]) -> Case<'a> {
        let set = if self == Form::Avro { avro } else { &[] };
        let mut case = super::case(self.name(scenario), vec![scenario], set, &scenario.set);
        case.settings.retain(|setting| setting.key != "snapshot.mode");
        case.streams = self != Form::Snapshot;
        if case.streams {
            case.settings.push(Setting::new("snapshot.mode", "no_data"));
        }
        case
    }
}

/// Which fixtures are made anew.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Major release of PostgreSQL, 14 to 18; repeatable
    #[arg(long, default_values_t = [15, 17])]
    pg: Vec<u16>,
    /// Only this scenario of the differential; repeatable
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// Only this form; repeatable
    #[arg(long, value_name = "FORM")]
    form: Vec<Form>,
    /// Recordings at a time
    #[arg(long, value_name = "N", default_value_t = 2)]
    jobs: usize,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let scenarios = scenario::load()?;
    for name in &args.scenario {
        ensure!(scenarios.iter().any(|scenario| &scenario.name == name), "--scenario {name}: there is none");
    }
    let avro = options::full().into_iter().find(|set| set.name == "avro-default");
    let avro = avro.context("no option set in Avro")?.settings;
    for &major in &args.pg {
        let wanted = |scenario: &&Scenario| {
            (args.scenario.is_empty() || args.scenario.contains(&scenario.name)) && scenario.runs(major, &[])
        };
        let mut cases: Vec<Case<'_>> = Vec::new();
        for form in Form::ALL.into_iter().filter(|form| args.form.is_empty() || args.form.contains(form)) {
            let told = scenarios.iter().filter(wanted).filter(|scenario| form.has(scenario));
            cases.extend(told.map(|scenario| form.case(scenario, &avro)));
        }
        let stage = Stage::start(major, None, Opponent::Recorder, false)?;
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

/// Writes a fixture; says why not if there is nothing to keep.
fn keep(major: u16, case: &Case<'_>, sides: &[Side; 2]) -> Result<()> {
    let [debezium, ours] = sides;
    for (who, side) in [("debezium", debezium), ("capture", ours)] {
        ensure!(side.stopped.is_none(), "{who} stops: {}", side.stopped.as_deref().unwrap_or_default());
    }
    let recording = ours.recording.as_ref().context("nothing was recorded")?;
    let fixture = Fixture::new(recording, &debezium.records)?;
    let files = fixture.files()?;
    ensure!(debezium.records.iter().any(|record| !format::is_sentinel(record)), "it leaves no record here");
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
