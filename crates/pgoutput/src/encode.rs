//! Writes pgoutput messages: the other half of the decoder, for tests, benches and the simulation.
//!
//! Infallible: lengths beyond the wire's range are a caller's bug and are cut by debug assertions.

use crate::message::{Begin, Commit, Delete, Insert, Logical, Message, Old, Truncate, Update};
use crate::relation::{Relation, ReplicaIdentity};
use crate::tuple::{Column, Tuple, Value};

/// Owns a row, so that it can be given to [`message`] as a [`Tuple`].
#[derive(Debug, Default, Clone)]
pub struct TupleBuffer {
    payload: Vec<u8>,
    columns: Vec<Column>,
}

impl TupleBuffer {
    /// A row with these values.
    pub fn new<'a>(values: impl IntoIterator<Item = Value<'a>>) -> Self {
        let mut buffer = TupleBuffer::default();
        for value in values {
            let (kind, bytes): (u8, &[u8]) = match value {
                Value::Null => (b'n', &[]),
                Value::UnchangedToast => (b'u', &[]),
                Value::Text(bytes) => (b't', bytes),
                Value::Binary(bytes) => (b'b', bytes),
            };
            let start = buffer.payload.len() as u32;
            buffer.payload.extend_from_slice(bytes);
            buffer.columns.push(Column { kind, start, length: bytes.len() as u32 });
        }
        buffer
    }

    /// A row of text values; `None` is NULL.
    pub fn text<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        Self::new(values.into_iter().map(|value| match value {
            Some(text) => Value::Text(text.as_bytes()),
            None => Value::Null,
        }))
    }

    /// The row.
    pub fn tuple(&self) -> Tuple<'_> {
        Tuple { payload: &self.payload, columns: &self.columns }
    }
}

/// Appends an XLogData frame around `body`.
pub fn xlog_data(out: &mut Vec<u8>, wal_start: u64, wal_end: u64, sent_at: i64, body: &[u8]) {
    out.push(b'w');
    out.extend_from_slice(&wal_start.to_be_bytes());
    out.extend_from_slice(&wal_end.to_be_bytes());
    out.extend_from_slice(&sent_at.to_be_bytes());
    out.extend_from_slice(body);
}

/// Appends one message.
pub fn message(out: &mut Vec<u8>, message: &Message<'_>) {
    match message {
        Message::Begin(Begin { final_lsn, committed_at, xid }) => {
            out.push(b'B');
            out.extend_from_slice(&final_lsn.0.to_be_bytes());
            out.extend_from_slice(&committed_at.to_be_bytes());
            out.extend_from_slice(&xid.to_be_bytes());
        }
        Message::Commit(commit) => {
            out.push(b'C');
            write_commit(out, commit);
        }
        Message::Origin(origin) => {
            out.push(b'O');
            out.extend_from_slice(&origin.origin_lsn.0.to_be_bytes());
            cstr(out, origin.name);
        }
        Message::Relation(relation) => write_relation(out, relation),
        Message::Type(ty) => {
            out.push(b'Y');
            xid(out, ty.xid);
            out.extend_from_slice(&ty.oid.to_be_bytes());
            cstr(out, ty.namespace);
            cstr(out, ty.name);
        }
        Message::Insert(Insert { xid: id, relation, new }) => {
            change(out, b'I', *id, *relation);
            out.push(b'N');
            write_tuple(out, new);
        }
        Message::Update(Update { xid: id, relation, old, new }) => {
            change(out, b'U', *id, *relation);
            write_old(out, old);
            out.push(b'N');
            write_tuple(out, new);
        }
        Message::Delete(Delete { xid: id, relation, old }) => {
            change(out, b'D', *id, *relation);
            write_old(out, old);
        }
        Message::Truncate(truncate) => write_truncate(out, truncate),
        Message::Logical(logical) => write_logical(out, logical),
        Message::StreamStart { xid, first } => {
            out.push(b'S');
            out.extend_from_slice(&xid.to_be_bytes());
            out.push(u8::from(*first));
        }
        Message::StreamStop => out.push(b'E'),
        Message::StreamCommit { xid, commit } => {
            out.push(b'c');
            out.extend_from_slice(&xid.to_be_bytes());
            write_commit(out, commit);
        }
        Message::StreamAbort { xid, sub_xid, abort } => {
            out.push(b'A');
            out.extend_from_slice(&xid.to_be_bytes());
            out.extend_from_slice(&sub_xid.to_be_bytes());
            if let Some((lsn, at)) = abort {
                out.extend_from_slice(&lsn.0.to_be_bytes());
                out.extend_from_slice(&at.to_be_bytes());
            }
        }
        Message::TwoPhase(two_phase) => write_two_phase(out, two_phase),
    }
}

