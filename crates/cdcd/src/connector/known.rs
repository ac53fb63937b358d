//! Every property name that we know of, with what we do with it.

use super::properties::{Properties, PropertyError};

/// What `cdcd` does with a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// Honoured.
    Yes,
    /// Honoured, but for this.
    Differs(&'static str),
    /// Means nothing here, or only tunes the JVM: noted at debug level.
    Ignored(&'static str),
    /// Dead since some version of the original: accepted with a warning.
    Dead(&'static str),
    /// Would change data and cannot be honoured: an error that names the key, unless it has this value.
    Refused {
        /// The default, which asks for nothing.
        unless: &'static str,
        /// Why, or what to do instead.
        why: &'static str,
    },
}

/// One row of the reference page.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// The name; a trailing `*` stands for any ending.
    pub name: &'static str,
    /// What we do with it.
    pub support: Support,
}

impl Known {
    fn matches(&self, key: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(prefix) => key.starts_with(prefix),
            None => self.name == key,
        }
    }
}

/// Names nearer than this are offered as a correction: 0 is nothing alike, 1 is equal.
const NEAR: f64 = 0.85;

/// Reports every property that the settings did not take.
///
/// # Errors
/// A property that would change data and cannot be honoured.
pub fn report_unused(properties: &Properties, tables: &[&[Known]]) -> Result<(), PropertyError> {
    let known = || tables.iter().flat_map(|table| table.iter());
    for key in properties.unused() {
        let value = properties.peek(key).unwrap_or_default();
        match known().find(|row| row.matches(key)).map(|row| row.support) {
            Some(Support::Refused { unless, why }) if !value.eq_ignore_ascii_case(unless) => {
                return Err(refusal(key, value, why));
            }
            Some(Support::Dead(why)) => tracing::warn!(key, "property has no effect: {why}"),
            Some(Support::Ignored(why)) => tracing::debug!(key, "property has no effect here: {why}"),
            Some(Support::Yes | Support::Differs(_) | Support::Refused { .. }) => {
                tracing::debug!(key, "property was not needed");
            }
            None => warn_unknown(key, known()),
        }
    }
    Ok(())
}

/// The same for the options behind one prefix, which are read by one reader.
///
/// # Errors
/// An option that would change data and cannot be honoured.
pub fn report_unused_options(
    properties: &Properties,
    prefix: &str,
    known: &[Known],
) -> Result<(), PropertyError> {
    for (name, value) in properties.peek_prefix(prefix) {
        let key = format!("{prefix}{name}");
        match known.iter().find(|row| row.matches(name)).map(|row| row.support) {
            Some(Support::Refused { unless, why }) if !value.eq_ignore_ascii_case(unless) => {
                return Err(refusal(&key, value, why));
            }
            Some(Support::Ignored(why) | Support::Dead(why)) => {
                tracing::debug!(key, "property has no effect here: {why}");
            }
            Some(Support::Yes | Support::Differs(_) | Support::Refused { .. }) => {}
            None => warn_unknown(&key, known.iter()),
        }
    }
    Ok(())
}

/// Secrets are not shown.
fn refusal(key: &str, value: &str, why: &str) -> PropertyError {
    let is_secret = key.to_ascii_lowercase().contains("password");
    let shown = if is_secret { "it".to_owned() } else { format!("'{value}'") };
    PropertyError::new(key, format!("{shown} cannot be honoured: {why}"))
}

fn warn_unknown<'a>(key: &str, known: impl Iterator<Item = &'a Known>) {
    let nearest = known
        .map(|row| (strsim::jaro_winkler(key, row.name), row.name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(similarity, _)| *similarity >= NEAR);
    match nearest {
        Some((_, name)) => tracing::warn!(key, "unknown property: did you mean {name}?"),
        None => tracing::warn!(key, "unknown property: it has no effect"),
    }
}
