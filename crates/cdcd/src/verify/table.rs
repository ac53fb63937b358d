//! One source table: its columns, and what each of their values is.

use cdcd_debezium::event::schema::{ColumnType, DateNotation, TimeNotation};
use cdcd_postgres::catalog::{self, Table, Type};
use cdcd_postgres::sql::PgIdent;
use cdcd_sink::config::{DecimalMode, TimeMode};
use tokio_postgres::Client;

use super::cell::Family;
use crate::connector::sink::SinkSettings;

/// A column that is compared.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) family: Family,
    /// How an event writes it, with the modes of the sink's file.
    pub(super) kind: ColumnType,
    /// Digits of the fraction of a second that an event keeps.
    pub(super) digits: u32,
}

/// A source table and where it lands.
#[derive(Debug, Clone)]
pub(super) struct SourceTable {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) topic: String,
    /// Base name of the destination table.
    pub(super) base: String,
    pub(super) columns: Vec<Column>,
    /// Positions in `columns`, in key order.
    pub(super) key: Vec<usize>,
    /// Columns that cannot be compared, with their type.
    pub(super) skipped: Vec<String>,
    /// Why the table cannot be compared at all.
    pub(super) obstacle: Option<String>,
}

impl SourceTable {
    /// Reads columns and key of a table.
    pub(super) async fn read(
        control: &Client,
        table: &Table,
        (topic, base): (String, String),
        settings: &SinkSettings,
    ) -> Result<Self, cdcd_postgres::Error> {
        let all = catalog::columns(control, table.oid).await?;
        let oids: Vec<u32> = all.iter().map(|column| column.type_oid).collect();
        let types = catalog::types(control, &oids).await?;
        let key_names = catalog::key_columns(control, table.oid).await?;
        let mut columns = Vec::new();
        let mut skipped = Vec::new();
        for column in &all {
            let (oid, typmod, is_enum) = base_type(column.type_oid, column.typmod, &types);
            match kind(oid, typmod, is_enum, settings) {
                // Generated columns are not in the stream of the servers that we know.
                Some((family, kind, digits)) if !column.is_generated => {
                    columns.push(Column { name: column.name.clone(), family, kind, digits });
                }
                _ => skipped.push(column.name.clone()),
            }
        }
        let key: Vec<usize> = key_names
            .iter()
            .filter_map(|name| columns.iter().position(|column| column.name == *name))
            .collect();
        let obstacle = if key_names.is_empty() {
            Some("it has no key, so its rows cannot be told apart".to_owned())
        } else if key.len() < key_names.len() {
            Some("a key column has a type that cannot be compared".to_owned())
        } else {
            None
        };
        let (schema, name) = (table.schema.clone(), table.name.clone());
        Ok(SourceTable { schema, name, topic, base, columns, key, skipped, obstacle })
    }

    /// `schema.table`
    pub(super) fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    fn quoted(&self) -> String {
        format!("{}.{}", PgIdent::new(&self.schema), PgIdent::new(&self.name))
    }

    /// Names of the compared columns.
    pub(super) fn names(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }

    /// All rows in the order of their key; texts in the order of their bytes.
    pub(super) fn ordered_select(&self) -> String {
        let order = self.key_columns().map(|column| match column.family {
            Family::Text | Family::Padded => {
                format!("{}::text COLLATE \"C\"", PgIdent::new(&column.name))
            }
            _ => PgIdent::new(&column.name).to_string(),
        });
        format!("SELECT * FROM {} ORDER BY {}", self.quoted(), order.collect::<Vec<_>>().join(", "))
    }

    /// The rows of some keys, given as literals of the source.
    pub(super) fn select_keys(&self, keys: &[Vec<String>]) -> String {
        let list = |names: Vec<String>| names.join(", ");
        let names = list(self.columns.iter().map(|column| PgIdent::new(&column.name).to_string()).collect());
        let key = list(self.key_columns().map(|column| PgIdent::new(&column.name).to_string()).collect());
        let values: Vec<String> = keys.iter().map(|values| format!("({})", values.join(", "))).collect();
        format!("SELECT {names} FROM {} WHERE ({key}) IN ({})", self.quoted(), values.join(", "))
    }

    pub(super) fn key_columns(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().filter_map(|at| self.columns.get(*at))
    }
}

/// The type below domains, and whether it is an enum.
fn base_type(mut oid: u32, mut typmod: i32, types: &[Type]) -> (u32, i32, bool) {
    while let Some(found) = types.iter().find(|found| found.oid == oid) {
        match found.kind {
            'd' => {
                if typmod < 0 {
                    typmod = found.base_typmod;
                }
                oid = found.base_oid;
            }
            'e' => return (oid, typmod, true),
            _ => break,
        }
    }
    (oid, typmod, false)
}

