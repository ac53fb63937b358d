//! Generator of replication streams.
//!
//! Each stream is a list of CopyData payloads (XLogData frames) as a walsender sends them.

use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::encode::{self, TupleBuffer};
use cdcd_pgoutput::message::{Begin, Commit, Delete, Insert, Message, Old, Update};
use cdcd_pgoutput::relation::{Relation, RelationColumn, ReplicaIdentity};
use cdcd_pgoutput::tuple::Value;

/// OID of the one table of every stream.
pub const TABLE: u32 = 16_384;

/// Messages that a stream holds at least; about 10 to 60 MB, more than the processor's caches.
const MESSAGES: usize = 60_000;

/// Length of the XLogData header before the message.
pub const HEADER: usize = 25;

/// A column: name, type OID, type modifier, part of the key.
pub type Column = (&'static str, u32, i32, bool);

/// One generated stream.
pub struct Stream {
    /// Name in reports.
    pub name: &'static str,
    /// CopyData payloads in order.
    pub frames: Vec<Vec<u8>>,
    /// Columns of its table.
    pub columns: Vec<Column>,
}

impl Stream {
    /// Bytes of all payloads.
    pub fn bytes(&self) -> u64 {
        self.frames.iter().map(|frame| frame.len() as u64).sum()
    }

    /// pgoutput messages without the XLogData header.
    pub fn bodies(&self) -> impl Iterator<Item = &[u8]> {
        self.frames.iter().map(|frame| frame.get(HEADER..).unwrap_or_default())
    }
}

/// The account table: bigint key, int, numeric, text, null, bool, timestamptz, padded char.
const ACCOUNT: [Column; 8] = [
    ("aid", 20, -1, true),
    ("bid", 23, -1, false),
    ("abalance", 1700, (12 << 16 | 2) + 4, false),
    ("name", 25, -1, false),
    ("email", 25, -1, false),
    ("active", 16, -1, false),
    ("created_at", 1184, -1, false),
    ("filler", 1042, 88, false),
];

/// 10-row transactions: 60 % inserts, 35 % updates and 5 % deletes with replica identity FULL.
pub fn mixed() -> Stream {
    let mut writer = Writer::new("mixed", ACCOUNT.to_vec());
    let mut random = Random(42);
    while writer.frames.len() < MESSAGES {
        writer.transaction(10, |writer| {
            let aid = random.below(1 << 40);
            let new = account(aid, &mut random);
            match random.below(100) {
                0..60 => writer.insert(&new),
                60..95 => {
                    let old = account(aid, &mut random);
                    writer.change(&Message::Update(Update {
                        xid: None,
                        relation: TABLE,
                        old: Old::Row(old.tuple()),
                        new: new.tuple(),
                    }));
                }
                _ => writer.change(&Message::Delete(Delete {
                    xid: None,
                    relation: TABLE,
                    old: Old::Row(new.tuple()),
                })),
            }
        });
    }
    writer.finish()
}

/// 64 columns of mixed types, 100-row transactions of inserts.
pub fn wide() -> Stream {
    let types: [(u32, i32); 4] = [(20, -1), (25, -1), (1114, -1), (701, -1)];
    let names: Vec<&'static str> =
        (0..64).map(|index| &*Box::leak(format!("c{index}").into_boxed_str())).collect();
    let columns = names.iter().enumerate().map(|(index, name)| {
        let (oid, typmod) = types.get(index % 4).copied().unwrap_or((25, -1));
        (*name, oid, typmod, index == 0)
    });
    let mut writer = Writer::new("wide", columns.collect());
    let mut random = Random(7);
    while writer.frames.len() < MESSAGES / 8 {
        writer.transaction(100, |writer| {
            let texts: Vec<String> = (0..64)
                .map(|index| match index % 4 {
                    0 => random.below(1 << 50).to_string(),
                    1 => format!("value {}", random.below(1_000_000)),
                    2 => timestamp(&mut random),
                    _ => format!("{}.{}", random.below(1000), random.below(1000)),
                })
                .collect();
            writer.insert(&TupleBuffer::text(texts.iter().map(|text| Some(text.as_str()))));
        });
    }
    writer.finish()
}

/// Updates that leave a large column untouched: the hole that TOAST makes.
pub fn toast_hole() -> Stream {
    let columns = vec![("id", 20, -1, true), ("touched", 23, -1, false), ("document", 3802, -1, false)];
    let mut writer = Writer::new("toast_hole", columns);
    let mut random = Random(9);
    while writer.frames.len() < MESSAGES {
        writer.transaction(10, |writer| {
            let (id, touched) = (random.below(1 << 30).to_string(), random.below(1000).to_string());
            let new = TupleBuffer::new([
                Value::Text(id.as_bytes()),
                Value::Text(touched.as_bytes()),
                Value::UnchangedToast,
            ]);
            let update = Update { xid: None, relation: TABLE, old: Old::Absent, new: new.tuple() };
            writer.change(&Message::Update(update));
        });
    }
    writer.finish()
}

/// One insert a transaction: Begin and Commit weigh the most.
pub fn one_row() -> Stream {
    let mut writer = Writer::new("one_row", ACCOUNT.to_vec());
    let mut random = Random(3);
    while writer.frames.len() < MESSAGES {
        writer.transaction(1, |writer| {
            let row = account(random.below(1 << 40), &mut random);
            writer.insert(&row);
        });
    }
    writer.finish()
}

/// All streams.
pub fn all() -> [Stream; 4] {
    [mixed(), wide(), toast_hole(), one_row()]
}

fn account(aid: u64, random: &mut Random) -> TupleBuffer {
    let aid = aid.to_string();
    let bid = random.below(100_000).to_string();
    let balance = format!("{}.{:02}", random.below(1_000_000), random.below(100));
    let name = format!("customer {}", random.below(10_000_000));
    let filler = format!("{:<84}", "filler");
    let created_at = format!("{}+00", timestamp(random));
    TupleBuffer::text([
        Some(aid.as_str()),
        Some(&bid),
        Some(&balance),
        Some(&name),
        None,
        Some(if random.below(2) == 0 { "t" } else { "f" }),
        Some(&created_at),
        Some(&filler),
    ])
}

fn timestamp(random: &mut Random) -> String {
    format!(
        "2026-{:02}-{:02} {:02}:{:02}:{:02}.{:06}",
        1 + random.below(12),
        1 + random.below(28),
        random.below(24),
        random.below(60),
        random.below(60),
        random.below(1_000_000)
    )
}

struct Writer {
    stream: Stream,
    frames: Vec<Vec<u8>>,
    lsn: u64,
    xid: u32,
}

impl Writer {
    fn new(name: &'static str, columns: Vec<Column>) -> Self {
        let stream = Stream { name, frames: Vec::new(), columns };
        Writer { stream, frames: Vec::new(), lsn: 0x16_0000_0000, xid: 700 }
    }

    fn transaction(&mut self, rows: u64, mut row: impl FnMut(&mut Self)) {
        let commit_lsn = Lsn(self.lsn + rows * 200);
        self.xid += 1;
        self.change(&Message::Begin(Begin {
            final_lsn: commit_lsn,
            committed_at: 848_000_000_000_000,
            xid: self.xid,
        }));
        if self.frames.len() == 1 {
            let relation = self.relation();
            self.frames.push(relation);
        }
        for _ in 0..rows {
            row(self);
        }
        self.lsn = commit_lsn.0;
        let end_lsn = Lsn(commit_lsn.0 + 48);
        self.change(&Message::Commit(Commit { commit_lsn, end_lsn, committed_at: 848_000_000_000_000 }));
        self.lsn = end_lsn.0;
    }

    fn relation(&self) -> Vec<u8> {
        let columns = self.stream.columns.iter().map(|(name, type_oid, type_modifier, is_key)| {
            RelationColumn { is_key: *is_key, name, type_oid: *type_oid, type_modifier: *type_modifier }
        });
        let relation = Relation {
            xid: None,
            oid: TABLE,
            namespace: "public",
            name: self.stream.name,
            replica_identity: ReplicaIdentity::Default,
            columns: columns.collect(),
        };
        frame(0, &Message::Relation(relation))
    }

    fn insert(&mut self, row: &TupleBuffer) {
        self.change(&Message::Insert(Insert { xid: None, relation: TABLE, new: row.tuple() }));
    }

    fn change(&mut self, message: &Message<'_>) {
        self.lsn += 120;
        self.frames.push(frame(self.lsn, message));
    }

    fn finish(mut self) -> Stream {
        self.stream.frames = self.frames;
        self.stream
    }
}

fn frame(lsn: u64, message: &Message<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    encode::message(&mut body, message);
    let mut frame = Vec::with_capacity(body.len() + HEADER);
    encode::xlog_data(&mut frame, lsn, lsn, 848_000_000_000_000, &body);
    frame
}

/// A small deterministic generator (xorshift), so that every run sees the same bytes.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}
