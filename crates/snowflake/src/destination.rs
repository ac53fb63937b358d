use crate::auth::Tokens;
use crate::config::{Config, ConfigError};
use crate::ddl::{self, LEDGER};
use crate::http::Http;
use crate::merge;
use crate::sql::{ResultSet, Sql, identifier, literal};
use crate::streaming::Streaming;
use cdcd_sink::destination::{
    Channel, ChannelStatus, CurrentKind, Destination, DestinationError, ErrorKind, RowBatch, TableColumn,
    TablePlan,
};
use cdcd_sink::merge::{LedgerAnswer, LedgerRow, MergePlan};

/// A Snowflake account as a destination.
pub struct Snowflake {
    tokens: Tokens,
    sql: Sql,
    streaming: Streaming,
}

impl Snowflake {
    /// Checks the settings. Nothing is sent yet.
    ///
    /// # Errors
    /// When the private key or another setting cannot be used.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        for (setting, value) in [
            ("snowflake.user.name", &config.user),
            ("snowflake.database.name", &config.database),
            ("snowflake.schema.name", &config.schema),
        ] {
            if value.is_empty() {
                return Err(ConfigError { setting, problem: "is required and missing".to_owned() });
            }
        }
        let http = Http::new(config.request_timeout)
            .map_err(|error| ConfigError { setting: "snowflake.url.name", problem: error.to_string() })?;
        Ok(Snowflake {
            tokens: Tokens::new(config, http.clone())?,
            sql: Sql::new(config, http.clone()),
            streaming: Streaming::new(config, http),
        })
    }

    /// Runs one SQL statement, for checks and tests.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn query(&self, what: &str, statement: &str) -> Result<ResultSet, DestinationError> {
        self.sql.query(&self.tokens, what, statement).await
    }

    /// The same for a result of any size: all its partitions are read.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn query_all(&self, what: &str, statement: &str) -> Result<ResultSet, DestinationError> {
        self.sql.query_all(&self.tokens, what, statement).await
    }

    /// Logs in to the streaming side: asks for the ingest host and a token for it. For checks.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn ingest_host(&self) -> Result<String, DestinationError> {
        self.tokens.ingest().await.map(|(base, _)| base)
    }

    async fn run(&self, what: &str, statement: &str) -> Result<(), DestinationError> {
        self.query(what, statement).await.map(|_| ())
    }

    /// Makes a table, or the columns that it lacks.
    async fn make_table(
        &self,
        table: &str,
        columns: &[TableColumn],
        options: &str,
    ) -> Result<(), DestinationError> {
        let existing = match self.describe(table).await? {
            Some(existing) => existing,
            None => {
                return self
                    .run(&format!("creating table {table}"), &ddl::create_table(table, columns, options))
                    .await;
            }
        };
        for column in columns.iter().filter(|column| existing.iter().all(|have| have.name != column.name)) {
            let what = format!("adding column {} to {table}", column.name);
            self.run(&what, &ddl::add_column(table, column)).await?;
        }
        Ok(())
    }

    async fn read_ledger(&self, table: &str) -> Result<LedgerAnswer, DestinationError> {
        let statement = format!(
            "SELECT \"CHANNEL\", \"MERGED\", \"GENERATION\", \"KEYS\" FROM {} WHERE \"TBL\" = {}",
            identifier(LEDGER),
            literal(table)
        );
        let result = self.query(&format!("reading the ledger of {table}"), &statement).await?;
        let mut answer = LedgerAnswer::default();
        for row in &result.rows {
            let text = |name: &str| result.cell(row, name).unwrap_or_default().to_owned();
            if text("CHANNEL").is_empty() {
                answer.keys =
                    text("KEYS").split(',').filter(|key| !key.is_empty()).map(str::to_owned).collect();
                continue;
            }
            let generation = text("GENERATION").parse().map_err(|_| {
                DestinationError::new(
                    ErrorKind::Definite,
                    format!("reading the ledger of {table}"),
                    "GENERATION is no number",
                )
            })?;
            answer.rows.push((text("CHANNEL"), LedgerRow { merged: text("MERGED"), generation }));
        }
        Ok(answer)
    }
}

