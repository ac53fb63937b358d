//! Single message transforms: what a connector file's `transforms` do to a record before it is written.
//!
//! A transformation works on a [`Record`] of trees and schemas, as Kafka Connect's do; one file each, one line in
//! [`LIST`]. A [`Chain`] applies them in the order of `transforms`. Those that only rename, route, unwrap or drop
//! are also [resolved](Chain::resolve) per table, so that such a chain needs no tree.

mod by_logical_table_router;
mod cast;
mod drop_headers;
mod encode;
mod event_router;
mod extract_field;
mod extract_new_record_state;
mod filter;
mod flatten;
mod header_from;
mod hoist_field;
mod insert_field;
mod insert_header;
mod json_payload;
mod list;
mod mask_field;
mod options;
mod partition_routing;
mod pattern;
mod predicate;
mod regex_router;
mod replace_field;
mod schema_cache;
mod scripted;
mod set_schema_metadata;
mod simple_date_format;
pub mod tape;
mod text;
mod timestamp_converter;
mod timestamp_router;
pub mod unwrap;
mod value;
mod value_to_key;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use encode::{Encoder, Form, Shape};
pub use list::{Entry, LIST, PREDICATES, markdown};
pub use options::OptionError;
pub use pattern::{Pattern, Replacement};
pub use text::header as header_text;
pub use value::{Typed, Value};

use options::Options;
use predicate::Predicate;
use regex_router::RegexRouter;
use unwrap::Unwrap;

use crate::format::avro_schema::InvalidName;

/// A record on its way through a chain.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Record {
    /// Topic.
    pub topic: String,
    /// Partition, if one was chosen.
    pub partition: Option<i32>,
    /// Key.
    pub key: Typed,
    /// Value; null without a schema is a tombstone.
    pub value: Typed,
    /// Kafka's timestamp in milliseconds since 1970, if one was chosen.
    pub timestamp_ms: Option<i64>,
    /// Headers in order.
    pub headers: Vec<Header>,
}

/// One header.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Name; may occur more than once.
    pub name: String,
    /// Value.
    pub value: Typed,
}

impl Record {
    /// Whether the value is an event of a table: its schema is called `….Envelope`.
    pub(crate) fn is_envelope(&self) -> bool {
        let name = self.value.schema.as_ref().and_then(|schema| schema.name.as_deref());
        name.is_some_and(|name| name.ends_with(".Envelope"))
    }
}

/// A record that a transformation cannot take. Every one is definite, and says nothing of the record's values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct TransformError {
    what: String,
    hint: Option<String>,
}

impl TransformError {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        TransformError { what: what.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What a person can do about it.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    pub(crate) fn within(self, place: &str) -> Self {
        TransformError { what: format!("{place}: {}", self.what), ..self }
    }
}

impl From<InvalidName> for TransformError {
    fn from(error: InvalidName) -> Self {
        TransformError::new(error.to_string())
            .hint("set field.name.adjustment.mode=avro (or avro_unicode, which keeps all names apart), or rename the field")
    }
}

/// One kind of transformation.
pub(crate) trait Transform: std::fmt::Debug + Send + Sync {
    /// Transforms a record; `None` drops it.
    fn apply(&mut self, record: Record) -> Result<Option<Record>, TransformError>;

    /// A copy.
    fn boxed(&self) -> Box<dyn Transform>;

    /// What it comes to if all that it needs to know is the table.
    fn resolve(&self) -> Resolve<'_> {
        Resolve::No
    }
}

/// Whether a transformation can do without a tree.
pub(crate) enum Resolve<'a> {
    No,
    Route(&'a RegexRouter),
    Unwrap(&'a Unwrap),
}

/// Which half of a record a transformation works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Key,
    Value,
}

impl Side {
    pub(crate) fn of(self, record: &Record) -> &Typed {
        match self {
            Side::Key => &record.key,
            Side::Value => &record.value,
        }
    }

    pub(crate) fn with(self, mut record: Record, typed: Typed) -> Record {
        match self {
            Side::Key => record.key = typed,
            Side::Value => record.value = typed,
        }
        record
    }
}

/// The transformations of a connector, in order.
#[derive(Debug, Default)]
pub struct Chain {
    stages: Vec<Stage>,
}

