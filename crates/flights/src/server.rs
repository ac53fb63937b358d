//! The OpenSky Network's interface over simulated traffic: `/api/states/all` with credits, and its token endpoint.
//!
//! Tokens are handed out to any client that names itself; the point is to exercise a client's ways, not to keep anyone out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::changes::LOST_SECONDS;
use crate::simulator::Simulator;
use crate::state::{Fields, StateVector};

/// Path of the token endpoint.
pub const TOKEN_PATH: &str = "/auth/realms/opensky-network/protocol/openid-connect/token";

/// Path of the state vectors.
pub const STATES_PATH: &str = "/api/states/all";

/// A position counts as current for this long, s; after it `time_position` is null.
const POSITION_SECONDS: i64 = 15;

/// Life of a token.
const TOKEN_SECONDS: u64 = 1_800;

/// Most tokens that are remembered; beyond it the oldest is forgotten, as if it had expired.
const TOKENS_MAX: usize = 1_000;

/// Credits are counted per day.
const DAY: Duration = Duration::from_secs(86_400);

/// Credits per day of clients without and with an account.
#[derive(Debug, Clone, Copy)]
pub struct Credits {
    /// Without credentials.
    pub anonymous: u32,
    /// With them.
    pub account: u32,
}

impl Default for Credits {
    /// Those of the real service.
    fn default() -> Self {
        Self { anonymous: 400, account: 4_000 }
    }
}

struct Budget {
    since: Instant,
    used: u32,
}

struct Airspace {
    simulator: Simulator,
    latest: BTreeMap<String, StateVector>,
    budgets: BTreeMap<String, Budget>,
    /// Token, its owner, its end; the oldest first.
    tokens: Vec<(String, String, Instant)>,
    tokens_made: u64,
    credits: Credits,
    speed: f64,
    started: (Instant, i64),
}

/// The service: traffic from now on, `speed` times as fast as the clock.
pub fn router(simulator: Simulator, credits: Credits, speed: f64) -> Router {
    let start = simulator.next_at();
    let airspace = Airspace {
        simulator,
        latest: BTreeMap::new(),
        budgets: BTreeMap::new(),
        tokens: Vec::new(),
        tokens_made: 0,
        credits,
        speed,
        started: (Instant::now(), start),
    };
    Router::new()
        .route(STATES_PATH, get(states))
        .route(TOKEN_PATH, post(token))
        .with_state(Arc::new(Mutex::new(airspace)))
}

/// Seconds since 1970.
pub fn unix_now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

impl Airspace {
    /// Simulated time.
    fn now(&self) -> i64 {
        let (clock, start) = self.started;
        start + (clock.elapsed().as_secs_f64() * self.speed) as i64
    }

    /// Lets all reports up to now come in.
    fn advance(&mut self) -> i64 {
        let now = self.now();
        while self.simulator.next_at() <= now {
            let state = self.simulator.next_report().state;
            self.latest.insert(state.icao24.clone(), state);
        }
        self.latest.retain(|_, state| now - state.last_contact <= LOST_SECONDS);
        now
    }

    /// Takes credits from the client's budget: what is left, or the seconds until there is more.
    fn charge(&mut self, client: &str, is_account: bool, cost: u32) -> Result<u32, u64> {
        let limit = if is_account { self.credits.account } else { self.credits.anonymous };
        let now = Instant::now();
        let budget = self.budgets.entry(client.to_owned()).or_insert(Budget { since: now, used: 0 });
        if now - budget.since >= DAY {
            *budget = Budget { since: now, used: 0 };
        }
        if budget.used + cost > limit {
            return Err((DAY - (now - budget.since)).as_secs().max(1));
        }
        budget.used += cost;
        Ok(limit - budget.used)
    }

    fn issue_token(&mut self, client: &str) -> String {
        self.tokens_made += 1;
        let token = format!("simulated-{}-{}", self.tokens_made, std::process::id());
        if self.tokens.len() >= TOKENS_MAX {
            self.tokens.remove(0);
        }
        self.tokens.push((
            token.clone(),
            client.to_owned(),
            Instant::now() + Duration::from_secs(TOKEN_SECONDS),
        ));
        token
    }

    fn owner(&self, token: &str) -> Option<String> {
        let now = Instant::now();
        self.tokens
            .iter()
            .find(|(known, _, end)| known == token && *end > now)
            .map(|(_, owner, _)| owner.clone())
    }
}

type Shared = State<Arc<Mutex<Airspace>>>;

