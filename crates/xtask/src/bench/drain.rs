//! The backlog of one slot, drained by each contender through a copy of it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::measure::{self, Cost};
use super::peer::Debezium;
use super::stage::{self, Stage};
use super::{Args, Peer, tables};

/// A hundred changes a transaction: 60 inserts, 35 updates, 5 deletes.
fn load() -> String {
    format!(
        "CREATE PROCEDURE load(transactions bigint) LANGUAGE plpgsql AS $$
         BEGIN
             FOR i IN 0 .. transactions - 1 LOOP
                 INSERT INTO t SELECT {} FROM generate_series(i * 60, i * 60 + 59) j;
                 UPDATE t SET note = 'changed', n = n + 1 WHERE id BETWEEN i * 60 AND i * 60 + 34;
                 DELETE FROM t WHERE id BETWEEN i * 60 + 55 AND i * 60 + 59;
                 COMMIT;
             END LOOP;
         END $$;",
        tables::VALUES
    )
}

const SLOT: &str = "backlog";

/// What people set who want throughput.
const DEBEZIUM_TUNED: [(&str, &str); 5] = [
    ("max.batch.size", "8192"),
    ("max.queue.size", "32768"),
    ("producer.override.linger.ms", "50"),
    ("producer.override.batch.size", "524288"),
    ("producer.override.compression.type", "lz4"),
];

/// A stage with a backlog behind a slot.
pub(super) struct Backlog<'a> {
    pub(super) stage: Stage<'a>,
    end: String,
    recvlogical: PathBuf,
    debezium: Option<Debezium>,
}

#[derive(Debug, Clone, Copy)]
enum Contender {
    Recvlogical,
    Null,
    AtLeastOnce,
    ExactlyOnce,
    Debezium,
}

impl Contender {
    fn name(self) -> &'static str {
        match self {
            Contender::Recvlogical => "pg_recvlogical to nothing",
            Contender::Null => "cdcd to nothing",
            Contender::AtLeastOnce => "cdcd into Kafka, at least once",
            Contender::ExactlyOnce => "cdcd into Kafka, exactly once",
            Contender::Debezium => "Debezium into Kafka, tuned",
        }
    }
}

pub(super) fn run(args: &Args) -> Result<Value> {
    let backlog = Backlog::prepare(args)?;
    let mut all =
        vec![Contender::Recvlogical, Contender::Null, Contender::AtLeastOnce, Contender::ExactlyOnce];
    if args.against == Some(Peer::Debezium) {
        all.push(Contender::Debezium);
    }
    all.retain(|one| args.only.as_ref().is_none_or(|part| one.name().contains(part)));
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); all.len()];
    // In turn, so that a busy moment of the machine hits all alike.
    for run in 0..args.runs {
        for (contender, costs) in all.iter().zip(&mut costs) {
            let cost = backlog.drain(*contender, run)?;
            eprintln!("bench: {}: {:.0} events/s", contender.name(), args.changes as f64 / cost.seconds);
            costs.push(cost);
        }
    }
    let rows: Vec<(Contender, Cost)> =
        all.into_iter().zip(costs).filter_map(|(one, costs)| Some((one, measure::median(costs)?))).collect();
    report(args, &rows)
}

fn report(args: &Args, rows: &[(Contender, Cost)]) -> Result<Value> {
    let millions = args.changes as f64 / 1e6;
    let conditions = stage::conditions(args.pg);
    println!("{} changes of 100 a transaction, median of {} runs, {conditions}", args.changes, args.runs);
    println!(
        "{:<32}{:>10}{:>16}{:>22}{:>10}",
        "", "events/s", "CPU-s per M", "walsender CPU-s per M", "RSS MiB"
    );
    let mut contenders = Vec::new();
    for (contender, cost) in rows {
        let rate = args.changes as f64 / cost.seconds;
        let (cpu, server_cpu) = (cost.cpu / millions, cost.server_cpu / millions);
        println!("{:<32}{rate:>10.0}{cpu:>16.2}{server_cpu:>22.2}{:>10.0}", contender.name(), cost.rss_mib);
        contenders.push(json!({
            "name": contender.name(), "events_per_s": rate, "cpu_s_per_million": cpu,
            "walsender_cpu_s_per_million": server_cpu, "rss_mib": cost.rss_mib,
        }));
    }
    let report = json!({"changes": args.changes, "runs": args.runs, "conditions": conditions, "contenders": contenders});
    stage::write_report("drain", &report)?;
    Ok(report)
}

