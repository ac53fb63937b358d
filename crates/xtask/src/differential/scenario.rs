//! Scenario files: SQL in sections, with a header that says under which options it runs.
//!
//! ```text
//! -- what it is about
//! -- set: key=value            a connector property of its own (then it runs alone)
//! -- unless: key=value         not under option sets with this property
//! -- pg: 17                    needs this major release
//! -- alone                     shares its database with no other scenario
//! --> setup                    before the connectors start
//! --> rows                     before they start, and once more afterwards
//! --> stream                   afterwards; a line "--- pause" waits until both sides have delivered
//! ```
//! Unqualified names live in a schema that is called as the file. The reserved schema `zzz` holds the row that
//! tells both sides' ends.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use super::options::Setting;

/// One scenario.
#[derive(Debug, Clone, Default)]
pub(super) struct Scenario {
    pub(super) name: String,
    pub(super) set: Vec<Setting>,
    pub(super) unless: Vec<Setting>,
    pub(super) pg_min: u16,
    pub(super) alone: bool,
    setup: String,
    rows: String,
    stream: String,
}

/// All scenario files, in order of their names.
pub(super) fn load() -> Result<Vec<Scenario>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/differential/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(&dir)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>())
        .with_context(|| format!("listing {}", dir.display()))?;
    files.sort();
    let mut scenarios = Vec::new();
    for path in files.iter().filter(|path| path.extension().is_some_and(|ext| ext == "sql")) {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        scenarios.push(parse(name, &text).with_context(|| format!("{}", path.display()))?);
    }
    ensure!(!scenarios.is_empty(), "no scenario in {}", dir.display());
    Ok(scenarios)
}

fn parse(name: &str, text: &str) -> Result<Scenario> {
    let mut scenario = Scenario { name: name.to_owned(), ..Scenario::default() };
    let mut section = None;
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("--> ") {
            section = Some(title.trim().to_owned());
            continue;
        }
        match section.as_deref() {
            None => scenario.header(line)?,
            Some("setup") => push(&mut scenario.setup, line),
            Some("rows") => push(&mut scenario.rows, line),
            Some("stream") => push(&mut scenario.stream, line),
            Some(other) => bail!("section {other:?}: want setup, rows or stream"),
        }
    }
    ensure!(section.is_some(), "no section (\"--> setup\")");
    scenario.alone |= !scenario.set.is_empty();
    Ok(scenario)
}

fn push(section: &mut String, line: &str) {
    section.push_str(line);
    section.push('\n');
}

impl Scenario {
    fn header(&mut self, line: &str) -> Result<()> {
        let Some(line) = line.strip_prefix("--") else {
            ensure!(line.trim().is_empty(), "SQL before the first section: {line}");
            return Ok(());
        };
        let line = line.trim();
        if let Some(setting) = line.strip_prefix("set:") {
            self.set.push(Setting::parse(setting)?);
        } else if let Some(setting) = line.strip_prefix("unless:") {
            self.unless.push(Setting::parse(setting)?);
        } else if let Some(major) = line.strip_prefix("pg:") {
            self.pg_min = major.trim().parse().context("pg: not a major release")?;
        } else if line == "alone" {
            self.alone = true;
        }
        Ok(())
    }

    /// Whether it can run on this server under these settings.
    pub(super) fn runs(&self, major: u16, settings: &[Setting]) -> bool {
        major >= self.pg_min && !self.unless.iter().any(|refused| settings.contains(refused))
    }

    /// A scenario that was made up, not read. Its keyless records may land in any partition.
    pub(super) fn generated(name: String, setup: String, stream: String) -> Self {
        let unless = vec![Setting::new("topic.creation.default.partitions", "4")];
        Scenario { name, unless, setup, stream, ..Scenario::default() }
    }
}

