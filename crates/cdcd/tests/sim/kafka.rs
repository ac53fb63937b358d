//! A model of Kafka: partitions with transactions of one transactional id, its fence, its time-out, and what brokers
//! do to committed data when they are set up badly.
//!
//! Under the old protocol (librdkafka's) the end of a transaction names only the producer's epoch: a request that comes
//! late ends whatever transaction is open then. Under the new one every end raises the epoch.

use std::collections::BTreeMap;
use std::rc::Rc;

use cdcd_sink::offset_token::TopicId;

use crate::time::{Nanos, SECOND};

/// As our producer asks for.
const TRANSACTION_TIMEOUT: Nanos = 120 * SECOND;

/// A record of a data topic.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) topic: usize,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    /// Header `cdcd.eid`.
    pub(crate) eid: Option<Vec<u8>>,
}

#[derive(Debug, Clone)]
pub(crate) enum Entry {
    Data { txn: usize, record: Rc<Record> },
    Marker,
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) entries: Vec<Entry>,
    /// What lies before was deleted by retention.
    pub(crate) base: usize,
    /// Nobody can read it before this.
    pub(crate) away_until: Nanos,
}

#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) id: TopicId,
    pub(crate) partitions: Vec<Log>,
    pub(crate) exists: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Ongoing,
    Committed,
    Aborted,
}

#[derive(Debug)]
pub(crate) struct Txn {
    pub(crate) state: State,
    /// First offset in each partition that it touches.
    first: BTreeMap<(usize, usize), usize>,
    /// In the order of arrival.
    pub(crate) records: Vec<Rc<Record>>,
    pub(crate) position: Option<Vec<u8>>,
    since: Nanos,
}

/// What a producer may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Fenced,
}

/// How the position topic is read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upto {
    /// Until a fetch is empty: right after a change of leader that is too early.
    EmptyFetch,
    /// Until the end that ListOffsets tells, which a new leader does not answer too early (KIP-207).
    ListedEnd,
}

pub(crate) struct Kafka {
    pub(crate) cluster_id: &'static str,
    pub(crate) new_protocol: bool,
    pub(crate) topics: Vec<Topic>,
    pub(crate) txns: Vec<Txn>,
    positions: Vec<(usize, Vec<u8>)>,
    /// What is kept of the publication, beside the positions.
    kept: Vec<(usize, Vec<u8>)>,
    pub(crate) epoch: u32,
    ongoing: Option<usize>,
    pub(crate) down_until: Nanos,
    /// A new leader of the position topic does not know the newest entries as committed before this.
    pub(crate) lagging_until: Nanos,
    next_topic: u8,
    pub(crate) timed_out: u64,
}

impl Kafka {
    pub(crate) fn new(partitions: usize, new_protocol: bool) -> Self {
        let mut kafka = Kafka {
            cluster_id: "cluster-1",
            new_protocol,
            topics: Vec::new(),
            txns: Vec::new(),
            positions: Vec::new(),
            kept: Vec::new(),
            epoch: 0,
            ongoing: None,
            down_until: 0,
            lagging_until: 0,
            next_topic: 1,
            timed_out: 0,
        };
        for _ in 0..2 {
            let id = kafka.new_id();
            let partitions = (0..partitions).map(|_| Log::default()).collect();
            kafka.topics.push(Topic { id, partitions, exists: true });
        }
        kafka
    }

    fn new_id(&mut self) -> TopicId {
        let id = TopicId([self.next_topic; 16]);
        self.next_topic += 1;
        id
    }

    pub(crate) fn is_up(&self, now: Nanos) -> bool {
        now >= self.down_until
    }

    /// InitProducerId: ends what is open and fences.
    pub(crate) fn init_producer(&mut self) -> u32 {
        self.abort_ongoing();
        self.epoch += 1;
        self.epoch
    }

    fn abort_ongoing(&mut self) {
        if let Some(txn) = self.ongoing.take() {
            self.finish(txn, State::Aborted);
        }
    }

    fn finish(&mut self, txn: usize, state: State) {
        self.txns[txn].state = state;
        let touched: Vec<(usize, usize)> = self.txns[txn].first.keys().copied().collect();
        for (topic, partition) in touched {
            if let Some(log) = self.topics[topic].partitions.get_mut(partition) {
                log.entries.push(Entry::Marker);
            }
        }
    }

    fn open_txn(&mut self, now: Nanos) -> usize {
        *self.ongoing.get_or_insert_with(|| {
            self.txns.push(Txn {
                state: State::Ongoing,
                first: BTreeMap::new(),
                records: Vec::new(),
                position: None,
                since: now,
            });
            self.txns.len() - 1
        })
    }

    /// Produce requests; `position` is the last record of a transaction.
    pub(crate) fn produce(
        &mut self,
        epoch: u32,
        records: &[Rc<Record>],
        position: Option<&[u8]>,
        now: Nanos,
    ) -> Result<(), Refusal> {
        if epoch != self.epoch {
            return Err(Refusal::Fenced);
        }
        let txn = self.open_txn(now);
        for record in records {
            let partitions = self.topics[record.topic].partitions.len();
            let partition = place(record.key.as_deref(), partitions, self.txns[txn].records.len());
            let log = &mut self.topics[record.topic].partitions[partition].entries;
            self.txns[txn].first.entry((record.topic, partition)).or_insert(log.len());
            log.push(Entry::Data { txn, record: Rc::clone(record) });
            self.txns[txn].records.push(Rc::clone(record));
        }
        if let Some(position) = position {
            self.txns[txn].position = Some(position.to_vec());
            self.positions.push((txn, position.to_vec()));
        }
        Ok(())
    }

