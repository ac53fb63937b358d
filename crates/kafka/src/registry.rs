//! The client of a schema registry with Confluent's API: registration and look-ups, nothing else. Retries are for
//! the run loops; an id never changes, so each is asked for once.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use reqwest::{Certificate, Client, Identity, Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";
/// Answers hold one schema; the largest table has 1,600 columns.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// More schemas than a connector has tables; beyond that, one is asked for again.
const KNOWN_MAX: usize = 10_000;

/// How to reach a registry, and what to do with a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryConfig {
    /// Base URLs, tried in order.
    pub urls: Vec<String>,
    /// Who we are.
    pub credentials: Credentials,
    /// How a schema gets its id.
    pub registration: Registration,
    /// `normalize.schemas`
    pub normalize: bool,
    /// Longest wait for one answer.
    pub answer_limit: Duration,
    /// Whom https trusts, and who we are there.
    pub tls: RegistryTls,
}

/// Certificates in PEM.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RegistryTls {
    /// Those that a registry's certificate may come from; the machine's if there are none.
    pub roots: Option<Vec<u8>>,
    /// Our certificate with those above it, and its key.
    pub identity: Option<Vec<u8>>,
}

impl fmt::Debug for RegistryTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |part: &Option<Vec<u8>>| if part.is_some() { "given" } else { "none" };
        write!(f, "RegistryTls(roots {}, identity {})", said(&self.roots), said(&self.identity))
    }
}

/// How we say who we are.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Not at all, or in the URL.
    None,
    /// HTTP's basic scheme.
    Basic {
        /// User.
        user: String,
        /// Password.
        password: String,
    },
    /// A token.
    Bearer(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::None => f.write_str("None"),
            Credentials::Basic { user, .. } => write!(f, "Basic({user}, ***)"),
            Credentials::Bearer(_) => f.write_str("Bearer(***)"),
        }
    }
}

/// `auto.register.schemas` and `use.latest.version`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// It is registered, which gives the same id again if it is there.
    Register,
    /// It must be there.
    LookUp,
    /// The newest one of the subject is taken, which must have the same layout.
    UseLatest,
}

/// A schema that a registry has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Registered {
    /// Its id.
    pub id: u32,
    /// Its text.
    pub schema: String,
}

