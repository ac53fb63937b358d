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

mod debezium;
mod java;
mod kafka;
mod maven;
mod place;
mod postgres;
mod process;
mod progress;
mod registry;
mod versions;

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};

pub use debezium::Connect;
pub use kafka::Kafka;
pub use postgres::{Database, Postgres};
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
    /// A further Apache Kafka broker, a cluster by itself, by name.
    KafkaCluster(String),
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
            Self::KafkaCluster(cluster) => format!("kafka-{cluster}"),
            Self::Registry => "registry".to_owned(),
            Self::Debezium => "debezium".to_owned(),
        }
    }

    /// Reads [`Service::id`] back; `None` for a folder that is not a service.
    fn from_id(id: &str) -> Option<Self> {
        let (server, cluster) = id.split_once('-').unwrap_or((id, MAIN_CLUSTER));
        match (server, cluster) {
            ("kafka", MAIN_CLUSTER) => Some(Self::Kafka),
            ("kafka", cluster) => is_cluster_name(cluster).then(|| Self::KafkaCluster(cluster.to_owned())),
            ("registry", MAIN_CLUSTER) => Some(Self::Registry),
            ("debezium", MAIN_CLUSTER) => Some(Self::Debezium),
            (server, cluster) => {
                let major: u16 = server.strip_prefix("postgres")?.parse().ok()?;
                let known = POSTGRES_MAJORS.contains(&major) && is_cluster_name(cluster);
                known.then(|| Self::Postgres { cluster: cluster.to_owned(), major })
            }
        }
    }
}

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
            Self::KafkaCluster(cluster) => write!(f, "{cluster}-kafka"),
            Self::Registry => f.write_str("registry"),
            Self::Debezium => f.write_str("debezium"),
        }
    }
}

impl FromStr for Service {
    type Err = anyhow::Error;

    /// `postgres`, `postgres17`, `emulator-postgres`, `emulator-postgres17`, `kafka`, `second-kafka`, `registry`,
    /// `debezium`.
    fn from_str(name: &str) -> Result<Self> {
        match name {
            "kafka" => return Ok(Self::Kafka),
            "registry" => return Ok(Self::Registry),
            "debezium" => return Ok(Self::Debezium),
            _ => {}
        }
        let (cluster, server) = name.split_once('-').unwrap_or((MAIN_CLUSTER, name));
        if server == "kafka" && is_cluster_name(cluster) {
            return Ok(Self::KafkaCluster(cluster.to_owned()));
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
                 its own, for instance emulator-postgres), kafka, NAME-kafka, registry or debezium"
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
    kafka::up(&Service::Kafka)
}

/// A Kafka broker of its own (own topics, own port), by name: lower-case letters and digits.
///
/// # Errors
/// As [`kafka`].
pub fn kafka_cluster(name: &str) -> Result<Kafka> {
    if !is_cluster_name(name) || name == MAIN_CLUSTER {
        bail!("Kafka cluster {name:?}: want lower-case letters and digits, and not {MAIN_CLUSTER}");
    }
    kafka::up(&Service::KafkaCluster(name.to_owned()))
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
    debezium::up()
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
        Service::KafkaCluster(name) => Running::Kafka(kafka_cluster(name)?),
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
        Service::Kafka | Service::KafkaCluster(_) => kafka::find(service)?.map(Running::Kafka),
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
        Service::Kafka | Service::KafkaCluster(_) => (2, 0),
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
        check("second-kafka", "second-kafka", "kafka-second");
        check("registry", "registry", "registry");
        check("debezium", "debezium", "debezium");
    }

    #[test]
    fn unknown_service_is_refused_with_the_known_names() {
        for name in ["postgres13", "postgresql", "", "-postgres", "../x-postgres", "kafka2", "Big-postgres"] {
            let error = name.parse::<Service>().unwrap_err().to_string();
            assert!(error.contains("emulator-postgres"), "{name}: {error}");
        }
        assert_eq!(Service::from_id("kafka.lock"), None);
        assert_eq!(Service::from_id("postgres15-"), None);
    }
}
