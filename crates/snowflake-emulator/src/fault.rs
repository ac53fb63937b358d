//! Faults on purpose: rules that match requests and delay, refuse, cut or falsify them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::server::{App, Cut};

/// Rules that one emulator keeps; a test needs a handful.
pub const RULES_MAX: usize = 1_000;

/// A rule, as `POST /_ctl/faults` takes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which requests it is for; an absent field matches all.
    #[serde(rename = "match", default)]
    pub matches: Match,
    /// How often it strikes before it is spent; 0 is for ever. Default 1.
    #[serde(default = "once")]
    pub times: u32,
    /// How many matching requests pass before it strikes. Default 0.
    #[serde(default)]
    pub skip: u32,
    /// Of the matching requests only each such one is struck: 20 strikes one in twenty. Default 1.
    #[serde(default = "once")]
    pub every: u32,
    /// Wait before anything else, milliseconds.
    #[serde(default)]
    pub delay_ms: u64,
    /// Answer with this status instead of the real answer.
    #[serde(default)]
    pub status: Option<u16>,
    /// Body of that answer: a JSON value, sent as JSON; a string is sent as a bare JSON string.
    #[serde(default)]
    pub body: Option<Value>,
    /// Body of that answer as plain text, instead of `body`.
    #[serde(default)]
    pub text: Option<String>,
    /// Headers added to the answer, real or not.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Cut the connection: before the request is carried out, or after it, so that only the reply is lost.
    #[serde(default)]
    pub drop: Option<Drop>,
    /// Carry the request out although `status` answers something else. Default false.
    #[serde(default)]
    pub apply: bool,
}

/// Which requests a rule is for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Match {
    /// Method, without regard to case.
    pub method: Option<String>,
    /// A part of path and query, as they were sent.
    pub path: Option<String>,
    /// A part of the path's segment after `/channels/`.
    pub channel: Option<String>,
}

/// When a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Drop {
    /// The request is not carried out.
    Before,
    /// The request is carried out, its reply is lost.
    After,
}

fn once() -> u32 {
    1
}

impl Match {
    fn accepts(&self, method: &Method, target: &str) -> bool {
        let channel = || {
            let tail = target.split_once("/channels/").map(|(_, tail)| tail).unwrap_or_default();
            tail.split(['/', '?']).next().unwrap_or_default()
        };
        self.method.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method.as_str()))
            && self.path.as_ref().is_none_or(|part| target.contains(part.as_str()))
            && self
                .channel
                .as_ref()
                .is_none_or(|part| !channel().is_empty() && channel().contains(part.as_str()))
    }
}

/// A rule in use.
#[derive(Debug, Clone, Serialize)]
struct Armed {
    id: u64,
    rule: Rule,
    matched: u32,
    struck: u32,
}

/// All rules, first come first served.
#[derive(Debug, Default)]
pub struct Faults(Mutex<(u64, Vec<Armed>)>);

impl Faults {
    /// Arms a rule; gives its number, or None when there are too many.
    pub fn arm(&self, rule: Rule) -> Option<u64> {
        let mut rules = self.lock();
        if rules.1.len() >= RULES_MAX {
            return None;
        }
        rules.0 += 1;
        let id = rules.0;
        rules.1.push(Armed { id, rule, matched: 0, struck: 0 });
        Some(id)
    }

    /// Disarms all rules.
    pub fn clear(&self) {
        self.lock().1.clear();
    }

    /// All rules with how often they matched and struck; spent ones stay until they are cleared.
    pub fn list(&self) -> Value {
        json!(self.lock().1)
    }

