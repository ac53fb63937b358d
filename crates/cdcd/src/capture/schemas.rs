//! Answers the engine's questions from the schema registries of keys and values.

use std::time::Duration;

use cdcd_capture::Capture;
use cdcd_capture::converter::{Half, SchemaRequest};
use cdcd_debezium::format::avro_schema;
use cdcd_kafka::registry::{Registration, Registry, RegistryConfig, RegistryError};

use crate::connector::source::SourceSettings;
use crate::exit::{Exit, Failure};

/// Attempts to get an answer; together with their waits they take less than half of `wal_sender_timeout`'s minute,
/// for the server hears nothing from us meanwhile. After them the connection is given up and made again.
const ATTEMPTS: u32 = 4;
/// Wait after the first; doubles.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// The registries, if there are any.
#[derive(Debug, Default)]
pub(super) struct Schemas {
    key: Option<Registry>,
    value: Option<Registry>,
}

impl Schemas {
    pub(super) fn new(settings: &SourceSettings) -> Result<Self, Failure> {
        let make = |config: &Option<RegistryConfig>| config.clone().map(Registry::new).transpose();
        Ok(Schemas { key: make(&settings.key_registry)?, value: make(&settings.value_registry)? })
    }

    /// Answers all that is asked.
    pub(super) async fn answer(&mut self, capture: &mut Capture) -> Result<(), Failure> {
        while let Some(request) = capture.poll_schema_request() {
            let registry = match request.half {
                Half::Key => &mut self.key,
                Half::Value => &mut self.value,
            };
            let registry = registry.as_mut().ok_or_else(|| {
                Failure::new(Exit::Unexpected, anyhow::anyhow!("a schema is asked for without a registry"))
            })?;
            let id = patiently(registry, request).await?;
            tracing::debug!(subject = request.subject, id, "schema id known");
            let subject = request.subject.clone();
            capture.handle_schema_id(&subject, id);
        }
        Ok(())
    }
}

/// Asks until there is an answer or the attempts are used up.
async fn patiently(registry: &mut Registry, request: &SchemaRequest) -> Result<u32, Failure> {
    let mut wait = FIRST_WAIT;
    let mut attempt = 1;
    loop {
        let error = match ask(registry, request).await {
            Ok(id) => return Ok(id),
            Err(failure) if !failure.transient || attempt == ATTEMPTS => {
                return Err(failure.context(format!("schema of {}", request.subject)));
            }
            Err(failure) => failure,
        };
        tracing::warn!(
            error = error.render(),
            attempt,
            wait_ms = wait.as_millis() as u64,
            "schema registry failed, will try again"
        );
        tokio::time::sleep(wait).await;
        (wait, attempt) = (wait * 2, attempt + 1);
    }
}

async fn ask(registry: &mut Registry, request: &SchemaRequest) -> Result<u32, Failure> {
    let SchemaRequest { subject, schema, .. } = request;
    if registry.registration() != Registration::UseLatest {
        return Ok(registry.id(subject, schema).await?);
    }
    let latest = registry.latest(subject).await?;
    match avro_schema::same_layout(schema, &latest.schema) {
        true => Ok(latest.id),
        false => Err(Failure::configuration(format!(
            "the newest schema of {subject} (id {}) has other fields or types than the table",
            latest.id
        ))
        .hint(format!("the table's schema is {schema}"))
        .hint("register it, or let it be registered with auto.register.schemas=true")),
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        let hint = match error.status() {
            Some(401 | 403) => {
                Some("check basic.auth.credentials.source, basic.auth.user.info and the user's rights")
            }
            Some(404) => Some(
                "the schema is not registered: register it, or let it be registered with auto.register.schemas=true",
            ),
            Some(409) => Some(
                "the table's schema changed in a way that the subject's compatibility forbids: lower the \
                 compatibility (PUT /config/<subject>), or undo the change; nothing is lost, the next start goes on here",
            ),
            Some(422) => Some(
                "the registry does not take the schema; Apicurio refuses the defaults {}, NaN and infinity",
            ),
            _ => None,
        };
        let transient = error.is_transient();
        let exit = if transient { Exit::Dependency } else { Exit::Configuration };
        let mut failure = Failure::new(exit, error);
        failure.transient = transient;
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
