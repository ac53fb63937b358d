//! `time`, `time with time zone`

use cdcd_debezium::schema::{Kind, Schema};
use cdcd_debezium::value::{Literal, ValueWriter};

use super::calendar::{DAY_US, Digits, Text, parse_time};
use super::{ConversionError, Mapping, Params, TypeContext, structured};
use crate::config::{Release, TimeMode};

pub(super) fn map<W: ValueWriter>(context: &TypeContext<'_>) -> Mapping<W> {
    let milliseconds = (0..=3).contains(&context.typmod);
    let (kind, name, write): (Kind, &'static str, super::WriteFn<W>) = match context.modes.time {
        TimeMode::Adaptive if milliseconds => (Kind::Int32, "io.debezium.time.Time", write_ms),
        TimeMode::Connect => (Kind::Int32, "org.apache.kafka.connect.data.Time", write_ms),
        TimeMode::IsoString => {
            return Mapping {
                schema: Schema::new(Kind::String).named("io.debezium.time.IsoTime"),
                write: write_iso,
                params: Params::default(),
                fallback: Literal::String("00:00:00Z".to_owned()),
                unavailable: Literal::Null,
            };
        }
        TimeMode::Structured => return structured::time(context),
        TimeMode::Nanoseconds => (Kind::Int64, "io.debezium.time.NanoTime", write_ns),
        _ => (Kind::Int64, "io.debezium.time.MicroTime", write_us),
    };
    Mapping {
        schema: Schema::new(kind).named(name),
        write,
        params: Params::default(),
        fallback: Literal::Int(0),
        unavailable: Literal::Null,
    }
}

pub(super) fn with_zone<W: ValueWriter>(context: &TypeContext<'_>) -> Mapping<W> {
    if context.modes.time == TimeMode::Structured {
        return structured::zoned_time(context);
    }
    Mapping {
        schema: Schema::new(Kind::String).named("io.debezium.time.ZonedTime"),
        write: match context.modes.release {
            Release::V3_6 => write_zoned,
            Release::V3_7 => |text, params, writer| match parse_time(text)? {
                (DAY_US, 0) => {
                    writer.string("24:00:00Z");
                    Ok(())
                }
                _ => write_zoned(text, params, writer),
            },
        },
        params: Params::default(),
        fallback: Literal::String("00:00:00Z".to_owned()),
        unavailable: Literal::Null,
    }
}

/// In UTC; `24:00:00` prints as `00:00:00Z`, as Debezium 3.6 does.
fn write_zoned<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    let (us, offset_s) = parse_time(text)?;
    let utc = (us - offset_s * 1_000_000).rem_euclid(DAY_US);
    Text::new().time(utc, Digits::Trimmed).push(b'Z').write(writer);
    Ok(())
}

fn write_ms<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    writer.int(parse_time(text)?.0 / 1000);
    Ok(())
}

fn write_us<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    writer.int(parse_time(text)?.0);
    Ok(())
}

fn write_ns<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    writer.int(parse_time(text)?.0 * 1000);
    Ok(())
}

/// `24:00:00` prints as `00:00:00Z`, as Debezium 3.6 does.
fn write_iso<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    let us = parse_time(text)?.0 % DAY_US;
    Text::new().time(us, Digits::Trimmed).push(b'Z').write(writer);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use crate::config::{Modes, TimeMode};

    #[test]
    fn times_in_every_mode() {
        let mode = |time| Modes { time, ..Modes::default() };
        check(1083, 3, &mode(TimeMode::Adaptive), &[("12:34:56.789", "45296789"), ("24:00:00", "86400000")]);
        check(1083, 6, &mode(TimeMode::Adaptive), &[("12:34:56.789012", "45296789012")]);
        check(1083, 3, &mode(TimeMode::AdaptiveTimeMicroseconds), &[("12:34:56.789", "45296789000")]);
        check(1083, -1, &mode(TimeMode::Connect), &[("12:34:56.789012", "45296789")]);
        check(1083, -1, &mode(TimeMode::Nanoseconds), &[("12:34:56.789012", "45296789012000")]);
        check(
            1083,
            -1,
            &mode(TimeMode::IsoString),
            &[("12:34:56.789000", "\"12:34:56.789Z\""), ("24:00:00", "\"00:00:00Z\"")],
        );
    }

    #[test]
    fn times_with_zone_are_converted_to_utc() {
        check(
            1266,
            -1,
            &Modes::default(),
            &[("12:34:56.789+02", "\"10:34:56.789Z\""), ("24:00:00-14:00", "\"14:00:00Z\"")],
        );
    }
}
