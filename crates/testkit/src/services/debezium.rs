//! A Kafka Connect worker with Debezium's PostgreSQL connector: the original, to compare with. Nothing of cdcd uses it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::kafka::{LOG4J, loggers};
use super::maven::{self, Artifact};
use super::place::{self, Room, State};
use super::progress::Step;
use super::versions::{Versions, versions};
use super::{Service, java, process, python};

/// A start takes 4 to 10 s on two idle cores.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// A running Kafka Connect worker.
#[derive(Debug, Clone)]
pub struct Connect {
    /// Base URL of its REST API. A POST right after the start may answer 409: repeat it.
    pub url: String,
    /// The worker's log file.
    pub log: PathBuf,
    /// The worker's process, to measure it.
    pub pid: u32,
}

fn describe(room: &Room, state: &State) -> Connect {
    Connect { url: format!("http://127.0.0.1:{}", state.port), log: room.path("worker.log"), pid: state.pid }
}

/// The worker if it runs.
pub(super) fn find() -> Result<Option<Connect>> {
    let room = Room::open(&Service::Debezium.id())?;
    Ok(process::living(&room)?.map(|state| describe(&room, &state)))
}

/// The worker (and the broker that it needs) with this release of the connector, or with the pinned one: started if it does not
/// run; one that runs another release is stopped first.
pub(super) fn up(release: Option<&str>) -> Result<Connect> {
    let kafka = super::kafka()?;
    let room = Room::open(&Service::Debezium.id())?;
    let _lock = room.lock()?;
    let mut versions = versions()?;
    if let Some(release) = release {
        release.clone_into(&mut versions.debezium.version);
    }
    let running = room.path("release");
    if let Some(state) = process::living(&room)? {
        if fs::read_to_string(&running).unwrap_or_default() == versions.debezium.version {
            return Ok(describe(&room, &state));
        }
        process::stop(&room)?;
    }
    let java = java::java(versions.debezium.java_min)?;
    let (libs, plugins) = (worker_jars(&versions)?, plugin_dir(&versions)?);
    // Not a plugin folder: the converter has no service manifest, by which `service_load` finds plugins.
    let avro = python::avro_converter_jars()?;
    let step = Step::start(format!("debezium {}: start", versions.debezium.version));
    let port = place::free_port(room.state()?.map(|state| state.port))?;
    let properties = room.path("worker.properties");
    let text = worker_properties(&kafka.bootstrap_servers, port, &plugins);
    fs::write(&properties, text).with_context(|| format!("{}", properties.display()))?;
    fs::write(&running, &versions.debezium.version).with_context(|| format!("{}", running.display()))?;
    let log4j = room.path("log4j2.properties");
    fs::write(&log4j, LOG4J).with_context(|| format!("{}", log4j.display()))?;
    let mut server = Command::new(java);
    server
        .args(["-Xmx1g", "-XX:+UseSerialGC"])
        .arg(format!("-Dlog4j2.configurationFile={}", log4j.display()))
        .arg("-cp")
        .arg(format!("{}:{}", libs.join("*").display(), avro.join("*").display()))
        .arg("org.apache.kafka.connect.cli.ConnectDistributed")
        .arg(&properties);
    let log = room.path("worker.log");
    let ready = |text: &str| text.contains("Kafka Connect started") && process::answers(port);
    let (pid, started) = process::spawn(server, &log, START_TIMEOUT, ready).context("debezium")?;
    let state = State { pid, started, port, ..State::default() };
    room.store(&state)?;
    let connect = describe(&room, &state);
    step.done(&connect.url);
    Ok(connect)
}

fn worker_properties(bootstrap_servers: &str, port: u16, plugins: &Path) -> String {
    format!(
        "bootstrap.servers={bootstrap_servers}\n\
         listeners=http://127.0.0.1:{port}\n\
         rest.advertised.host.name=127.0.0.1\n\
         group.id=testkit-connect\n\
         config.storage.topic=testkit_connect_configs\n\
         offset.storage.topic=testkit_connect_offsets\n\
         status.storage.topic=testkit_connect_statuses\n\
         config.storage.replication.factor=-1\n\
         offset.storage.replication.factor=-1\n\
         status.storage.replication.factor=-1\n\
         offset.storage.partitions=1\n\
         status.storage.partitions=1\n\
         offset.flush.interval.ms=1000\n\
         key.converter=org.apache.kafka.connect.json.JsonConverter\n\
         value.converter=org.apache.kafka.connect.json.JsonConverter\n\
         exactly.once.source.support=enabled\n\
         connector.client.config.override.policy=All\n\
         plugin.discovery=service_load\n\
         plugin.path={}\n",
        plugins.display()
    )
}

fn worker_jars(versions: &Versions) -> Result<PathBuf> {
    let version = &versions.kafka.version;
    let mut artifacts = ["connect-runtime", "connect-json", "connect-file", "connect-transforms"]
        .map(|name| Artifact::new("org.apache.kafka", name, version))
        .to_vec();
    artifacts.extend(loggers(&versions.kafka));
    maven::jars(&format!("kafka-connect-{version}"), &artifacts)
}

/// The parent of the connector's folder, as `plugin.path` wants it. Jars that the worker brings itself are left out
/// of it: two copies of one Kafka class in two class loaders do not know each other.
fn plugin_dir(versions: &Versions) -> Result<PathBuf> {
    let version = &versions.debezium.version;
    let artifact = Artifact::new("io.debezium", "debezium-connector-postgres", version);
    let all = maven::jars(&format!("debezium-{version}"), &[artifact])?;
    let plugins = all.with_file_name("plugins");
    let dir = plugins.join("debezium-connector-postgres");
    let own = |name: &str| {
        ["debezium-", "postgresql-", "protobuf-", "sketches-"].iter().any(|prefix| name.starts_with(prefix))
    };
    fs::create_dir_all(&dir).with_context(|| format!("{}", dir.display()))?;
    for entry in fs::read_dir(&all).with_context(|| format!("{}", all.display()))? {
        let path = entry.with_context(|| format!("{}", all.display()))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let target = dir.join(name);
        if own(name) && !target.exists() {
            fs::hard_link(&path, &target).with_context(|| format!("{}", target.display()))?;
        }
    }
    Ok(plugins)
}
