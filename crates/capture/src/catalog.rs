//! What the replication stream does not say about a table, and how capture asks for it.
//!
//! Facts are asked once per (oid, Relation bytes), so that a replay builds the same schema.

use serde::{Deserialize, Serialize};

/// A question to the server's catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogRequest {
    /// OID of the table.
    pub relation: u32,
    /// `schema.table`, for messages.
    pub table: String,
    /// OIDs of column types, built in or not.
    pub type_oids: Vec<u32>,
}

/// Nullability, defaults and key of a table, and the types behind its columns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFacts {
    /// Columns by name; one that Relation does not have is ignored, a missing one is optional.
    pub columns: Vec<ColumnFacts>,
    /// Columns of the primary key in key order, else of the first usable unique index, else empty.
    pub key: Vec<String>,
    /// All types that are not built in, domains resolved down to their base types.
    pub types: Vec<TypeFacts>,
}

/// One column in the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnFacts {
    /// Column name.
    pub name: String,
    /// Declared NOT NULL (or part of the primary key).
    pub not_null: bool,
    /// Text of the default expression as `pg_get_expr` prints it.
    pub default: Option<String>,
}

/// One type in the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeFacts {
    /// OID.
    pub oid: u32,
    /// Name without schema.
    pub name: String,
    /// What kind of type it is.
    pub kind: TypeKind,
}

/// Kinds of types that are treated apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TypeKind {
    /// A base type, for example of an extension.
    Base,
    /// An enum, labels in sort order.
    Enum {
        /// Labels.
        labels: Vec<String>,
    },
    /// A domain.
    Domain {
        /// OID of the type below.
        base_oid: u32,
        /// Type modifier of the type below, -1 if none.
        base_typmod: i32,
    },
    /// An array.
    Array {
        /// OID of the elements' type.
        element_oid: u32,
        /// What stands between elements in the text form.
        delimiter: u8,
    },
    /// Anything else: composite, range, multirange, pseudo.
    Other,
}
