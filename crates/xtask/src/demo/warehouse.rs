//! Questions to the emulated account, through its SQL API.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

pub(super) struct Warehouse {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    url: String,
}

/// Answer to pipeline A's latency query.
pub(super) struct LatencyAnswer {
    pub(super) rows: String,
    pub(super) average_ms: String,
}

impl Warehouse {
    pub(super) fn new(url: &str) -> Result<Self> {
        Ok(Warehouse {
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            client: reqwest::Client::new(),
            url: url.to_owned(),
        })
    }

    /// Rows of a query, every cell as text.
    pub(super) fn query(&self, statement: &str) -> Result<Vec<Vec<String>>> {
        self.runtime.block_on(async {
            let answer: Value = self
                .client
                .post(format!("{}/api/v2/statements", self.url))
                .bearer_auth("demo")
                .header("X-Snowflake-Authorization-Token-Type", "PROGRAMMATIC_ACCESS_TOKEN")
                .json(&json!({ "statement": statement, "database": "FLIGHTS", "schema": "PUBLIC" }))
                .send()
                .await
                .context("asking the emulator")?
                .json()
                .await
                .context("reading the emulator's answer")?;
            let Some(data) = answer["data"].as_array() else {
                bail!("{statement}: {}", answer["message"]);
            };
            let cell = |cell: &Value| cell.as_str().unwrap_or_default().to_owned();
            Ok(data.iter().map(|row| row.as_array().into_iter().flatten().map(cell).collect()).collect())
        })
    }

    /// Rows of a table; 0 if it does not exist yet.
    pub(super) fn count(&self, table: &str) -> Result<u64> {
        match self.query(&format!("SELECT COUNT(*) FROM {table}")) {
            Ok(rows) => rows
                .first()
                .and_then(|row| row.first()?.parse().ok())
                .with_context(|| format!("counting {table}")),
            Err(error) if error.to_string().contains("does not exist") => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Pipeline A's query, unchanged apart from the table's name.
    pub(super) fn latency_query(&self, table: &str) -> Result<LatencyAnswer> {
        let rows = self.query(&format!(
            "SELECT COUNT(*), AVG(DATEDIFF(millisecond, \
             TO_TIMESTAMP(((record_content:payload):after):inserted_at::string), \
             TO_TIMESTAMP((record_metadata:CreateTime)::string))) FROM {table}"
        ))?;
        let cell = |index: usize| rows.first().and_then(|row| row.get(index).cloned()).unwrap_or_default();
        let average_ms = cell(1).parse::<f64>().map_or_else(|_| cell(1), |average| format!("{average:.1}"));
        Ok(LatencyAnswer { rows: cell(0), average_ms })
    }
}
