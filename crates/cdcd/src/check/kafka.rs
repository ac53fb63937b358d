//! Brokers and topics.

use cdcd_kafka::ClientConfig;
use cdcd_kafka::admin::{Admin, BrokerSettings, Cluster, TopicInfo};
use cdcd_kafka::consumer::Topics;

use super::report::{Mark, Report};
use super::tables::names;
use super::{Brokers, chain};
use crate::capture::durability::Durability;
use crate::capture::store::Store;
use crate::connector::sink::SinkSettings;
use crate::connector::source::SourceSettings;

const KAFKA: &str = "kafka";

/// What both sides ask first.
async fn cluster(config: &ClientConfig, report: &mut Report) -> Option<(Admin, Cluster, BrokerSettings)> {
    let servers = config.get("bootstrap.servers").unwrap_or_default().to_owned();
    let config = config.clone();
    let asked = tokio::task::spawn_blocking(move || {
        let admin = Admin::new(&config)?;
        let cluster = admin.cluster()?;
        Ok::<_, cdcd_kafka::Error>((admin, cluster))
    });
    let (admin, cluster) = match asked.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            let (text, mut hints) = chain(error);
            if hints.is_empty() {
                hints.push(
                    "check bootstrap.servers, and that the brokers' advertised addresses can be reached"
                        .to_owned(),
                );
            }
            report.mend(KAFKA, Mark::Fail, format!("{servers}: {text}"), hints);
            return None;
        }
        Err(error) => {
            report.add(KAFKA, Mark::Fail, format!("asking Kafka ended early: {error}"));
            return None;
        }
    };
    report.add(KAFKA, Mark::Ok, format!("{} brokers at {servers}", cluster.brokers.len()));
    let settings = match admin.broker_settings(&cluster).await {
        Ok(settings) => settings,
        Err(error) => {
            let (text, _) = chain(error);
            report.add(
                KAFKA,
                Mark::Warn,
                format!("the brokers' settings cannot be read (DescribeConfigs): {text}"),
            );
            BrokerSettings::default()
        }
    };
    Some((admin, cluster, settings))
}

/// Topics of a source: its tables', and the position's.
pub(super) async fn look_at_source(settings: &SourceSettings, report: &mut Report) -> Brokers {
    let Some((admin, cluster, broker)) = cluster(&settings.admin, report).await else {
        return Brokers::Silent;
    };
    let prefix = format!("{}{}", settings.capture.topic_prefix, settings.capture.topic_delimiter);
    let existing: Vec<(&String, &TopicInfo)> =
        cluster.topics.iter().filter(|(name, _)| name.starts_with(&prefix)).collect();
    let by_rule = settings.topic_creation.spec(&format!("{prefix}schema.table"));
    match (&by_rule, broker.auto_create_topics) {
        (Some(_), _) => report.add(KAFKA, Mark::Ok, "topics are made as topic.creation.* says"),
        (None, Some(false)) => report.mend(
            KAFKA,
            Mark::Fail,
            "nobody makes topics: auto.create.topics.enable is false on the brokers, and topic.creation.* is not set",
            ["set topic.creation.default.partitions and topic.creation.default.replication.factor, or make the topics yourself"],
        ),
        (None, _) => report.add(KAFKA, Mark::Ok, "topics are made by the brokers (auto.create.topics.enable)"),
    }
    durability(settings, &Durability::of(settings, &admin, &cluster, &broker).await, report);
    if !existing.is_empty() {
        report.add(
            KAFKA,
            Mark::Ok,
            format!("topics that exist already: {}", names(existing.iter().map(|(name, _)| (*name).clone()))),
        );
    }
    message_size(settings, &admin, (&existing, &broker), report).await;
    position_topic(settings, &admin, &cluster, report).await;
    Brokers::Answer
}

/// With what `cdcd.require.durable` makes of it.
fn durability(settings: &SourceSettings, found: &Durability, report: &mut Report) {
    let mark = if settings.require_durable { Mark::Fail } else { Mark::Warn };
    match found {
        Durability::Full(place) => report.add(KAFKA, Mark::Ok, format!("durability=full: {place}")),
        Durability::Reduced { mend, .. } => report.mend(KAFKA, mark, found.to_string(), mend.clone()),
        Durability::Unknown(_) => report.add(KAFKA, mark, found.to_string()),
    }
}

