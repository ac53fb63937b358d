//! A quoted name or text ends where it is meant to end, and says what it said.
#![no_main]

use cdcd_postgres::replication::{quote_identifier, quote_literal};
use cdcd_snowflake::fuzzing;
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
    assert_eq!(unquote(&quote_identifier(name), '"', false), name);
    assert_eq!(unquote(&quote_literal(name), '\'', false), name);
    assert_eq!(unquote(&fuzzing::identifier(name), '"', false), name);
    assert_eq!(unquote(&fuzzing::literal(name), '\'', true), name);
});
