//! Dates and times: PostgreSQL's ISO text to numbers and to ISO 8601, proleptic Gregorian throughout

use cdcd_debezium::value::ValueWriter;

use super::ConversionError;

pub(super) const DAY_US: i64 = 86_400_000_000;

/// A calendar day; years before 1 are 0 and below (1 BC is year 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Day {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
}

impl Day {
    /// Days since 1970-01-01. Counts in 400-year eras that begin in March, so that leap days come last.
    pub(super) fn days_since_1970(self) -> i64 {
        let year = if self.month <= 2 { self.year - 1 } else { self.year };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let day_of_year = (153 * ((self.month + 9) % 12) + 2) / 5 + self.day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }

    /// The day that lies `days` after 1970-01-01.
    pub(super) fn from_days_since_1970(days: i64) -> Self {
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Day {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
        }
    }
}

/// A value of `timestamp`, `timestamptz` or `date`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finite<T> {
    /// An ordinary value.
    Value(T),
    /// `infinity`
    Future,
    /// `-infinity`
    Past,
}

/// A day and microseconds into it, with the offset from UTC in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instant {
    pub(super) day: Day,
    pub(super) us_of_day: i64,
    pub(super) offset_s: i64,
}

impl Instant {
    /// Microseconds since 1970-01-01 UTC; 128 bits, because years reach 294276.
    pub(super) fn us_since_1970(&self) -> i128 {
        i128::from(self.day.days_since_1970()) * i128::from(DAY_US) + i128::from(self.us_of_day)
            - i128::from(self.offset_s) * 1_000_000
    }

    /// The same instant with offset 0.
    pub(super) fn in_utc(self) -> Self {
        if self.offset_s == 0 && self.us_of_day < DAY_US {
            return self;
        }
        let us = self.us_since_1970();
        Instant {
            day: Day::from_days_since_1970(us.div_euclid(i128::from(DAY_US)) as i64),
            us_of_day: us.rem_euclid(i128::from(DAY_US)) as i64,
            offset_s: 0,
        }
    }
}

/// Reads `2024-02-29`, `0044-03-15 BC`, `infinity`, `-infinity`.
pub(super) fn parse_date(text: &[u8]) -> Result<Finite<Day>, ConversionError> {
    match text {
        b"infinity" => Ok(Finite::Future),
        b"-infinity" => Ok(Finite::Past),
        _ => {
            let (text, bc) = split_era(text);
            let mut scanner = Scanner { text };
            let day = scanner.day(bc)?;
            scanner.finish()?;
            Ok(Finite::Value(day))
        }
    }
}

/// Reads `2024-02-29 12:34:56.789012`, with `+02`, `-03:30` or `+01:23:45` behind it, and ` BC` at the end.
pub(super) fn parse_timestamp(text: &[u8]) -> Result<Finite<Instant>, ConversionError> {
    match text {
        b"infinity" => Ok(Finite::Future),
        b"-infinity" => Ok(Finite::Past),
        _ => {
            let (text, bc) = split_era(text);
            let mut scanner = Scanner { text };
            let day = scanner.day(bc)?;
            scanner.expect(b' ')?;
            let us_of_day = scanner.time()?;
            let offset_s = scanner.offset()?;
            scanner.finish()?;
            Ok(Finite::Value(Instant { day, us_of_day, offset_s }))
        }
    }
}

/// Reads `12:34:56.789` with an optional offset: microseconds of the day, and seconds east of UTC.
pub(super) fn parse_time(text: &[u8]) -> Result<(i64, i64), ConversionError> {
    let mut scanner = Scanner { text };
    let us_of_day = scanner.time()?;
    let offset_s = scanner.offset()?;
    scanner.finish()?;
    Ok((us_of_day, offset_s))
}

fn split_era(text: &[u8]) -> (&[u8], bool) {
    match text.strip_suffix(b" BC") {
        Some(before) => (before, true),
        None => (text, false),
    }
}

struct Scanner<'a> {
    text: &'a [u8],
}

impl Scanner<'_> {
    /// A number of at least one and at most nine digits.
    fn number(&mut self) -> Result<i64, ConversionError> {
        let mut value = 0;
        let mut length = 0;
        while let Some(digit @ b'0'..=b'9') = self.text.get(length)
            && length < 9
        {
            value = value * 10 + i64::from(digit - b'0');
            length += 1;
        }
        if length == 0 {
            return Err(ConversionError::Malformed);
        }
        self.text = self.text.get(length..).unwrap_or_default();
        Ok(value)
    }

    /// A number of exactly two digits.
    #[inline]
    fn pair(&mut self) -> Result<i64, ConversionError> {
        match self.text {
            [tens @ b'0'..=b'9', ones @ b'0'..=b'9', rest @ ..] => {
                self.text = rest;
                Ok(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
            }
            _ => Err(ConversionError::Malformed),
        }
    }

    fn accept(&mut self, byte: u8) -> bool {
        match self.text.split_first() {
            Some((first, rest)) if *first == byte => {
                self.text = rest;
                true
            }
            _ => false,
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), ConversionError> {
        if self.accept(byte) { Ok(()) } else { Err(ConversionError::Malformed) }
    }

    fn finish(&self) -> Result<(), ConversionError> {
        if self.text.is_empty() { Ok(()) } else { Err(ConversionError::Malformed) }
    }

    fn day(&mut self, bc: bool) -> Result<Day, ConversionError> {
        let year = self.number()?;
        self.expect(b'-')?;
        let month = self.pair()?;
        self.expect(b'-')?;
        let day = self.pair()?;
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return Err(ConversionError::Malformed);
        }
        Ok(Day { year: if bc { 1 - year } else { year }, month, day })
    }

    fn time(&mut self) -> Result<i64, ConversionError> {
        let hours = self.pair()?;
        self.expect(b':')?;
        let minutes = self.pair()?;
        self.expect(b':')?;
        let seconds = self.pair()?;
        let mut us = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000;
        if self.accept(b'.') {
            let before = self.text.len();
            let fraction = self.number()?;
            let digits = before - self.text.len();
            us += fraction * 10i64.pow(6u32.checked_sub(digits as u32).ok_or(ConversionError::Malformed)?);
        }
        Ok(us)
    }

    fn offset(&mut self) -> Result<i64, ConversionError> {
        let sign = match self.text.first() {
            None => return Ok(0),
            Some(b'+') => 1,
            Some(b'-') => -1,
            Some(_) => return Err(ConversionError::Malformed),
        };
        self.text = self.text.get(1..).unwrap_or_default();
        let mut seconds = self.pair()? * 3600;
        for unit in [60, 1] {
            if self.accept(b':') {
                seconds += self.pair()? * unit;
            }
        }
        Ok(sign * seconds)
    }
}

