//! `InsertHeader`: a header with a fixed value.

use super::options::{OptionError, Options};
use super::value::{Typed, Value};
use super::{Header, Record, Side, Transform, TransformError};

pub(crate) const OPTIONS: &[&str] = &["header", "value.literal"];

#[derive(Debug, Clone)]
struct InsertHeader {
    header: Header,
}

pub(crate) fn make(options: &Options<'_>, _side: Side) -> Result<Box<dyn Transform>, OptionError> {
    let name = options.required("header")?.to_owned();
    let literal = options
        .raw("value.literal")
        .ok_or_else(|| options.error("value.literal", "is required and missing"))?;
    Ok(Box::new(InsertHeader { header: Header { name, value: literal_value(literal) } }))
}

/// Connect reads a literal as null, a boolean, a number or a list where it looks like one, else as text. All of them
/// are written as they were read, apart from zeros and signs in front of an integer, and blanks in a list.
fn literal_value(text: &str) -> Typed {
    let value = match text {
        "null" => Value::Null,
        "true" | "false" => Value::Boolean(text == "true"),
        _ => match (text.parse::<i64>(), serde_json::from_str::<Vec<String>>(text)) {
            (Ok(number), _) => Value::Int(number),
            (_, Ok(names)) => Value::Array(names.into_iter().map(Value::String).collect()),
            _ => return Typed::string(text),
        },
    };
    Typed { schema: None, value }
}

impl Transform for InsertHeader {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, TransformError> {
        record.headers.push(self.header.clone());
        Ok(Some(record))
    }

    fn boxed(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
