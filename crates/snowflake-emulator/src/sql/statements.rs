//! The routes of the SQL API v2.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Outcome, ResultSet, RunOptions, Session, Submission, scalar_text};
use crate::body;
use crate::datatype::DataType;
use crate::error::{ApiError, SqlError};
use crate::server::App;
use crate::sql::render::Binding;
use crate::streaming::unix_ms;

/// Largest body of a statement; Snowflake's statements end at 1 MB, array bindings make them longer.
const STATEMENT_BODY_BYTES_MAX: usize = 32 << 20;

/// Rows of one partition of a result.
const PARTITION_ROWS: usize = 10_000;

/// The routes.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/api/v2/statements", post(submit))
        .route("/api/v2/statements/{handle}", get(fetch))
        .route("/api/v2/statements/{handle}/cancel", post(cancel))
}

#[derive(Debug, Deserialize)]
struct StatementBody {
    statement: String,
    #[serde(default)]
    timeout: Option<u64>,
    #[serde(default)]
    database: Option<String>,
    #[serde(default)]
    schema: Option<String>,
    #[serde(default)]
    warehouse: Option<String>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    bindings: BTreeMap<String, BindingBody>,
    #[serde(default)]
    parameters: HashMap<String, Value>,
}

#[derive(Debug, Deserialize)]
struct BindingBody {
    r#type: String,
    value: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SubmitQuery {
    #[serde(rename = "requestId")]
    request_id: Option<String>,
    r#async: Option<bool>,
    retry: Option<bool>,
}

async fn submit(
    State(app): State<App>,
    Query(query): Query<SubmitQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let user = app.account.authenticate(&headers)?;
    let bytes = body::read(&headers, body, STATEMENT_BODY_BYTES_MAX, STATEMENT_BODY_BYTES_MAX).await?;
    let body: StatementBody = serde_json::from_slice(&bytes)
        .map_err(|error| ApiError::new(400, "390142", format!("the body is not a statement: {error}")))?;
    let request_id = match &query.request_id {
        Some(text) => Some(
            Uuid::parse_str(text)
                .map_err(|_| ApiError::new(400, "391917", format!("requestId {text:?} is not a UUID")))?,
        ),
        None => None,
    };
    let submission = submission(&user, body, request_id, query.retry.unwrap_or(false))?;
    let handle = match app.sql.submit(submission).await {
        Ok(handle) => handle,
        Err(error) => return Ok(failure(Uuid::now_v7(), &error)),
    };
    let patience = if query.r#async.unwrap_or(false) { 0 } else { app.settings.read().statement_wait_ms };
    let outcome = app.sql.outcome(handle, Duration::from_millis(patience)).await;
    answer(&app, handle, outcome, 0).await
}

fn submission(
    user: &str,
    body: StatementBody,
    request_id: Option<Uuid>,
    retry: bool,
) -> Result<Submission, ApiError> {
    let parameter = |name: &str| body.parameters.get(name).and_then(scalar_text);
    let statement_count = match parameter("MULTI_STATEMENT_COUNT") {
        Some(text) => match text.parse::<usize>() {
            Ok(0) => None,
            Ok(count) => Some(count),
            Err(_) => {
                return Err(ApiError::new(400, "391918", "MULTI_STATEMENT_COUNT is not a whole number"));
            }
        },
        None => Some(1),
    };
    // an empty string means the same as an absent field
    let named = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
    let session = Session {
        user: user.to_owned(),
        schema: named(&body.schema).or_else(|| named(&body.database).map(|_| "PUBLIC".to_owned())),
        database: named(&body.database),
        role: named(&body.role),
        warehouse: named(&body.warehouse),
        timezone: parameter("TIMEZONE"),
        manual_commit: false,
    };
    let options = RunOptions {
        bindings: bindings(&body.bindings)?,
        timeout: body.timeout.filter(|seconds| *seconds > 0).map(Duration::from_secs),
        ledger: None,
    };
    Ok(Submission { text: body.statement, session, options, statement_count, request_id, retry })
}

/// `{"1": {"type": "FIXED", "value": "1"}, …}`; a list as the value makes one execution per element.
fn bindings(body: &BTreeMap<String, BindingBody>) -> Result<Vec<Vec<Binding>>, ApiError> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    let bad = |message: String| ApiError::new(400, "391911", message);
    let mut columns = Vec::with_capacity(body.len());
    for at in 1..=body.len() {
        let binding = body
            .get(&at.to_string())
            .ok_or_else(|| bad(format!("bindings have no {at}: they are numbered from 1")))?;
        let data_type = binding_type(&binding.r#type)
            .ok_or_else(|| bad(format!("binding {at} has the unknown type {:?}", binding.r#type)))?;
        let values = match &binding.value {
            Value::Array(values) => values.iter().map(scalar_text).collect(),
            scalar => vec![scalar_text(scalar)],
        };
        columns.push((data_type, values));
    }
    let rows = columns.first().map_or(0, |(_, values)| values.len());
    if columns.iter().any(|(_, values)| values.len() != rows) {
        return Err(bad("array bindings do not have the same length".to_owned()));
    }
    let mut lists = Vec::with_capacity(rows);
    for row in 0..rows {
        let list = columns.iter().map(|(data_type, values)| Binding {
            data_type: *data_type,
            value: values.get(row).cloned().flatten(),
        });
        lists.push(list.collect());
    }
    Ok(lists)
}

/// Bindings as loose JSON.
///
/// # Errors
/// 400 when they are not numbered from 1, or a type is unknown.
pub(super) fn read_bindings(loose: &BTreeMap<String, Value>) -> Result<Vec<Vec<Binding>>, ApiError> {
    let mut strict = BTreeMap::new();
    for (key, value) in loose {
        let body: BindingBody = serde_json::from_value(value.clone())
            .map_err(|error| ApiError::new(400, "391911", format!("binding {key}: {error}")))?;
        strict.insert(key.clone(), body);
    }
    bindings(&strict)
}

/// The type that a binding names.
pub(crate) fn binding_type(name: &str) -> Option<DataType> {
    Some(match name.to_uppercase().as_str() {
        "FIXED" => DataType::Number { precision: 38, scale: 0 },
        "REAL" => DataType::Float,
        "TEXT" | "VARIANT" | "OBJECT" | "ARRAY" | "ANY" => {
            DataType::Varchar { length: crate::datatype::VARCHAR_LENGTH_MAX }
        }
        "BOOLEAN" => DataType::Boolean,
        "DATE" => DataType::Date,
        "TIME" => DataType::Time,
        "TIMESTAMP_NTZ" => DataType::TimestampNtz,
        "TIMESTAMP_LTZ" => DataType::TimestampLtz,
        "TIMESTAMP_TZ" => DataType::TimestampTz,
        "BINARY" => DataType::Binary { length: crate::datatype::BINARY_LENGTH_MAX },
        _ => return None,
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FetchQuery {
    partition: usize,
}

async fn fetch(
    State(app): State<App>,
    Path(handle): Path<String>,
    Query(query): Query<FetchQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    app.account.authenticate(&headers)?;
    let handle = parse_handle(&handle)?;
    let outcome = app.sql.outcome(handle, Duration::ZERO).await;
    answer(&app, handle, outcome, query.partition).await
}

async fn cancel(
    State(app): State<App>,
    Path(handle): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    app.account.authenticate(&headers)?;
    let handle = parse_handle(&handle)?;
    if !app.sql.cancel(handle).await {
        return Err(unknown_handle(handle));
    }
    Ok(Json(json!({
        "code": "000604",
        "sqlState": "57014",
        "message": "SQL execution canceled",
        "statementHandle": handle.to_string(),
        "statementStatusUrl": status_url(handle),
    }))
    .into_response())
}

fn parse_handle(text: &str) -> Result<Uuid, ApiError> {
    Uuid::parse_str(text)
        .map_err(|_| ApiError::new(404, "391924", format!("{text:?} is not a statement handle")))
}

fn unknown_handle(handle: Uuid) -> ApiError {
    ApiError::new(404, "391924", format!("statement {handle} is not known, or its result has expired"))
}

fn status_url(handle: Uuid) -> String {
    format!("/api/v2/statements/{handle}")
}

async fn answer(
    app: &App,
    handle: Uuid,
    outcome: Option<Option<Outcome>>,
    partition: usize,
) -> Result<Response, ApiError> {
    match outcome {
        None => Err(unknown_handle(handle)),
        Some(None) => Ok((
            StatusCode::ACCEPTED,
            Json(json!({
                "code": "333334",
                "message": "Asynchronous execution in progress. Use provided query id to perform query monitoring and management.",
                "statementHandle": handle.to_string(),
                "statementStatusUrl": status_url(handle),
            })),
        )
            .into_response()),
        Some(Some(Outcome::Failed(error))) => Ok(failure(handle, &error)),
        Some(Some(Outcome::Done(result))) => success(handle, &result, partition),
        Some(Some(Outcome::Many(handles))) => many(app, handle, &handles).await,
    }
}

/// The answer to several statements: the handles, and a count as the only row.
async fn many(app: &App, handle: Uuid, handles: &[Uuid]) -> Result<Response, ApiError> {
    let mut result = ResultSet::status("Multiple statements executed successfully.");
    if let Some(column) = result.columns.first_mut() {
        column.name = "multiple statement execution".to_owned();
    }
    let mut body = success_body(handle, &result, 0)?;
    let mut texts = Vec::with_capacity(handles.len());
    for handle in handles {
        if app.sql.outcome(*handle, Duration::ZERO).await.is_some() {
            texts.push(handle.to_string());
        }
    }
    if let Some(fields) = body.as_object_mut() {
        fields.insert("statementHandles".to_owned(), json!(texts));
    }
    Ok(Json(body).into_response())
}

fn success(handle: Uuid, result: &Arc<ResultSet>, partition: usize) -> Result<Response, ApiError> {
    Ok(Json(success_body(handle, result, partition)?).into_response())
}

fn success_body(handle: Uuid, result: &ResultSet, partition: usize) -> Result<Value, ApiError> {
    let chunks: Vec<&[Vec<Option<String>>]> =
        if result.rows.is_empty() { vec![&[]] } else { result.rows.chunks(PARTITION_ROWS).collect() };
    let data = chunks.get(partition).ok_or_else(|| {
        ApiError::new(
            404,
            "391925",
            format!("the result has {} partitions, not one numbered {partition}", chunks.len()),
        )
    })?;
    if partition > 0 {
        return Ok(json!({"data": data}));
    }
    let partitions: Vec<Value> = chunks
        .iter()
        .map(|rows| {
            let bytes: usize = rows.iter().flatten().map(|cell| cell.as_deref().map_or(4, str::len)).sum();
            json!({"rowCount": rows.len(), "uncompressedSize": bytes})
        })
        .collect();
    let mut body = json!({
        "resultSetMetaData": {
            "numRows": result.rows.len(),
            "format": "jsonv2",
            "partitionInfo": partitions,
            "rowType": result.row_type(),
        },
        "data": data,
        "code": "090001",
        "message": "Statement executed successfully.",
        "sqlState": "00000",
        "statementHandle": handle.to_string(),
        "statementStatusUrl": status_url(handle),
        "createdOn": unix_ms(),
    });
    if let (Some((inserted, updated, deleted)), Some(fields)) = (result.stats, body.as_object_mut()) {
        let stats = json!({
            "numRowsInserted": inserted,
            "numRowsUpdated": updated,
            "numRowsDeleted": deleted,
            "numDuplicateRowsUpdated": 0,
        });
        fields.insert("stats".to_owned(), stats);
    }
    Ok(body)
}

fn failure(handle: Uuid, error: &SqlError) -> Response {
    let status =
        if error.is_timeout() { StatusCode::REQUEST_TIMEOUT } else { StatusCode::UNPROCESSABLE_ENTITY };
    let body = json!({
        "code": error.code,
        "message": error.message,
        "sqlState": error.sqlstate,
        "statementHandle": handle.to_string(),
    });
    (status, Json(body)).into_response()
}
