//! `RegexRouter`: the topic from an expression and a replacement.

use super::options::{OptionError, Options};
use super::pattern::{Pattern, Replacement};
use super::{Record, Resolve, Side, Transform, TransformError};

pub(crate) const OPTIONS: &[&str] = &["regex", "replacement"];

/// Renames topics that match as a whole.
#[derive(Debug, Clone)]
pub(crate) struct RegexRouter {
    pattern: Pattern,
    replacement: Replacement,
}

pub(crate) fn make(options: &Options<'_>, _side: Side) -> Result<Box<dyn Transform>, OptionError> {
    let pattern = Pattern::new(&options.key("regex"), options.required("regex")?)?;
    let replacement = options.raw("replacement").unwrap_or_default();
    if options.raw("replacement").is_none() {
        return Err(options.error("replacement", "is required and missing"));
    }
    let replacement = Replacement::new(&options.key("replacement"), replacement, &pattern)?;
    Ok(Box::new(RegexRouter { pattern, replacement }))
}

impl RegexRouter {
    pub(crate) fn new(pattern: Pattern, replacement: Replacement) -> Self {
        RegexRouter { pattern, replacement }
    }

    pub(crate) fn route(&self, topic: &str) -> String {
        self.pattern.replace(topic, &self.replacement).unwrap_or_else(|| topic.to_owned())
    }
}

impl Transform for RegexRouter {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, TransformError> {
        record.topic = self.route(&record.topic);
        Ok(Some(record))
    }

    fn boxed(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }

    fn resolve(&self) -> Resolve<'_> {
        Resolve::Route(self)
    }
}
