//! Names and texts inside of SQL. Neither can be made without its quotes.

use std::borrow::Borrow;
use std::fmt;

/// An identifier in quotes, for example `"order""s"`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PgIdent(String);

impl PgIdent {
    /// The name as it is called, whatever it holds.
    pub fn new(name: &str) -> Self {
        PgIdent(postgres_protocol::escape::escape_identifier(name))
    }
}

/// A string in quotes, in the form that the replication grammar takes too: no `E''`, no backslash escapes. For a server
/// with `standard_conforming_strings`, which our sessions do not turn off.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PgLiteral(String);

impl PgLiteral {
    /// The text as it is read back.
    pub fn new(text: &str) -> Self {
        PgLiteral(format!("'{}'", text.replace('\'', "''")))
    }
}

macro_rules! written {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        /// So that lists of them can be joined.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

written!(PgIdent PgLiteral);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_cannot_leave_their_quotes() {
        for (name, quoted) in
            [("plain", "\"plain\""), ("a\"; DROP TABLE t; --", "\"a\"\"; DROP TABLE t; --\"")]
        {
            assert_eq!(PgIdent::new(name).to_string(), quoted);
        }
        assert_eq!(PgLiteral::new("it's\\").to_string(), "'it''s\\'");
        assert_eq!([PgIdent::new("a"), PgIdent::new("b")].join(", "), "\"a\", \"b\"");
    }
}
