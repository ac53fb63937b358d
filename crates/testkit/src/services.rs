//! Provision, start and find the real services.
//!
//! Every entry point ([`postgres`], [`kafka`], …) has the same contract: when it returns, the service runs and
//! answers. It downloads what is missing, starts what is not running, and otherwise only reads the state that an
//! earlier call left behind. Calls from several processes are put in order by one file lock per service.
//!
//! Services outlive the process that started them, so that a test run pays for them once; they end with
//! [`down`] (`cargo xtask services down`) and with the machine.
//!
//! | what | where | may be overridden by |
//! |---|---|---|
//! | state: data, logs, ports, process ids | `.services` in the checkout, or `/var/tmp/cdcd-services-<hash>` where PostgreSQL's user cannot reach the checkout | `CDCD_SERVICES_DIR` |
//! | downloads, shared by all checkouts | `/var/cache/cdcd` for root, else `~/.cache/cdcd` | `CDCD_CACHE_DIR` |
//!
//! No function here runs on an async runtime: everything is `std::process`.

mod brokers;
mod debezium;
mod java;
mod kafka;
mod maven;
mod place;
mod postgres;
mod process;
mod progress;
mod python;
mod registry;
mod versions;

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};

pub use brokers::{Broker, Cluster};
pub use debezium::Connect;
pub use kafka::Kafka;
pub use postgres::{Database, Postgres};
pub use process::Signal;
pub use registry::Registry;

/// The PostgreSQL majors that can be provisioned.
pub const POSTGRES_MAJORS: [u16; 5] = [14, 15, 16, 17, 18];

/// One service that can be started, as named on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Service {
    /// A PostgreSQL cluster of its own: the tests' (`main`), or another by name (`emulator`).
    Postgres {
        /// `main`, or the name of a further cluster.
        cluster: String,
        /// 14 to 18.
        major: u16,
    },
    /// One Apache Kafka broker (KRaft).
    Kafka,
    /// One broker of a Kafka cluster of a test's own.
    Broker {
        /// Name of the cluster.
        cluster: String,
        /// 1 to `nodes`.
        node: u8,
        /// Brokers of the cluster, at most 5.
        nodes: u8,
    },
    /// The schema registry.
    Registry,
    /// Kafka Connect with Debezium, for comparison.
    Debezium,
}

impl Service {
    /// Folder, lock and state file of this service below the state directory.
    fn id(&self) -> String {
        match self {
            Self::Postgres { cluster, major } if cluster == MAIN_CLUSTER => format!("postgres{major}"),
            Self::Postgres { cluster, major } => format!("postgres{major}-{cluster}"),
            Self::Kafka => "kafka".to_owned(),
            Self::Broker { cluster, node, nodes } => format!("kafka-{cluster}-{node}of{nodes}"),
            Self::Registry => "registry".to_owned(),
            Self::Debezium => "debezium".to_owned(),
        }
    }

    /// Reads [`Service::id`] back; `None` for a folder that is not a service.
    fn from_id(id: &str) -> Option<Self> {
        let (server, cluster) = id.split_once('-').unwrap_or((id, MAIN_CLUSTER));
        match (server, cluster) {
            ("kafka", MAIN_CLUSTER) => Some(Self::Kafka),
            ("registry", MAIN_CLUSTER) => Some(Self::Registry),
            ("debezium", MAIN_CLUSTER) => Some(Self::Debezium),
            ("kafka", broker) => {
                let (cluster, place) = broker.rsplit_once('-')?;
                Self::broker(cluster, place)
            }
            (server, cluster) => {
                let major: u16 = server.strip_prefix("postgres")?.parse().ok()?;
                let known = POSTGRES_MAJORS.contains(&major) && is_cluster_name(cluster);
                known.then(|| Self::Postgres { cluster: cluster.to_owned(), major })
            }
        }
    }
}

impl Service {
    /// A broker by the name of its cluster and its place, for instance `2of3`.
    fn broker(cluster: &str, place: &str) -> Option<Self> {
        let (node, nodes) = place.split_once("of")?;
        let (node, nodes): (u8, u8) = (node.parse().ok()?, nodes.parse().ok()?);
        let known = is_cluster_name(cluster) && (1..=nodes).contains(&node) && nodes <= BROKERS_MAX;
        known.then(|| Self::Broker { cluster: cluster.to_owned(), node, nodes })
    }
}

/// Brokers of one cluster: more than three show nothing new on one machine.
const BROKERS_MAX: u8 = 5;

/// The cluster that plain `postgres` means.
const MAIN_CLUSTER: &str = "main";

fn is_cluster_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 20 && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres { cluster, major } if cluster == MAIN_CLUSTER => write!(f, "postgres{major}"),
            Self::Postgres { cluster, major } => write!(f, "{cluster}-postgres{major}"),
            Self::Kafka => f.write_str("kafka"),
            Self::Broker { cluster, node, nodes } => write!(f, "{cluster}-kafka{node}of{nodes}"),
            Self::Registry => f.write_str("registry"),
            Self::Debezium => f.write_str("debezium"),
        }
    }
}