impl<'a> Backlog<'a> {
    pub(super) fn prepare(args: &'a Args) -> Result<Self> {
        let stage = Stage::open(args)?;
        let recvlogical = stage.postgres_program("pg_recvlogical")?;
        let debezium = match args.against {
            Some(Peer::Debezium) => Some(Debezium::open(&stage)?),
            None => None,
        };
        let database = &stage.database;
        database.psql(tables::ROWS)?;
        database.psql("CREATE PUBLICATION bench FOR TABLE t")?;
        database.psql(&format!("SELECT pg_create_logical_replication_slot('{SLOT}', 'pgoutput')"))?;
        database.psql(&load())?;
        eprintln!("bench: writing {} changes", args.changes);
        database.psql(&format!("CALL load({})", args.changes / 100))?;
        database.psql("CHECKPOINT")?;
        let end = database.psql("SELECT pg_current_wal_flush_lsn()")?;
        Ok(Backlog { stage, end, recvlogical, debezium })
    }

    /// One contender on a copy of the slot.
    fn drain(&self, contender: Contender, run: usize) -> Result<Cost> {
        let slot = format!("copy_{}_{run}", contender as usize);
        self.copy_slot(&slot)?;
        let mut command = match contender {
            Contender::Recvlogical => self.recvlogical(&slot),
            Contender::Null => self.capture(&slot, &["--output", "null"], &[])?,
            Contender::AtLeastOnce => self.capture(&slot, &[], &[("cdcd.delivery", "at-least-once")])?,
            Contender::ExactlyOnce => self.capture(&slot, &[], &[])?,
            Contender::Debezium => return self.debezium(&slot),
        };
        command.args(["--endpos", &self.end]);
        let cost = measure::run(command, &self.stage.postgres)?;
        self.drop_slot(&slot)?;
        Ok(cost)
    }

    pub(super) fn copy_slot(&self, slot: &str) -> Result<()> {
        let copy = format!("SELECT pg_copy_logical_replication_slot('{SLOT}', '{slot}')");
        self.stage.database.psql(&copy).map(drop)
    }

    pub(super) fn drop_slot(&self, slot: &str) -> Result<()> {
        self.stage.database.psql(&format!("SELECT pg_drop_replication_slot('{slot}')")).map(drop)
    }

    fn recvlogical(&self, slot: &str) -> Command {
        let mut command = Command::new(&self.recvlogical);
        command.args(["--start", "--no-loop", "--slot", slot, "--file", "/dev/null"]);
        command.args([
            "--dbname",
            &self.stage.database.url(),
            "-o",
            "proto_version=1",
            "-o",
            "publication_names=bench",
        ]);
        command
    }

    /// `cdcd capture` of this slot.
    pub(super) fn capture(&self, slot: &str, args: &[&str], extra: &[(&str, &str)]) -> Result<Command> {
        let name = format!("{}_{slot}", self.stage.database.name);
        let config = self.stage.connector(&name, slot, extra)?;
        self.stage.capture(&name, &config, args)
    }

    fn debezium(&self, slot: &str) -> Result<Cost> {
        let Some(debezium) = &self.debezium else { bail!("no Debezium was asked for") };
        let name = format!("{}_{slot}", self.stage.database.name);
        let config = self.stage.connector(&name, slot, &DEBEZIUM_TUNED)?;
        // A tombstone follows each of the five deletes in a hundred changes.
        debezium.drain(&self.stage, &name, &config, "public.t", self.stage.args.changes / 100 * 105)
    }
}
