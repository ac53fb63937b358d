//! What the topics must hold, read from the log of the server through a slot that is not the capture's.
//!
//! Nothing is acknowledged: the slot gives the same again the next time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cdcd_capture::Config;
use cdcd_pgoutput::message::Old;
use cdcd_pgoutput::relation::Relation;
use cdcd_pgoutput::replication::{Frame, StandbyStatusUpdate, XLogData};
use cdcd_pgoutput::{Decoder, Lsn, Message};
use cdcd_postgres::catalog;
use cdcd_postgres::connection::{Connection, CopyMessage};
use tokio_postgres::Client;

use super::event::Expected;
use super::table::{Demand, Table, Transaction};
use crate::exit::{Exit, Failure};

/// How often the server hears of us while it decodes: far below any `wal_sender_timeout`.
const STATUS_INTERVAL: Duration = Duration::from_millis(500);
/// How long the server may send nothing at all: it answers a question at once unless it decodes a huge transaction.
const SILENCE_LIMIT: Duration = Duration::from_secs(300);

/// All that the log demands between two positions.
#[derive(Debug, Default)]
pub(super) struct Expectation {
    /// Ascending.
    pub(super) events: Vec<Expected>,
    /// Captured tables, each with what the log said of it last.
    pub(super) tables: Vec<(String, String)>,
    pub(super) transactions: u64,
}

/// Reads a slot that streams.
pub(super) struct Oracle<'s> {
    config: &'s Config,
    control: &'s Client,
    fence: Lsn,
    found: Expectation,
    /// By OID; `None` for a table that is not captured.
    by_oid: BTreeMap<u32, Option<Table>>,
    transaction: Option<Transaction>,
    /// Everything before this was read.
    boundary: Lsn,
}

/// A table that must be asked for before the stream goes on.
struct Described {
    /// The Relation message, to be decoded again when the key is known.
    relation: Vec<u8>,
    oid: u32,
    name: String,
}

impl<'s> Oracle<'s> {
    pub(super) fn new(config: &'s Config, control: &'s Client, fence: Lsn) -> Self {
        Oracle {
            config,
            control,
            fence,
            found: Expectation::default(),
            by_oid: BTreeMap::new(),
            transaction: None,
            boundary: Lsn::ZERO,
        }
    }

    /// Reads until all that committed before the fence was seen.
    pub(super) async fn run(mut self, connection: &mut Connection) -> Result<Expectation, Failure> {
        let mut decoder = Decoder::new();
        let (mut heard, mut spoke) = (Instant::now(), None::<Instant>);
        while self.boundary < self.fence || self.transaction.is_some() {
            if spoke.is_none_or(|spoke| spoke.elapsed() >= STATUS_INTERVAL) {
                let sent_at = 0;
                let update = StandbyStatusUpdate {
                    written: self.boundary,
                    flushed: Lsn::ZERO,
                    sent_at,
                    reply_requested: true,
                };
                connection.send_copy_data(&update.to_bytes()).await?;
                spoke = Some(Instant::now());
            }
            let described = match connection.next_copy()? {
                Some(CopyMessage::Data(payload)) => self.take(&mut decoder, payload)?,
                Some(CopyMessage::Done) => return Err(cdcd_postgres::Error::Closed.into()),
                None => {
                    match tokio::time::timeout(STATUS_INTERVAL, connection.fill()).await {
                        Ok(filled) => {
                            filled?;
                            heard = Instant::now();
                        }
                        Err(_) if heard.elapsed() > SILENCE_LIMIT => return Err(self.silent()),
                        Err(_) => {}
                    }
                    None
                }
            };
            if let Some(described) = described {
                self.describe(&described).await?;
            }
        }
        self.found.events.retain(|event| event.id.commit_lsn < self.fence);
        Ok(self.found)
    }

    fn silent(&self) -> Failure {
        let (boundary, fence) = (self.boundary, self.fence);
        let seconds = SILENCE_LIMIT.as_secs();
        let what = format!("the server sent nothing for {seconds} s; read up to {boundary} of {fence}");
        Failure::new(Exit::Dependency, anyhow::anyhow!(what))
    }

    fn take(&mut self, decoder: &mut Decoder, payload: &[u8]) -> Result<Option<Described>, Failure> {
        let bad = |error| Failure::new(Exit::Unexpected, error).context("reading the oracle's slot");
        match Frame::read(payload).map_err(bad)? {
            Frame::Keepalive(keepalive) => {
                if self.transaction.is_none() {
                    self.boundary = self.boundary.max(keepalive.wal_end);
                }
                Ok(None)
            }
            Frame::XLogData(XLogData { body, .. }) => {
                let message = decoder.decode(body).map_err(bad)?;
                self.message(&message, body)
            }
        }
    }

