//! Kafka Connect's JsonConverter form.

use std::str::Utf8Error;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::java;
use crate::schema::Schema;
use crate::value::{FieldName, Mark, TextPart, ValueWriter};

/// `decimal.format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DecimalFormat {
    /// The unscaled value's bytes as text.
    #[default]
    Base64,
    /// A number.
    Numeric,
}

/// Appends records in JsonConverter's form to one buffer.
#[derive(Debug, Default)]
pub struct JsonWriter {
    out: Vec<u8>,
    /// Whether the next value or field needs a comma before it.
    separate: bool,
    decimal: DecimalFormat,
}

impl JsonWriter {
    /// A writer with this form of decimals.
    pub fn new(decimal: DecimalFormat) -> Self {
        JsonWriter { decimal, ..JsonWriter::default() }
    }

    /// All that was written since the last [`JsonWriter::clear`].
    pub fn as_bytes(&self) -> &[u8] {
        &self.out
    }

    /// Starts over with an empty buffer that keeps its capacity.
    pub fn clear(&mut self) {
        self.out.clear();
        self.separate = false;
    }

    /// Gives capacity back after an unusually large record.
    pub fn shrink_to(&mut self, capacity: usize) {
        self.out.shrink_to(capacity);
    }

    #[inline]
    fn value(&mut self) {
        if self.separate {
            self.out.push(b',');
        }
        self.separate = true;
    }

    #[inline]
    fn open(&mut self, bracket: u8) {
        self.value();
        self.out.push(bracket);
        self.separate = false;
    }

    #[inline]
    fn close(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.separate = true;
    }

    fn base64(&mut self, value: &[u8]) {
        self.out.push(b'"');
        let start = self.out.len();
        self.out.resize(start + value.len().div_ceil(3) * 4, 0);
        if let Some(room) = self.out.get_mut(start..) {
            // The room is exactly the encoded length, so this cannot fail.
            let written = STANDARD.encode_slice(value, room).unwrap_or_default();
            self.out.truncate(start + written);
        }
        self.out.push(b'"');
    }
}

impl ValueWriter for JsonWriter {
    #[inline]
    fn begin_record(&mut self, prefix: &[u8]) {
        self.out.extend_from_slice(prefix);
        self.separate = false;
    }

    #[inline]
    fn end_record(&mut self, suffix: &[u8]) {
        self.out.extend_from_slice(suffix);
        self.separate = false;
    }

    #[inline]
    fn null(&mut self) {
        self.value();
        self.out.extend_from_slice(b"null");
    }

