//! The table description that precedes a table's first change.

use crate::error::DecodeError;
use crate::reader::Reader;

/// Which columns UPDATE and DELETE send of the old row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaIdentity {
    /// The primary key, or nothing if there is none.
    Default,
    /// Nothing: PostgreSQL refuses UPDATE and DELETE.
    Nothing,
    /// All columns.
    Full,
    /// The columns of one index.
    Index,
}

/// `| 'R' | [xid u32] | oid u32 | namespace cstr | name cstr | replica_identity u8 | columns u16 | columns … |`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation<'a> {
    /// Only inside a streamed transaction.
    pub xid: Option<u32>,
    /// OID of the table.
    pub oid: u32,
    /// Schema name; empty for pg_catalog.
    pub namespace: &'a str,
    /// Table name.
    pub name: &'a str,
    /// Replica identity at the time of the change.
    pub replica_identity: ReplicaIdentity,
    /// Columns in tuple order.
    pub columns: Vec<RelationColumn<'a>>,
}

/// `| flags u8 | name cstr | type_oid u32 | type_modifier i32 |`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelationColumn<'a> {
    /// Part of the replica identity key.
    pub is_key: bool,
    /// Column name.
    pub name: &'a str,
    /// OID of the column's type.
    pub type_oid: u32,
    /// Type modifier, -1 if none.
    pub type_modifier: i32,
}

impl<'a> Relation<'a> {
    pub(crate) fn read(reader: &mut Reader<'a>, xid: Option<u32>) -> Result<Self, DecodeError> {
        let oid = reader.u32("relation oid")?;
        let namespace = reader.cstr("namespace")?;
        let name = reader.cstr("relation name")?;
        let at = reader.position();
        let replica_identity = match reader.u8("replica identity")? {
            b'd' => ReplicaIdentity::Default,
            b'n' => ReplicaIdentity::Nothing,
            b'f' => ReplicaIdentity::Full,
            b'i' => ReplicaIdentity::Index,
            other => {
                return Err(reader.error("replica identity", at, crate::ErrorKind::UnknownTag(other)));
            }
        };
        let count = reader.u16("number of columns")?;
        // A column takes at least 10 bytes, so a lying count cannot make us reserve much.
        let mut columns = Vec::with_capacity(usize::from(count).min(reader.remaining() / 10));
        for _ in 0..count {
            columns.push(RelationColumn {
                is_key: reader.u8("column flags")? & 1 == 1,
                name: reader.cstr("column name")?,
                type_oid: reader.u32("column type oid")?,
                type_modifier: reader.i32("column type modifier")?,
            });
        }
        Ok(Relation { xid, oid, namespace, name, replica_identity, columns })
    }
}
