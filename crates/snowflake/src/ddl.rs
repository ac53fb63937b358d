//! Tables and views as SQL, and types back from DESCRIBE.

use crate::merge::{audit_values, fill_columns, filled_rows};
use crate::sql::{ResultSet, identifier, literal};
use cdcd_sink::config::DeleteMode;
use cdcd_sink::destination::{CurrentKind, CurrentState, StoredType, TableColumn, TablePlan};
use cdcd_sink::row::column;

/// The table that tells how far logs are merged.
pub(crate) const LEDGER: &str = "CDCD_LEDGER";

/// When a deleted key was marked.
pub(crate) const MARKED_AT: &str = "_AT";

/// The table beside a merged one that remembers deleted keys.
pub(crate) fn marks_table(current: &CurrentState) -> String {
    format!("{}__DELETED", current.name)
}

/// Its columns: the key, the `_SEQ` of the delete, and when it was merged.
pub(crate) fn marks_columns(current: &CurrentState) -> Vec<TableColumn> {
    let is_key = |column: &&TableColumn| current.keys.contains(&column.name);
    let mut columns: Vec<TableColumn> = current.columns.iter().filter(is_key).cloned().collect();
    columns.push(TableColumn { name: column::SEQ.to_owned(), stored: StoredType::Text });
    columns.push(TableColumn { name: MARKED_AT.to_owned(), stored: StoredType::Instant });
    columns
}

/// The SQL type of a column.
pub(crate) fn sql_type(stored: &StoredType) -> String {
    match stored {
        StoredType::Boolean => "BOOLEAN".to_owned(),
        StoredType::Number { precision, scale } => format!("NUMBER({precision},{scale})"),
        StoredType::Float => "FLOAT".to_owned(),
        StoredType::Text => "VARCHAR".to_owned(),
        StoredType::Binary => "BINARY".to_owned(),
        StoredType::Date => "DATE".to_owned(),
        StoredType::Time { precision } => format!("TIME({precision})"),
        StoredType::Timestamp { precision } => format!("TIMESTAMP_NTZ({precision})"),
        StoredType::Instant => "TIMESTAMP_TZ(9)".to_owned(),
        StoredType::Variant => "VARIANT".to_owned(),
        StoredType::Other(name) => name.clone(),
    }
}

/// The type that DESCRIBE or SHOW writes, for example `NUMBER(38,0)`.
pub(crate) fn stored_type(text: &str) -> StoredType {
    let (name, arguments) = text.split_once('(').unwrap_or((text, ""));
    let mut numbers =
        arguments.trim_end_matches(')').split(',').filter_map(|part| part.trim().parse::<u32>().ok());
    let (first, second) = (numbers.next(), numbers.next());
    match name.trim().to_uppercase().as_str() {
        "BOOLEAN" => StoredType::Boolean,
        "NUMBER" | "DECIMAL" | "NUMERIC" | "FIXED" | "INT" | "INTEGER" | "BIGINT" => {
            StoredType::Number { precision: first.unwrap_or(38), scale: second.unwrap_or(0) }
        }
        "FLOAT" | "DOUBLE" | "REAL" | "DOUBLE PRECISION" => StoredType::Float,
        "VARCHAR" | "TEXT" | "STRING" | "CHAR" => StoredType::Text,
        "BINARY" | "VARBINARY" => StoredType::Binary,
        "DATE" => StoredType::Date,
        "TIME" => StoredType::Time { precision: first.unwrap_or(9) },
        "TIMESTAMP_NTZ" | "TIMESTAMP" | "DATETIME" => StoredType::Timestamp { precision: first.unwrap_or(9) },
        "TIMESTAMP_TZ" => StoredType::Instant,
        "VARIANT" => StoredType::Variant,
        other => StoredType::Other(other.to_owned()),
    }
}

/// Columns from the answer to DESCRIBE TABLE.
pub(crate) fn described(result: &ResultSet) -> Vec<TableColumn> {
    let column = |row: &Vec<Option<String>>| {
        let name = result.cell(row, "name")?.to_owned();
        Some(TableColumn { name, stored: stored_type(result.cell(row, "type")?) })
    };
    result.rows.iter().filter_map(column).collect()
}

/// CREATE TABLE with every column nullable: a row that violates NOT NULL would be dropped.
pub(crate) fn create_table(name: &str, columns: &[TableColumn], options: &str) -> String {
    let columns: Vec<String> = columns
        .iter()
        .map(|column| format!("{} {}", identifier(&column.name), sql_type(&column.stored)))
        .collect();
    format!("CREATE TABLE IF NOT EXISTS {} ({}){options}", identifier(name), columns.join(", "))
}

/// ALTER TABLE for one column.
pub(crate) fn add_column(table: &str, column: &TableColumn) -> String {
    format!(
        "ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} {}",
        identifier(table),
        identifier(&column.name),
        sql_type(&column.stored)
    )
}

