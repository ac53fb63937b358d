//! The account's door: host name, scoped tokens, and who may pass.
//!
//! A key-pair JWT is verified against the public keys that were registered for its user (control plane, or
//! `CREATE USER … RSA_PUBLIC_KEY`); for a user without any, a well-formed one is accepted and that is said once in the log.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::error::ApiError;

/// How far a client's clock may be ahead or behind.
const CLOCK_SKEW_SECONDS: i64 = 60;

/// Registered keys and the secret of this emulator's own tokens.
pub(crate) struct Account {
    secret: Vec<u8>,
    /// User (upper case) to PEM public keys.
    keys: Mutex<HashMap<String, Vec<String>>>,
    said_unverified: AtomicBool,
}

/// Claims of a token that `/oauth/token` gives.
#[derive(Debug, Serialize, Deserialize)]
struct ScopedClaims {
    iss: String,
    sub: String,
    scope: String,
    iat: i64,
    exp: i64,
    jti: String,
}

/// Claims of a key-pair JWT; the official client writes the times in milliseconds, the documentation says seconds.
#[derive(Debug, Deserialize)]
struct KeyPairClaims {
    iss: String,
    sub: String,
    exp: i64,
    #[serde(default)]
    iat: Option<i64>,
}

impl Account {
    /// `secret` signs scoped tokens: the same one after a restart keeps them valid.
    pub(crate) fn new(secret: Vec<u8>) -> Account {
        Account { secret, keys: Mutex::new(HashMap::new()), said_unverified: AtomicBool::new(false) }
    }

    /// Registers the public keys of `user` (RSA_PUBLIC_KEY, RSA_PUBLIC_KEY_2): PEM with or without its header lines.
    ///
    /// # Errors
    /// When a key is not an RSA public key.
    pub(crate) fn register(&self, user: &str, keys: &[String]) -> Result<(), ApiError> {
        let mut pems = Vec::with_capacity(keys.len());
        for key in keys {
            let body: String = key
                .lines()
                .filter(|line| !line.contains("-----"))
                .flat_map(str::chars)
                .filter(|c| !c.is_whitespace())
                .collect();
            let pem = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
            DecodingKey::from_rsa_pem(pem.as_bytes()).map_err(|error| {
                ApiError::new(
                    400,
                    "390200",
                    format!("user {user}: the key is not an RSA public key: {error}"),
                )
            })?;
            pems.push(pem);
        }
        let mut registered = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        registered.insert(user.to_uppercase(), pems);
        Ok(())
    }

