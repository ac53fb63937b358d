//! Who we are: a key-pair JWT for the account, and a scoped token for the ingest host, each renewed in time.

use crate::config::{Config, ConfigError, host_of};
use crate::http::{Http, Reply, encode};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cdcd_sink::destination::{DestinationError, ErrorKind};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Mutex;

/// Life of a JWT; the server takes up to 60 minutes.
const JWT_LIFE: Duration = Duration::from_secs(50 * 60);

/// A token is renewed this long before it ends.
const RENEW_BEFORE: Duration = Duration::from_secs(60);

/// Life of a scoped token that does not tell its own.
const TOKEN_LIFE_UNKNOWN: Duration = Duration::from_secs(5 * 60);

/// Least time between two exchanges: a server that refuses every token must not be stormed.
const EXCHANGE_PAUSE: Duration = Duration::from_secs(1);

/// The key and the names that go into a JWT.
pub(crate) struct Signer {
    key: EncodingKey,
    subject: String,
    issuer: String,
}

#[derive(serde::Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    iat: u64,
    exp: u64,
}

impl Signer {
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigError> {
        let wrong = |problem: String| ConfigError { setting: "snowflake.private.key", problem };
        let der = key_der(config.private_key.reveal()).map_err(wrong)?;
        let pair = aws_lc_rs::rsa::KeyPair::from_pkcs8(&der)
            .map_err(|error| wrong(format!("is not an RSA key in PKCS#8 form: {error}")))?;
        let public = aws_lc_rs::signature::KeyPair::public_key(&pair);
        let spki: PublicKeyX509Der<'_> =
            public.as_der().map_err(|_| wrong("has no public part that can be written".to_owned()))?;
        let fingerprint = STANDARD.encode(Sha256::digest(spki.as_ref()));
        let subject = format!("{}.{}", config.account.to_uppercase(), config.user.to_uppercase());
        let issuer = format!("{subject}.SHA256:{fingerprint}");
        let pem = pem_of(&der);
        let key = EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(|error| wrong(error.to_string()))?;
        Ok(Signer { key, subject, issuer })
    }

    fn sign(&self, now: SystemTime) -> Result<String, DestinationError> {
        let iat = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = Claims { iss: &self.issuer, sub: &self.subject, iat, exp: iat + JWT_LIFE.as_secs() };
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &self.key)
            .map_err(|error| DestinationError::new(ErrorKind::Config, "signing the JWT", error.to_string()))
    }
}

/// The DER bytes of a PEM, with or without its header lines, on one line or many.
fn key_der(text: &str) -> Result<Vec<u8>, String> {
    if text.contains("ENCRYPTED") {
        return Err("is encrypted, which is not supported yet: give the unencrypted key".to_owned());
    }
    if text.contains("BEGIN RSA PRIVATE KEY") {
        return Err("is in PKCS#1 form: convert it with 'openssl pkcs8 -topk8 -nocrypt'".to_owned());
    }
    let body = match (text.find("PRIVATE KEY-----"), text.rfind("-----END")) {
        (Some(begin), Some(end)) => text.get(begin + "PRIVATE KEY-----".len()..end).unwrap_or(""),
        _ => text,
    };
    // A properties file may hold the line ends as the two characters `\n`.
    let body: String = body.replace("\\n", "").chars().filter(|c| !c.is_whitespace()).collect();
    if body.is_empty() {
        return Err("is empty".to_owned());
    }
    STANDARD.decode(body).map_err(|_| "is not base64 between its header lines".to_owned())
}

fn pem_of(der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<String> =
        body.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}

/// Tokens of one account, renewed behind one lock.
pub(crate) struct Tokens {
    signer: Signer,
    url: String,
    http: Http,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    jwt: Option<Token>,
    ingest: Option<Ingest>,
    exchanged_at: Option<Instant>,
}

#[derive(Clone)]
struct Token {
    text: String,
    renew_at: Instant,
}