/// A record that the producer may send must be one that the topic takes.
async fn message_size(
    settings: &SourceSettings,
    admin: &Admin,
    (existing, broker): (&[(&String, &TopicInfo)], &BrokerSettings),
    report: &mut Report,
) {
    // librdkafka's own default.
    let sends: i64 =
        settings.producer.get("message.max.bytes").and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let mut smallest =
        broker.message_bytes_max.map(|bytes| ("the brokers (message.max.bytes)".to_owned(), bytes));
    for (name, _) in existing {
        let value = admin.topic_setting(name, "max.message.bytes").await.ok().flatten();
        let bytes = value.and_then(|text| text.parse::<i64>().ok());
        if let Some(bytes) = bytes.filter(|bytes| smallest.as_ref().is_none_or(|(_, least)| bytes < least)) {
            smallest = Some((format!("topic {name} (max.message.bytes)"), bytes));
        }
    }
    match smallest {
        Some((place, bytes)) if bytes < sends => report.mend(
            KAFKA,
            Mark::Warn,
            format!("{place} takes records of {bytes} bytes, the producer sends up to {sends}: a larger one stops the capture"),
            [format!("raise the topic's max.message.bytes to {sends}, or lower producer.override.max.request.size")],
        ),
        Some((_, bytes)) => report.add(KAFKA, Mark::Ok, format!("records of up to {sends} bytes are sent, {bytes} are taken")),
        None => {}
    }
}

async fn position_topic(settings: &SourceSettings, admin: &Admin, cluster: &Cluster, report: &mut Report) {
    let topic = Store::new(settings).topic;
    if !cluster.topics.contains_key(&topic) {
        report.add(KAFKA, Mark::Ok, format!("position topic {topic} will be made"));
        return;
    }
    match admin.topic_setting(&topic, "cleanup.policy").await {
        Ok(Some(policy)) if policy != "compact" => report.mend(
            KAFKA,
            Mark::Fail,
            format!("position topic {topic} has cleanup.policy={policy}: the position would be deleted one day"),
            [format!("kafka-configs.sh --bootstrap-server … --alter --topic {topic} --add-config cleanup.policy=compact")],
        ),
        Ok(_) => report.add(KAFKA, Mark::Ok, format!("position topic {topic} exists and is compacted")),
        Err(error) => {
            let (text, _) = chain(error);
            report.add(KAFKA, Mark::Warn, text);
        }
    }
}

/// Topics of a sink, as they are now.
pub(super) async fn look_at_sink(settings: &SinkSettings, report: &mut Report) -> Option<Vec<String>> {
    let (_, cluster, _) = cluster(&settings.consumer, report).await?;
    let found: Vec<String> = match &settings.topics {
        Topics::Names(names) => {
            let (found, missing): (Vec<&String>, Vec<&String>) =
                names.iter().partition(|name| cluster.topics.contains_key(*name));
            for name in missing {
                report.mend(
                    KAFKA,
                    Mark::Fail,
                    format!("topic {name} does not exist"),
                    ["check topics; a capture makes its topics with the first record of a table"],
                );
            }
            found.into_iter().cloned().collect()
        }
        Topics::Pattern(pattern) => {
            let regex = regex::Regex::new(&format!("^(?:{pattern})$")).ok();
            let matches = |name: &&String| regex.as_ref().is_some_and(|regex| regex.is_match(name));
            let found: Vec<String> = cluster.topics.keys().filter(matches).cloned().collect();
            if found.is_empty() {
                report.add(KAFKA, Mark::Warn, format!("topics.regex {pattern} matches no topic yet"));
            }
            found
        }
    };
    if !found.is_empty() {
        report.add(KAFKA, Mark::Ok, format!("topics: {}", names(found.iter().cloned())));
    }
    for idle in settings.routes.idle(&found).filter(|_| matches!(settings.topics, Topics::Pattern(_))) {
        report.add(
            KAFKA,
            Mark::Warn,
            format!("snowflake.topic2table.map: '{idle}' matches none of the topics"),
        );
    }
    Some(found)
}
