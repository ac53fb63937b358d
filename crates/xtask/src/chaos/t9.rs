//! T9: each situation in which going on would lose or repeat changes (A9, A10, B7, B9 to B16, C1 to C3, E10) must end with
//! exit 4 and its named error. The table is the result; one situation that passes in silence fails the test.

mod catalog;
mod failover;
mod kafka;
mod slot;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use cdcd_testkit::services::{Database, Postgres};
use cdcd_testkit::wait_until;

use super::Options;
use super::arena::{Ground, say, write_connector};
use super::process::Running;

/// How long a capture that should stop is watched: a start takes a second or two.
const WATCH: Duration = Duration::from_secs(20);
/// How long a running capture may take to notice.
const ALARM: Duration = Duration::from_secs(65);
/// How long a capture may take to catch up.
const CATCH_UP: Duration = Duration::from_secs(60);
/// The exit code of a guard.
const GUARD: i32 = 4;

/// One situation.
struct Case {
    id: &'static str,
    what: &'static str,
    /// The errors that are right here; empty for any named one.
    names: &'static [&'static str],
    provoke: fn(&mut Ground) -> Result<Outcome>,
    /// Beyond what is promised: shown, and not counted as a failure.
    is_limit: bool,
}

/// In the order of the catalogue. Those that replace the server come last.
const CASES: &[Case] = &[
    case("A9", "position topic lost", &["E_POSITION_MISSING"], kafka::position_lost),
    case("A10", "position of a later version", &["E_POSITION_FORMAT"], kafka::position_unreadable),
    case("B7", "slot invalidated", &["E_GAP_SLOT_LOST"], kafka::slot_invalidated),
    case("B9", "slot dropped and re-created", &["E_GAP_SLOT_AHEAD"], slot::recreated),
    case("B10", "slot advanced by somebody", &["E_GAP_SLOT_AHEAD"], slot::advanced),
    case("B10", "… between our look and our start", &["E_GAP_SLOT_AHEAD"], slot::advanced_in_between),
    case("B11", "slot read by another consumer", &["E_GAP_SLOT_AHEAD"], slot::stolen),
    case("C1", "table re-created, capture down", &[], catalog::table_recreated),
    case("C1", "table re-created, capture runs", &[], catalog::table_recreated_while_running),
    case(
        "C2",
        "publication re-created, capture down",
        &["E_PUBLICATION_HISTORY"],
        catalog::publication_recreated,
    ),
    case(
        "C2",
        "publication re-created, capture runs",
        &["E_PUBLICATION_HISTORY"],
        catalog::publication_recreated_while_running,
    ),
    case("C3", "publication younger than the slot", &["E_PUBLICATION_HISTORY"], catalog::publication_younger),
    case("E10", "data topic re-created", &["E_TOPIC_RECREATED"], kafka::topic_recreated),
    case("B12", "server restored to an earlier state", &["E_SERVER_BEHIND"], failover::restored),
    // Same server, same timeline, and nothing in its numbers says that this history is another one.
    Case {
        id: "B12",
        what: "… that has outgrown the position",
        names: &[],
        provoke: failover::restored_and_outgrown,
        is_limit: true,
    },
    case("B13", "promoted standby without the slot", &["E_SLOT_MISSING"], failover::promoted_without_slot),
    case("B14", "promoted standby, slot re-created", &["E_GAP_SLOT_AHEAD"], failover::promoted_with_new_slot),
    case("B15", "promoted standby that lagged", &["E_DIVERGED"], failover::promoted_lagging),
    case("B16", "old primary under the same name", &["E_TIMELINE"], failover::old_primary),
];

const fn case(
    id: &'static str,
    what: &'static str,
    names: &'static [&'static str],
    provoke: fn(&mut Ground) -> Result<Outcome>,
) -> Case {
    Case { id, what, names, provoke, is_limit: false }
}

/// What the capture did.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// It ended: exit code, the name of its error, its error line.
    Ended { code: Option<i32>, name: Option<String>, line: String },
    /// It was still running when the watch ended.
    RunsOn,
}

/// How that is to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Guarded,
    OtherName,
    Unnamed,
    Silent,
}

pub(super) fn run(options: &Options, binary: &Path) -> Result<()> {
    let mut ground = Ground::prepare(options, binary)?;
    let mut lines = Vec::new();
    let mut failed = 0;
    let wanted = |case: &&Case| options.only.as_ref().is_none_or(|id| id == case.id);
    let cases: Vec<&Case> = CASES.iter().filter(wanted).collect();
    ensure!(!cases.is_empty(), "--only: no such situation");
    for case in &cases {
        ground.in_time()?;
        say(&format!("{} {}", case.id, case.what));
        let found = (case.provoke)(&mut ground);
        let line = match &found {
            Ok(outcome) => {
                let verdict = verdict(case, outcome);
                failed += u32::from(verdict != Verdict::Guarded && !case.is_limit);
                row(case, verdict, outcome)
            }
            Err(error) => {
                failed += 1;
                format!("| {:<4} | {:<38} | NOT PROVOKED | {error:#} |", case.id, case.what)
            }
        };
        say(&line);
        lines.push(line);
    }
    println!("PostgreSQL {}", options.pg);
    println!("| id   | situation                              | verdict      | what the capture did |");
    println!("|------|----------------------------------------|--------------|----------------------|");
    for line in lines {
        println!("{line}");
    }
    ensure!(failed == 0, "{failed} of {} situations did not end with their named error", cases.len());
    Ok(())
}

