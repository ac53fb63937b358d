//! Whether what Kafka acknowledges survives the loss of a broker.

use cdcd_kafka::admin::{Admin, BrokerSettings, Cluster, TopicInfo};

use super::store::Store;
use crate::connector::source::SourceSettings;
use crate::exit::{Exit, Failure};

/// Fewer replicas than this, or fewer of them in sync, and a lost broker may lose acknowledged records.
const REPLICAS_WANTED: usize = 3;
const IN_SYNC_WANTED: i32 = 2;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Every topic has what it takes.
    Full(Place),
    /// The first that has not, of how many.
    Reduced { weakest: Place, others: usize, mend: Vec<String> },
    /// Kafka does not tell.
    Unknown(String),
}

/// A topic, or those that are still to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    name: String,
    is_new: bool,
    replicas: usize,
    in_sync: i32,
}

impl Place {
    fn is_durable(&self) -> bool {
        self.replicas >= REPLICAS_WANTED && self.in_sync >= IN_SYNC_WANTED
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} replicas, min.insync.replicas {}", self.name, self.replicas, self.in_sync)
    }
}

impl Durability {
    /// Looks at the position topic, at the data topics that exist, and at how new ones are made.
    pub(crate) async fn of(
        settings: &SourceSettings,
        admin: &Admin,
        cluster: &Cluster,
        broker: &BrokerSettings,
    ) -> Self {
        let prefix = format!("{}{}", settings.capture.topic_prefix, settings.capture.topic_delimiter);
        let position = Store::new(settings).topic;
        let existing =
            cluster.topics.iter().filter(|(name, _)| **name == position || name.starts_with(&prefix));
        let mut places = Vec::new();
        for (name, info) in existing {
            match topic(admin, name, info).await {
                Ok(place) => places.push(place),
                Err(why) => return Durability::Unknown(why),
            }
        }
        let ours = (broker.default_replication_factor, broker.min_in_sync_replicas);
        if let (Some(replicas), Some(in_sync), false) =
            (ours.0, ours.1, cluster.topics.contains_key(&position))
        {
            places.push(Place {
                name: format!("topic {position}, as the brokers will make it"),
                is_new: true,
                replicas,
                in_sync,
            });
        }
        let rule = settings.topic_creation.spec(&format!("{prefix}schema.table"));
        let by_rule = rule.as_ref().and_then(|spec| usize::try_from(spec.replication_factor).ok());
        let in_rule = rule.as_ref().and_then(|spec| {
            spec.config.iter().find(|(key, _)| key == "min.insync.replicas")?.1.parse().ok()
        });
        match (by_rule.or(broker.default_replication_factor), in_rule.or(broker.min_in_sync_replicas)) {
            (Some(replicas), Some(in_sync)) => {
                let name = "topics that are still to be made".to_owned();
                places.push(Place { name, is_new: true, replicas, in_sync });
            }
            _ => {
                return Durability::Unknown(
                    "the brokers' settings cannot be read (DescribeConfigs)".to_owned(),
                );
            }
        }
        Self::judge(places, cluster.brokers.len())
    }

    fn judge(places: Vec<Place>, brokers: usize) -> Self {
        let weak: Vec<&Place> = places.iter().filter(|place| !place.is_durable()).collect();
        // Of two that are weak, the one that holds records already.
        match weak.iter().min_by_key(|place| (place.is_new, place.replicas, place.in_sync)) {
            Some(weakest) => Durability::Reduced {
                weakest: (*weakest).clone(),
                others: weak.len() - 1,
                mend: mend(weakest, brokers),
            },
            None => match places.into_iter().min_by_key(|place| (place.replicas, place.in_sync)) {
                Some(least) => Durability::Full(least),
                None => Durability::Unknown("there is no topic and no way to make one".to_owned()),
            },
        }
    }

    /// What `cdcd.require.durable` says about it.
    ///
    /// # Errors
    /// Exit 2 if it is demanded and not there.
    pub(crate) fn check(&self, is_required: bool) -> Result<(), Failure> {
        let said = self.to_string();
        match self {
            Durability::Full(_) => Ok(()),
            _ if !is_required => {
                tracing::warn!(durability = self.label(), "{said}");
                Ok(())
            }
            Durability::Reduced { mend, .. } => {
                let failure = Failure::configuration(format!("cdcd.require.durable: {said}"));
                Err(mend.iter().fold(failure, |failure, line| failure.hint(line.clone())))
            }
            Durability::Unknown(_) => Err(Failure::configuration(format!("cdcd.require.durable: {said}"))
                .hint("give the user DescribeConfigs on the topics and on the cluster")),
        }
    }

