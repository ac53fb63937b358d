//! One HTTP exchange, with caps and without redirects.

use cdcd_sink::destination::{DestinationError, ErrorKind};
use std::time::Duration;

/// Longest answer that is read: a result set of a ledger or a description is far smaller.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Longest part of an error answer that goes into a message.
const MESSAGE_CHARS_MAX: usize = 500;

/// Longest wait that a Retry-After may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(120);

/// An answer of any status.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) retry_after: Option<Duration>,
    /// `x-snowflake-session`: to be sent back for sticky routing.
    pub(crate) session: Option<String>,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim().to_owned()
    }

    /// `code` and `message` of an error answer, which may be an object, a JSON string or plain text.
    pub(crate) fn problem(&self) -> (String, String) {
        let text = self.text();
        let cut = |text: &str| text.chars().take(MESSAGE_CHARS_MAX).collect::<String>();
        match serde_json::from_slice::<serde_json::Value>(&self.body) {
            Ok(serde_json::Value::Object(members)) => {
                let member = |names: [&str; 2]| {
                    names.iter().find_map(|name| members.get(*name)?.as_str()).unwrap_or_default().to_owned()
                };
                (member(["code", "error_code"]), cut(&member(["message", "error"])))
            }
            Ok(serde_json::Value::String(text)) => (String::new(), cut(&text)),
            _ => (String::new(), cut(&text)),
        }
    }

    /// This answer as an error of `kind`.
    pub(crate) fn error(&self, kind: ErrorKind, what: &str) -> DestinationError {
        let (code, message) = self.problem();
        let mut error = DestinationError::new(kind, what, format!("HTTP {} {code} {message}", self.status));
        error.retry_after = self.retry_after;
        error
    }
}

/// A client for one account.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    client: reqwest::Client,
}

impl Http {
    pub(crate) fn new(timeout: Duration) -> Result<Self, DestinationError> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("cdcd/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .timeout(timeout)
            .build()
            .map_err(|error| transport("making the HTTP client", ErrorKind::Definite, error))?;
        Ok(Http { client })
    }

    pub(crate) fn request(&self, method: reqwest::Method, url: &str) -> reqwest::RequestBuilder {
        self.client.request(method, url).header("Accept", "application/json")
    }

    /// Sends and reads everything. Whatever goes wrong on the way is transient: the outcome is not known.
    pub(crate) async fn send(
        &self,
        request: reqwest::RequestBuilder,
        what: &str,
    ) -> Result<Reply, DestinationError> {
        let unknown = |error| transport(what, ErrorKind::Transient, error);
        let mut response = request.send().await.map_err(unknown)?;
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let retry_after = header("retry-after").and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let mut reply = Reply {
            status: response.status().as_u16(),
            body: Vec::new(),
            retry_after: retry_after.map(|wait| wait.min(RETRY_AFTER_MAX)),
            session: header("x-snowflake-session"),
        };
        while let Some(chunk) = response.chunk().await.map_err(unknown)? {
            if reply.body.len() + chunk.len() > ANSWER_BYTES_MAX {
                let message = format!("the answer is longer than {ANSWER_BYTES_MAX} bytes");
                return Err(DestinationError::new(ErrorKind::Transient, what, message));
            }
            reply.body.extend_from_slice(&chunk);
        }
        Ok(reply)
    }
}

fn transport(what: &str, kind: ErrorKind, error: reqwest::Error) -> DestinationError {
    let error = error.without_url();
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        message = format!("{message}: {inner}");
        cause = inner.source();
    }
    let mut wrapped = DestinationError::new(kind, what, message);
    wrapped.source = Some(Box::new(error));
    wrapped
}

/// Percent-encodes one path segment or query value.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_read_leniently() {
        let reply = |body: &str| Reply { status: 400, body: body.into(), retry_after: None, session: None };
        let check = |body: &str, code: &str, message: &str| {
            assert_eq!(reply(body).problem(), (code.to_owned(), message.to_owned()));
        };
        check(r#"{"code":"A","message":"m"}"#, "A", "m");
        check(r#"{"error_code":"B","message":"m"}"#, "B", "m");
        check(r#""just text""#, "", "just text");
        check("plain", "", "plain");
    }

    #[test]
    fn path_segments_are_encoded() {
        assert_eq!(encode("my db/\"x\""), "my%20db%2F%22x%22");
    }
}
