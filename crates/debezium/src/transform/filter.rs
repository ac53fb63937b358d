//! Kafka's `Filter`: drops every record that comes to it.

use super::options::{OptionError, Options};
use super::{Record, Side, Transform, TransformError};

pub(crate) const OPTIONS: &[&str] = &[];

#[derive(Debug, Clone)]
struct Filter;

pub(crate) fn make(_options: &Options<'_>, _side: Side) -> Result<Box<dyn Transform>, OptionError> {
    Ok(Box::new(Filter))
}

impl Transform for Filter {
    fn apply(&mut self, _record: Record) -> Result<Option<Record>, TransformError> {
        Ok(None)
    }

    fn boxed(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
