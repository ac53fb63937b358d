//! `_SEQ`: one text per row that sorts as the changes of a key happened.

use cdcd_debezium::event::{ChangeEvent, Operation};
use std::fmt::Write;

/// Length of every `_SEQ` of version 1.
///
/// | lineage, 8 hex | class, 1 | lsn, 16 hex | ordinal or Kafka offset, 16 hex | sub, 2 hex |
///
/// Class 0 is a snapshot row, class 1 a streamed change: a snapshot row ranks below every streamed change of its
/// lineage. The LSN is the commit's with a `cdcd.eid` header, else the change's own: per key both are monotone,
/// because a row stays locked until its transaction ends.
pub const SEQUENCE_LEN: usize = 43;

/// The order facts of one record, from its headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OrderFacts {
    /// Header `cdcd.eid`: lineage, commit LSN, ordinal, sub.
    pub event_id: Option<(u32, u64, u64, u8)>,
    /// Header `cdcd.lineage`.
    pub lineage: u32,
}

impl OrderFacts {
    /// Reads the headers `cdcd.eid` (21 bytes, big-endian) and `cdcd.lineage` (decimal text or four bytes).
    pub fn from_headers<'a>(headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>) -> OrderFacts {
        let mut facts = OrderFacts::default();
        for (name, value) in headers {
            match (name, value) {
                ("cdcd.eid", Some(bytes)) => facts.event_id = event_id(bytes),
                ("cdcd.lineage", Some(bytes)) => facts.lineage = lineage(bytes).unwrap_or(0),
                _ => {}
            }
        }
        facts
    }
}

impl OrderFacts {
    /// The lineage, wherever it is told.
    pub fn lineage(&self) -> u32 {
        self.event_id.map_or(self.lineage, |(lineage, ..)| lineage)
    }
}

fn event_id(bytes: &[u8]) -> Option<(u32, u64, u64, u8)> {
    let (lineage, rest) = bytes.split_first_chunk::<4>()?;
    let (commit_lsn, rest) = rest.split_first_chunk::<8>()?;
    let (ordinal, rest) = rest.split_first_chunk::<8>()?;
    let [sub] = rest else { return None };
    let number = u64::from_be_bytes;
    Some((u32::from_be_bytes(*lineage), number(*commit_lsn), number(*ordinal), *sub))
}

fn lineage(bytes: &[u8]) -> Option<u32> {
    match std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()) {
        Some(number) => Some(number),
        None => Some(u32::from_be_bytes(bytes.try_into().ok()?)),
    }
}

/// A `_SEQ` below all rows of a lineage and above those of the lineages before it.
pub fn lineage_floor(lineage: u32) -> String {
    format!("{lineage:08x}{:035}", 0)
}

/// Writes the `_SEQ` of one row. `sub` tells rows of one record apart.
pub fn write_sequence(out: &mut String, event: &ChangeEvent<'_>, facts: OrderFacts, offset: i64, sub: u8) {
    let class = u8::from(event.op != Operation::Read);
    let offset = u64::try_from(offset).unwrap_or(0);
    let (lineage, lsn, ordinal, sub) = match facts.event_id {
        Some((lineage, commit_lsn, ordinal, first)) => (lineage, commit_lsn, ordinal, first.max(sub)),
        None => (facts.lineage, event.source.lsn.unwrap_or(0), offset, sub),
    };
    let _ = write!(out, "{lineage:08x}{class}{lsn:016x}{ordinal:016x}{sub:02x}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_lies_between_its_lineage_and_the_one_before() {
        let of = |lineage, commit_lsn, op| {
            let event = ChangeEvent {
                shape: cdcd_debezium::event::Shape::Envelope,
                op,
                schema: None,
                key: None,
                key_schema: None,
                before: None,
                after: None,
                source: cdcd_debezium::event::Source { lsn: Some(commit_lsn), ..Default::default() },
                payload: "",
            };
            let mut out = String::new();
            write_sequence(&mut out, &event, OrderFacts { event_id: None, lineage }, 0, 0);
            out
        };
        let floor = lineage_floor(2);
        assert_eq!(floor.len(), SEQUENCE_LEN);
        assert!(floor > of(1, u64::MAX, Operation::Update), "{floor}");
        assert!(floor < of(2, 1, Operation::Read), "{floor}");
    }
}
