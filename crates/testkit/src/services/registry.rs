//! Apicurio Registry: a schema registry that answers Confluent's REST API.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::maven::{self, Artifact};
use super::place::{self, Room, State};
use super::progress::Step;
use super::versions::versions;
use super::{Service, java, process};

/// A start takes 3 s on two idle cores.
const START_TIMEOUT: Duration = Duration::from_secs(90);

/// A running schema registry. It keeps schemas in memory: empty after each start.
#[derive(Debug, Clone)]
pub struct Registry {
    /// Base URL of the Confluent-compatible API, for `schema.registry.url`.
    pub url: String,
    /// The server's log file.
    pub log: PathBuf,
}

fn describe(room: &Room, state: &State) -> Registry {
    let url = format!("http://127.0.0.1:{}/apis/ccompat/v7", state.port);
    Registry { url, log: room.path("server.log") }
}

/// The registry if it runs.
pub(super) fn find() -> Result<Option<Registry>> {
    let room = Room::open(&Service::Registry.id())?;
    Ok(process::living(&room)?.map(|state| describe(&room, &state)))
}

/// The registry, started if it does not run.
pub(super) fn up() -> Result<Registry> {
    let room = Room::open(&Service::Registry.id())?;
    let _lock = room.lock()?;
    if let Some(state) = process::living(&room)? {
        return Ok(describe(&room, &state));
    }
    let pinned = versions()?.registry;
    let java = java::java(pinned.java_min)?;
    let version = &pinned.version;
    let artifact = Artifact::new("io.apicurio", "apicurio-registry-app", version);
    let dir = maven::archive(&format!("apicurio-registry-{version}"), &artifact, "all")?;
    let step = Step::start(format!("registry {version}: start"));
    let before = room.state()?;
    let port = place::free_port(before.as_ref().map(|state| state.port))?;
    let management = place::free_port(before.as_ref().map(|state| state.port2))?;
    let mut server = Command::new(java);
    server
        .args(["-Xmx256m", "-XX:+UseSerialGC", "-jar", "quarkus-run.jar"])
        .current_dir(&dir)
        .env("QUARKUS_HTTP_HOST", "127.0.0.1")
        .env("QUARKUS_HTTP_PORT", port.to_string())
        // Without these two the management interface listens on all addresses.
        .env("QUARKUS_MANAGEMENT_HOST", "127.0.0.1")
        .env("QUARKUS_MANAGEMENT_PORT", management.to_string());
    let log = room.path("server.log");
    let ready = |text: &str| text.contains("Listening on") && process::answers(port);
    let (pid, started) = process::spawn(server, &log, START_TIMEOUT, ready).context("registry")?;
    let state = State { pid, started, port, port2: management, ..State::default() };
    room.store(&state)?;
    let registry = describe(&room, &state);
    step.done(&registry.url);
    Ok(registry)
}
