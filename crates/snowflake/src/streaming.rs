//! Snowpipe Streaming over REST: open, append, ask.

use crate::auth::Tokens;
use crate::config::Config;
use crate::http::{Http, Reply, encode};
use cdcd_sink::destination::{Channel, ChannelStatus, DestinationError, ErrorKind, RowBatch};
use serde::Deserialize;
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Channels in one question about their state.
const CHANNELS_PER_QUESTION_MAX: usize = 500;

/// The streaming door of one account.
pub(crate) struct Streaming {
    http: Http,
    database: String,
    schema: String,
    level: i32,
    channels: Mutex<HashMap<(String, String), Open>>,
    session: Mutex<Option<String>>,
}

/// An open channel: the token that the next append must carry.
#[derive(Debug, Clone)]
struct Open {
    epoch: u64,
    continuation: String,
    /// The batch that was sent under this token, if its answer is not known.
    sent: Option<Sent>,
}

/// A retry repeats the request id and counts up.
#[derive(Debug, Clone)]
struct Sent {
    end_token: String,
    request_id: uuid::Uuid,
    retries: u32,
}

#[derive(Debug, Deserialize)]
struct OpenAnswer {
    next_continuation_token: String,
    channel_status: WireStatus,
}

#[derive(Debug, Deserialize)]
struct AppendAnswer {
    next_continuation_token: String,
}

#[derive(Debug, Deserialize)]
struct StatusAnswer {
    channel_statuses: BTreeMap<String, WireStatus>,
}

#[derive(Debug, Deserialize)]
struct WireStatus {
    channel_status_code: String,
    #[serde(default)]
    last_committed_offset_token: Option<String>,
    #[serde(default)]
    rows_inserted: Option<u64>,
    /// The newer name; an answer may hold both.
    #[serde(default)]
    rows_error_count: Option<u64>,
    #[serde(default)]
    rows_errors: Option<u64>,
    #[serde(default)]
    last_error_message: Option<String>,
    #[serde(default)]
    last_error_offset_upper_bound: Option<String>,
}

impl From<WireStatus> for ChannelStatus {
    fn from(wire: WireStatus) -> Self {
        ChannelStatus {
            problem: (wire.channel_status_code != "SUCCESS").then_some(wire.channel_status_code),
            token: wire.last_committed_offset_token,
            rows_inserted: wire.rows_inserted,
            rows_error_count: wire.rows_error_count.max(wire.rows_errors).unwrap_or(0),
            last_error: wire.last_error_message,
            last_error_upper_bound: wire.last_error_offset_upper_bound,
        }
    }
}

impl Streaming {
    pub(crate) fn new(config: &Config, http: Http) -> Self {
        Streaming {
            http,
            database: config.database.clone(),
            schema: config.schema.clone(),
            level: config.compression_level,
            channels: Mutex::default(),
            session: Mutex::default(),
        }
    }

    pub(crate) async fn open(
        &self,
        tokens: &Tokens,
        channel: &Channel,
    ) -> Result<ChannelStatus, DestinationError> {
        let what = format!("opening channel {} of {}", channel.name, channel.table);
        let path = format!("/v2/streaming{}/channels/{}", self.pipe(&channel.table), encode(&channel.name));
        let request_id = uuid::Uuid::new_v4();
        let body = json!({"fail_on_uncommitted_rows": true});
        let reply = self
            .exchange(tokens, &what, |base| {
                let url = format!("{base}{path}?requestId={request_id}");
                self.http.request(reqwest::Method::PUT, &url).json(&body)
            })
            .await?;
        if reply.status != 200 {
            if reply.status == 410 {
                tokens.moved().await;
            }
            return Err(reply.error(open_error(reply.status), &what));
        }
        let answer: OpenAnswer = read(&reply, &what)?;
        let open = Open { epoch: channel.epoch, continuation: answer.next_continuation_token, sent: None };
        lock(&self.channels).insert((channel.table.clone(), channel.name.clone()), open);
        Ok(answer.channel_status.into())
    }

    pub(crate) async fn append(&self, tokens: &Tokens, batch: &RowBatch) -> Result<(), DestinationError> {
        let channel = &batch.channel;
        let what =
            format!("appending offsets {} to {} to {}", batch.first_offset, batch.last_offset, channel.name);
        let Some((continuation, sent)) = self.begin_append(batch) else {
            return Err(DestinationError::new(ErrorKind::Reopen, what, "the channel was opened again since"));
        };
        let path = format!(
            "/v2/streaming/data{}/channels/{}/rows",
            self.pipe(&channel.table),
            encode(&channel.name)
        );
        let query = format!(
            "continuationToken={}&startOffsetToken={}&endOffsetToken={}&requestId={}&retryCount={}",
            encode(&continuation),
            encode(&batch.start_token),
            encode(&batch.end_token),
            sent.request_id,
            sent.retries
        );
        let body = zstd::bulk::compress(&batch.body, self.level).map_err(|error| {
            DestinationError::new(ErrorKind::Definite, &what, format!("compressing: {error}"))
        })?;
        let reply = self
            .exchange(tokens, &what, |base| {
                self.http
                    .request(reqwest::Method::POST, &format!("{base}{path}?{query}"))
                    .header("Content-Type", "application/x-ndjson")
                    .header("Content-Encoding", "zstd")
                    .header("x-snowflake-uncompressed-content-length", batch.body.len().to_string())
                    .body(body.clone())
            })
            .await?;
        if reply.status != 200 {
            if reply.status == 410 {
                tokens.moved().await;
            }
            return Err(reply.error(append_error(reply.status), &what));
        }
        let answer: AppendAnswer = read(&reply, &what)?;
        let mut channels = lock(&self.channels);
        if let Some(open) = channels.get_mut(&(channel.table.clone(), channel.name.clone()))
            && open.epoch == channel.epoch
        {
            open.continuation = answer.next_continuation_token;
            open.sent = None;
        }
        Ok(())
    }

