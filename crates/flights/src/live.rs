//! A client of the OpenSky Network's API for people who have an account there, and of [`crate::server`].
//!
//! The live data is for research and other non-commercial use, under the network's own terms.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use reqwest::{Client, StatusCode};
use serde_json::Value;

use crate::changes::{Change, LOST_SECONDS};
use crate::server::{STATES_PATH, TOKEN_PATH};
use crate::state::StateVector;

/// The network's servers.
pub const API_URL: &str = "https://opensky-network.org";
/// Where its tokens come from.
pub const AUTH_URL: &str = "https://auth.opensky-network.org";

/// The answer for the whole world is about 2 MB and may take a while.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// A token is renewed this long before it ends.
const TOKEN_MARGIN: Duration = Duration::from_secs(60);

/// The longest wait that a server may ask for: beyond a day something is wrong.
const RETRY_AFTER_MAX: u64 = 86_400;

/// How the client names itself. Not printed: the second half is a secret.
pub enum Credentials {
    /// 400 credits a day: the world about each 14.4 minutes.
    Anonymous,
    /// An account's name and password; being retired by the network.
    Basic(String, String),
    /// A client id and its secret.
    Client(String, String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Basic(user, _) => write!(f, "Basic({user:?}, ***)"),
            Self::Client(id, _) => write!(f, "Client({id:?}, ***)"),
        }
    }
}

impl Credentials {
    /// From `OPENSKY_CLIENT_ID` and `OPENSKY_CLIENT_SECRET`, else `OPENSKY_USERNAME` and `OPENSKY_PASSWORD`, else none.
    ///
    /// # Errors
    /// When one of a pair is missing.
    pub fn from_env() -> Result<Self> {
        let pair = |first: &str, second: &str| match (std::env::var(first), std::env::var(second)) {
            (Ok(a), Ok(b)) => Ok(Some((a, b))),
            (Err(_), Err(_)) => Ok(None),
            _ => bail!("{first} and {second}: one is set and the other is not"),
        };
        if let Some((id, secret)) = pair("OPENSKY_CLIENT_ID", "OPENSKY_CLIENT_SECRET")? {
            return Ok(Self::Client(id, secret));
        }
        let basic = pair("OPENSKY_USERNAME", "OPENSKY_PASSWORD")?;
        Ok(basic.map_or(Self::Anonymous, |(user, password)| Self::Basic(user, password)))
    }

    /// How often the world may be asked for without running out of credits, with a little to spare.
    pub fn interval(&self) -> Duration {
        match self {
            Self::Anonymous => Duration::from_secs(900),
            _ => Duration::from_secs(120),
        }
    }
}

/// What the service answered.
#[derive(Debug, PartialEq)]
pub enum Answer {
    /// State vectors, and the service's clock (seconds since 1970).
    States(i64, Vec<StateVector>),
    /// The credits are used up: come back after this time.
    Wait(Duration),
}

/// A client.
pub struct Live {
    http: Client,
    api_url: String,
    auth_url: String,
    credentials: Credentials,
    token: Option<(String, Instant)>,
}

impl Live {
    /// For the service at these addresses ([`API_URL`] and [`AUTH_URL`], or both of a [`crate::server`]).
    ///
    /// # Errors
    /// When the system's certificates cannot be read.
    pub fn new(api_url: &str, auth_url: &str, credentials: Credentials) -> Result<Self> {
        let http = Client::builder().timeout(REQUEST_TIMEOUT).build().context("HTTP client")?;
        let trim = |url: &str| url.trim_end_matches('/').to_owned();
        Ok(Self { http, api_url: trim(api_url), auth_url: trim(auth_url), credentials, token: None })
    }

