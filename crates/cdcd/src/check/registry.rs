//! Schema registries of keys and values.

use cdcd_kafka::registry::{Registry, RegistryConfig};

use super::chain;
use super::report::{Mark, Report};
use crate::connector::source::SourceSettings;

const GROUP: &str = "registry";

/// Whether the registries that the converters name answer.
pub(super) async fn look(settings: &SourceSettings, report: &mut Report) {
    let (key, value) = (&settings.key_registry, &settings.value_registry);
    look_at(key.as_ref(), report).await;
    if value != key {
        look_at(value.as_ref(), report).await;
    }
}

async fn look_at(config: Option<&RegistryConfig>, report: &mut Report) {
    let Some(config) = config else { return };
    let answer = match Registry::new(config.clone()) {
        Ok(registry) => registry.ping().await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(()) => report.add(GROUP, Mark::Ok, format!("{} answers", config.urls.join(", "))),
        Err(error) => {
            let (text, hints) = chain(error);
            report.mend(GROUP, Mark::Fail, text, hints);
        }
    }
}