fn kind(oid: u32, typmod: i32, is_enum: bool, settings: &SinkSettings) -> Option<(Family, ColumnType, u32)> {
    let modes = &settings.sink.modes;
    let whole = |family, kind| Some((family, kind, 6));
    match oid {
        _ if is_enum => whole(Family::Text, ColumnType::Text),
        16 => whole(Family::Boolean, ColumnType::Boolean),
        20 | 21 | 23 => whole(Family::Decimal, ColumnType::Integer { bits: 64 }),
        26 => whole(Family::Decimal, ColumnType::Integer { bits: 64 }),
        1700 => {
            let (family, kind) = numeric(typmod, modes.decimal);
            whole(family, kind)
        }
        700 => whole(Family::Float32, ColumnType::Float { bits: 32 }),
        701 => whole(Family::Float64, ColumnType::Float { bits: 64 }),
        17 => whole(Family::Bytes, ColumnType::Bytes(modes.binary)),
        1082 => whole(
            Family::Date,
            ColumnType::Date(if modes.time == TimeMode::IsoString {
                DateNotation::Iso
            } else {
                DateNotation::Days
            }),
        ),
        1083 => timed(Family::Time, typmod, modes.time),
        1114 => timed(Family::Timestamp, typmod, modes.time),
        1184 => whole(Family::Instant, ColumnType::ZonedTimestamp),
        114 | 3802 => whole(Family::Json, ColumnType::Json),
        1042 => whole(Family::Padded, ColumnType::Text),
        18 | 19 | 25 | 1043 | 2950 => whole(Family::Text, ColumnType::Text),
        _ => None,
    }
}

fn numeric(typmod: i32, mode: DecimalMode) -> (Family, ColumnType) {
    match mode {
        DecimalMode::Double => (Family::Float64, ColumnType::Float { bits: 64 }),
        DecimalMode::String => (Family::Decimal, ColumnType::DecimalText),
        DecimalMode::Precise if typmod < 4 => (Family::Decimal, ColumnType::VariableDecimal),
        DecimalMode::Precise => {
            // Precision in the upper half, scale in the lower eleven bits, signed.
            let packed = typmod - 4;
            let scale = ((packed & 0x7ff) ^ 1024) - 1024;
            let precision = u32::try_from((packed >> 16) & 0xffff).ok();
            (Family::Decimal, ColumnType::Decimal { precision, scale })
        }
    }
}

fn timed(family: Family, typmod: i32, mode: TimeMode) -> Option<(Family, ColumnType, u32)> {
    let precision = u32::try_from(typmod).unwrap_or(6);
    let is_time = family == Family::Time;
    let notation = match mode {
        TimeMode::Connect => TimeNotation::Millis,
        TimeMode::AdaptiveTimeMicroseconds if is_time => TimeNotation::Micros,
        TimeMode::Adaptive | TimeMode::AdaptiveTimeMicroseconds if precision <= 3 => TimeNotation::Millis,
        TimeMode::Adaptive | TimeMode::AdaptiveTimeMicroseconds | TimeMode::Microseconds => {
            TimeNotation::Micros
        }
        TimeMode::Nanoseconds => TimeNotation::Nanos,
        TimeMode::IsoString => TimeNotation::Iso,
    };
    let digits = if notation == TimeNotation::Millis { 3 } else { 6 };
    let kind = if is_time { ColumnType::Time(notation) } else { ColumnType::Timestamp(notation) };
    Some((family, kind, digits))
}

/// Splits a row of COPY's text format into its fields.
pub(super) fn copy_fields(line: &[u8]) -> Option<Vec<Option<String>>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.split(|byte| *byte == b'\t').map(copy_field).collect()
}

fn copy_field(field: &[u8]) -> Option<Option<String>> {
    if field == b"\\N" {
        return Some(None);
    }
    let mut text = Vec::with_capacity(field.len());
    let mut bytes = field.iter();
    while let Some(byte) = bytes.next() {
        text.push(match byte {
            b'\\' => match bytes.next()? {
                b'b' => 8,
                b'f' => 12,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'v' => 11,
                other => *other,
            },
            other => *other,
        });
    }
    String::from_utf8(text).ok().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_rows_lose_their_escapes() {
        let fields = copy_fields(b"1\t\\N\ta\\tb\\\\\\n\t\n").unwrap();
        assert_eq!(fields, [Some("1".to_owned()), None, Some("a\tb\\\n".to_owned()), Some(String::new())]);
        assert_eq!(copy_fields(b"a\\"), None);
    }

    #[test]
    fn numeric_typmods_tell_precision_and_scale() {
        let packed = |precision: i32, scale: i32| ((precision << 16) | (scale & 0x7ff)) + 4;
        for (precision, scale) in [(10, 2), (38, 0), (3, -2)] {
            let (_, kind) = numeric(packed(precision, scale), DecimalMode::Precise);
            assert_eq!(kind, ColumnType::Decimal { precision: u32::try_from(precision).ok(), scale });
        }
        assert_eq!(numeric(-1, DecimalMode::Precise).1, ColumnType::VariableDecimal);
    }
}