    #[inline]
    fn boolean(&mut self, value: bool) {
        self.value();
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    #[inline]
    fn int(&mut self, value: i64) {
        self.value();
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    #[inline]
    fn int_with_digits(&mut self, _value: i64, digits: &[u8]) {
        self.value();
        self.out.extend_from_slice(digits);
    }

    fn float32(&mut self, value: f32) {
        self.value();
        java::write_f32(&mut self.out, value);
    }

    fn float64(&mut self, value: f64) {
        self.value();
        java::write_f64(&mut self.out, value);
    }

    #[inline]
    fn string(&mut self, value: &str) {
        self.value();
        write_string(&mut self.out, value);
    }

    #[inline]
    fn utf8(&mut self, value: &[u8]) -> Result<(), Utf8Error> {
        if is_plain(value) {
            self.value();
            write_plain(&mut self.out, value);
            return Ok(());
        }
        std::str::from_utf8(value)?;
        self.value();
        write_escaped(&mut self.out, value);
        Ok(())
    }

    #[inline]
    fn digits_between(&mut self, before: &TextPart, digits: &str, behind: &TextPart) {
        self.value();
        self.out.push(b'"');
        self.out.extend_from_slice(before.json());
        self.out.extend_from_slice(digits.as_bytes());
        self.out.extend_from_slice(behind.json());
        self.out.push(b'"');
    }

    fn bytes(&mut self, value: &[u8]) {
        self.value();
        self.base64(value);
    }

    fn decimal(&mut self, unscaled: &[u8], scale: i32) {
        self.value();
        match self.decimal {
            DecimalFormat::Base64 => self.base64(unscaled),
            DecimalFormat::Numeric => self.out.extend_from_slice(java::decimal(unscaled, scale).as_bytes()),
        }
    }

    #[inline]
    fn begin_struct(&mut self) {
        self.open(b'{');
    }

    #[inline]
    fn field(&mut self, name: &FieldName) {
        self.out.extend_from_slice(name.json(self.separate));
        self.separate = false;
    }

    #[inline]
    fn end_struct(&mut self) {
        self.close(b'}');
    }

    fn begin_array(&mut self, _length: usize) {
        self.open(b'[');
    }

    fn end_array(&mut self) {
        self.close(b']');
    }

    fn begin_map(&mut self, _length: usize) {
        self.open(b'{');
    }

    fn map_key(&mut self, key: &str) {
        self.value();
        write_string(&mut self.out, key);
        self.out.push(b':');
        self.separate = false;
    }

    fn end_map(&mut self) {
        self.close(b'}');
    }

    #[inline]
    fn fragment(&mut self, fields: &[u8]) {
        self.value();
        self.out.extend_from_slice(fields);
    }

    #[inline]
    fn mark(&self) -> Mark {
        Mark { length: self.out.len(), separate: self.separate, ..Mark::default() }
    }

    fn rewind(&mut self, mark: Mark) {
        self.out.truncate(mark.length);
        self.separate = mark.separate;
    }

    fn take_since(&mut self, mark: Mark, into: &mut Vec<u8>) {
        into.clear();
        into.extend_from_slice(self.out.get(mark.length..).unwrap_or_default());
        self.rewind(mark);
    }

    fn take_string(&mut self, mark: Mark) -> Option<String> {
        let written = self.out.get(mark.length..)?;
        let json = written.strip_prefix(b",").unwrap_or(written);
        let text = serde_json::from_slice(json).ok()?;
        self.rewind(mark);
        Some(text)
    }
}

/// What surrounds a payload: nothing, or `{"schema":…,"payload":` and `}` with `schemas.enable=true`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// Before the payload.
    pub prefix: Vec<u8>,
    /// Behind it.
    pub suffix: Vec<u8>,
}

impl Frame {
    /// Payload only (`schemas.enable=false`).
    pub fn bare() -> Self {
        Frame::default()
    }

    /// Schema and payload (`schemas.enable=true`).
    pub fn with_schema(schema: &Schema, decimal: DecimalFormat) -> Self {
        let mut prefix = b"{\"schema\":".to_vec();
        schema.write_json(&mut prefix, decimal);
        prefix.extend_from_slice(b",\"payload\":");
        Frame { prefix, suffix: b"}".to_vec() }
    }
}

/// Appends a JSON string as Jackson writes it into bytes: quotes, backslashes and controls escaped, characters outside
/// of the basic plane as two escapes, the rest raw UTF-8.
#[inline]
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    match is_plain(bytes) {
        true => write_plain(out, bytes),
        false => write_escaped(out, bytes),
    }
}

/// Printable ASCII without quotes and backslashes stands in JSON as it is.
#[inline]
fn write_plain(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    out.extend_from_slice(bytes);
    out.push(b'"');
}

/// One bit in each byte of a word.
const ONES: u64 = u64::MAX / 255;

/// Whether eight bytes are all printable ASCII without quotes and backslashes. In a byte below 128, a bit at the top
/// is set by a borrow (below a space) or by the zero that an exclusive or leaves of the byte that is looked for.
#[inline]
fn are_plain(word: u64) -> bool {
    let is_zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = is_zero(word ^ (ONES * u64::from(b'"')));
    let backslash = is_zero(word ^ (ONES * u64::from(b'\\')));
    let control = word.wrapping_sub(ONES * 0x20);
    (quote | backslash | control | word) & ONES << 7 == 0
}

/// The same for any number of bytes: the last word may overlap the one before.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    let word = |chunk: &[u8; 8]| u64::from_le_bytes(*chunk);
    let Some(last) = bytes.last_chunk::<8>() else {
        let mut padded = [b' '; 8];
        padded.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        return are_plain(u64::from_le_bytes(padded));
    };
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().all(|chunk| are_plain(word(chunk))) && are_plain(word(last))
}

/// Begins a character of four bytes in UTF-8, which is two units in UTF-16.
const FOUR_BYTES: u8 = 0xF0;

#[inline]
fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\' || byte >= FOUR_BYTES
}

