//! XLogData body to [`Message`].

use crate::error::{DecodeError, ErrorKind};
use crate::message::{
    Begin, Commit, Delete, Insert, Logical, Message, Old, Origin, Truncate, TwoPhase, TwoPhaseKind, Type,
    Update,
};
use crate::reader::Reader;
use crate::relation::Relation;
use crate::tuple::{Column, Tuple};

/// Decodes the messages of one replication stream, protocol 1 to 4.
///
/// Keeps the buffer of column places, so that a row costs no allocation, and knows whether a streamed
/// block is open, because only there changes carry a transaction id.
#[derive(Debug, Default)]
pub struct Decoder {
    columns: Vec<Column>,
    in_stream_block: bool,
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new() -> Self {
        Decoder::default()
    }

    /// Decodes one XLogData body.
    ///
    /// # Errors
    /// [`DecodeError`] for anything that is not exactly one message: unknown tags, bad lengths, an early
    /// end, trailing bytes. The decoder can go on with the next body afterwards.
    #[inline]
    pub fn decode<'a>(&'a mut self, body: &'a [u8]) -> Result<Message<'a>, DecodeError> {
        let mut reader = Reader::new(body);
        self.columns.clear();
        match reader.tag()? {
            b'I' => self.insert(body, reader),
            b'U' => self.update(body, reader),
            b'D' => self.delete(body, reader),
            tag => self.other(tag, reader),
        }
    }

    #[inline]
    fn xid(&self, reader: &mut Reader<'_>) -> Result<Option<u32>, DecodeError> {
        if self.in_stream_block { reader.u32("xid").map(Some) } else { Ok(None) }
    }

    #[inline]
    fn insert<'a>(&'a mut self, body: &'a [u8], mut r: Reader<'a>) -> Result<Message<'a>, DecodeError> {
        let xid = self.xid(&mut r)?;
        let relation = r.u32("relation oid")?;
        expect_tag(&mut r, "new tuple", b'N')?;
        read_tuple(&mut r, &mut self.columns, "new tuple")?;
        r.finish()?;
        Ok(Message::Insert(Insert { xid, relation, new: Tuple { payload: body, columns: &self.columns } }))
    }

    #[inline]
    fn update<'a>(&'a mut self, body: &'a [u8], mut r: Reader<'a>) -> Result<Message<'a>, DecodeError> {
        let xid = self.xid(&mut r)?;
        let relation = r.u32("relation oid")?;
        let at = r.position();
        let kind = r.u8("tuple tag")?;
        match kind {
            b'K' | b'O' => {
                read_tuple(&mut r, &mut self.columns, "old tuple")?;
                expect_tag(&mut r, "new tuple", b'N')?;
            }
            b'N' => {}
            other => return Err(r.error("tuple tag", at, ErrorKind::UnknownTag(other))),
        }
        let old_columns = self.columns.len();
        read_tuple(&mut r, &mut self.columns, "new tuple")?;
        r.finish()?;
        let (old, new) = self.columns.split_at(old_columns);
        let old = Tuple { payload: body, columns: old };
        Ok(Message::Update(Update {
            xid,
            relation,
            old: match kind {
                b'K' => Old::Key(old),
                b'O' => Old::Row(old),
                _ => Old::Absent,
            },
            new: Tuple { payload: body, columns: new },
        }))
    }

    #[inline]
    fn delete<'a>(&'a mut self, body: &'a [u8], mut r: Reader<'a>) -> Result<Message<'a>, DecodeError> {
        let xid = self.xid(&mut r)?;
        let relation = r.u32("relation oid")?;
        let at = r.position();
        let kind = r.u8("tuple tag")?;
        if kind != b'K' && kind != b'O' {
            return Err(r.error("tuple tag", at, ErrorKind::UnknownTag(kind)));
        }
        read_tuple(&mut r, &mut self.columns, "old tuple")?;
        r.finish()?;
        let old = Tuple { payload: body, columns: &self.columns };
        let old = if kind == b'K' { Old::Key(old) } else { Old::Row(old) };
        Ok(Message::Delete(Delete { xid, relation, old }))
    }

    fn other<'a>(&'a mut self, tag: u8, mut r: Reader<'a>) -> Result<Message<'a>, DecodeError> {
        let message = match tag {
            b'B' => Message::Begin(Begin {
                final_lsn: r.lsn("final lsn")?,
                committed_at: r.i64("commit time")?,
                xid: r.u32("xid")?,
            }),
            b'C' => Message::Commit(read_commit(&mut r)?),
            b'O' => {
                Message::Origin(Origin { origin_lsn: r.lsn("origin lsn")?, name: r.cstr("origin name")? })
            }
            b'R' => {
                let xid = self.xid(&mut r)?;
                Message::Relation(Relation::read(&mut r, xid)?)
            }
            b'Y' => Message::Type(Type {
                xid: self.xid(&mut r)?,
                oid: r.u32("type oid")?,
                namespace: r.cstr("namespace")?,
                name: r.cstr("type name")?,
            }),
            b'T' => Message::Truncate(self.truncate(&mut r)?),
            b'M' => Message::Logical(Logical {
                xid: self.xid(&mut r)?,
                transactional: r.u8("flags")? & 1 == 1,
                lsn: r.lsn("message lsn")?,
                prefix: r.cstr("prefix")?,
                content: r.counted_bytes("content")?,
            }),
            b'S' => Message::StreamStart { xid: r.u32("xid")?, first: r.u8("first segment")? == 1 },
            b'E' => Message::StreamStop,
            b'c' => Message::StreamCommit { xid: r.u32("xid")?, commit: read_commit(&mut r)? },
            b'A' => Message::StreamAbort {
                xid: r.u32("xid")?,
                sub_xid: r.u32("subtransaction xid")?,
                abort: match r.remaining() {
                    0 => None,
                    _ => Some((r.lsn("abort lsn")?, r.i64("abort time")?)),
                },
            },
            b'b' | b'P' | b'K' | b'r' | b'p' => Message::TwoPhase(read_two_phase(tag, &mut r)?),
            unknown => return Err(r.error("message tag", 0, ErrorKind::UnknownTag(unknown))),
        };
        r.finish()?;
        match &message {
            Message::StreamStart { .. } => self.in_stream_block = true,
            Message::StreamStop => self.in_stream_block = false,
            _ => {}
        }
        Ok(message)
    }

    fn truncate(&self, r: &mut Reader<'_>) -> Result<Truncate, DecodeError> {
        let xid = self.xid(r)?;
        let count = r.u32("number of relations")?;
        let options = r.u8("options")?;
        // Each relation takes four bytes, so a lying count cannot make us reserve much.
        let mut relations = Vec::with_capacity((count as usize).min(r.remaining() / 4));
        for _ in 0..count {
            relations.push(r.u32("relation oid")?);
        }
        Ok(Truncate { xid, cascade: options & 1 != 0, restart_identity: options & 2 != 0, relations })
    }
}

