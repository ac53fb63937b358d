//! Transaction metadata: the counters of the open transaction, and what its records are written with.

use std::fmt::Write as _;

use cdcd_debezium::format::json::Frame;
use cdcd_debezium::transaction::Block;

use crate::config::TransactionTopic;
use crate::position::Counts;

/// Name under which logical decoding messages are counted together. Debezium prints a Java object's identity, another
/// one for each message.
const MESSAGES: &str = "message";

/// The counters.
#[derive(Debug)]
pub(crate) struct Metadata {
    pub(crate) topic: String,
    /// Of the key and the value.
    pub(crate) frames: [Frame; 2],
    pub(crate) counts: Counts,
    xid: u32,
    /// Running number of transactions, never 0.
    serial: u64,
    /// Of the event that is being written.
    id: String,
    data_collection_order: u64,
}

/// Where a table's counter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counter {
    serial: u64,
    index: usize,
}

impl Metadata {
    pub(crate) fn new(config: &TransactionTopic) -> Self {
        Metadata {
            topic: config.name.clone(),
            frames: [Frame::bare(), Frame::bare()],
            counts: Counts::default(),
            xid: 0,
            serial: 0,
            id: String::new(),
            data_collection_order: 0,
        }
    }

    /// Starts a transaction, or goes on with one that was cut.
    pub(crate) fn begin(&mut self, xid: u32, counts: Option<&Counts>) {
        self.xid = xid;
        self.serial += 1;
        match counts {
            Some(counts) => self.counts = counts.clone(),
            None => {
                self.counts.events = 0;
                self.counts.collections.clear();
            }
        }
    }

    /// `<xid>:<lsn>`
    pub(crate) fn id(&mut self, lsn: u64) {
        self.id.clear();
        // Text takes all that it is given.
        let _ = write!(self.id, "{}:{lsn}", self.xid);
    }

    /// The id that was made last.
    pub(crate) fn written_id(&self) -> &str {
        &self.id
    }

    /// Counts an event of a table.
    pub(crate) fn count(&mut self, counter: &mut Counter, (schema, table): (&str, &str), lsn: u64) {
        if counter.serial != self.serial {
            *counter =
                Counter { serial: self.serial, index: self.find(|name| is_named(name, schema, table)) };
        }
        if let Some((name, events)) = self.counts.collections.get_mut(counter.index) {
            if name.is_empty() {
                let _ = write!(name, "{schema}.{table}");
            }
            *events += 1;
            self.data_collection_order = *events;
        }
        self.counts.events += 1;
        self.id(lsn);
    }

    /// Counts a logical decoding message; each is the first of its own.
    pub(crate) fn count_message(&mut self, lsn: u64) {
        let index = self.find(|name| name == MESSAGES);
        if let Some((name, events)) = self.counts.collections.get_mut(index) {
            if name.is_empty() {
                name.push_str(MESSAGES);
            }
            *events += 1;
        }
        self.data_collection_order = 1;
        self.counts.events += 1;
        self.id(lsn);
    }

    /// The event that was counted last.
    pub(crate) fn block(&self) -> Block<'_> {
        Block {
            id: &self.id,
            total_order: self.counts.events,
            data_collection_order: self.data_collection_order,
        }
    }

    /// Place of a name, which is made empty if it is not there.
    fn find(&mut self, is_it: impl Fn(&str) -> bool) -> usize {
        let collections = &mut self.counts.collections;
        collections.iter().position(|(name, _)| is_it(name)).unwrap_or_else(|| {
            collections.push((String::new(), 0));
            collections.len() - 1
        })
    }
}

fn is_named(name: &str, schema: &str, table: &str) -> bool {
    name.strip_prefix(schema).and_then(|rest| rest.strip_prefix('.')) == Some(table)
}
