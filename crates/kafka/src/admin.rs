//! Topics: made, found, and asked about.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;

use crate::config::ClientConfig;
use crate::error::Error;
use crate::ffi;

/// Bound on one request to the cluster.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// A topic to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Name.
    pub name: String,
    /// Partitions; -1 for the broker's default.
    pub partitions: i32,
    /// Replicas; -1 for the broker's default.
    pub replication_factor: i32,
    /// Topic configuration, for example `cleanup.policy`.
    pub config: Vec<(String, String)>,
}

/// What the cluster says of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// Number of partitions.
    pub partitions: usize,
    /// Smallest number of replicas of any partition.
    pub replication_factor: usize,
}

/// Brokers and topics of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Ids of the brokers.
    pub brokers: Vec<i32>,
    /// Topics by name; the cluster's own are left out.
    pub topics: BTreeMap<String, TopicInfo>,
}

/// Settings of the brokers, as the first of them tells; `None` where it does not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrokerSettings {
    /// `auto.create.topics.enable`
    pub auto_create_topics: Option<bool>,
    /// `default.replication.factor`
    pub default_replication_factor: Option<usize>,
    /// `min.insync.replicas`
    pub min_in_sync_replicas: Option<i32>,
    /// `message.max.bytes`
    pub message_bytes_max: Option<i64>,
}

/// A client for administrative requests.
pub struct Admin {
    inner: AdminClient<DefaultClientContext>,
    servers: String,
}

impl Admin {
    /// Connects lazily.
    ///
    /// # Errors
    /// [`Error::Client`] for a property that librdkafka does not take.
    pub fn new(config: &ClientConfig) -> Result<Self, Error> {
        let inner = config
            .to_rdkafka()
            .create()
            .map_err(|error| Error::client("configuring the Kafka admin client", error))?;
        Ok(Admin { inner, servers: config.get("bootstrap.servers").unwrap_or_default().to_owned() })
    }

    /// Whether the cluster answers, and how many brokers it has. Blocks for at most 15 s.
    ///
    /// # Errors
    /// [`Error::Client`] if no broker answers.
    pub fn brokers(&self) -> Result<usize, Error> {
        let metadata = self
            .inner
            .inner()
            .fetch_metadata(Some("__consumer_offsets"), REQUEST_TIMEOUT)
            .map_err(|error| Error::client(format!("asking {} for its brokers", self.servers), error))?;
        Ok(metadata.brokers().len())
    }

    /// The cluster's id, if it has one. Blocks for at most 15 s.
    pub fn cluster_id(&self) -> Option<String> {
        self.inner.inner().fetch_cluster_id(REQUEST_TIMEOUT)
    }

    /// The ids of those of `topics` that exist, as Kafka's tools print them. Needs brokers of version 2.8 or newer.
    /// Blocks for at most 15 s.
    ///
    /// # Errors
    /// [`Error::Client`].
    pub fn topic_ids(&self, topics: &[String]) -> Result<BTreeMap<String, String>, Error> {
        let known = self.cluster()?.topics;
        let existing: Vec<String> = topics.iter().filter(|name| known.contains_key(*name)).cloned().collect();
        if existing.is_empty() {
            return Ok(BTreeMap::new());
        }
        let ids = ffi::topic_ids(self.inner.inner().native_ptr(), &existing, REQUEST_TIMEOUT)?;
        let text = |id: [u8; 16]| URL_SAFE_NO_PAD.encode(id);
        Ok(existing.into_iter().zip(ids.into_iter().map(text)).collect())
    }

