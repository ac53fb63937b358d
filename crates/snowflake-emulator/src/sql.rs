//! The SQL surface: statements are read, rendered for the engine, run, and answered as the SQL API v2 answers.

mod apply;
mod ddl;
mod declared;
mod execute;
pub(crate) mod functions;
mod reader;
mod render;
mod result;
mod session;
mod show;
mod statements;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;
use tokio::sync::watch;
use uuid::Uuid;

use crate::account::Account;
use crate::engine::Engine;
use crate::error::SqlError;
use crate::streaming::Registry;

pub use execute::RESULT_BYTES_MAX;
pub(crate) use execute::{RunOptions, Runner};
pub use render::Binding;
pub(crate) use result::ResultSet;
pub(crate) use session::Session;
pub(crate) use statements::router;

/// Finished statements whose results are kept for GET and for retries.
pub const STATEMENTS_KEPT_MAX: usize = 1_000;

/// How long a finished statement is kept; Snowflake keeps results for a day.
const STATEMENT_LIFE: Duration = Duration::from_secs(86_400);

/// How often a cancel is sent to the engine, and the pause between two.
const CANCEL_ATTEMPTS_MAX: u32 = 40;
const CANCEL_PAUSE: Duration = Duration::from_millis(50);

/// All statements of the account.
pub(crate) struct Service {
    engine: Engine,
    registry: Arc<Registry>,
    account: Arc<Account>,
    statements: Mutex<HashMap<Uuid, Entry>>,
    requests: Mutex<HashMap<Uuid, Uuid>>,
    /// Databases that exist from the start.
    databases: Vec<String>,
}

/// A submitted statement.
#[derive(Clone)]
struct Entry {
    submitted: Instant,
    outcome: watch::Receiver<Option<Outcome>>,
    cancel: Arc<tokio::sync::Mutex<Option<tokio_postgres::CancelToken>>>,
}

/// What became of a submission.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// One result.
    Done(Arc<ResultSet>),
    /// Several statements: their handles, each of which has its result.
    Many(Vec<Uuid>),
    /// It failed.
    Failed(SqlError),
}

/// What is submitted.
#[derive(Debug, Clone)]
pub(crate) struct Submission {
    pub(crate) text: String,
    pub(crate) session: Session,
    pub(crate) options: RunOptions,
    /// How many statements the text must have; None for any number.
    pub(crate) statement_count: Option<usize>,
    pub(crate) request_id: Option<Uuid>,
    /// Whether an earlier submission with the same request id is to be found rather than run again.
    pub(crate) retry: bool,
}

impl Service {
    pub(crate) fn new(
        engine: Engine,
        registry: Arc<Registry>,
        account: Arc<Account>,
        databases: &[String],
    ) -> Arc<Service> {
        Arc::new(Service {
            engine,
            registry,
            account,
            statements: Mutex::new(HashMap::new()),
            requests: Mutex::new(HashMap::new()),
            databases: databases.iter().map(|name| name.to_uppercase()).collect(),
        })
    }

    /// Makes the databases of the command line and reads the stored users' keys.
    pub(crate) async fn start(&self) -> anyhow::Result<()> {
        let mut client = self.engine.client().await.context("connecting to the engine")?;
        let tx = client.transaction().await.context("making databases")?;
        for database in &self.databases {
            apply::create_database(&*tx, database, true, false)
                .await
                .with_context(|| format!("making the database {database} (--database)"))?;
        }
        tx.commit().await.context("making databases")?;
        let users = client
            .query(
                "SELECT name, properties ->> 'RSA_PUBLIC_KEY', properties ->> 'RSA_PUBLIC_KEY_2' FROM _emulator.objects WHERE kind = 'USER'",
                &[],
            )
            .await
            .context("reading users")?;
        for user in &users {
            let keys: Vec<String> =
                [user.get::<_, Option<String>>(1), user.get(2)].into_iter().flatten().collect();
            if !keys.is_empty() {
                self.account.register(&user.get::<_, String>(0), &keys)?;
            }
        }
        Ok(())
    }

