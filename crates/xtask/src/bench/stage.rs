//! Real services for one bench, and connectors on them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use cdcd_testkit::services::{self, Database, Kafka, Postgres};
use serde_json::{Map, Value, json};

use super::Args;

/// Variables that would lead libpq's clients elsewhere.
const PG_VARIABLES: [&str; 5] = ["PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"];

/// A server and a database of the bench's own, a broker, and the program as users run it.
pub(super) struct Stage<'a> {
    pub(super) args: &'a Args,
    pub(super) postgres: Postgres,
    pub(super) kafka: Kafka,
    pub(super) database: Database,
    pub(super) cdcd: PathBuf,
}

impl<'a> Stage<'a> {
    pub(super) fn open(args: &'a Args) -> Result<Self> {
        eprintln!("bench: building cdcd with optimisations");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built =
            Command::new(cargo).args(["build", "--quiet", "--release", "--locked", "-p", "cdcd"]).status()?;
        ensure!(built.success(), "the build failed");
        let me = std::env::current_exe().context("finding this program")?;
        let target = me.ancestors().nth(2).context("finding the target directory")?;
        let postgres = services::postgres_cluster("bench", args.pg)?;
        let kafka = services::kafka()?;
        let database = postgres.fresh_database("bench")?;
        Ok(Stage { args, postgres, kafka, database, cdcd: target.join("release/cdcd") })
    }

    /// A program of PostgreSQL's own, of the server's major.
    pub(super) fn postgres_program(&self, name: &str) -> Result<PathBuf> {
        let path = PathBuf::from(format!("/usr/lib/postgresql/{}/bin/{name}", self.args.pg));
        ensure!(
            path.exists(),
            "{} is missing: the peer comes with the distribution's postgresql-client of this major",
            path.display()
        );
        Ok(path)
    }

    /// A connector as it would be posted to Kafka Connect, on the publication `bench`, without snapshot and schemas;
    /// `extra` comes on top, and what the command line sets above all.
    pub(super) fn connector(
        &self,
        name: &str,
        slot: &str,
        extra: &[(&str, &str)],
    ) -> Result<Map<String, Value>> {
        let port = self.postgres.port.to_string();
        let own = [
            ("connector.class", "io.debezium.connector.postgresql.PostgresConnector"),
            ("plugin.name", "pgoutput"),
            ("topic.prefix", name),
            ("slot.name", slot),
            ("publication.name", "bench"),
            ("publication.autocreate.mode", "disabled"),
            ("snapshot.mode", "no_data"),
            ("database.hostname", &self.postgres.host),
            ("database.port", &port),
            ("database.user", &self.postgres.user),
            ("database.password", &self.postgres.password),
            ("database.dbname", &self.database.name),
            ("key.converter", "org.apache.kafka.connect.json.JsonConverter"),
            ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
            ("key.converter.schemas.enable", "false"),
            ("value.converter.schemas.enable", "false"),
        ];
        let mut config: Map<String, Value> =
            own.iter().chain(extra).map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect();
        for pair in &self.args.set {
            let (key, value) = pair.split_once('=').with_context(|| format!("--set {pair}"))?;
            config.insert(key.to_owned(), Value::from(value));
        }
        Ok(config)
    }

    /// `cdcd capture` with such a connector.
    pub(super) fn capture(&self, name: &str, config: &Map<String, Value>, args: &[&str]) -> Result<Command> {
        let file = services::state_dir_for("bench")?.join(format!("{name}.json"));
        std::fs::write(&file, json!({"name": name, "config": config}).to_string())?;
        let mut command = Command::new(&self.cdcd);
        command.arg("capture").arg(file).args(args);
        command.args(["--bootstrap-servers", &self.kafka.bootstrap_servers]);
        for variable in PG_VARIABLES {
            command.env_remove(variable);
        }
        Ok(command)
    }
}

/// Versions and load, as they belong beside every figure.
pub(super) fn conditions(pg: u16) -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_ascii_whitespace().next().unwrap_or("?");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("PostgreSQL {pg}, {cores} cores, load average {load}")
}

/// Keeps a report beside the earlier ones.
pub(super) fn write_report(name: &str, report: &Value) -> Result<()> {
    std::fs::create_dir_all("target/bench")?;
    let path = format!("target/bench/{name}.json");
    std::fs::write(&path, format!("{report:#}\n")).context(path)
}
