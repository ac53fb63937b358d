//! Debezium's `Filter` and `ContentBasedRouter`, with expressions in CEL (the Common Expression Language).
//!
//! An expression sees `topic`, `key`, `value` and `headers`. Structs and maps are maps, decimals are doubles, a
//! tombstone's value is null; headers are a map from name to text.

use std::collections::HashMap;
use std::sync::Arc;

use cel::{Context, Env, ExecutionError, Program};

use super::options::{OptionError, Options};
use super::pattern::Pattern;
use super::text;
use super::value::{Typed, Value};
use super::{Record, Side, Transform, TransformError};
use crate::format::java;
use crate::schema::{Kind, Schema};

pub(crate) const FILTER_OPTIONS: &[&str] = &["language", "condition", "null.handling.mode", "topic.regex"];
pub(crate) const ROUTER_OPTIONS: &[&str] =
    &["language", "topic.expression", "null.handling.mode", "topic.regex"];

#[derive(Debug, Clone)]
struct Scripted {
    expression: Expression,
    nulls: NullHandling,
    topics: Option<Pattern>,
    does: Does,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Filter,
    Route,
}

/// `null.handling.mode`: what becomes of records without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NullHandling {
    Keep,
    Drop,
    Evaluate,
}

#[derive(Clone)]
struct Expression {
    program: Arc<Program>,
    /// CEL's own functions, made once.
    env: Arc<Env>,
    /// Which variables it names: only those are made.
    names: Vec<&'static str>,
    text: String,
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

pub(crate) fn make_filter(options: &Options<'_>, _side: Side) -> Result<Box<dyn Transform>, OptionError> {
    make(options, "condition", Does::Filter)
}

pub(crate) fn make_router(options: &Options<'_>, _side: Side) -> Result<Box<dyn Transform>, OptionError> {
    make(options, "topic.expression", Does::Route)
}

fn make(options: &Options<'_>, name: &str, does: Does) -> Result<Box<dyn Transform>, OptionError> {
    let language = options.required("language")?;
    if !language.eq_ignore_ascii_case("cel") {
        return Err(options.error("language", format!("'{language}' needs a JVM, and there is none here")).hint(
            format!(
                "write {} in CEL and set language=cel: value.op == 'u' && value.before.id == 2 is the same in both, \
                 value.after?.id of Groovy is has(value.after.id)",
                options.key(name)
            ),
        ));
    }
    let topics = match options.text("topic.regex") {
        None => None,
        Some(text) => Some(Pattern::new(&options.key("topic.regex"), text)?),
    };
    Ok(Box::new(Scripted {
        expression: Expression::new(options.required(name)?)
            .map_err(|problem| options.error(name, format!("is no CEL expression: {problem}")))?,
        nulls: options.choice(
            "null.handling.mode",
            &[
                ("keep", NullHandling::Keep),
                ("drop", NullHandling::Drop),
                ("evaluate", NullHandling::Evaluate),
            ],
        )?,
        topics,
        does,
    }))
}

impl Expression {
    fn new(text: &str) -> Result<Self, String> {
        let env = Arc::new(Env::stdlib());
        let program = env.compile(text).map_err(|errors| errors.to_string())?;
        let known = ["topic", "key", "value", "headers"];
        let used = program.references();
        let names: Vec<&'static str> = known.into_iter().filter(|name| used.has_variable(name)).collect();
        if let Some(unknown) = used.variables().into_iter().find(|name| !known.contains(name)) {
            return Err(format!("it names {unknown}, and there are only {}", known.join(", ")));
        }
        Ok(Expression { program: Arc::new(program), env, names, text: text.to_owned() })
    }

    fn evaluate(&self, record: &Record) -> Result<cel::Value, TransformError> {
        let mut context = Context::with_env(Arc::clone(&self.env));
        for name in &self.names {
            let value = match *name {
                "topic" => record.topic.as_str().into(),
                "key" => of_typed(&record.key),
                "value" => of_typed(&record.value),
                _ => headers(record),
            };
            context.add_variable_from_value(*name, value);
        }
        self.program.execute(&context).map_err(|error| {
            // Some of the library's messages hold values: only names are repeated.
            TransformError::new(match error {
                ExecutionError::NoSuchKey(name) => {
                    format!("the expression asks for {name}, which the record does not have")
                }
                _ => "the expression cannot be evaluated for this record".to_owned(),
            })
            .hint("ask has(value.after.x) or value.after != null first")
        })
    }
}

impl Transform for Scripted {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, TransformError> {
        if self.topics.as_ref().is_some_and(|topics| !topics.matches(&record.topic)) {
            return Ok(Some(record));
        }
        if record.value.value.is_null() {
            match self.nulls {
                NullHandling::Keep => return Ok(Some(record)),
                NullHandling::Drop => return Ok(None),
                NullHandling::Evaluate => {}
            }
        }
        match (self.does, self.expression.evaluate(&record)?) {
            (Does::Filter, cel::Value::Bool(keeps)) => Ok(keeps.then_some(record)),
            (Does::Filter, _) => Err(TransformError::new("the condition is neither true nor false")),
            (Does::Route, cel::Value::String(topic)) => {
                record.topic = topic.as_ref().clone();
                Ok(Some(record))
            }
            (Does::Route, cel::Value::Null) => Ok(Some(record)),
            (Does::Route, _) => Err(TransformError::new("the topic expression gives neither text nor null")),
        }
    }

    fn boxed(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}

fn headers(record: &Record) -> cel::Value {
    let texts = record.headers.iter().map(|header| {
        let text = text::header(&header.value).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        (header.name.clone(), text.map_or(cel::Value::Null, Into::into))
    });
    texts.collect::<HashMap<String, cel::Value>>().into()
}

fn of_typed(typed: &Typed) -> cel::Value {
    of_value(typed.schema.as_deref(), &typed.value)
}

fn of_value(schema: Option<&Schema>, value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Boolean(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float32(value) => f64::from(*value).into(),
        Value::Float64(value) => (*value).into(),
        Value::String(text) => text.as_str().into(),
        Value::Bytes(bytes) => cel::Value::Bytes(Arc::new(bytes.clone())),
        Value::Decimal(unscaled, scale) => {
            java::decimal(unscaled, *scale).parse::<f64>().map_or(cel::Value::Null, Into::into)
        }
        Value::Array(values) => {
            let items = match schema.map(|schema| &schema.kind) {
                Some(Kind::Array(items)) => Some(items.as_ref()),
                _ => None,
            };
            values.iter().map(|value| of_value(items, value)).collect::<Vec<_>>().into()
        }
        Value::Map(entries) => {
            let entries = entries
                .iter()
                .map(|(key, value)| (key.as_str().unwrap_or_default().to_owned(), of_value(None, value)));
            entries.collect::<HashMap<_, _>>().into()
        }
        Value::Struct(values) => {
            let fields = schema.map(Schema::fields).unwrap_or_default().iter().zip(values);
            let members =
                fields.map(|(field, value)| (field.name.clone(), of_value(Some(&field.schema), value)));
            members.collect::<HashMap<_, _>>().into()
        }
    }
}
