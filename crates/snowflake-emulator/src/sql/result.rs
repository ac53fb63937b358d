//! Results: columns with Snowflake's types, and cells in the text form that its wire uses.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::datatype::{DataType, VARCHAR_LENGTH_MAX};

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResultColumn {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    pub(crate) nullable: bool,
    /// The engine did not say the scale of this NUMBER: the cells do.
    pub(crate) scale_is_open: bool,
}

/// Rows of a result; each cell is text as the SQL API writes it, or NULL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResultSet {
    pub(crate) columns: Vec<ResultColumn>,
    pub(crate) rows: Vec<Vec<Option<String>>>,
    /// Counts of a statement that changed rows: inserted, updated, deleted.
    pub(crate) stats: Option<(u64, u64, u64)>,
}

impl ResultSet {
    /// One row, one column `status`.
    pub(crate) fn status(message: &str) -> ResultSet {
        ResultSet {
            columns: vec![ResultColumn {
                name: "status".to_owned(),
                data_type: DataType::Varchar { length: VARCHAR_LENGTH_MAX },
                nullable: true,
                scale_is_open: false,
            }],
            rows: vec![vec![Some(message.to_owned())]],
            stats: None,
        }
    }

    /// Gives NUMBER columns whose scale was open the scale of their cells, and the cells that many digits.
    pub(crate) fn settle_scales(&mut self) {
        for (at, column) in self.columns.iter_mut().enumerate().filter(|(_, column)| column.scale_is_open) {
            let digits = |cell: &str| cell.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            let cells = || self.rows.iter().filter_map(|row| row.get(at)?.as_deref());
            let scale = cells().map(digits).max().unwrap_or(0).min(37);
            for cell in self.rows.iter_mut().filter_map(|row| row.get_mut(at)?.as_mut()) {
                let have = digits(cell);
                if have < scale {
                    if have == 0 {
                        cell.push('.');
                    }
                    cell.extend(std::iter::repeat_n('0', scale - have));
                }
            }
            column.data_type = DataType::Number { precision: 38, scale: u8::try_from(scale).unwrap_or(37) };
            column.scale_is_open = false;
        }
    }

    /// `rowType` of `resultSetMetaData` and `rowtype` of the driver protocol.
    pub(crate) fn row_type(&self) -> Vec<Value> {
        self.columns
            .iter()
            .map(|column| {
                json!({
                    "name": column.name,
                    "database": "",
                    "schema": "",
                    "table": "",
                    "type": column.data_type.wire_name(),
                    "nullable": column.nullable,
                    "precision": column.data_type.precision(),
                    "scale": column.data_type.scale(),
                    "length": column.data_type.length(),
                    "byteLength": column.data_type.length().map(|length| u64::from(length).min(u64::from(VARCHAR_LENGTH_MAX))),
                    "collation": null,
                })
            })
            .collect()
    }
}

/// The engine's expression that gives a column's cell as text.
pub(crate) fn cell_expression(column: &str, data_type: DataType, engine_type: &str) -> String {
    match data_type {
        DataType::Date => format!("({column} - date '1970-01-01')::text"),
        DataType::Time => format!("round(extract(epoch FROM {column}), 9)::text"),
        DataType::TimestampNtz | DataType::TimestampLtz => {
            format!("round(extract(epoch FROM {column}), 9)::text")
        }
        DataType::TimestampTz => format!("round(extract(epoch FROM {column}), 9)::text || ' 1440'"),
        DataType::Binary { .. } => format!("upper(encode({column}, 'hex'))"),
        DataType::Number { .. } if engine_type == "oid" => format!("{column}::text"),
        _ => format!("{column}::text"),
    }
}

/// JSON text of the engine as Snowflake shows a VARIANT: two blanks a level, one pair a line.
pub(crate) fn pretty_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if in_string {
            out.push(c);
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            '"' => {
                in_string = true;
                out.push(c);
            }
            '{' | '[' => {
                out.push(c);
                let close = if c == '{' { '}' } else { ']' };
                while chars.next_if(|c| c.is_whitespace()).is_some() {}
                if chars.next_if_eq(&close).is_some() {
                    out.push(close);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_shown_with_two_blanks_a_level() {
        assert_eq!(
            pretty_json(r#"{"a": [1, {}], "b c": "x: {,\"}"}"#),
            "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b c\": \"x: {,\\\"}\"\n}"
        );
        assert_eq!(pretty_json("[]"), "[]");
        assert_eq!(pretty_json("null"), "null");
    }

    #[test]
    fn an_open_scale_is_that_of_the_widest_cell() {
        let mut result = ResultSet::status("");
        if let Some(column) = result.columns.first_mut() {
            column.scale_is_open = true;
        }
        result.rows = vec![vec![Some("1".to_owned())], vec![Some("2.50".to_owned())], vec![None]];
        result.settle_scales();
        assert_eq!(
            result.rows,
            vec![vec![Some("1.00".to_owned())], vec![Some("2.50".to_owned())], vec![None]]
        );
        assert_eq!(
            result.columns.first().map(|column| column.data_type),
            Some(DataType::Number { precision: 38, scale: 2 })
        );
    }
}
