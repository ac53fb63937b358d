//! The backlog of one slot, drained by each contender through a copy of it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use cdcd_testkit::services::{self, Database, Kafka, Postgres};
use serde_json::{Value, json};

use super::Args;
use super::measure::{self, Cost};

/// The table of the measured starting points: 14 columns, about 230 bytes a row.
const TABLE: &str = "
    CREATE TABLE t (id bigint PRIMARY KEY, a text, b text, c text, at timestamptz, until timestamptz, x double precision,
        y double precision, n numeric(12,2), m numeric(20,4), yes boolean, doc jsonb, k bigint, note text);";

/// A hundred changes a transaction: 60 inserts, 35 updates, 5 deletes.
const LOAD: &str = "
    CREATE PROCEDURE load(transactions bigint) LANGUAGE plpgsql AS $$
    BEGIN
        FOR i IN 0 .. transactions - 1 LOOP
            INSERT INTO t SELECT j, md5(j::text), 'some words that are not long', 'x' || j, now(), now(), j * 1.5, j / 3.0,
                j % 100000 + 0.25, j + 0.0001, j % 2 = 0, jsonb_build_object('k', j, 'v', 'text'), j * 7, 'note'
                FROM generate_series(i * 60, i * 60 + 59) j;
            UPDATE t SET note = 'changed', n = n + 1 WHERE id BETWEEN i * 60 AND i * 60 + 34;
            DELETE FROM t WHERE id BETWEEN i * 60 + 55 AND i * 60 + 59;
            COMMIT;
        END LOOP;
    END $$;";

const SLOT: &str = "backlog";

struct Stage<'a> {
    args: &'a Args,
    postgres: Postgres,
    kafka: Kafka,
    database: Database,
    end: String,
    cdcd: PathBuf,
    recvlogical: PathBuf,
}

#[derive(Debug, Clone, Copy)]
enum Contender {
    Recvlogical,
    Null,
    AtLeastOnce,
    ExactlyOnce,
}

impl Contender {
    fn name(self) -> &'static str {
        match self {
            Contender::Recvlogical => "pg_recvlogical to nothing",
            Contender::Null => "cdcd to nothing",
            Contender::AtLeastOnce => "cdcd into Kafka, at least once",
            Contender::ExactlyOnce => "cdcd into Kafka, exactly once",
        }
    }
}

pub(super) fn run(args: &Args) -> Result<()> {
    let stage = Stage::prepare(args)?;
    let all = [Contender::Recvlogical, Contender::Null, Contender::AtLeastOnce, Contender::ExactlyOnce];
    let chosen =
        all.into_iter().filter(|one| args.only.as_ref().is_none_or(|part| one.name().contains(part)));
    let chosen: Vec<Contender> = chosen.collect();
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); chosen.len()];
    // In turn, so that a busy moment of the machine hits all alike.
    for run in 0..args.runs {
        for (index, contender) in chosen.iter().enumerate() {
            let cost = stage.drain(*contender, run)?;
            eprintln!("bench: {}: {:.0} events/s", contender.name(), args.changes as f64 / cost.seconds);
            if let Some(costs) = costs.get_mut(index) {
                costs.push(cost);
            }
        }
    }
    let rows: Vec<(Contender, Cost)> = chosen
        .into_iter()
        .zip(costs)
        .filter_map(|(one, costs)| Some((one, measure::median(costs)?)))
        .collect();
    report(args, &rows)?;
    drop(stage.database);
    Ok(())
}

fn report(args: &Args, rows: &[(Contender, Cost)]) -> Result<()> {
    let millions = args.changes as f64 / 1e6;
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "{} changes of 100 a transaction, PostgreSQL {}, median of {} runs, load average {}",
        args.changes,
        args.pg,
        args.runs,
        load.split_ascii_whitespace().next().unwrap_or("?")
    );
    println!(
        "{:<32}{:>10}{:>16}{:>22}{:>10}",
        "", "events/s", "CPU-s per M", "walsender CPU-s per M", "RSS MiB"
    );
    for (contender, cost) in rows {
        println!(
            "{:<32}{:>10.0}{:>16.2}{:>22.2}{:>10.0}",
            contender.name(),
            args.changes as f64 / cost.seconds,
            cost.cpu / millions,
            cost.server_cpu / millions,
            cost.rss_mib
        );
    }
    let find =
        |wanted: &str| rows.iter().find(|(one, _)| one.name().contains(wanted)).map(|(_, cost)| cost.seconds);
    for (what, of, to) in [
        ("cdcd to nothing / pg_recvlogical", "cdcd to nothing", "pg_recvlogical"),
        ("exactly once / at least once", "exactly once", "at least once"),
    ] {
        if let (Some(of), Some(to)) = (find(of), find(to)) {
            println!("{what}: {:.2} times the rate", to / of);
        }
    }
    let json: Vec<Value> =
        rows.iter().map(|(contender, cost)| json!({"name": contender.name(), "cost": cost})).collect();
    std::fs::create_dir_all("target/bench")?;
    let report = json!({"bench": "drain", "changes": args.changes, "postgresql": args.pg, "load": load.trim(), "rows": json});
    std::fs::write("target/bench/drain.json", format!("{report:#}\n")).context("target/bench/drain.json")
}

