//! The options of one transformation or predicate.

use std::collections::BTreeMap;

/// An option that cannot be used as it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct OptionError {
    /// The property's full name.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl OptionError {
    /// An error about the property `key`.
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        OptionError { key: key.into(), problem: problem.into(), hint: None }
    }

    /// The same with a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The properties under `transforms.<alias>.` or `predicates.<alias>.`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options<'a> {
    prefix: &'a str,
    properties: &'a BTreeMap<String, String>,
}

impl<'a> Options<'a> {
    pub(crate) fn new(prefix: &'a str, properties: &'a BTreeMap<String, String>) -> Self {
        Options { prefix, properties }
    }

    /// The full name of an option.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(crate) fn error(&self, name: &str, problem: impl Into<String>) -> OptionError {
        OptionError::new(self.key(name), problem)
    }

    /// Names of all options that are set, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> {
        let prefix = self.prefix;
        self.properties.keys().filter_map(move |key| key.strip_prefix(prefix))
    }

    /// The text as it is, blanks included.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a str> {
        self.properties.get(&self.key(name)).map(String::as_str)
    }

    /// The text, or `None` if it is absent or empty.
    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        self.raw(name).map(str::trim).filter(|text| !text.is_empty())
    }

    pub(crate) fn required(&self, name: &str) -> Result<&'a str, OptionError> {
        self.text(name).ok_or_else(|| self.error(name, "is required and missing"))
    }

    pub(crate) fn boolean(&self, name: &str, default: bool) -> Result<bool, OptionError> {
        match self.text(name) {
            None => Ok(default),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) => Err(self.error(name, format!("'{text}' is neither true nor false"))),
        }
    }

    /// One of a fixed set of words, compared without case; the first is the default.
    pub(crate) fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<T, OptionError> {
        let words = || choices.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        let found = match self.text(name) {
            None => choices.first(),
            Some(text) => choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)),
        };
        match found {
            Some((_, value)) => Ok(*value),
            None => {
                let text = self.text(name).unwrap_or_default();
                Err(self.error(name, format!("'{text}' is not one of {}", words())))
            }
        }
    }

    /// A comma-separated list; parts are trimmed, empty ones dropped.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let parts = self.text(name).unwrap_or_default().split(',');
        parts.map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
    }

    /// A list of names, each for something else.
    pub(crate) fn aliases(&self, name: &str) -> Result<Vec<String>, OptionError> {
        let list = self.list(name);
        match list
            .iter()
            .enumerate()
            .find(|(place, alias)| list.iter().take(*place).any(|other| other == *alias))
        {
            None => Ok(list),
            Some((_, alias)) => Err(self.error(name, format!("names {alias} twice"))),
        }
    }

    pub(crate) fn required_list(&self, name: &str) -> Result<Vec<String>, OptionError> {
        self.required(name)?;
        match self.list(name) {
            list if list.is_empty() => Err(self.error(name, "names nothing")),
            list => Ok(list),
        }
    }
}
