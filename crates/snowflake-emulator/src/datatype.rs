//! Snowflake's data types, as they are declared, as the engine stores them, and as they are described to clients.

use std::fmt;

/// The longest VARCHAR: what a VARCHAR without a length means.
pub const VARCHAR_LENGTH_MAX: u32 = 16_777_216;
/// The longest BINARY.
pub const BINARY_LENGTH_MAX: u32 = 8_388_608;

/// A Snowflake data type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum DataType {
    /// NUMBER(precision, scale): exact, 1..=38 digits.
    Number { precision: u8, scale: u8 },
    /// FLOAT, DOUBLE, REAL: 64 bits.
    Float,
    /// VARCHAR(length in characters).
    Varchar { length: u32 },
    /// BINARY(length in bytes).
    Binary { length: u32 },
    /// BOOLEAN.
    Boolean,
    /// DATE.
    Date,
    /// TIME; the engine keeps microseconds.
    Time,
    /// TIMESTAMP_NTZ: wall clock without zone; the engine keeps microseconds.
    TimestampNtz,
    /// TIMESTAMP_LTZ: an instant shown in the session's zone.
    TimestampLtz,
    /// TIMESTAMP_TZ: an instant with an offset; the engine keeps the instant and gives it back in UTC.
    TimestampTz,
    /// VARIANT: any JSON value.
    Variant,
    /// OBJECT: a JSON object.
    Object,
    /// ARRAY: a JSON array.
    Array,
}

impl DataType {
    /// The type of a column in the engine's own words, for CREATE TABLE and casts.
    pub fn to_engine(self) -> String {
        match self {
            DataType::Number { precision, scale } => format!("numeric({precision},{scale})"),
            DataType::Float => "double precision".to_owned(),
            // the engine's varchar(n) ends at 10485760; the check on longer ones is the row conversion's
            DataType::Varchar { length } if length > 10_485_760 => "text".to_owned(),
            DataType::Varchar { length } => format!("varchar({length})"),
            DataType::Binary { .. } => "bytea".to_owned(),
            DataType::Boolean => "boolean".to_owned(),
            DataType::Date => "date".to_owned(),
            DataType::Time => "time".to_owned(),
            DataType::TimestampNtz => "timestamp".to_owned(),
            DataType::TimestampLtz => "timestamptz".to_owned(),
            DataType::TimestampTz => "sf.timestamp_tz".to_owned(),
            DataType::Variant => "sf.variant".to_owned(),
            DataType::Object => "sf.object".to_owned(),
            DataType::Array => "sf.array".to_owned(),
        }
    }

    /// The type that a column or a result of the engine has for a Snowflake client: `name` is `pg_type.typname`, `modifier`
    /// is `atttypmod`. None for a type that Snowflake has no word for.
    pub fn from_engine(name: &str, modifier: i32) -> Option<DataType> {
        Some(match name {
            "int2" => DataType::Number { precision: 5, scale: 0 },
            "int4" => DataType::Number { precision: 10, scale: 0 },
            "int8" => DataType::Number { precision: 19, scale: 0 },
            "oid" | "xid" => DataType::Number { precision: 10, scale: 0 },
            "numeric" if modifier >= 4 => {
                // numeric's modifier is ((precision << 16) | scale) + 4
                let packed = modifier - 4;
                let precision = u8::try_from((packed >> 16) & 0xffff).ok()?;
                let scale = u8::try_from(packed & 0x7ff).ok()?;
                DataType::Number { precision, scale }
            }
            "numeric" => DataType::Number { precision: 38, scale: 0 },
            "float4" | "float8" => DataType::Float,
            "varchar" | "bpchar" if modifier >= 4 => {
                DataType::Varchar { length: u32::try_from(modifier - 4).ok()? }
            }
            "text" | "varchar" | "bpchar" | "name" | "char" | "unknown" | "void" | "regtype" | "regclass" => {
                DataType::Varchar { length: VARCHAR_LENGTH_MAX }
            }
            "bytea" => DataType::Binary { length: BINARY_LENGTH_MAX },
            "bool" => DataType::Boolean,
            "date" => DataType::Date,
            "time" => DataType::Time,
            "timestamp" => DataType::TimestampNtz,
            "timestamptz" => DataType::TimestampLtz,
            "timestamp_tz" => DataType::TimestampTz,
            "jsonb" | "json" | "variant" => DataType::Variant,
            "object" => DataType::Object,
            "array" => DataType::Array,
            _ => return None,
        })
    }