/// The ingest host and the token for it.
struct Ingest {
    base: String,
    token: Token,
}

impl Tokens {
    pub(crate) fn new(config: &Config, http: Http) -> Result<Self, ConfigError> {
        let signer = Signer::new(config)?;
        Ok(Tokens { signer, url: config.url.clone(), http, state: Mutex::default() })
    }

    /// A JWT for the account host.
    pub(crate) async fn jwt(&self) -> Result<String, DestinationError> {
        let mut state = self.state.lock().await;
        self.jwt_in(&mut state)
    }

    fn jwt_in(&self, state: &mut State) -> Result<String, DestinationError> {
        if let Some(token) = state.jwt.as_ref().filter(|token| Instant::now() < token.renew_at) {
            return Ok(token.text.clone());
        }
        let text = self.signer.sign(SystemTime::now())?;
        state.jwt = Some(Token { text: text.clone(), renew_at: Instant::now() + JWT_LIFE - RENEW_BEFORE });
        Ok(text)
    }

    /// Base URL of the ingest host and a token for it.
    pub(crate) async fn ingest(&self) -> Result<(String, String), DestinationError> {
        let mut state = self.state.lock().await;
        if let Some(ingest) = state.ingest.as_ref().filter(|ingest| Instant::now() < ingest.token.renew_at) {
            return Ok((ingest.base.clone(), ingest.token.text.clone()));
        }
        if let Some(wait) = state.exchanged_at.and_then(|at| EXCHANGE_PAUSE.checked_sub(at.elapsed())) {
            tokio::time::sleep(wait).await;
        }
        state.exchanged_at = Some(Instant::now());
        let jwt = self.jwt_in(&mut state)?;
        let host = match state.ingest.take() {
            Some(old) => old.base,
            None => self.ask_hostname(&jwt).await?,
        };
        let token = self.exchange(&jwt, &host).await?;
        let answer = (host.clone(), token.text.clone());
        state.ingest = Some(Ingest { base: host, token });
        Ok(answer)
    }

    /// The server refused `token`: the next call exchanges again.
    pub(crate) async fn refused(&self, token: &str) {
        let mut state = self.state.lock().await;
        if let Some(ingest) = state.ingest.as_mut().filter(|ingest| ingest.token.text == token) {
            ingest.token.renew_at = Instant::now();
        }
        if state.jwt.as_ref().is_some_and(|jwt| jwt.text == token) {
            state.jwt = None;
        }
    }

    /// The ingest host moved: ask for it again.
    pub(crate) async fn moved(&self) {
        self.state.lock().await.ingest = None;
    }

    async fn ask_hostname(&self, jwt: &str) -> Result<String, DestinationError> {
        let what = "asking for the ingest host";
        let url = format!("{}/v2/streaming/hostname", self.url);
        let request = with_jwt(self.http.request(reqwest::Method::GET, &url), jwt);
        let reply = self.http.send(request, what).await?;
        if reply.status != 200 {
            return Err(reply.error(account_error(reply.status), what));
        }
        let host = text_or_member(&reply, "hostname").replace('_', "-");
        if host.is_empty() || host.contains(['/', '@', ' ', '"']) {
            return Err(DestinationError::new(ErrorKind::Transient, what, "the answer is not a host name"));
        }
        // The account's scheme and port hold for the ingest host as well.
        let account = host_of(&self.url);
        Ok(self.url.replacen(account, &host, 1))
    }

    async fn exchange(&self, jwt: &str, ingest: &str) -> Result<Token, DestinationError> {
        let what = "exchanging the JWT for a scoped token";
        let grant = encode("urn:ietf:params:oauth:grant-type:jwt-bearer");
        let body = format!("grant_type={grant}&scope={}", encode(host_of(ingest)));
        let request = self
            .http
            .request(reqwest::Method::POST, &format!("{}/oauth/token", self.url))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(body);
        let reply = self.http.send(with_jwt(request, jwt), what).await?;
        if reply.status != 200 {
            return Err(reply.error(account_error(reply.status), what));
        }
        let text = text_or_member(&reply, "token");
        if text.is_empty() {
            return Err(DestinationError::new(ErrorKind::Transient, what, "the answer holds no token"));
        }
        let life = token_life(&text).unwrap_or(TOKEN_LIFE_UNKNOWN);
        let renew_at = Instant::now() + life.saturating_sub(RENEW_BEFORE).max(life / 2);
        Ok(Token { text, renew_at })
    }
}