    /// The token to send `batch` under, unless its channel has another epoch or another batch is unanswered.
    fn begin_append(&self, batch: &RowBatch) -> Option<(String, Sent)> {
        let mut channels = lock(&self.channels);
        let open = channels.get_mut(&(batch.channel.table.clone(), batch.channel.name.clone()))?;
        if open.epoch != batch.channel.epoch {
            return None;
        }
        let sent = match open.sent.take() {
            Some(sent) if sent.end_token == batch.end_token => Sent { retries: sent.retries + 1, ..sent },
            // Different bytes under a token whose use is unknown could land twice.
            Some(_) => return None,
            None => Sent { end_token: batch.end_token.clone(), request_id: uuid::Uuid::new_v4(), retries: 0 },
        };
        open.sent = Some(sent.clone());
        Some((open.continuation.clone(), sent))
    }

    pub(crate) async fn statuses(
        &self,
        tokens: &Tokens,
        channels: &[Channel],
    ) -> Result<Vec<(String, ChannelStatus)>, DestinationError> {
        let mut found = Vec::with_capacity(channels.len());
        for part in channels.chunks(CHANNELS_PER_QUESTION_MAX) {
            let Some(first) = part.first() else { continue };
            let what = format!("asking for {} channels of {}", part.len(), first.table);
            let path = format!("/v2/streaming{}:bulk-channel-status", self.pipe(&first.table));
            let names: Vec<&str> = part.iter().map(|channel| channel.name.as_str()).collect();
            let body = json!({"channel_names": names});
            let reply = self
                .exchange(tokens, &what, |base| {
                    self.http.request(reqwest::Method::POST, &format!("{base}{path}")).json(&body)
                })
                .await?;
            if reply.status != 200 {
                if reply.status == 410 {
                    tokens.moved().await;
                }
                return Err(reply.error(append_error(reply.status), &what));
            }
            let answer: StatusAnswer = read(&reply, &what)?;
            found.extend(answer.channel_statuses.into_iter().map(|(name, status)| (name, status.into())));
        }
        Ok(found)
    }

    /// Sends with the scoped token; a refused token is renewed once, and the same request sent again.
    async fn exchange(
        &self,
        tokens: &Tokens,
        what: &str,
        make: impl Fn(&str) -> reqwest::RequestBuilder,
    ) -> Result<Reply, DestinationError> {
        let mut reply = None;
        for _ in 0..2 {
            let (base, token) = tokens.ingest().await?;
            let mut request =
                make(&base).bearer_auth(&token).header("X-Snowflake-Authorization-Token-Type", "OAUTH");
            if let Some(session) = lock(&self.session).clone() {
                request = request.header("x-snowflake-session", session);
            }
            let answer = self.http.send(request, what).await?;
            if let Some(session) = &answer.session {
                *lock(&self.session) = Some(session.clone());
            }
            if answer.status != 401 {
                return Ok(answer);
            }
            tokens.refused(&token).await;
            reply = Some(answer);
        }
        let missing = || DestinationError::new(ErrorKind::Transient, what, "no answer");
        reply.ok_or_else(missing)
    }

    /// The path of a table's own pipe.
    fn pipe(&self, table: &str) -> String {
        format!(
            "/databases/{}/schemas/{}/pipes/{}",
            path_name(&self.database),
            path_name(&self.schema),
            path_name(&format!("{table}-STREAMING"))
        )
    }
}

/// A name in a path: as it is when the server's upper-casing does not change it, else in quotes.
fn path_name(name: &str) -> String {
    let plain =
        |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'$' | b'-');
    if name.bytes().all(plain) { encode(name) } else { encode(&format!("\"{name}\"")) }
}

fn read<'r, T: Deserialize<'r>>(reply: &'r Reply, what: &str) -> Result<T, DestinationError> {
    serde_json::from_slice(&reply.body).map_err(|error| {
        DestinationError::new(ErrorKind::Transient, what, format!("the answer is not as documented: {error}"))
    })
}

/// Reads one answer as each kind.
pub(crate) fn read_any(reply: &Reply) {
    let _ = read::<OpenAnswer>(reply, "").map(|answer| ChannelStatus::from(answer.channel_status));
    let _ = read::<AppendAnswer>(reply, "").map(|answer| answer.next_continuation_token);
    let _ = read::<StatusAnswer>(reply, "").map(|answer| answer.channel_statuses.len());
}

/// What may be done about a refused open.
fn open_error(status: u16) -> ErrorKind {
    match status {
        400 | 401 | 403 | 404 => ErrorKind::Config,
        _ => ErrorKind::Transient,
    }
}

/// What may be done about a refused append or question.
fn append_error(status: u16) -> ErrorKind {
    match status {
        400 | 404 | 409 | 410 => ErrorKind::Reopen,
        401 => ErrorKind::Config,
        413 => ErrorKind::TooLarge,
        _ => ErrorKind::Transient,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
