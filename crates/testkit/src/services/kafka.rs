//! One Apache Kafka broker in KRaft mode, from Maven artifacts on the machine's Java.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::maven::{self, Artifact};
use super::place::{self, Room, State};
use super::process::{self, run};
use super::progress::Step;
use super::versions::{Kafka as Pinned, versions};
use super::{Service, java};

/// A first start takes 3 to 4 s on two idle cores; the rest is for a loaded machine.
const START_TIMEOUT: Duration = Duration::from_secs(90);

/// The id that `StorageTool format` wants: 16 bytes as base64url. One cluster per data folder, so it may be fixed.
const CLUSTER_ID: &str = "Y2RjZC10ZXN0a2l0LTAwMQ";

/// Heap: 96 MB is enough to start; this carries the demo's load without pauses.
const HEAP: &str = "-Xmx512m";

/// What the tests want of a single broker: everything with one copy, quick groups, transactions and compaction.
const PROPERTIES: &[(&str, &str)] = &[
    ("process.roles", "broker,controller"),
    ("node.id", "1"),
    ("controller.listener.names", "CONTROLLER"),
    ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"),
    ("inter.broker.listener.name", "PLAINTEXT"),
    ("default.replication.factor", "1"),
    ("min.insync.replicas", "1"),
    ("num.partitions", "1"),
    ("offsets.topic.num.partitions", "4"),
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.num.partitions", "4"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("share.coordinator.state.topic.num.partitions", "4"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("group.min.session.timeout.ms", "1000"),
    ("log.cleaner.backoff.ms", "500"),
    ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "1000"),
    ("broker.session.timeout.ms", "3000"),
    ("broker.heartbeat.interval.ms", "500"),
];

/// log4j2's properties for every Java server here: warnings, and the line that says "ready", on standard output.
pub(super) const LOG4J: &str = "\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
";

/// A running Kafka broker.
#[derive(Debug, Clone)]
pub struct Kafka {
    /// `host:port`, for `bootstrap.servers`.
    pub bootstrap_servers: String,
    /// The broker's log file.
    pub log: PathBuf,
}

impl Kafka {
    /// A topic prefix that nobody else uses: `t-<name>-<random>`.
    ///
    /// # Errors
    /// When the kernel has no random numbers.
    pub fn unique_prefix(&self, name: &str) -> Result<String> {
        Ok(format!("t-{name}-{:08x}", place::random_u64()? & 0xffff_ffff))
    }

    /// Runs one of Kafka's own command line tools by class (`org.apache.kafka.tools.TopicCommand`, …) with `stdin` as
    /// its input; `--bootstrap-server` is added. Returns its standard output.
    ///
    /// # Errors
    /// When the tool fails.
    pub fn tool(&self, class: &str, args: &[&str], stdin: &str) -> Result<String> {
        let pinned = versions()?.kafka;
        let mut command = Command::new(java::java(pinned.java_min)?);
        command
            .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
            .arg(jars(&pinned)?.join("*"))
            .args([class, "--bootstrap-server", &self.bootstrap_servers])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{class}: does not start"))?;
        // All inputs are short (below a pipe's 64 kB), so that writing first cannot block.
        child.stdin.take().context("pipe")?.write_all(stdin.as_bytes()).context("pipe")?;
        let output = child.wait_with_output().with_context(|| class.to_owned())?;
        if !output.status.success() {
            bail!("{class}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        String::from_utf8(output.stdout).with_context(|| format!("{class}: output is not UTF-8"))
    }
}

fn describe(room: &Room, state: &State) -> Kafka {
    Kafka { bootstrap_servers: format!("127.0.0.1:{}", state.port), log: room.path("server.log") }
}

/// The broker of this service if it runs.
pub(super) fn find(service: &Service) -> Result<Option<Kafka>> {
    let room = Room::open(&service.id())?;
    Ok(process::living(&room)?.map(|state| describe(&room, &state)))
}

/// The broker of this service, started if it does not run.
pub(super) fn up(service: &Service) -> Result<Kafka> {
    let room = Room::open(&service.id())?;
    let _lock = room.lock()?;
    if let Some(state) = process::living(&room)? {
        return Ok(describe(&room, &state));
    }
    let pinned = versions()?.kafka;
    let java = java::java(pinned.java_min)?;
    let jars = jars(&pinned)?;
    let step = Step::start(format!("{service} {}: start", pinned.version));
    let before = room.state()?;
    let port = place::free_port(before.as_ref().map(|state| state.port))?;
    let controller = place::free_port(before.as_ref().map(|state| state.port2))?;
    let properties = configure(&room, port, controller)?;
    let java = |log: &PathBuf| {
        let mut command = Command::new(&java);
        command
            .args(["-Xms64m", HEAP, "-XX:+UseSerialGC"])
            .arg(format!("-Dlog4j2.configurationFile={}", log.display()))
            .arg("-cp")
            .arg(jars.join("*"));
        command
    };
    let log4j = room.path("log4j2.properties");
    fs::write(&log4j, LOG4J).with_context(|| format!("{}", log4j.display()))?;
    if !room.path("data/meta.properties").exists() {
        let mut format = java(&log4j);
        format.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"]).arg(&properties);
        run(&mut format)?;
    }
    let mut server = java(&log4j);
    server.arg("kafka.Kafka").arg(&properties);
    let log = room.path("server.log");
    let ready = |text: &str| text.contains("Kafka Server started") && process::answers(port);
    let (pid, started) = process::spawn(server, &log, START_TIMEOUT, ready)?;
    let state = State { pid, started, port, port2: controller, password: String::new() };
    room.store(&state)?;
    let kafka = describe(&room, &state);
    step.done(&kafka.bootstrap_servers);
    Ok(kafka)
}

fn configure(room: &Room, port: u16, controller: u16) -> Result<PathBuf> {
    let mut text: String = PROPERTIES.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    let data = room.path("data");
    text.push_str(&format!(
        "listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         log.dirs={}\n",
        data.display()
    ));
    let path = room.path("server.properties");
    fs::write(&path, text).with_context(|| format!("{}", path.display()))?;
    Ok(path)
}

/// The broker, its tools, and a logger (`log4j-slf4j-impl`: slf4j resolves to 1.7 here).
fn jars(pinned: &Pinned) -> Result<PathBuf> {
    let Pinned { version, scala, .. } = pinned;
    let mut artifacts = vec![
        Artifact::new("org.apache.kafka", format!("kafka_{scala}"), version),
        Artifact::new("org.apache.kafka", "kafka-tools", version),
    ];
    artifacts.extend(loggers(pinned));
    maven::jars(&format!("kafka-{version}"), &artifacts)
}

/// The logger that all Java servers here use.
pub(super) fn loggers(pinned: &Pinned) -> Vec<Artifact> {
    ["log4j-core", "log4j-slf4j-impl"]
        .map(|name| Artifact::new("org.apache.logging.log4j", name, &pinned.log4j))
        .to_vec()
}
