//! Property names of the PostgreSQL source connector and of the worker around it.

use super::known::{Known, Support};

const fn yes(name: &'static str) -> Known {
    Known { name, support: Support::Yes }
}

const fn differs(name: &'static str, how: &'static str) -> Known {
    Known { name, support: Support::Differs(how) }
}

const fn ignored(name: &'static str, why: &'static str) -> Known {
    Known { name, support: Support::Ignored(why) }
}

const fn dead(name: &'static str, why: &'static str) -> Known {
    Known { name, support: Support::Dead(why) }
}

const fn refused(name: &'static str, unless: &'static str, why: &'static str) -> Known {
    Known { name, support: Support::Refused { unless, why } }
}

const JVM: &str = "it tunes the JVM";
const NOT_YET: &str = "this version of cdcd does not have it yet";
const JAVA: &str = "it names Java code, and there is no JVM here";

/// Rows in the order of Debezium's reference.
pub const SOURCE: &[Known] = &[
    yes("name"),
    yes("connector.class"),
    differs("tasks.max", "a source is one task: any number is read as 1"),
    yes("topic.prefix"),
    yes("database.hostname"),
    yes("database.port"),
    yes("database.user"),
    yes("database.password"),
    yes("database.dbname"),
    yes("database.sslmode"),
    yes("database.sslcert"),
    yes("database.sslkey"),
    yes("database.sslrootcert"),
    refused("database.sslpassword", "", "encrypted client keys cannot be read yet: decrypt the key file"),
    ignored("database.sslfactory", JVM),
    ignored("database.tcpKeepAlive", "keepalives of the replication protocol watch the connection"),
    yes("database.query.timeout.ms"),
    differs("database.connection.timeout.ms", "30 s unless it is set, where Debezium waits 10 minutes"),
    differs(
        "database.initial.statements",
        "they run before our own session settings, and not in the replication session",
    ),
    dead("database.server.name", "topic.prefix took its place in Debezium 2.0"),
    dead("database.history*", "the PostgreSQL connector keeps no schema history"),
    dead("schema.history.internal*", "the PostgreSQL connector keeps no schema history"),
    dead("include.schema.changes", "the PostgreSQL connector writes no schema change topic"),
    ignored("database.*", "it is a setting of pgjdbc"),
    yes("driver.channelBinding"),
    ignored("driver.*", "it is a setting of pgjdbc"),
    ignored("connection.validation.timeout.ms", "validation is cdcd check"),
    differs(
        "plugin.name",
        "pgoutput only: decoderbufs, Debezium's default, is read as pgoutput with a warning",
    ),
    yes("slot.name"),
    yes("slot.drop.on.stop"),
    yes("slot.failover"),
    yes("slot.stream.params"),
    yes("slot.max.retries"),
    yes("slot.retry.delay.ms"),
    differs(
        "offset.mismatch.strategy",
        "trust_slot and trust_greater_lsn are consent to lose what lies between (a new lineage); the others stop with E_GAP_SLOT_AHEAD, where Debezium may go on in silence",
    ),
    yes("publication.name"),
    differs(
        "publication.autocreate.mode",
        "an unlogged table in scope is left out with a warning, where Debezium's CREATE PUBLICATION fails",
    ),
    yes("publish.via.partition.root"),
    differs("replica.identity.autoset.values", "names are quoted, so that those in capitals are found"),
    differs("status.update.interval.ms", "at most a third of the server's wal_sender_timeout"),
    refused("flush.lsn.source", "true", "the position in Kafka decides what is acknowledged"),
    refused("lsn.flush.mode", "connector", "the position in Kafka decides what is acknowledged"),
    ignored("lsn.flush.timeout*", "acknowledging never blocks"),
    refused("xmin.fetch.interval.ms", "0", NOT_YET),
    refused("read.only", "false", NOT_YET),
    yes("schema.include.list"),
    yes("schema.exclude.list"),
    yes("table.include.list"),
    yes("table.exclude.list"),
    differs("column.include.list", "a key column that the list leaves out stays in the key"),
    differs("column.exclude.list", "a key column that the list leaves out stays in the key"),
    yes("table.ignore.builtin"),
    yes("skipped.operations"),
    yes("skip.messages.without.change"),
    yes("message.prefix.include.list"),
    yes("message.prefix.exclude.list"),
    yes("message.key.columns"),
    ignored("guardrail*", "there is no limit on the number of tables"),
    ignored("include.schema.comments", "the PostgreSQL connector reads no comments"),
    yes("decimal.handling.mode"),
    differs(
        "time.precision.mode",
        "structured needs `cdcd.compat.version=3.7`; nanoseconds holds all that 64 bits hold; infinite dates and dates before Christ are the same in a snapshot and in the stream",
    ),
    differs(
        "interval.handling.mode",
        "numeric is exact, and an interval that does not fit is an error; Debezium computes seconds as a double and saturates",
    ),
    yes("hstore.handling.mode"),
    yes("binary.handling.mode"),
    yes("money.fraction.digits"),
    differs(
        "include.unknown.datatypes",
        "arrays of bit(n) keep their values, and arrays of several dimensions follow each other in storage order",
    ),
    yes("unavailable.value.placeholder"),
    ignored("schema.refresh.mode", "the schema follows the stream's Relation messages"),
    yes("schema.name.adjustment.mode"),
    yes("field.name.adjustment.mode"),
    differs("column.truncate.*", "characters are never cut in two"),
    differs(
        "column.mask.*",
        "of Java's algorithms column.mask.hash.* and column.mask.hash.v2.* have MD5, SHA-224, SHA-256, SHA-384 and SHA-512",
    ),
    differs(
        "column.propagate.source.type",
        "the same type, length and scale in a snapshot and in the stream",
    ),
    differs(
        "datatype.propagate.source.type",
        "the same type, length and scale in a snapshot and in the stream",
    ),
    refused("converters", "", JAVA),
    refused("post.processors", "", NOT_YET),
    differs(
        "event.converting.failure.handling.mode",
        "unset means fail, where Debezium's warn writes null in silence; set it to warn for that",
    ),
    refused(
        "event.processing.failure.handling.mode",
        "fail",
        "an event that cannot be handled stops the connector",
    ),
    refused("sourceinfo.struct.maker", "", JAVA),
    refused("transaction.metadata.factory", "", JAVA),
    differs(
        "snapshot.mode",
        "initial, initial_only, no_data (never), always, when_needed; other modes are refused. An interrupted snapshot goes on, and a partitioned table is read once",
    ),
    refused("snapshot.mode.*", "", JAVA),
    refused("snapshot.query.mode", "select_all", JAVA),
    ignored("snapshot.isolation.mode", "a snapshot always reads one consistent moment"),
    refused("snapshot.locking.mode", "none", "a snapshot needs no locks: it reads one consistent moment"),
    ignored("snapshot.lock.timeout.ms", "a snapshot takes no locks"),
    yes("snapshot.include.collection.list"),
    yes("snapshot.select.statement.overrides*"),
    ignored("snapshot.fetch.size", "rows are streamed by COPY"),
    ignored("query.fetch.size", JVM),
    differs(
        "snapshot.max.threads",
        "that many sessions read together, small tables side by side and slices of large ones; events come table by table, each in the order of its key. A table without a key, with one of text or with an override is read by one session",
    ),
    ignored(
        "snapshot.max.threads.multiplier*",
        "slices of a table are small, so that none waits for the largest",
    ),
    ignored("legacy.snapshot.max.threads", "sessions read small tables side by side anyway"),
    ignored("snapshot.tables.order.by.row.count", "tables are read in order of their names"),
    yes("snapshot.delay.ms"),
    yes("streaming.delay.ms"),
    ignored("incremental.snapshot.*", "there are no incremental snapshots in this version"),
    refused("signal.data.collection", "", NOT_YET),
    ignored("signal.*", "there are no signals in this version"),
    refused("notification.enabled.channels", "", NOT_YET),
    yes("tombstones.on.delete"),
    ignored("max.batch.size", "batches are bounded by bytes"),
    ignored("max.queue.size*", "queues are bounded by bytes"),
    ignored("poll.interval.ms", "events leave as they arrive"),
    ignored("poll.dispatch.interval.ms", JVM),
    ignored("queue.provider.type", JVM),
    yes("heartbeat.interval.ms"),
    differs("heartbeat.action.query", "it may take 5 s: nothing is read meanwhile"),
    yes("topic.heartbeat.prefix"),
    yes("topic.heartbeat.name"),
    dead("heartbeat.topics.prefix", "topic.heartbeat.prefix took its place"),
    differs(
        "provide.transaction.metadata",
        "the counts go on over a restart inside of a transaction; END counts logical decoding messages together as data collection 'message'",
    ),
    yes("topic.transaction"),
    refused("topic.naming.strategy", "io.debezium.schema.SchemaTopicNamingStrategy", NOT_YET),
    yes("topic.delimiter"),
    ignored("topic.cache.size", JVM),
    yes("topic.creation.*"),
    refused("custom.sanitize.pattern", "", NOT_YET),
    yes("extended.headers.enabled"),
    differs(
        "retriable.restart.connector.wait.ms",
        "the longest wait between two attempts; the first ones are shorter",
    ),
    differs(
        "errors.max.retries",
        "0 ends the process at the first failure; any other number is read as no limit within cdcd.retry.budget.ms",
    ),
    ignored("errors.*", "a source has no dead letter queue"),
    ignored("custom.metric.tags", "labels belong to the scraper"),
    ignored("statistics.metrics.enabled", "figures are always kept"),
    ignored("executor.shutdown.timeout.ms", JVM),
    ignored("openlineage.*", "there is no lineage integration in this version"),
    ignored("internal.*", "it is an internal setting of Debezium"),
    differs(
        "key.converter",
        "JsonConverter, AvroConverter, StringConverter and, behind transforms, ByteArrayConverter; other classes are refused with this list",
    ),
    yes("key.converter.*"),
    differs(
        "value.converter",
        "JsonConverter, AvroConverter, StringConverter and, behind transforms, ByteArrayConverter; other classes are refused with this list",
    ),
    yes("value.converter.*"),
    refused("header.converter", "org.apache.kafka.connect.storage.SimpleHeaderConverter", NOT_YET),
    differs(
        "transforms",
        "the classes of [transforms.md](transforms.md), which must leave a schema to a value that AvroConverter writes; other classes are refused with their list",
    ),
    yes("transforms.*"),
    differs("predicates", "the classes of [transforms.md](transforms.md)"),
    yes("predicates.*"),
    differs(
        "exactly.once.support",
        "requested uses Kafka's transactions wherever the cluster lets us, without a setting of the worker",
    ),
    ignored(
        "transaction.boundary",
        "a commit covers whole transactions of the source, as many as come together",
    ),
    ignored("offsets.storage.topic", "the position lives in a topic of its own"),
    yes("bootstrap.servers"),
    differs(
        "producer.override.*",
        "Java's names are mapped to those of librdkafka; one without a counterpart is an error or a note",
    ),
    differs("admin.override.*", "as for the producer"),
    differs("consumer.override.*", "as for the producer; the consumer reads the position"),
    yes("cdcd.retry.budget.ms"),
    yes("cdcd.delivery"),
    yes("cdcd.headers"),
    yes("cdcd.compat.version"),
    yes("cdcd.require.durable"),
    yes("cdcd.streaming"),
    yes("cdcd.spool.dir"),
    yes("cdcd.spool.max.bytes"),
];

