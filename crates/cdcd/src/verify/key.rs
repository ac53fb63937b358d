//! Key values as literals of both sides, so that ranges and single rows can be asked for.

use cdcd_debezium::event::schema::{ColumnType, DateNotation, TimeNotation};
use cdcd_debezium::event::value::{iso_date, iso_time, iso_timestamp};
use cdcd_postgres::sql::PgLiteral;
use cdcd_sink::destination::StoredType;
use cdcd_snowflake::SfLiteral;

use super::cell::Family;
use super::table::Column;

/// A key: canonical texts, whole.
pub(super) type Key = Vec<String>;

/// A literal for PostgreSQL.
pub(super) fn source_literal(family: Family, text: &str) -> Option<String> {
    Some(match family {
        Family::Date => format!("DATE {}", quote(&iso_date(text.parse().ok()?)?)),
        Family::Time => format!("TIME {}", quote(&iso_time(text.parse::<i64>().ok()?.checked_mul(1_000)?)?)),
        Family::Timestamp => format!("TIMESTAMP {}", quote(&moment(text)?)),
        Family::Instant => format!("TIMESTAMPTZ {}", quote(&format!("{}+00", moment(text)?))),
        Family::Bytes => format!("'\\x{text}'::bytea"),
        Family::Boolean | Family::Decimal | Family::Text | Family::Padded => quote(text).to_string(),
        Family::Float32 | Family::Float64 | Family::Json => return None,
    })
}

fn moment(text: &str) -> Option<String> {
    iso_timestamp(text.parse::<i128>().ok()?.checked_mul(1_000)?)
}

fn quote(text: &str) -> PgLiteral {
    PgLiteral::new(text)
}

/// A string literal of Snowflake, where a backslash escapes.
pub(super) fn string(text: &str) -> SfLiteral {
    SfLiteral::new(text)
}

/// A literal for a typed column of Snowflake.
pub(super) fn column_literal(column: &Column, stored: &StoredType, text: &str) -> Option<String> {
    Some(match (column.family, stored) {
        (Family::Boolean, StoredType::Boolean) => if text == "t" { "TRUE" } else { "FALSE" }.to_owned(),
        (Family::Decimal, StoredType::Number { .. }) => text.to_owned(),
        (Family::Text | Family::Padded, StoredType::Text) => string(text).to_string(),
        (Family::Date, StoredType::Date) => format!("{}::DATE", string(&iso_date(text.parse().ok()?)?)),
        (Family::Time, StoredType::Time { .. }) => {
            format!("{}::TIME(9)", string(&iso_time(text.parse::<i64>().ok()?.checked_mul(1_000)?)?))
        }
        (Family::Timestamp, StoredType::Timestamp { .. }) => {
            format!("{}::TIMESTAMP_NTZ(9)", string(&moment(text)?))
        }
        (Family::Instant, StoredType::Instant) => {
            format!("{}::TIMESTAMP_TZ(9)", string(&format!("{} +00:00", moment(text)?)))
        }
        (Family::Bytes, StoredType::Binary) => format!("TO_BINARY({}, 'HEX')", string(text)),
        _ => return None,
    })
}

/// The SQL type that a key in an event's JSON is read with, and its literal there.
pub(super) fn event_literal(column: &Column, text: &str) -> Option<(&'static str, String)> {
    let number = |text: String| ("NUMBER(38,0)", text);
    let micros = || text.parse::<i128>().ok();
    Some(match column.kind {
        ColumnType::Boolean => ("BOOLEAN", if text == "t" { "TRUE" } else { "FALSE" }.to_owned()),
        ColumnType::Integer { .. } => number(text.to_owned()),
        ColumnType::Text => ("VARCHAR", string(text).to_string()),
        ColumnType::Date(DateNotation::Days) => number(text.to_owned()),
        ColumnType::Time(unit) | ColumnType::Timestamp(unit) => match unit {
            TimeNotation::Millis => number(micros()?.div_euclid(1_000).to_string()),
            TimeNotation::Micros => number(text.to_owned()),
            TimeNotation::Nanos => number(micros()?.checked_mul(1_000)?.to_string()),
            TimeNotation::Iso => return None,
        },
        _ => return None,
    })
}

/// `(a, b) > (x, y)` and its kin, spelled out: not every SQL engine compares rows.
pub(super) fn beyond(expressions: &[String], values: &[String], last: &str) -> String {
    let mut alternatives = Vec::new();
    for at in 0..expressions.len().min(values.len()) {
        let pairs = expressions.iter().zip(values);
        let mut terms: Vec<String> = pairs.clone().take(at).map(|(e, v)| format!("{e} = {v}")).collect();
        let operator = if at + 1 == expressions.len() { last } else { last.trim_end_matches('=') };
        terms.extend(pairs.skip(at).take(1).map(|(e, v)| format!("{e} {operator} {v}")));
        alternatives.push(format!("({})", terms.join(" AND ")));
    }
    format!("({})", alternatives.join(" OR "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_comparisons_are_spelled_out() {
        let names = ["a".to_owned(), "b".to_owned()];
        let values = ["1".to_owned(), "'x'".to_owned()];
        assert_eq!(beyond(&names, &values, "<="), "((a < 1) OR (a = 1 AND b <= 'x'))");
        assert_eq!(beyond(&names[..1], &values[..1], ">"), "((a > 1))");
    }

    #[test]
    fn literals_cannot_leave_their_quotes() {
        assert_eq!(string(r"a'\b").to_string(), r"'a''\\b'");
        assert_eq!(source_literal(Family::Text, "a'b"), Some("'a''b'".to_owned()));
        assert_eq!(
            source_literal(Family::Timestamp, "1767225602123456"),
            Some("TIMESTAMP '2026-01-01 00:00:02.123456'".to_owned())
        );
    }
}