/// What can go wrong with a registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It cannot be reached, or does not answer in time.
    #[error("schema registry {url} cannot be reached")]
    Unreachable {
        /// Base URL that was tried last.
        url: String,
        /// Cause.
        source: reqwest::Error,
    },
    /// It answers, and says no.
    #[error("schema registry {url} answers {status} for {subject}: {message}")]
    Refused {
        /// Base URL.
        url: String,
        /// HTTP status.
        status: u16,
        /// What was asked about.
        subject: String,
        /// `error_code` and `message` of the answer.
        message: String,
    },
    /// Something answers that is no registry.
    #[error("{url} answers what no schema registry says: {problem}")]
    Answer {
        /// Base URL.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// No client can be made.
    #[error("making a client for the schema registry")]
    Client(#[source] reqwest::Error),
}

impl RegistryError {
    /// Whether trying again later may help.
    pub fn is_transient(&self) -> bool {
        match self {
            RegistryError::Unreachable { .. } => true,
            RegistryError::Refused { status, .. } => matches!(status, 408 | 429 | 500..),
            RegistryError::Answer { .. } | RegistryError::Client(_) => false,
        }
    }

    /// HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            RegistryError::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// The client.
#[derive(Debug)]
pub struct Registry {
    client: Client,
    config: RegistryConfig,
    /// Ids by subject and schema.
    known: HashMap<(String, String), u32>,
}

impl Registry {
    /// Makes a client; nothing is asked yet.
    ///
    /// # Errors
    /// [`RegistryError::Client`] if TLS cannot be set up.
    pub fn new(config: RegistryConfig) -> Result<Self, RegistryError> {
        let mut client = Client::builder().timeout(config.answer_limit);
        if let Some(roots) = &config.tls.roots {
            let roots = Certificate::from_pem_bundle(roots).map_err(RegistryError::Client)?;
            client = client.tls_certs_only(roots);
        }
        if let Some(identity) = &config.tls.identity {
            client = client.identity(Identity::from_pem(identity).map_err(RegistryError::Client)?);
        }
        let client = client.build().map_err(RegistryError::Client)?;
        Ok(Registry { client, config, known: HashMap::new() })
    }

    /// How a schema gets its id.
    pub fn registration(&self) -> Registration {
        self.config.registration
    }

    /// The id of a schema, registered if it is not there, or else looked up.
    ///
    /// # Errors
    /// An absent or incompatible schema is definite; silence and failures of the registry may pass.
    pub async fn id(&mut self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let key = (subject.to_owned(), schema.to_owned());
        if let Some(id) = self.known.get(&key) {
            return Ok(*id);
        }
        let versions = if self.config.registration == Registration::Register { "/versions" } else { "" };
        let normalize = if self.config.normalize { "?normalize=true" } else { "" };
        let path = format!("/subjects/{}{versions}{normalize}", escaped(subject));
        #[derive(Deserialize)]
        struct Id {
            id: u32,
        }
        let Id { id } = self.ask(Method::POST, &path, Some(json!({ "schema": schema })), subject).await?;
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(key, id);
        Ok(id)
    }

    /// The newest schema of a subject.
    ///
    /// # Errors
    /// As [`Registry::id`].
    pub async fn latest(&self, subject: &str) -> Result<Registered, RegistryError> {
        let path = format!("/subjects/{}/versions/latest", escaped(subject));
        self.ask(Method::GET, &path, None, subject).await
    }

    /// The text of the schema with this id.
    ///
    /// # Errors
    /// As [`Registry::id`].
    pub async fn schema(&self, id: u32) -> Result<String, RegistryError> {
        #[derive(Deserialize)]
        struct Text {
            schema: String,
        }
        let path = format!("/schemas/ids/{id}");
        let Text { schema } = self.ask(Method::GET, &path, None, &format!("schema id {id}")).await?;
        Ok(schema)
    }

    /// Whether it answers.
    ///
    /// # Errors
    /// As [`Registry::id`].
    pub async fn ping(&self) -> Result<(), RegistryError> {
        let _: serde_json::Value = self.ask(Method::GET, "/config", None, "its configuration").await?;
        Ok(())
    }

    /// Asks one URL after the other until one answers.
    async fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        method: Method,
        path: &str,
        body: Option<serde_json::Value>,
        subject: &str,
    ) -> Result<T, RegistryError> {
        let mut outcome =
            Err(RegistryError::Answer { url: String::new(), problem: "no URL is given".into() });
        for url in &self.config.urls {
            outcome = self.ask_one(url, method.clone(), path, body.as_ref(), subject).await;
            match &outcome {
                Err(error) if error.is_transient() => {}
                _ => return outcome,
            }
        }
        outcome
    }

    async fn ask_one<T: for<'de> Deserialize<'de>>(
        &self,
        url: &str,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
        subject: &str,
    ) -> Result<T, RegistryError> {
        let unreachable = |source: reqwest::Error| RegistryError::Unreachable {
            url: url.to_owned(),
            source: source.without_url(),
        };
        let mut request = self.client.request(method, format!("{url}{path}")).header("Accept", MEDIA_TYPE);
        request = match &self.config.credentials {
            Credentials::None => request,
            Credentials::Basic { user, password } => request.basic_auth(user, Some(password)),
            Credentials::Bearer(token) => request.bearer_auth(token),
        };
        if let Some(body) = body {
            request = request.header("Content-Type", MEDIA_TYPE).body(body.to_string());
        }
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if answer.len() + chunk.len() > ANSWER_BYTES_MAX {
                let problem = format!("more than {ANSWER_BYTES_MAX} bytes");
                return Err(RegistryError::Answer { url: url.to_owned(), problem });
            }
            answer.extend_from_slice(&chunk);
        }
        if status != StatusCode::OK {
            return Err(RegistryError::Refused {
                url: url.to_owned(),
                status: status.as_u16(),
                subject: subject.to_owned(),
                message: refusal(&answer),
            });
        }
        serde_json::from_slice(&answer)
            .map_err(|error| RegistryError::Answer { url: url.to_owned(), problem: error.to_string() })
    }
}

/// What a refusal says; the beginning of its text if it is not a registry's.
fn refusal(answer: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        error_code: i64,
        message: String,
    }
    const SHOWN: usize = 300;
    match serde_json::from_slice::<Refusal>(answer) {
        Ok(Refusal { error_code, message }) => format!("{message} ({error_code})"),
        Err(_) => String::from_utf8_lossy(answer.get(..SHOWN).unwrap_or(answer)).into_owned(),
    }
}

/// A subject as one segment of a path.
fn escaped(subject: &str) -> String {
    let mut out = String::with_capacity(subject.len());
    for byte in subject.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_one_segment() {
        assert_eq!(escaped("a.b-value"), "a.b-value");
        assert_eq!(escaped("a/b c?é"), "a%2Fb%20c%3F%C3%A9");
    }

    #[test]
    fn refusals_are_told_in_the_registrys_words() {
        assert_eq!(refusal(br#"{"error_code":409,"message":"no"}"#), "no (409)");
        assert_eq!(refusal(b"<html>"), "<html>");
    }
}
