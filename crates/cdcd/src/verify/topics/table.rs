//! What one change of a table must become in its topic.

use cdcd_capture::Config;
use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::message::Old;
use cdcd_pgoutput::relation::Relation;
use cdcd_pgoutput::tuple::{Tuple, Value};

use super::event::{EventId, Expected, Op};
use super::key;

/// One captured table as the log describes it now.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// Index into the list of all tables.
    pub(super) index: u16,
    pub(super) oid: u32,
    /// `schema.table`
    pub(super) name: String,
    pub(super) topic: String,
    columns: Vec<Column>,
    /// Indexes of the key's columns, in byte order of their names.
    key: Vec<usize>,
    key_is_comparable: bool,
}

#[derive(Debug, Clone)]
struct Column {
    name: String,
    type_oid: u32,
    captured: bool,
}

/// A transaction as far as it was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transaction {
    pub(super) commit_lsn: Lsn,
    /// Changes of it so far.
    pub(super) ordinal: u64,
}

/// Takes the records that are demanded; `None` if a number does not fit.
pub(super) struct Demand<'a> {
    pub(super) events: &'a mut Vec<Expected>,
    pub(super) transaction: Transaction,
    /// Records of this change so far.
    pub(super) sub: u8,
}

impl Demand<'_> {
    fn push(&mut self, table: &Table, op: Op, key: Option<u64>) -> Option<()> {
        let id = EventId::new(self.transaction.commit_lsn, self.transaction.ordinal, self.sub)?;
        self.sub = self.sub.checked_add(1)?;
        let (has_key, key) = (key.is_some(), key.unwrap_or(0) as u32);
        self.events.push(Expected { id, key, table: table.index, op, has_key });
        Some(())
    }
}

impl Table {
    /// `key_names`: what the capture takes for the key.
    pub(super) fn new(config: &Config, relation: &Relation<'_>, index: u16, key_names: &[String]) -> Self {
        let (schema, table) = (relation.namespace, relation.name);
        let name = format!("{schema}.{table}");
        let columns: Vec<Column> = relation
            .columns
            .iter()
            .map(|column| Column {
                name: column.name.to_owned(),
                type_oid: column.type_oid,
                captured: config.filters.columns.passes(&format!("{name}.{}", column.name)),
            })
            .collect();
        let place = |name: &String| columns.iter().position(|column| column.name == *name);
        let mut key: Vec<usize> = key_names.iter().filter_map(place).collect();
        key.sort_by_key(|index| columns.get(*index).map(|column| column.name.clone()));
        let comparable =
            |index: &usize| columns.get(*index).is_some_and(|column| key::is_comparable(column.type_oid));
        let key_is_comparable = !key.is_empty() && key.iter().all(comparable);
        let topic =
            cdcd_debezium::topic::data_topic(&config.topic_prefix, &config.topic_delimiter, schema, table);
        Table { index, oid: relation.oid, name, topic, columns, key, key_is_comparable }
    }

    pub(super) fn insert(&self, new: &Tuple<'_>, demand: &mut Demand<'_>) -> Option<()> {
        demand.push(self, Op::Create, self.hash(new))
    }

    /// One event, or the three records of a changed key.
    pub(super) fn update(
        &self,
        config: &Config,
        old: Old<'_>,
        new: &Tuple<'_>,
        demand: &mut Demand<'_>,
    ) -> Option<()> {
        let old = match old {
            Old::Row(row) if config.skip_unchanged && self.is_same_row(&row, new) => return Some(()),
            Old::Row(old) | Old::Key(old) => Some(old),
            Old::Absent => None,
        };
        match old.filter(|old| self.has_other_key(old, new)) {
            None => demand.push(self, Op::Update, self.hash(new)),
            Some(old) => {
                self.delete(config, &old, demand)?;
                demand.push(self, Op::Create, self.hash(new))
            }
        }
    }

    pub(super) fn delete(&self, config: &Config, old: &Tuple<'_>, demand: &mut Demand<'_>) -> Option<()> {
        let key = self.hash(old);
        demand.push(self, Op::Delete, key)?;
        if config.tombstones_on_delete { demand.push(self, Op::Tombstone, key) } else { Some(()) }
    }

    pub(super) fn truncate(&self, demand: &mut Demand<'_>) -> Option<()> {
        demand.push(self, Op::Truncate, None)
    }

    fn has_other_key(&self, old: &Tuple<'_>, new: &Tuple<'_>) -> bool {
        self.key.iter().any(|index| differs(*index, old, new))
    }

    fn is_same_row(&self, old: &Tuple<'_>, new: &Tuple<'_>) -> bool {
        let mut columns = self.columns.iter().enumerate().filter(|(_, column)| column.captured);
        columns.all(|(index, _)| !differs(index, old, new))
    }

    /// `None` where the text in the log is not the text in the topic.
    fn hash(&self, row: &Tuple<'_>) -> Option<u64> {
        if !self.key_is_comparable {
            return None;
        }
        let mut columns = Vec::with_capacity(self.key.len());
        for index in &self.key {
            let text = match row.get(*index)? {
                Value::Null => None,
                Value::Text(text) => Some(text),
                Value::UnchangedToast | Value::Binary(_) => return None,
            };
            columns.push((self.columns.get(*index)?.name.as_bytes(), text));
        }
        Some(key::hash(columns.into_iter()))
    }
}

/// A value that was not sent did not change.
fn differs(index: usize, old: &Tuple<'_>, new: &Tuple<'_>) -> bool {
    let new = new.get(index);
    new != Some(Value::UnchangedToast) && old.get(index) != new
}
