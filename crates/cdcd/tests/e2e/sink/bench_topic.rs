//! A topic of one test on the real broker, and a sink that reads it.

use cdcd::connector::properties::{Origin, Properties};
use cdcd::connector::sink::SinkSettings;
use cdcd::sink::{SinkError, SinkOptions, run_with};
use cdcd_debezium::record::{Header, Record};
use cdcd_kafka::ClientConfig;
use cdcd_kafka::admin::{Admin, TopicSpec};
use cdcd_kafka::producer::{Accepted, Guarantee, Producer};
use cdcd_sink::destination::Destination;
use cdcd_sink::row::RowEncoder;
use cdcd_testkit::services;
use std::sync::Arc;
use std::time::Duration;

/// No test waits longer.
pub(crate) const TEST_MAX: Duration = Duration::from_secs(40);

/// A prefix of its own on the shared broker.
pub(crate) struct Bench {
    pub(crate) bootstrap: String,
    pub(crate) prefix: String,
}

impl Bench {
    pub(crate) fn new(name: &str) -> Self {
        let kafka = services::kafka().expect("the broker starts");
        let prefix = kafka.unique_prefix(name).expect("a prefix");
        Bench { bootstrap: kafka.bootstrap_servers, prefix }
    }

    pub(crate) fn topic(&self, rest: &str) -> String {
        format!("{}.{rest}", self.prefix)
    }

    pub(crate) async fn make_topic(&self, topic: &str, partitions: i32) {
        let admin = Admin::new(&ClientConfig::new(&self.bootstrap)).expect("an admin client");
        let spec =
            TopicSpec { name: topic.to_owned(), partitions, replication_factor: 1, config: Vec::new() };
        assert!(admin.create_topic(&spec).await.expect("the topic is made"), "{topic} is new");
    }

    /// Writes records in order and waits until Kafka has them.
    pub(crate) fn produce(&self, topic: &str, records: &[(Option<String>, Option<String>)]) {
        self.produce_under(topic, records, &[]);
    }

    /// The same with headers on every record.
    pub(crate) fn produce_under(
        &self,
        topic: &str,
        records: &[(Option<String>, Option<String>)],
        headers: &[Header<'_>],
    ) {
        let producer =
            Producer::new(&ClientConfig::new(&self.bootstrap), &Guarantee::AtLeastOnce).expect("a producer");
        for (key, value) in records {
            let record = Record {
                topic,
                partition: None,
                timestamp_ms: None,
                key: key.as_ref().map(String::as_bytes),
                value: value.as_ref().map(String::as_bytes),
                headers,
            };
            while producer.send(&record).expect("accepted") == Accepted::Full {
                producer.poll(Duration::from_millis(5));
            }
        }
        producer.drain(Some(TEST_MAX)).expect("delivered");
    }

    /// A connector's properties, with quick intervals; `pairs` win.
    pub(crate) fn properties(&self, topics: &str, pairs: &[(&str, &str)]) -> Properties {
        let mut properties = Properties::default();
        let name = format!("{}-sink", self.prefix);
        let base = [
            ("name", name.as_str()),
            ("topics", topics),
            ("bootstrap.servers", self.bootstrap.as_str()),
            ("snowflake.url.name", "http://127.0.0.1:1"),
            ("snowflake.user.name", "loader"),
            ("snowflake.private.key", "unused"),
            ("snowflake.database.name", "cdc"),
            ("cdcd.batch.age.max.ms", "50"),
            ("cdcd.merge.interval.ms", "300"),
        ];
        for (key, value) in base.iter().chain(pairs) {
            properties.set(*key, *value, Origin::Connector);
        }
        properties
    }
}

/// Runs a sink into `destination` until it has caught up.
pub(crate) async fn catch_up<D: Destination + 'static>(
    properties: &Properties,
    destination: &Arc<D>,
    encoder: Box<dyn RowEncoder>,
) -> Result<(), SinkError> {
    let settings = SinkSettings::read(properties).expect("usable properties");
    let options = SinkOptions { until_caught_up: true, stats_interval: None };
    let run = run_with(settings, options, Arc::clone(destination), encoder, std::future::pending());
    tokio::time::timeout(TEST_MAX, run).await.expect("caught up in time")
}

/// Envelopes with schema of a table `(id int, note text)`.
pub(crate) fn event(op: &str, id: i64, note: Option<&str>, lsn: u64) -> (Option<String>, Option<String>) {
    const ROW: &str = r#"[{"type":"int64","optional":false,"field":"id"},{"type":"string","optional":true,"field":"note"}]"#;
    let schema = format!(
        r#"{{"type":"struct","fields":[{{"type":"struct","fields":{ROW},"optional":true,"field":"before"}},{{"type":"struct","fields":{ROW},"optional":true,"field":"after"}},{{"type":"string","field":"op"}}]}}"#
    );
    let note = note.map_or("null".to_owned(), |note| format!("\"{note}\""));
    let row = format!(r#"{{"id":{id},"note":{note}}}"#);
    let (before, after) = if op == "d" { (row.as_str(), "null") } else { ("null", row.as_str()) };
    let payload = format!(
        r#"{{"before":{before},"after":{after},"source":{{"lsn":{lsn},"ts_us":1700000000000000}},"op":"{op}","ts_ms":1}}"#
    );
    let key_schema = r#"{"type":"struct","fields":[{"type":"int64","optional":false,"field":"id"}]}"#;
    (
        Some(format!(r#"{{"schema":{key_schema},"payload":{{"id":{id}}}}}"#)),
        Some(format!(r#"{{"schema":{schema},"payload":{payload}}}"#)),
    )
}
