//! The position record: the one authority on how far a connector is.
//!
//! It lives in the compacted topic `__cdcd_position.<name>`, one partition, as JSON. A position is
//! (commit LSN, ordinal); an LSN alone identifies nothing, because all rows of one COPY share one.

use std::collections::BTreeMap;
use std::fmt;

use cdcd_pgoutput::Lsn;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::Error;

/// Version of the record's layout.
pub const VERSION: u32 = 1;

/// Name of the topic that holds the position of connector `name`.
pub fn topic(name: &str) -> String {
    format!("__cdcd_position.{name}")
}

/// How events reach Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guarantee {
    /// A crash may repeat what was not yet covered by a position.
    AtLeastOnce,
    /// Data and position in one Kafka transaction.
    ExactlyOnce,
}

/// An LSN that is written as PostgreSQL prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LsnText(pub Lsn);

impl Serialize for LsnText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for LsnText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(LsnText).map_err(de::Error::custom)
    }
}

/// What a restart needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Layout version.
    pub v: u32,
    /// Counts the accepted discontinuities.
    pub lineage: u32,
    /// `system_identifier` of the server.
    pub system_id: String,
    /// Timeline of the server.
    pub timeline: u32,
    /// OID of the database.
    pub db_oid: u32,
    /// Replication slot.
    pub slot: String,
    /// Publication.
    pub publication: String,
    /// Every transaction that ends at or before this LSN is in Kafka.
    pub done_end_lsn: LsnText,
    /// End LSN of the last transaction that had a commit, for `source.sequence`.
    pub last_commit_lsn: Option<LsnText>,
    /// Its time, µs since 1970: messages outside of transactions have no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_commit_us: Option<i64>,
    /// A transaction of which a part is in Kafka.
    pub open: Option<OpenTransaction>,
    /// A snapshot that is not complete, or that the stream is not past yet.
    pub snapshot: Option<SnapshotProgress>,
    /// How events reach Kafka.
    pub guarantee: Guarantee,
    /// Options of START_REPLICATION, so that ordinals mean the same on replay.
    pub stream_options: String,
    /// Id of the Kafka cluster; empty if it has none.
    pub cluster_id: String,
    /// Topics of this connector that exist, with their ids: one that was made anew has lost its records.
    pub topics: BTreeMap<String, String>,
    /// The process that wrote this, by its run id.
    pub writer: String,
    /// Counts the processes that took over.
    pub writer_epoch: u64,
    /// Our clock, ms since 1970; for people.
    pub wall_ms: i64,
}

/// The part of a transaction that is in Kafka already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTransaction {
    /// Commit LSN of the transaction.
    pub commit_lsn: LsnText,
    /// Transaction id.
    pub xid: u32,
    /// Ordinal of the first change that is not in Kafka.
    pub ordinal_next: u64,
    /// Over the changes before it: on replay they must be the same.
    pub prefix_hash: PrefixHash,
    /// What was counted of them for transaction metadata, if its BEGIN is in Kafka.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
}

/// Events of a transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All of them.
    pub events: u64,
    /// The same by table, in order of their first events.
    pub collections: Vec<(String, u64)>,
}

/// A running hash over the data messages of a transaction: where in the log each stands, its kind and its length.
///
/// Not its bytes: what the server sends for one place in the log can differ in what is sent (another
/// publication, another column list), and that shows in these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixHash(u64);

impl Default for PrefixHash {
    fn default() -> Self {
        // FNV's 64-bit offset basis.
        PrefixHash(0xcbf2_9ce4_8422_2325)
    }
}

impl PrefixHash {
    /// Adds one message.
    #[inline]
    pub fn add(&mut self, lsn: Lsn, body: &[u8]) {
        let kind = body.first().copied().unwrap_or_default();
        self.mix(lsn.0);
        self.mix((body.len() as u64) << 8 | u64::from(kind));
    }

    /// FNV-1a on whole words; the rotation brings high bits down again.
    #[inline]
    fn mix(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
    }
}

impl Serialize for PrefixHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0))
    }
}

impl<'de> Deserialize<'de> for PrefixHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map(PrefixHash).map_err(de::Error::custom)
    }
}

/// How far a snapshot is, and what its attempts mean for the stream behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotProgress {
    /// Where streaming starts afterwards, and `source.lsn` of the rows.
    pub consistent_point: LsnText,
    /// How often the snapshot was begun, from 1.
    pub attempt: u32,
    /// In the order in which they are read.
    pub tables: Vec<TableProgress>,
    /// When the attempts read that did not read as of the consistent point.
    pub moments: BTreeMap<u32, Moment>,
    /// All tables are done; this is kept until the stream is past what the attempts have seen.
    pub complete: bool,
}