/// Offset of the first byte that needs an escape. Blocks of 16 without a branch, so that it vectorizes.
#[inline]
fn find_escape(bytes: &[u8]) -> Option<usize> {
    let mut chunks = bytes.chunks_exact(16);
    let mut at = 0;
    for chunk in &mut chunks {
        if chunk.iter().fold(false, |found, byte| found | needs_escape(*byte)) {
            break;
        }
        at += 16;
    }
    bytes.get(at..)?.iter().position(|byte| needs_escape(*byte)).map(|offset| at + offset)
}

fn write_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    escape(out, bytes);
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, mut bytes: &[u8]) {
    let mut next = find_escape(bytes);
    while let Some(at) = next {
        let (plain, rest) = bytes.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, after)) = rest.split_first() else { return };
        bytes = match rest.split_at_checked(4) {
            Some((character, after)) if *byte >= FOUR_BYTES => {
                write_surrogates(out, character);
                after
            }
            _ => {
                write_escape(out, *byte);
                after
            }
        };
        next = find_escape(bytes);
    }
    out.extend_from_slice(bytes);
}

fn write_surrogates(out: &mut Vec<u8>, character: &[u8]) {
    let decoded = std::str::from_utf8(character).ok().and_then(|text| text.chars().next());
    debug_assert!(decoded.is_some(), "strings are UTF-8, and this is one of their characters");
    for unit in decoded.unwrap_or(char::REPLACEMENT_CHARACTER).encode_utf16(&mut [0; 2]) {
        out.extend_from_slice(b"\\u");
        for shift in [12, 8, 4, 0] {
            out.push(hex_digit((*unit >> shift & 15) as u8));
        }
    }
}

fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 }
}

fn write_escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0C => b'f',
        b'\r' => b'r',
        _ => {
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex_digit(byte >> 4), hex_digit(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = Vec::new();
        write_string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_are_escaped_as_jackson_does() {
        assert_eq!(escaped("plain ünïcode 漢字 /"), "\"plain ünïcode 漢字 /\"");
        assert_eq!(escaped("a🛫b\u{10FFFF}"), "\"a\\uD83D\\uDEEBb\\uDBFF\\uDFFF\"");
        assert_eq!(
            escaped("a\"b\\c\n\r\t\u{8}\u{c}\u{1f}\u{0}\u{7f}"),
            "\"a\\\"b\\\\c\\n\\r\\t\\b\\f\\u001F\\u0000\u{7f}\""
        );
        let long = format!("{}\"{}", "x".repeat(37), "y".repeat(20));
        assert_eq!(escaped(&long), format!("\"{}\\\"{}\"", "x".repeat(37), "y".repeat(20)));
    }

    #[test]
    fn a_byte_that_is_not_plain_is_found_at_any_place() {
        for length in 0..20 {
            assert!(is_plain(&vec![b'~'; length]));
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut bytes = vec![b' '; length];
                    bytes[at] = byte;
                    let expected = (0x20..0x80).contains(&byte) && !needs_escape(byte);
                    assert_eq!(is_plain(&bytes), expected, "{byte:#x} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn commas_stand_between_values_fields_and_fragments() {
        let mut w = JsonWriter::default();
        w.begin_struct();
        w.fragment(b"\"a\":1,\"b\":2");
        w.field(&FieldName::new("c"));
        w.begin_array(2);
        w.int(1);
        w.null();
        w.end_array();
        w.field(&FieldName::new("d"));
        w.begin_map(2);
        w.map_key("x");
        w.bytes(b"\x00\x7f\x80\xff");
        w.map_key("y");
        w.begin_struct();
        w.end_struct();
        w.end_map();
        w.end_struct();
        assert_eq!(
            std::str::from_utf8(w.as_bytes()).unwrap(),
            r#"{"a":1,"b":2,"c":[1,null],"d":{"x":"AH+A/w==","y":{}}}"#
        );
    }

    #[test]
    fn rewind_forgets_a_value_and_its_comma() {
        let mut w = JsonWriter::default();
        w.begin_array(2);
        w.int(1);
        let mark = w.mark();
        w.string("half");
        w.rewind(mark);
        w.int(2);
        w.end_array();
        assert_eq!(w.as_bytes(), b"[1,2]");
    }
}
