//! Schema evolution on the server: unknown keys of a table with ENABLE_SCHEMA_EVOLUTION = TRUE become columns.

use std::collections::BTreeMap;

use tokio_postgres::GenericClient;

use crate::datatype::{DataType, VARCHAR_LENGTH_MAX};
use crate::engine::{RelationName, quote};
use crate::error::SqlError;
use crate::streaming::convert::{parse_date, parse_instant};

/// Adds a nullable column for each key, its type inferred from one value's JSON text.
pub(crate) async fn add_columns(
    client: &impl GenericClient,
    table: &RelationName,
    keys: &BTreeMap<String, String>,
) -> Result<(), SqlError> {
    for (key, json) in keys {
        let data_type = infer(json);
        let statement = format!(
            "ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} {}",
            table.to_engine()?,
            quote(key),
            data_type.to_engine()
        );
        client.batch_execute(&statement).await?;
        tracing::info!(%table, column = %key, %data_type, "column added by schema evolution");
    }
    Ok(())
}

/// The server sees only JSON: a string that reads as a date becomes DATE, a decimal in a string stays VARCHAR.
fn infer(json: &str) -> DataType {
    match json.as_bytes().first() {
        Some(b'{') => DataType::Object,
        Some(b'[') => DataType::Array,
        Some(b't' | b'f') => DataType::Boolean,
        Some(b'"') => {
            let text = json.trim_matches('"');
            let is_iso = text.as_bytes().get(4) == Some(&b'-');
            if is_iso && text.len() == 10 && parse_date(text).is_some() {
                DataType::Date
            } else if is_iso && parse_instant(text).is_some() {
                DataType::TimestampNtz
            } else {
                DataType::Varchar { length: VARCHAR_LENGTH_MAX }
            }
        }
        _ if json.contains(['.', 'e', 'E']) => DataType::Float,
        _ => DataType::Number { precision: 38, scale: 0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_inferred_from_json_alone() {
        let cases = [
            ("5", "NUMBER(38,0)"),
            ("5.5", "FLOAT"),
            ("true", "BOOLEAN"),
            ("\"2026-04-13\"", "DATE"),
            ("\"2026-04-13T01:02:03Z\"", "TIMESTAMP_NTZ(9)"),
            ("\"12.50\"", "VARCHAR(16777216)"),
            ("{}", "OBJECT"),
            ("[]", "ARRAY"),
        ];
        for (json, expected) in cases {
            assert_eq!(infer(json).to_string(), expected, "{json}");
        }
    }
}