fn write_two_phase(out: &mut Vec<u8>, two_phase: &crate::message::TwoPhase<'_>) {
    use crate::message::TwoPhaseKind::{
        BeginPrepare, CommitPrepared, Prepare, RollbackPrepared, StreamPrepare,
    };
    out.push(match two_phase.kind {
        BeginPrepare => b'b',
        Prepare => b'P',
        CommitPrepared => b'K',
        RollbackPrepared => b'r',
        StreamPrepare => b'p',
    });
    if two_phase.kind != BeginPrepare {
        out.push(0);
    }
    out.extend_from_slice(&two_phase.lsn.0.to_be_bytes());
    out.extend_from_slice(&two_phase.end_lsn.0.to_be_bytes());
    if two_phase.kind == RollbackPrepared {
        out.extend_from_slice(&0i64.to_be_bytes());
    }
    out.extend_from_slice(&two_phase.at.to_be_bytes());
    out.extend_from_slice(&two_phase.xid.to_be_bytes());
    cstr(out, two_phase.gid);
}

fn write_commit(out: &mut Vec<u8>, commit: &Commit) {
    out.push(0);
    out.extend_from_slice(&commit.commit_lsn.0.to_be_bytes());
    out.extend_from_slice(&commit.end_lsn.0.to_be_bytes());
    out.extend_from_slice(&commit.committed_at.to_be_bytes());
}

fn write_relation(out: &mut Vec<u8>, relation: &Relation<'_>) {
    out.push(b'R');
    xid(out, relation.xid);
    out.extend_from_slice(&relation.oid.to_be_bytes());
    cstr(out, relation.namespace);
    cstr(out, relation.name);
    out.push(match relation.replica_identity {
        ReplicaIdentity::Default => b'd',
        ReplicaIdentity::Nothing => b'n',
        ReplicaIdentity::Full => b'f',
        ReplicaIdentity::Index => b'i',
    });
    out.extend_from_slice(&(relation.columns.len() as u16).to_be_bytes());
    for column in &relation.columns {
        out.push(u8::from(column.is_key));
        cstr(out, column.name);
        out.extend_from_slice(&column.type_oid.to_be_bytes());
        out.extend_from_slice(&column.type_modifier.to_be_bytes());
    }
}

fn write_truncate(out: &mut Vec<u8>, truncate: &Truncate) {
    out.push(b'T');
    xid(out, truncate.xid);
    out.extend_from_slice(&(truncate.relations.len() as u32).to_be_bytes());
    out.push(u8::from(truncate.cascade) | u8::from(truncate.restart_identity) << 1);
    for oid in &truncate.relations {
        out.extend_from_slice(&oid.to_be_bytes());
    }
}

fn write_logical(out: &mut Vec<u8>, logical: &Logical<'_>) {
    out.push(b'M');
    xid(out, logical.xid);
    out.push(u8::from(logical.transactional));
    out.extend_from_slice(&logical.lsn.0.to_be_bytes());
    cstr(out, logical.prefix);
    out.extend_from_slice(&(logical.content.len() as u32).to_be_bytes());
    out.extend_from_slice(logical.content);
}

fn change(out: &mut Vec<u8>, tag: u8, id: Option<u32>, relation: u32) {
    out.push(tag);
    xid(out, id);
    out.extend_from_slice(&relation.to_be_bytes());
}

fn write_old(out: &mut Vec<u8>, old: &Old<'_>) {
    match old {
        Old::Absent => {}
        Old::Key(tuple) => {
            out.push(b'K');
            write_tuple(out, tuple);
        }
        Old::Row(tuple) => {
            out.push(b'O');
            write_tuple(out, tuple);
        }
    }
}

fn write_tuple(out: &mut Vec<u8>, tuple: &Tuple<'_>) {
    out.extend_from_slice(&(tuple.len() as u16).to_be_bytes());
    for value in tuple.iter() {
        match value {
            Value::Null => out.push(b'n'),
            Value::UnchangedToast => out.push(b'u'),
            Value::Text(bytes) => counted(out, b't', bytes),
            Value::Binary(bytes) => counted(out, b'b', bytes),
        }
    }
}

fn counted(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    debug_assert!(i32::try_from(bytes.len()).is_ok());
    out.push(kind);
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn xid(out: &mut Vec<u8>, id: Option<u32>) {
    if let Some(id) = id {
        out.extend_from_slice(&id.to_be_bytes());
    }
}

fn cstr(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}