/// Short text on the stack: the longest is `+294276-12-31T23:59:59.999999Z`.
#[derive(Debug)]
pub(super) struct Text {
    bytes: [u8; 40],
    length: usize,
}

impl Text {
    pub(super) fn new() -> Self {
        Text { bytes: [0; 40], length: 0 }
    }

    pub(super) fn write<W: ValueWriter>(&self, writer: &mut W) {
        let written = writer.utf8(self.bytes.get(..self.length).unwrap_or_default());
        debug_assert!(written.is_ok(), "only ASCII is ever pushed");
    }

    pub(super) fn push(&mut self, byte: u8) -> &mut Self {
        if let Some(slot) = self.bytes.get_mut(self.length) {
            *slot = byte;
            self.length += 1;
        }
        self
    }

    /// A number below 100 with two digits.
    #[inline]
    fn pair(&mut self, value: i64) -> &mut Self {
        if let Some(room) = self.bytes.get_mut(self.length..self.length + 2) {
            room.copy_from_slice(&[b'0' + (value / 10) as u8, b'0' + (value % 10) as u8]);
            self.length += 2;
        }
        self
    }

    /// A number with leading zeros.
    pub(super) fn padded(&mut self, value: i64, width: u32) -> &mut Self {
        for position in (0..width).rev() {
            let digit = value / 10i64.pow(position) % 10;
            self.push(b'0' + digit as u8);
        }
        self
    }

    pub(super) fn day(&mut self, day: Day) -> &mut Self {
        let year = day.year.abs();
        if (0..=9999).contains(&day.year) {
            return self
                .pair(year / 100)
                .pair(year % 100)
                .push(b'-')
                .pair(day.month)
                .push(b'-')
                .pair(day.day);
        }
        if day.year < 0 {
            self.push(b'-');
        } else if year > 9999 {
            self.push(b'+');
        }
        let width = if year > 99_999 {
            6
        } else if year > 9999 {
            5
        } else {
            4
        };
        self.padded(year, width).push(b'-').pair(day.month).push(b'-').pair(day.day)
    }

    /// `HH:MM:SS` and the fraction as `digits` says.
    pub(super) fn time(&mut self, us_of_day: i64, digits: Digits) -> &mut Self {
        let seconds = us_of_day / 1_000_000;
        self.pair(seconds / 3600).push(b':').pair(seconds / 60 % 60).push(b':').pair(seconds % 60);
        let fraction = us_of_day % 1_000_000;
        match digits {
            Digits::Trimmed if fraction == 0 => {}
            Digits::Trimmed => {
                self.push(b'.').padded(fraction, 6);
                while self.bytes.get(self.length - 1) == Some(&b'0') {
                    self.length -= 1;
                }
            }
            Digits::Exactly(0) => {}
            Digits::Exactly(6) => {
                self.push(b'.').pair(fraction / 10_000).pair(fraction / 100 % 100).pair(fraction % 100);
            }
            Digits::Exactly(count) => {
                let count = u32::from(count.min(6));
                self.push(b'.').padded(fraction / 10i64.pow(6 - count), count);
            }
        }
        self
    }
}

/// How many fraction digits to print.
#[derive(Debug, Clone, Copy)]
pub(super) enum Digits {
    /// Without trailing zeros.
    Trimmed,
    /// Always this many.
    Exactly(u8),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_agree_over_the_whole_range() {
        for (day, days) in [
            (Day { year: 1970, month: 1, day: 1 }, 0),
            (Day { year: 2024, month: 2, day: 29 }, 19_782),
            (Day { year: -43, month: 3, day: 15 }, -735_160),
        ] {
            assert_eq!(day.days_since_1970(), days);
        }
        for days in (-3_000_000..108_000_000).step_by(997) {
            assert_eq!(Day::from_days_since_1970(days).days_since_1970(), days);
        }
    }

    #[test]
    fn malformed_times_are_errors() {
        for bad in ["", "12", "12:34", "12:34:56.", "12:34:56.1234567", "12:34:56x", "a:b:c"] {
            assert!(parse_time(bad.as_bytes()).is_err(), "{bad}");
        }
        for bad in ["2024-13-01", "2024-00-01", "2024-01-32", "2024-01", "2024-01-01 "] {
            assert!(parse_date(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
