//! Dates, times and timestamps as text: ISO forms and epoch integers, checked, and written in one canonical form.

use crate::datatype::DataType;

/// A parsed date, time or timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Clock {
    year: i32,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    nanos: u32,
    /// Minutes east of UTC, if the text named an offset.
    offset_minutes: Option<i16>,
}

impl Clock {
    /// Appends the engine's text for `data_type`. TIMESTAMP_NTZ keeps the wall clock and drops the offset, as Snowflake does.
    pub(crate) fn write(&self, data_type: DataType, out: &mut Vec<u8>) {
        use std::io::Write as _;
        let micros = self.nanos / 1_000;
        // writing into a Vec cannot fail
        let _ = match data_type {
            DataType::Date => write!(out, "{:04}-{:02}-{:02}", self.year, self.month, self.day),
            DataType::Time => {
                write!(out, "{:02}:{:02}:{:02}.{micros:06}", self.hour, self.minute, self.second)
            }
            _ => write!(
                out,
                "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{micros:06}",
                self.year, self.month, self.day, self.hour, self.minute, self.second
            ),
        };
        if matches!(data_type, DataType::TimestampLtz | DataType::TimestampTz) {
            let offset = self.offset_minutes.unwrap_or(0);
            let sign = if offset < 0 { '-' } else { '+' };
            let minutes = offset.unsigned_abs();
            let _ = write!(out, "{sign}{:02}:{:02}", minutes / 60, minutes % 60);
        }
    }

    fn of_epoch_nanos(nanos: i128) -> Option<Clock> {
        let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
        let nanos = u32::try_from(nanos.rem_euclid(1_000_000_000)).ok()?;
        let (year, month, day) = civil_of_days(seconds.div_euclid(86_400))?;
        let of_day = u32::try_from(seconds.rem_euclid(86_400)).ok()?;
        Some(Clock {
            year,
            month,
            day,
            hour: u8::try_from(of_day / 3_600).ok()?,
            minute: u8::try_from(of_day / 60 % 60).ok()?,
            second: u8::try_from(of_day % 60).ok()?,
            nanos,
            offset_minutes: Some(0),
        })
    }
}

/// `YYYY-MM-DD`, a timestamp whose time is cut off, or an epoch integer (seconds, milliseconds … by magnitude).
pub(crate) fn parse_date(text: &str) -> Option<Clock> {
    parse_instant(text)
}

/// `HH:MM[:SS[.fraction]]`, or seconds since midnight.
pub(crate) fn parse_time(text: &str) -> Option<Clock> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Clock::of_epoch_nanos(i128::from(seconds).rem_euclid(86_400) * 1_000_000_000);
    }
    let mut scan = Scan { rest: text.as_bytes() };
    let mut clock = Clock { year: 1970, month: 1, day: 1, ..Clock::default() };
    scan.time(&mut clock)?;
    // a zone designator on a time is taken and carries no meaning
    scan.offset(&mut clock)?;
    scan.rest.is_empty().then_some(clock)
}

/// `YYYY-MM-DD[{T| }HH:MM[:SS[.fraction]]][ ][Z|±HH[[:]MM]]`, or an epoch integer (unit by magnitude, see [`epoch_nanos`]).
pub(crate) fn parse_instant(text: &str) -> Option<Clock> {
    if let Some(nanos) = epoch_nanos(text) {
        return Clock::of_epoch_nanos(nanos);
    }
    let mut scan = Scan { rest: text.as_bytes() };
    let mut clock = Clock { year: i32::try_from(scan.digits(4, 4)?).ok()?, ..Clock::default() };
    scan.take(b'-')?;
    clock.month = u8::try_from(scan.digits(1, 2)?).ok()?;
    scan.take(b'-')?;
    clock.day = u8::try_from(scan.digits(1, 2)?).ok()?;
    if clock.year == 0 || clock.day == 0 || clock.day > days_in_month(clock.year, clock.month)? {
        return None;
    }
    if scan.take(b'T').or_else(|| scan.take(b' ')).is_some() {
        scan.time(&mut clock)?;
        scan.offset(&mut clock)?;
    }
    scan.rest.is_empty().then_some(clock)
}

/// An integer in a string is seconds, milliseconds, microseconds or nanoseconds since the epoch, by its magnitude: the bounds
/// are those of Snowflake's TO_TIMESTAMP (31536000000 seconds is the year 2969).
fn epoch_nanos(text: &str) -> Option<i128> {
    let value: i64 = text.parse().ok()?;
    let unit: i128 = match value.unsigned_abs() {
        0..31_536_000_000 => 1_000_000_000,
        31_536_000_000..31_536_000_000_000 => 1_000_000,
        31_536_000_000_000..31_536_000_000_000_000 => 1_000,
        _ => 1,
    };
    Some(i128::from(value) * unit)
}

struct Scan<'a> {
    rest: &'a [u8],
}

