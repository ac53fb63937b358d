//! Feeds encoded messages to a capture and collects its records as text.

use cdcd_capture::catalog::{ColumnFacts, TableFacts};
use cdcd_capture::config::{Config, Filters, JsonOptions, Modes, SkippedOperations};
use cdcd_capture::position::OpenTransaction;
use cdcd_capture::{Capture, Error, Flow, Start};
use cdcd_debezium::header::{EVENT_ID, EVENT_ID_BYTES};
use cdcd_debezium::record::Header;
use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::encode::{self, TupleBuffer};
use cdcd_pgoutput::message::{Begin, Commit, Insert, Message};
use cdcd_pgoutput::relation::{Relation, RelationColumn, ReplicaIdentity};
use cdcd_pgoutput::replication::{PrimaryKeepalive, XLogData};

/// 2026-11-20T22:20:20.989740Z, as in the golden event.
pub(crate) const COMMITTED_AT_US: i64 = 1_795_170_020_989_740;
pub(crate) const NOW_NS: i64 = 1_795_170_021_207_940_471;

pub(crate) fn config() -> Config {
    let bare = JsonOptions { schemas: false, ..JsonOptions::default() }.into();
    Config {
        topic_prefix: "srv".to_owned(),
        topic_delimiter: ".".to_owned(),
        database: "app".to_owned(),
        connector_version: "3.6.3.Final".to_owned(),
        run_id: "run".to_owned(),
        filters: Filters { ignore_builtin: true, ..Filters::default() },
        modes: Modes::default(),
        message_key_columns: Vec::new(),
        tombstones_on_delete: true,
        skipped_operations: SkippedOperations::default(),
        skip_unchanged: false,
        conversion_failure: Default::default(),
        extended_headers: true,
        event_ids: false,
        key: bare,
        value: bare,
        schema_names: Default::default(),
        field_names: Default::default(),
        column_rules: Default::default(),
        transforms: Default::default(),
        heartbeat: None,
        transactions: None,
        messages: Default::default(),
    }
}

/// Event ids as (lineage, commit LSN, ordinal, sub), everything else as it is.
fn header_text(header: &Header<'_>) -> String {
    let value = header.value.unwrap_or_default();
    match header.name {
        EVENT_ID => {
            let number = |range: std::ops::Range<usize>| {
                value[range].iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte))
            };
            assert_eq!(value.len(), EVENT_ID_BYTES);
            format!("{}-{}-{}-{}", number(0..4), number(4..12), number(12..20), number(20..21))
        }
        _ => String::from_utf8(value.to_vec()).unwrap(),
    }
}

/// One record as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) topic: String,
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
}

impl Sent {
    /// `op` and the two row images.
    pub(crate) fn change(&self) -> String {
        let Some(value) = &self.value else {
            return format!("tombstone {}", self.key.as_deref().unwrap_or("-"));
        };
        let event: serde_json::Value = serde_json::from_str(value).unwrap();
        let event = event.get("payload").unwrap_or(&event);
        format!(
            "{} {} {} -> {}",
            event["op"].as_str().unwrap(),
            self.key.as_deref().unwrap_or("-"),
            event["before"],
            event["after"]
        )
    }
}

pub(crate) struct Harness {
    pub(crate) capture: Capture,
    pub(crate) facts: TableFacts,
    lsn: u64,
}

impl Harness {
    pub(crate) fn new(config: Config) -> Self {
        Self::with_lineage(config, 0)
    }

    pub(crate) fn with_lineage(config: Config, lineage: u32) -> Self {
        Self::started(config, lineage, None)
    }

    /// A capture that has sent a part of its next transaction before.
    pub(crate) fn with_open(config: Config, open: OpenTransaction) -> Self {
        Self::started(config, 0, Some(open))
    }

    fn started(config: Config, lineage: u32, open: Option<OpenTransaction>) -> Self {
        let start = Start {
            done_end_lsn: Lsn(100),
            last_commit_lsn: None,
            last_commit_us: None,
            open,
            snapshot: None,
            status_interval_ns: 10_000_000_000,
            lineage,
        };
        let column = |name: &str, not_null| ColumnFacts { name: name.to_owned(), not_null, default: None };
        let facts = TableFacts {
            columns: vec![column("id", true), column("v", false)],
            key: vec!["id".to_owned()],
            types: vec![],
        };
        Harness { capture: Capture::new(config, start).unwrap(), facts, lsn: 27_363_080 }
    }