    /// For logs.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Durability::Full(_) => "full",
            Durability::Reduced { .. } => "reduced",
            Durability::Unknown(_) => "unknown",
        }
    }
}

impl std::fmt::Display for Durability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Durability::Full(place) => place.fmt(f),
            Durability::Reduced { weakest, others, .. } => {
                write!(
                    f,
                    "durability=reduced: {weakest}, where {REPLICAS_WANTED} and {IN_SYNC_WANTED} survive the loss of a \
                     broker"
                )?;
                match others {
                    0 => Ok(()),
                    others => write!(f, " (and {others} more like it)"),
                }
            }
            Durability::Unknown(why) => write!(f, "whether Kafka is durable is unknown: {why}"),
        }
    }
}

async fn topic(admin: &Admin, name: &str, info: &TopicInfo) -> Result<Place, String> {
    let setting = admin.topic_setting(name, "min.insync.replicas").await;
    let text = setting.map_err(|error| format!("{:#}", anyhow::Error::new(error)))?;
    let in_sync = text.and_then(|text| text.parse().ok());
    let in_sync = in_sync.ok_or_else(|| format!("topic {name} does not tell its min.insync.replicas"))?;
    Ok(Place { name: format!("topic {name}"), is_new: false, replicas: info.replication_factor, in_sync })
}

fn mend(weakest: &Place, brokers: usize) -> Vec<String> {
    if brokers < REPLICAS_WANTED {
        return vec![format!("the cluster has {brokers} brokers; {REPLICAS_WANTED} are needed")];
    }
    let mut lines = Vec::new();
    if weakest.replicas < REPLICAS_WANTED {
        lines.push(match weakest.is_new {
            true => format!("topic.creation.default.replication.factor={REPLICAS_WANTED}"),
            false => format!("kafka-reassign-partitions.sh: {REPLICAS_WANTED} replicas for {}", weakest.name),
        });
    }
    if weakest.in_sync < IN_SYNC_WANTED {
        lines.push(format!(
            "min.insync.replicas={IN_SYNC_WANTED} on the brokers, or on the topic (kafka-configs.sh --alter --add-config)"
        ));
    }
    lines
}

/// Looks once at the start; gives the label for the log.
///
/// # Errors
/// Exit 2 if `cdcd.require.durable` demands what is not there; Kafka's own.
pub(super) async fn check(settings: &SourceSettings) -> Result<&'static str, Failure> {
    let admin = Admin::new(&settings.admin)?;
    let (admin, cluster) = tokio::task::spawn_blocking(move || {
        let cluster = admin.cluster()?;
        Ok::<_, cdcd_kafka::Error>((admin, cluster))
    })
    .await
    .map_err(|error| Failure::new(Exit::Unexpected, error))??;
    // Who may not read the brokers' settings is told so by what is missing in them.
    let broker = admin.broker_settings(&cluster).await.unwrap_or_default();
    let found = Durability::of(settings, &admin, &cluster, &broker).await;
    found.check(settings.require_durable)?;
    Ok(found.label())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str, is_new: bool, replicas: usize, in_sync: i32) -> Place {
        Place { name: name.to_owned(), is_new, replicas, in_sync }
    }

    #[test]
    fn one_weak_topic_is_enough_and_is_named() {
        let strong = place("topic a", false, 3, 2);
        let found = Durability::judge(vec![strong.clone(), place("new topics", true, 3, 2)], 3);
        assert!(matches!(found, Durability::Full(_)));
        assert!(found.check(true).is_ok());

        let new = place("new topics", true, 1, 1);
        let found = Durability::judge(vec![strong, place("topic b", false, 3, 1), new], 3);
        assert_eq!(found.label(), "reduced");
        assert!(found.check(false).is_ok());
        let failure = found.check(true).unwrap_err();
        assert_eq!(failure.exit, Exit::Configuration);
        let said = failure.render();
        assert!(said.contains("topic b: 3 replicas, min.insync.replicas 1"), "{said}");
        assert!(said.contains("and 1 more"), "{said}");
        assert!(said.contains("min.insync.replicas=2") && !said.contains("reassign"), "{said}");
    }

    #[test]
    fn what_is_unknown_is_not_durable() {
        let found = Durability::Unknown("no right".to_owned());
        assert!(found.check(false).is_ok());
        assert_eq!(found.check(true).unwrap_err().exit, Exit::Configuration);
    }
}