/// A key-pair JWT on a request to the account host.
pub(crate) fn with_jwt(request: reqwest::RequestBuilder, jwt: &str) -> reqwest::RequestBuilder {
    request.bearer_auth(jwt).header("X-Snowflake-Authorization-Token-Type", "KEYPAIR_JWT")
}

/// Wrong credentials will not become right.
fn account_error(status: u16) -> ErrorKind {
    match status {
        400..=407 => ErrorKind::Config,
        _ => ErrorKind::Transient,
    }
}

/// An answer that is the bare text, or an object with one member.
fn text_or_member(reply: &Reply, member: &str) -> String {
    match serde_json::from_slice::<serde_json::Value>(&reply.body) {
        Ok(serde_json::Value::Object(members)) => {
            members.get(member).and_then(|value| value.as_str()).unwrap_or("").to_owned()
        }
        Ok(serde_json::Value::String(text)) => text,
        _ => reply.text(),
    }
}

/// Time until the `exp` of a JWT, which is in seconds.
fn token_life(token: &str) -> Option<Duration> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&payload).ok()?;
    let exp = Duration::from_secs(claims.get("exp")?.as_u64()?);
    exp.checked_sub(SystemTime::now().duration_since(UNIX_EPOCH).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn pem() -> String {
        let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect("a key");
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().expect("pkcs8");
        pem_of(der.as_ref())
    }

    #[test]
    fn a_key_is_read_in_every_form_that_people_paste() {
        let pem = pem();
        let der = key_der(&pem).expect("pem");
        let one_line = pem.replace('\n', "");
        let bare: String = pem.lines().filter(|line| !line.contains("-----")).collect();
        let escaped = pem.replace('\n', "\\n");
        for text in [one_line, bare, escaped, pem.replace('\n', " ")] {
            assert_eq!(key_der(&text), Ok(der.clone()));
        }
    }

    #[test]
    fn a_jwt_names_account_user_and_key() {
        let mut config =
            Config::new("https://myorg-acc.snowflakecomputing.com", "loader", Secret::new(pem()));
        config.role = None;
        let signer = Signer::new(&config).expect("signer");
        let jwt = signer.sign(SystemTime::now()).expect("jwt");
        let payload = URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1).expect("payload")).expect("base64");
        let claims: serde_json::Value = serde_json::from_slice(&payload).expect("claims");
        assert_eq!(claims["sub"], "MYORG-ACC.LOADER");
        let issuer = claims["iss"].as_str().expect("iss");
        assert!(issuer.starts_with("MYORG-ACC.LOADER.SHA256:") && issuer.len() == 24 + 44, "{issuer}");
        assert_eq!(
            claims["exp"].as_u64().zip(claims["iat"].as_u64()).map(|(exp, iat)| exp - iat),
            Some(3_000)
        );
    }

    #[test]
    fn unusable_keys_are_refused_with_what_to_do() {
        let check = |key: &str, wanted: &str| {
            let config = Config::new("a", "u", Secret::new(key));
            let error = Signer::new(&config).err().expect("refused").to_string();
            assert!(error.contains(wanted), "{error}");
        };
        check("", "is empty");
        check("-----BEGIN ENCRYPTED PRIVATE KEY-----x", "is encrypted");
        check("-----BEGIN RSA PRIVATE KEY-----x", "openssl pkcs8");
        check("AAAA", "PKCS#8");
        check("&&&", "base64");
    }
}
