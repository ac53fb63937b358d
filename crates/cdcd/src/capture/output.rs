//! Where records go: Kafka, standard output, or nowhere.

mod kafka;

use std::io::{BufWriter, Stdout, Write as _};
use std::time::Duration;

use cdcd_capture::position::{Guarantee, Position};
use cdcd_capture::{Capture, Flow};
use cdcd_debezium::record::Record;

use self::kafka::KafkaOutput;
use super::OutputKind;
use super::store::Store;
use crate::connector::source::SourceSettings;
use crate::exit::{Exit, Failure};

pub(super) enum Output {
    Kafka(Box<KafkaOutput>),
    Stdout(BufWriter<Stdout>),
    Null,
}

impl Output {
    /// Opens it; for Kafka this fences every other process that writes for the same connector.
    pub(super) async fn open(kind: OutputKind, settings: &SourceSettings) -> Result<Self, Failure> {
        Ok(match kind {
            OutputKind::Kafka => Output::Kafka(Box::new(KafkaOutput::open(settings).await?)),
            OutputKind::Stdout => Output::Stdout(BufWriter::new(std::io::stdout())),
            OutputKind::Null => Output::Null,
        })
    }

    /// Whether records become durable, so that positions and acknowledgements make sense.
    pub(super) fn is_durable(&self) -> bool {
        matches!(self, Output::Kafka(_))
    }

    /// How records become durable.
    pub(super) fn guarantee(&self) -> Guarantee {
        match self {
            Output::Kafka(kafka) => kafka.guarantee(),
            Output::Stdout(_) | Output::Null => Guarantee::AtLeastOnce,
        }
    }

    /// Offers all waiting records; none is taken while a commit runs.
    pub(super) async fn send(&mut self, capture: &mut Capture) -> Result<Flow, Failure> {
        match self {
            Output::Kafka(kafka) => kafka.send(capture).await,
            Output::Stdout(out) => {
                let mut failed = None;
                capture.send_records(|record| {
                    if let Err(error) = write_line(out, &record) {
                        failed.get_or_insert(error);
                    }
                    Flow::Taken
                });
                match failed.or_else(|| out.flush().err()) {
                    None => Ok(Flow::Taken),
                    Some(error) => {
                        Err(Failure::new(Exit::Unexpected, error).context("writing to standard output"))
                    }
                }
            }
            Output::Null => Ok(capture.send_records(|_| Flow::Taken)),
        }
    }

    /// Sends a record that is kept beside the position; it becomes durable with the next commit.
    pub(super) fn keep(&mut self, topic: &str, key: &str, value: Option<&[u8]>) -> Result<(), Failure> {
        match self {
            Output::Kafka(kafka) => kafka.keep(topic, key, value),
            Output::Stdout(_) | Output::Null => Ok(()),
        }
    }

    /// Starts to make everything that was sent durable together with `position`.
    pub(super) fn begin_commit(&mut self, store: &Store, position: Position) -> Result<(), Failure> {
        match self {
            Output::Kafka(kafka) => kafka.begin_commit(store, position),
            Output::Stdout(_) | Output::Null => Ok(()),
        }
    }

    /// Whether a commit was begun and its end not yet taken.
    pub(super) fn is_committing(&self) -> bool {
        matches!(self, Output::Kafka(kafka) if kafka.is_committing())
    }

    /// Waits for the end of the running commit. Nothing is lost if this is dropped before.
    pub(super) async fn committed(&mut self) -> Result<(), Failure> {
        match self {
            Output::Kafka(kafka) => kafka.committed().await,
            Output::Stdout(_) | Output::Null => Ok(()),
        }
    }

    /// Lets the client work for a moment.
    pub(super) async fn wait(&mut self) -> Result<(), Failure> {
        match self {
            Output::Kafka(kafka) => kafka.wait(Duration::from_millis(1)).await,
            Output::Stdout(_) | Output::Null => {
                tokio::task::yield_now().await;
                Ok(())
            }
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        match self {
            Output::Kafka(kafka) => kafka.in_flight(),
            Output::Stdout(_) | Output::Null => 0,
        }
    }
}

/// One JSON object with the names that `kcat -J` uses.
fn write_line(out: &mut impl std::io::Write, record: &Record<'_>) -> std::io::Result<()> {
    let text = |bytes: Option<&[u8]>| match bytes {
        None => serde_json::Value::Null,
        Some(bytes) => String::from_utf8_lossy(bytes).into_owned().into(),
    };
    let headers: Vec<serde_json::Value> =
        record.headers.iter().flat_map(|header| [header.name.into(), text(header.value)]).collect();
    let line = serde_json::json!({
        "topic": record.topic,
        "key": text(record.key),
        "payload": text(record.value),
        "headers": headers,
    });
    writeln!(out, "{line}")
}
