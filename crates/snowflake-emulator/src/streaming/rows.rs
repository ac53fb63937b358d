//! Newline-delimited JSON to the engine's COPY text: keys are matched to columns, values are checked against their types.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::engine::Table;
use crate::streaming::channel::Batch;
use crate::streaming::convert::{BinaryFormat, write_value};

/// Rows of one commit, in COPY's text form.
#[derive(Debug, Default)]
pub(super) struct Converted {
    /// COPY text, one line per good row.
    pub copy: Vec<u8>,
    /// Where each good row is: its line in `copy`, and what it came from.
    pub rows: Vec<GoodRow>,
    /// Rows that did not convert.
    pub bad: Vec<BadRow>,
    /// Keys that no column has, with the JSON text of their first non-null value; only collected for tables that evolve.
    pub unknown_keys: BTreeMap<String, String>,
}

/// A row that converted.
#[derive(Debug, Clone)]
pub(super) struct GoodRow {
    /// Its line in the COPY text, the newline included.
    pub copy: Range<usize>,
    /// Index of its batch.
    pub batch: usize,
    /// Its bytes in the batch's body.
    pub source: Range<usize>,
}

/// A row that did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadRow {
    /// Column and reason.
    pub message: String,
    /// Index of its batch.
    pub batch: usize,
    /// Its bytes in the batch's body.
    pub source: Range<usize>,
}

/// Converts all rows of `batches` for `table`.
pub(super) fn convert(table: &Table, batches: &[Batch], binary: BinaryFormat) -> Converted {
    let mut converted = Converted::default();
    let mut converter = Converter::new(table, binary);
    for (index, batch) in batches.iter().enumerate() {
        for source in lines(&batch.body) {
            let line = batch.body.get(source.clone()).unwrap_or_default();
            let start = converted.copy.len();
            match converter.row(line, &mut converted.copy) {
                Ok(()) => {
                    let copy = start..converted.copy.len();
                    converted.rows.push(GoodRow { copy, batch: index, source });
                }
                Err(message) => {
                    converted.copy.truncate(start);
                    converted.bad.push(BadRow { message, batch: index, source });
                }
            }
        }
    }
    converted.unknown_keys = converter.unknown_keys;
    converted
}

/// Byte ranges of the lines that are not blank. (The official client puts a blank line between coalesced appends.)
pub(super) fn lines(body: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut start = 0;
    body.split(|byte| *byte == b'\n').filter_map(move |line| {
        let range = start..start + line.len();
        start = range.end + 1;
        (!line.trim_ascii().is_empty()).then_some(range)
    })
}

struct Converter<'t> {
    table: &'t Table,
    binary: BinaryFormat,
    by_name: BTreeMap<String, usize>,
    unknown_keys: BTreeMap<String, String>,
}

impl<'t> Converter<'t> {
    fn new(table: &'t Table, binary: BinaryFormat) -> Converter<'t> {
        let by_name =
            table.columns.iter().enumerate().map(|(at, column)| (column.name.clone(), at)).collect();
        Converter { table, binary, by_name, unknown_keys: BTreeMap::new() }
    }

    /// Keys match a column's name exactly, else without regard to case, as MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE does.
    fn column_of(&self, key: &str) -> Option<usize> {
        if let Some(at) = self.by_name.get(key) {
            return Some(*at);
        }
        let folded = key.to_uppercase();
        if let Some(at) = self.by_name.get(&folded) {
            return Some(*at);
        }
        self.table.columns.iter().position(|column| column.name.to_uppercase() == folded)
    }

    fn row(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let line = std::str::from_utf8(line).map_err(|error| format!("row is not UTF-8: {error}"))?;
        let mut values: Vec<Option<&str>> = vec![None; self.table.columns.len()];
        let mut reader = serde_json::Deserializer::from_str(line);
        let pairs =
            reader.deserialize_map(Pairs).map_err(|error| format!("row is not a JSON object: {error}"))?;
        reader.end().map_err(|error| format!("row is not one JSON object: {error}"))?;
        for (key, value) in &pairs {
            match self.column_of(key) {
                Some(at) => {
                    if let Some(slot) = values.get_mut(at) {
                        *slot = Some(value.get());
                    }
                }
                None if self.table.schema_evolution && value.get() != "null" => {
                    self.unknown_keys.entry(key.to_uppercase()).or_insert_with(|| value.get().to_owned());
                }
                None => {}
            }
        }
        for (at, (column, value)) in self.table.columns.iter().zip(&values).enumerate() {
            if at > 0 {
                out.push(b'\t');
            }
            // an absent key is NULL even where the column has a default: the pipe copies by name
            let json = value.unwrap_or("null");
            if json == "null" && !column.nullable {
                return Err(format!("column {}: NULL in a NOT NULL column", column.name));
            }
            write_value(column.data_type, json, self.binary, out)
                .map_err(|reason| format!("column {}: {reason}", column.name))?;
        }
        out.push(b'\n');
        Ok(())
    }
}

/// Reads one JSON object as pairs of key and raw value, in order, without building a tree.
struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::with_capacity(16);
        while let Some(Key(key)) = map.next_key()? {
            pairs.push((key, map.next_value()?));
        }
        Ok(pairs)
    }
}

