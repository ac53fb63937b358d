//! The text that Kafka Connect's SimpleHeaderConverter makes of a struct: like JSON, but with decimals as numbers,
//! Connect's dates as bare text, and no escapes for control characters.

use super::java;
use crate::value::{FieldName, Integers, Mark, ValueWriter};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const DAY_MS: i64 = 86_400_000;

/// Appends values in the header form to one buffer.
#[derive(Debug, Default)]
pub struct HeaderWriter {
    out: Vec<u8>,
    separate: bool,
    integers: Integers,
}

impl HeaderWriter {
    /// All that was written since the last [`HeaderWriter::clear`].
    pub fn as_bytes(&self) -> &[u8] {
        &self.out
    }

    /// Starts over with an empty buffer that keeps its capacity.
    pub fn clear(&mut self) {
        self.out.clear();
        self.separate = false;
    }

    /// Says what the integers of the next value mean.
    pub fn expect(&mut self, integers: Integers) {
        self.integers = integers;
    }

    fn value(&mut self) {
        if self.separate {
            self.out.push(b',');
        }
        self.separate = true;
    }

    fn open(&mut self, bracket: u8) {
        self.value();
        self.out.push(bracket);
        self.separate = false;
    }

    fn close(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.separate = true;
    }

    fn plain(&mut self, text: &str) {
        self.value();
        self.out.extend_from_slice(text.as_bytes());
    }

    fn quoted(&mut self, text: &str) {
        self.out.push(b'"');
        for byte in text.bytes() {
            if matches!(byte, b'"' | b'\\') {
                self.out.push(b'\\');
            }
            self.out.push(byte);
        }
        self.out.push(b'"');
    }

    /// A float as Java prints it, without the quotes that JSON puts around NaN and the infinities.
    fn float(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.value();
        let mut text = Vec::new();
        write(&mut text);
        text.retain(|byte| *byte != b'"');
        self.out.extend_from_slice(&text);
    }
}

impl ValueWriter for HeaderWriter {
    fn begin_record(&mut self, prefix: &[u8]) {
        self.out.extend_from_slice(prefix);
        self.separate = false;
    }

    fn end_record(&mut self, suffix: &[u8]) {
        self.out.extend_from_slice(suffix);
        self.separate = false;
    }

    fn null(&mut self) {
        self.plain("null");
    }

    fn boolean(&mut self, value: bool) {
        self.plain(if value { "true" } else { "false" });
    }

    fn int(&mut self, value: i64) {
        match self.integers {
            Integers::Plain => self.plain(itoa::Buffer::new().format(value)),
            Integers::Days => self.plain(&java_date(value.saturating_mul(DAY_MS))),
            Integers::Milliseconds => self.plain(&java_date(value)),
        }
    }

    fn float32(&mut self, value: f32) {
        self.float(|out| java::write_f32(out, value));
    }

    fn float64(&mut self, value: f64) {
        self.float(|out| java::write_f64(out, value));
    }

    fn string(&mut self, value: &str) {
        self.value();
        self.quoted(value);
    }

    fn bytes(&mut self, value: &[u8]) {
        self.value();
        self.quoted(&STANDARD.encode(value));
    }

    fn decimal(&mut self, unscaled: &[u8], scale: i32) {
        self.plain(&java::decimal(unscaled, scale));
    }

    fn begin_struct(&mut self) {
        self.open(b'{');
    }

    fn field(&mut self, name: &FieldName) {
        self.value();
        self.quoted(name.as_str());
        self.out.push(b':');
        self.separate = false;
    }

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
        self.quoted(key);
        self.out.push(b':');
        self.separate = false;
    }

    fn end_map(&mut self) {
        self.close(b'}');
    }

    fn fragment(&mut self, fields: &[u8]) {
        self.value();
        self.out.extend_from_slice(fields);
    }

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
}

/// Connect prints what lies before 1970-01-02 as a time of day, whole days as a date, the rest as both; in UTC.
pub(crate) fn java_date(ms: i64) -> String {
    let (days, of_day) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS));
    let (seconds, fraction) = (of_day / 1000, of_day % 1000);
    let time = format!("{:02}:{:02}:{:02}.{fraction:03}Z", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if ms < DAY_MS {
        return time;
    }
    let (year, month, day) = java::civil_date(days);
    let date = format!("{year:04}-{month:02}-{day:02}");
    if of_day == 0 { date } else { format!("{date}T{time}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_look_as_connect_prints_them() {
        for (ms, expected) in [
            (1_709_251_200_000, "2024-03-01"),
            (1_709_210_096_789, "2024-02-29T12:34:56.789Z"),
            (45_296_789, "12:34:56.789Z"),
            (0, "00:00:00.000Z"),
            (-1, "23:59:59.999Z"),
            (86_400_000, "1970-01-02"),
        ] {
            assert_eq!(java_date(ms), expected);
        }
    }

    #[test]
    fn structs_escape_quotes_and_backslashes_only() {
        let mut writer = HeaderWriter::default();
        writer.begin_struct();
        writer.field(&FieldName::new("a\"b"));
        writer.string("x\\\n\"");
        writer.field(&FieldName::new("n"));
        writer.float64(f64::NAN);
        writer.field(&FieldName::new("d"));
        writer.expect(Integers::Days);
        writer.int(19_783);
        writer.field(&FieldName::new("z"));
        writer.null();
        writer.end_struct();
        let text = String::from_utf8(writer.as_bytes().to_vec()).unwrap();
        assert_eq!(text, "{\"a\\\"b\":\"x\\\\\n\\\"\",\"n\":NaN,\"d\":2024-03-01,\"z\":null}");
    }
}
