//! `TimestampRouter`: the topic from the record's timestamp.

use super::options::{OptionError, Options};
use super::simple_date_format::DateFormat;
use super::{Record, Side, Transform, TransformError};

pub(crate) const OPTIONS: &[&str] = &["topic.format", "timestamp.format"];

#[derive(Debug, Clone)]
struct TimestampRouter {
    topic: String,
    timestamp: DateFormat,
}

pub(crate) fn make(options: &Options<'_>, _side: Side) -> Result<Box<dyn Transform>, OptionError> {
    let format = options.text("timestamp.format").unwrap_or("yyyyMMdd");
    Ok(Box::new(TimestampRouter {
        topic: options.text("topic.format").unwrap_or("${topic}-${timestamp}").to_owned(),
        timestamp: DateFormat::new(format).map_err(|problem| options.error("timestamp.format", problem))?,
    }))
}

impl Transform for TimestampRouter {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, TransformError> {
        let at = record.timestamp_ms.ok_or_else(|| {
            TransformError::new("the record has no timestamp: Debezium's events get theirs from the producer, behind all transformations")
                .hint("put it behind an EventRouter with table.field.event.timestamp, and limit it to those topics with a predicate")
        })?;
        let topic = self.topic.replace("${topic}", &record.topic);
        record.topic = topic.replace("${timestamp}", &self.timestamp.format(at));
        Ok(Some(record))
    }

    fn boxed(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
