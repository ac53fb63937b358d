//! Kafka clusters of a test's own, of one or more brokers, each a process that may be killed.
//!
//! Besides the plain listener each broker has one that it advertises under another port: what listens there is a proxy of
//! the test, so that everything a client says to the broker goes through it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};

use super::kafka::{self, Kafka, PROPERTIES};
use super::place::{self, Room, State};
use super::{Service, process};

/// Heap of one broker: several of them share a machine.
const HEAP: &str = "-Xmx320m";

/// How long the end of a killed broker may take.
const PORT_LIMIT: Duration = Duration::from_secs(10);

/// How often a new cluster may choose its ports.
const PORT_ATTEMPTS: u32 = 3;

/// What a broker's log says of a port that somebody else has.
const PORT_TAKEN: &str = "Address already in use";

/// A cluster whose brokers run.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// All brokers, for `bootstrap.servers`.
    pub kafka: Kafka,
    /// In the order of their numbers.
    pub brokers: Vec<Broker>,
}

/// One broker of a cluster.
#[derive(Debug, Clone)]
pub struct Broker {
    /// To be killed, stopped and started.
    pub service: Service,
    /// `node.id`
    pub node: u8,
    /// The plain listener.
    pub address: SocketAddr,
    /// The listener that stands behind a proxy …
    pub behind: SocketAddr,
    /// … and the address on which that proxy must listen: clients that come this way are sent here again.
    pub front: SocketAddr,
    /// The broker's log file.
    pub log: PathBuf,
}

fn service(cluster: &str, node: u8, nodes: u8) -> Service {
    Service::Broker { cluster: cluster.to_owned(), node, nodes }
}

/// All brokers, each started if it does not run. They wait for each other, so they start side by side.
pub(super) fn up(cluster: &str, nodes: u8) -> Result<Cluster> {
    let mut attempt = 1;
    loop {
        let is_new = choose_ports(cluster, nodes)?;
        match start_all(cluster, nodes) {
            // Seconds lie between the choice of a port and its use, and somebody else may have chosen it as well.
            Err(_) if is_new && attempt < PORT_ATTEMPTS && a_port_was_taken(cluster, nodes)? => {
                eprintln!("services: {cluster}: a port was taken meanwhile, choosing others");
                attempt += 1;
                for node in 1..=nodes {
                    let room = Room::open(&service(cluster, node, nodes).id())?;
                    let _lock = room.lock()?;
                    process::stop(&room)?;
                    room.remove()?;
                }
            }
            started => return started,
        }
    }
}

/// Every broker must know the others' controllers before its own first start. Says whether the cluster is new.
fn choose_ports(cluster: &str, nodes: u8) -> Result<bool> {
    let mut is_new = false;
    for node in 1..=nodes {
        let room = Room::open(&service(cluster, node, nodes).id())?;
        let _lock = room.lock()?;
        if room.state()?.is_none() {
            let [port, port2, behind, front] = four_ports()?;
            room.store(&State { port, port2, behind, front, ..State::default() })?;
            is_new = true;
        }
    }
    Ok(is_new)
}

