//! What the replication stream does not say about tables and types.

use tokio_postgres::{Client, Row};

use crate::error::Error;

/// One ordinary or partitioned table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// OID.
    pub oid: u32,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// `pg_class.relreplident`: `d`, `n`, `f` or `i`.
    pub replica_identity: char,
    /// A partitioned parent.
    pub is_partitioned: bool,
    /// A partition of another table.
    pub is_partition: bool,
    /// Not written to WAL, so it cannot be published.
    pub is_unlogged: bool,
    /// Whether it has a primary key.
    pub has_primary_key: bool,
    /// Planner's estimate of rows, negative if unknown.
    pub rows_estimate: f32,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Name.
    pub name: String,
    /// OID of its type.
    pub type_oid: u32,
    /// Type modifier, -1 if none.
    pub typmod: i32,
    /// NOT NULL, or of a domain that is.
    pub not_null: bool,
    /// Default expression.
    pub default: Option<String>,
    /// Part of the replica identity.
    pub is_identity: bool,
    /// Generated and stored.
    pub is_generated: bool,
}

/// One type that is not built in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Type {
    /// OID.
    pub oid: u32,
    /// Name without schema.
    pub name: String,
    /// `pg_type.typtype`: b, c, d, e, p, r, m.
    pub kind: char,
    /// Type below a domain.
    pub base_oid: u32,
    /// Its type modifier.
    pub base_typmod: i32,
    /// Labels of an enum in sort order.
    pub labels: Vec<String>,
    /// Type of the elements if it is an array, else 0.
    pub element_oid: u32,
    /// What stands between the elements in the text form.
    pub delimiter: u8,
}

/// All tables outside of the system's schemas, in byte order of (schema, name).
///
/// # Errors
/// [`Error::Control`] or [`Error::Server`].
pub async fn tables(client: &Client) -> Result<Vec<Table>, Error> {
    let rows = client
        .query(
            "SELECT c.oid, n.nspname::text, c.relname::text, c.relreplident::text, c.relkind = 'p', \
             c.relpersistence = 'u', EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary), \
             c.reltuples, c.relispartition \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' \
             AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(temp|toast)' \
             ORDER BY n.nspname::text COLLATE \"C\", c.relname::text COLLATE \"C\"",
            &[],
        )
        .await
        .map_err(|error| Error::control("listing tables", error))?;
    Ok(rows.iter().map(table).collect())
}

fn table(row: &Row) -> Table {
    Table {
        oid: row.get(0),
        schema: row.get(1),
        name: row.get(2),
        replica_identity: first_char(row, 3),
        is_partitioned: row.get(4),
        is_unlogged: row.get(5),
        has_primary_key: row.get(6),
        rows_estimate: row.get(7),
        is_partition: row.get(8),
    }
}

fn first_char(row: &Row, index: usize) -> char {
    row.get::<_, String>(index).chars().next().unwrap_or(' ')
}

/// Columns of a table in order; dropped ones are left out.
///
/// # Errors
/// [`Error::Control`] or [`Error::Server`].
pub async fn columns(client: &Client, table: u32) -> Result<Vec<Column>, Error> {
    let rows = client
        .query(
            "SELECT a.attname::text, a.atttypid, a.atttypmod, \
             a.attnotnull OR (t.typtype = 'd' AND t.typnotnull), \
             pg_get_expr(d.adbin, d.adrelid), \
             CASE c.relreplident WHEN 'f' THEN true WHEN 'n' THEN false ELSE EXISTS ( \
               SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND a.attnum = ANY (i.indkey) \
               AND CASE c.relreplident WHEN 'd' THEN i.indisprimary ELSE i.indisreplident END) END, \
             a.attgenerated <> '' \
             FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid \
             LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
             WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            &[&table],
        )
        .await
        .map_err(|error| Error::control("reading columns", error))?;
    Ok(rows
        .iter()
        .map(|row| Column {
            name: row.get(0),
            type_oid: row.get(1),
            typmod: row.get(2),
            not_null: row.get(3),
            default: row.get(4),
            is_identity: row.get(5),
            is_generated: row.get(6),
        })
        .collect())
}

/// Columns of the primary key in key order, else of the first usable unique index by name, else none.
///
/// Columns that a unique index only includes count as well, for Debezium counts them; those of a primary key do not.
///
/// # Errors
/// [`Error::Control`] or [`Error::Server`].
pub async fn key_columns(client: &Client, table: u32) -> Result<Vec<String>, Error> {
    let rows = client
        .query(
            "WITH usable AS (SELECT i.indexrelid, i.indrelid, i.indkey, \
               CASE WHEN i.indisprimary THEN i.indnkeyatts ELSE i.indnatts END AS counted FROM pg_index i \
               JOIN pg_class x ON x.oid = i.indexrelid \
               WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND 0 <> ALL (i.indkey) \
               ORDER BY i.indisprimary DESC, x.relname LIMIT 1) \
             SELECT a.attname::text FROM usable u, \
               unnest(u.indkey::int2[]) WITH ORDINALITY AS k(attnum, place) \
               JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = k.attnum \
             WHERE k.place <= u.counted ORDER BY k.place",
            &[&table],
        )
        .await
        .map_err(|error| Error::control("reading the key", error))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The server's clock, µs since 1970.
///
/// # Errors
/// [`Error::Control`] or [`Error::Server`].
pub async fn clock_us(client: &Client) -> Result<i64, Error> {
    client
        .query_one("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint", &[])
        .await
        .map_err(|error| Error::control("reading the server's clock", error))?
        .try_get(0)
        .map_err(|error| Error::control("reading the server's clock", error))
}

/// The types behind these OIDs that are not built in or are arrays, with everything below domains and arrays.
///
/// `int2vector` and `oidvector` are no arrays here: their text has no braces.
///
/// # Errors
/// [`Error::Control`] or [`Error::Server`].
pub async fn types(client: &Client, oids: &[u32]) -> Result<Vec<Type>, Error> {
    let rows = client
        .query(
            "WITH RECURSIVE wanted(oid) AS (SELECT unnest($1::oid[]) UNION \
               SELECT CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.typelem END \
               FROM pg_type t JOIN wanted w ON t.oid = w.oid WHERE t.typtype = 'd' OR t.typcategory = 'A') \
             SELECT t.oid, t.typname::text, t.typtype::text, t.typbasetype, t.typtypmod, \
               COALESCE((SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_enum e \
                 WHERE e.enumtypid = t.oid), '{}'), \
               CASE WHEN t.typcategory = 'A' AND t.typtype = 'b' AND t.oid NOT IN (22, 30) \
                 THEN t.typelem ELSE 0::oid END, \
               COALESCE((SELECT d.typdelim::text FROM pg_type d WHERE d.oid = t.typelem), ',') \
             FROM pg_type t WHERE t.oid IN (SELECT oid FROM wanted) \
             AND (t.oid >= 16384 OR t.typcategory = 'A') ORDER BY t.oid",
            &[&oids],
        )
        .await
        .map_err(|error| Error::control("reading types", error))?;
    Ok(rows
        .iter()
        .map(|row| Type {
            oid: row.get(0),
            name: row.get(1),
            kind: first_char(row, 2),
            base_oid: row.get(3),
            base_typmod: row.get(4),
            labels: row.get(5),
            element_oid: row.get(6),
            delimiter: row.get::<_, String>(7).bytes().next().unwrap_or(b','),
        })
        .collect())
}
