//! Rows on the wire (TupleData).

/// What the wire says about one column of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// A TOASTed value that the UPDATE did not touch and that was not sent.
    UnchangedToast,
    /// The type's text output, in the connection's client encoding.
    Text(&'a [u8]),
    /// The type's binary output.
    Binary(&'a [u8]),
}

/// Where one column lies in its payload. 12 bytes, so that a row of 16 columns is three cache lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// `n`, `u`, `t` or `b` as on the wire.
    pub(crate) kind: u8,
    /// Offset of the value's first byte in the payload.
    pub(crate) start: u32,
    /// Length of the value in bytes.
    pub(crate) length: u32,
}

/// One row: column places over the payload that holds them.
///
/// `| columns u16 | per column: kind u8 ('n' null, 'u' unchanged TOAST, 't' text, 'b' binary) | length i32 | bytes |`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple<'a> {
    pub(crate) payload: &'a [u8],
    pub(crate) columns: &'a [Column],
}

impl<'a> Tuple<'a> {
    /// A row without columns.
    pub const EMPTY: Tuple<'static> = Tuple { payload: &[], columns: &[] };

    /// Number of columns.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether the row has no columns at all.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The value of column `index`, counted as in the Relation message.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Value<'a>> {
        self.columns.get(index).map(|column| self.value(*column))
    }

    /// All values in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Value<'a>> + use<'a> {
        let Tuple { payload, columns } = *self;
        columns.iter().map(move |column| Tuple { payload, columns }.value(*column))
    }

    #[inline]
    fn value(&self, column: Column) -> Value<'a> {
        let start = column.start as usize;
        let bytes = self.payload.get(start..start + column.length as usize).unwrap_or_default();
        match column.kind {
            b't' => Value::Text(bytes),
            b'b' => Value::Binary(bytes),
            b'u' => Value::UnchangedToast,
            _ => Value::Null,
        }
    }
}

/// Splits one row of COPY's text format into a tuple with the same shape as a row of the stream.
///
/// Source: PostgreSQL 17, COPY, "Text Format". Columns are separated by tabs, NULL is `\N`, and
/// backslash escapes are resolved into `unescaped`. One decoder then serves snapshot and stream.
#[derive(Debug, Default)]
pub struct CopyRow {
    unescaped: Vec<u8>,
    columns: Vec<Column>,
}

impl CopyRow {
    /// Reads one row without its line end; the tuple borrows from `self`.
    pub fn split<'a>(&'a mut self, line: &[u8]) -> Tuple<'a> {
        self.unescaped.clear();
        self.columns.clear();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        for field in (LineFields { rest: Some(line) }) {
            let start = self.unescaped.len() as u32;
            if field == b"\\N" {
                self.columns.push(Column { kind: b'n', start, length: 0 });
                continue;
            }
            unescape(field, &mut self.unescaped);
            let length = self.unescaped.len() as u32 - start;
            self.columns.push(Column { kind: b't', start, length });
        }
        Tuple { payload: &self.unescaped, columns: &self.columns }
    }
}

struct LineFields<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for LineFields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        match memchr::memchr(b'\t', rest) {
            Some(tab) => {
                let (field, after) = rest.split_at(tab);
                self.rest = after.get(1..);
                Some(field)
            }
            None => {
                self.rest = None;
                Some(rest)
            }
        }
    }
}

fn unescape(mut field: &[u8], out: &mut Vec<u8>) {
    while let Some(backslash) = memchr::memchr(b'\\', field) {
        let (plain, escape) = field.split_at(backslash);
        out.extend_from_slice(plain);
        let Some(&escaped) = escape.get(1) else {
            out.push(b'\\');
            return;
        };
        out.push(match escaped {
            b'b' => 0x08,
            b'f' => 0x0C,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0B,
            other => other,
        });
        field = escape.get(2..).unwrap_or_default();
    }
    out.extend_from_slice(field);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(line: &[u8]) -> Vec<Option<Vec<u8>>> {
        let mut row = CopyRow::default();
        row.split(line)
            .iter()
            .map(|value| match value {
                Value::Text(bytes) => Some(bytes.to_vec()),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn copy_row_resolves_escapes_and_tells_null_from_empty() {
        assert_eq!(
            values(b"1\t\\N\t\ta\\tb\\\\c\\n\t\\\\N\n"),
            [
                Some(b"1".to_vec()),
                None,
                Some(b"".to_vec()),
                Some(b"a\tb\\c\n".to_vec()),
                Some(b"\\N".to_vec())
            ]
        );
    }
}
