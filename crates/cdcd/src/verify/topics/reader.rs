//! What the topics hold: every committed record of every partition.

use cdcd_debezium::record::Record;
use cdcd_kafka::ClientConfig;
use cdcd_kafka::scan::{Partition, Place, Scan};
use cdcd_pgoutput::Lsn;

use super::event::{EventId, Observed, Op};
use super::key;
use crate::exit::{Exit, Failure};

/// The header that names an event.
const EID: &str = cdcd_debezium::header::EVENT_ID;
/// The member that holds the operation; the last of this name in a value is the envelope's, because strings inside of
/// rows cannot hold a bare quote and the schema stands in front.
const OP: &[u8] = br#""op":""#;

/// Everything that was read.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) partitions: Vec<Partition>,
    /// Streamed records between the two positions, of each partition in offset order.
    pub(super) records: Vec<Vec<Observed>>,
    /// Rows of snapshots.
    pub(super) snapshot: u64,
    /// Streamed records of transactions before the first position, and behind the second.
    pub(super) outside: [u64; 2],
    /// Streamed records without an event id, and the place of the first: partition, offset.
    pub(super) nameless: u64,
    pub(super) first_nameless: Option<(usize, i64)>,
    /// Lineages seen, lowest and highest.
    pub(super) lineages: Option<(u32, u32)>,
    /// Something that does not fit the packed form.
    too_large: Option<&'static str>,
}

/// Reads all partitions of `topics`; keeps what committed in `[from, fence)`. Blocks.
pub(super) fn read(
    config: &ClientConfig,
    topics: &[String],
    from: Lsn,
    fence: Lsn,
) -> Result<Contents, Failure> {
    let scan = Scan::open(config, topics)?;
    let mut contents = Contents { partitions: scan.partitions().to_vec(), ..Contents::default() };
    if u16::try_from(contents.partitions.len()).is_err() {
        return Err(Failure::configuration("the topics have more than 65,535 partitions"));
    }
    contents.records = vec![Vec::new(); contents.partitions.len()];
    scan.run(|place, record| contents.take(place, record, from..fence))?;
    match contents.too_large {
        None => Ok(contents),
        Some(what) => {
            Err(Failure::new(Exit::Unexpected, anyhow::anyhow!("{what} is too large for the comparison")))
        }
    }
}

impl Contents {
    fn take(&mut self, place: Place, record: &Record<'_>, range: std::ops::Range<Lsn>) {
        let header = record.headers.iter().find(|header| header.name == EID).and_then(|header| header.value);
        let Some((lineage, id)) = header.and_then(EventId::read) else {
            if op_byte(record.value) == Some(b'r') {
                self.snapshot += 1;
            } else {
                self.nameless += 1;
                self.first_nameless.get_or_insert((place.partition, place.offset));
            }
            return;
        };
        let (low, high) = self.lineages.unwrap_or((lineage, lineage));
        self.lineages = Some((low.min(lineage), high.max(lineage)));
        if id.commit_lsn < range.start {
            self.outside[0] += 1;
            return;
        }
        if id.commit_lsn >= range.end {
            self.outside[1] += 1;
            return;
        }
        let first = self.partitions.get(place.partition).map_or(0, |partition| partition.low);
        let Ok(offset) = u32::try_from(place.offset - first) else {
            self.too_large.get_or_insert("an offset");
            return;
        };
        let observed = Observed {
            id,
            key: record.key.map_or(0, key::of_record),
            offset,
            partition: place.partition as u16,
            op: op(record.value),
        };
        if let Some(records) = self.records.get_mut(place.partition) {
            records.push(observed);
        }
    }
}

fn op(value: Option<&[u8]>) -> Op {
    if value.is_none() {
        return Op::Tombstone;
    }
    match op_byte(value) {
        Some(b'c') => Op::Create,
        Some(b'u') => Op::Update,
        Some(b'd') => Op::Delete,
        Some(b't') => Op::Truncate,
        _ => Op::Unknown,
    }
}

/// The one letter behind the last `"op":"`.
fn op_byte(value: Option<&[u8]>) -> Option<u8> {
    let value = value?;
    let at = value.windows(OP.len()).rposition(|window| window == OP)?;
    value.get(at + OP.len()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdcd_debezium::record::Header;

    const ROW: &[u8] =
        br#"{"before":null,"after":{"op":"x","v":"\"op\":\"y\""},"source":{},"op":"u","ts_ms":1}"#;

    fn contents() -> Contents {
        let partition = Partition { topic: "t".to_owned(), partition: 0, low: 10, high: 99, of: 1 };
        Contents { partitions: vec![partition], records: vec![Vec::new()], ..Contents::default() }
    }

    fn take(contents: &mut Contents, offset: i64, value: Option<&[u8]>, header: Option<&[u8]>) {
        let header = [Header { name: EID, value: header }];
        let headers = if header[0].value.is_some() { header.as_slice() } else { &[] };
        let record = Record {
            topic: "t",
            partition: Some(0),
            timestamp_ms: None,
            key: Some(br#"{"id":1}"#),
            value,
            headers,
        };
        contents.take(Place { partition: 0, offset }, &record, Lsn(100)..Lsn(200));
    }

    fn header(lineage: u32, lsn: u64) -> Vec<u8> {
        [&lineage.to_be_bytes()[..], &lsn.to_be_bytes(), &5u64.to_be_bytes(), &[0]].concat()
    }

    #[test]
    fn the_operation_is_the_envelopes_not_a_columns() {
        assert_eq!(op(Some(ROW)), Op::Update);
        assert_eq!(op(None), Op::Tombstone);
        assert_eq!(op(Some(b"\0\0\0\0\x01")), Op::Unknown);
    }

    #[test]
    fn only_what_committed_between_the_positions_is_compared() {
        let mut contents = contents();
        for (offset, lsn) in [(10, 99), (11, 100), (12, 199), (13, 200)] {
            take(&mut contents, offset, Some(ROW), Some(&header(offset as u32, lsn)));
        }
        let kept: Vec<u32> = contents.records[0].iter().map(|record| record.offset).collect();
        assert_eq!((kept, contents.outside, contents.lineages), (vec![1, 2], [1, 1], Some((10, 13))));
    }

    #[test]
    fn a_record_without_event_id_is_counted_unless_it_is_a_row_of_a_snapshot() {
        let mut contents = contents();
        take(&mut contents, 10, Some(br#"{"op":"r"}"#), None);
        take(&mut contents, 11, None, None);
        take(&mut contents, 12, Some(ROW), Some(b"short"));
        let nameless = (contents.nameless, contents.first_nameless);
        assert_eq!((contents.snapshot, nameless), (1, (2, Some((0, 11)))));
    }
}