    fn strike(&self, method: &Method, target: &str) -> Option<Rule> {
        let mut rules = self.lock();
        for armed in &mut rules.1 {
            let spent = armed.rule.times > 0 && armed.struck >= armed.rule.times;
            if spent || !armed.rule.matches.accepts(method, target) {
                continue;
            }
            armed.matched = armed.matched.saturating_add(1);
            if armed.matched <= armed.rule.skip || !armed.matched.is_multiple_of(armed.rule.every.max(1)) {
                continue;
            }
            armed.struck = armed.struck.saturating_add(1);
            return Some(armed.rule.clone());
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, (u64, Vec<Armed>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The layer around all routes.
pub(crate) async fn layer(
    State(app): State<App>,
    Extension(cut): Extension<Cut>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    if target.starts_with("/_ctl") {
        return next.run(request).await;
    }
    let Some(rule) = app.faults.strike(request.method(), &target) else { return next.run(request).await };
    tracing::debug!(method = %request.method(), path = request.uri().path(), ?rule.drop, rule.status, "fault struck");
    tokio::time::sleep(Duration::from_millis(rule.delay_ms)).await;
    if rule.drop == Some(Drop::Before) {
        match cut.now().await {}
    }
    let response = match (rule.status, rule.apply || rule.drop == Some(Drop::After)) {
        (Some(status), true) => {
            next.run(request).await;
            falsified(status, &rule)
        }
        (Some(status), false) => falsified(status, &rule),
        (None, _) => next.run(request).await,
    };
    if rule.drop == Some(Drop::After) {
        match cut.now().await {}
    }
    with_headers(response, &rule.headers)
}

fn falsified(status: u16, rule: &Rule) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match (&rule.text, &rule.body) {
        (Some(text), _) => (status, text.clone()).into_response(),
        (None, Some(body)) => (status, Json(body.clone())).into_response(),
        (None, None) => {
            (status, Json(json!({"code": "FAULT", "message": "a fault rule answered this request"})))
                .into_response()
        }
    }
}

fn with_headers(mut response: Response, headers: &BTreeMap<String, String>) -> Response {
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Rule {
        serde_json::from_str(text).expect("a rule")
    }

    #[test]
    fn a_rule_strikes_as_often_as_it_says_after_those_that_it_lets_pass() {
        let faults = Faults::default();
        faults.arm(rule(
            r#"{"match": {"method": "post", "path": "/rows"}, "skip": 1, "times": 2, "status": 503}"#,
        ));
        let hit = |path: &str| faults.strike(&Method::POST, path).is_some();
        let rows = "/v2/x/channels/c1/rows?requestId=1";
        assert_eq!(
            [hit(rows), hit(rows), hit("/other"), hit(rows), hit(rows)],
            [false, true, false, true, false]
        );
        assert!(faults.strike(&Method::GET, rows).is_none());
    }

    #[test]
    fn a_rule_for_a_channel_leaves_other_channels_and_requests_alone() {
        let faults = Faults::default();
        faults.arm(rule(r#"{"match": {"channel": "c1"}, "times": 0, "drop": "after"}"#));
        assert!(faults.strike(&Method::PUT, "/v2/x/channels/c1").is_some());
        assert!(faults.strike(&Method::PUT, "/v2/x/channels/c2").is_none());
        assert!(faults.strike(&Method::POST, "/api/v2/statements?requestId=c1").is_none());
    }

    #[test]
    fn rates_of_several_rules_add_up() {
        let faults = Faults::default();
        faults.arm(rule(r#"{"every": 4, "times": 0, "status": 429}"#));
        faults.arm(rule(r#"{"every": 3, "times": 0, "status": 503}"#));
        let struck: Vec<Option<u16>> =
            (0..12).map(|_| faults.strike(&Method::GET, "/v2/x").and_then(|rule| rule.status)).collect();
        assert_eq!(struck.iter().filter(|status| **status == Some(429)).count(), 3);
        assert_eq!(struck.iter().filter(|status| **status == Some(503)).count(), 3);
    }

    #[test]
    fn an_unknown_field_of_a_rule_is_an_error() {
        assert!(serde_json::from_str::<Rule>(r#"{"staus": 503}"#).is_err());
    }
}
