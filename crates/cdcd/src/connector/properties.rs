//! The merged properties of one connector, each with the place it came from.

use std::collections::BTreeMap;

/// Where a value came from, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// `PG*`, `SNOWFLAKE_*`, `SNOWSQL_*` and `connections.toml`.
    Environment,
    /// The Kafka Connect worker file named by `--worker`.
    Worker,
    /// The names that the Debezium and Confluent images use, such as `BOOTSTRAP_SERVERS`.
    ImageEnvironment,
    /// The connector file itself.
    Connector,
    /// `--set KEY=VALUE` on the command line.
    CommandLine,
}

/// A property that cannot be used as it stands. The message names the key and never the value of a secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{key}: {problem}")]
pub struct PropertyError {
    /// The property's name.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl PropertyError {
    /// An error about `key`.
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        PropertyError { key: key.into(), problem: problem.into(), hint: None }
    }

    /// The same error with a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// All properties of one connector. Reading a key marks it as used.
#[derive(Debug, Default)]
pub struct Properties {
    values: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    text: String,
    origin: Origin,
    used: std::cell::Cell<bool>,
}

impl Properties {
    /// Sets `key`, unless a stronger origin already did.
    pub fn set(&mut self, key: impl Into<String>, text: impl Into<String>, origin: Origin) {
        let key = key.into();
        match self.values.get(&key) {
            Some(old) if old.origin > origin => {}
            _ => {
                self.values.insert(key, Entry { text: text.into(), origin, used: false.into() });
            }
        }
    }

    /// The value of `key`; marks it as used.
    pub fn text(&self, key: &str) -> Option<&str> {
        let entry = self.values.get(key)?;
        entry.used.set(true);
        Some(entry.text.as_str())
    }

    /// The value of `key`, without marking it.
    pub fn peek(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(|entry| entry.text.as_str())
    }

    /// The value of `key`, trimmed, or `None` if it is absent or empty.
    pub fn non_empty(&self, key: &str) -> Option<&str> {
        self.text(key).map(str::trim).filter(|text| !text.is_empty())
    }

    /// The value of a key that must be there.
    pub fn required(&self, key: &str) -> Result<&str, PropertyError> {
        self.non_empty(key).ok_or_else(|| PropertyError::new(key, "is required and missing"))
    }

    /// A boolean as Kafka Connect reads it: `true` or `false` in any case.
    pub fn boolean(&self, key: &str, default: bool) -> Result<bool, PropertyError> {
        match self.non_empty(key) {
            None => Ok(default),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) => Err(PropertyError::new(key, format!("'{text}' is neither true nor false"))),
        }
    }

    /// A number of any integer type, with its default.
    pub fn number<N: std::str::FromStr>(&self, key: &str, default: N) -> Result<N, PropertyError> {
        match self.non_empty(key) {
            None => Ok(default),
            Some(text) => text
                .parse()
                .map_err(|_| PropertyError::new(key, format!("'{text}' is not a number in range"))),
        }
    }

    /// One of a fixed set of words, compared without case.
    pub fn choice<T: Copy>(&self, key: &str, default: T, choices: &[(&str, T)]) -> Result<T, PropertyError> {
        let Some(text) = self.non_empty(key) else { return Ok(default) };
        match choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)) {
            Some((_, value)) => Ok(*value),
            None => {
                let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
                Err(PropertyError::new(key, format!("'{text}' is not one of {}", words.join(", "))))
            }
        }
    }

    /// A comma-separated list; a literal comma is written `\,`. Empty parts are dropped, parts are trimmed.
    pub fn list(&self, key: &str) -> Vec<String> {
        let Some(text) = self.non_empty(key) else { return Vec::new() };
        let mut parts = vec![String::new()];
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' if chars.peek() == Some(&',') => {
                    chars.next();
                    push_char(&mut parts, ',');
                }
                ',' => parts.push(String::new()),
                other => push_char(&mut parts, other),
            }
        }
        parts.into_iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
    }

    /// All keys that start with `prefix`, without it, with their values; marks them as used.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.values.iter().filter_map(move |(key, entry)| {
            let rest = key.strip_prefix(prefix)?;
            entry.used.set(true);
            Some((rest, entry.text.as_str()))
        })
    }

    /// The same, without marking them.
    pub fn peek_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.values
            .iter()
            .filter_map(move |(key, entry)| Some((key.strip_prefix(prefix)?, entry.text.as_str())))
    }

    /// Where the value of `key` came from.
    pub fn origin(&self, key: &str) -> Option<Origin> {
        self.values.get(key).map(|entry| entry.origin)
    }

    /// Every key with its value and origin, for `cdcd check`.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str, Origin)> {
        self.values.iter().map(|(key, entry)| (key.as_str(), entry.text.as_str(), entry.origin))
    }

    /// Forgets `key`; `false` if it was not there.
    pub fn remove(&mut self, key: &str) -> bool {
        self.values.remove(key).is_some()
    }

    /// Keys of the connector file or the command line that nobody has read so far.
    pub fn unused(&self) -> impl Iterator<Item = &str> {
        self.values
            .iter()
            .filter(|(_, entry)| !entry.used.get() && entry.origin >= Origin::Connector)
            .map(|(key, _)| key.as_str())
    }
}

fn push_char(parts: &mut [String], c: char) {
    if let Some(last) = parts.last_mut() {
        last.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stronger_origin_wins_whatever_the_order() {
        let mut properties = Properties::default();
        properties.set("a", "from file", Origin::Connector);
        properties.set("a", "from env", Origin::Environment);
        assert_eq!(properties.text("a"), Some("from file"));
        properties.set("a", "from flag", Origin::CommandLine);
        assert_eq!(properties.text("a"), Some("from flag"));
    }

    #[test]
    fn list_keeps_escaped_commas() {
        let mut properties = Properties::default();
        properties.set("l", r"a\,b, c ,,d", Origin::Connector);
        assert_eq!(properties.list("l"), ["a,b", "c", "d"]);
    }

    #[test]
    fn unused_names_only_what_nobody_read() {
        let mut properties = Properties::default();
        properties.set("read", "1", Origin::Connector);
        properties.set("unread", "1", Origin::Connector);
        properties.set("env", "1", Origin::Environment);
        assert_eq!(properties.number("read", 0u16), Ok(1));
        assert_eq!(properties.unused().collect::<Vec<_>>(), ["unread"]);
    }
}