fn verdict(case: &Case, outcome: &Outcome) -> Verdict {
    match outcome {
        Outcome::RunsOn | Outcome::Ended { code: Some(0), .. } => Verdict::Silent,
        Outcome::Ended { code: Some(GUARD), name: Some(name), .. } => {
            let right = case.names.is_empty() || case.names.contains(&name.as_str());
            if right { Verdict::Guarded } else { Verdict::OtherName }
        }
        Outcome::Ended { .. } => Verdict::Unnamed,
    }
}

fn row(case: &Case, verdict: Verdict, outcome: &Outcome) -> String {
    let verdict = match verdict {
        Verdict::Guarded => "guarded",
        Verdict::OtherName => "OTHER NAME",
        Verdict::Unnamed => "UNNAMED",
        Verdict::Silent => "NOT GUARDED",
    };
    let did = match outcome {
        Outcome::RunsOn => "ran on and said nothing".to_owned(),
        Outcome::Ended { code, line, .. } => {
            format!("exit {}: {line}", code.map_or("by a signal".to_owned(), |code| code.to_string()))
        }
    };
    format!("| {:<4} | {:<38} | {verdict:<12} | {did} |", case.id, case.what)
}

/// One connector with one table.
struct Stage {
    database: Database,
    name: String,
    connector: PathBuf,
}

impl Stage {
    /// A table, a publication of it, a capture that has run once and caught up.
    fn new(ground: &Ground) -> Result<Self> {
        let stage = Stage::bare(ground)?;
        stage.sql(&format!("CREATE PUBLICATION {} FOR TABLE t", stage.name))?;
        stage.catch_up(ground)?;
        stage.sql("INSERT INTO t SELECT i FROM generate_series(1, 100) i")?;
        stage.catch_up(ground)?;
        Ok(stage)
    }

    /// Only the table and the connector file.
    fn bare(ground: &Ground) -> Result<Self> {
        let database = ground.postgres.fresh_database("guard")?;
        database.psql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE noise (v text)")?;
        let name = database.name.clone();
        let connector = write_connector(ground, &ground.postgres, &name, EXTRA)?;
        Ok(Stage { database, name, connector })
    }

    /// The connector goes to another server.
    fn move_to(&mut self, ground: &Ground, server: &Postgres) -> Result<()> {
        let extra: Vec<(&str, &str)> =
            EXTRA.iter().copied().chain([("database.dbname", self.database.name.as_str())]).collect();
        self.connector = write_connector(ground, server, &self.name, &extra)?;
        Ok(())
    }

    fn sql(&self, sql: &str) -> Result<String> {
        self.database.psql(sql)
    }

    /// Changes that the capture would have to deliver.
    fn insert(&self, from: u32) -> Result<()> {
        self.sql(&format!("INSERT INTO t SELECT i FROM generate_series({from}, {from} + 9) i")).map(|_| ())
    }

    fn start(&self, ground: &Ground, args: &[&str]) -> Result<Running> {
        let log = ground.logs.join(format!("{}.log", self.name));
        Running::start(&ground.binary, "capture", &self.connector, &log, args, &[])
    }

    fn catch_up(&self, ground: &Ground) -> Result<()> {
        let mut capture = self.start(ground, &["--endpos", "now"])?;
        let status = capture.wait(CATCH_UP)?;
        ensure!(
            status.success(),
            "the capture that should catch up ended with {status}:\n{}",
            capture.tail()
        );
        Ok(())
    }

    /// Starts a capture that streams.
    fn run_on(&self, ground: &Ground) -> Result<Running> {
        let mut capture = self.start(ground, &[])?;
        let active =
            format!("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{}' AND active", self.name);
        wait_until("the slot in use", CATCH_UP, || {
            if let Some(status) = capture.ended()? {
                bail!("the capture ended with {status}:\n{}", capture.tail());
            }
            Ok((self.sql(&active)? == "1").then_some(()))
        })?;
        Ok(capture)
    }

    /// Starts the capture and tells what it does.
    fn watch(&self, ground: &Ground) -> Result<Outcome> {
        watch(self.start(ground, &[])?, WATCH)
    }
}

/// A person restarts what stopped for a dependency, so no retry hides a stop: the budget is short.
const EXTRA: &[(&str, &str)] =
    &[("table.include.list", "public\\.t"), ("cdcd.retry.budget.ms", "5000"), ("slot.max.retries", "8")];

fn watch(mut capture: Running, limit: Duration) -> Result<Outcome> {
    let Ok(status) = capture.wait(limit) else { return Ok(Outcome::RunsOn) };
    let said = capture.said()?;
    let line = said.lines().rev().find(|line| line.starts_with("error: ")).unwrap_or_default();
    let name =
        line.split(|c: char| !(c.is_ascii_uppercase() || c == '_')).find(|word| word.starts_with("E_"));
    Ok(Outcome::Ended { code: status.code(), name: name.map(str::to_owned), line: line.to_owned() })
}

/// The end of WAL of a server.
fn wal_end(server: &Postgres) -> Result<String> {
    server.psql("postgres", "SELECT pg_current_wal_flush_lsn()")
}

/// Writes WAL that is not captured until the server's end is past an LSN.
fn grow_past(server: &Postgres, database: &str, lsn: &str) -> Result<()> {
    for _ in 0..100 {
        let past = server
            .psql("postgres", &format!("SELECT pg_current_wal_flush_lsn() > '{lsn}'::pg_lsn + 100000"))?;
        if past == "t" {
            return Ok(());
        }
        server.psql(database, "INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, 2000)")?;
    }
    Err(anyhow::anyhow!("the server's log does not grow past {lsn}")).context("writing")
}