    /// Drops every database, user and record, and makes the databases of the command line again.
    pub(crate) async fn erase(&self) -> Result<(), SqlError> {
        let mut client = self.engine.client().await?;
        let tx = client.transaction().await?;
        let databases = tx.query("SELECT name FROM _emulator.databases", &[]).await?;
        for row in &databases {
            apply::drop_database(&*tx, row.get(0)).await?;
        }
        tx.batch_execute(
            "TRUNCATE _emulator.channels, _emulator.error_rows, _emulator.requests, _emulator.grants, _emulator.relations;
             DELETE FROM _emulator.objects WHERE kind <> 'SECRET'",
        )
        .await?;
        for database in &self.databases {
            apply::create_database(&*tx, database, true, false).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Takes a submission; it runs on a task of its own, whether or not somebody waits.
    pub(crate) async fn submit(self: &Arc<Self>, submission: Submission) -> Result<Uuid, SqlError> {
        if let (Some(request), true) = (submission.request_id, submission.retry)
            && let Some(handle) = self.find_request(request).await?
        {
            return Ok(handle);
        }
        let handle = Uuid::now_v7();
        let (done, outcome) = watch::channel(None);
        let entry = Entry { submitted: Instant::now(), outcome, cancel: Arc::default() };
        self.keep(handle, entry.clone());
        if let Some(request) = submission.request_id {
            self.requests.lock().unwrap_or_else(PoisonError::into_inner).insert(request, handle);
        }
        let service = self.clone();
        tokio::spawn(async move {
            let outcome = service.run(handle, submission, &entry).await.unwrap_or_else(Outcome::Failed);
            done.send_replace(Some(outcome));
        });
        Ok(handle)
    }

    /// The outcome of a statement: waits at most `patience`. The outer None: no such statement; the inner: it still runs.
    pub(crate) async fn outcome(&self, handle: Uuid, patience: Duration) -> Option<Option<Outcome>> {
        let mut receiver = {
            let statements = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
            statements.get(&handle)?.outcome.clone()
        };
        let waited = tokio::time::timeout(patience, receiver.wait_for(Option::is_some)).await;
        match waited {
            Ok(Ok(outcome)) => Some(outcome.clone()),
            Ok(Err(_)) => {
                Some(Some(Outcome::Failed(SqlError::new("000603", "58000", "the statement's task ended"))))
            }
            Err(_) => Some(None),
        }
    }

    /// Cancels a statement that runs; false when there is no such statement.
    pub(crate) async fn cancel(&self, handle: Uuid) -> bool {
        let entry = self.statements.lock().unwrap_or_else(PoisonError::into_inner).get(&handle).cloned();
        let Some(entry) = entry else { return false };
        // a cancel that falls between two steps of the statement is lost on the engine, so it is sent until it has struck
        for _ in 0..CANCEL_ATTEMPTS_MAX {
            if let Some(token) = entry.cancel.lock().await.as_ref() {
                let _ = token.cancel_query(tokio_postgres::NoTls).await;
            }
            let mut outcome = entry.outcome.clone();
            if tokio::time::timeout(CANCEL_PAUSE, outcome.wait_for(Option::is_some)).await.is_ok() {
                break;
            }
        }
        true
    }

    /// Forgets all statements.
    pub(crate) fn forget(&self) {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// A session on a connection of its own, for the driver protocol.
    pub(crate) async fn runner(&self, session: Session) -> Result<Runner, SqlError> {
        Ok(Runner::new(self.engine.client().await?, session, self.account.clone()))
    }

    /// Cuts a text into statements.
    pub(crate) fn split(&self, text: &str) -> Result<Vec<reader::Source>, SqlError> {
        let sources = reader::split(text)?;
        if sources.is_empty() {
            return Err(SqlError::new("000900", "42601", "SQL compilation error:\nEmpty SQL Statement."));
        }
        Ok(sources)
    }

    /// Runs one statement of a session and looks after the channels if it was DDL.
    pub(crate) async fn run_one(
        &self,
        runner: &mut Runner,
        source: &reader::Source,
        options: &RunOptions,
    ) -> Result<ResultSet, SqlError> {
        let statement = execute::read(&runner.session, source)?;
        let result = runner.run(&statement, options).await?;
        if apply::may_invalidate_pipes(&statement) {
            self.registry.sweep_invalid().await?;
        }
        Ok(result)
    }

    async fn run(&self, handle: Uuid, submission: Submission, entry: &Entry) -> Result<Outcome, SqlError> {
        let sources = self.split(&submission.text)?;
        let wanted = submission.statement_count;
        if wanted.is_some_and(|wanted| wanted != sources.len()) {
            return Err(SqlError::new(
                "000008",
                "0A000",
                format!(
                    "Actual statement count {} did not match the desired statement count {}.",
                    sources.len(),
                    wanted.unwrap_or_default()
                ),
            ));
        }
        let mut runner = self.runner(submission.session.clone()).await?;
        *entry.cancel.lock().await = Some(runner.cancel_token());
        let outcome = if let [source] = sources.as_slice() {
            let options = RunOptions {
                ledger: submission.request_id.map(|request| (request, handle)),
                ..submission.options
            };
            self.run_one(&mut runner, source, &options).await.map(|result| Outcome::Done(Arc::new(result)))
        } else {
            self.run_many(&mut runner, &sources, &submission.options).await
        };
        *entry.cancel.lock().await = None;
        runner.close().await;
        outcome
    }

    /// One session, one statement after the other; the first failure ends it.
    async fn run_many(
        &self,
        runner: &mut Runner,
        sources: &[reader::Source],
        options: &RunOptions,
    ) -> Result<Outcome, SqlError> {
        if !options.bindings.is_empty() {
            return Err(SqlError::unsupported("bindings with several statements, as the SQL API has it"));
        }
        let mut handles = Vec::with_capacity(sources.len());
        for source in sources {
            let result = self.run_one(runner, source, options).await?;
            let handle = Uuid::now_v7();
            let (_, outcome) = watch::channel(Some(Outcome::Done(Arc::new(result))));
            self.keep(handle, Entry { submitted: Instant::now(), outcome, cancel: Arc::default() });
            handles.push(handle);
        }
        Ok(Outcome::Many(handles))
    }

    /// The handle of an earlier submission: of this run, or of an earlier one whose effect is in the engine.
    async fn find_request(&self, request: Uuid) -> Result<Option<Uuid>, SqlError> {
        let known = self.requests.lock().unwrap_or_else(PoisonError::into_inner).get(&request).copied();
        if known.is_some() {
            return Ok(known);
        }
        let client = self.engine.client().await?;
        let row = client
            .query_opt(
                "SELECT handle::text, answer FROM _emulator.requests WHERE request_id = $1::text::uuid",
                &[&request.to_string()],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let stored =
            |what: String| SqlError::new("000603", "58000", format!("a stored answer does not read: {what}"));
        let handle = Uuid::parse_str(row.get(0)).map_err(|error| stored(error.to_string()))?;
        let result: ResultSet =
            serde_json::from_str(row.get(1)).map_err(|error| stored(error.to_string()))?;
        let (_, outcome) = watch::channel(Some(Outcome::Done(Arc::new(result))));
        self.keep(handle, Entry { submitted: Instant::now(), outcome, cancel: Arc::default() });
        Ok(Some(handle))
    }

    fn keep(&self, handle: Uuid, entry: Entry) {
        let mut statements = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
        if statements.len() >= STATEMENTS_KEPT_MAX {
            statements.retain(|_, entry| {
                entry.submitted.elapsed() < STATEMENT_LIFE || entry.outcome.borrow().is_none()
            });
            let oldest = statements
                .iter()
                .filter(|(_, entry)| entry.outcome.borrow().is_some())
                .min_by_key(|(_, entry)| entry.submitted)
                .map(|(handle, _)| *handle);
            if let Some(oldest) = oldest {
                statements.remove(&oldest);
                let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
                requests.retain(|_, handle| *handle != oldest);
            }
        }
        statements.insert(handle, entry);
    }
}

/// Bindings of the driver protocol, which have the shape of those of the SQL API.
pub(crate) fn driver_bindings(bindings: &BTreeMap<String, Value>) -> Result<Vec<Vec<Binding>>, SqlError> {
    statements::read_bindings(bindings).map_err(|error| SqlError::new("002040", "22000", error.message))
}

/// A JSON scalar as text: what bindings and parameters hold.
pub(crate) fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
