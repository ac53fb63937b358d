//! The frames of the streaming replication protocol, inside CopyData.
//!
//! Source: PostgreSQL 18, "Streaming Replication Protocol".

use crate::error::{DecodeError, ErrorKind};
use crate::lsn::Lsn;
use crate::reader::Reader;

/// What the server sends inside CopyData.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// WAL data: for pgoutput exactly one message.
    XLogData(XLogData<'a>),
    /// A keepalive.
    Keepalive(PrimaryKeepalive),
}

/// `| 'w' | wal_start u64 | wal_end u64 | sent_at i64 (µs since 2000-01-01) | body … |`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XLogData<'a> {
    /// LSN of the change; 0 for Relation and Type messages.
    pub wal_start: Lsn,
    /// The server's current end of WAL.
    pub wal_end: Lsn,
    /// Server time of sending.
    pub sent_at: i64,
    /// The pgoutput message.
    pub body: &'a [u8],
}

/// `| 'k' | wal_end u64 | sent_at i64 (µs since 2000-01-01) | reply_requested u8 |`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrimaryKeepalive {
    /// Up to here everything that concerns this slot has been sent.
    pub wal_end: Lsn,
    /// Server time of sending.
    pub sent_at: i64,
    /// The server wants a status update at once, or it will close the connection.
    pub reply_requested: bool,
}

impl<'a> Frame<'a> {
    /// Reads one CopyData payload.
    ///
    /// # Errors
    /// An unknown frame tag, an early end or trailing bytes.
    #[inline]
    pub fn read(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        match reader.tag()? {
            b'w' => Ok(Frame::XLogData(XLogData {
                wal_start: reader.lsn("wal start")?,
                wal_end: reader.lsn("wal end")?,
                sent_at: reader.i64("send time")?,
                body: reader.rest(),
            })),
            b'k' => {
                let keepalive = PrimaryKeepalive {
                    wal_end: reader.lsn("wal end")?,
                    sent_at: reader.i64("send time")?,
                    reply_requested: reader.u8("reply requested")? == 1,
                };
                reader.finish()?;
                Ok(Frame::Keepalive(keepalive))
            }
            other => Err(reader.error("frame tag", 0, ErrorKind::UnknownTag(other))),
        }
    }
}

/// What we tell the server: how far we are. 34 bytes.
///
/// `| 'r' | written u64 | flushed u64 | applied u64 | sent_at i64 (µs since 2000-01-01) | reply_requested u8 |`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandbyStatusUpdate {
    /// Highest LSN received.
    pub written: Lsn,
    /// Everything before this is durable on our side: the server may forget it.
    pub flushed: Lsn,
    /// Our clock.
    pub sent_at: i64,
    /// Ask for a keepalive in return.
    pub reply_requested: bool,
}

impl StandbyStatusUpdate {
    /// The CopyData payload.
    pub fn to_bytes(self) -> [u8; 34] {
        let mut bytes = [0; 34];
        let fields: [&[u8]; 6] = [
            b"r",
            &self.written.0.to_be_bytes(),
            &self.flushed.0.to_be_bytes(),
            &self.flushed.0.to_be_bytes(),
            &self.sent_at.to_be_bytes(),
            &[u8::from(self.reply_requested)],
        ];
        for (slot, byte) in bytes.iter_mut().zip(fields.into_iter().flatten()) {
            *slot = *byte;
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_update_has_the_layout_of_the_manual() {
        let bytes = StandbyStatusUpdate {
            written: Lsn(0x0102),
            flushed: Lsn(0x0304),
            sent_at: 5,
            reply_requested: true,
        }
        .to_bytes();
        assert_eq!(
            bytes,
            [
                b'r', 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 3, 4, 0, 0, 0, 0, 0, 0, 3, 4, 0, 0, 0, 0, 0,
                0, 0, 5, 1
            ]
        );
    }

    #[test]
    fn unknown_and_truncated_frames_are_errors() {
        assert!(matches!(Frame::read(b"x"), Err(DecodeError { kind: ErrorKind::UnknownTag(b'x'), .. })));
        assert!(matches!(Frame::read(b"k123"), Err(DecodeError { kind: ErrorKind::UnexpectedEnd, .. })));
        assert!(Frame::read(&[b'k', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 9]).is_err());
    }
}
