//! Data types as statements write them.

use sqlparser::ast;

use crate::datatype::{BINARY_LENGTH_MAX, DataType, VARCHAR_LENGTH_MAX};
use crate::error::SqlError;

/// The type that a cast or a column definition names.
///
/// # Errors
/// For a type that Snowflake does not have, or that the emulator does not store.
pub(crate) fn data_type(written: &ast::DataType) -> Result<DataType, SqlError> {
    parse(&written.to_string())
}

/// `NAME` or `NAME(n)` or `NAME(n, m)`.
pub(crate) fn parse(written: &str) -> Result<DataType, SqlError> {
    let written = written.trim().to_uppercase();
    let (name, arguments) = split_arguments(&written);
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    let number = |at: usize| arguments.get(at).copied();
    let bad = |why: &str| SqlError::syntax(format!("invalid data type {written}: {why}"));
    Ok(match name.as_str() {
        "NUMBER" | "NUMERIC" | "DECIMAL" | "DEC" => {
            let precision = u8::try_from(number(0).unwrap_or(38)).map_err(|_| bad("precision"))?;
            let scale = u8::try_from(number(1).unwrap_or(0)).map_err(|_| bad("scale"))?;
            if precision == 0 || precision > 38 || scale > 37 || scale > precision {
                return Err(bad("precision must be 1 to 38, scale 0 to 37 and not above the precision"));
            }
            DataType::Number { precision, scale }
        }
        "INT" | "INTEGER" | "BIGINT" | "SMALLINT" | "TINYINT" | "BYTEINT" => {
            DataType::Number { precision: 38, scale: 0 }
        }
        "FLOAT" | "FLOAT4" | "FLOAT8" | "DOUBLE" | "DOUBLE PRECISION" | "REAL" => DataType::Float,
        "VARCHAR" | "STRING" | "TEXT" | "NVARCHAR" | "NVARCHAR2" | "CHAR VARYING" | "CHARACTER VARYING" => {
            let length = number(0).unwrap_or(VARCHAR_LENGTH_MAX);
            if length == 0 || length > 134_217_728 {
                return Err(bad("length"));
            }
            DataType::Varchar { length }
        }
        "CHAR" | "CHARACTER" | "NCHAR" => DataType::Varchar { length: number(0).unwrap_or(1) },
        "BINARY" | "VARBINARY" => DataType::Binary { length: number(0).unwrap_or(BINARY_LENGTH_MAX) },
        "BOOLEAN" | "BOOL" => DataType::Boolean,
        "DATE" => DataType::Date,
        "TIME" => DataType::Time,
        "TIMESTAMP" | "DATETIME" | "TIMESTAMP_NTZ" | "TIMESTAMPNTZ" | "TIMESTAMP WITHOUT TIME ZONE" => {
            DataType::TimestampNtz
        }
        "TIMESTAMP_LTZ" | "TIMESTAMPLTZ" | "TIMESTAMP WITH LOCAL TIME ZONE" => DataType::TimestampLtz,
        "TIMESTAMP_TZ" | "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" => DataType::TimestampTz,
        "VARIANT" => DataType::Variant,
        "OBJECT" => DataType::Object,
        "ARRAY" => DataType::Array,
        _ => return Err(SqlError::unsupported(format!("the data type {written}"))),
    })
}

fn split_arguments(written: &str) -> (String, Vec<u32>) {
    let Some(open) = written.find('(') else { return (written.to_owned(), Vec::new()) };
    let close = written.find(')').unwrap_or(written.len());
    let (head, inner) =
        (written.get(..open).unwrap_or_default(), written.get(open + 1..close).unwrap_or_default());
    let tail = written.get(close + 1..).unwrap_or_default();
    let arguments =
        inner.split(',').filter_map(|part| part.split_whitespace().next()?.parse().ok()).collect();
    (format!("{head} {tail}"), arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_synonyms() {
        let cases = [
            ("number", "NUMBER(38,0)"),
            ("DECIMAL(10, 2)", "NUMBER(10,2)"),
            ("int", "NUMBER(38,0)"),
            ("double precision", "FLOAT"),
            ("string", "VARCHAR(16777216)"),
            ("varchar(20)", "VARCHAR(20)"),
            ("char", "VARCHAR(1)"),
            ("timestamp", "TIMESTAMP_NTZ(9)"),
            ("TIMESTAMP_TZ(6)", "TIMESTAMP_TZ(9)"),
            ("timestamp(3) with local time zone", "TIMESTAMP_LTZ(9)"),
        ];
        for (written, expected) in cases {
            assert_eq!(parse(written).map(|t| t.to_string()), Ok(expected.to_owned()), "{written}");
        }
        assert!(parse("NUMBER(39,0)").is_err());
        assert!(parse("GEOGRAPHY").is_err());
    }
}
