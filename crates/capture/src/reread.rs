//! What a snapshot that was read in several attempts means for the stream behind it.
//!
//! The stream starts at the consistent point. An attempt that read later has seen changes that the stream brings
//! again: such a change is dropped if and only if its key lies in a part that the attempt read, and its transaction
//! was visible to the attempt. The row that was read always wins.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::tuple::{Tuple, Value};

use crate::error::Error;
use crate::plan::TableShape;
use crate::position::{Moment, SnapshotProgress};
use crate::types::order::KeyOrder;

/// The tables of which a part was read later than the consistent point.
#[derive(Debug)]
pub(crate) struct Reread {
    tables: BTreeMap<u32, Table>,
    /// Nothing that commits behind this was visible to any attempt.
    horizon: Lsn,
}

#[derive(Debug)]
struct Table {
    name: String,
    /// Names of the key columns; none if the table is one part.
    key: Vec<String>,
    /// In the order of the key.
    parts: Vec<Part>,
    /// Places of the key columns in the stream's rows, once they are known.
    columns: Vec<(usize, KeyOrder)>,
}

#[derive(Debug)]
struct Part {
    /// The last key; `None` for the last part.
    upto: Option<Vec<String>>,
    /// `None` if it was read as of the consistent point.
    seen: Option<Arc<Visible>>,
}

/// Which images of a change are to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keep {
    pub(crate) old: bool,
    pub(crate) new: bool,
}

impl Reread {
    /// `None` if every part was read as of the consistent point.
    pub(crate) fn new(progress: &SnapshotProgress) -> Result<Option<Self>, Error> {
        let mut seen = BTreeMap::new();
        let mut horizon = Lsn::ZERO;
        for (attempt, moment) in &progress.moments {
            seen.insert(*attempt, Arc::new(Visible::new(moment)?));
            horizon = horizon.max(moment.horizon.0);
        }
        let mut tables = BTreeMap::new();
        for table in &progress.tables {
            let parts: Vec<Part> = table
                .parts
                .iter()
                .map(|part| Part { upto: part.upto.clone(), seen: seen.get(&part.attempt).cloned() })
                .collect();
            if parts.iter().any(|part| part.seen.is_some()) {
                let (name, key) = (table.name.clone(), table.key.clone());
                tables.insert(table.oid, Table { name, key, parts, columns: Vec::new() });
            }
        }
        Ok((!tables.is_empty()).then_some(Reread { tables, horizon }))
    }

    /// Whether the stream is past everything that could be dropped.
    pub(crate) fn is_over(&self, boundary: Lsn) -> bool {
        boundary >= self.horizon
    }

    /// The stream describes a table: where are its key columns?
    pub(crate) fn relation(&mut self, shape: &TableShape) -> Result<(), Error> {
        let Some(table) = self.tables.get_mut(&shape.oid) else { return Ok(()) };
        let places = table.key.iter().map(|name| {
            let (place, column) =
                shape.columns.iter().enumerate().find(|(_, column)| &column.name == name)?;
            Some((place, KeyOrder::of(column.type_oid)?))
        });
        table.columns = places.collect::<Option<_>>().ok_or_else(|| table.changed())?;
        Ok(())
    }

    /// Whether a row with the key of `tuple` was read with what `xid` did.
    pub(crate) fn has_seen(&self, relation: u32, xid: u32, tuple: &Tuple<'_>) -> Result<bool, Error> {
        let Some(table) = self.tables.get(&relation) else { return Ok(false) };
        for part in &table.parts {
            if table.is_within(part, tuple)? {
                return Ok(part.seen.as_ref().is_some_and(|seen| seen.contains(xid)));
            }
        }
        Ok(false)
    }

    /// Whether the whole table was read with what `xid` did.
    pub(crate) fn has_seen_truncate(&self, relation: u32, xid: u32) -> Result<bool, Error> {
        let Some(table) = self.tables.get(&relation) else { return Ok(false) };
        let seen = |part: &Part| part.seen.as_ref().is_some_and(|seen| seen.contains(xid));
        if table.parts.iter().all(seen) {
            return Ok(true);
        }
        if !table.parts.iter().any(seen) {
            return Ok(false);
        }
        Err(Error::SnapshotTruncated { table: table.name.clone() })
    }
}

impl Table {
    fn is_within(&self, part: &Part, tuple: &Tuple<'_>) -> Result<bool, Error> {
        let Some(upto) = &part.upto else { return Ok(true) };
        for ((place, order), bound) in self.columns.iter().zip(upto) {
            let Some(Value::Text(text)) = tuple.get(*place) else { return Err(self.changed()) };
            match order.compare(text, bound.as_bytes()).map_err(|_| self.changed())? {
                Ordering::Less => return Ok(true),
                Ordering::Greater => return Ok(false),
                Ordering::Equal => {}
            }
        }
        Ok(true)
    }

    #[cold]
    fn changed(&self) -> Error {
        Error::Table {
            table: self.name.clone(),
            what: format!(
                "its key ({}) changed while its snapshot was read in several attempts",
                self.key.join(", ")
            ),
            hint: "start anew with a snapshot under another connector name".to_owned(),
        }
    }
}

/// The transactions that an attempt has seen: `pg_current_snapshot()`.
#[derive(Debug)]
struct Visible {
    xmin: u64,
    xmax: u64,
    running: Vec<u64>,
}

impl Visible {
    /// Reads `xmin:xmax:xip,xip…`.
    fn new(moment: &Moment) -> Result<Self, Error> {
        let text = &moment.snapshot;
        let bad = || Error::Position(format!("'{text}' is not a snapshot of transactions"));
        let mut parts = text.split(':');
        let mut number = || parts.next().and_then(|part| part.parse().ok()).ok_or_else(bad);
        let (xmin, xmax) = (number()?, number()?);
        let list = parts.next().unwrap_or_default();
        let running = list.split(',').filter(|part| !part.is_empty());
        let running = running.map(|part| part.parse().map_err(|_| bad())).collect::<Result<_, _>>()?;
        Ok(Visible { xmin, xmax, running })
    }

    /// `xid` has 32 bits; the snapshot's have 64, and the two are close.
    fn contains(&self, xid: u32) -> bool {
        let distance = i64::from(xid.wrapping_sub(self.xmax as u32).cast_signed());
        let xid = self.xmax.saturating_add_signed(distance);
        xid < self.xmin || (xid < self.xmax && !self.running.contains(&xid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::LsnText;

    fn visible(snapshot: &str) -> Visible {
        Visible::new(&Moment { snapshot: snapshot.to_owned(), horizon: LsnText(Lsn(1)) }).unwrap()
    }

    #[test]
    fn what_had_ended_before_a_snapshot_is_visible_to_it() {
        let seen = visible("750:760:752,755");
        let visible: Vec<u32> = (748..763).filter(|xid| seen.contains(*xid)).collect();
        assert_eq!(visible, [748, 749, 750, 751, 753, 754, 756, 757, 758, 759]);
    }

    #[test]
    fn transaction_ids_are_compared_across_an_epoch() {
        let seen = visible("8589934590:8589934598:");
        assert!(seen.contains(u32::MAX) && seen.contains(5) && !seen.contains(6) && !seen.contains(100));
        assert!(Visible::new(&Moment { snapshot: "1:x:".to_owned(), horizon: LsnText(Lsn(1)) }).is_err());
    }
}