    /// All state vectors of the world; one question, no retry.
    ///
    /// # Errors
    /// When the service cannot be reached, refuses, or answers something that cannot be read.
    pub async fn states(&mut self) -> Result<Answer> {
        let url = format!("{}{STATES_PATH}?extended=1", self.api_url);
        let mut request = self.http.get(&url);
        match &self.credentials {
            Credentials::Anonymous => {}
            Credentials::Basic(user, password) => request = request.basic_auth(user, Some(password)),
            Credentials::Client(..) => request = request.bearer_auth(self.token().await?),
        }
        let response = request.send().await.with_context(|| format!("GET {url}"))?;
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            let wait = response.headers().get("x-rate-limit-retry-after-seconds");
            let wait = wait.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
            // Without the header: as long as between two ordinary questions.
            let seconds = wait.unwrap_or(self.credentials.interval().as_secs());
            return Ok(Answer::Wait(Duration::from_secs(seconds.clamp(1, RETRY_AFTER_MAX))));
        }
        if response.status() == StatusCode::UNAUTHORIZED {
            self.token = None;
        }
        let response = response.error_for_status().with_context(|| format!("GET {url}"))?;
        read(&response.json().await.with_context(|| format!("GET {url}"))?)
    }

    /// The token, renewed if need be.
    async fn token(&mut self) -> Result<String> {
        if let Some((token, end)) = &self.token
            && Instant::now() + TOKEN_MARGIN < *end
        {
            return Ok(token.clone());
        }
        let Credentials::Client(id, secret) = &self.credentials else { bail!("no client id") };
        let url = format!("{}{TOKEN_PATH}", self.auth_url);
        let form = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)];
        let response =
            self.http.post(&url).form(&form).send().await.with_context(|| format!("POST {url}"))?;
        let response =
            response.error_for_status().with_context(|| format!("POST {url}: client credentials"))?;
        let answer: Value = response.json().await.with_context(|| format!("POST {url}"))?;
        let token =
            answer.get("access_token").and_then(Value::as_str).context("token endpoint: no access_token")?;
        let life = Duration::from_secs(answer.get("expires_in").and_then(Value::as_u64).unwrap_or(0));
        self.token = Some((token.to_owned(), Instant::now() + life));
        Ok(token.to_owned())
    }
}

fn read(answer: &Value) -> Result<Answer> {
    let time = answer.get("time").and_then(Value::as_i64).context("states: no time")?;
    let states = match answer.get("states") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(states)) => states.iter().map(StateVector::from_json).collect::<Result<_>>()?,
        Some(_) => bail!("states: not a list"),
    };
    Ok(Answer::States(time, states))
}

/// The row changes that lead from what `flights_current` holds (`present`, with the last contact of each) to this
/// answer; brings `present` up to date.
pub fn changes(now: i64, states: Vec<StateVector>, present: &mut BTreeMap<String, i64>) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut seen = BTreeSet::new();
    for state in states {
        let before = present.get(&state.icao24).copied();
        // Nothing new since the last question, or told twice.
        if before.is_some_and(|at| at >= state.last_contact) || !seen.insert(state.icao24.clone()) {
            continue;
        }
        present.insert(state.icao24.clone(), state.last_contact);
        changes.push(Change::Report(state.clone()));
        changes.push(if before.is_some() { Change::Move(state) } else { Change::Appear(state) });
    }
    present.retain(|icao24, at| {
        let is_lost = now - *at > LOST_SECONDS;
        changes.extend(is_lost.then(|| Change::Vanish(icao24.clone())));
        !is_lost
    });
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed() {
        let printed = format!("{:?}", Credentials::Client("me".to_owned(), "hush".to_owned()));
        assert_eq!(printed, "Client(\"me\", ***)");
    }

    #[test]
    fn null_states_are_no_states() {
        let answer = read(&serde_json::json!({ "time": 5, "states": null })).unwrap();
        assert_eq!(answer, Answer::States(5, vec![]));
        assert!(read(&serde_json::json!({ "states": [] })).is_err());
        assert!(read(&serde_json::json!({ "time": 5, "states": 1 })).is_err());
    }
}
