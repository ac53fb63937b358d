//! Reading tables as of one moment: a REPEATABLE READ transaction and COPY.

use cdcd_pgoutput::Lsn;
use postgres_protocol::escape::escape_literal;

use crate::connection::{Connection, CopyMessage};
use crate::error::Error;
use crate::sql::{PgIdent, PgLiteral};

/// A session inside a read-only REPEATABLE READ transaction.
#[derive(Debug)]
pub struct SnapshotReader {
    connection: Connection,
}

impl SnapshotReader {
    /// Opens the transaction; with the exported snapshot of a slot if one is given.
    ///
    /// # Errors
    /// [`Error::Server`]: for example 22023 or 42704 if the exported snapshot is gone.
    pub async fn begin(mut connection: Connection, exported: Option<&str>) -> Result<Self, Error> {
        connection.query("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
        if let Some(name) = exported {
            connection.query(&format!("SET TRANSACTION SNAPSHOT {}", PgLiteral::new(name))).await?;
        }
        Ok(SnapshotReader { connection })
    }

    /// Runs a query inside the transaction; values are text.
    ///
    /// # Errors
    /// As [`Connection::query`].
    pub async fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
        self.connection.query(sql).await
    }

    /// `txid_current_if_assigned` does not exist in a reader, so the next xid to be given out.
    ///
    /// # Errors
    /// As [`Connection::query`].
    pub async fn next_xid(&mut self) -> Result<u32, Error> {
        let sql = "SELECT (pg_snapshot_xmax(pg_current_snapshot())::text::numeric % 4294967296)::text";
        let xid = self.query(sql).await?.into_iter().flatten().next().flatten();
        let xid = xid.and_then(|text| text.parse().ok());
        xid.ok_or_else(|| Error::Protocol("no xid in answer to the snapshot query".to_owned()))
    }

    /// Which transactions the reader sees, as `pg_current_snapshot()` prints it, and the end of the log afterwards:
    /// what commits behind that is not seen.
    ///
    /// # Errors
    /// As [`Connection::query`].
    pub async fn visible(&mut self) -> Result<(String, Lsn), Error> {
        // Two statements: the first one takes the snapshot.
        let snapshot = self.query("SELECT pg_current_snapshot()::text").await?;
        let end = self.query("SELECT pg_current_wal_insert_lsn()::text").await?;
        let value =
            |rows: &[Vec<Option<String>>]| rows.first().and_then(|row| row.first().cloned().flatten());
        let bad = || Error::Protocol("no snapshot in answer to the snapshot query".to_owned());
        let end = value(&end).and_then(|text| text.parse().ok()).ok_or_else(bad)?;
        Ok((value(&snapshot).ok_or_else(bad)?, end))
    }

    /// Lets other sessions see the same; gives the name for [`SnapshotReader::begin`].
    ///
    /// # Errors
    /// As [`Connection::query`].
    pub async fn export(&mut self) -> Result<String, Error> {
        let rows = self.query("SELECT pg_export_snapshot()").await?;
        let name = rows.into_iter().flatten().next().flatten();
        name.ok_or_else(|| Error::Protocol("pg_export_snapshot() gave no name".to_owned()))
    }

    /// Starts to read a table's rows in COPY's text format.
    ///
    /// # Errors
    /// [`Error::Server`], for example 42501 without SELECT on the table.
    pub async fn start_table(&mut self, table: &TableRows<'_>) -> Result<(), Error> {
        self.start_copy(&table.copy_statement()).await
    }

    pub(crate) async fn start_copy(&mut self, statement: &str) -> Result<(), Error> {
        self.connection.start_copy(statement).await
    }

    /// The same without waiting for the answer: a refusal comes in place of the first row.
    pub(crate) async fn send_copy(&mut self, statement: &str) -> Result<(), Error> {
        self.connection.send_query(statement).await
    }

    /// Bytes that have arrived and were not taken.
    pub(crate) fn buffered(&self) -> usize {
        self.connection.buffered()
    }

    /// The next row that has arrived, without waiting.
    ///
    /// # Errors
    /// [`Error::Server`] if reading fails halfway.
    #[inline]
    pub fn next_row(&mut self) -> Result<Option<CopyMessage<'_>>, Error> {
        self.connection.next_copy()
    }

    /// Waits for more rows. Safe to cancel.
    ///
    /// # Errors
    /// As [`Connection::fill`].
    pub async fn fill(&mut self) -> Result<usize, Error> {
        self.connection.fill().await
    }

    /// To be called after [`CopyMessage::Done`].
    ///
    /// # Errors
    /// As [`Connection::end_copy_out`].
    pub async fn end_table(&mut self) -> Result<(), Error> {
        self.connection.end_copy_out().await
    }

    /// Ends the transaction.
    ///
    /// # Errors
    /// As [`Connection::query`].
    pub async fn commit(mut self) -> Result<(), Error> {
        self.connection.query("COMMIT").await.map(|_| ())
    }
}

