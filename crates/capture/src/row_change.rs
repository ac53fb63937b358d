//! One change to its records: event, tombstone, and the three records of a changed key.

use cdcd_debezium::envelope::{Clock, Operation};
use cdcd_debezium::header::EVENT_ID_BYTES;
use cdcd_debezium::source::{Constants, Fragments};
use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::message::Old;
use cdcd_pgoutput::tuple::Tuple;

use crate::column::{ColumnError, Image, write_key_header};
use crate::columns::{Event, Written};
use crate::config::Config;
use crate::error::Error;
use crate::metadata::Metadata;
use crate::outbox::{ContextHeaders, Entry, Headers, Outbox, Range, Topics};
use crate::plan::{Plan, Way};
use crate::reread::Keep;
use crate::stats::Stats;
use crate::trees::Transformer;
use crate::types::ConversionError;

/// A row image of an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) tuple: Tuple<'a>,
    pub(crate) image: Image<'a>,
}

impl<'a> Row<'a> {
    pub(crate) fn full(tuple: Tuple<'a>) -> Self {
        Row { tuple, image: Image::Full { old: None } }
    }
}

/// Which change of which transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventId {
    pub(crate) lineage: u32,
    pub(crate) commit_lsn: Lsn,
    pub(crate) ordinal: u64,
}

impl EventId {
    /// As it stands in a record's header.
    fn bytes(&self, sub: u8) -> [u8; EVENT_ID_BYTES] {
        let mut bytes = [0; EVENT_ID_BYTES];
        bytes[..4].copy_from_slice(&self.lineage.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.commit_lsn.0.to_be_bytes());
        bytes[12..20].copy_from_slice(&self.ordinal.to_be_bytes());
        bytes[20] = sub;
        bytes
    }
}

/// All that writing one change needs.
pub(crate) struct Writer<'c> {
    pub(crate) config: &'c Config,
    pub(crate) plan: &'c mut Plan,
    pub(crate) source: &'c mut Fragments,
    pub(crate) constants: &'c Constants,
    pub(crate) context: &'c ContextHeaders,
    pub(crate) outbox: &'c mut Outbox,
    pub(crate) topics: &'c mut Topics,
    /// There if events are counted, and this is one of a transaction.
    pub(crate) metadata: Option<&'c mut Metadata>,
    /// There if the table's records go through it.
    pub(crate) transformer: Option<&'c mut Transformer>,
    pub(crate) stats: &'c mut Stats,
    /// Written to a header, if that is asked for.
    pub(crate) id: Option<EventId>,
    /// Number of the next record among those of the change.
    pub(crate) sub: u8,
    pub(crate) lsn: Lsn,
    pub(crate) now_ns: i64,
    pub(crate) clock: &'c Clock,
}