    pub(crate) fn feed_at(&mut self, lsn: u64, message: &Message<'_>) -> Result<(), Error> {
        let mut body = Vec::new();
        encode::message(&mut body, message);
        let data = XLogData { wal_start: Lsn(lsn), wal_end: Lsn(lsn), sent_at: 0, body: &body };
        self.capture.handle_xlog_data(&data, NOW_NS)?;
        if self.capture.poll_catalog_request().is_some() {
            let facts = self.facts.clone();
            self.capture.handle_catalog(&facts)?;
        }
        Ok(())
    }

    /// Feeds a message that was encoded before.
    pub(crate) fn feed_body(&mut self, body: &[u8]) {
        let lsn = Lsn(self.lsn);
        let data = XLogData { wal_start: lsn, wal_end: lsn, sent_at: 0, body };
        self.capture.handle_xlog_data(&data, NOW_NS).unwrap();
    }

    pub(crate) fn feed(&mut self, message: &Message<'_>) -> Result<(), Error> {
        self.feed_at(self.lsn, message)
    }

    pub(crate) fn keepalive(&mut self, wal_end: u64) {
        let keepalive = PrimaryKeepalive { wal_end: Lsn(wal_end), sent_at: 0, reply_requested: false };
        self.capture.handle_keepalive(&keepalive).unwrap();
    }

    pub(crate) fn begin(&mut self) {
        self.begin_with(756);
    }

    pub(crate) fn begin_with(&mut self, xid: u32) {
        let committed_at = COMMITTED_AT_US - 946_684_800_000_000;
        let begin = Begin { final_lsn: Lsn(self.lsn), committed_at, xid };
        self.feed(&Message::Begin(begin)).unwrap();
    }

    pub(crate) fn commit(&mut self) -> Lsn {
        let end_lsn = Lsn(self.lsn + 8);
        self.feed(&Message::Commit(Commit { commit_lsn: Lsn(self.lsn), end_lsn, committed_at: 0 })).unwrap();
        self.lsn += 8;
        end_lsn
    }

    pub(crate) fn table(&mut self, identity: ReplicaIdentity, columns: &[(&str, bool, u32)]) {
        self.table_with(7, identity, columns);
    }

    pub(crate) fn table_with(&mut self, oid: u32, identity: ReplicaIdentity, columns: &[(&str, bool, u32)]) {
        let columns: Vec<_> = columns.iter().map(|(name, is_key, oid)| (*name, *is_key, *oid, -1)).collect();
        self.describe(oid, identity, &columns);
    }

    pub(crate) fn table_with_typmods(
        &mut self,
        identity: ReplicaIdentity,
        columns: &[(&str, bool, u32, i32)],
    ) {
        self.describe(7, identity, columns);
    }

    fn describe(&mut self, oid: u32, identity: ReplicaIdentity, columns: &[(&str, bool, u32, i32)]) {
        let columns = columns.iter().map(|(name, is_key, type_oid, typmod)| RelationColumn {
            is_key: *is_key,
            name,
            type_oid: *type_oid,
            type_modifier: *typmod,
        });
        let relation = Relation {
            xid: None,
            oid,
            namespace: "public",
            name: "h1",
            replica_identity: identity,
            columns: columns.collect(),
        };
        self.feed(&Message::Relation(relation)).unwrap();
    }

    /// The table of the golden event: `h1(id int primary key, v text)`.
    pub(crate) fn h1(&mut self, identity: ReplicaIdentity) {
        let full = identity == ReplicaIdentity::Full;
        self.table(identity, &[("id", true, 23), ("v", full, 25)]);
    }

    pub(crate) fn sent(&mut self) -> Vec<Sent> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut sent = Vec::new();
        self.capture.send_records(|record| {
            sent.push(Sent {
                topic: record.topic.to_owned(),
                key: record.key.map(text),
                value: record.value.map(text),
                headers: record
                    .headers
                    .iter()
                    .map(|header| (header.name.to_owned(), header_text(header)))
                    .collect(),
            });
            Flow::Taken
        });
        sent
    }

    pub(crate) fn changes(&mut self) -> Vec<String> {
        self.sent().iter().map(Sent::change).collect()
    }
}

pub(crate) fn insert(new: &TupleBuffer) -> Message<'_> {
    Message::Insert(Insert { xid: None, relation: 7, new: new.tuple() })
}

pub(crate) fn row<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> TupleBuffer {
    TupleBuffer::text(values)
}