/// Which rows of which table to read.
#[derive(Debug, Clone)]
pub struct TableRows<'a> {
    /// Schema.
    pub schema: &'a str,
    /// Table.
    pub table: &'a str,
    /// Columns in the order wanted.
    pub columns: &'a [String],
    /// `snapshot.select.statement.overrides`: replaces the whole SELECT.
    pub select: Option<&'a str>,
    /// The key in whose order to read; none if the order does not matter.
    pub order: &'a [OrderColumn<'a>],
    /// Only rows behind this key.
    pub after: Option<&'a [String]>,
    /// Only rows up to this key.
    pub upto: Option<&'a [String]>,
}

/// A column to order by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderColumn<'a> {
    /// Name.
    pub name: &'a str,
    /// By the bytes of the text (`COLLATE "C"`).
    pub by_bytes: bool,
}

impl OrderColumn<'_> {
    fn expression(&self) -> String {
        let name = PgIdent::new(self.name);
        if self.by_bytes { format!("{name} COLLATE \"C\"") } else { name.to_string() }
    }
}

impl TableRows<'_> {
    pub(crate) fn full_name(&self) -> String {
        format!("{}.{}", PgIdent::new(self.schema), PgIdent::new(self.table))
    }

    pub(crate) fn copy_statement(&self) -> String {
        let columns: Vec<PgIdent> = self.columns.iter().map(|name| PgIdent::new(name)).collect();
        let columns = columns.join(", ");
        match self.select {
            Some(select) => {
                format!(
                    "COPY (SELECT {columns} FROM ({}) AS overridden) TO STDOUT",
                    select.trim_end_matches(';')
                )
            }
            None => format!(
                "COPY (SELECT {columns} FROM {}{}{}) TO STDOUT",
                self.full_name(),
                self.range(),
                self.order_by()
            ),
        }
    }

    /// Asks for keys that cut the rows into about `slices` parts, by a sample of the table's pages.
    pub(crate) fn sample_statement(&self, percent: u32, slices: u64) -> String {
        let order = self.expressions();
        let keys: Vec<String> = (1..=self.order.len()).map(|number| format!("k{number}")).collect();
        let named: Vec<String> = self
            .order
            .iter()
            .zip(&keys)
            .map(|(column, key)| format!("{} AS {key}", column.expression()))
            .collect();
        format!(
            "SELECT {} FROM (SELECT {}, row_number() OVER (ORDER BY {order}) AS place, count(*) OVER () AS rows FROM {} \
             TABLESAMPLE SYSTEM ({percent}){}) AS sample WHERE place % greatest(rows / {slices}, 1) = 0 ORDER BY place",
            keys.join(", "),
            named.join(", "),
            self.full_name(),
            self.range()
        )
    }

    fn expressions(&self) -> String {
        self.order.iter().map(OrderColumn::expression).collect::<Vec<_>>().join(", ")
    }

    fn order_by(&self) -> String {
        if self.order.is_empty() { String::new() } else { format!(" ORDER BY {}", self.expressions()) }
    }

    fn range(&self) -> String {
        if self.order.is_empty() {
            return String::new();
        }
        let order = self.expressions();
        let bound = |operator: &str, key: &[String]| {
            let key: Vec<String> = key.iter().map(|value| escape_literal(value)).collect();
            format!("({order}) {operator} ({})", key.join(", "))
        };
        let bounds: Vec<String> = [(">", self.after), ("<=", self.upto)]
            .into_iter()
            .filter_map(|(operator, key)| Some(bound(operator, key?)))
            .collect();
        if bounds.is_empty() { String::new() } else { format!(" WHERE {}", bounds.join(" AND ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_in_the_order_of_its_key_from_behind_the_last_one() {
        let order =
            [OrderColumn { name: "a\"b", by_bytes: true }, OrderColumn { name: "n", by_bytes: false }];
        let rows = TableRows {
            schema: "public",
            table: "t",
            columns: &["n".to_owned()],
            select: None,
            order: &order,
            after: Some(&["it's \\".to_owned(), "7".to_owned()]),
            upto: None,
        };
        assert_eq!(
            rows.copy_statement(),
            "COPY (SELECT \"n\" FROM \"public\".\"t\" WHERE (\"a\"\"b\" COLLATE \"C\", \"n\") > ( E'it''s \\\\', '7') \
             ORDER BY \"a\"\"b\" COLLATE \"C\", \"n\") TO STDOUT"
        );
        assert!(!TableRows { order: &[], ..rows.clone() }.copy_statement().contains("ORDER"));
        let slice = TableRows { order: &order[1..], after: None, upto: Some(&["7".to_owned()]), ..rows };
        assert_eq!(
            slice.copy_statement(),
            "COPY (SELECT \"n\" FROM \"public\".\"t\" WHERE (\"n\") <= ('7') ORDER BY \"n\") TO STDOUT"
        );
    }
}
