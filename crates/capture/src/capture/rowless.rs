//! Records that are about no row: the ends of transactions and logical decoding messages.

use cdcd_debezium::format::json::Frame;
use cdcd_debezium::format::writer::RecordWriter;
use cdcd_debezium::schema::Schema;
use cdcd_debezium::source::{self, Snapshot};
use cdcd_debezium::transaction::{self, Boundary};
use cdcd_debezium::transform::Record;
use cdcd_debezium::value::ValueWriter;
use cdcd_debezium::{message, topic};
use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::message::Logical;
use cdcd_pgoutput::replication::XLogData;

use super::{Engine, Framed, protocol};
use crate::converter::{Framing, Half};
use crate::error::Error;
use crate::logical::{Held, Messages, write_content};
use crate::metadata::Metadata;
use crate::outbox::{Entry, Headers, Range};
use crate::position::Counts;

/// One of the two ends of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Begin,
    Commit,
}

impl Engine {
    /// Frames of a topic whose schemas are known beforehand, as far as no id must be asked for.
    pub(super) fn frame(&mut self, framed: fn(Half) -> Framed, topic: &str, schemas: [Schema; 2]) {
        let [key, value] = schemas;
        let converters = [(Half::Key, self.config.key, key), (Half::Value, self.config.value, value)];
        for (half, converter, schema) in converters {
            match converter.framing(half, topic, &schema) {
                Ok(Framing::Known(frame)) => self.set_frame(framed(half), frame),
                Ok(Framing::Asked(request)) => self.schema_requests.push_back((framed(half), request)),
                Err(error) => debug_assert!(false, "names of our own: {error}"),
            }
        }
    }

    pub(super) fn set_frame(&mut self, framed: Framed, frame: Frame) {
        let set = |frames: &mut [Frame; 2], half: Half, frame| match (half, frames) {
            (Half::Key, [key, _]) => *key = frame,
            (Half::Value, [_, value]) => *value = frame,
        };
        match framed {
            Framed::Table(index, half) => {
                if let Some(plan) = self.tables.plans.get_mut(index) {
                    plan.set_frame(half, frame);
                }
            }
            Framed::Heartbeat(half) => set(&mut self.heartbeat_frames, half, frame),
            Framed::Transaction(half) => {
                if let Some(metadata) = &mut self.metadata {
                    set(&mut metadata.frames, half, frame);
                }
            }
            Framed::Message(half) => set(&mut self.messages.frames, half, frame),
        }
    }

    /// Puts schemas around the ends of transactions, or asks for their ids.
    pub(super) fn frame_transactions(&mut self) {
        if self.transformer.is_some() {
            return;
        }
        let Some(topic) = self.metadata.as_ref().map(|metadata| metadata.topic.clone()) else { return };
        let schemas = [transaction::key_schema(), transaction::value_schema()];
        self.frame(Framed::Transaction, &topic, schemas);
    }

    /// Starts counting, and tells that a transaction begins unless that was told before.
    pub(super) fn begin_metadata(&mut self, lsn: Lsn) -> Result<(), Error> {
        let (Some(metadata), Some(transaction)) = (&mut self.metadata, &self.transaction) else {
            return Ok(());
        };
        let told = self.replay.as_ref().and_then(|replay| replay.part().counts.as_ref());
        metadata.begin(transaction.xid, told);
        if told.is_some() {
            return Ok(());
        }
        if let Some(replay) = &mut self.replay {
            replay.told(Counts::default());
        }
        let at_us = transaction.committed_at_us;
        self.write_boundary(End::Begin, lsn, at_us)
    }

    /// Tells the end of a transaction.
    pub(super) fn end_metadata(&mut self, lsn: Lsn, at_us: i64) -> Result<(), Error> {
        if self.metadata.is_some() { self.write_boundary(End::Commit, lsn, at_us) } else { Ok(()) }
    }

    fn write_boundary(&mut self, end: End, lsn: Lsn, at_us: i64) -> Result<(), Error> {
        let Some(metadata) = &mut self.metadata else { return Ok(()) };
        metadata.id(lsn.0);
        let (id, at_ms) = (metadata.written_id(), at_us.div_euclid(1000));
        let boundary = match end {
            End::Begin => Boundary::Begin,
            End::Commit => Boundary::End(metadata.counts.events, &metadata.counts.collections),
        };
        if let Some(transformer) = &mut self.transformer {
            let key = transformer.tree(transaction::key_schema(), |tape, _| transaction::write_key(id, tape));
            let value =
                transformer.tree(transaction::value_schema(), |tape, _| boundary.write(id, at_ms, tape));
            let record = Record { topic: metadata.topic.clone(), key, value, ..Record::default() };
            return self.transform(record, Entry::default(), lsn);
        }
        let topic = self.topics.index(&metadata.topic);
        let [key_frame, value_frame] = &metadata.frames;
        let key = framed(&mut self.outbox.key, key_frame, |writer| transaction::write_key(id, writer));
        let value = framed(&mut self.outbox.value, value_frame, |writer| boundary.write(id, at_ms, writer));
        self.outbox.push(Entry { topic, key: Some(key), value: Some(value), ..Entry::default() });
        self.stats.records += 1;
        Ok(())
    }

