//! Catalog answers that outlive the process: the same log, read again, gives the same schemas.
//!
//! The catalog tells what a table is now; the log that a restart reads again may be older than the last ALTER TABLE.
//! What was answered is kept beside the position, one record for each (OID, content of Relation), and answers again for
//! all that the log held when the process started. What commits later is asked anew.

use std::collections::{BTreeMap, VecDeque};

use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::relation::ReplicaIdentity;
use serde::{Deserialize, Serialize};

use crate::catalog::TableFacts;
use crate::converter::NameAdjustment;
use crate::error::Error;
use crate::plan::{ColumnShape, TableShape};

/// Version of the record's layout.
const VERSION: u32 = 1;

/// A record for the position topic, to be durable not later than the first event that was written with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactsRecord {
    /// `facts.<oid>.<hash of what Relation says, 16 hex digits>`; the connector's name goes before it.
    pub key: String,
    /// JSON; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
}

/// Answers of earlier processes.
#[derive(Debug, Default)]
pub struct KeptFacts {
    entries: BTreeMap<Key, Entry>,
}

/// What a Relation message described.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    oid: u32,
    hash: u64,
}

#[derive(Debug)]
struct Entry {
    lineage: u32,
    shape: TableShape,
    facts: TableFacts,
}

#[derive(Serialize, Deserialize)]
struct Content {
    v: u32,
    lineage: u32,
    relation: Described,
    facts: TableFacts,
}

#[derive(Serialize, Deserialize)]
struct Described {
    oid: u32,
    schema: String,
    table: String,
    /// `pg_class.relreplident`
    replica_identity: char,
    columns: Vec<DescribedColumn>,
}

#[derive(Serialize, Deserialize)]
struct DescribedColumn {
    name: String,
    is_identity: bool,
    type_oid: u32,
    typmod: i32,
}

impl KeptFacts {
    /// Takes one record; `key` is what stands behind the connector's name.
    ///
    /// # Errors
    /// [`Error::Facts`] if it is not one of ours, or one of a later version of `cdcd`.
    pub fn insert(&mut self, key: &str, value: &[u8]) -> Result<(), Error> {
        let unreadable = |what: String| Error::Facts { key: key.to_owned(), what };
        let content: Content =
            serde_json::from_slice(value).map_err(|error| unreadable(error.to_string()))?;
        if content.v > VERSION {
            return Err(unreadable(format!(
                "it has layout {} and this cdcd knows {VERSION}: a later cdcd wrote it",
                content.v
            )));
        }
        let shape = content.relation.shape().map_err(unreadable)?;
        let place = Key::of(&shape);
        if place.text() != key {
            return Err(unreadable(format!("its content belongs under {}", place.text())));
        }
        self.entries.insert(place, Entry { lineage: content.lineage, shape, facts: content.facts });
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// What is kept, and what of it must be written.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    entries: BTreeMap<Key, Entry>,
    lineage: u32,
    /// What commits behind it is asked anew.
    replay_end: Lsn,
    /// Tables that an earlier answer described in this process.
    recalled: Vec<u32>,
    /// Nothing needs these once all that commits up to the LSN is done.
    replaced: Vec<(Key, Lsn)>,
    /// Columns by table that are not NOT NULL, whatever is answered.
    nullable: Vec<(String, String)>,
    records: VecDeque<FactsRecord>,
}

impl Memory {
    pub(crate) fn new(lineage: u32) -> Self {
        Memory { lineage, ..Memory::default() }
    }

    /// Answers that count up to `replay_end`. Those of another lineage are of another log, those of tables that
    /// are not in `tables` any more are needed only that far.
    pub(crate) fn load(&mut self, kept: KeptFacts, replay_end: Lsn, tables: &[u32]) {
        self.entries = kept.entries;
        self.replay_end = replay_end;
        for (key, entry) in &self.entries {
            if entry.lineage != self.lineage {
                self.replaced.push((*key, Lsn::ZERO));
            } else if !tables.contains(&key.oid) {
                self.replaced.push((*key, replay_end));
            }
        }
    }

    pub(crate) fn allow_null(&mut self, table: &str, column: &str) {
        self.nullable.push((table.to_owned(), column.to_owned()));
    }

    /// An answer with what the log has shown since.
    pub(crate) fn with_nulls(
        &self,
        shape: &TableShape,
        facts: &TableFacts,
        names: NameAdjustment,
    ) -> TableFacts {
        let mut facts = facts.clone();
        let table = shape.full_name();
        for (_, name) in self.nullable.iter().filter(|(other, _)| *other == table) {
            for column in facts.columns.iter_mut().filter(|column| names.field(&column.name) == *name) {
                column.not_null = false;
            }
        }
        facts
    }

    /// What was answered before for a table in a transaction that commits at `commit_lsn`.
    pub(crate) fn recall(&mut self, shape: &TableShape, commit_lsn: Lsn) -> Option<TableFacts> {
        let key = Key::of(shape);
        let lineage = self.lineage;
        let fits = |entry: &&Entry| entry.lineage == lineage && entry.shape == *shape;
        let entry = self.entries.get(&key).filter(fits)?;
        if commit_lsn > self.replay_end {
            return None;
        }
        let facts = entry.facts.clone();
        self.recalled.push(shape.oid);
        Some(facts)
    }