/// How far one table is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableProgress {
    /// OID: another one under the same name is another table.
    pub oid: u32,
    /// `schema.table`
    pub name: String,
    /// Columns of the key in whose order it is read; empty if it is read as a whole.
    pub key: Vec<String>,
    /// What is in Kafka, in the order of the key.
    pub parts: Vec<Part>,
    /// Whether the last part goes to the end.
    pub done: bool,
}

/// A range of keys that one attempt read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Which attempt.
    pub attempt: u32,
    /// Key of the last row; `None` if it goes to the end.
    pub upto: Option<Vec<String>>,
}

/// What an attempt has seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// `pg_current_snapshot()`
    pub snapshot: String,
    /// End of the log afterwards: what commits behind it was not visible.
    pub horizon: LsnText,
}

impl SnapshotProgress {
    /// Records the key of the last row that was written, or that there is no further row.
    pub(crate) fn advance(&mut self, table: usize, upto: Option<Vec<String>>) {
        let attempt = self.attempt;
        let Some(table) = self.tables.get_mut(table) else { return };
        table.done = upto.is_none();
        match table.parts.last_mut() {
            Some(part) if part.attempt == attempt => part.upto = upto,
            _ => table.parts.push(Part { attempt, upto }),
        }
    }
}

impl Position {
    /// The record's value.
    pub fn encode(&self) -> Vec<u8> {
        // Only strings and numbers: serialization cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a record's value.
    ///
    /// # Errors
    /// [`Error::Position`] if it is not a position, or one of a later version of `cdcd`.
    pub fn decode(value: &[u8]) -> Result<Self, Error> {
        let position: Position =
            serde_json::from_slice(value).map_err(|error| Error::Position(error.to_string()))?;
        if position.v > VERSION {
            return Err(Error::Position(format!(
                "it has layout {} and this cdcd knows {VERSION}: a later cdcd wrote it",
                position.v
            )));
        }
        Ok(position)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.done_end_lsn.0)?;
        if let Some(open) = &self.open {
            write!(f, " and {} changes of {}", open.ordinal_next, open.commit_lsn.0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position() -> Position {
        Position {
            v: VERSION,
            lineage: 0,
            system_id: "7400000000000000000".to_owned(),
            timeline: 1,
            db_oid: 5,
            slot: "debezium".to_owned(),
            publication: "dbz_publication".to_owned(),
            done_end_lsn: LsnText(Lsn(0x16_B374_D848)),
            last_commit_lsn: None,
            last_commit_us: Some(1_795_170_020_989_740),
            open: Some(OpenTransaction {
                commit_lsn: LsnText(Lsn(0x16_B374_D900)),
                xid: 7,
                ordinal_next: 3,
                prefix_hash: PrefixHash::default(),
                counts: Some(Counts { events: 2, collections: vec![("public.t".to_owned(), 2)] }),
            }),
            snapshot: Some(SnapshotProgress {
                consistent_point: LsnText(Lsn(1)),
                attempt: 2,
                tables: vec![TableProgress {
                    oid: 16384,
                    name: "public.t".to_owned(),
                    key: vec!["id".to_owned()],
                    parts: vec![Part { attempt: 1, upto: Some(vec!["7".to_owned()]) }],
                    done: false,
                }],
                moments: BTreeMap::from([(
                    2,
                    Moment { snapshot: "750:760:752".to_owned(), horizon: LsnText(Lsn(9)) },
                )]),
                complete: false,
            }),
            guarantee: Guarantee::AtLeastOnce,
            stream_options: "proto_version '1'".to_owned(),
            cluster_id: "4L6g3nShT-eMCtK--X86sw".to_owned(),
            topics: BTreeMap::from([("srv.public.t".to_owned(), "Yu3hQ0cvT8i7W1m0mP8Hhw".to_owned())]),
            writer: "run".to_owned(),
            writer_epoch: 3,
            wall_ms: 0,
        }
    }

    #[test]
    fn positions_round_trip_as_readable_json() {
        let encoded = position().encode();
        assert!(String::from_utf8_lossy(&encoded).contains(r#""done_end_lsn":"16/B374D848""#));
        assert_eq!(Position::decode(&encoded).unwrap(), position());
    }

    #[test]
    fn a_position_of_a_later_version_is_refused() {
        let later = Position { v: VERSION + 1, ..position() };
        assert!(Position::decode(&later.encode()).is_err());
        assert!(Position::decode(b"{}").is_err());
    }
}
