//! From a statement's text to its result: reading, rendering, running on a connection of the engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Object;
use futures_util::TryStreamExt as _;
use sqlparser::ast;
use sqlparser::tokenizer::Token;
use tokio_postgres::GenericClient;

use crate::account::Account;
use crate::datatype::DataType;
use crate::engine;
use crate::error::SqlError;
use crate::sql::apply;
use crate::sql::ddl::{self, Ddl};
use crate::sql::reader::{self, Reader, Source};
use crate::sql::render::{Binding, Count, Dml, Known, Renderer, Stop};
use crate::sql::result::{ResultColumn, ResultSet, cell_expression, pretty_json};
use crate::sql::session::Session;
use crate::sql::show::{self, Shown};

/// Bytes of one result; larger ones are refused, as the SQL API refuses them.
pub const RESULT_BYTES_MAX: usize = 256 << 20;

/// How often rendering may stop to ask for columns: deeper nesting of wildcards than that is a mistake.
const RENDER_ROUNDS_MAX: usize = 64;

/// A statement that was read.
#[derive(Debug, Clone)]
pub(crate) enum Statement {
    Query(Box<ast::Query>),
    Dml(Box<ast::Statement>),
    Ddl(Ddl),
    Show(Shown),
    Use { what: String, name: Vec<String> },
    SetParameters(Vec<(String, String)>),
    Begin,
    Commit,
    Rollback,
}

/// Reads one statement.
///
/// # Errors
/// When it is not one that the emulator knows.
pub(crate) fn read(session: &Session, source: &Source) -> Result<Statement, SqlError> {
    let mut reader = Reader::new(&source.tokens);
    match reader.peek_word().unwrap_or_default().as_str() {
        "BEGIN" | "START" => {
            reader.next();
            let _ = reader.accept("TRANSACTION") || reader.accept("WORK");
            if reader.accept("NAME") {
                reader.identifier()?;
            }
            reader.finish()?;
            return Ok(Statement::Begin);
        }
        "COMMIT" | "ROLLBACK" => {
            let commit = reader.accept("COMMIT");
            reader.accept("ROLLBACK");
            reader.accept("WORK");
            reader.finish()?;
            return Ok(if commit { Statement::Commit } else { Statement::Rollback });
        }
        "USE" => {
            reader.next();
            let what =
                ["ROLE", "WAREHOUSE", "DATABASE", "SCHEMA"].into_iter().find(|word| reader.accept(word));
            let name = reader.object_name()?;
            reader.finish()?;
            return Ok(Statement::Use { what: what.unwrap_or("").to_owned(), name });
        }
        _ => {}
    }
    if reader.accept("ALTER SESSION SET") {
        let mut parameters = Vec::new();
        while !reader.is_at_end() {
            parameters.push((reader.identifier()?, reader.option_value()?));
            reader.accept_token(&Token::Comma);
        }
        return Ok(Statement::SetParameters(parameters));
    }
    if reader.accept("ALTER SESSION UNSET") {
        return Ok(Statement::SetParameters(Vec::new()));
    }
    if let Some(ddl) = ddl::read(source)? {
        return Ok(Statement::Ddl(ddl));
    }
    if let Some(shown) = show::read(session, source)? {
        return Ok(Statement::Show(shown));
    }
    let mut parser = reader::parser(&source.tokens);
    let statement = parser.parse_statement().map_err(|error| SqlError::syntax(error.to_string()))?;
    if parser.peek_token().token != Token::EOF {
        return Err(SqlError::syntax(format!("unexpected '{}'", parser.peek_token())));
    }
    match statement {
        ast::Statement::Query(query) => Ok(Statement::Query(query)),
        dml @ (ast::Statement::Insert(_)
        | ast::Statement::Update(_)
        | ast::Statement::Delete(_)
        | ast::Statement::Merge(_)) => Ok(Statement::Dml(Box::new(dml))),
        other => Err(SqlError::unsupported(other.to_string().chars().take(80).collect::<String>())),
    }
}

/// A connection with the state of a session on it.
pub(crate) struct Runner {
    /// There until the runner ends.
    client: Option<Object>,
    pub(crate) session: Session,
    account: Arc<Account>,
    in_transaction: bool,
    broken: bool,
}