impl FromStr for Service {
    type Err = anyhow::Error;

    /// `postgres`, `postgres17`, `emulator-postgres`, `emulator-postgres17`, `kafka`, `registry`, `debezium`.
    fn from_str(name: &str) -> Result<Self> {
        match name {
            "kafka" => return Ok(Self::Kafka),
            "registry" => return Ok(Self::Registry),
            "debezium" => return Ok(Self::Debezium),
            _ => {}
        }
        let (cluster, server) = name.split_once('-').unwrap_or((MAIN_CLUSTER, name));
        if let Some(broker) = server.strip_prefix("kafka").and_then(|place| Self::broker(cluster, place)) {
            return Ok(broker);
        }
        let major = match server.strip_prefix("postgres") {
            Some("") => Some(versions::versions()?.postgres.default),
            Some(number) => number.parse().ok(),
            None => None,
        };
        match major {
            Some(major) if POSTGRES_MAJORS.contains(&major) && is_cluster_name(cluster) => {
                Ok(Self::Postgres { cluster: cluster.to_owned(), major })
            }
            _ => bail!(
                "service {name:?} is not known: use postgres, postgres14 to postgres18, NAME-postgres (a cluster of \
                 its own, for instance emulator-postgres), kafka, NAME-kafka1of3 (a broker of a cluster of its own), \
                 registry or debezium"
            ),
        }
    }
}

/// The tests' PostgreSQL server of this major release (14 to 18).
///
/// # Errors
/// When the server cannot be provisioned or does not start; the message says what is missing and how to get it.
pub fn postgres(major: u16) -> Result<Postgres> {
    postgres_cluster(MAIN_CLUSTER, major)
}

/// A PostgreSQL cluster of its own (own WAL, own port), by name: lower-case letters and digits.
///
/// # Errors
/// As [`postgres`].
pub fn postgres_cluster(name: &str, major: u16) -> Result<Postgres> {
    if !is_cluster_name(name) || !POSTGRES_MAJORS.contains(&major) {
        bail!(
            "PostgreSQL cluster {name:?} of major {major}: want lower-case letters and digits, and 14 to 18"
        );
    }
    postgres::up(&Service::Postgres { cluster: name.to_owned(), major })
}

/// The tests' Kafka broker.
///
/// # Errors
/// When it cannot be provisioned or does not start; the message says what is missing and how to get it.
pub fn kafka() -> Result<Kafka> {
    kafka::up()
}

/// A Kafka cluster of its own, by name: lower-case letters and digits. Its brokers may be killed and restarted one by one
/// ([`signal`], [`down`], [`up`]) without disturbing anybody else.
///
/// # Errors
/// As [`kafka`].
pub fn kafka_cluster(name: &str, nodes: u8) -> Result<Cluster> {
    if !is_cluster_name(name) || !(1..=BROKERS_MAX).contains(&nodes) {
        bail!(
            "Kafka cluster {name:?} of {nodes}: want lower-case letters and digits, and 1 to {BROKERS_MAX} brokers"
        );
    }
    brokers::up(name, nodes)
}

/// The tests' schema registry (Confluent's REST API; in memory, empty after each start).
///
/// # Errors
/// As [`kafka`]; in particular when no Java 21 or newer is installed.
pub fn registry() -> Result<Registry> {
    registry::up()
}

/// A Kafka Connect worker with Debezium's PostgreSQL connector, on the tests' broker: for comparison only.
///
/// # Errors
/// As [`kafka`].
pub fn debezium() -> Result<Connect> {
    debezium::up(None)
}

/// The same with another release of the connector than the pinned one, for instance `3.7.0.Final`.
///
/// # Errors
/// As [`debezium`]; also when Maven does not have that release.
pub fn debezium_release(release: &str) -> Result<Connect> {
    debezium::up(Some(release))
}

/// A Python interpreter that has confluent-kafka with its Avro part, kept in the download cache: it reads topics
/// through the registry, and shares no code with anything of ours.
///
/// # Errors
/// When Python, pip or the package index is missing.
pub fn python_with_confluent_kafka() -> Result<std::path::PathBuf> {
    python::confluent_kafka()
}

/// A service that runs.
#[derive(Debug, Clone)]
pub enum Running {
    /// PostgreSQL.
    Postgres(Postgres),
    /// Kafka.
    Kafka(Kafka),
    /// Schema registry.
    Registry(Registry),
    /// Kafka Connect.
    Debezium(Connect),
}

/// A state directory of its own for a purpose such as `demo`, to be given to a process as `CDCD_SERVICES_DIR`:
/// its services are apart from the tests'. Made if missing.
///
/// # Errors
/// When it cannot be made.
pub fn state_dir_for(purpose: &str) -> Result<std::path::PathBuf> {
    place::state_dir_for(purpose)
}

