//! The text of a connector: `{"name", "config"}`, the bare configuration, `.properties`, or a libpq URL.

use std::io::Read as _;
use std::path::Path;

use super::properties::{Origin, Properties, PropertyError};

/// Largest connector file: a configuration with keys and certificates inside stays far below.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Reads a connector from a file, from standard input (`-`), or from a libpq URL, as pairs.
///
/// # Errors
/// A file that cannot be read, or text that is no connector.
pub fn read_connector(place: &str) -> Result<Vec<(String, String)>, PropertyError> {
    if place.starts_with("postgres://") || place.starts_with("postgresql://") {
        return url(place);
    }
    parse_connector(place, &read_text(place)?)
}

/// The pairs of a connector's text, JSON or properties; `place` is for messages.
///
/// # Errors
/// Text that is no connector.
pub fn parse_connector(place: &str, text: &str) -> Result<Vec<(String, String)>, PropertyError> {
    if text.trim_start().starts_with('{') { json(place, text) } else { Ok(properties(text)) }
}

/// Reads a `.properties` file, such as a worker's.
///
/// # Errors
/// A file that cannot be read.
pub fn read_properties(place: &str) -> Result<Vec<(String, String)>, PropertyError> {
    read_text(place).map(|text| properties(&text))
}

fn read_text(place: &str) -> Result<String, PropertyError> {
    let unreadable = |error: std::io::Error| PropertyError::new(place, format!("cannot be read: {error}"));
    let mut text = String::new();
    let read = match place {
        "-" => std::io::stdin().take(FILE_BYTES_MAX).read_to_string(&mut text),
        path => {
            std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
        }
    };
    read.map_err(unreadable)?;
    Ok(text)
}

fn json(place: &str, text: &str) -> Result<Vec<(String, String)>, PropertyError> {
    let bad = |problem: String| PropertyError::new(place, problem);
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| bad(format!("is not JSON: {error}")))?;
    let serde_json::Value::Object(object) = value else {
        return Err(bad("is not a JSON object".to_owned()));
    };
    let name = object.get("name").and_then(|name| name.as_str()).map(str::to_owned);
    let config = match object.get("config") {
        Some(serde_json::Value::Object(config)) => config,
        Some(_) => return Err(bad("\"config\" is not an object".to_owned())),
        None => &object,
    };
    let mut pairs = Vec::new();
    for (key, value) in config {
        let text = match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Number(number) => number.to_string(),
            serde_json::Value::Bool(value) => value.to_string(),
            serde_json::Value::Null => continue,
            _ => return Err(PropertyError::new(key, "is a list or an object; properties are plain text")),
        };
        pairs.push((key.clone(), text));
    }
    if let Some(name) = name
        && !pairs.iter().any(|(key, _)| key == "name")
    {
        pairs.push(("name".to_owned(), name));
    }
    Ok(pairs)
}

/// Java's `.properties`: `key=value`, `key: value`, `#` and `!` comments, a backslash at the end goes on.
fn properties(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut logical = line.trim_start().to_owned();
        if logical.is_empty() || logical.starts_with(['#', '!']) {
            continue;
        }
        while logical.ends_with('\\') && !logical.ends_with("\\\\") {
            logical.pop();
            match lines.next() {
                Some(next) => logical.push_str(next.trim_start()),
                None => break,
            }
        }
        pairs.push(split_pair(&logical));
    }
    pairs
}

fn split_pair(line: &str) -> (String, String) {
    let mut key = String::new();
    let mut chars = line.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => key.extend(chars.next().map(|(_, escaped)| escaped)),
            '=' | ':' => return (key, unescape(line.get(at + 1..).unwrap_or_default().trim_start())),
            c if c.is_whitespace() => {
                let rest = line.get(at..).unwrap_or_default().trim_start();
                let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
                return (key, unescape(rest.trim_start()));
            }
            other => key.push(other),
        }
    }
    (key, String::new())
}

fn unescape(value: &str) -> String {
    let mut text = String::new();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('r') => text.push('\r'),
                Some(other) => text.push(other),
                None => {}
            },
            other => text.push(other),
        }
    }
    text.trim_end().to_owned()
}

/// `postgres://user:password@host:port/database?sslmode=…`
fn url(text: &str) -> Result<Vec<(String, String)>, PropertyError> {
    let bad = |problem: &str| PropertyError::new("CONNECTOR", format!("the database URL {problem}"));
    let (_, rest) = text.split_once("://").ok_or_else(|| bad("has no scheme"))?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (user_info, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let (host, port) = host.rsplit_once(':').unwrap_or((host, ""));
    let mut pairs =
        vec![("connector.class".to_owned(), "io.debezium.connector.postgresql.PostgresConnector".to_owned())];
    for (key, value) in [
        ("database.hostname", host),
        ("database.port", port),
        ("database.user", user),
        ("database.password", password),
        ("database.dbname", database),
    ] {
        if !value.is_empty() {
            let value = percent_decode(value).ok_or_else(|| bad("has a broken % escape"))?;
            pairs.push((key.to_owned(), value));
        }
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        pairs.push((format!("database.{key}"), value.to_owned()));
    }
    Ok(pairs)
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = char::from(rest.next()?).to_digit(16)?;
        let low = char::from(rest.next()?).to_digit(16)?;
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).ok()
}