/// A key, borrowed where the text has no escapes.
struct Key<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        reader.deserialize_str(KeyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::datatype::{DataType, VARCHAR_LENGTH_MAX};
    use crate::engine::Column;

    fn table() -> Table {
        let column = |name: &str, data_type, nullable| Column { name: name.to_owned(), data_type, nullable };
        Table {
            oid: 1,
            columns: vec![
                column("ID", DataType::Number { precision: 38, scale: 0 }, false),
                column("note", DataType::Varchar { length: VARCHAR_LENGTH_MAX }, true),
                column("V", DataType::Variant, true),
            ],
            error_logging: false,
            schema_evolution: true,
        }
    }

    fn run(body: &'static str) -> Converted {
        let batch = Batch {
            body: Bytes::from_static(body.as_bytes()),
            start_token: None,
            end_token: None,
            accepted_at: Duration::ZERO,
        };
        convert(&table(), &[batch], BinaryFormat::Hex)
    }

    #[test]
    fn keys_match_without_regard_to_case_and_absent_ones_are_null() {
        let converted = run("{\"id\":1,\"NOTE\":\"a\"}\n\n{\"V\":{\"x\":[1]},\"ID\":2}");
        assert_eq!(String::from_utf8_lossy(&converted.copy), "1\ta\t\\N\n2\t\\N\t{\"x\":[1]}\n");
        assert_eq!((converted.rows.len(), converted.bad.len()), (2, 0));
    }

    #[test]
    fn a_bad_row_leaves_no_trace_among_the_good_ones() {
        let converted =
            run("{\"ID\":1}\n{\"ID\":\"x\"}\nnot json\n{\"note\":\"no id\"}\n{\"ID\":5}\n[1]\n{\"ID\":6} {}");
        assert_eq!(String::from_utf8_lossy(&converted.copy), "1\t\\N\t\\N\n5\t\\N\t\\N\n");
        let messages: Vec<_> = converted.bad.iter().map(|bad| bad.message.as_str()).collect();
        assert_eq!(messages.len(), 5);
        assert_eq!(messages.first(), Some(&"column ID: string is not a number"));
        assert!(messages.iter().any(|message| message.contains("NULL in a NOT NULL column")));
        assert_eq!(converted.bad.first().map(|bad| bad.source.clone()), Some(9..19));
    }

    #[test]
    fn unknown_keys_are_collected_for_a_table_that_evolves() {
        let converted = run("{\"ID\":1,\"extra\":null}\n{\"ID\":1,\"extra\":5}");
        assert_eq!(converted.unknown_keys.get("EXTRA").map(String::as_str), Some("5"));
    }

    #[test]
    fn an_escaped_key_is_the_key_it_names() {
        let converted = run("{\"\\u0049D\":7}");
        assert_eq!(String::from_utf8_lossy(&converted.copy), "7\t\\N\t\\N\n");
    }
}
