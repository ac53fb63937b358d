//! SQL API v2: submit, wait, read.

use crate::auth::{Tokens, with_jwt};
use crate::config::Config;
use crate::http::{Http, Reply, encode};
use cdcd_sink::destination::{DestinationError, ErrorKind};
use serde::Deserialize;
use serde_json::json;
use std::borrow::Borrow;
use std::fmt;
use std::time::{Duration, Instant};

/// Time between two questions about a statement that still runs.
const POLL_PAUSE: Duration = Duration::from_millis(500);

/// One result: column names, and rows of texts as the API writes them.
#[derive(Debug, Clone, Default)]
pub struct ResultSet {
    /// Column names.
    pub columns: Vec<String>,
    /// Rows; NULL is `None`.
    pub rows: Vec<Vec<Option<String>>>,
}

impl ResultSet {
    /// The cell of `row` in the column called `name`, without case.
    pub fn cell<'r>(&self, row: &'r [Option<String>], name: &str) -> Option<&'r str> {
        let at = self.columns.iter().position(|column| column.eq_ignore_ascii_case(name))?;
        row.get(at)?.as_deref()
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "statementHandle")]
    handle: Option<String>,
    #[serde(rename = "resultSetMetaData")]
    meta: Option<Meta>,
    #[serde(default)]
    data: Vec<Vec<Option<String>>>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "rowType", default)]
    columns: Vec<MetaColumn>,
    #[serde(rename = "partitionInfo", default)]
    partitions: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct MetaColumn {
    name: String,
}

/// The SQL door of one account.
pub(crate) struct Sql {
    http: Http,
    url: String,
    database: String,
    schema: String,
    role: Option<String>,
    warehouse: Option<String>,
    patience: Duration,
}

impl Sql {
    pub(crate) fn new(config: &Config, http: Http) -> Self {
        Sql {
            http,
            url: config.url.clone(),
            database: config.database.clone(),
            schema: config.schema.clone(),
            role: config.role.clone(),
            warehouse: config.warehouse.clone(),
            patience: config.statement_timeout,
        }
    }

    /// Runs one statement and reads its whole result.
    pub(crate) async fn query(
        &self,
        tokens: &Tokens,
        what: &str,
        statement: &str,
    ) -> Result<ResultSet, DestinationError> {
        let reply = self.submit(tokens, what, statement, 1).await?;
        read_result(&reply.body, what)
    }

    /// As [`Sql::query`], for a result of any size.
    pub(crate) async fn query_all(
        &self,
        tokens: &Tokens,
        what: &str,
        statement: &str,
    ) -> Result<ResultSet, DestinationError> {
        let wrong =
            |error: serde_json::Error| DestinationError::new(ErrorKind::Definite, what, error.to_string());
        let reply = self.submit(tokens, what, statement, 1).await?;
        let first: Answer = serde_json::from_slice(&reply.body).map_err(wrong)?;
        let meta = first.meta.unwrap_or(Meta { columns: Vec::new(), partitions: Vec::new() });
        let mut rows = first.data;
        for partition in 1..meta.partitions.len() {
            let Some(handle) = first.handle.as_deref().map(encode) else {
                return Err(DestinationError::new(
                    ErrorKind::Definite,
                    what,
                    "a result without statementHandle",
                ));
            };
            let url = format!("{}/api/v2/statements/{handle}?partition={partition}", self.url);
            let next = self.exchange(tokens, what, || self.http.request(reqwest::Method::GET, &url)).await?;
            if next.status != 200 {
                return Err(next.error(sql_error(next.status), what));
            }
            let next: Answer = serde_json::from_slice(&next.body).map_err(wrong)?;
            rows.extend(next.data);
        }
        Ok(ResultSet { columns: meta.columns.into_iter().map(|column| column.name).collect(), rows })
    }

    /// Runs several statements in one session; the first failure ends it, and with it an open transaction.
    pub(crate) async fn script(
        &self,
        tokens: &Tokens,
        what: &str,
        statements: &[String],
    ) -> Result<(), DestinationError> {
        self.submit(tokens, what, &statements.join(";\n"), statements.len()).await.map(|_| ())
    }

