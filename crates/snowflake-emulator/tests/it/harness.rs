//! An emulator with a database of its own, and a client that speaks to it as cdcd would.

use std::time::{Duration, Instant};

use cdcd_snowflake_emulator::settings::Settings;
use cdcd_snowflake_emulator::streaming::{BinaryFormat, Mode};
use cdcd_snowflake_emulator::{Config, Emulator};
use cdcd_testkit::services::{self, Database};
use serde_json::{Value, json};

/// Every wait in these tests ends after this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// An emulator, its engine's database, and a client.
pub(crate) struct Fixture {
    pub(crate) emulator: Option<Emulator>,
    pub(crate) config: Config,
    pub(crate) http: reqwest::Client,
    _database: Option<Database>,
}

/// A reply: status and body.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }

    pub(crate) fn code(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }
}

/// A new database of a PostgreSQL cluster that is the emulator's own.
fn engine() -> (String, Database) {
    let cluster = services::postgres_cluster("emulator", 15).expect("PostgreSQL 15 for the emulator");
    let database = cluster.fresh_database("emulator").expect("a database");
    (database.url(), database)
}

pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Fixture {
    let (url, database) = tokio::task::spawn_blocking(engine).await.expect("the engine starts");
    let mut config = Config {
        listen: "127.0.0.1:0".parse().expect("an address"),
        tls: None,
        engine: url,
        mode: Mode::Store,
        binary: BinaryFormat::Hex,
        databases: vec!["DB1".to_owned()],
        settings: Settings { commit_delay_ms: 20, ..Settings::default() },
    };
    change(&mut config);
    let emulator = Emulator::start(config.clone()).await.expect("the emulator starts");
    let http = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");
    Fixture { emulator: Some(emulator), config, http, _database: Some(database) }
}

pub(crate) async fn start() -> Fixture {
    start_with(|_| {}).await
}

impl Fixture {
    pub(crate) fn url(&self, path: &str) -> String {
        let emulator = self.emulator.as_ref().expect("the emulator runs");
        format!("http://{}{path}", emulator.http)
    }

    /// Ends the emulator as a crash does and starts another on the same engine.
    pub(crate) async fn crash_and_restart(&mut self) {
        self.emulator.take().expect("the emulator runs").kill();
        self.emulator = Some(Emulator::start(self.config.clone()).await.expect("the emulator starts again"));
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let request = request
            .header("Authorization", "Bearer test")
            .header("X-Snowflake-Authorization-Token-Type", "PROGRAMMATIC_ACCESS_TOKEN");
        let response = request.send().await.expect("a reply");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Reply { status, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(self.http.get(self.url(path))).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(
            self.http.post(self.url(path)).header("Content-Type", "application/json").body(body.to_string()),
        )
        .await
    }

    /// One statement by the SQL API in DB1.PUBLIC.
    pub(crate) async fn sql(&self, statement: &str) -> Reply {
        let body = json!({"statement": statement, "database": "DB1", "schema": "PUBLIC"});
        self.post("/api/v2/statements", &body).await
    }

    /// The rows of a statement that must succeed.
    pub(crate) async fn rows(&self, statement: &str) -> Value {
        let reply = self.sql(statement).await;
        assert_eq!(reply.status, 200, "{statement}\n{}", reply.body);
        reply.body["data"].clone()
    }

    pub(crate) async fn open(&self, table: &str, channel: &str, body: Value) -> Reply {
        let path =
            format!("/v2/streaming/databases/DB1/schemas/PUBLIC/pipes/{table}-STREAMING/channels/{channel}");
        self.send(self.http.put(self.url(&path)).body(body.to_string())).await
    }

    pub(crate) async fn append(
        &self,
        table: &str,
        channel: &str,
        token: &str,
        offset: &str,
        rows: &str,
    ) -> Reply {
        let path = format!(
            "/v2/streaming/data/databases/DB1/schemas/PUBLIC/pipes/{table}-STREAMING/channels/{channel}/rows\
             ?continuationToken={token}&startOffsetToken={offset}&endOffsetToken={offset}"
        );
        self.send(self.http.post(self.url(&path)).body(rows.to_owned())).await
    }

    pub(crate) async fn statuses(&self, table: &str, channels: &[&str]) -> Reply {
        let path =
            format!("/v2/streaming/databases/DB1/schemas/PUBLIC/pipes/{table}-STREAMING:bulk-channel-status");
        self.post(&path, &json!({"channel_names": channels})).await
    }

    pub(crate) async fn status(&self, table: &str, channel: &str) -> Value {
        self.statuses(table, &[channel]).await.ok()["channel_statuses"][channel].clone()
    }

    /// Waits until a channel's committed token is `token`.
    pub(crate) async fn committed(&self, table: &str, channel: &str, token: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status(table, channel).await;
            if status["last_committed_offset_token"] == *token {
                return status;
            }
            assert!(Instant::now() < deadline, "token {token} was not committed: {status}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

pub(crate) fn token(reply: &Value) -> String {
    reply["next_continuation_token"].as_str().unwrap_or_else(|| panic!("no token in {reply}")).to_owned()
}
