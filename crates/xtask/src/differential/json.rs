//! JSON as it was written: order of members, text of numbers and escapes in strings are kept, because all of them are
//! compared.

use anyhow::{Result, bail, ensure};

/// Deeper than any schema; stops a runaway document.
const DEPTH_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    /// The number's own text.
    Number(String),
    /// What stands between the quotes, escapes and all.
    String(String),
    Array(Vec<Json>),
    /// Names as they stand between the quotes.
    Object(Vec<(String, Json)>),
}

impl Json {
    pub(super) fn parse(bytes: &[u8]) -> Result<Json> {
        let text = std::str::from_utf8(bytes)?;
        let mut parser = Parser { text, at: 0 };
        let json = parser.value(0)?;
        parser.blank();
        ensure!(parser.at == text.len(), "something stands behind the document at byte {}", parser.at);
        Ok(json)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Json> {
        match self {
            Json::Object(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn write(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Json::Number(text) => out.push_str(text),
            Json::String(text) => quote(out, text),
            Json::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    item.write(out);
                }
                out.push(']');
            }
            Json::Object(members) => {
                out.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    quote(out, key);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// A string without its escapes.
    pub(super) fn decoded(&self) -> Option<String> {
        let mut quoted = String::new();
        quote(&mut quoted, self.as_str()?);
        serde_json::from_str(&quoted).ok()
    }

    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    out.push_str(text);
    out.push('"');
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn blank(&mut self) {
        self.at = self.text.len() - self.rest().trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    fn value(&mut self, depth: usize) -> Result<Json> {
        ensure!(depth < DEPTH_MAX, "nested too deeply at byte {}", self.at);
        self.blank();
        for (word, json) in [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))] {
            if self.take(word) {
                return Ok(json);
            }
        }
        match self.rest().bytes().next() {
            Some(b'"') => Ok(Json::String(self.string()?)),
            Some(b'[') => self.array(depth),
            Some(b'{') => self.object(depth),
            Some(b'-' | b'0'..=b'9') => {
                let length = self.rest().bytes().take_while(|b| b"+-.eE0123456789".contains(b)).count();
                let number = self.rest().get(..length).unwrap_or_default().to_owned();
                self.at += length;
                Ok(Json::Number(number))
            }
            _ => bail!("no value at byte {}", self.at),
        }
    }

    /// The raw text up to the closing quote.
    fn string(&mut self) -> Result<String> {
        let mut escaped = false;
        for (offset, byte) in self.rest().bytes().enumerate().skip(1) {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    let text = self.rest().get(1..offset).unwrap_or_default().to_owned();
                    self.at += offset + 1;
                    return Ok(text);
                }
                _ => {}
            }
        }
        bail!("a string that begins at byte {} has no end", self.at)
    }

    fn array(&mut self, depth: usize) -> Result<Json> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.blank();
            if self.take("]") {
                return Ok(Json::Array(items));
            }
            ensure!(items.is_empty() || self.take(","), "no comma at byte {}", self.at);
            items.push(self.value(depth + 1)?);
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json> {
        self.at += 1;
        let mut members = Vec::new();
        loop {
            self.blank();
            if self.take("}") {
                return Ok(Json::Object(members));
            }
            ensure!(members.is_empty() || self.take(","), "no comma at byte {}", self.at);
            self.blank();
            ensure!(self.rest().starts_with('"'), "no member name at byte {}", self.at);
            let key = self.string()?;
            self.blank();
            ensure!(self.take(":"), "no colon at byte {}", self.at);
            members.push((key, self.value(depth + 1)?));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_numbers_and_escapes_survive() {
        let text = r#"{"b":1.0E-7,"a":[null,true,-0.0,"x\"\n"],"c":{"\u00e9":"\uD83D"}}"#;
        assert_eq!(Json::parse(text.as_bytes()).unwrap().text(), text);
    }

    #[test]
    fn broken_documents_are_refused() {
        for text in ["", "{", "[1,]", "{\"a\" 1}", "1 2", "\"", "{\"a\":1,}", "nul"] {
            assert!(Json::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