    async fn submit(
        &self,
        tokens: &Tokens,
        what: &str,
        statement: &str,
        count: usize,
    ) -> Result<Reply, DestinationError> {
        let mut parameters = json!({"TIMEZONE": "UTC", "QUERY_TAG": "cdcd"});
        if count != 1 {
            parameters["MULTI_STATEMENT_COUNT"] = count.to_string().into();
        }
        let mut body = json!({
            "statement": statement,
            "timeout": self.patience.as_secs(),
            "database": self.database,
            "schema": self.schema,
            "parameters": parameters,
        });
        for (member, value) in [("role", &self.role), ("warehouse", &self.warehouse)] {
            if let Some(value) = value {
                body[member] = value.as_str().into();
            }
        }
        let request_id = uuid::Uuid::new_v4();
        let url = format!("{}/api/v2/statements?requestId={request_id}", self.url);
        let post = || self.http.request(reqwest::Method::POST, &url).json(&body);
        let reply = self.exchange(tokens, what, post).await?;
        self.wait(tokens, what, reply).await
    }

    /// Sends with a JWT; a refused JWT is renewed once.
    async fn exchange(
        &self,
        tokens: &Tokens,
        what: &str,
        make: impl Fn() -> reqwest::RequestBuilder,
    ) -> Result<Reply, DestinationError> {
        let jwt = tokens.jwt().await?;
        let reply = self.http.send(with_jwt(make(), &jwt), what).await?;
        if reply.status != 401 {
            return Ok(reply);
        }
        tokens.refused(&jwt).await;
        let jwt = tokens.jwt().await?;
        self.http.send(with_jwt(make(), &jwt), what).await
    }

    /// 202 means: still running.
    async fn wait(&self, tokens: &Tokens, what: &str, mut reply: Reply) -> Result<Reply, DestinationError> {
        let started = Instant::now();
        while reply.status == 202 {
            let handle = serde_json::from_slice::<serde_json::Value>(&reply.body).ok();
            let handle = handle.as_ref().and_then(|body| body.get("statementHandle")?.as_str()).map(encode);
            let Some(handle) = handle else {
                return Err(DestinationError::new(
                    ErrorKind::Transient,
                    what,
                    "a 202 answer without statementHandle",
                ));
            };
            if started.elapsed() > self.patience {
                let message = format!("the statement still runs after {} s", self.patience.as_secs());
                return Err(DestinationError::new(ErrorKind::Transient, what, message));
            }
            tokio::time::sleep(POLL_PAUSE).await;
            let url = format!("{}/api/v2/statements/{handle}", self.url);
            reply = self.exchange(tokens, what, || self.http.request(reqwest::Method::GET, &url)).await?;
        }
        match reply.status {
            200 => Ok(reply),
            status => Err(reply.error(sql_error(status), what)),
        }
    }
}

/// The rows of an answer that has them all.
pub(crate) fn read_result(body: &[u8], what: &str) -> Result<ResultSet, DestinationError> {
    let wrong =
        |error: serde_json::Error| DestinationError::new(ErrorKind::Definite, what, error.to_string());
    let answer: Answer = serde_json::from_slice(body).map_err(wrong)?;
    let meta = answer.meta.unwrap_or(Meta { columns: Vec::new(), partitions: Vec::new() });
    if meta.partitions.len() > 1 {
        // Our questions have at most some thousand short rows.
        return Err(DestinationError::new(ErrorKind::Definite, what, "the result has several partitions"));
    }
    Ok(ResultSet { columns: meta.columns.into_iter().map(|column| column.name).collect(), rows: answer.data })
}

fn sql_error(status: u16) -> ErrorKind {
    match status {
        400 | 401 | 403 => ErrorKind::Config,
        404 | 405 | 415 | 422 => ErrorKind::Definite,
        _ => ErrorKind::Transient,
    }
}

/// An identifier in quotes, for example `"ORDERS"`. Cannot be made without them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SfIdent(String);

impl SfIdent {
    /// The name as it is stored, whatever it holds.
    pub fn new(name: &str) -> Self {
        SfIdent(format!("\"{}\"", name.replace('"', "\"\"")))
    }
}

/// A string in quotes; Snowflake reads backslashes in it. Cannot be made without them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SfLiteral(String);

impl SfLiteral {
    /// The text as it is read back.
    pub fn new(text: &str) -> Self {
        SfLiteral(format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''")))
    }
}

macro_rules! written {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        /// So that lists of them can be joined.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

written!(SfIdent SfLiteral);

/// [`SfIdent::new`]
pub(crate) fn identifier(name: &str) -> SfIdent {
    SfIdent::new(name)
}

/// [`SfLiteral::new`]
pub(crate) fn literal(text: &str) -> SfLiteral {
    SfLiteral::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_cannot_leave_their_quotes() {
        assert_eq!(SfIdent::new("a\"; DROP TABLE T; --").to_string(), "\"a\"\"; DROP TABLE T; --\"");
        assert_eq!(SfLiteral::new("it's\\").to_string(), "'it''s\\\\'");
        assert_eq!([SfLiteral::new("a"), SfLiteral::new("b")].join(", "), "'a', 'b'");
    }
}
