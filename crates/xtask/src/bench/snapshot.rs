//! A whole table by its snapshot, beside COPY by as many connections.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::measure::{self, Cost};
use super::stage::{self, Stage};
use super::{Args, tables};

/// Sessions of the parallel contenders.
const SESSIONS: u64 = 2;

#[derive(Debug, Clone, Copy)]
enum Contender {
    Copy { format: &'static str, sessions: u64 },
    Null { sessions: u64 },
    Kafka { sessions: u64 },
}

const CONTENDERS: [Contender; 6] = [
    Contender::Copy { format: "text", sessions: 1 },
    Contender::Copy { format: "text", sessions: SESSIONS },
    Contender::Copy { format: "binary", sessions: SESSIONS },
    Contender::Null { sessions: 1 },
    Contender::Null { sessions: SESSIONS },
    Contender::Kafka { sessions: SESSIONS },
];

impl Contender {
    fn name(self) -> String {
        match self {
            Contender::Copy { format, sessions } => format!("COPY {format}, {sessions} to nothing"),
            Contender::Null { sessions } => format!("cdcd, {sessions} to nothing"),
            Contender::Kafka { sessions } => format!("cdcd, {sessions} into Kafka"),
        }
    }
}

pub(super) fn run(args: &Args) -> Result<Value> {
    let stage = Stage::open(args)?;
    stage.database.psql(tables::ROWS)?;
    stage.database.psql("CREATE PUBLICATION bench FOR TABLE t")?;
    eprintln!("bench: writing {} rows", args.changes);
    stage.database.psql(&tables::insert(1, args.changes))?;
    stage.database.psql("VACUUM (ANALYZE, FREEZE) t")?;
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); CONTENDERS.len()];
    for run in 0..args.runs {
        for (contender, costs) in CONTENDERS.into_iter().zip(&mut costs) {
            if args.only.as_ref().is_some_and(|part| !contender.name().contains(part)) {
                continue;
            }
            let cost = read(&stage, contender, run)?;
            eprintln!("bench: {}: {:.0} rows/s", contender.name(), args.changes as f64 / cost.seconds);
            costs.push(cost);
        }
    }
    let millions = args.changes as f64 / 1e6;
    let conditions = stage::conditions(args.pg);
    println!("{} rows of 14 columns, median of {} runs, {conditions}", args.changes, args.runs);
    println!("{:<28}{:>10}{:>14}{:>20}{:>10}", "", "rows/s", "CPU-s per M", "server CPU-s per M", "RSS MiB");
    let mut contenders = Vec::new();
    for (contender, costs) in CONTENDERS.into_iter().zip(costs) {
        let Some(cost) = measure::median(costs) else { continue };
        let rate = args.changes as f64 / cost.seconds;
        let (cpu, server_cpu) = (cost.cpu / millions, cost.server_cpu / millions);
        let name = contender.name();
        println!("{name:<28}{rate:>10.0}{cpu:>14.2}{server_cpu:>20.2}{:>10.0}", cost.rss_mib);
        contenders.push(json!({
            "name": name, "rows_per_s": rate, "cpu_s_per_million": cpu, "server_cpu_s_per_million": server_cpu,
            "rss_mib": cost.rss_mib,
        }));
    }
    let report =
        json!({"rows": args.changes, "runs": args.runs, "conditions": conditions, "contenders": contenders});
    stage::write_report("snapshot", &report)?;
    Ok(report)
}

fn read(stage: &Stage<'_>, contender: Contender, run: usize) -> Result<Cost> {
    let command = match contender {
        Contender::Copy { format, sessions } => copy(stage, format, sessions)?,
        Contender::Null { sessions } => capture(stage, sessions, run, &["--output", "null"])?,
        Contender::Kafka { sessions } => capture(stage, sessions, run, &[])?,
    };
    let cost = measure::run(command, &stage.postgres)?;
    stage.database.psql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")?;
    Ok(cost)
}

/// Each session reads an equal range of the key.
fn copy(stage: &Stage<'_>, format: &str, sessions: u64) -> Result<Command> {
    let psql = stage.postgres.psql_command(&stage.database.name)?;
    let mut script = String::new();
    let share = stage.args.changes.div_ceil(sessions);
    for session in 0..sessions {
        let (above, upto) = (session * share, (session + 1) * share);
        let copy =
            format!("COPY (SELECT * FROM t WHERE id > {above} AND id <= {upto}) TO STDOUT (FORMAT {format})");
        script.push_str(&format!("\"$@\" -c '{copy}' & "));
    }
    script.push_str("wait");
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh"]).arg(psql.get_program()).args(psql.get_args());
    command.envs(psql.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Ok(command)
}

fn capture(stage: &Stage<'_>, sessions: u64, run: usize, args: &[&str]) -> Result<Command> {
    let name = format!("{}_{sessions}_{run}_{}", stage.database.name, args.len());
    let sessions = sessions.to_string();
    let extra = [("snapshot.mode", "initial_only"), ("snapshot.max.threads", sessions.as_str())];
    let config = stage.connector(&name, &format!("{name}_slot"), &extra)?;
    stage.capture(&name, &config, args).context("the capture's command")
}