    /// The next table that must be asked anew, because a transaction begins that commits at `commit_lsn`.
    pub(crate) fn ask_again(&mut self, commit_lsn: Lsn) -> Option<u32> {
        if commit_lsn > self.replay_end { self.recalled.pop() } else { None }
    }

    /// Whether this is what is kept.
    pub(crate) fn knows(&self, shape: &TableShape, facts: &TableFacts) -> bool {
        self.entries.get(&Key::of(shape)).is_some_and(|entry| {
            entry.lineage == self.lineage && entry.shape == *shape && entry.facts == *facts
        })
    }

    /// Keeps an answer of a stream that is done up to `done`.
    pub(crate) fn keep(&mut self, shape: &TableShape, facts: &TableFacts, done: Lsn) {
        self.put(shape, facts);
        self.replaces(Key::of(shape), shape, done);
    }

    /// Keeps an answer of a snapshot; the stream behind it may still tell what the table was before.
    pub(crate) fn keep_beside(&mut self, shape: &TableShape, facts: &TableFacts) {
        self.put(shape, facts);
        let key = Key::of(shape);
        self.replaced.retain(|(replaced, _)| *replaced != key);
    }

    fn put(&mut self, shape: &TableShape, facts: &TableFacts) {
        if self.knows(shape, facts) {
            return;
        }
        let key = Key::of(shape);
        let entry = Entry { lineage: self.lineage, shape: shape.clone(), facts: facts.clone() };
        self.records.push_back(FactsRecord { key: key.text(), value: Some(entry.encode()) });
        self.entries.insert(key, entry);
    }

    /// From the transaction on that follows `done`, no other answer for the table, by its OID or its name, is needed.
    fn replaces(&mut self, key: Key, shape: &TableShape, done: Lsn) {
        // In use again, unless it is of a table that is gone and ends further on.
        self.replaced.retain(|(replaced, upto)| *replaced != key || *upto > done);
        for (other, entry) in &self.entries {
            let is_same = other.oid == key.oid
                || (entry.shape.schema == shape.schema && entry.shape.table == shape.table);
            if is_same && *other != key && self.replaced.iter().all(|(replaced, _)| replaced != other) {
                self.replaced.push((*other, done));
            }
        }
    }

    /// Forgets what no replay needs once the position is at `done_end_lsn`.
    pub(crate) fn forget(&mut self, done_end_lsn: Lsn) {
        if self.replaced.is_empty() {
            return;
        }
        let (entries, records) = (&mut self.entries, &mut self.records);
        self.replaced.retain(|(key, upto)| {
            if done_end_lsn <= *upto {
                return true;
            }
            if entries.remove(key).is_some() {
                records.push_back(FactsRecord { key: key.text(), value: None });
            }
            false
        });
    }

    pub(crate) fn poll_record(&mut self) -> Option<FactsRecord> {
        self.records.pop_front()
    }
}

impl Key {
    fn of(shape: &TableShape) -> Self {
        // FNV-1a over the JSON of what Relation says; the shape itself is compared when it is found.
        let bytes = serde_json::to_vec(&Described::of(shape)).unwrap_or_default();
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Key { oid: shape.oid, hash }
    }

    fn text(self) -> String {
        format!("facts.{}.{:016x}", self.oid, self.hash)
    }
}

impl Entry {
    fn encode(&self) -> Vec<u8> {
        let content = Content {
            v: VERSION,
            lineage: self.lineage,
            relation: Described::of(&self.shape),
            facts: self.facts.clone(),
        };
        // Only strings and numbers: serialization cannot fail.
        serde_json::to_vec(&content).unwrap_or_default()
    }
}

impl Described {
    fn of(shape: &TableShape) -> Self {
        let columns = shape.columns.iter().map(|column| DescribedColumn {
            name: column.name.clone(),
            is_identity: column.is_identity,
            type_oid: column.type_oid,
            typmod: column.typmod,
        });
        Described {
            oid: shape.oid,
            schema: shape.schema.clone(),
            table: shape.table.clone(),
            replica_identity: match shape.identity {
                ReplicaIdentity::Default => 'd',
                ReplicaIdentity::Nothing => 'n',
                ReplicaIdentity::Full => 'f',
                ReplicaIdentity::Index => 'i',
            },
            columns: columns.collect(),
        }
    }

    fn shape(self) -> Result<TableShape, String> {
        let columns = self.columns.into_iter().map(|column| ColumnShape {
            name: column.name,
            is_identity: column.is_identity,
            type_oid: column.type_oid,
            typmod: column.typmod,
        });
        Ok(TableShape {
            oid: self.oid,
            schema: self.schema,
            table: self.table,
            identity: match self.replica_identity {
                'd' => ReplicaIdentity::Default,
                'n' => ReplicaIdentity::Nothing,
                'f' => ReplicaIdentity::Full,
                'i' => ReplicaIdentity::Index,
                other => return Err(format!("replica identity {other:?} is unknown")),
            },
            columns: columns.collect(),
        })
    }
}