#[derive(Debug)]
struct Stage {
    name: String,
    condition: Option<Condition>,
    transform: Box<dyn Transform>,
}

#[derive(Debug, Clone)]
struct Condition {
    predicate: Predicate,
    negate: bool,
}

impl Clone for Chain {
    fn clone(&self) -> Self {
        let stages = self.stages.iter().map(|stage| Stage {
            name: stage.name.clone(),
            condition: stage.condition.clone(),
            transform: stage.transform.boxed(),
        });
        Chain { stages: stages.collect() }
    }
}

/// What a chain does to the records of one table, if that needs no tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The topic of its records.
    pub topic: String,
    /// How its events are unwrapped, if they are.
    pub unwrap: Option<Unwrap>,
}

impl Chain {
    /// Reads `transforms`, `transforms.*`, `predicates` and `predicates.*`; other properties are left alone.
    ///
    /// # Errors
    /// A class or an option that is not supported, or has a value that cannot be used. The error names the key.
    pub fn new(properties: &BTreeMap<String, String>) -> Result<Self, OptionError> {
        let predicates = predicate::read(properties)?;
        let mut stages = Vec::new();
        for name in Options::new("", properties).aliases("transforms")? {
            let prefix = format!("transforms.{name}.");
            let options = Options::new(&prefix, properties);
            stages.push(Stage {
                condition: condition(&options, &predicates)?,
                transform: list::make(&options)?,
                name,
            });
        }
        for name in Options::new("transforms.", properties).names() {
            let alias = name.split('.').next().unwrap_or_default();
            if !stages.iter().any(|stage| stage.name == alias) {
                tracing::warn!(
                    key = format!("transforms.{name}"),
                    "property has no effect: transforms does not name {alias}"
                );
            }
        }
        Ok(Chain { stages })
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// Applies all stages in order; `None` if one of them dropped the record.
    ///
    /// # Errors
    /// A record that a stage cannot take. The error names the stage.
    pub fn apply(&mut self, mut record: Record) -> Result<Option<Record>, TransformError> {
        for stage in &mut self.stages {
            if stage.condition.as_ref().is_some_and(|condition| !condition.holds(&record)) {
                continue;
            }
            let applied = stage.transform.apply(record);
            match applied.map_err(|error| error.within(&format!("transforms.{}", stage.name)))? {
                Some(transformed) => record = transformed,
                None => return Ok(None),
            }
        }
        Ok(Some(record))
    }

    /// What it does to the records of the table that belongs to `topic`, if that needs no tree.
    pub fn resolve(&self, topic: &str) -> Option<Resolved> {
        let mut resolved = Resolved { topic: topic.to_owned(), unwrap: None };
        for stage in &self.stages {
            if let Some(condition) = &stage.condition
                && condition.predicate.of_topic(&resolved.topic)? == condition.negate
            {
                continue;
            }
            match stage.transform.resolve() {
                Resolve::Route(router) => resolved.topic = router.route(&resolved.topic),
                Resolve::Unwrap(unwrap) if resolved.unwrap.is_none() => {
                    resolved.unwrap = Some(unwrap.clone());
                }
                Resolve::Unwrap(_) | Resolve::No => return None,
            }
        }
        Some(resolved)
    }
}

impl Condition {
    fn holds(&self, record: &Record) -> bool {
        self.predicate.test(record) != self.negate
    }
}

fn condition(
    options: &Options<'_>,
    predicates: &BTreeMap<String, Predicate>,
) -> Result<Option<Condition>, OptionError> {
    let negate = options.boolean("negate", false)?;
    match options.text("predicate") {
        None if negate => Err(options.error("negate", "needs a predicate").hint("name one with .predicate")),
        None => Ok(None),
        Some(name) => match predicates.get(name) {
            Some(predicate) => Ok(Some(Condition { predicate: predicate.clone(), negate })),
            None => Err(options
                .error("predicate", format!("there is no predicate '{name}'"))
                .hint(format!("add it to predicates, which has: {}", names(predicates)))),
        },
    }
}

fn names(predicates: &BTreeMap<String, Predicate>) -> String {
    match predicates.is_empty() {
        true => "none".to_owned(),
        false => predicates.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
    }
}