    /// Forgets all keys.
    pub(crate) fn forget_keys(&self) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Gives a scoped token that lives `seconds`.
    ///
    /// # Errors
    /// When signing fails.
    pub(crate) fn issue(&self, user: &str, scope: &str, seconds: u64) -> Result<String, ApiError> {
        let now = unix_seconds();
        let claims = ScopedClaims {
            iss: "snowflake-emulator".to_owned(),
            sub: user.to_owned(),
            scope: scope.to_owned(),
            iat: now,
            exp: now.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX)),
            jti: uuid::Uuid::new_v4().to_string(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(&self.secret))
            .map_err(|error| ApiError::new(500, "390100", format!("signing a token: {error}")))
    }

    /// Checks the `Authorization` of a request; gives the user.
    ///
    /// # Errors
    /// 401 with Snowflake's code.
    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> Result<String, ApiError> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let Some(token) = text("authorization").strip_prefix("Bearer ") else {
            return Err(ApiError::new(401, "390101", "the request has no Authorization: Bearer header"));
        };
        match text("x-snowflake-authorization-token-type") {
            "KEYPAIR_JWT" => self.verify_key_pair(token),
            "OAUTH" | "" => self.verify_scoped(token).or_else(|error| {
                // without a type header the server looks at the token itself
                if text("x-snowflake-authorization-token-type").is_empty() {
                    self.verify_key_pair(token).map_err(|_| error)
                } else {
                    Err(error)
                }
            }),
            "PROGRAMMATIC_ACCESS_TOKEN" if !token.is_empty() => Ok("PAT".to_owned()),
            other => Err(ApiError::new(
                401,
                "390100",
                format!(
                    "X-Snowflake-Authorization-Token-Type {other:?} is not KEYPAIR_JWT, OAUTH or PROGRAMMATIC_ACCESS_TOKEN"
                ),
            )),
        }
    }

    /// Verifies a key-pair JWT; gives the user.
    ///
    /// # Errors
    /// 401 `390144` with what is wrong.
    pub(crate) fn verify_key_pair(&self, token: &str) -> Result<String, ApiError> {
        let invalid = |why: String| ApiError::new(401, "390144", format!("JWT token is invalid: {why}"));
        let header =
            jsonwebtoken::decode_header(token).map_err(|error| invalid(format!("header: {error}")))?;
        if header.alg != Algorithm::RS256 {
            return Err(invalid(format!("the algorithm is {:?}, not RS256", header.alg)));
        }
        let claims = read_claims(token).map_err(invalid)?;
        let user = claims.sub.rsplit('.').next().unwrap_or_default().to_owned();
        let fingerprint = claims
            .iss
            .strip_prefix(&format!("{}.SHA256:", claims.sub))
            .ok_or_else(|| invalid("iss is not <sub>.SHA256:<fingerprint>".to_owned()))?;
        let now = unix_seconds();
        if seconds_of(claims.exp) + CLOCK_SKEW_SECONDS < now {
            return Err(invalid("it has expired".to_owned()));
        }
        if claims.iat.is_some_and(|issued| seconds_of(issued) - CLOCK_SKEW_SECONDS > now) {
            return Err(invalid("it was issued in the future".to_owned()));
        }
        let keys =
            self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(&user.to_uppercase()).cloned();
        match keys {
            Some(keys) => verify_with(&keys, token, fingerprint).map_err(invalid)?,
            None if !self.said_unverified.swap(true, Ordering::Relaxed) => {
                tracing::warn!(%user, "no public key is registered: signatures of key-pair JWTs are not verified");
            }
            None => {}
        }
        Ok(user)
    }

    fn verify_scoped(&self, token: &str) -> Result<String, ApiError> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.validate_aud = false;
        jsonwebtoken::decode::<ScopedClaims>(token, &DecodingKey::from_secret(&self.secret), &validation)
            .map(|data| data.claims.sub)
            .map_err(|error| match error.kind() {
                jsonwebtoken::errors::ErrorKind::ExpiredSignature => {
                    ApiError::new(401, "390318", "OAuth access token expired")
                }
                _ => ApiError::new(401, "390303", "Invalid OAuth access token"),
            })
    }
}

/// The payload of a JWT whose signature may not be checkable; the signature must be base64url all the same.
fn read_claims(token: &str) -> Result<KeyPairClaims, String> {
    let parts: Vec<&str> = token.split('.').collect();
    let [_, payload, signature] = parts.as_slice() else {
        return Err("it does not have three parts".to_owned());
    };
    let signature =
        URL_SAFE_NO_PAD.decode(signature).map_err(|_| "the signature is not base64url".to_owned())?;
    // RSA of 2048 bits and more
    if signature.len() < 256 {
        return Err(format!(
            "the signature has {} bytes: the key must be RSA of 2048 bits or more",
            signature.len()
        ));
    }
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| "the payload is not base64url".to_owned())?;
    serde_json::from_slice(&payload).map_err(|error| format!("claims: {error}"))
}

fn verify_with(keys: &[String], token: &str, fingerprint: &str) -> Result<(), String> {
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    for pem in keys {
        let key = DecodingKey::from_rsa_pem(pem.as_bytes()).map_err(|error| error.to_string())?;
        if jsonwebtoken::decode::<serde_json::Value>(token, &key, &validation).is_ok() {
            let expected = public_key_fingerprint(pem).ok_or("the registered key is not PEM")?;
            return if expected == fingerprint {
                Ok(())
            } else {
                Err(format!("iss names key SHA256:{fingerprint}, the signature is by SHA256:{expected}"))
            };
        }
    }
    Err("no registered public key of the user verifies the signature".to_owned())
}

/// Base64 of the SHA-256 of the DER of a public key.
pub(crate) fn public_key_fingerprint(pem: &str) -> Option<String> {
    let body: String = pem.lines().filter(|line| !line.contains("-----")).collect();
    let der = STANDARD.decode(body.as_bytes()).ok()?;
    Some(STANDARD.encode(sha2::Sha256::digest(&der)))
}

fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// A time of a claim in seconds: beyond the year 5138 it must have been milliseconds.
fn seconds_of(claim: i64) -> i64 {
    if claim > 100_000_000_000 { claim / 1_000 } else { claim }
}
