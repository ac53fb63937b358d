//! One record as the comparison keeps it: where it stands in the log of the server, and little more.

use std::fmt;

use cdcd_pgoutput::Lsn;

/// Length of the header `cdcd.eid`.
const EID_BYTES: usize = cdcd_debezium::header::EVENT_ID_BYTES;

/// Bits of [`EventId::place`] that number the records of one change.
const SUB_BITS: u32 = 8;

/// Identity of a record: transaction, change in it, record of that change. 16 bytes, and ordered as the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EventId {
    pub(super) commit_lsn: Lsn,
    /// `ordinal << 8 | sub`
    place: u64,
}

impl EventId {
    /// `None` if the ordinal does not fit: 2^56 changes in one transaction.
    pub(super) fn new(commit_lsn: Lsn, ordinal: u64, sub: u8) -> Option<Self> {
        let fits = ordinal < 1 << (u64::BITS - SUB_BITS);
        fits.then_some(EventId { commit_lsn, place: ordinal << SUB_BITS | u64::from(sub) })
    }

    /// Reads the header: `| lineage u32 | commit_lsn u64 | ordinal u64 | sub u8 |`, big-endian.
    pub(super) fn read(header: &[u8]) -> Option<(u32, Self)> {
        let header: &[u8; EID_BYTES] = header.try_into().ok()?;
        let (lineage, rest) = header.split_first_chunk::<4>()?;
        let (commit_lsn, rest) = rest.split_first_chunk::<8>()?;
        let (ordinal, sub) = rest.split_first_chunk::<8>()?;
        let (commit_lsn, ordinal) = (u64::from_be_bytes(*commit_lsn), u64::from_be_bytes(*ordinal));
        let id = EventId::new(Lsn(commit_lsn), ordinal, *sub.first()?)?;
        Some((u32::from_be_bytes(*lineage), id))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ordinal, sub) = (self.place >> SUB_BITS, self.place & ((1 << SUB_BITS) - 1));
        write!(f, "{}+{ordinal}.{sub}", self.commit_lsn)
    }
}

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Op {
    Create,
    Update,
    Delete,
    Tombstone,
    Truncate,
    /// The value's form tells nothing.
    Unknown,
}

impl Op {
    pub(super) const ALL: [Op; 6] =
        [Op::Create, Op::Update, Op::Delete, Op::Tombstone, Op::Truncate, Op::Unknown];

    pub(super) fn word(self) -> &'static str {
        match self {
            Op::Create => "create",
            Op::Update => "update",
            Op::Delete => "delete",
            Op::Tombstone => "tombstone",
            Op::Truncate => "truncate",
            Op::Unknown => "unknown",
        }
    }
}

/// A record that the log of the server demands. 24 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) id: EventId,
    /// Half of the key's hash; `None` is 0 and `has_key` false.
    pub(super) key: u32,
    /// Index into the captured tables.
    pub(super) table: u16,
    pub(super) op: Op,
    /// Whether the key can be compared.
    pub(super) has_key: bool,
}

/// A record that a topic holds. 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Observed {
    pub(super) id: EventId,
    /// Hash of the key; 0 without one.
    pub(super) key: u64,
    /// Offset behind the first of the partition.
    pub(super) offset: u32,
    /// Index into the partitions.
    pub(super) partition: u16,
    pub(super) op: Op,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids_are_read_and_ordered_as_the_log_is() {
        let mut header = Vec::new();
        header.extend(7u32.to_be_bytes());
        header.extend(0x16_B374_D848_u64.to_be_bytes());
        header.extend(3u64.to_be_bytes());
        header.push(2);
        let (lineage, id) = EventId::read(&header).unwrap();
        assert_eq!((lineage, id.to_string()), (7, "16/B374D848+3.2".to_owned()));
        assert_eq!(EventId::read(&header[1..]), None);
        header.push(0);
        assert_eq!(EventId::read(&header), None);
        let at = |lsn, ordinal, sub| EventId::new(Lsn(lsn), ordinal, sub).unwrap();
        assert!(at(1, 9, 9) < at(2, 0, 0) && at(2, 0, 9) < at(2, 1, 0) && at(2, 1, 0) < at(2, 1, 1));
        assert_eq!(EventId::new(Lsn(1), 1 << 56, 0), None);
    }

    #[test]
    fn ten_million_events_take_hundreds_of_megabytes_not_gigabytes() {
        assert_eq!((size_of::<Expected>(), size_of::<Observed>()), (24, 32));
    }
}
