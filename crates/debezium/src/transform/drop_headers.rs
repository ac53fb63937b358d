//! `DropHeaders`: without these headers.

use super::options::{OptionError, Options};
use super::{Record, Side, Transform, TransformError};

pub(crate) const OPTIONS: &[&str] = &["headers"];

#[derive(Debug, Clone)]
struct DropHeaders {
    names: Vec<String>,
}

pub(crate) fn make(options: &Options<'_>, _side: Side) -> Result<Box<dyn Transform>, OptionError> {
    Ok(Box::new(DropHeaders { names: options.required_list("headers")? }))
}

impl Transform for DropHeaders {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, TransformError> {
        record.headers.retain(|header| !self.names.contains(&header.name));
        Ok(Some(record))
    }

    fn boxed(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