fn a_port_was_taken(cluster: &str, nodes: u8) -> Result<bool> {
    for node in 1..=nodes {
        let log = Room::open(&service(cluster, node, nodes).id())?.path("server.log");
        if std::fs::read_to_string(log).is_ok_and(|log| log.contains(PORT_TAKEN)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn start_all(cluster: &str, nodes: u8) -> Result<Cluster> {
    let started: Vec<Result<Broker>> = thread::scope(|scope| {
        let start = |node| scope.spawn(move || broker(cluster, node, nodes));
        let threads: Vec<_> = (1..=nodes).map(start).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined
            .map(|one| one.unwrap_or_else(|_| Err(anyhow!("a thread that starts a broker panicked"))))
            .collect()
    });
    let brokers = started.into_iter().collect::<Result<Vec<Broker>>>()?;
    let servers: Vec<String> = brokers.iter().map(|broker| broker.address.to_string()).collect();
    let log = brokers.first().map(|broker| broker.log.clone()).unwrap_or_default();
    Ok(Cluster { kafka: Kafka { bootstrap_servers: servers.join(","), log }, brokers })
}

/// One broker of a cluster that has run before.
pub(super) fn one_up(cluster: &str, node: u8, nodes: u8) -> Result<Kafka> {
    let broker = broker(cluster, node, nodes)?;
    Ok(Kafka { bootstrap_servers: broker.address.to_string(), log: broker.log })
}

/// The broker if it runs.
pub(super) fn find(service: &Service) -> Result<Option<Kafka>> {
    let room = Room::open(&service.id())?;
    let living = process::living(&room)?;
    Ok(living.map(|state| Kafka {
        bootstrap_servers: loopback(state.port).to_string(),
        log: room.path("server.log"),
    }))
}

fn broker(cluster: &str, node: u8, nodes: u8) -> Result<Broker> {
    let service = service(cluster, node, nodes);
    let room = Room::open(&service.id())?;
    let _lock = room.lock()?;
    let state = match process::living(&room)? {
        Some(state) => state,
        None => start(&room, &service, (cluster, node, nodes))?,
    };
    Ok(Broker {
        service,
        node,
        address: loopback(state.port),
        behind: loopback(state.behind),
        front: loopback(state.front),
        log: room.path("server.log"),
    })
}

fn start(room: &Room, service: &Service, place: (&str, u8, u8)) -> Result<State> {
    let (cluster, node, nodes) = place;
    let state = room.state()?.with_context(|| format!("{service}: its cluster was never started"))?;
    // Clients and the other brokers hold these addresses: another port would be another broker.
    for port in [state.port, state.port2, state.behind] {
        // The threads of a killed process go one by one, and the last takes its sockets with it.
        crate::wait_until(&format!("{service}: port {port}, which another process has"), PORT_LIMIT, || {
            Ok((place::free_port(Some(port))? == port).then_some(()))
        })?;
    }
    let mut voters = Vec::new();
    for other in 1..=nodes {
        let room = Room::open(&self::service(cluster, other, nodes).id())?;
        let state = room.state()?.with_context(|| format!("{service}: broker {other} has no ports yet"))?;
        voters.push(format!("{other}@127.0.0.1:{}", state.port2));
    }
    let mut text: String = PROPERTIES.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    // Of two lines for one name the later counts.
    let in_sync = nodes.div_ceil(2);
    text.push_str(&format!(
        "node.id={node}\nlistener.security.protocol.map=PLAINTEXT:PLAINTEXT,FRONT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         listeners=PLAINTEXT://127.0.0.1:{},FRONT://127.0.0.1:{},CONTROLLER://127.0.0.1:{}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{},FRONT://127.0.0.1:{}\n\
         controller.quorum.voters={}\nlog.dirs={}\n\
         default.replication.factor={nodes}\nmin.insync.replicas={in_sync}\noffsets.topic.replication.factor={nodes}\n\
         transaction.state.log.replication.factor={nodes}\ntransaction.state.log.min.isr={in_sync}\n\
         share.coordinator.state.topic.replication.factor={nodes}\nshare.coordinator.state.topic.min.isr={in_sync}\n",
        state.port,
        state.behind,
        state.port2,
        state.port,
        state.front,
        voters.join(","),
        room.path("data").display()
    ));
    let properties = room.path("server.properties");
    std::fs::write(&properties, text).with_context(|| format!("{}", properties.display()))?;
    kafka::launch(room, service, state, &properties, HEAP)
}

/// Four free ports, all different.
fn four_ports() -> Result<[u16; 4]> {
    let mut ports = [0; 4];
    for index in 0..ports.len() {
        let port = loop {
            let port = place::free_port(None)?;
            if !ports.contains(&port) {
                break port;
            }
        };
        if let Some(slot) = ports.get_mut(index) {
            *slot = port;
        }
    }
    Ok(ports)
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