/// What a single statement is run with.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunOptions {
    /// Values of placeholders, one list per execution; more than one list is an array binding.
    pub(crate) bindings: Vec<Vec<Binding>>,
    /// Longest run; None for no limit.
    pub(crate) timeout: Option<Duration>,
    /// A row for the ledger of requests, written in the statement's own transaction.
    pub(crate) ledger: Option<(uuid::Uuid, uuid::Uuid)>,
}

impl Runner {
    /// A session on a connection.
    pub(crate) fn new(client: Object, session: Session, account: Arc<Account>) -> Runner {
        Runner { client: Some(client), session, account, in_transaction: false, broken: false }
    }

    /// For cancelling what runs.
    pub(crate) fn cancel_token(&self) -> tokio_postgres::CancelToken {
        self.client().cancel_token()
    }

    /// Ends an open transaction and gives the connection back.
    pub(crate) async fn close(mut self) {
        if self.in_transaction && self.client().batch_execute("ROLLBACK").await.is_ok() {
            self.in_transaction = false;
        }
    }

    fn client(&self) -> &Object {
        self.client.as_ref().expect("a runner holds its connection until it ends")
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// What the statement fails with; a transaction that was open stays open, as it does in Snowflake.
    pub(crate) async fn run(
        &mut self,
        statement: &Statement,
        options: &RunOptions,
    ) -> Result<ResultSet, SqlError> {
        match statement {
            Statement::Begin => {
                if !self.in_transaction {
                    self.client().batch_execute("BEGIN").await?;
                    self.in_transaction = true;
                }
                Ok(ResultSet::status("Statement executed successfully."))
            }
            Statement::Commit | Statement::Rollback => {
                if self.in_transaction {
                    let word = if matches!(statement, Statement::Commit) { "COMMIT" } else { "ROLLBACK" };
                    self.in_transaction = false;
                    self.client().batch_execute(word).await?;
                }
                Ok(ResultSet::status("Statement executed successfully."))
            }
            Statement::Use { what, name } => self.use_object(what, name).await,
            Statement::SetParameters(parameters) => {
                for (key, value) in parameters {
                    match key.as_str() {
                        "TIMEZONE" => self.session.timezone = Some(value.clone()),
                        "AUTOCOMMIT" => self.session.manual_commit = value.eq_ignore_ascii_case("false"),
                        // the others change nothing that the emulator does
                        _ => {}
                    }
                }
                Ok(ResultSet::status("Statement executed successfully."))
            }
            Statement::Ddl(ddl) => {
                // DDL commits what is open, and then itself
                if std::mem::take(&mut self.in_transaction) {
                    self.client().batch_execute("COMMIT").await?;
                }
                let context = apply::Context { session: &self.session, account: &self.account };
                {
                    let client = self.client.as_mut().expect("a runner holds its connection until it ends");
                    context.run(client, ddl).await
                }
            }
            Statement::Dml(_) if self.session.manual_commit && !self.in_transaction => {
                self.client().batch_execute("BEGIN").await?;
                self.in_transaction = true;
                self.run_guarded(statement, options).await
            }
            Statement::Query(_) | Statement::Dml(_) | Statement::Show(_) => {
                self.run_guarded(statement, options).await
            }
        }
    }

    /// In a transaction of its own, or under a savepoint of the open one.
    async fn run_guarded(
        &mut self,
        statement: &Statement,
        options: &RunOptions,
    ) -> Result<ResultSet, SqlError> {
        let (open, keep, undo) = if self.in_transaction {
            (
                "SAVEPOINT statement",
                "RELEASE SAVEPOINT statement",
                "ROLLBACK TO SAVEPOINT statement; RELEASE SAVEPOINT statement",
            )
        } else {
            ("BEGIN", "COMMIT", "ROLLBACK")
        };
        let timeout = options.timeout.map_or(0, |timeout| timeout.as_millis());
        let zone = engine::literal(self.session.timezone.as_deref().unwrap_or("UTC"));
        let settings = format!("{open}; SET LOCAL statement_timeout = {timeout}; SET LOCAL TIME ZONE {zone}");
        if let Err(error) = self.client().batch_execute(&settings).await {
            self.broken = true;
            return Err(error.into());
        }
        let result = match self.run_inside(statement, options).await {
            Ok(result) => match self.client().batch_execute(keep).await {
                Ok(()) => return Ok(result),
                Err(error) => Err(SqlError::from(error)),
            },
            Err(error) => Err(error),
        };
        if self.client().batch_execute(undo).await.is_err() {
            self.broken = true;
        }
        result
    }

    async fn run_inside(
        &mut self,
        statement: &Statement,
        options: &RunOptions,
    ) -> Result<ResultSet, SqlError> {
        let client: &tokio_postgres::Client = self.client();
        let result = match statement {
            Statement::Query(query) => {
                let bindings = options.bindings.first().map(Vec::as_slice).unwrap_or_default();
                let rendered =
                    render(client, &self.session, bindings, |renderer| renderer.statement_query(query))
                        .await?;
                fetch(client, &rendered).await?
            }
            Statement::Show(shown) => {
                if let Some(required) = &shown.requires
                    && engine::find_relation(client, required).await?.is_none()
                {
                    return Err(SqlError::missing("Object", &required.to_string()));
                }
                fetch(client, &RenderedQuery { text: shown.query.clone(), long_names: BTreeMap::new() })
                    .await?
            }
            Statement::Dml(dml) => {
                let mut total: Option<ResultSet> = None;
                let empty = vec![Vec::new()];
                let lists = if options.bindings.is_empty() { &empty } else { &options.bindings };
                for bindings in lists {
                    let result = change(client, &self.session, dml, bindings).await?;
                    total = Some(match total {
                        Some(total) => add_counts(total, &result),
                        None => result,
                    });
                }
                total.unwrap_or_default()
            }
            _ => return Err(SqlError::unsupported("this statement here")),
        };
        if let Some((request, handle)) = &options.ledger {
            let answer = serde_json::to_string(&result)
                .map_err(|error| SqlError::new("000603", "58000", format!("keeping the answer: {error}")))?;
            client
                .execute(
                    "INSERT INTO _emulator.requests (request_id, handle, answer) VALUES ($1::text::uuid, $2::text::uuid, $3)
                     ON CONFLICT (request_id) DO NOTHING",
                    &[&request.to_string(), &handle.to_string(), &answer],
                )
                .await?;
        }
        Ok(result)
    }

    async fn use_object(&mut self, what: &str, name: &[String]) -> Result<ResultSet, SqlError> {
        match (what, name) {
            ("ROLE", [role]) => self.session.role = Some(role.clone()),
            ("WAREHOUSE", [warehouse]) => self.session.warehouse = Some(warehouse.clone()),
            ("SCHEMA", [_] | [_, _]) | ("", [_, _]) => {
                let schema = self.session.schema_name(name)?;
                if !engine::schema_exists(&***self.client(), &schema).await? {
                    return Err(SqlError::missing("Schema", &name.join(".")));
                }
                self.session.database = Some(schema.database);
                self.session.schema = Some(schema.schema);
            }
            ("DATABASE" | "", [database]) => {
                let found = self
                    .client()
                    .query_opt("SELECT 1 FROM _emulator.databases WHERE name = $1", &[database])
                    .await?;
                if found.is_none() {
                    return Err(SqlError::missing("Database", database));
                }
                self.session.database = Some(database.clone());
                self.session.schema = Some("PUBLIC".to_owned());
            }
            _ => return Err(SqlError::syntax(format!("USE {what} {}", name.join(".")))),
        }
        Ok(ResultSet::status("Statement executed successfully."))
    }
}

/// A connection that is not clean is closed rather than given to the next one.
impl Drop for Runner {
    fn drop(&mut self) {
        if let Some(client) = self.client.take()
            && (self.broken || self.in_transaction)
        {
            drop(Object::take(client));
        }
    }
}

/// A query of the engine, and the output names that were too long for it.
#[derive(Debug, Clone)]
pub(crate) struct RenderedQuery {
    pub(crate) text: String,
    pub(crate) long_names: BTreeMap<String, String>,
}

/// Renders a query without placeholders, as definitions of views and tables have them.
///
/// # Errors
/// When it cannot be rendered.
pub(crate) async fn render_query(
    client: &impl GenericClient,
    session: &Session,
    query: &ast::Query,
) -> Result<RenderedQuery, SqlError> {
    render(client, session, &[], |renderer| renderer.statement_query(query)).await
}

/// Renders an expression that reads no table, as DEFAULT has it.
///
/// # Errors
/// When it cannot be rendered.
pub(crate) fn render_expression(session: &Session, expr: &ast::Expr) -> Result<String, SqlError> {
    let known = Known::new();
    Renderer::new(session, &known, &[]).standalone_expression(expr).map_err(|stop| match stop {
        Stop::Error(error) => error,
        Stop::NeedColumns(_) => SqlError::unsupported("a query in a DEFAULT"),
    })
}

/// Renders, and answers each question for columns, until it is done.
async fn render(
    client: &impl GenericClient,
    session: &Session,
    bindings: &[Binding],
    mut work: impl FnMut(&mut Renderer<'_>) -> Result<String, Stop>,
) -> Result<RenderedQuery, SqlError> {
    let mut known = Known::new();
    for _ in 0..RENDER_ROUNDS_MAX {
        let mut renderer = Renderer::new(session, &known, bindings);
        match work(&mut renderer) {
            Ok(text) => return Ok(RenderedQuery { text, long_names: renderer.long_names().clone() }),
            Err(Stop::Error(error)) => return Err(error),
            Err(Stop::NeedColumns(query)) => {
                let prepared = client.prepare(&query).await?;
                let columns = prepared.columns().iter().map(|column| column.name().to_owned()).collect();
                known.insert(query, columns);
            }
        }
    }
    Err(SqlError::unsupported(format!("more than {RENDER_ROUNDS_MAX} wildcards under EXCLUDE or QUALIFY")))
}

/// The columns of a query.
///
/// # Errors
/// When the engine refuses it, or a type has no word in Snowflake.
pub(crate) async fn describe(
    client: &impl GenericClient,
    query: &RenderedQuery,
) -> Result<Vec<ResultColumn>, SqlError> {
    Ok(describe_with_types(client, query).await?.into_iter().map(|(column, _)| column).collect())
}

async fn describe_with_types(
    client: &impl GenericClient,
    query: &RenderedQuery,
) -> Result<Vec<(ResultColumn, String)>, SqlError> {
    let prepared = client.prepare(&query.text).await?;
    let mut described = Vec::with_capacity(prepared.columns().len());
    for column in prepared.columns() {
        let mut type_name = column.type_().name().to_owned();
        let mut modifier = column.type_modifier();
        let mut nullable = true;
        // a result says the type under a domain; the column that it comes from says the domain
        if let (Some(table), Some(number)) = (column.table_oid(), column.column_id()) {
            let origin = client
                .query_opt(
                    "SELECT t.typname::text, a.atttypmod, NOT a.attnotnull FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
                     WHERE a.attrelid = $1 AND a.attnum = $2",
                    &[&table, &number],
                )
                .await?;
            if let Some(origin) = origin {
                (type_name, modifier, nullable) = (origin.get(0), origin.get(1), origin.get(2));
            }
        }
        let data_type = DataType::from_engine(&type_name, modifier)
            .ok_or_else(|| SqlError::unsupported(format!("a result of the engine's type {type_name}")))?;
        let name = query.long_names.get(column.name()).cloned().unwrap_or_else(|| column.name().to_owned());
        let scale_is_open = type_name == "numeric" && modifier < 4;
        described.push((ResultColumn { name, data_type, nullable, scale_is_open }, type_name));
    }
    Ok(described)
}

/// Runs a query and fetches all cells as text.
async fn fetch(client: &impl GenericClient, query: &RenderedQuery) -> Result<ResultSet, SqlError> {
    let described = describe_with_types(client, query).await?;
    let aliases: Vec<String> = (0..described.len()).map(|at| format!("c{at}")).collect();
    let cells: Vec<String> = described
        .iter()
        .zip(&aliases)
        .map(|((column, type_name), alias)| {
            cell_expression(&format!("q.{alias}"), column.data_type, type_name)
        })
        .collect();
    let text = format!("SELECT {} FROM ({}) AS q ({})", cells.join(", "), query.text, aliases.join(", "));
    let rows = client.query_raw::<_, &str, [&str; 0]>(&text, []).await?;
    let mut rows = std::pin::pin!(rows);
    let mut result = ResultSet {
        columns: described.into_iter().map(|(column, _)| column).collect(),
        ..ResultSet::default()
    };
    let mut bytes = 0;
    while let Some(row) = rows.try_next().await? {
        let mut cells = Vec::with_capacity(result.columns.len());
        for (at, column) in result.columns.iter().enumerate() {
            let cell: Option<&str> = row.try_get(at)?;
            bytes += cell.map_or(0, str::len);
            let is_json = matches!(column.data_type, DataType::Variant | DataType::Object | DataType::Array);
            cells.push(cell.map(|cell| if is_json { pretty_json(cell) } else { cell.to_owned() }));
        }
        if bytes > RESULT_BYTES_MAX {
            return Err(SqlError::new(
                "391908",
                "54000",
                format!("the result has more than {RESULT_BYTES_MAX} bytes"),
            ));
        }
        result.rows.push(cells);
    }
    result.settle_scales();
    Ok(result)
}

/// Runs a statement that changes rows and counts what it did.
async fn change(
    client: &impl GenericClient,
    session: &Session,
    statement: &ast::Statement,
    bindings: &[Binding],
) -> Result<ResultSet, SqlError> {
    let mut dml: Option<Dml> = None;
    render(client, session, bindings, |renderer| {
        dml = Some(match statement {
            ast::Statement::Insert(insert) => renderer.insert(insert)?,
            ast::Statement::Update(update) => renderer.update(update)?,
            ast::Statement::Delete(delete) => renderer.delete(delete)?,
            ast::Statement::Merge(merge) => renderer.merge(merge)?,
            other => return Err(SqlError::unsupported(other.to_string()).into()),
        });
        Ok(String::new())
    })
    .await?;
    let dml = dml.ok_or_else(|| SqlError::unsupported("this statement"))?;
    let Some(relation) = engine::find_relation(client, &dml.table).await? else {
        return Err(SqlError::missing("Object", &dml.table.to_string()));
    };
    let before = tuples(client, relation.oid).await?;
    let mut touched = 0;
    for text in &dml.statements {
        touched = client.execute(text.as_str(), &[]).await?;
    }
    let counts = match statement {
        ast::Statement::Insert(_) => (touched, 0, 0),
        ast::Statement::Update(_) => (0, touched, 0),
        ast::Statement::Delete(_) => (0, 0, touched),
        // the engine gives one count for all clauses; its own statistics of this transaction tell them apart
        _ => {
            let after = tuples(client, relation.oid).await?;
            (after.0 - before.0, after.1 - before.1, after.2 - before.2)
        }
    };
    Ok(counted(&dml.counts, statement, counts))
}

/// Rows that this transaction has inserted, updated and deleted in a table so far.
async fn tuples(client: &impl GenericClient, relation: u32) -> Result<(u64, u64, u64), SqlError> {
    let row = client
        .query_one(
            "SELECT pg_stat_get_xact_tuples_inserted($1), pg_stat_get_xact_tuples_updated($1), pg_stat_get_xact_tuples_deleted($1)",
            &[&relation],
        )
        .await?;
    let count = |at: usize| u64::try_from(row.get::<_, i64>(at)).unwrap_or(0);
    Ok((count(0), count(1), count(2)))
}

fn counted(columns: &[Count], statement: &ast::Statement, counts: (u64, u64, u64)) -> ResultSet {
    let mut result = ResultSet { stats: Some(counts), ..ResultSet::default() };
    let mut row = Vec::new();
    let mut push = |name: &str, value: u64| {
        result.columns.push(ResultColumn {
            name: name.to_owned(),
            data_type: DataType::Number { precision: 19, scale: 0 },
            nullable: false,
            scale_is_open: false,
        });
        row.push(Some(value.to_string()));
    };
    for count in columns {
        let value = match count {
            Count::Inserted => counts.0,
            Count::Updated => counts.1,
            Count::Deleted => counts.2,
        };
        push(count.column(), value);
    }
    if matches!(statement, ast::Statement::Update(_)) {
        // the engine takes one of several joined rows and does not count them
        push("number of multi-joined rows updated", 0);
    }
    result.rows.push(row);
    result
}

fn add_counts(mut total: ResultSet, more: &ResultSet) -> ResultSet {
    for (row, other) in total.rows.iter_mut().zip(&more.rows) {
        for (cell, other) in row.iter_mut().zip(other) {
            let value = |cell: &Option<String>| {
                cell.as_deref().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0)
            };
            *cell = Some((value(cell) + value(other)).to_string());
        }
    }
    if let (Some(stats), Some(other)) = (&mut total.stats, more.stats) {
        *stats = (stats.0 + other.0, stats.1 + other.1, stats.2 + other.2);
    }
    total
}
