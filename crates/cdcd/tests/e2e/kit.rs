//! Runs the binary on real services, and reads topics back.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use cdcd_testkit::services::{self, Database, Kafka, Postgres};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::metadata::MetadataTopic;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;

/// Longest that one command of a test may run.
const COMMAND_LIMIT: Duration = Duration::from_secs(300);

/// A database, a broker and a name of a test's own.
pub(crate) struct Bench {
    pub(crate) database: Database,
    pub(crate) postgres: Postgres,
    pub(crate) kafka: Kafka,
    /// Name of the connector, prefix of its topics, name of its slot.
    pub(crate) name: String,
}

/// One record of a topic.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub(crate) key: Option<Value>,
    pub(crate) value: Option<Value>,
    pub(crate) headers: Vec<(String, String)>,
}

impl Read {
    /// The event without its schema.
    pub(crate) fn payload(&self) -> Option<&Value> {
        self.value.as_ref().map(|value| value.get("payload").unwrap_or(value))
    }

    pub(crate) fn key_payload(&self) -> Option<&Value> {
        self.key.as_ref().map(|key| key.get("payload").unwrap_or(key))
    }

    pub(crate) fn op(&self) -> &str {
        self.payload().and_then(|event| event["op"].as_str()).unwrap_or("tombstone")
    }
}

impl Bench {
    pub(crate) fn new(name: &str) -> Self {
        Bench::on(name, 15)
    }

    /// On a server of another major version.
    pub(crate) fn on(name: &str, major: u16) -> Self {
        let postgres = services::postgres(major).unwrap();
        let kafka = services::kafka().unwrap();
        let database = postgres.fresh_database(name).unwrap();
        let name = database.name.clone();
        Bench { database, postgres, kafka, name }
    }

    /// A connector file in the form that users post; `extra` comes on top.
    pub(crate) fn connector(&self, extra: &[(&str, &str)]) -> Vec<(String, String)> {
        let port = self.postgres.port.to_string();
        let own = [
            ("name", self.name.as_str()),
            ("connector.class", "io.debezium.connector.postgresql.PostgresConnector"),
            ("plugin.name", "pgoutput"),
            ("topic.prefix", &self.name),
            ("slot.name", &self.name),
            ("publication.name", &self.name),
            ("database.hostname", &self.postgres.host),
            ("database.port", &port),
            ("database.user", &self.postgres.user),
            ("database.password", &self.postgres.password),
            ("database.dbname", &self.database.name),
            ("key.converter.schemas.enable", "false"),
            ("value.converter.schemas.enable", "false"),
        ];
        let mut pairs: BTreeMap<&str, &str> = own.into_iter().collect();
        pairs.extend(extra.iter().copied());
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    /// `cdcd capture -` with this connector on standard input.
    pub(crate) fn command(&self, connector: &[(String, String)], args: &[&str]) -> Child {
        let mut command = cdcd();
        command
            .args(["capture", "-", "--bootstrap-servers", &self.kafka.bootstrap_servers])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(posted(&self.name, connector).as_bytes()).unwrap();
        child
    }

    /// Runs a capture to its end.
    pub(crate) fn run(&self, connector: &[(String, String)], args: &[&str]) -> Output {
        finish(self.command(connector, args))
    }

    /// Runs until everything committed so far is in Kafka.
    pub(crate) fn catch_up(&self, connector: &[(String, String)]) {
        let output = self.run(connector, &["--endpos", "now"]);
        assert!(output.status.success(), "{}", stderr(&output));
    }

    /// All records of `<prefix>.<table>`, partition after partition, in order.
    pub(crate) fn topic(&self, table: &str) -> Vec<Read> {
        read_topic(&self.kafka.bootstrap_servers, &format!("{}.{table}", self.name))
    }

    /// Number of records of `<prefix>.<table>`, without reading them.
    pub(crate) fn count(&self, table: &str) -> usize {
        let topic = format!("{}.{table}", self.name);
        let consumer = reader(&self.kafka.bootstrap_servers);
        let limit = Duration::from_secs(30);
        let metadata = consumer.fetch_metadata(None, limit).unwrap();
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return 0 };
        present(&consumer, found, limit)
    }

    pub(crate) fn psql(&self, sql: &str) -> String {
        self.database.psql(sql).unwrap()
    }
}

/// The binary, untouched by the shell's own database variables.
pub(crate) fn cdcd() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cdcd"));
    for variable in ["PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"] {
        command.env_remove(variable);
    }
    command
}

/// The form in which users post a connector.
pub(crate) fn posted(name: &str, connector: &[(String, String)]) -> String {
    let config: serde_json::Map<String, Value> =
        connector.iter().map(|(key, value)| (key.clone(), Value::String(value.clone()))).collect();
    serde_json::json!({ "name": name, "config": config }).to_string()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits for the end of a process, but not for ever.
pub(crate) fn finish(child: Child) -> Output {
    let pid = child.id();
    let (done, waiting) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    match waiting.recv_timeout(COMMAND_LIMIT) {
        Ok(output) => output.unwrap(),
        Err(_) => {
            kill(pid, "KILL");
            panic!("the command did not end within {COMMAND_LIMIT:?}");
        }
    }
}

pub(crate) fn kill(pid: u32, signal: &str) {
    let status = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill -{signal} {pid}");
}

fn reader(servers: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", "test")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap()
}

/// Records that the partitions of a topic hold now: one that somebody writes to has no end of its own.
fn present(consumer: &BaseConsumer, topic: &MetadataTopic, limit: Duration) -> usize {
    let watermarks = topic.partitions().iter().map(|partition| {
        let (low, high) = consumer.fetch_watermarks(topic.name(), partition.id(), limit).unwrap();
        (high - low) as usize
    });
    watermarks.sum()
}

pub(crate) fn read_topic(servers: &str, topic: &str) -> Vec<Read> {
    let consumer = reader(servers);
    let limit = COMMAND_LIMIT;
    let metadata = consumer.fetch_metadata(None, limit).unwrap();
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Vec::new() };
    let mut assignment = TopicPartitionList::new();
    for partition in found.partitions() {
        assignment.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let present = present(&consumer, found, limit);
    let mut open = found.partitions().len();
    let mut records = Vec::new();
    let deadline = Instant::now() + limit;
    while open > 0 && records.len() < present {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => records.push(read(&message)),
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(error)) => panic!("{error}"),
            None => assert!(Instant::now() < deadline, "no end of topic {topic} within {limit:?}"),
        }
    }
    records
}

fn read(message: &rdkafka::message::BorrowedMessage<'_>) -> Read {
    let json = |bytes: Option<&[u8]>| bytes.map(json_or_text);
    let headers = message.headers().map(|headers| {
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
    });
    Read { key: json(message.key()), value: json(message.payload()), headers: headers.unwrap_or_default() }
}

/// What a consumer that applies every event in order ends up with: key to newest row.
pub(crate) fn fold(records: &[Read]) -> BTreeMap<String, Value> {
    let mut state = BTreeMap::new();
    for record in records {
        let Some(key) = record.key_payload() else { continue };
        match record.payload().map(|event| &event["after"]) {
            Some(after) if !after.is_null() => state.insert(key.to_string(), after.clone()),
            _ => state.remove(&key.to_string()),
        };
    }
    state
}

fn json_or_text(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned().into())
}
