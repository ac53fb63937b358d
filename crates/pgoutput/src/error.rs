use std::fmt;

/// Bytes from the server that are not a replication message. Always definite: the same bytes fail again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("message '{}': {field} at byte {offset}: {kind}", tag(*.message))]
pub struct DecodeError {
    /// Tag byte of the message, 0 before it was read.
    pub message: u8,
    /// The field that was being read, named as in PostgreSQL's manual.
    pub field: &'static str,
    /// Byte offset in the payload where the field begins.
    pub offset: usize,
    /// What was wrong.
    pub kind: ErrorKind,
}

/// What was wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The payload ends inside the field.
    UnexpectedEnd,
    /// Bytes remain after the last field.
    TrailingBytes,
    /// A tag that the protocol does not have at this place.
    UnknownTag(u8),
    /// A length below zero or beyond the payload.
    BadLength(i64),
    /// A name that is not UTF-8.
    NotUtf8,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ErrorKind::UnexpectedEnd => f.write_str("unexpected end of the message"),
            ErrorKind::TrailingBytes => f.write_str("bytes remain after the last field"),
            ErrorKind::UnknownTag(byte) => write!(f, "unknown tag '{}'", tag(*byte)),
            ErrorKind::BadLength(length) => write!(f, "impossible length {length}"),
            ErrorKind::NotUtf8 => f.write_str("name is not UTF-8"),
        }
    }
}

fn tag(byte: u8) -> String {
    std::ascii::escape_default(byte).to_string()
}
