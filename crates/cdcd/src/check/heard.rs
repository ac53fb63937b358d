//! Warnings that a start would log, caught and handed over instead.

use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Dispatch, Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::Registry;

/// Runs `work` and returns the warnings that it logged, as `field: message`.
pub(super) fn listen<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    let heard = Heard::default();
    let dispatch = Dispatch::new(Registry::default().with(heard.clone()));
    let outcome = tracing::dispatcher::with_default(&dispatch, work);
    let lines = std::mem::take(&mut *heard.lines.lock().unwrap_or_else(PoisonError::into_inner));
    (outcome, lines)
}

#[derive(Clone, Default)]
struct Heard {
    lines: Arc<Mutex<Vec<String>>>,
}

impl<S: Subscriber> Layer<S> for Heard {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() > Level::WARN {
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        let text = match line.fields.is_empty() {
            true => line.message,
            false => format!("{}: {}", line.fields.join(", "), line.message),
        };
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: Vec<String>,
}

impl Line {
    fn take(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            // The key of a property speaks for itself.
            "key" => self.fields.push(value),
            name => self.fields.push(format!("{name} {value}")),
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.take(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_heard_and_lower_levels_are_not() {
        let (answer, lines) = listen(|| {
            tracing::warn!(key = "slot.nam", "unknown property: did you mean slot.name?");
            tracing::info!("not this one");
            tracing::warn!("plainly");
            7
        });
        assert_eq!(answer, 7);
        assert_eq!(lines, ["slot.nam: unknown property: did you mean slot.name?", "plainly"]);
    }
}