    /// The topic, or `None` if it does not exist. Blocks for at most 15 s.
    ///
    /// # Errors
    /// [`Error::Client`].
    pub fn topic(&self, name: &str) -> Result<Option<TopicInfo>, Error> {
        // All topics: asking for one by name would create it where auto-creation is on.
        let metadata = self
            .inner
            .inner()
            .fetch_metadata(None, REQUEST_TIMEOUT)
            .map_err(|error| Error::client(format!("asking for topic {name}"), error))?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == name && topic.error().is_none());
        Ok(topic.map(|topic| TopicInfo {
            partitions: topic.partitions().len(),
            replication_factor: topic.partitions().iter().map(|p| p.replicas().len()).min().unwrap_or(0),
        }))
    }

    /// All brokers and topics. Blocks for at most 15 s.
    ///
    /// # Errors
    /// [`Error::Client`] if no broker answers.
    pub fn cluster(&self) -> Result<Cluster, Error> {
        let metadata = self
            .inner
            .inner()
            .fetch_metadata(None, REQUEST_TIMEOUT)
            .map_err(|error| Error::client("asking the Kafka cluster for its topics", error))?;
        let info = |topic: &rdkafka::metadata::MetadataTopic| TopicInfo {
            partitions: topic.partitions().len(),
            replication_factor: topic.partitions().iter().map(|p| p.replicas().len()).min().unwrap_or(0),
        };
        Ok(Cluster {
            brokers: metadata.brokers().iter().map(|broker| broker.id()).collect(),
            topics: metadata
                .topics()
                .iter()
                .filter(|topic| topic.error().is_none())
                .map(|topic| (topic.name().to_owned(), info(topic)))
                .collect(),
        })
    }

    /// Settings that matter to topics which do not exist yet.
    ///
    /// # Errors
    /// [`Error::Client`], for example without the right to describe configurations.
    pub async fn broker_settings(&self, cluster: &Cluster) -> Result<BrokerSettings, Error> {
        let Some(broker) = cluster.brokers.first() else { return Ok(BrokerSettings::default()) };
        let settings = self.settings(&ResourceSpecifier::Broker(*broker)).await?;
        let text = |name: &str| settings.get(name).map(String::as_str);
        let number = |name: &str| text(name).and_then(|text| text.parse::<i64>().ok());
        Ok(BrokerSettings {
            auto_create_topics: text("auto.create.topics.enable").map(|text| text == "true"),
            default_replication_factor: number("default.replication.factor")
                .and_then(|number| usize::try_from(number).ok()),
            min_in_sync_replicas: number("min.insync.replicas").and_then(|number| i32::try_from(number).ok()),
            message_bytes_max: number("message.max.bytes"),
        })
    }

    /// One setting of a topic, inherited ones included.
    ///
    /// # Errors
    /// [`Error::Client`]: no such topic, or no right to describe it.
    pub async fn topic_setting(&self, topic: &str, name: &str) -> Result<Option<String>, Error> {
        self.settings(&ResourceSpecifier::Topic(topic)).await.map(|mut settings| settings.remove(name))
    }

    async fn settings(&self, of: &ResourceSpecifier<'_>) -> Result<BTreeMap<String, String>, Error> {
        let doing = || match of {
            ResourceSpecifier::Topic(name) => format!("reading the settings of topic {name}"),
            ResourceSpecifier::Broker(id) => format!("reading the settings of broker {id}"),
            ResourceSpecifier::Group(name) => format!("reading the settings of group {name}"),
        };
        let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
        let results = self
            .inner
            .describe_configs([of], &options)
            .await
            .map_err(|error| Error::client(doing(), error))?;
        match results.into_iter().next() {
            Some(Ok(resource)) => Ok(resource
                .entries
                .into_iter()
                .filter_map(|entry| Some((entry.name, entry.value?)))
                .collect()),
            Some(Err(code)) => Err(Error::client(doing(), rdkafka::error::KafkaError::AdminOp(code))),
            None => Ok(BTreeMap::new()),
        }
    }

    /// Makes the topic; `false` if it is there already.
    ///
    /// # Errors
    /// [`Error::Client`] with the broker's reason.
    pub async fn create_topic(&self, spec: &TopicSpec) -> Result<bool, Error> {
        let mut topic =
            NewTopic::new(&spec.name, spec.partitions, TopicReplication::Fixed(spec.replication_factor));
        for (key, value) in &spec.config {
            topic = topic.set(key, value);
        }
        let options = AdminOptions::new()
            .operation_timeout(Some(REQUEST_TIMEOUT))
            .request_timeout(Some(REQUEST_TIMEOUT));
        let doing = || format!("creating topic {} at {}", spec.name, self.servers);
        let results = self
            .inner
            .create_topics([&topic], &options)
            .await
            .map_err(|error| Error::client(doing(), error))?;
        match results.into_iter().next() {
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
            Some(Err((_, code))) => Err(Error::client(doing(), rdkafka::error::KafkaError::AdminOp(code))),
            _ => Ok(true),
        }
    }
}
