//! The position topic.

use std::collections::BTreeMap;

use cdcd_capture::CommitPoint;
use cdcd_capture::position::{self, Guarantee, LsnText, Position};
use cdcd_kafka::admin::{Admin, TopicSpec};
use cdcd_kafka::{compacted, progress};

use super::facts::FactsRecords;
use super::publication::Published;
use super::start::topics_are_the_same;
use super::{Accept, now_ns, offsets};
use crate::connector::source::SourceSettings;
use crate::exit::{Exit, Failure};

/// What a position record says besides the LSN.
#[derive(Debug, Clone)]
pub struct Identity {
    pub system_id: String,
    pub timeline: u32,
    pub db_oid: u32,
    pub stream_options: String,
    pub lineage: u32,
    pub guarantee: Guarantee,
    pub cluster_id: String,
    /// Ids of the topics that earlier processes wrote to.
    pub topics: BTreeMap<String, String>,
    pub writer: String,
    pub writer_epoch: u64,
}

/// Makes and reads positions of one connector.
#[derive(Debug, Clone)]
pub struct Store {
    pub topic: String,
    pub key: String,
    /// Key of what is kept of the publication.
    pub publication_key: String,
    slot: String,
    publication: String,
}

/// What the topic keeps.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) position: Option<Position>,
    pub(crate) publication: Option<Published>,
    pub(crate) facts: FactsRecords,
}

impl Store {
    /// The store of a connector.
    pub fn new(settings: &SourceSettings) -> Self {
        Store {
            topic: position::topic(&settings.name),
            key: settings.name.clone(),
            publication_key: format!("{}.publication", settings.name),
            slot: settings.slot.name.clone(),
            publication: settings.publication.name.clone(),
        }
    }

    /// Makes the topic if it is not there, and reads what it keeps.
    pub(super) async fn read(&self, settings: &SourceSettings) -> Result<Kept, Failure> {
        let admin = Admin::new(&settings.admin)?;
        let spec = TopicSpec {
            name: self.topic.clone(),
            partitions: 1,
            replication_factor: -1,
            config: vec![("cleanup.policy".to_owned(), "compact".to_owned())],
        };
        if admin.create_topic(&spec).await? {
            tracing::info!(topic = self.topic, "position topic created");
            return Ok(Kept::default());
        }
        self.kept(settings).await
    }

    /// Makes the topic if it is not there.
    pub(super) async fn kept_or_made(&self, settings: &SourceSettings) -> Result<(), Failure> {
        self.read(settings).await.map(|_| ())
    }

    /// Reads the newest position and makes nothing.
    pub(crate) async fn peek(&self, settings: &SourceSettings) -> Result<Option<Position>, Failure> {
        Ok(self.kept(settings).await?.position)
    }

    /// Reads what the topic keeps, and makes nothing.
    pub(crate) async fn kept(&self, settings: &SourceSettings) -> Result<Kept, Failure> {
        // An absent topic would be waited for.
        let (admin, topic) = (Admin::new(&settings.admin)?, self.topic.clone());
        let found = tokio::task::spawn_blocking(move || admin.topic(&topic))
            .await
            .map_err(|error| Failure::new(Exit::Unexpected, error))??;
        if found.is_none() {
            return Ok(Kept::default());
        }
        let (consumer, topic) = (settings.consumer.clone(), self.topic.clone());
        let values = tokio::task::spawn_blocking(move || compacted::read(&consumer, &topic))
            .await
            .map_err(|error| Failure::new(Exit::Unexpected, error))??;
        let position = values.get(self.key.as_bytes()).map(|value| Position::decode(value)).transpose();
        let position = position.map_err(|error| {
            Failure::from(error).context(format!("E_POSITION_FORMAT: topic {}", self.topic))
        })?;
        let publication = values.get(self.publication_key.as_bytes());
        let publication = publication.map(|value| Published::decode(value)).transpose()?;
        let facts = FactsRecords::of(&self.key, &values);
        Ok(Kept { position, publication, facts })
    }

    /// Id of the Kafka cluster; empty if it has none.
    pub(crate) async fn cluster_id(&self, settings: &SourceSettings) -> Result<String, Failure> {
        let admin = Admin::new(&settings.admin)?;
        let id = tokio::task::spawn_blocking(move || admin.cluster_id()).await;
        Ok(id.map_err(|error| Failure::new(Exit::Unexpected, error))?.unwrap_or_default())
    }

    /// The topics that the position says were written to must be the same ones still; gives their ids as they are.
    ///
    /// # Errors
    /// `E_TOPIC_RECREATED` if one is gone or was made anew, unless `accept` consents.
    pub(crate) async fn check_topics(
        &self,
        settings: &SourceSettings,
        position: &Position,
        accept: Accept,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let (admin, names) =
            (Admin::new(&settings.admin)?, position.topics.keys().cloned().collect::<Vec<_>>());
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let ids = tokio::task::spawn_blocking(move || admin.topic_ids(&names))
            .await
            .map_err(|error| Failure::new(Exit::Unexpected, error))??;
        topics_are_the_same(position, &ids, accept)?;
        Ok(ids)
    }

    /// What shows that the connector has run before: Kafka Connect has an offset of it, or one of its data topics holds
    /// records.
    pub(crate) async fn trace(&self, settings: &SourceSettings) -> Result<Option<String>, Failure> {
        if let Some(found) = offsets::trace(settings).await? {
            return Ok(Some(found));
        }
        let (admin, consumer) = (Admin::new(&settings.admin)?, settings.consumer.clone());
        let prefix = format!("{}{}", settings.capture.topic_prefix, settings.capture.topic_delimiter);
        let offset_topic = settings.offset_topic.clone();
        let found = tokio::task::spawn_blocking(move || {
            let ours = |name: &String| name.starts_with(&prefix) && Some(name) != offset_topic.as_ref();
            let topics: Vec<String> = admin.cluster()?.topics.into_keys().filter(ours).collect();
            match topics.is_empty() {
                true => Ok(None),
                false => progress::first_with_records(&consumer, &topics),
            }
        });
        let found: Result<Option<String>, cdcd_kafka::Error> =
            found.await.map_err(|error| Failure::new(Exit::Unexpected, error))?;
        Ok(found?.map(|topic| format!("topic {topic} holds records of this connector")))
    }

    /// The record that covers everything up to `point`.
    pub fn position(&self, identity: &Identity, point: CommitPoint) -> Position {
        Position {
            v: position::VERSION,
            lineage: identity.lineage,
            system_id: identity.system_id.clone(),
            timeline: identity.timeline,
            db_oid: identity.db_oid,
            slot: self.slot.clone(),
            publication: self.publication.clone(),
            done_end_lsn: LsnText(point.done_end_lsn),
            last_commit_lsn: point.last_commit_lsn.map(LsnText),
            last_commit_us: point.last_commit_us,
            open: point.open,
            snapshot: point.snapshot,
            guarantee: identity.guarantee,
            stream_options: identity.stream_options.clone(),
            cluster_id: identity.cluster_id.clone(),
            topics: identity.topics.clone(),
            writer: identity.writer.clone(),
            writer_epoch: identity.writer_epoch,
            wall_ms: now_ns() / 1_000_000,
        }
    }
}
