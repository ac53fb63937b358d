//! The emulated account: a process of its own, questions to it, and its control plane.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use cdcd_testkit::{services, wait_until};
use serde_json::{Value, json};

use super::super::arena::{Arena, Ground, say, write_file};
use super::super::random::Random;
use crate::demo::{Process, private_key};

/// Commits take this long, so that there is something to lose.
const COMMIT_DELAY: &str = r#"{"commit_delay_ms": 300, "commit_jitter_ms": 400}"#;

pub(super) struct Account {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    url: String,
    key: String,
    _emulator: Process,
}

impl Account {
    pub(super) fn start(ground: &Ground) -> Result<Self> {
        let engine = services::postgres_cluster("emulator", ground.options.pg)?;
        engine.psql("postgres", "CREATE DATABASE emulator")?;
        // Both were built into the same folder.
        let binary = ground.binary.with_file_name("snowflake-emulator");
        let mut command = Command::new(binary);
        command.args(["--listen", "127.0.0.1:0", "--database", "CDC"]);
        command.env("CDCD_EMULATOR_ENGINE", engine.url("emulator"));
        let emulator = Process::start("emulator", command, &ground.logs)?;
        let url =
            wait_until("the emulator's address", Duration::from_secs(20), || emulator.first_line("http://"))?;
        say(&format!("emulator at {url}"));
        let account = Account {
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            client: reqwest::Client::new(),
            url,
            key: private_key()?,
            _emulator: emulator,
        };
        account.control("settings", COMMIT_DELAY)?;
        Ok(account)
    }

    /// A sink's file: logs and merged tables.
    pub(super) fn sink_file(&self, arena: &Arena, name: &str, more: &[(&str, &str)]) -> Result<PathBuf> {
        let topics = ["a", "b", "c"].map(|table| format!("{}.public.{table}", arena.name)).join(",");
        let mut config = json!({
            "name": format!("{}-sink", arena.name),
            "connector.class": "com.snowflake.kafka.connector.SnowflakeStreamingSinkConnector",
            "topics": topics,
            "bootstrap.servers": arena.ground.cluster.kafka.bootstrap_servers,
            "snowflake.url.name": self.url,
            "snowflake.user.name": "loader",
            "snowflake.private.key": self.key,
            "snowflake.database.name": "CDC",
            "snowflake.schema.name": "PUBLIC",
            "key.converter.schemas.enable": "false",
            "value.converter.schemas.enable": "true",
            "cdcd.landing": "log",
            "cdcd.table.mode": "merge",
            "cdcd.merge.interval.ms": "500"
        });
        if let Value::Object(config) = &mut config {
            config.extend(more.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))));
        }
        write_file(&arena.ground, name, &config)
    }

    /// Posts to the control plane.
    pub(super) fn control(&self, verb: &str, body: &str) -> Result<Value> {
        let request = self.client.post(format!("{}/_ctl/{verb}", self.url));
        self.ask(request.header("Content-Type", "application/json").body(body.to_owned()))
    }

    /// Another client opens the channels of one partition, of whatever table.
    pub(super) fn steal(&self, random: &mut Random) -> Result<usize> {
        let body = json!({ "channel": format!("_0_{}", random.below(12)) }).to_string();
        let answer = self.control("steal", &body)?;
        Ok(answer["stolen"].as_array().map_or(0, Vec::len))
    }

    /// How often the fault rules struck.
    pub(super) fn struck(&self) -> Result<u64> {
        let rules = self.ask(self.client.get(format!("{}/_ctl/faults", self.url)))?;
        Ok(rules.as_array().into_iter().flatten().filter_map(|rule| rule["struck"].as_u64()).sum())
    }

    /// No faults any more.
    pub(super) fn forgive(&self) -> Result<()> {
        self.ask(self.client.delete(format!("{}/_ctl/faults", self.url))).map(|_| ())
    }

    /// Rows of the three logs.
    pub(super) fn landed(&self) -> Result<u64> {
        let state = self.ask(self.client.get(format!("{}/_ctl/state", self.url)))?;
        let tables = state["tables"].as_object().into_iter().flatten();
        Ok(tables
            .filter(|(name, _)| name.ends_with("__LOG"))
            .filter_map(|(_, table)| table["rows"].as_u64())
            .sum())
    }

    /// The one number that a query answers.
    pub(super) fn number(&self, statement: &str) -> Result<u64> {
        let rows = self.query(statement)?;
        let cell = rows.first().and_then(|row| row.first()).with_context(|| statement.to_owned())?;
        cell.parse().with_context(|| format!("{statement}: {cell}"))
    }

    /// Rows of a query, every cell as text.
    pub(super) fn query(&self, statement: &str) -> Result<Vec<Vec<String>>> {
        let request = self
            .client
            .post(format!("{}/api/v2/statements", self.url))
            .bearer_auth("chaos")
            .header("X-Snowflake-Authorization-Token-Type", "PROGRAMMATIC_ACCESS_TOKEN")
            .json(&json!({ "statement": statement, "database": "CDC", "schema": "PUBLIC" }));
        let answer = self.ask(request)?;
        let Some(data) = answer["data"].as_array() else { bail!("{statement}: {answer}") };
        let cell = |cell: &Value| cell.as_str().unwrap_or_default().to_owned();
        Ok(data.iter().map(|row| row.as_array().into_iter().flatten().map(cell).collect()).collect())
    }

    fn ask(&self, request: reqwest::RequestBuilder) -> Result<Value> {
        self.runtime.block_on(async {
            let response = request.send().await.context("asking the emulator")?;
            let status = response.status();
            let answer = response.text().await.context("reading the emulator's answer")?;
            ensure!(status.is_success(), "the emulator answered {status}: {answer}");
            serde_json::from_str(&answer).with_context(|| answer)
        })
    }
}