/// SQL to run before the connectors start.
pub(super) fn before(scenarios: &[&Scenario]) -> String {
    let mut sql = "\\set QUIET on\nSET client_min_messages = warning;\nCREATE SCHEMA zzz;\n\
                   CREATE TABLE zzz.sentinel (id int PRIMARY KEY, step int);\n"
        .to_owned();
    for scenario in scenarios {
        let name = &scenario.name;
        sql.push_str(&format!("CREATE SCHEMA \"{name}\";\nSET search_path = \"{name}\", public;\n"));
        sql.push_str(&scenario.setup);
        sql.push_str(&scenario.rows);
    }
    sql.push_str(&format!("INSERT INTO zzz.sentinel VALUES (1, {SNAPSHOT_STEP});\n"));
    sql
}

/// Number of the sentinel row that is in the snapshot.
pub(super) const SNAPSHOT_STEP: usize = 1;
/// Number of the sentinel row that ends the first step.
pub(super) const FIRST_STEP: usize = 2;
/// A line of a stream section: go on when both sides have delivered everything up to here. The catalog is then the
/// same for both when they ask it, which matters for DDL.
const PAUSE: &str = "--- pause";

/// SQL to run when both connectors stream: steps, each of which ends with a sentinel row.
///
/// The row is inserted, or updated where inserts are skipped: the last record of a step has to be one that is written.
pub(super) fn after(scenarios: &[&Scenario], inserts_are_written: bool) -> Vec<String> {
    const HEAD: &str = "\\set QUIET on\nSET client_min_messages = warning;\n";
    let mut steps = Vec::new();
    let mut sql = HEAD.to_owned();
    let end = |sql: &mut String, steps: &mut Vec<String>| {
        let step = steps.len() + FIRST_STEP;
        sql.push_str(&match inserts_are_written {
            true => format!("INSERT INTO zzz.sentinel VALUES ({step}, {step});\n"),
            false => format!("UPDATE zzz.sentinel SET step = {step} WHERE id = 1;\n"),
        });
        steps.push(std::mem::replace(sql, HEAD.to_owned()));
    };
    for scenario in scenarios {
        let path = format!("SET search_path = \"{}\", public;\n", scenario.name);
        sql.push_str(&path);
        sql.push_str(&scenario.rows);
        for line in scenario.stream.lines() {
            if line == PAUSE {
                end(&mut sql, &mut steps);
                sql.push_str(&path);
            } else {
                push(&mut sql, line);
            }
        }
    }
    end(&mut sql, &mut steps);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_and_sections_are_read() {
        let scenario =
            parse("x", "-- about\n-- set: a.b=c=d\n-- pg: 17\n--> setup\nS;\n--> rows\nR;\n--> stream\nT;\n")
                .unwrap();
        assert_eq!(scenario.set, [Setting::parse("a.b=c=d").unwrap()]);
        assert!(scenario.alone && !scenario.runs(15, &[]) && scenario.runs(17, &[]));
        let (before, after) = (before(&[&scenario]), after(&[&scenario], true).concat());
        assert!(before.contains("S;\nR;\n") && !before.contains("T;"));
        assert!(after.contains("R;\nT;\n") && !after.contains("S;"));
    }

    #[test]
    fn a_pause_ends_a_step_with_a_sentinel_row() {
        let scenario = parse("x", "--> stream\nS;\n--- pause\nT;\n").unwrap();
        let steps = after(&[&scenario], true);
        let ends: Vec<bool> = steps.iter().map(|step| step.contains("S;")).collect();
        assert_eq!(ends, [true, false]);
        assert!(
            steps[0].contains("VALUES (2, 2)")
                && steps[1].contains("T;")
                && steps[1].contains("VALUES (3, 3)")
        );
    }

    #[test]
    fn a_scenario_that_is_not_one_is_refused() {
        assert!(parse("x", "-- nothing").is_err());
        assert!(parse("x", "SELECT 1;\n--> setup\n").is_err());
        assert!(parse("x", "--> later\nSELECT 1;").is_err());
    }

    #[test]
    fn every_file_is_a_scenario() {
        assert!(load().unwrap().len() > 5);
    }
}