impl Destination for Snowflake {
    async fn describe(&self, table: &str) -> Result<Option<Vec<TableColumn>>, DestinationError> {
        let what = format!("describing {table}");
        match self.query(&what, &format!("DESCRIBE TABLE {}", identifier(table))).await {
            Ok(result) => Ok(Some(ddl::described(&result))),
            // 002003: does not exist or not authorized.
            Err(error) if error.kind == ErrorKind::Definite && error.message.contains("002003") => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn prepare(&self, plan: &TablePlan) -> Result<(), DestinationError> {
        // Rows that Snowflake rejects stay readable in ERROR_TABLE.
        self.make_table(&plan.table, &plan.columns, " ERROR_LOGGING = TRUE").await?;
        let Some(current) = &plan.current else { return Ok(()) };
        match current.kind {
            CurrentKind::View => {
                self.run(&format!("creating view {}", current.name), &ddl::create_view(plan, current)).await
            }
            CurrentKind::Table => {
                self.make_table(&current.name, &ddl::current_columns(current), "").await?;
                self.make_table(&ddl::marks_table(current), &ddl::marks_columns(current), "").await?;
                self.make_table(LEDGER, &ddl::ledger_columns(), "").await?;
                let what = format!("entering {} into the ledger", plan.table);
                for statement in ddl::remember_keys(&plan.table, &current.keys) {
                    self.run(&what, &statement).await?;
                }
                Ok(())
            }
        }
    }

    async fn open(&self, channel: &Channel) -> Result<ChannelStatus, DestinationError> {
        self.streaming.open(&self.tokens, channel).await
    }

    async fn append(&self, batch: &RowBatch) -> Result<(), DestinationError> {
        self.streaming.append(&self.tokens, batch).await
    }

    async fn statuses(&self, channels: &[Channel]) -> Result<Vec<(String, ChannelStatus)>, DestinationError> {
        self.streaming.statuses(&self.tokens, channels).await
    }

    async fn ledger(&self, plan: &TablePlan, channels: &[String]) -> Result<LedgerAnswer, DestinationError> {
        if self.describe(LEDGER).await?.is_none() {
            self.make_table(LEDGER, &ddl::ledger_columns(), "").await?;
        }
        let mut answer = self.read_ledger(&plan.table).await?;
        for channel in channels {
            if answer.rows.iter().all(|(name, _)| name != channel) {
                let what = format!("entering {channel} into the ledger");
                self.run(&what, &ddl::remember_channel(&plan.table, channel)).await?;
                answer.rows.push((channel.clone(), LedgerRow::default()));
            }
        }
        answer.rows.retain(|(name, _)| channels.contains(name));
        Ok(answer)
    }

    async fn merge(&self, plan: &MergePlan) -> Result<(), DestinationError> {
        let Some(current) = &plan.plan.current else { return Ok(()) };
        let what = format!("merging {} into {}", plan.plan.table, current.name);
        let error = match self.sql.script(&self.tokens, &what, &merge::statements(plan, current)).await {
            Ok(()) => return Ok(()),
            Err(error) if error.kind == ErrorKind::Definite => error,
            Err(error) => return Err(error),
        };
        // A failed script rolled back: was it the compare-and-swap that failed?
        let ledger = self.read_ledger(&plan.plan.table).await?;
        let moved = plan.ranges.iter().any(|range| {
            let row = ledger.rows.iter().find(|(name, _)| *name == range.channel);
            row.is_none_or(|(_, row)| row.generation != range.generation)
        });
        if moved {
            return Err(DestinationError::new(
                ErrorKind::Conflict,
                what,
                "the ledger was changed by somebody else",
            ));
        }
        Err(error)
    }
}