    /// A record under another key of the position's topic.
    pub(crate) fn keep(&mut self, epoch: u32, value: Vec<u8>, now: Nanos) -> Result<(), Refusal> {
        if epoch != self.epoch {
            return Err(Refusal::Fenced);
        }
        let txn = self.open_txn(now);
        self.kept.push((txn, value));
        Ok(())
    }

    /// What is kept of the publication.
    pub(crate) fn kept(&self) -> Option<&[u8]> {
        let is_committed = |(txn, _): &&(usize, Vec<u8>)| self.is_committed(*txn);
        self.kept.iter().rev().find(is_committed).map(|(_, value)| value.as_slice())
    }

    /// Somebody else writes into a data topic.
    pub(crate) fn write_record(&mut self, partition: usize, record: Record) -> usize {
        let (txn, topic) = (self.txns.len(), record.topic);
        let record = Rc::new(record);
        self.txns.push(Txn {
            state: State::Committed,
            first: BTreeMap::new(),
            records: vec![Rc::clone(&record)],
            position: None,
            since: 0,
        });
        let log = &mut self.topics[topic].partitions[partition].entries;
        log.push(Entry::Data { txn, record });
        log.len() - 1
    }

    /// EndTxn with commit. Gives what was committed, and the producer's epoch from now on.
    pub(crate) fn end_txn(&mut self, epoch: u32) -> Result<(Option<usize>, u32), Refusal> {
        if epoch != self.epoch {
            return Err(Refusal::Fenced);
        }
        let ended = self.ongoing.take();
        if let Some(txn) = ended {
            self.finish(txn, State::Committed);
        }
        if self.new_protocol {
            self.epoch += 1;
        }
        Ok((ended, self.epoch))
    }

    /// The coordinator's own clock.
    pub(crate) fn timer(&mut self, now: Nanos) {
        if let Some(txn) = self.ongoing
            && now - self.txns[txn].since > TRANSACTION_TIMEOUT
        {
            self.abort_ongoing();
            self.epoch += 1;
            self.timed_out += 1;
        }
    }

    /// The newest committed position.
    pub(crate) fn position(&self, upto: Upto, now: Nanos) -> Option<&[u8]> {
        let lags = now < self.lagging_until && upto == Upto::EmptyFetch;
        let mut committed =
            self.positions.iter().rev().filter(|(txn, _)| self.txns[*txn].state == State::Committed);
        let newest = committed.next();
        let found = if lags { committed.next() } else { newest };
        found.map(|(_, value)| value.as_slice())
    }

    /// Somebody writes a position of his own.
    pub(crate) fn write_position(&mut self, value: Vec<u8>) {
        let (epoch, now) = (self.init_producer(), 0);
        let written = self.produce(epoch, &[], Some(&value), now).and_then(|()| self.end_txn(epoch));
        debug_assert!(written.is_ok());
    }

    pub(crate) fn lose_positions(&mut self) {
        self.positions.clear();
        self.kept.clear();
    }

    pub(crate) fn recreate(&mut self, topic: usize) {
        let id = self.new_id();
        let partitions = self.topics[topic].partitions.len();
        self.topics[topic] =
            Topic { id, partitions: (0..partitions).map(|_| Log::default()).collect(), exists: true };
    }

    /// End of what a `read_committed` consumer may read.
    pub(crate) fn stable(&self, topic: usize, partition: usize) -> usize {
        let log = &self.topics[topic].partitions[partition];
        let open = self.ongoing.and_then(|txn| self.txns[txn].first.get(&(topic, partition)));
        open.copied().unwrap_or(log.entries.len()).min(log.entries.len())
    }

    pub(crate) fn is_committed(&self, txn: usize) -> bool {
        self.txns[txn].state == State::Committed
    }

    /// Committed records from `from` on, at most `max`, and where to go on.
    pub(crate) fn fetch(
        &self,
        topic: usize,
        partition: usize,
        from: usize,
        max: usize,
    ) -> (Vec<(usize, Rc<Record>)>, usize) {
        let end = self.stable(topic, partition);
        let log = &self.topics[topic].partitions[partition];
        let mut records = Vec::new();
        let mut offset = from.max(log.base);
        while offset < end && records.len() < max {
            if let Entry::Data { txn, record } = &log.entries[offset]
                && self.is_committed(*txn)
            {
                records.push((offset, Rc::clone(record)));
            }
            offset += 1;
        }
        (records, offset)
    }
}

/// Which partition a key goes to.
fn place(key: Option<&[u8]>, partitions: usize, serial: usize) -> usize {
    let hash = match key {
        Some(key) => key.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        }),
        None => serial as u64,
    };
    (hash >> 7) as usize % partitions
}
