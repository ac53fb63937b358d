//! A quoted name or text ends where it is meant to end, and says what it said.
#![no_main]

use cdcd_postgres::sql::{PgIdent, PgLiteral};
use cdcd_snowflake::{SfIdent, SfLiteral};
use libfuzzer_sys::fuzz_target;

/// Reads a quoted text as SQL does; panics if anything is left behind the closing quote.
fn unquote(text: &str, quote: char, backslash: bool) -> String {
    let mut chars = text.chars().peekable();
    assert_eq!(chars.next(), Some(quote));
    let mut inside = String::new();
    while let Some(char) = chars.next() {
        match char {
            '\\' if backslash => inside.extend(chars.next()),
            char if char == quote => match chars.next() {
                Some(next) if next == quote => inside.push(quote),
                rest => {
                    assert_eq!(rest, None, "{text}");
                    return inside;
                }
            },
            char => inside.push(char),
        }
    }
    panic!("no end: {text}")
}

fuzz_target!(|name: &str| {
    assert_eq!(unquote(&PgIdent::new(name).to_string(), '"', false), name);
    assert_eq!(unquote(&PgLiteral::new(name).to_string(), '\'', false), name);
    assert_eq!(unquote(&SfIdent::new(name).to_string(), '"', false), name);
    assert_eq!(unquote(&SfLiteral::new(name).to_string(), '\'', true), name);
});
