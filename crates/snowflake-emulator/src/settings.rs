//! What the control plane can change while the emulator runs.

use std::sync::RwLock;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::streaming::channel::SameToken;

/// Behaviour that tests switch; `POST /_ctl/settings` changes the fields that it names.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// From acceptance to commit. Default 100.
    pub commit_delay_ms: u64,
    /// Added to the delay, uniformly from zero to this. Default 0.
    pub commit_jitter_ms: u64,
    /// Channels whose name contains one of these are accepted and never committed. Default none.
    pub hold_commits: Vec<String>,
    /// What the second append with a token that was applied gets: `stale` (default) or `idempotent`.
    pub same_token: SameTokenSetting,
    /// How `/v2/streaming/hostname` and `/oauth/token` answer: `text` (default, as live servers do) or `json` (as documented).
    pub reply_style: ReplyStyle,
    /// Pipes whose name contains one of these open with 200 and a bad status, accept rows and lose them. Default none.
    pub invalid_pipes: Vec<String>,
    /// Largest body of an append on the wire. Default 4 MiB.
    pub append_bytes_max: usize,
    /// Largest body of an append after decompression. Default 16 MiB.
    pub append_uncompressed_bytes_max: usize,
    /// Appends a second that one channel takes before it answers 429; 0 is no limit. Default 0.
    pub append_requests_per_second_max: u32,
    /// Uncompressed bytes a second that one channel takes before it answers 429; 0 is no limit. Default 0.
    pub append_bytes_per_second_max: u64,
    /// Life of a scoped token. Default 3600.
    pub token_seconds: u64,
    /// How long a statement may run before its request is answered with 202. Default 45000.
    pub statement_wait_ms: u64,
}

/// See [`Settings::same_token`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SameTokenSetting {
    /// Refused.
    Stale,
    /// Answered again, not applied again.
    Idempotent,
}

/// See [`Settings::reply_style`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplyStyle {
    /// The bare value.
    Text,
    /// `{"token": …}`, `{"hostname": …}`.
    Json,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            commit_delay_ms: 100,
            commit_jitter_ms: 0,
            hold_commits: Vec::new(),
            same_token: SameTokenSetting::Stale,
            reply_style: ReplyStyle::Text,
            invalid_pipes: Vec::new(),
            append_bytes_max: 4 << 20,
            append_uncompressed_bytes_max: 16 << 20,
            append_requests_per_second_max: 0,
            append_bytes_per_second_max: 0,
            token_seconds: 3_600,
            statement_wait_ms: 45_000,
        }
    }
}

impl Settings {
    /// What the channel state machine is told.
    pub fn same_token(&self) -> SameToken {
        match self.same_token {
            SameTokenSetting::Stale => SameToken::Stale,
            SameTokenSetting::Idempotent => SameToken::Idempotent,
        }
    }
}

/// The settings, shared by all handlers.
#[derive(Debug, Default)]
pub struct SharedSettings(RwLock<Settings>);

impl SharedSettings {
    /// Starts with these.
    pub fn new(settings: Settings) -> SharedSettings {
        SharedSettings(RwLock::new(settings))
    }

    /// A copy of the present ones.
    pub fn read(&self) -> Settings {
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Replaces them.
    pub fn write(&self, settings: Settings) {
        *self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner) = settings;
    }

    /// The delay before a commit of `channel`: None while its commits are held.
    pub(crate) fn commit_delay(&self, channel: &str) -> Option<Duration> {
        let settings = self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        if settings.hold_commits.iter().any(|part| channel.contains(part.as_str())) {
            return None;
        }
        let jitter = match settings.commit_jitter_ms {
            0 => 0,
            // the low half of a version 4 UUID is random but for two bits of its top byte
            most => uuid::Uuid::new_v4().as_u64_pair().1 % most.saturating_add(1),
        };
        Some(Duration::from_millis(settings.commit_delay_ms + jitter))
    }
}