#[inline]
fn expect_tag(r: &mut Reader<'_>, field: &'static str, expected: u8) -> Result<(), DecodeError> {
    let at = r.position();
    match r.u8(field)? {
        tag if tag == expected => Ok(()),
        other => Err(r.error(field, at, ErrorKind::UnknownTag(other))),
    }
}

#[inline]
fn read_tuple(r: &mut Reader<'_>, columns: &mut Vec<Column>, field: &'static str) -> Result<(), DecodeError> {
    let count = usize::from(r.u16(field)?);
    columns.reserve(count);
    for _ in 0..count {
        let at = r.position();
        let kind = r.u8(field)?;
        let column = match kind {
            b't' | b'b' => {
                let (start, length) = r.counted(field)?;
                Column { kind, start: start as u32, length: length as u32 }
            }
            b'n' | b'u' => Column { kind, start: 0, length: 0 },
            other => return Err(r.error(field, at, ErrorKind::UnknownTag(other))),
        };
        columns.push(column);
    }
    Ok(())
}

fn read_commit(r: &mut Reader<'_>) -> Result<Commit, DecodeError> {
    r.u8("flags")?;
    Ok(Commit {
        commit_lsn: r.lsn("commit lsn")?,
        end_lsn: r.lsn("end lsn")?,
        committed_at: r.i64("commit time")?,
    })
}

fn read_two_phase<'a>(tag: u8, r: &mut Reader<'a>) -> Result<TwoPhase<'a>, DecodeError> {
    let kind = match tag {
        b'b' => TwoPhaseKind::BeginPrepare,
        b'P' => TwoPhaseKind::Prepare,
        b'K' => TwoPhaseKind::CommitPrepared,
        b'r' => TwoPhaseKind::RollbackPrepared,
        _ => TwoPhaseKind::StreamPrepare,
    };
    if kind != TwoPhaseKind::BeginPrepare {
        r.u8("flags")?;
    }
    let lsn = r.lsn("lsn")?;
    let end_lsn = r.lsn("end lsn")?;
    if kind == TwoPhaseKind::RollbackPrepared {
        r.i64("prepare time")?;
    }
    Ok(TwoPhase { kind, lsn, end_lsn, at: r.i64("time")?, xid: r.u32("xid")?, gid: r.cstr("gid")? })
}