/// Resolves `${env:NAME}`, `${file:path:key}` and `${dir:path:key}` inside of a value.
///
/// # Errors
/// A variable, file or key that is not there, or a provider that we do not have.
pub fn resolve_providers(key: &str, value: &str) -> Result<String, PropertyError> {
    let mut text = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        text.push_str(before);
        let Some((reference, after)) = after.split_once('}') else {
            text.push_str("${");
            rest = after;
            continue;
        };
        match reference.split_once(':') {
            Some((provider, argument)) => text.push_str(&provided(key, provider, argument)?),
            // `${routedByValue}` and the like belong to other properties.
            None => text.push_str(&format!("${{{reference}}}")),
        }
        rest = after;
    }
    text.push_str(rest);
    Ok(text)
}

fn provided(key: &str, provider: &str, argument: &str) -> Result<String, PropertyError> {
    let bad = |problem: String| PropertyError::new(key, problem);
    let split = || argument.rsplit_once(':').ok_or_else(|| bad(format!("${{{provider}:…}} needs path:key")));
    match provider {
        "env" => {
            std::env::var(argument).map_err(|_| bad(format!("environment variable {argument} is not set")))
        }
        "file" => {
            let (path, name) = split()?;
            let found = read_properties(path)?.into_iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value).ok_or_else(|| bad(format!("file {path} has no key {name}")))
        }
        "dir" => {
            let (path, name) = split()?;
            let file = Path::new(path).join(name);
            std::fs::read_to_string(&file)
                .map(|text| text.trim_end().to_owned())
                .map_err(|error| bad(format!("{}: {error}", file.display())))
        }
        other => Err(bad(format!("configuration provider '{other}' is not known: use env, file or dir"))),
    }
}

/// Adds what the environment says: libpq's `PG*` as the weakest, the images' names above the worker file.
pub fn add_environment(properties: &mut Properties) {
    const LIBPQ: [(&str, &str); 10] = [
        ("PGHOST", "database.hostname"),
        ("PGPORT", "database.port"),
        ("PGUSER", "database.user"),
        ("PGPASSWORD", "database.password"),
        ("PGDATABASE", "database.dbname"),
        ("PGSSLMODE", "database.sslmode"),
        ("PGSSLROOTCERT", "database.sslrootcert"),
        ("PGSSLCERT", "database.sslcert"),
        ("PGSSLKEY", "database.sslkey"),
        ("PGCHANNELBINDING", "driver.channelBinding"),
    ];
    for (variable, key) in LIBPQ {
        if let Ok(value) = std::env::var(variable) {
            properties.set(key, value, Origin::Environment);
        }
    }
    const IMAGES: [&str; 9] = [
        "BOOTSTRAP_SERVERS",
        "GROUP_ID",
        "CONFIG_STORAGE_TOPIC",
        "OFFSET_STORAGE_TOPIC",
        "STATUS_STORAGE_TOPIC",
        "KEY_CONVERTER",
        "VALUE_CONVERTER",
        "KEY_CONVERTER_SCHEMAS_ENABLE",
        "VALUE_CONVERTER_SCHEMAS_ENABLE",
    ];
    for name in IMAGES {
        let value = std::env::var(format!("CONNECT_{name}")).or_else(|_| std::env::var(name));
        if let Ok(value) = value {
            properties.set(name.to_lowercase().replace('_', "."), value, Origin::ImageEnvironment);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: Vec<(String, String)>) -> std::collections::BTreeMap<String, String> {
        pairs.into_iter().collect()
    }

    #[test]
    fn posted_json_bare_json_and_properties_say_the_same() {
        let posted = json("f", r#"{"name":"x","config":{"a":"1","b":2,"c":true,"d":null}}"#).unwrap();
        let bare = json("f", r#"{"name":"x","a":"1","b":"2","c":"true"}"#).unwrap();
        let text = properties("# note\nname = x\na:1\nb 2\n! note\nc=tr\\\n   ue\n");
        assert_eq!(map(posted), map(bare.clone()));
        assert_eq!(map(bare), map(text));
        assert!(json("f", r#"{"a":[1]}"#).is_err());
        assert!(json("f", "[1]").is_err());
    }

    #[test]
    fn a_url_stands_in_for_a_connector() {
        let pairs = map(url("postgres://me:p%40ss@db.example:5433/app?sslmode=require").unwrap());
        assert_eq!(pairs["database.hostname"], "db.example");
        assert_eq!(pairs["database.port"], "5433");
        assert_eq!(pairs["database.user"], "me");
        assert_eq!(pairs["database.password"], "p@ss");
        assert_eq!(pairs["database.dbname"], "app");
        assert_eq!(pairs["database.sslmode"], "require");
    }

    #[test]
    fn providers_are_resolved_and_unknown_ones_refused() {
        assert_eq!(resolve_providers("k", "a ${routedByValue} b").unwrap(), "a ${routedByValue} b");
        assert!(resolve_providers("k", "${env:SURELY_NOT_SET_ANYWHERE}").is_err());
        assert!(resolve_providers("k", "${vault:x:y}").unwrap_err().to_string().contains("vault"));
    }
}
