//! A property that is honoured is named in a test; one of Debezium's that people use is honoured, or stands in a list here.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use cdcd::connector::known::Support;
use cdcd::connector::known_source::SOURCE;

/// Debezium's properties by how much they are used in connector files: those that nearly all (A) and that some (B)
/// have. All others may be refused by name.
const USED: &[&str] = &[
    // A
    "connector.class",
    "topic.prefix",
    "database.hostname",
    "database.port",
    "database.user",
    "database.password",
    "database.dbname",
    "database.sslmode",
    "database.sslcert",
    "database.sslkey",
    "database.sslpassword",
    "database.sslrootcert",
    "plugin.name",
    "slot.name",
    "slot.drop.on.stop",
    "publication.name",
    "publication.autocreate.mode",
    "status.update.interval.ms",
    "flush.lsn.source",
    "lsn.flush.mode",
    "schema.include.list",
    "schema.exclude.list",
    "table.include.list",
    "table.exclude.list",
    "column.include.list",
    "column.exclude.list",
    "skipped.operations",
    "message.key.columns",
    "decimal.handling.mode",
    "time.precision.mode",
    "interval.handling.mode",
    "hstore.handling.mode",
    "binary.handling.mode",
    "unavailable.value.placeholder",
    "schema.refresh.mode",
    "schema.name.adjustment.mode",
    "field.name.adjustment.mode",
    "event.converting.failure.handling.mode",
    "event.processing.failure.handling.mode",
    "snapshot.mode",
    "snapshot.include.collection.list",
    "snapshot.select.statement.overrides",
    "snapshot.fetch.size",
    "tombstones.on.delete",
    "max.batch.size",
    "max.queue.size",
    "poll.interval.ms",
    "heartbeat.interval.ms",
    "heartbeat.action.query",
    "topic.heartbeat.prefix",
    "topic.heartbeat.name",
    "heartbeat.topics.prefix",
    "tasks.max",
    "retriable.restart.connector.wait.ms",
    "errors.max.retries",
    // B
    "database.tcpKeepAlive",
    "database.initial.statements",
    "database.query.timeout.ms",
    "driver.loginTimeout",
    "slot.failover",
    "slot.stream.params",
    "slot.max.retries",
    "slot.retry.delay.ms",
    "offset.mismatch.strategy",
    "publish.via.partition.root",
    "replica.identity.autoset.values",
    "read.only",
    "table.ignore.builtin",
    "skip.messages.without.change",
    "message.prefix.include.list",
    "message.prefix.exclude.list",
    "money.fraction.digits",
    "include.unknown.datatypes",
    "column.truncate.to.5.chars",
    "column.mask.with.5.chars",
    "column.mask.hash.SHA-256.with.salt.x",
    "column.mask.hash.v2.SHA-256.with.salt.x",
    "column.propagate.source.type",
    "datatype.propagate.source.type",
    "converters",
    "post.processors",
    "snapshot.isolation.mode",
    "snapshot.locking.mode",
    "snapshot.lock.timeout.ms",
    "snapshot.max.threads",
    "snapshot.delay.ms",
    "streaming.delay.ms",
    "incremental.snapshot.chunk.size",
    "signal.data.collection",
    "signal.enabled.channels",
    "notification.enabled.channels",
    "provide.transaction.metadata",
    "topic.transaction",
    "topic.naming.strategy",
    "topic.delimiter",
    "extended.headers.enabled",
];

/// Those that are refused all the same, unless they have the value that asks for nothing.
const REFUSED: &[&str] = &[
    // Later: signals, incremental snapshots, notifications, reselect.
    "read.only",
    "signal.data.collection",
    "notification.enabled.channels",
    "post.processors",
    // They name Java code.
    "converters",
    "topic.naming.strategy",
    // They ask to lose or to repeat data, or for what the position in Kafka decides.
    "event.processing.failure.handling.mode",
    "flush.lsn.source",
    "lsn.flush.mode",
    "snapshot.locking.mode",
    // A client key is to be decrypted first.
    "database.sslpassword",
];

fn support(key: &str) -> Option<Support> {
    let exact = SOURCE.iter().find(|row| row.name == key);
    let by_prefix = || {
        let longest = |row: &&&cdcd::connector::known::Known| row.name.len();
        let ends = |name: &str| name.strip_suffix('*').is_some_and(|prefix| key.starts_with(prefix));
        SOURCE.iter().filter(|row| ends(row.name)).max_by_key(|row| longest(&row))
    };
    exact.or_else(by_prefix).map(|row| row.support)
}

#[test]
fn what_people_use_is_honoured_or_refused_for_a_reason_that_stands_here() {
    for key in USED {
        let is_refused = match support(key) {
            None | Some(Support::Refused { .. }) => true,
            Some(Support::Yes | Support::Differs(_) | Support::Ignored(_) | Support::Dead(_)) => false,
        };
        assert_eq!(is_refused, REFUSED.contains(key), "{key}");
    }
    assert!(REFUSED.iter().all(|key| USED.contains(key)));
}

/// Files with tests and the parts of others behind `#[cfg(test)]`.
fn test_texts(crates: &Path) -> String {
    let mut texts = String::new();
    let mut open: Vec<PathBuf> = ["capture", "cdcd", "debezium", "postgres", "xtask/src/differential"]
        .iter()
        .map(|name| crates.join(name))
        .collect();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let name = path.to_string_lossy();
        let is_text = name.ends_with(".rs") || name.ends_with(".sql");
        if !is_text || name.ends_with("tests/properties.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let is_test = ["/tests/", "/differential/", "/tests.rs"].iter().any(|part| name.contains(part));
        match (is_test, text.split_once("#[cfg(test)]")) {
            (true, _) => texts.push_str(&text),
            (false, Some((_, tests))) => texts.push_str(tests),
            (false, None) => {}
        }
        texts.push('\n');
    }
    texts
}

/// Whether a property name stands in the text, alone; a prefix with anything behind it.
fn names(text: &str, property: &str) -> bool {
    let (name, is_prefix) = property.strip_suffix('*').map_or((property, false), |prefix| (prefix, true));
    let goes_on = |c: char| c.is_ascii_alphanumeric() || c == '.';
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].chars().next_back().is_some_and(goes_on);
        let behind = text[at + name.len()..].chars().next().is_some_and(goes_on);
        !before && (is_prefix || !behind)
    })
}

#[test]
fn a_property_that_is_honoured_is_named_in_a_test() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let texts = test_texts(crates);
    let honoured = |support: Support| matches!(support, Support::Yes | Support::Differs(_));
    let unnamed: Vec<&str> = SOURCE
        .iter()
        .filter(|row| honoured(row.support) && !names(&texts, row.name))
        .map(|row| row.name)
        .collect();
    assert!(unnamed.is_empty(), "honoured, and named in no test: {}", unnamed.join(", "));
}

#[test]
fn a_name_inside_of_another_does_not_count() {
    assert!(names("x topic.prefix=y", "topic.prefix") && !names("my.topic.prefix", "topic.prefix"));
    assert!(!names("topic.prefixes", "topic.prefix") && names("\"topic.prefix\"", "topic.prefix"));
    assert!(names("column.mask.with.3.chars", "column.mask.*") && !names("column.masks", "column.mask.*"));
}
