//! The driver protocol, as far as Snowflake's Python connector uses it for plain queries.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::body;
use crate::error::{ApiError, SqlError};
use crate::server::App;
use crate::sql::{ResultSet, RunOptions, Runner, Session, scalar_text};

/// Sessions at a time: each holds a connection of the engine.
pub(crate) const DRIVER_SESSIONS_MAX: usize = 8;

/// A session without a request for this long is closed when room is needed.
const SESSION_IDLE: Duration = Duration::from_secs(600);

/// Largest body of a request.
const BODY_BYTES_MAX: usize = 32 << 20;

/// What a session says about its life, in seconds; nothing renews it here but its use.
const VALIDITY_SECONDS: u64 = 3_600;

/// The routes.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/session/v1/login-request", post(login))
        .route("/session", post(close))
        .route("/session/heartbeat", post(heartbeat))
        .route("/session/token-request", post(renew))
        .route("/queries/v1/query-request", post(query))
        .route("/queries/v1/abort-request", post(abort))
        .route("/telemetry/send", post(telemetry))
}

/// Open sessions by their token.
#[derive(Default)]
pub(crate) struct DriverSessions(Mutex<HashMap<String, Arc<Held>>>);

struct Held {
    used: Mutex<Instant>,
    runner: tokio::sync::Mutex<Option<Runner>>,
    /// Cancels what runs.
    cancel: Mutex<Option<tokio_postgres::CancelToken>>,
}