async fn states(State(airspace): Shared, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let query = match Query::read(query.as_deref().unwrap_or("")) {
        Ok(query) => query,
        Err(what) => return (StatusCode::BAD_REQUEST, what).into_response(),
    };
    let mut airspace = airspace.lock().unwrap_or_else(PoisonError::into_inner);
    let (client, is_account) = match headers.get(header::AUTHORIZATION).map(HeaderValue::to_str) {
        None => ("anonymous".to_owned(), false),
        Some(Ok(value)) => match (value.strip_prefix("Bearer "), value.strip_prefix("Basic ")) {
            (Some(token), _) => match airspace.owner(token) {
                Some(owner) => (owner, true),
                None => return (StatusCode::UNAUTHORIZED, "token is unknown or has expired").into_response(),
            },
            (_, Some(pair)) => (pair.to_owned(), true),
            _ => return (StatusCode::UNAUTHORIZED, "want Bearer or Basic").into_response(),
        },
        Some(Err(_)) => return (StatusCode::BAD_REQUEST, "Authorization is not text").into_response(),
    };
    match airspace.charge(&client, is_account, query.cost()) {
        Ok(left) => {
            let body = Json(answer(&mut airspace, &query));
            ([("x-rate-limit-remaining", left.to_string())], body).into_response()
        }
        Err(wait) => {
            let headers = [
                ("x-rate-limit-remaining", "0".to_owned()),
                ("x-rate-limit-retry-after-seconds", wait.to_string()),
            ];
            (StatusCode::TOO_MANY_REQUESTS, headers, "Too many requests").into_response()
        }
    }
}

fn answer(airspace: &mut Airspace, query: &Query) -> Value {
    let now = airspace.advance();
    let shown = airspace.latest.values().filter(|state| query.wants(state)).map(|state| {
        let mut state = state.clone();
        state.time_position = state.time_position.filter(|at| now - at <= POSITION_SECONDS);
        state.to_json(query.fields)
    });
    let shown: Vec<Value> = shown.collect();
    // As the real service: null, not an empty list.
    json!({ "time": now, "states": if shown.is_empty() { Value::Null } else { Value::Array(shown) } })
}

async fn token(State(airspace): Shared, body: String) -> Response {
    let form: BTreeMap<&str, &str> = body.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let field = |name| form.get(name).copied().filter(|value| !value.is_empty());
    if field("grant_type") != Some("client_credentials") {
        let error = json!({ "error": "unsupported_grant_type" });
        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
    }
    let (Some(client), Some(_)) = (field("client_id"), field("client_secret")) else {
        let error = json!({ "error": "invalid_client", "error_description": "client_id and client_secret are needed" });
        return (StatusCode::UNAUTHORIZED, Json(error)).into_response();
    };
    let mut airspace = airspace.lock().unwrap_or_else(PoisonError::into_inner);
    let token = airspace.issue_token(client);
    Json(json!({ "access_token": token, "expires_in": TOKEN_SECONDS, "token_type": "Bearer" }))
        .into_response()
}

/// The parameters of a question; those that are left out ask for everything.
#[derive(Debug, PartialEq)]
struct Query {
    addresses: Vec<String>,
    /// South, west, north, east; degrees.
    area: Option<[f64; 4]>,
    fields: Fields,
}

impl Query {
    fn read(query: &str) -> Result<Self, String> {
        let (mut addresses, mut area, mut fields) = (Vec::new(), [None; 4], Fields::Plain);
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let degrees = || value.parse::<f64>().map_err(|_| format!("{name}={value}: not a number"));
            match name {
                "icao24" => addresses.extend(value.split(',').map(str::to_ascii_lowercase)),
                "lamin" => area[0] = Some(degrees()?),
                "lomin" => area[1] = Some(degrees()?),
                "lamax" => area[2] = Some(degrees()?),
                "lomax" => area[3] = Some(degrees()?),
                "extended" if value == "1" => fields = Fields::Extended,
                // `time` is for history, which nobody has here; others are ignored, as the real service does.
                _ => {}
            }
        }
        let area = match area {
            [Some(south), Some(west), Some(north), Some(east)] => Some([south, west, north, east]),
            [None, None, None, None] => None,
            _ => return Err("an area needs all of lamin, lomin, lamax, lomax".to_owned()),
        };
        Ok(Self { addresses, area, fields })
    }

    /// Credits: by square degrees.
    fn cost(&self) -> u32 {
        match self.area.map(|[south, west, north, east]| (north - south).abs() * (east - west).abs()) {
            Some(area) if area <= 25.0 => 1,
            Some(area) if area <= 100.0 => 2,
            Some(area) if area <= 400.0 => 3,
            _ => 4,
        }
    }

    fn wants(&self, state: &StateVector) -> bool {
        let inside =
            self.area.is_none_or(|[south, west, north, east]| match (state.latitude, state.longitude) {
                (Some(latitude), Some(longitude)) => {
                    (south..=north).contains(&latitude) && (west..=east).contains(&longitude)
                }
                _ => false,
            });
        inside && (self.addresses.is_empty() || self.addresses.contains(&state.icao24))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn question_costs_by_its_area() {
        let cost = |query| Query::read(query).unwrap().cost();
        assert_eq!(cost(""), 4);
        assert_eq!(cost("lamin=0&lomin=0&lamax=5&lomax=5"), 1);
        assert_eq!(cost("lamin=0&lomin=0&lamax=10&lomax=10"), 2);
        assert_eq!(cost("lamin=-10&lomin=-10&lamax=10&lomax=10"), 3);
        assert_eq!(cost("lamin=-90&lomin=-180&lamax=90&lomax=180"), 4);
    }

    #[test]
    fn half_an_area_is_refused() {
        assert!(Query::read("lamin=0&lomin=0").unwrap_err().contains("lomax"));
        assert!(Query::read("lamin=north&lomin=0&lamax=1&lomax=1").unwrap_err().contains("lamin=north"));
    }
}