    fn message(&mut self, message: &Message<'_>, body: &[u8]) -> Result<Option<Described>, Failure> {
        match message {
            Message::Begin(begin) => {
                self.transaction = Some(Transaction { commit_lsn: begin.final_lsn, ordinal: 0 });
            }
            Message::Commit(commit) => {
                self.transaction = None;
                self.boundary = self.boundary.max(commit.end_lsn);
                self.found.transactions += u64::from(commit.commit_lsn < self.fence);
            }
            Message::Relation(relation) => return Ok(self.relation(relation, body)),
            Message::Insert(_) | Message::Update(_) | Message::Delete(_) | Message::Truncate(_) => {
                self.change(message).ok_or_else(|| {
                    protocol("a change outside of a transaction, of an undescribed table, or with a number too large")
                })?;
            }
            Message::Logical(logical) => {
                if let Some(transaction) = self.transaction.as_mut().filter(|_| logical.transactional) {
                    transaction.ordinal += 1;
                }
            }
            Message::Origin(_) | Message::Type(_) => {}
            Message::StreamStart { .. }
            | Message::StreamStop
            | Message::StreamCommit { .. }
            | Message::StreamAbort { .. }
            | Message::TwoPhase(_) => {
                return Err(protocol("a streamed or prepared transaction that was not asked for"));
            }
        }
        Ok(None)
    }

    /// Puts what one message demands behind the rest; `None` if the message cannot be.
    fn change(&mut self, message: &Message<'_>) -> Option<()> {
        let transaction = self.transaction?;
        let skipped = self.config.skipped_operations;
        let mut demand = Demand { events: &mut self.found.events, transaction, sub: 0 };
        let by_oid = &self.by_oid;
        // The outer `None` is a table that no Relation message described, the inner one a table that is not captured.
        let table = |oid: u32, skip: bool| by_oid.get(&oid).map(|table| table.as_ref().filter(|_| !skip));
        match message {
            Message::Insert(insert) => {
                if let Some(table) = table(insert.relation, skipped.create)? {
                    table.insert(&insert.new, &mut demand)?;
                }
            }
            Message::Update(update) => {
                if let Some(table) = table(update.relation, skipped.update)? {
                    table.update(self.config, update.old, &update.new, &mut demand)?;
                }
            }
            Message::Delete(delete) => {
                if let Some(table) = table(delete.relation, skipped.delete)?
                    && let Old::Row(old) | Old::Key(old) = delete.old
                {
                    table.delete(self.config, &old, &mut demand)?;
                }
            }
            Message::Truncate(truncate) => {
                for oid in &truncate.relations {
                    if let Some(table) = table(*oid, skipped.truncate)? {
                        table.truncate(&mut demand)?;
                    }
                }
            }
            _ => {}
        }
        self.count_change()
    }

    fn count_change(&mut self) -> Option<()> {
        self.transaction.as_mut()?.ordinal += 1;
        Some(())
    }

    fn relation(&mut self, relation: &Relation<'_>, body: &[u8]) -> Option<Described> {
        if !self.config.filters.captures(relation.namespace, relation.name) {
            self.by_oid.insert(relation.oid, None);
            return None;
        }
        let name = format!("{}.{}", relation.namespace, relation.name);
        Some(Described { relation: body.to_vec(), oid: relation.oid, name })
    }

    /// Asks for the key as the capture does. A table that is gone has none that could be asked for.
    async fn describe(&mut self, described: &Described) -> Result<(), Failure> {
        let configured =
            self.config.message_key_columns.iter().find(|entry| entry.table.is_match(&described.name));
        let key = match configured {
            Some(entry) => entry.columns.clone(),
            None => catalog::key_columns(self.control, described.oid).await?,
        };
        let mut decoder = Decoder::new();
        let Ok(Message::Relation(relation)) = decoder.decode(&described.relation) else { return Ok(()) };
        let known = self.found.tables.iter().position(|(name, _)| *name == described.name);
        let index = known.unwrap_or(self.found.tables.len());
        let index = u16::try_from(index).map_err(|_| protocol("more than 65,536 captured tables"))?;
        let table = Table::new(self.config, &relation, index, &key);
        if known.is_none() {
            self.found.tables.push((table.name.clone(), table.topic.clone()));
        }
        self.by_oid.insert(table.oid, Some(table));
        Ok(())
    }
}

fn protocol(what: &str) -> Failure {
    Failure::new(Exit::Unexpected, anyhow::anyhow!("the oracle's slot sent {what}"))
}