/// The page `docs/reference.md`.
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for row in SOURCE {
        let (kind, note) = match row.support {
            Support::Yes if row.name.starts_with("cdcd.") => ("ours", String::new()),
            Support::Yes => ("same", String::new()),
            Support::Differs(how) => ("differs", how.to_owned()),
            Support::Ignored(why) => ("no effect", format!("{why}; accepted")),
            Support::Dead(why) => ("dead", format!("{why}; accepted with a warning")),
            Support::Refused { unless: "", why } => ("refused", format!("{why}; take the property away")),
            Support::Refused { unless, why } => {
                ("refused", format!("{why}; take the property away, or set it to `{unless}`"))
            }
        };
        page.push_str(&format!("| `{}` | {kind} | {note} |\n", row.name));
    }
    page
}

const HEAD: &str = "# Properties of a PostgreSQL source connector

What `cdcd capture` does with each property of Debezium's PostgreSQL connector (3.6.3) and of the Kafka Connect worker around it. The page is made
from the table that the program itself reads, and a test holds the two together.

- **same**: honoured, and means what it means there.
- **differs**: honoured, but for what the last column says. Differences in events are in [differences.md](differences.md) with their reasons.
- **no effect**: accepted; what it is about does not exist here.
- **dead**: accepted with a warning; Debezium does not read it any more either.
- **refused**: ends the start with exit 2 and the name of the key, because ignoring it would change what is written.
- **ours**: a property that Debezium does not have.

A name with `*` stands for every name that begins so. A name that is not here is unknown: it has no effect, and a warning names the nearest one.

| property | support | what differs, why, or what to do |
|---|---|---|
";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_reference_page_is_this_table() {
        let page = include_str!("../../../../docs/reference.md");
        let made = markdown();
        assert!(page == made, "docs/reference.md is to be:\n{made}");
    }

    #[test]
    fn a_property_has_one_row() {
        let mut names = BTreeSet::new();
        for row in SOURCE {
            assert!(names.insert(row.name), "{} stands there twice", row.name);
        }
    }
}
