//! The HTTP routes of Snowpipe Streaming.

use std::collections::HashMap;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Form, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::body;
use crate::engine::SchemaName;
use crate::error::ApiError;
use crate::server::App;
use crate::settings::ReplyStyle;
use crate::streaming::channel::{Batch, OpenPolicy};
use crate::streaming::registry::ChannelName;

/// Bodies of everything but appends: names and options.
const CONTROL_BODY_BYTES_MAX: usize = 1 << 20;

/// The implicit channel without tokens and without order.
const ELASTIC_CHANNEL: &str = "ELASTIC";

/// All routes of section "streaming".
pub(crate) fn router() -> Router<App> {
    const PIPE: &str = "/v2/streaming/databases/{database}/schemas/{schema}/pipes/{pipe}";
    const DATA: &str = "/v2/streaming/data/databases/{database}/schemas/{schema}/pipes/{pipe}";
    Router::new()
        .route("/v2/streaming/hostname", get(hostname))
        .route("/oauth/token", post(token))
        .route("/oauth/token-request", post(token))
        .route("/telemetry/send/sessionless", post(telemetry))
        .route(PIPE, post(pipe_verb))
        .route(&format!("{PIPE}/channels/{{channel}}"), put(open).delete(drop_channel))
        .route(&format!("{DATA}/channels/{{channel}}/rows"), post(append))
        .route(&format!("{DATA}/channels/{{channel}}/filebuffer"), post(append_files))
}

async fn hostname(State(app): State<App>, headers: HeaderMap) -> Result<Response, ApiError> {
    app.account.authenticate(&headers)?;
    // the client adds the port that it was configured with, so the answer carries none
    let host = headers.get("host").and_then(|value| value.to_str().ok()).unwrap_or("localhost");
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    Ok(match app.settings.read().reply_style {
        ReplyStyle::Text => host.to_owned().into_response(),
        ReplyStyle::Json => Json(json!({"hostname": host})).into_response(),
    })
}

async fn token(
    State(app): State<App>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let settings = app.settings.read();
    let user = match field("grant_type") {
        "urn:ietf:params:oauth:grant-type:jwt-bearer" => match field("assertion") {
            "" => app.account.authenticate(&headers)?,
            assertion => app.account.verify_key_pair(assertion)?,
        },
        "urn:ietf:params:oauth:grant-type:token-exchange" => match field("subject_token") {
            "" => app.account.authenticate(&headers)?,
            _ => "PAT".to_owned(),
        },
        "refresh_token" if !field("refresh_token").is_empty() => "OAUTH".to_owned(),
        other => {
            let message = format!("grant_type {other:?} is not one that this account takes");
            return Err(ApiError::new(400, "390100", message));
        }
    };
    let token = app.account.issue(&user, field("scope"), settings.token_seconds)?;
    Ok(match settings.reply_style {
        ReplyStyle::Text if field("grant_type") != "refresh_token" => token.into_response(),
        _ => Json(json!({"token": token, "access_token": token, "token_type": "Bearer", "expires_in": settings.token_seconds}))
            .into_response(),
    })
}

