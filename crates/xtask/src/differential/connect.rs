//! Kafka Connect's REST API, as much of it as a case needs.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use cdcd_testkit::services::Connect;
use serde_json::{Map, Value, json};

/// How long the worker may refuse because it is busy with another change (409), or not up yet.
const BUSY_LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Worker {
    url: String,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Worker {
    pub(crate) fn new(connect: &Connect) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = reqwest::Client::builder().timeout(Duration::from_secs(90)).build()?;
        Ok(Worker { url: format!("{}/connectors", connect.url), client, runtime })
    }

    pub(crate) fn start(&self, name: &str, config: &Map<String, Value>) -> Result<()> {
        let body = json!({ "name": name, "config": config });
        let deadline = Instant::now() + BUSY_LIMIT;
        loop {
            let (status, text) = self.runtime.block_on(async {
                let response = self.client.post(&self.url).json(&body).send().await?;
                Ok::<_, reqwest::Error>((response.status().as_u16(), response.text().await?))
            })?;
            match status {
                200..300 => return Ok(()),
                409 | 404 | 503 if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(200));
                }
                _ => bail!("the worker refuses connector {name}: {status} {text}"),
            }
        }
    }

    /// Why connector or task failed, or `None` while they have not.
    pub(crate) fn failure(&self, name: &str) -> Result<Option<String>> {
        let url = format!("{}/{name}/status", self.url);
        let status: Value = self.runtime.block_on(async {
            let response = self.client.get(&url).send().await?;
            if response.status().as_u16() == 404 { Ok(Value::Null) } else { response.json().await }
        })?;
        let tasks = status.get("tasks").and_then(Value::as_array).cloned().unwrap_or_default();
        let parts = std::iter::once(status.get("connector").cloned().unwrap_or_default()).chain(tasks);
        for part in parts {
            if part.get("state").and_then(Value::as_str) == Some("FAILED") {
                let trace = part.get("trace").and_then(Value::as_str).unwrap_or("no trace");
                return Ok(Some(causes(trace)));
            }
        }
        Ok(None)
    }

    pub(crate) fn stop(&self, name: &str) -> Result<()> {
        let url = format!("{}/{name}", self.url);
        let deadline = Instant::now() + BUSY_LIMIT;
        loop {
            let status = self.runtime.block_on(async { self.client.delete(&url).send().await })?.status();
            match status.as_u16() {
                404 | 200..300 => return Ok(()),
                _ => ensure!(Instant::now() < deadline, "the worker does not delete {name}: {status}"),
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// The messages of a Java stack trace, outermost first.
fn causes(trace: &str) -> String {
    let lines: Vec<&str> = trace
        .lines()
        .enumerate()
        .filter(|(index, line)| *index == 0 || line.starts_with("Caused by"))
        .map(|(_, line)| line)
        .collect();
    lines.join(" <- ")
}

/// The connector file of one side.
pub(super) fn connector(pairs: &[(String, String)]) -> Map<String, Value> {
    pairs.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect()
}

/// The posted form, for a file.
pub(super) fn posted(name: &str, config: &Map<String, Value>) -> Result<String> {
    serde_json::to_string_pretty(&json!({ "name": name, "config": config })).context("writing the connector")
}