/// Starts the service if it does not run.
///
/// # Errors
/// As the entry point of that service.
pub fn up(service: &Service) -> Result<Running> {
    Ok(match service {
        Service::Postgres { cluster, major } => Running::Postgres(postgres_cluster(cluster, *major)?),
        Service::Kafka => Running::Kafka(kafka()?),
        Service::Broker { cluster, node, nodes } => Running::Kafka(brokers::one_up(cluster, *node, *nodes)?),
        Service::Registry => Running::Registry(registry()?),
        Service::Debezium => Running::Debezium(debezium()?),
    })
}

/// The service if it runs and answers, else `None`; starts nothing.
///
/// # Errors
/// When the state directory cannot be read.
pub fn find(service: &Service) -> Result<Option<Running>> {
    Ok(match service {
        Service::Postgres { .. } => postgres::find(service)?.map(Running::Postgres),
        Service::Kafka => kafka::find()?.map(Running::Kafka),
        Service::Broker { .. } => brokers::find(service)?.map(Running::Kafka),
        Service::Registry => registry::find()?.map(Running::Registry),
        Service::Debezium => debezium::find()?.map(Running::Debezium),
    })
}

/// All services that were ever started from this checkout, in the order in which they may be stopped
/// (and the default PostgreSQL before the others).
///
/// # Errors
/// When the state directory cannot be read.
pub fn known() -> Result<Vec<Service>> {
    let mut services: Vec<Service> =
        place::state_names()?.iter().filter_map(|id| Service::from_id(id)).collect();
    let default = versions::versions()?.postgres.default;
    services.sort_by_key(|service| match service {
        Service::Debezium => (0, 0),
        Service::Registry => (1, 0),
        Service::Kafka | Service::Broker { .. } => (2, 0),
        Service::Postgres { major, .. } if *major == default => (3, 0),
        Service::Postgres { major, .. } => (3, *major),
    });
    Ok(services)
}

/// Stops the service if it runs: exactly the process that was started, recognised by id and start time.
/// Returns whether there was one to stop. Data stays.
///
/// # Errors
/// When the process does not end in time.
pub fn down(service: &Service) -> Result<bool> {
    let room = place::Room::open(&service.id())?;
    let _lock = room.lock()?;
    process::stop(&room)
}

/// Signals the service's process: exactly the one that was started. [`Signal::Kill`] and [`Signal::Quit`] wait for its end.
///
/// # Errors
/// When the process does not live any more, or does not end.
pub fn signal(service: &Service, signal: Signal) -> Result<()> {
    let room = place::Room::open(&service.id())?;
    let _lock = room.lock()?;
    process::signal(&room, signal).with_context(|| service.to_string())
}

/// Copies the files of a stopped PostgreSQL cluster over another stopped one of the same major, as a restored backup or
/// the beginning of a standby. The copy keeps its own port and has the other's password.
///
/// # Errors
/// When one of them runs, or files cannot be copied.
pub fn copy_postgres(from: &Service, to: &Service) -> Result<()> {
    postgres::copy(from, to)
}

/// Makes the next start of a copied cluster a standby that streams from `primary`, without the original's slots.
///
/// # Errors
/// When it runs, or files cannot be written.
pub fn follow_postgres(standby: &Service, primary: &Postgres) -> Result<()> {
    postgres::follow(standby, primary)
}

/// Stops the service and removes its data; returns whether there was any.
///
/// # Errors
/// As [`down`], and when files cannot be removed.
pub fn wipe(service: &Service) -> Result<bool> {
    let room = place::Room::open(&service.id())?;
    let _lock = room.lock()?;
    process::stop(&room)?;
    room.remove()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_names_and_ids_read_back() {
        let check = |name: &str, display: &str, id: &str| {
            let service: Service = name.parse().unwrap();
            assert_eq!(service.to_string(), display);
            assert_eq!(service.id(), id);
            assert_eq!(Service::from_id(id), Some(service.clone()));
            assert_eq!(display.parse::<Service>().unwrap(), service);
        };
        check("postgres", "postgres15", "postgres15");
        check("postgres17", "postgres17", "postgres17");
        check("emulator-postgres", "emulator-postgres15", "postgres15-emulator");
        check("kafka", "kafka", "kafka");
        check("chaos-kafka2of3", "chaos-kafka2of3", "kafka-chaos-2of3");
        check("registry", "registry", "registry");
        check("debezium", "debezium", "debezium");
    }

    #[test]
    fn unknown_service_is_refused_with_the_known_names() {
        for name in [
            "postgres13",
            "postgresql",
            "",
            "-postgres",
            "../x-postgres",
            "kafka2",
            "Big-postgres",
            "x-kafka4of3",
            "x-kafka0of3",
            "x-kafka1of9",
        ] {
            let error = name.parse::<Service>().unwrap_err().to_string();
            assert!(error.contains("emulator-postgres"), "{name}: {error}");
        }
        assert_eq!(Service::from_id("kafka.lock"), None);
        assert_eq!(Service::from_id("postgres15-"), None);
        assert_eq!(Service::from_id("kafka-chaos"), None);
    }
}