async fn telemetry() -> Json<Value> {
    Json(json!({"success": true, "data": "Log Received"}))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OpenBody {
    offset_token: Option<String>,
    fail_on_uncommitted_rows: bool,
}

async fn open(
    State(app): State<App>,
    Path((database, schema, pipe, channel)): Path<(String, String, String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    app.account.authenticate(&headers)?;
    let body: OpenBody = control_body(&headers, body).await?.unwrap_or_default();
    let policy = if body.fail_on_uncommitted_rows { OpenPolicy::Refuse } else { OpenPolicy::Discard };
    let name = channel_name(&database, &schema, &pipe, channel);
    // a task of its own: a client that goes away must not leave an open half done
    let opened = tokio::spawn(async move { app.registry.open(name, policy, body.offset_token).await });
    joined(opened.await).map(Json)
}

async fn drop_channel(
    State(app): State<App>,
    Path((database, schema, pipe, channel)): Path<(String, String, String, String)>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    app.account.authenticate(&headers)?;
    let refuse = query.get("failOnUncommittedRows").is_some_and(|value| value == "true");
    let policy = if refuse { OpenPolicy::Refuse } else { OpenPolicy::Discard };
    let name = channel_name(&database, &schema, &pipe, channel);
    let dropped = tokio::spawn(async move { app.registry.drop_channel(&name, policy).await });
    joined(dropped.await).map(Json)
}

#[derive(Debug, Deserialize)]
struct AppendQuery {
    #[serde(rename = "continuationToken")]
    continuation_token: Option<String>,
    #[serde(rename = "startOffsetToken")]
    start_offset_token: Option<String>,
    #[serde(rename = "endOffsetToken")]
    end_offset_token: Option<String>,
    #[serde(rename = "offsetToken")]
    offset_token: Option<String>,
}

async fn append(
    State(app): State<App>,
    Path((database, schema, pipe, channel)): Path<(String, String, String, String)>,
    Query(query): Query<AppendQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    app.account.authenticate(&headers)?;
    let settings = app.settings.read();
    let body =
        body::read(&headers, body, settings.append_bytes_max, settings.append_uncompressed_bytes_max).await?;
    let name = channel_name(&database, &schema, &pipe, channel);
    let batch = Batch {
        body,
        start_token: query.start_offset_token,
        end_token: query.end_offset_token.or(query.offset_token),
        accepted_at: app.registry.now(),
    };
    if name.channel == ELASTIC_CHANNEL && query.continuation_token.is_none() {
        let stored = tokio::spawn(async move { app.registry.append_elastic(&name, batch).await });
        joined(stored.await)?;
        return Ok(Json(json!({})));
    }
    let token = query.continuation_token.ok_or_else(no_token)?;
    let next = app.registry.append(&name, &token, batch).await?;
    Ok(Json(json!({"next_continuation_token": next})))
}

async fn append_files(
    State(app): State<App>,
    Path((database, schema, pipe, channel)): Path<(String, String, String, String)>,
    Query(query): Query<AppendQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    app.account.authenticate(&headers)?;
    let fragments = control_body(&headers, body)
        .await?
        .ok_or_else(|| ApiError::new(400, "390142", "the body names no file"))?;
    let name = channel_name(&database, &schema, &pipe, channel);
    let token = query.continuation_token.ok_or_else(no_token)?;
    let batch = app.files.read_fragments(fragments, app.registry.now()).await?;
    let next = app.registry.append(&name, &token, batch).await?;
    Ok(Json(json!({"next_continuation_token": next})))
}

fn no_token() -> ApiError {
    ApiError::new(400, "ERR_CHANNEL_HAS_INVALID_CLIENT_SEQUENCER", "the query has no continuationToken")
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StatusBody {
    channel_names: Vec<String>,
}

/// `…/pipes/<pipe>:bulk-channel-status` and `…/pipes/<pipe>:pipe-info`.
async fn pipe_verb(
    State(app): State<App>,
    Path((database, schema, last)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    app.account.authenticate(&headers)?;
    let (pipe, verb) = last.rsplit_once(':').unwrap_or((last.as_str(), ""));
    let schema = SchemaName { database: fold(&database), schema: fold(&schema) };
    match verb {
        "bulk-channel-status" => {
            let body: StatusBody = control_body(&headers, body).await?.unwrap_or_default();
            app.registry.statuses(&schema, &fold(pipe), &body.channel_names).await.map(Json)
        }
        "pipe-info" => app.files.pipe_info(&app, &headers, &schema, &fold(pipe)).await.map(Json),
        other => Err(ApiError::new(404, "390404", format!("a pipe has no verb {other:?}"))),
    }
}

async fn control_body<T: serde::de::DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
) -> Result<Option<T>, ApiError> {
    let bytes = body::read(headers, body, CONTROL_BODY_BYTES_MAX, CONTROL_BODY_BYTES_MAX).await?;
    if bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        ApiError::new(400, "390142", format!("the body is not the JSON that this route takes: {error}"))
    })
}

fn channel_name(database: &str, schema: &str, pipe: &str, channel: String) -> ChannelName {
    let schema = SchemaName { database: fold(database), schema: fold(schema) };
    // a channel's name is kept as it is
    ChannelName { schema, pipe: fold(pipe), channel }
}

/// A name of a URL: quoted names are kept without their quotes, others are upper case.
fn fold(name: &str) -> String {
    match name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => name.to_uppercase(),
    }
}

fn joined<T>(result: Result<Result<T, ApiError>, tokio::task::JoinError>) -> Result<T, ApiError> {
    result.unwrap_or_else(|error| {
        Err(ApiError::new(500, "ERR_GENERAL_EXCEPTION_RETRY_REQUEST", format!("the task ended: {error}")))
    })
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn names_in_urls_are_upper_case_unless_quoted() {
        assert_eq!(fold("orders-streaming"), "ORDERS-STREAMING");
        assert_eq!(fold("\"t 1-STREAMING\""), "t 1-STREAMING");
        assert_eq!(fold("\"Sch\"\"1\""), "Sch\"1");
    }
}