    /// The type's name in the `rowType` of the SQL API and of the driver protocol.
    pub fn wire_name(self) -> &'static str {
        match self {
            DataType::Number { .. } => "fixed",
            DataType::Float => "real",
            DataType::Varchar { .. } => "text",
            DataType::Binary { .. } => "binary",
            DataType::Boolean => "boolean",
            DataType::Date => "date",
            DataType::Time => "time",
            DataType::TimestampNtz => "timestamp_ntz",
            DataType::TimestampLtz => "timestamp_ltz",
            DataType::TimestampTz => "timestamp_tz",
            DataType::Variant => "variant",
            DataType::Object => "object",
            DataType::Array => "array",
        }
    }

    /// Precision as clients are told it.
    pub fn precision(self) -> Option<u8> {
        match self {
            DataType::Number { precision, .. } => Some(precision),
            DataType::Time | DataType::TimestampNtz | DataType::TimestampLtz | DataType::TimestampTz => {
                Some(0)
            }
            _ => None,
        }
    }

    /// Scale as clients are told it: digits after the point, also of seconds.
    pub fn scale(self) -> Option<u8> {
        match self {
            DataType::Number { scale, .. } => Some(scale),
            DataType::Time | DataType::TimestampNtz | DataType::TimestampLtz | DataType::TimestampTz => {
                Some(9)
            }
            _ => None,
        }
    }

    /// Length in characters or bytes as clients are told it.
    pub fn length(self) -> Option<u32> {
        match self {
            DataType::Varchar { length } | DataType::Binary { length } => Some(length),
            _ => None,
        }
    }
}

/// As DESCRIBE TABLE and error messages write it.
impl fmt::Display for DataType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataType::Number { precision, scale } => write!(out, "NUMBER({precision},{scale})"),
            DataType::Float => out.write_str("FLOAT"),
            DataType::Varchar { length } => write!(out, "VARCHAR({length})"),
            DataType::Binary { length } => write!(out, "BINARY({length})"),
            DataType::Boolean => out.write_str("BOOLEAN"),
            DataType::Date => out.write_str("DATE"),
            DataType::Time => out.write_str("TIME(9)"),
            DataType::TimestampNtz => out.write_str("TIMESTAMP_NTZ(9)"),
            DataType::TimestampLtz => out.write_str("TIMESTAMP_LTZ(9)"),
            DataType::TimestampTz => out.write_str("TIMESTAMP_TZ(9)"),
            DataType::Variant => out.write_str("VARIANT"),
            DataType::Object => out.write_str("OBJECT"),
            DataType::Array => out.write_str("ARRAY"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_modifier_carries_precision_and_scale() {
        // SELECT atttypmod of a numeric(12,2) column is 786438
        assert_eq!(
            DataType::from_engine("numeric", 786_438),
            Some(DataType::Number { precision: 12, scale: 2 })
        );
        assert_eq!(DataType::from_engine("varchar", 24), Some(DataType::Varchar { length: 20 }));
        assert_eq!(DataType::from_engine("point", -1), None);
    }

    #[test]
    fn describe_writes_what_snowflake_writes() {
        assert_eq!(DataType::Number { precision: 38, scale: 0 }.to_string(), "NUMBER(38,0)");
        assert_eq!(DataType::TimestampTz.to_string(), "TIMESTAMP_TZ(9)");
    }
}
