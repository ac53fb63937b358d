//! Property names of the Snowflake sink connector, of the worker around it, and our own.

use super::known::{Known, Support};

const fn yes(name: &'static str) -> Known {
    Known { name, support: Support::Yes }
}

const fn ignored(name: &'static str, why: &'static str) -> Known {
    Known { name, support: Support::Ignored(why) }
}

const fn dead(name: &'static str, why: &'static str) -> Known {
    Known { name, support: Support::Dead(why) }
}

const JVM: &str = "it tunes the JVM";
const OFFSETS: &str = "cdcd keeps offsets in the channels and in the consumer group";

/// Rows in the order of the connector's own definition; ours last.
pub const SINK: &[Known] = &[
    yes("name"),
    yes("connector.class"),
    ignored("tasks.max", "one process is one task; start more to share the partitions"),
    yes("topics"),
    yes("topics.regex"),
    yes("bootstrap.servers"),
    yes("key.converter"),
    ignored("key.converter.schemas.enable", "a key is read with and without its schema"),
    yes("value.converter"),
    yes("value.converter.schemas.enable"),
    ignored("header.converter*", "headers are landed as text"),
    yes("snowflake.url.name"),
    yes("snowflake.user.name"),
    yes("snowflake.private.key"),
    yes("snowflake.private.key.passphrase"),
    yes("snowflake.database.name"),
    yes("snowflake.schema.name"),
    yes("snowflake.role.name"),
    yes("snowflake.authenticator"),
    yes("snowflake.ingestion.method"),
    yes("snowflake.topic2table.map"),
    yes("snowflake.enable.schematization"),
    yes("snowflake.metadata.all"),
    yes("snowflake.metadata.createtime"),
    yes("snowflake.metadata.topic"),
    yes("snowflake.metadata.offset.and.partition"),
    ignored("snowflake.streaming.metadata.connectorPushTime", "the push time is not landed"),
    ignored("snowflake.streaming.enable.single.buffer", JVM),
    dead(
        "snowflake.streaming.max.client.lag",
        "it went with version 4; cdcd.batch.age.max.ms bounds the delay",
    ),
    ignored("snowflake.streaming.*", "it tunes the Java SDK"),
    ignored("snowflake.cache.*", JVM),
    ignored("snowflake.jdbc.map", "there is no JDBC driver"),
    ignored("snowflake.open.channel.io.threads", JVM),
    ignored("snowflake.validation", "rejected rows are counted by the server and stop the partition"),
    yes("behavior.on.null.values"),
    yes("errors.tolerance"),
    yes("errors.deadletterqueue.topic.name"),
    yes("errors.deadletterqueue.topic.replication.factor"),
    ignored("errors.deadletterqueue.context.headers.enable", "the headers are always written"),
    ignored("errors.log.enable", "errors are always logged, without row values"),
    ignored("errors.log.include.messages", "row values are never logged"),
    ignored("errors.retry.*", "retries have a budget of their own"),
    ignored("enable.task.fail.on.authorization.errors", "authorization errors always stop"),
    ignored("jmx", JVM),
    ignored("enable.mdc.logging", JVM),
    ignored("jvm.*", JVM),
    ignored("provider", "it names the partner to Snowflake"),
    yes("buffer.count.records"),
    yes("buffer.size.bytes"),
    yes("buffer.flush.time"),
    yes("consumer.override.*"),
    yes("consumer.*"),
    yes("security.protocol"),
    yes("sasl.*"),
    yes("ssl.*"),
    yes("decimal.handling.mode"),
    yes("time.precision.mode"),
    yes("binary.handling.mode"),
    yes("unavailable.value.placeholder"),
    yes("offset.flush.interval.ms"),
    ignored("offset.*", OFFSETS),
    ignored("config.storage.*", "there is no Connect cluster"),
    ignored("status.storage.*", "there is no Connect cluster"),
    yes("cdcd.landing"),
    yes("cdcd.table.mode"),
    yes("cdcd.merge.interval.ms"),
    yes("cdcd.delete.mode"),
    yes("cdcd.column.operation"),
    yes("cdcd.column.timestamp"),
    yes("cdcd.column.source"),
    yes("cdcd.column.source.value"),
    yes("cdcd.key.fields"),
    yes("cdcd.tombstone"),
    yes("cdcd.lineage"),
    yes("cdcd.rejected.rows"),
    yes("cdcd.batch.rows.max"),
    yes("cdcd.batch.bytes.max"),
    yes("cdcd.batch.age.max.ms"),
    yes("cdcd.commit.deadline.ms"),
    yes("cdcd.snowflake.account"),
    yes("cdcd.snowflake.warehouse"),
];