/// Columns of the merged table: the business columns, the audit columns and our own.
pub(crate) fn current_columns(current: &CurrentState) -> Vec<TableColumn> {
    let column = |name: &str, stored| TableColumn { name: name.to_owned(), stored };
    let mut columns = current.columns.clone();
    columns.extend(current.audit.columns());
    columns.push(column(column::SEQ, StoredType::Text));
    columns.push(column(column::DELETED, StoredType::Boolean));
    columns
}

/// The ledger's columns.
pub(crate) fn ledger_columns() -> Vec<TableColumn> {
    let text = ["TBL", "CHANNEL", "MERGED", "OWNER", "TRUNCATED", "KEYS"];
    let mut columns: Vec<TableColumn> =
        text.iter().map(|name| TableColumn { name: (*name).to_owned(), stored: StoredType::Text }).collect();
    let stored = StoredType::Number { precision: 38, scale: 0 };
    columns.push(TableColumn { name: "GENERATION".to_owned(), stored });
    columns
}

/// The view over a log: per key the newest row, unknown columns filled, deleted and truncated rows left out.
pub(crate) fn create_view(plan: &TablePlan, current: &CurrentState) -> String {
    debug_assert_eq!(current.kind, CurrentKind::View);
    let log = identifier(&plan.table);
    let fill = fill_columns(current, DeleteMode::Hard);
    let filter = format!(
        "{op} <> 't' AND {seq} > COALESCE((SELECT MAX({seq}) FROM {log} WHERE {op} = 't'), '')",
        op = identifier(column::OP),
        seq = identifier(column::SEQ),
    );
    let rows = filled_rows(current, &log, &filter, &fill);
    let mut columns: Vec<String> = current
        .columns
        .iter()
        .map(|column| {
            let name = identifier(&column.name);
            if fill.contains(&column.name) {
                format!("{} AS {name}", identifier(&format!("{}__V", column.name)))
            } else {
                name.to_string()
            }
        })
        .collect();
    let changed_at = format!("CAST({} AS TIMESTAMP_NTZ(9))", identifier(column::TS));
    let audit = audit_values(&current.audit, &identifier(column::OP), &changed_at);
    columns.extend(audit.into_iter().map(|(name, value)| format!("{value} AS {}", identifier(&name))));
    format!(
        "CREATE OR REPLACE VIEW {} AS SELECT {} FROM ({rows}) r WHERE \"_RN\" = 1 AND {} <> 'd'",
        identifier(&current.name),
        columns.join(", "),
        identifier(column::OP)
    )
}

/// Makes the ledger remember a merged table's keys.
pub(crate) fn remember_keys(table: &str, keys: &[String]) -> Vec<String> {
    let (ledger, table, keys) = (identifier(LEDGER), literal(table), literal(&keys.join(",")));
    vec![format!(
        "MERGE INTO {ledger} t USING (SELECT {table} AS \"TBL\", '' AS \"CHANNEL\") s \
         ON t.\"TBL\" = s.\"TBL\" AND t.\"CHANNEL\" = s.\"CHANNEL\" \
         WHEN MATCHED THEN UPDATE SET \"KEYS\" = {keys} \
         WHEN NOT MATCHED THEN INSERT (\"TBL\", \"CHANNEL\", \"MERGED\", \"GENERATION\", \"OWNER\", \"TRUNCATED\", \"KEYS\") \
         VALUES (s.\"TBL\", s.\"CHANNEL\", '', 0, '', '', {keys})"
    )]
}

/// Makes a channel's ledger row, if there is none.
pub(crate) fn remember_channel(table: &str, channel: &str) -> String {
    let (ledger, table, channel) = (identifier(LEDGER), literal(table), literal(channel));
    format!(
        "MERGE INTO {ledger} t USING (SELECT {table} AS \"TBL\", {channel} AS \"CHANNEL\") s \
         ON t.\"TBL\" = s.\"TBL\" AND t.\"CHANNEL\" = s.\"CHANNEL\" \
         WHEN NOT MATCHED THEN INSERT (\"TBL\", \"CHANNEL\", \"MERGED\", \"GENERATION\", \"OWNER\", \"TRUNCATED\", \"KEYS\") \
         VALUES (s.\"TBL\", s.\"CHANNEL\", '', 0, '', '', '')"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_described_as_it_was_made() {
        for stored in [
            StoredType::Boolean,
            StoredType::Number { precision: 12, scale: 2 },
            StoredType::Float,
            StoredType::Text,
            StoredType::Binary,
            StoredType::Date,
            StoredType::Time { precision: 6 },
            StoredType::Timestamp { precision: 3 },
            StoredType::Instant,
            StoredType::Variant,
        ] {
            assert_eq!(stored_type(&sql_type(&stored)), stored);
        }
        assert_eq!(stored_type("VARCHAR(16777216)"), StoredType::Text);
        assert_eq!(stored_type("GEOGRAPHY"), StoredType::Other("GEOGRAPHY".to_owned()));
    }
}
