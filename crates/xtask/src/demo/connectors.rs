//! The connector files of the demo: pipeline A's as they are posted to Kafka Connect, apart from host, port,
//! password, account and key; and one of ours for a merged current-state table.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use cdcd_testkit::services::Postgres;
use serde_json::{Value, json};

/// Where the files are.
pub(super) struct Files {
    pub(super) source: PathBuf,
    pub(super) sink_landing: PathBuf,
    pub(super) sink_current: PathBuf,
}

/// `cdcd`, untouched by the shell's own database variables.
pub(super) fn command(binaries: &Path) -> Command {
    let mut command = Command::new(binaries.join("cdcd"));
    for variable in ["PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGSSLMODE"] {
        command.env_remove(variable);
    }
    command
}

/// A key pair for the demo's user, in the one-line form in which people paste it.
pub(crate) fn private_key() -> Result<String> {
    let made = Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        .output()
        .context("running openssl to make a key pair (apt-get install openssl)")?;
    ensure!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
    let pem = String::from_utf8(made.stdout).context("openssl printed no text")?;
    Ok(pem.lines().collect())
}

pub(super) fn write(dir: &Path, postgres: &Postgres, account: &str, key: &str) -> Result<Files> {
    let source = json!({
        "name": "flights",
        "config": {
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "name": "flights",
            "topic.prefix": "cdc",
            "database.hostname": postgres.host,
            "database.port": postgres.port.to_string(),
            "database.user": postgres.user,
            "database.password": postgres.password,
            "database.dbname": "flights",
            "database.sslmode": "disable",
            "plugin.name": "pgoutput"
        }
    });
    let landing = sink(
        "snowflake-test-connector",
        account,
        key,
        &[
            ("connector.class", "com.snowflake.kafka.connector.SnowflakeSinkConnector"),
            ("topics", "cdc.public.flights"),
            ("snowflake.topic2table.map", "cdc.public.flights.test_topic:flights"),
            ("value.converter.schemas.enable", "false"),
            ("errors.tolerance", "all"),
            ("errors.log.enable", "true"),
            ("errors.log.include.messages", "true"),
            ("snowflake.ingestion.method", "SNOWPIPE_STREAMING"),
        ],
    );
    let current = sink(
        "snowflake-current",
        account,
        key,
        &[
            ("connector.class", "com.snowflake.kafka.connector.SnowflakeStreamingSinkConnector"),
            ("topics", "cdc.public.flights_current"),
            ("value.converter.schemas.enable", "true"),
            ("cdcd.landing", "log"),
            ("cdcd.table.mode", "merge"),
            ("cdcd.merge.interval.ms", "1000"),
        ],
    );
    Ok(Files {
        source: file(dir, "source.json", &source)?,
        sink_landing: file(dir, "sink-landing.json", &landing)?,
        sink_current: file(dir, "sink-current.json", &current)?,
    })
}

fn sink(name: &str, account: &str, key: &str, more: &[(&str, &str)]) -> Value {
    let mut config = json!({
        "tasks.max": "1",
        "snowflake.url.name": account,
        "snowflake.user.name": "kafka_connector_user",
        "snowflake.private.key": key,
        "snowflake.database.name": "FLIGHTS",
        "snowflake.schema.name": "PUBLIC",
        "snowflake.role.name": "KAFKA_CONNECTOR_ROLE",
        "key.converter": "org.apache.kafka.connect.json.JsonConverter",
        "key.converter.schemas.enable": "false",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter"
    });
    if let Value::Object(config) = &mut config {
        config.extend(more.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))));
    }
    json!({ "name": name, "config": config })
}

fn file(dir: &Path, name: &str, content: &Value) -> Result<PathBuf> {
    let path = dir.join(name);
    std::fs::write(&path, format!("{content:#}\n")).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}
