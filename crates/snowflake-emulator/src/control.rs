//! The control plane `/_ctl`: faults, settings, state, reset. Without authentication: the emulator listens on loopback.

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::{ApiError, SqlError};
use crate::fault::Rule;
use crate::server::App;
use crate::settings::Settings;
use crate::streaming::channel::OpenPolicy;

/// The routes.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/_ctl/faults", post(arm).get(faults).delete(disarm))
        .route("/_ctl/settings", post(change).get(settings))
        .route("/_ctl/state", get(state))
        .route("/_ctl/keys", post(keys))
        .route("/_ctl/steal", post(steal))
        .route("/_ctl/reset", post(reset))
}

/// Takes one rule, or a list of them.
async fn arm(State(app): State<App>, Json(rules): Json<Value>) -> Result<Json<Value>, ApiError> {
    let rules = match rules {
        Value::Array(rules) => rules,
        rule => vec![rule],
    };
    // all are read before the first is armed
    let rules: Result<Vec<Rule>, _> = rules.into_iter().map(serde_json::from_value).collect();
    let rules = rules.map_err(|error| ApiError::new(400, "CTL", format!("a fault rule: {error}")))?;
    let mut ids = Vec::with_capacity(rules.len());
    for rule in rules {
        let id = app.faults.arm(rule);
        ids.push(
            id.ok_or_else(|| ApiError::new(400, "CTL", "too many fault rules: DELETE /_ctl/faults first"))?,
        );
    }
    Ok(Json(json!({"ids": ids})))
}

async fn faults(State(app): State<App>) -> Json<Value> {
    Json(app.faults.list())
}

async fn disarm(State(app): State<App>) -> Json<Value> {
    app.faults.clear();
    Json(json!({}))
}

async fn settings(State(app): State<App>) -> Json<Settings> {
    Json(app.settings.read())
}

/// Changes the fields that the body names.
async fn change(State(app): State<App>, Json(changes): Json<Value>) -> Result<Json<Settings>, ApiError> {
    let bad = |message: String| ApiError::new(400, "CTL", message);
    let changes = changes.as_object().ok_or_else(|| bad("settings are a JSON object".to_owned()))?;
    let mut present =
        serde_json::to_value(app.settings.read()).map_err(|error| bad(format!("settings: {error}")))?;
    if let Some(fields) = present.as_object_mut() {
        fields.extend(changes.clone());
    }
    let settings: Settings =
        serde_json::from_value(present).map_err(|error| bad(format!("settings: {error}")))?;
    app.settings.write(settings.clone());
    app.registry.wake_all();
    Ok(Json(settings))
}

/// Channels, rows of every table, rejected rows, faults, settings.
async fn state(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    let client = app.engine.client().await?;
    let rows = client
        .query(
            "SELECT database_name || '.' || schema_name || '.' || table_name, _emulator.row_count(relation),
                    (SELECT count(*) FROM _emulator.error_rows e WHERE e.relation = t.relation)
             FROM _emulator.tables t WHERE is_table ORDER BY 1",
            &[],
        )
        .await?;
    let tables: serde_json::Map<String, Value> = rows
        .iter()
        .map(|row| (row.get(0), json!({"rows": row.get::<_, i64>(1), "error_rows": row.get::<_, i64>(2)})))
        .collect();
    Ok(Json(json!({
        "channels": app.registry.snapshot().await,
        "tables": tables,
        "faults": app.faults.list(),
        "settings": app.settings.read(),
    })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StealBody {
    /// A part of the channel's name.
    channel: String,
}

/// Opens matching channels as another client would: their writers are fenced, what is not committed is lost.
async fn steal(
    State(app): State<App>,
    Json(StealBody { channel }): Json<StealBody>,
) -> Result<Json<Value>, ApiError> {
    let names = app.registry.names(&channel);
    let mut stolen = Vec::with_capacity(names.len());
    for name in names {
        stolen.push(name.channel.clone());
        app.registry.open(name, OpenPolicy::Discard, None).await?;
    }
    Ok(Json(json!({"stolen": stolen})))
}

#[derive(Debug, Deserialize)]
struct KeysBody {
    user: String,
    public_keys: Vec<String>,
}

/// Registers the public keys of a user, as RSA_PUBLIC_KEY does.
async fn keys(State(app): State<App>, Json(body): Json<KeysBody>) -> Result<Json<Value>, ApiError> {
    app.account.register(&body.user, &body.public_keys)?;
    Ok(Json(json!({})))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ResetBody {
    /// Whether databases, channels, users and answers go as well; else only faults and settings.
    data: bool,
}

/// Back to the start.
async fn reset(State(app): State<App>, body: Option<Json<ResetBody>>) -> Result<Json<Value>, ApiError> {
    app.faults.clear();
    app.settings.write(app.initial_settings.as_ref().clone());
    app.registry.wake_all();
    if body.is_some_and(|Json(body)| body.data) {
        app.registry.forget_all().await;
        app.sql.forget();
        app.account.forget_keys();
        app.sql.erase().await.map_err(|error: SqlError| ApiError::new(500, "CTL", error.to_string()))?;
    }
    Ok(Json(json!({})))
}
