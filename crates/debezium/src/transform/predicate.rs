//! Predicates: which records a transformation is for.

use std::collections::BTreeMap;

use super::Record;
use super::list::{self, PREDICATES};
use super::options::{OptionError, Options};
use super::pattern::Pattern;

/// A named condition.
#[derive(Debug, Clone)]
pub(crate) enum Predicate {
    TopicNameMatches(Pattern),
    HasHeaderKey(String),
    RecordIsTombstone,
}

impl Predicate {
    pub(crate) fn test(&self, record: &Record) -> bool {
        match self {
            Predicate::TopicNameMatches(pattern) => pattern.matches(&record.topic),
            Predicate::HasHeaderKey(name) => record.headers.iter().any(|header| &header.name == name),
            Predicate::RecordIsTombstone => record.value.value.is_null(),
        }
    }

    /// What it says if the topic alone decides.
    pub(crate) fn of_topic(&self, topic: &str) -> Option<bool> {
        match self {
            Predicate::TopicNameMatches(pattern) => Some(pattern.matches(topic)),
            Predicate::HasHeaderKey(_) | Predicate::RecordIsTombstone => None,
        }
    }
}

/// All predicates by name.
pub(crate) fn read(
    properties: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, Predicate>, OptionError> {
    let mut predicates = BTreeMap::new();
    for name in Options::new("", properties).aliases("predicates")? {
        let prefix = format!("predicates.{name}.");
        let options = Options::new(&prefix, properties);
        let entry = list::find(PREDICATES, &options)?.0;
        list::check_names(&options, entry, &["type"])?;
        predicates.insert(name, make(entry.class, &options)?);
    }
    Ok(predicates)
}

fn make(class: &str, options: &Options<'_>) -> Result<Predicate, OptionError> {
    Ok(match class.rsplit('.').next().unwrap_or_default() {
        "TopicNameMatches" => {
            Predicate::TopicNameMatches(Pattern::new(&options.key("pattern"), options.required("pattern")?)?)
        }
        "HasHeaderKey" => Predicate::HasHeaderKey(options.required("name")?.to_owned()),
        _ => Predicate::RecordIsTombstone,
    })
}