    /// A logical decoding message. One outside of transactions is a step of its own: its LSN is the end of its record
    /// (`logicalmsg_decode`, PostgreSQL 14 to 18), so a server that is asked to go on there does not send it again, and
    /// leaves out nothing behind it.
    pub(super) fn logical(
        &mut self,
        logical: &Logical<'_>,
        data: &XLogData<'_>,
        now_ns: i64,
    ) -> Result<(), Error> {
        let lsn = data.wal_start;
        let is_sent = logical.transactional && self.count(data)?;
        if !logical.transactional {
            self.pass_message(lsn, now_ns)?;
        }
        if is_sent || !self.config.messages.passes(logical.prefix) {
            self.stats.filtered += 1;
            return Ok(());
        }
        if let Some(metadata) = self.metadata.as_mut().filter(|_| logical.transactional) {
            metadata.count_message(lsn.0);
        }
        let message = Held {
            prefix: logical.prefix.to_owned(),
            content: logical.content.to_vec(),
            transactional: logical.transactional,
            lsn,
            now_ns,
        };
        if !self.messages.is_framed && self.transformer.is_none() {
            let schemas = [message::key_schema(), message::value_schema(Messages::kind(&self.config.modes))];
            let topic = self.messages.topic.clone();
            self.frame(Framed::Message, &topic, schemas);
            self.messages.is_framed = true;
            if !self.schema_requests.is_empty() {
                self.messages.held = Some(message);
                return Ok(());
            }
        }
        self.write_message(&message)
    }

    /// Moves the position behind a message that no commit follows.
    fn pass_message(&mut self, lsn: Lsn, now_ns: i64) -> Result<(), Error> {
        if self.transaction.is_some() {
            return Err(protocol(lsn, "a message that is not transactional stands inside of a transaction"));
        }
        if lsn < self.last_boundary {
            let what = format!("a message stands before what is done: {}", self.last_boundary);
            return Err(protocol(lsn, &what));
        }
        self.last_commit_lsn = Some(lsn);
        self.last_boundary = lsn;
        self.progress.received(lsn);
        self.progress.committed();
        let at_us = *self.last_commit_us.get_or_insert(now_ns.div_euclid(1000));
        self.render_fragments(source::Transaction {
            at_us,
            snapshot: Snapshot::Streaming,
            xid: None,
            origin: None,
            last_commit_lsn: Some(lsn.0),
        });
        Ok(())
    }

    /// Writes the message that waited for its schemas' ids.
    pub(super) fn write_held_message(&mut self) {
        if let Some(held) = self.messages.held.take()
            && let Err(error) = self.write_message(&held)
        {
            self.broken = Some(error);
        }
    }

    fn write_message(&mut self, held: &Held) -> Result<(), Error> {
        let transaction = self.transaction.as_ref().filter(|_| held.transactional);
        let about = match transaction {
            Some(transaction) => (transaction.committed_at_us, Some(transaction.xid)),
            None => (self.last_commit_us.unwrap_or_default(), None),
        };
        let block = self.metadata.as_ref().filter(|_| held.transactional).map(Metadata::block);
        let shown = (held.prefix.as_str(), block, held.now_ns);
        let (messages, serial, lsn) = (&mut self.messages, self.serial, held.lsn.0);
        let binary = self.config.modes.binary;
        let entry = Entry { headers: Headers::Added, ..Entry::default() };
        if let Some(transformer) = &mut self.transformer {
            let key =
                transformer.tree(message::key_schema(), |tape, _| message::write_key(&held.prefix, tape));
            let schema = message::value_schema(Messages::kind(&self.config.modes));
            let value = transformer.tree(schema, |tape, fragments| {
                messages.source.render(serial, ("", ""), about, tape);
                let source = |tape: &mut _| fragments.write(&messages.source, lsn, tape);
                message::write_value(tape, shown, source, |tape| write_content(binary, &held.content, tape));
            });
            let record = Record { topic: messages.topic.clone(), key, value, ..Record::default() };
            return self.transform(record, entry, held.lsn);
        }
        let topic = self.topics.index(&messages.topic);
        let [key_frame, value_frame] = &messages.frames;
        let key = framed(&mut self.outbox.key, key_frame, |writer| message::write_key(&held.prefix, writer));
        messages.source.render(serial, ("", ""), about, &mut self.outbox.value);
        let fragments = &mut self.fragments;
        let value = framed(&mut self.outbox.value, value_frame, |writer| {
            let source = |writer: &mut _| fragments.write(&messages.source, lsn, writer);
            message::write_value(writer, shown, source, |writer| {
                write_content(binary, &held.content, writer);
            });
        });
        self.outbox.push(Entry { topic, key: Some(key), value: Some(value), ..entry });
        self.stats.records += 1;
        Ok(())
    }

    /// Sends a record of trees through the transformations.
    fn transform(&mut self, record: Record, entry: Entry, lsn: Lsn) -> Result<(), Error> {
        let Some(transformer) = &mut self.transformer else { return Ok(()) };
        let table = record.topic.clone();
        match transformer.transform(record, entry, &mut self.outbox, &mut self.topics) {
            Ok(true) => self.stats.records += 1,
            Ok(false) => self.stats.filtered += 1,
            Err(source) => return Err(Error::Transform { table, lsn, source }),
        }
        Ok(())
    }
}

impl Messages {
    /// Their topic has a dot, whatever `topic.delimiter` is: so has Debezium's.
    pub(super) fn new(prefix: &str) -> Self {
        Messages {
            topic: topic::special_topic(prefix, ".", "message"),
            frames: [Frame::bare(), Frame::bare()],
            is_framed: false,
            source: source::TableFragment::default(),
            held: None,
        }
    }
}

fn framed(writer: &mut RecordWriter, frame: &Frame, write: impl FnOnce(&mut RecordWriter)) -> Range {
    let start = writer.mark().length;
    writer.begin_record(&frame.prefix);
    write(writer);
    writer.end_record(&frame.suffix);
    Range { start, end: writer.mark().length }
}