impl DriverSessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Held>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, headers: &HeaderMap) -> Result<(String, Arc<Held>), SqlError> {
        let header = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let token = header.strip_prefix("Snowflake Token=\"").and_then(|rest| rest.strip_suffix('"'));
        let held =
            token.and_then(|token| self.lock().get(token).cloned().map(|held| (token.to_owned(), held)));
        let (token, held) = held.ok_or_else(|| {
            SqlError::new("390112", "08001", "Your session has expired. Please login again.")
        })?;
        *held.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        Ok((token, held))
    }

    fn insert(&self, token: String, runner: Runner) -> Result<(), SqlError> {
        let mut sessions = self.lock();
        if sessions.len() >= DRIVER_SESSIONS_MAX {
            sessions.retain(|_, held| {
                held.used.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < SESSION_IDLE
            });
        }
        if sessions.len() >= DRIVER_SESSIONS_MAX {
            let message =
                format!("{DRIVER_SESSIONS_MAX} driver sessions are open, which is the most; close one");
            return Err(SqlError::new("390100", "08004", message));
        }
        let cancel = Mutex::new(Some(runner.cancel_token()));
        let held =
            Held { used: Mutex::new(Instant::now()), runner: tokio::sync::Mutex::new(Some(runner)), cancel };
        sessions.insert(token, Arc::new(held));
        Ok(())
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LoginQuery {
    #[serde(rename = "databaseName")]
    database: Option<String>,
    #[serde(rename = "schemaName")]
    schema: Option<String>,
    warehouse: Option<String>,
    #[serde(rename = "roleName")]
    role: Option<String>,
}

#[derive(Debug, Deserialize)]
struct LoginBody {
    data: LoginData,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LoginData {
    #[serde(rename = "LOGIN_NAME")]
    user: Option<String>,
    #[serde(rename = "AUTHENTICATOR")]
    authenticator: Option<String>,
    #[serde(rename = "TOKEN")]
    token: Option<String>,
    #[serde(rename = "SESSION_PARAMETERS")]
    parameters: BTreeMap<String, Value>,
}

/// A password is taken as it is; a key-pair JWT is verified as everywhere.
async fn login(
    State(app): State<App>,
    Query(query): Query<LoginQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let body: LoginBody = read(&headers, body).await?;
    let user = match (body.data.authenticator.as_deref(), &body.data.token) {
        (Some("SNOWFLAKE_JWT"), Some(token)) => match app.account.verify_key_pair(token) {
            Ok(user) => user,
            Err(error) => return Ok(failed(&SqlError::new(&error.code, "08001", error.message), None)),
        },
        _ => body.data.user.unwrap_or_default().to_uppercase(),
    };
    let fold =
        |name: &Option<String>| name.as_ref().filter(|name| !name.is_empty()).map(|name| name.to_uppercase());
    let database = fold(&query.database);
    let session = Session {
        user,
        schema: fold(&query.schema).or_else(|| database.as_ref().map(|_| "PUBLIC".to_owned())),
        database,
        role: fold(&query.role),
        warehouse: fold(&query.warehouse),
        timezone: body.data.parameters.get("TIMEZONE").and_then(scalar_text),
        manual_commit: body
            .data
            .parameters
            .get("AUTOCOMMIT")
            .and_then(scalar_text)
            .is_some_and(|text| text.eq_ignore_ascii_case("false")),
    };
    let info = session_info(&session);
    let token = Uuid::new_v4().to_string();
    let opened = match app.sql.runner(session).await {
        Ok(runner) => app.drivers.insert(token.clone(), runner),
        Err(error) => Err(error),
    };
    if let Err(error) = opened {
        return Ok(failed(&error, None));
    }
    Ok(Json(json!({
        "data": {
            "token": token,
            "masterToken": token,
            "validityInSeconds": VALIDITY_SECONDS,
            "masterValidityInSeconds": VALIDITY_SECONDS * 4,
            "displayUserName": "",
            "serverVersion": "emulator",
            "sessionId": 1,
            "parameters": parameters(),
            "sessionInfo": info,
        },
        "code": null,
        "message": null,
        "success": true,
    })))
}

fn session_info(session: &Session) -> Value {
    json!({
        "databaseName": session.database,
        "schemaName": session.schema,
        "warehouseName": session.warehouse,
        "roleName": session.role,
    })
}

/// The parameters that the connector reads before it decodes anything.
fn parameters() -> Value {
    json!([
        {"name": "AUTOCOMMIT", "value": true},
        {"name": "CLIENT_SESSION_KEEP_ALIVE", "value": false},
        {"name": "CLIENT_PREFETCH_THREADS", "value": 4},
        {"name": "CLIENT_TELEMETRY_ENABLED", "value": false},
        {"name": "QUERY_CONTEXT_CACHE_SIZE", "value": 5},
        {"name": "PYTHON_CONNECTOR_QUERY_RESULT_FORMAT", "value": "json"},
        {"name": "TIMEZONE", "value": "UTC"},
        {"name": "TIMESTAMP_OUTPUT_FORMAT", "value": "YYYY-MM-DD HH24:MI:SS.FF3 TZHTZM"},
        {"name": "DATE_OUTPUT_FORMAT", "value": "YYYY-MM-DD"},
        {"name": "TIME_OUTPUT_FORMAT", "value": "HH24:MI:SS"},
        {"name": "BINARY_OUTPUT_FORMAT", "value": "HEX"},
    ])
}

#[derive(Debug, Deserialize)]
struct QueryBody {
    #[serde(rename = "sqlText")]
    text: String,
    #[serde(default)]
    bindings: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    parameters: Option<BTreeMap<String, Value>>,
}

async fn query(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Json<Value>, ApiError> {
    let (_, held) = match app.drivers.find(&headers) {
        Ok(found) => found,
        Err(error) => return Ok(failed(&error, None)),
    };
    let body: QueryBody = read(&headers, body).await?;
    let id = Uuid::now_v7();
    // a task of its own: a client that goes away must not leave a statement half done
    let task = tokio::spawn(async move {
        let mut slot = held.runner.lock().await;
        let runner = slot.as_mut().ok_or_else(|| {
            SqlError::new("390111", "08001", "Session no longer exists. New login required.")
        })?;
        let result = run(&app, runner, &body).await?;
        Ok::<_, SqlError>((result, session_info(&runner.session)))
    });
    let outcome = task.await.unwrap_or_else(|error| Err(SqlError::new("000603", "58000", error.to_string())));
    Ok(match outcome {
        Ok(((result, kind), info)) => answer(id, &result, kind, &info),
        Err(error) => failed(&error, Some(id)),
    })
}

/// One statement, or as many as MULTI_STATEMENT_COUNT says; the last one's result is the answer.
async fn run(app: &App, runner: &mut Runner, body: &QueryBody) -> Result<(ResultSet, u32), SqlError> {
    let sources = app.sql.split(&body.text)?;
    let wanted = body
        .parameters
        .as_ref()
        .and_then(|parameters| parameters.get("MULTI_STATEMENT_COUNT"))
        .and_then(scalar_text)
        .and_then(|text| text.parse::<usize>().ok())
        .unwrap_or(1);
    if wanted != 0 && sources.len() != wanted {
        let message = format!(
            "Actual statement count {} did not match the desired statement count {wanted}.",
            sources.len()
        );
        return Err(SqlError::new("000008", "0A000", message));
    }
    let bindings = match &body.bindings {
        Some(bindings) => crate::sql::driver_bindings(bindings)?,
        None => Vec::new(),
    };
    let options = RunOptions { bindings, ..RunOptions::default() };
    let mut last = ResultSet::default();
    let mut kind = 0x1000;
    for source in &sources {
        last = app.sql.run_one(runner, source, &options).await?;
        kind = statement_type(&source.text);
    }
    Ok((last, kind))
}

/// Snowflake's number for the kind of a statement: the connector sums counts for those that change rows.
fn statement_type(text: &str) -> u32 {
    match text.split_whitespace().next().unwrap_or_default().to_uppercase().as_str() {
        "INSERT" => 0x3100,
        "UPDATE" => 0x3200,
        "DELETE" => 0x3300,
        "MERGE" => 0x3400,
        "CREATE" | "ALTER" | "DROP" | "TRUNCATE" | "GRANT" | "REVOKE" | "COMMENT" => 0x6000,
        "BEGIN" | "COMMIT" | "ROLLBACK" => 0x5000,
        "USE" => 0x4000,
        _ => 0x1000,
    }
}

fn answer(id: Uuid, result: &ResultSet, kind: u32, info: &Value) -> Json<Value> {
    Json(json!({
        "data": {
            "parameters": parameters(),
            "rowtype": result.row_type(),
            "rowset": result.rows,
            "total": result.rows.len(),
            "returned": result.rows.len(),
            "queryId": id.to_string(),
            "databaseProvider": null,
            "finalDatabaseName": info["databaseName"],
            "finalSchemaName": info["schemaName"],
            "finalWarehouseName": info["warehouseName"],
            "finalRoleName": info["roleName"],
            "numberOfBinds": 0,
            "arrayBindSupported": false,
            "statementTypeId": kind,
            "version": 1,
            "sendResultTime": crate::streaming::unix_ms(),
            "queryResultFormat": "json",
        },
        "code": null,
        "message": null,
        "success": true,
    }))
}

fn failed(error: &SqlError, id: Option<Uuid>) -> Json<Value> {
    Json(json!({
        "data": {
            "errorCode": error.code,
            "sqlState": error.sqlstate,
            "queryId": id.map(|id| id.to_string()),
            "internalError": false,
        },
        "code": error.code,
        "message": error.message,
        "success": false,
    }))
}

async fn heartbeat(State(app): State<App>, headers: HeaderMap) -> Json<Value> {
    match app.drivers.find(&headers) {
        Ok(_) => Json(json!({"data": null, "code": null, "message": null, "success": true})),
        Err(error) => failed(&error, None),
    }
}

async fn renew(State(app): State<App>, headers: HeaderMap) -> Json<Value> {
    match app.drivers.find(&headers) {
        Ok((token, _)) => Json(json!({
            "data": {
                "sessionToken": token,
                "masterToken": token,
                "validityInSecondsST": VALIDITY_SECONDS,
                "validityInSecondsMT": VALIDITY_SECONDS * 4,
                "sessionId": 1,
            },
            "code": null,
            "message": null,
            "success": true,
        })),
        Err(error) => failed(&error, None),
    }
}

async fn abort(State(app): State<App>, headers: HeaderMap) -> Json<Value> {
    let held = match app.drivers.find(&headers) {
        Ok((_, held)) => held,
        Err(error) => return failed(&error, None),
    };
    let token = held.cancel.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(token) = token {
        let _ = token.cancel_query(tokio_postgres::NoTls).await;
    }
    Json(json!({"data": null, "code": null, "message": null, "success": true}))
}

async fn close(State(app): State<App>, headers: HeaderMap) -> Json<Value> {
    if let Ok((token, held)) = app.drivers.find(&headers) {
        app.drivers.lock().remove(&token);
        if let Some(runner) = held.runner.lock().await.take() {
            runner.close().await;
        }
    }
    Json(json!({"data": null, "code": null, "message": null, "success": true}))
}

async fn telemetry() -> Json<Value> {
    Json(json!({"success": true, "data": "Log Received"}))
}

async fn read<T: serde::de::DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, ApiError> {
    let bytes = body::read(headers, body, BODY_BYTES_MAX, BODY_BYTES_MAX).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        ApiError::new(400, "390142", format!("the body is not what this route takes: {error}"))
    })
}
