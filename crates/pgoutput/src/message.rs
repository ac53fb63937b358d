//! The replication messages of pgoutput.
//!
//! Source: PostgreSQL 18, "Logical Replication Message Formats". Times are microseconds since 2000-01-01 UTC.

use crate::lsn::Lsn;
use crate::relation::Relation;
use crate::tuple::Tuple;

/// One message. Changes carry an `xid` only inside a streamed transaction (protocol 2 and later).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    /// A transaction begins; all of it follows at once.
    Begin(Begin),
    /// The transaction ends.
    Commit(Commit),
    /// The transaction came from another node.
    Origin(Origin<'a>),
    /// Description of a table.
    Relation(Relation<'a>),
    /// Description of a type that is not built in.
    Type(Type<'a>),
    /// A row was inserted.
    Insert(Insert<'a>),
    /// A row was updated.
    Update(Update<'a>),
    /// A row was deleted.
    Delete(Delete<'a>),
    /// Tables were truncated.
    Truncate(Truncate),
    /// `pg_logical_emit_message`.
    Logical(Logical<'a>),
    /// A block of a transaction in progress begins.
    StreamStart {
        /// Top-level transaction.
        xid: u32,
        /// Whether this is the first block of the transaction.
        first: bool,
    },
    /// The block ends.
    StreamStop,
    /// A streamed transaction commits.
    StreamCommit {
        /// Top-level transaction.
        xid: u32,
        /// The commit itself.
        commit: Commit,
    },
    /// A streamed transaction or one of its subtransactions was rolled back.
    StreamAbort {
        /// Top-level transaction.
        xid: u32,
        /// What was rolled back; equal to `xid` for the whole.
        sub_xid: u32,
        /// LSN and time of the abort, only with `streaming = parallel`.
        abort: Option<(Lsn, i64)>,
    },
    /// A two-phase message.
    TwoPhase(TwoPhase<'a>),
}

/// `| 'B' | final_lsn u64 | committed_at i64 | xid u32 |`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// LSN of the commit record: equal to [`Commit::commit_lsn`].
    pub final_lsn: Lsn,
    /// Commit time.
    pub committed_at: i64,
    /// Transaction id.
    pub xid: u32,
}

/// `| 'C' | flags u8 | commit_lsn u64 | end_lsn u64 | committed_at i64 |`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// Start of the commit record.
    pub commit_lsn: Lsn,
    /// First byte after the transaction: resuming here gives the next transaction.
    pub end_lsn: Lsn,
    /// Commit time.
    pub committed_at: i64,
}

/// `| 'O' | origin_lsn u64 | name cstr |`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Commit LSN on the origin server.
    pub origin_lsn: Lsn,
    /// Name of the origin.
    pub name: &'a str,
}

/// `| 'Y' | [xid u32] | oid u32 | namespace cstr | name cstr |`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Type<'a> {
    /// Only inside a streamed transaction.
    pub xid: Option<u32>,
    /// OID of the type.
    pub oid: u32,
    /// Schema; empty for pg_catalog.
    pub namespace: &'a str,
    /// Type name.
    pub name: &'a str,
}

/// `| 'I' | [xid u32] | relation u32 | 'N' | tuple |`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Insert<'a> {
    /// Only inside a streamed transaction.
    pub xid: Option<u32>,
    /// OID of the table.
    pub relation: u32,
    /// The new row.
    pub new: Tuple<'a>,
}

/// `| 'U' | [xid u32] | relation u32 | ['K' | 'O', tuple] | 'N' | tuple |`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Update<'a> {
    /// Only inside a streamed transaction.
    pub xid: Option<u32>,
    /// OID of the table.
    pub relation: u32,
    /// What was sent of the old row.
    pub old: Old<'a>,
    /// The new row.
    pub new: Tuple<'a>,
}

/// `| 'D' | [xid u32] | relation u32 | 'K' | 'O' | tuple |`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delete<'a> {
    /// Only inside a streamed transaction.
    pub xid: Option<u32>,
    /// OID of the table.
    pub relation: u32,
    /// What was sent of the old row.
    pub old: Old<'a>,
}

/// The old row of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Old<'a> {
    /// Nothing was sent: the key did not change.
    Absent,
    /// Only the columns of the replica identity; the others are NULL.
    Key(Tuple<'a>),
    /// All columns (replica identity FULL).
    Row(Tuple<'a>),
}

impl<'a> Old<'a> {
    /// What was sent of the old row.
    pub fn tuple(&self) -> Option<&Tuple<'a>> {
        match self {
            Old::Absent => None,
            Old::Key(tuple) | Old::Row(tuple) => Some(tuple),
        }
    }
}

/// `| 'T' | [xid u32] | relations u32 | options u8 (1 cascade, 2 restart identity) | oids u32 … |`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncate {
    /// Only inside a streamed transaction.
    pub xid: Option<u32>,
    /// `TRUNCATE … CASCADE`.
    pub cascade: bool,
    /// `TRUNCATE … RESTART IDENTITY`.
    pub restart_identity: bool,
    /// OIDs of the tables.
    pub relations: Vec<u32>,
}

/// `| 'M' | [xid u32] | flags u8 (1 transactional) | lsn u64 | prefix cstr | length i32 | content |`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logical<'a> {
    /// Only inside a streamed transaction.
    pub xid: Option<u32>,
    /// Whether it belongs to the surrounding transaction.
    pub transactional: bool,
    /// LSN of the message.
    pub lsn: Lsn,
    /// Prefix given by the writer.
    pub prefix: &'a str,
    /// Content, any bytes.
    pub content: &'a [u8],
}

/// The kinds of two-phase messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TwoPhaseKind {
    /// `b`
    BeginPrepare,
    /// `P`
    Prepare,
    /// `K`
    CommitPrepared,
    /// `r`
    RollbackPrepared,
    /// `p`
    StreamPrepare,
}

/// A two-phase message; we never ask for them, so only what an error message needs is kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TwoPhase<'a> {
    /// Which one.
    pub kind: TwoPhaseKind,
    /// LSN of the PREPARE, COMMIT PREPARED or, for a rollback, the end of the PREPARE.
    pub lsn: Lsn,
    /// End LSN of the record.
    pub end_lsn: Lsn,
    /// Time of the record.
    pub at: i64,
    /// Transaction id.
    pub xid: u32,
    /// Name given to PREPARE TRANSACTION.
    pub gid: &'a str,
}