impl Writer<'_> {
    pub(crate) fn insert(&mut self, new: Tuple<'_>, operation: Operation) -> Result<(), Error> {
        self.check_width(&new)?;
        let key = self.key(&new)?;
        self.event(operation, None, Some(Row::full(new)), key, Headers::Context)
    }

    /// `keep` says which image a snapshot has not read already.
    pub(crate) fn update(&mut self, old: Old<'_>, new: Tuple<'_>, keep: Keep) -> Result<(), Error> {
        self.check_width(&new)?;
        let (before, old_row) = match old {
            Old::Absent => (None, None),
            Old::Key(tuple) => {
                self.check_width(&tuple)?;
                (Some(Row { tuple, image: Image::KeyOnly }), None)
            }
            Old::Row(tuple) => {
                self.check_width(&tuple)?;
                if self.config.skip_unchanged && self.plan.same_row(&tuple, &new) {
                    self.stats.filtered += 1;
                    return Ok(());
                }
                (Some(Row::full(tuple)), Some(tuple))
            }
        };
        let after = Row { tuple: new, image: Image::Full { old: old_row } };
        let key_changed = match &before {
            Some(row) if row.image == Image::KeyOnly && !self.plan.key_is_in_identity() => {
                // What was sent is another index's key: it says nothing about ours.
                return Err(self.identity_error());
            }
            Some(row) => !self.plan.key.is_empty() && !self.plan.same_key(&row.tuple, &new),
            None => false,
        };
        match before {
            Some(before) if key_changed => self.change_key(before, after, keep),
            _ if !keep.new => Ok(()),
            before => {
                // An old key without a changed key only says that the key is stored out of line.
                let before = before.filter(|row| row.image != Image::KeyOnly);
                if self.config.skipped_operations.update {
                    self.stats.filtered += 1;
                    return Ok(());
                }
                let key = self.key(&after.tuple)?;
                self.event(Operation::Update, before, Some(after), key, Headers::Context)
            }
        }
    }

    pub(crate) fn delete(&mut self, old: Old<'_>) -> Result<(), Error> {
        let before = match old {
            Old::Row(tuple) => Row::full(tuple),
            Old::Key(tuple) if self.plan.key_is_in_identity() => Row { tuple, image: Image::KeyOnly },
            Old::Key(_) => return Err(self.identity_error()),
            Old::Absent => return Ok(()),
        };
        self.check_width(&before.tuple)?;
        let key = self.key(&before.tuple)?;
        self.event(Operation::Delete, Some(before), None, key, Headers::Context)?;
        self.tombstone(key, Headers::Context)
    }

    pub(crate) fn truncate(&mut self) -> Result<(), Error> {
        self.event(Operation::Truncate, None, None, None, Headers::Context)
    }

    /// Delete and tombstone under the old key, create under the new one; each may be skipped by itself.
    fn change_key(&mut self, before: Row<'_>, after: Row<'_>, keep: Keep) -> Result<(), Error> {
        let skipped = self.config.skipped_operations;
        if keep.old && !skipped.delete {
            let new_payload = self.key_payload(&after)?;
            let old_key = self.key(&before.tuple)?;
            self.event(Operation::Delete, Some(before), None, old_key, Headers::NewKey(new_payload))?;
            self.tombstone(old_key, Headers::NewKey(new_payload))?;
        }
        if keep.new && !skipped.create {
            let old_payload = self.key_payload(&before)?;
            let new_key = self.key(&after.tuple)?;
            self.event(Operation::Create, None, Some(after), new_key, Headers::OldKey(old_payload))?;
        }
        Ok(())
    }

    fn tombstone(&mut self, key: Option<Range>, headers: Headers) -> Result<(), Error> {
        if !self.config.tombstones_on_delete {
            return Ok(());
        }
        if let Way::Unwrapped(_) = self.plan.way {
            self.unwrapped_tombstone(key, headers);
            return Ok(());
        }
        self.finish_record(key, None, headers)
    }

    /// The key as a record's key, with its schema if that is asked for.
    fn key(&mut self, tuple: &Tuple<'_>) -> Result<Option<Range>, Error> {
        if self.plan.key.is_empty() {
            return Ok(None);
        }
        if let (Way::Trees(plan), Some(transformer)) = (&self.plan.way, &mut self.transformer) {
            let key = transformer.key(plan, tuple);
            return key.map(Some).map_err(|error| self.conversion_error(error));
        }
        let writer = &mut self.outbox.key;
        let written = self.plan.key.write_key(tuple, &self.plan.key_frame, writer);
        let range = written.map_err(|error| self.conversion_error(error))?;
        if self.outbox.key.take_misplaced_null() {
            return Err(self.null_error());
        }
        Ok(Some(range))
    }

    /// The key as it stands in a header.
    fn key_payload(&mut self, row: &Row<'_>) -> Result<Range, Error> {
        let plan = &mut *self.plan;
        let written = write_key_header(&plan.key_header, &row.tuple, &mut plan.header);
        written.map_err(|error| self.conversion_error(error))?;
        Ok(self.outbox.header(self.plan.header.as_bytes()))
    }

    fn event(
        &mut self,
        operation: Operation,
        before: Option<Row<'_>>,
        after: Option<Row<'_>>,
        key: Option<Range>,
        headers: Headers,
    ) -> Result<(), Error> {
        match operation {
            Operation::Read => self.stats.reads += 1,
            Operation::Create => self.stats.creates += 1,
            Operation::Update => self.stats.updates += 1,
            Operation::Delete => self.stats.deletes += 1,
            Operation::Truncate => self.stats.truncates += 1,
        }
        if let Some(metadata) = &mut self.metadata {
            let plan = &mut *self.plan;
            metadata.count(&mut plan.counter, (&plan.schema, &plan.table), self.lsn.0);
        }
        let value = match &self.plan.way {
            Way::Direct => self.envelope(operation, before, after)?,
            Way::Unwrapped(_) => return self.unwrapped_event(operation, (before, after), key, headers),
            Way::Trees(_) => self.tree(operation, before, after)?,
        };
        self.finish_record(key, Some(value), headers)
    }

    fn envelope(
        &mut self,
        operation: Operation,
        before: Option<Row<'_>>,
        after: Option<Row<'_>>,
    ) -> Result<Range, Error> {
        let event = Event {
            operation,
            before,
            after,
            source: self.source,
            table: &self.plan.source,
            block: self.metadata.as_deref().map(Metadata::block),
            lsn: self.lsn.0,
            clock: self.clock,
            on_failure: self.config.conversion_failure,
        };
        let written = self.plan.columns.write_event(event, &self.plan.value_frame, &mut self.outbox.value);
        let Written { range, failures } = written.map_err(|error| self.conversion_error(error))?;
        self.stats.conversion_failures += failures;
        if self.outbox.value.take_misplaced_null() {
            return Err(self.null_error());
        }
        Ok(range)
    }

    fn tree(
        &mut self,
        operation: Operation,
        before: Option<Row<'_>>,
        after: Option<Row<'_>>,
    ) -> Result<Range, Error> {
        let (Way::Trees(plan), Some(transformer)) = (&self.plan.way, &mut self.transformer) else {
            return Ok(Range::default());
        };
        let event = (operation, self.lsn.0, self.now_ns);
        let block = self.metadata.as_deref().map(Metadata::block);
        match transformer.event(plan, (before, after), block, event, self.config.conversion_failure) {
            Ok((range, failures)) => {
                self.stats.conversion_failures += failures;
                Ok(range)
            }
            Err(error) => Err(self.conversion_error(error)),
        }
    }

    /// Puts a record into the outbox, through the transformations if the table's records go there.
    fn finish_record(
        &mut self,
        key: Option<Range>,
        value: Option<Range>,
        headers: Headers,
    ) -> Result<(), Error> {
        let (Way::Trees(_), Some(_)) = (&self.plan.way, &self.transformer) else {
            self.push(key, value, headers, Range::default());
            return Ok(());
        };
        let entry = self.entry(key, value, headers, Range::default());
        let (Way::Trees(plan), Some(transformer)) = (&self.plan.way, &mut self.transformer) else {
            return Ok(());
        };
        match transformer.finish(plan, entry, self.context, self.outbox, self.topics) {
            Ok(true) => self.stats.records += 1,
            Ok(false) => self.stats.filtered += 1,
            Err(source) => {
                return Err(Error::Transform { table: self.plan.full_name(), lsn: self.lsn, source });
            }
        }
        Ok(())
    }

    /// Puts a record into the outbox as it is.
    pub(crate) fn push(&mut self, key: Option<Range>, value: Option<Range>, headers: Headers, added: Range) {
        let entry = self.entry(key, value, headers, added);
        self.outbox.push(entry);
        self.stats.records += 1;
    }

    /// Counts a record that a transformation leaves out: the ids of those behind it do not change.
    pub(crate) fn drop_record(&mut self) {
        self.sub = self.sub.saturating_add(1);
        self.stats.filtered += 1;
    }

    fn entry(&mut self, key: Option<Range>, value: Option<Range>, headers: Headers, added: Range) -> Entry {
        let id = self.id.map(|id| self.outbox.header(&id.bytes(self.sub)));
        self.sub = self.sub.saturating_add(1);
        let topic = self.plan.topic;
        Entry { topic, partition: None, timestamp_ms: None, key, value, headers, added, id }
    }

    fn check_width(&self, tuple: &Tuple<'_>) -> Result<(), Error> {
        if tuple.len() == self.plan.width {
            return Ok(());
        }
        Err(Error::Protocol {
            lsn: self.lsn,
            what: format!(
                "a row of {} has {} columns where its Relation message has {}",
                self.plan.full_name(),
                tuple.len(),
                self.plan.width
            ),
        })
    }

    #[cold]
    pub(crate) fn conversion_error(&self, error: ColumnError) -> Error {
        if error.error == ConversionError::NotNull {
            let (table, column, lsn) = (self.plan.full_name(), error.column, self.lsn);
            return Error::OutdatedFacts { table, column, lsn };
        }
        Error::Conversion {
            table: self.plan.full_name(),
            column: error.column,
            lsn: self.lsn,
            source: error.error,
        }
    }

    /// Null in a column whose Avro schema is no union.
    #[cold]
    fn null_error(&self) -> Error {
        Error::Table {
            table: self.plan.full_name(),
            what: format!(
                "the event of the change at {} has null in a column that is NOT NULL, and Avro has no place for it",
                self.lsn
            ),
            hint: format!(
                "an unchanged value that is stored out of line comes with ALTER TABLE {} REPLICA IDENTITY FULL; a \
                 value that could not be converted became null by event.converting.failure.handling.mode",
                self.plan.full_name()
            ),
        }
    }

    #[cold]
    fn identity_error(&self) -> Error {
        Error::Table {
            table: self.plan.full_name(),
            what: format!(
                "its replica identity ({:?}) does not hold the event key, so the key of an old row is unknown",
                self.plan.identity
            ),
            hint: format!(
                "ALTER TABLE {} REPLICA IDENTITY FULL (or DEFAULT, if the primary key is the key), or name the \
                 identity's columns in message.key.columns",
                self.plan.full_name()
            ),
        }
    }
}