impl Scan<'_> {
    fn take(&mut self, byte: u8) -> Option<()> {
        let (first, rest) = self.rest.split_first()?;
        (*first == byte).then(|| self.rest = rest)
    }

    fn digits(&mut self, least: usize, most: usize) -> Option<u32> {
        let count = self.rest.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
        if count < least {
            return None;
        }
        let (digits, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(digits.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0')))
    }

    fn time(&mut self, clock: &mut Clock) -> Option<()> {
        clock.hour = u8::try_from(self.digits(1, 2)?).ok()?;
        self.take(b':')?;
        clock.minute = u8::try_from(self.digits(2, 2)?).ok()?;
        if self.take(b':').is_some() {
            clock.second = u8::try_from(self.digits(2, 2)?).ok()?;
            if self.take(b'.').is_some() {
                let before = self.rest.len();
                let fraction = self.digits(1, 9)?;
                let count = u32::try_from(before - self.rest.len()).ok()?;
                clock.nanos = fraction * 10_u32.pow(9 - count);
                // digits beyond nanoseconds carry nothing that Snowflake keeps
                while self.digits(1, 9).is_some() {}
            }
        }
        (clock.hour < 24 && clock.minute < 60 && clock.second < 60).then_some(())
    }

    fn offset(&mut self, clock: &mut Clock) -> Option<()> {
        let _ = self.take(b' ');
        if self.rest.is_empty() {
            return Some(());
        }
        if self.take(b'Z').or_else(|| self.take(b'z')).is_some() {
            clock.offset_minutes = Some(0);
            return Some(());
        }
        let negative = match self.take(b'-') {
            Some(()) => true,
            None => {
                self.take(b'+')?;
                false
            }
        };
        let hours = i16::try_from(self.digits(2, 2)?).ok()?;
        let _ = self.take(b':');
        let minutes = if self.rest.is_empty() { 0 } else { i16::try_from(self.digits(2, 2)?).ok()? };
        if hours > 15 || minutes > 59 {
            return None;
        }
        let total = hours * 60 + minutes;
        clock.offset_minutes = Some(if negative { -total } else { total });
        Some(())
    }
}

fn days_in_month(year: i32, month: u8) -> Option<u8> {
    Some(match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => return None,
    })
}

/// The proleptic Gregorian date of a day count since 1970-01-01; None outside the years 1 to 9999.
fn civil_of_days(days: i64) -> Option<(i32, u8, u8)> {
    // eras of 400 years that begin on 1 March, so that the leap day is the last of its year
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if !(1..=9_999).contains(&year) {
        return None;
    }
    Some((i32::try_from(year).ok()?, u8::try_from(month).ok()?, u8::try_from(day).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(data_type: DataType, text: &str, expected: Option<&str>) {
        let clock = match data_type {
            DataType::Date => parse_date(text),
            DataType::Time => parse_time(text),
            _ => parse_instant(text),
        };
        let written = clock.map(|clock| {
            let mut out = Vec::new();
            clock.write(data_type, &mut out);
            String::from_utf8(out).expect("ASCII")
        });
        assert_eq!(written.as_deref(), expected, "{data_type} {text}");
    }

    #[test]
    fn timestamps_are_read_in_iso_forms() {
        check(DataType::TimestampTz, "2026-11-21T01:02:03.5+02:00", Some("2026-11-21 01:02:03.500000+02:00"));
        check(DataType::TimestampTz, "2026-11-21T01:02:03Z", Some("2026-11-21 01:02:03.000000+00:00"));
        check(DataType::TimestampTz, "2026-11-21 01:02:03 -0730", Some("2026-11-21 01:02:03.000000-07:30"));
        check(DataType::TimestampNtz, "2026-11-21T01:02:03Z", Some("2026-11-21 01:02:03.000000"));
        check(DataType::TimestampNtz, "2026-11-21", Some("2026-11-21 00:00:00.000000"));
        check(DataType::Date, "2026-11-21T23:59:59", Some("2026-11-21"));
        check(DataType::Time, "23:59:59.123456789", Some("23:59:59.123456"));
    }

    #[test]
    fn integers_are_epochs_with_the_unit_by_magnitude() {
        check(DataType::TimestampNtz, "0", Some("1970-01-01 00:00:00.000000"));
        check(DataType::TimestampNtz, "1795000000", Some("2026-11-18 11:06:40.000000"));
        check(DataType::TimestampNtz, "1795000000123", Some("2026-11-18 11:06:40.123000"));
        check(DataType::TimestampNtz, "1795000000123456", Some("2026-11-18 11:06:40.123456"));
        check(DataType::TimestampNtz, "1795000000123456789", Some("2026-11-18 11:06:40.123456"));
        check(DataType::TimestampNtz, "-1", Some("1969-12-31 23:59:59.000000"));
        check(DataType::Time, "3661", Some("01:01:01.000000"));
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "2026-02-29",
            "2026-13-01",
            "2026-11-21T24:00:00",
            "21.11.2026",
            "2026-11-21T01:02:03X",
            "now",
        ] {
            check(DataType::TimestampNtz, text, None);
        }
        check(DataType::TimestampNtz, "2024-02-29", Some("2024-02-29 00:00:00.000000"));
        check(DataType::Time, "25:00:00", None);
    }
}