impl<'a> Stage<'a> {
    fn prepare(args: &'a Args) -> Result<Self> {
        eprintln!("bench: building cdcd with optimisations");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built =
            Command::new(cargo).args(["build", "--quiet", "--release", "--locked", "-p", "cdcd"]).status()?;
        ensure!(built.success(), "the build failed");
        let me = std::env::current_exe().context("finding this program")?;
        let target = me.ancestors().nth(2).context("finding the target directory")?;
        let recvlogical = PathBuf::from(format!("/usr/lib/postgresql/{}/bin/pg_recvlogical", args.pg));
        ensure!(
            recvlogical.exists(),
            "{} is missing: the peer comes with the distribution's postgresql-client of this major",
            recvlogical.display()
        );
        let postgres = services::postgres_cluster("bench", args.pg)?;
        let kafka = services::kafka()?;
        let database = postgres.fresh_database("bench")?;
        database.psql(TABLE)?;
        database.psql("CREATE PUBLICATION bench FOR TABLE t")?;
        database.psql(&format!("SELECT pg_create_logical_replication_slot('{SLOT}', 'pgoutput')"))?;
        database.psql(LOAD)?;
        eprintln!("bench: writing {} changes", args.changes);
        database.psql(&format!("CALL load({})", args.changes / 100))?;
        database.psql("CHECKPOINT")?;
        let end = database.psql("SELECT pg_current_wal_flush_lsn()")?;
        Ok(Stage { args, postgres, kafka, database, end, cdcd: target.join("release/cdcd"), recvlogical })
    }

    /// One contender on a copy of the slot.
    fn drain(&self, contender: Contender, run: usize) -> Result<Cost> {
        let slot = format!("copy_{}_{run}", contender as usize);
        self.database.psql(&format!("SELECT pg_copy_logical_replication_slot('{SLOT}', '{slot}')"))?;
        let command = match contender {
            Contender::Recvlogical => self.recvlogical(&slot),
            Contender::Null => self.capture(&slot, &["--output", "null"], &[])?,
            Contender::AtLeastOnce => self.capture(&slot, &[], &[("cdcd.delivery", "at-least-once")])?,
            Contender::ExactlyOnce => self.capture(&slot, &[], &[])?,
        };
        let cost = measure::run(command, &self.postgres)?;
        self.database.psql(&format!("SELECT pg_drop_replication_slot('{slot}')"))?;
        Ok(cost)
    }

    fn recvlogical(&self, slot: &str) -> Command {
        let mut command = Command::new(&self.recvlogical);
        command.args(["--start", "--no-loop", "--slot", slot, "--endpos", &self.end, "--file", "/dev/null"]);
        command.args([
            "--dbname",
            &self.database.url(),
            "-o",
            "proto_version=1",
            "-o",
            "publication_names=bench",
        ]);
        command
    }

    fn capture(&self, slot: &str, args: &[&str], extra: &[(&str, &str)]) -> Result<Command> {
        let name = format!("{}_{slot}", self.database.name);
        let port = self.postgres.port.to_string();
        let own = [
            ("connector.class", "io.debezium.connector.postgresql.PostgresConnector"),
            ("plugin.name", "pgoutput"),
            ("topic.prefix", &name),
            ("slot.name", slot),
            ("publication.name", "bench"),
            ("publication.autocreate.mode", "disabled"),
            ("snapshot.mode", "no_data"),
            ("database.hostname", &self.postgres.host),
            ("database.port", &port),
            ("database.user", &self.postgres.user),
            ("database.password", &self.postgres.password),
            ("database.dbname", &self.database.name),
            ("key.converter.schemas.enable", "false"),
            ("value.converter.schemas.enable", "false"),
        ];
        let mut config: serde_json::Map<String, Value> =
            own.iter().chain(extra).map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect();
        for pair in &self.args.set {
            let (key, value) = pair.split_once('=').with_context(|| format!("--set {pair}"))?;
            config.insert(key.to_owned(), Value::from(value));
        }
        let folder = services::state_dir_for("bench")?;
        let file = folder.join(format!("{name}.json"));
        std::fs::write(&file, json!({"name": name, "config": config}).to_string())?;
        let mut command = Command::new(&self.cdcd);
        command.arg("capture").arg(file).args(["--endpos", &self.end]).args(args);
        command.args(["--bootstrap-servers", &self.kafka.bootstrap_servers]);
        for variable in ["PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"] {
            command.env_remove(variable);
        }
        Ok(command)
    }
}
