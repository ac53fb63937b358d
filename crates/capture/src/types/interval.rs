//! `interval`, printed with `intervalstyle = postgres`, which our sessions set

use std::fmt::Write;

use cdcd_debezium::schema::{Kind, Schema};
use cdcd_debezium::value::{Literal, ValueWriter};

use super::calendar::{DAY_US, parse_time};
use super::{ConversionError, Mapping, Params, TypeContext, integer, structured};
use crate::config::{IntervalMode, TimeMode};

/// Debezium's month: 365.25 / 12 = 30.4375 days.
const MONTH_US: i64 = 2_629_800_000_000;

pub(super) fn map<W: ValueWriter>(context: &TypeContext<'_>) -> Mapping<W> {
    if context.modes.time == TimeMode::Structured {
        return structured::duration(context);
    }
    match context.modes.interval {
        IntervalMode::Numeric => Mapping {
            schema: Schema::new(Kind::Int64).named("io.debezium.time.MicroDuration"),
            write: |text, _: &Params, writer| {
                writer.int(parse(text)?.microseconds()?);
                Ok(())
            },
            params: Params::default(),
            fallback: Literal::Int(0),
            unavailable: Literal::Null,
        },
        IntervalMode::String => Mapping {
            schema: Schema::new(Kind::String).named("io.debezium.time.Interval"),
            write: |text, _: &Params, writer| {
                writer.string(&parse(text)?.iso());
                Ok(())
            },
            params: Params::default(),
            fallback: Literal::String("P0Y0M0DT0H0M0S".to_owned()),
            unavailable: Literal::Null,
        },
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) years: i64,
    pub(super) months: i64,
    pub(super) days: i64,
    pub(super) us: i64,
}

impl Interval {
    fn microseconds(self) -> Result<i64, ConversionError> {
        let months = self.years.checked_mul(12).and_then(|months| months.checked_add(self.months));
        months
            .and_then(|months| months.checked_mul(MONTH_US))
            .and_then(|us| us.checked_add(self.days.checked_mul(DAY_US)?))
            .and_then(|us| us.checked_add(self.us))
            .ok_or(ConversionError::OutOfRange)
    }

    fn iso(self) -> String {
        let seconds = self.us / 1_000_000;
        let mut text = format!(
            "P{}Y{}M{}DT{}H{}M",
            self.years,
            self.months,
            self.days,
            seconds / 3600,
            seconds / 60 % 60
        );
        let (whole, fraction) = (seconds % 60, (self.us % 1_000_000).unsigned_abs());
        let sign = if self.us < 0 && whole == 0 && fraction != 0 { "-" } else { "" };
        let mut digits = format!("{fraction:06}");
        digits.truncate(digits.trim_end_matches('0').len());
        let written = match digits.is_empty() {
            true => write!(text, "{whole}S"),
            false => write!(text, "{sign}{whole}.{digits}S"),
        };
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
        text
    }
}

/// Reads `1 year 2 mons 3 days 04:05:06.78`, `-1 mons +2 days -00:00:00.5`.
pub(super) fn parse(text: &[u8]) -> Result<Interval, ConversionError> {
    let mut interval = Interval::default();
    let mut words = text.split(|byte| *byte == b' ');
    while let Some(word) = words.next() {
        if word.contains(&b':') {
            let (negative, time) = match word.split_first() {
                Some((b'-', time)) => (true, time),
                Some((b'+', time)) => (false, time),
                _ => (false, word),
            };
            let us = parse_time(time)?.0;
            interval.us = if negative { -us } else { us };
            continue;
        }
        let amount = integer(word.strip_prefix(b"+").unwrap_or(word))?;
        match words.next() {
            Some(b"year" | b"years") => interval.years = amount,
            Some(b"mon" | b"mons") => interval.months = amount,
            Some(b"day" | b"days") => interval.days = amount,
            _ => return Err(ConversionError::Malformed),
        }
    }
    Ok(interval)
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use crate::config::{IntervalMode, Modes};

    #[test]
    fn intervals_in_both_modes() {
        let numeric = Modes::default();
        let string = Modes { interval: IntervalMode::String, ..Modes::default() };
        for (text, us, iso) in [
            ("1 year 2 mons 3 days 04:05:06.780009", "37091106780009", "\"P1Y2M3DT4H5M6.780009S\""),
            ("-1 mons +2 days -00:00:00.5", "-2457000500000", "\"P0Y-1M2DT0H0M-0.5S\""),
            ("00:00:00", "0", "\"P0Y0M0DT0H0M0S\""),
            ("-04:05:06", "-14706000000", "\"P0Y0M0DT-4H-5M-6S\""),
        ] {
            check(1186, -1, &numeric, &[(text, us)]);
            check(1186, -1, &string, &[(text, iso)]);
        }
    }
}
