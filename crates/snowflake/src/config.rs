use std::fmt;
use std::time::Duration;

/// A text that no log shows.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where the account is, who we are, and how patient.
#[derive(Debug, Clone)]
pub struct Config {
    /// `https://<account>.snowflakecomputing.com`, or `http://127.0.0.1:<port>` for the emulator. No final slash.
    pub url: String,
    /// Account identifier for the JWT, upper case; derived from the URL by [`Config::account_of`].
    pub account: String,
    /// User name.
    pub user: String,
    /// RSA private key: PEM with or without header lines, also all in one line. PKCS#8, unencrypted.
    pub private_key: Secret,
    /// Role for SQL; the user's default role otherwise.
    pub role: Option<String>,
    /// Database of all tables.
    pub database: String,
    /// Schema of all tables.
    pub schema: String,
    /// Warehouse for merges; DDL and streaming need none.
    pub warehouse: Option<String>,
    /// Longest wait for one HTTP exchange. Default 60 s: the server itself cuts SQL calls at 45 s.
    pub request_timeout: Duration,
    /// Longest wait for one SQL statement, polls included. Default 1 h.
    pub statement_timeout: Duration,
    /// zstd level of appended rows; 1 to 3 keep up with a channel's 20 MB/s on one core.
    pub compression_level: i32,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct ConfigError {
    /// Which one.
    pub setting: &'static str,
    /// Why not.
    pub problem: String,
}

impl Config {
    /// Settings with the defaults for patience and compression.
    pub fn new(url: impl Into<String>, user: impl Into<String>, private_key: Secret) -> Self {
        let url = normal_url(&url.into());
        Config {
            account: Config::account_of(&url),
            url,
            user: user.into(),
            private_key,
            role: None,
            database: String::new(),
            schema: "PUBLIC".to_owned(),
            warehouse: None,
            request_timeout: Duration::from_secs(60),
            statement_timeout: Duration::from_secs(3_600),
            compression_level: 1,
        }
    }

    /// The account identifier in a URL: the first label for a locator (`xy12345.eu-central-1`), all of `org-account`.
    pub fn account_of(url: &str) -> String {
        let host = host_of(url);
        let name = host.strip_suffix(".snowflakecomputing.com").unwrap_or(host);
        if name.parse::<std::net::IpAddr>().is_ok() || name == "localhost" {
            return "LOCAL".to_owned();
        }
        name.split('.').next().unwrap_or(name).to_uppercase()
    }
}

/// The host of a URL, without scheme, port and path.
pub(crate) fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// `snowflake.url.name` as users write it: with or without scheme, `:443` and final slash; a bare account too.
fn normal_url(text: &str) -> String {
    let text = text.trim().trim_end_matches('/');
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let with_scheme = with_scheme.strip_suffix(":443").map(str::to_owned).unwrap_or(with_scheme);
    let host = host_of(&with_scheme);
    let is_bare_account = !host.contains('.') && host != "localhost";
    if is_bare_account { format!("{with_scheme}.snowflakecomputing.com") } else { with_scheme }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_accounts_as_users_write_them() {
        let check = |text: &str, url: &str, account: &str| {
            assert_eq!(
                (normal_url(text).as_str(), Config::account_of(&normal_url(text)).as_str()),
                (url, account)
            );
        };
        check("myorg-acc.snowflakecomputing.com", "https://myorg-acc.snowflakecomputing.com", "MYORG-ACC");
        check(
            "https://xy1.eu-central-1.snowflakecomputing.com:443/",
            "https://xy1.eu-central-1.snowflakecomputing.com",
            "XY1",
        );
        check("myorg-acc", "https://myorg-acc.snowflakecomputing.com", "MYORG-ACC");
        check("http://127.0.0.1:8080", "http://127.0.0.1:8080", "LOCAL");
    }

    #[test]
    fn a_secret_is_not_shown() {
        let config = Config::new("a", "u", Secret::new("hush"));
        assert!(!format!("{config:?}").contains("hush"));
    }
}
