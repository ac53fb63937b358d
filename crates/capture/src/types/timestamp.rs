//! `timestamp`, `timestamp with time zone`

use cdcd_debezium::schema::{Kind, Schema};
use cdcd_debezium::value::{Literal, ValueWriter};

use super::calendar::{Digits, Finite, Text, parse_timestamp};
use super::{ConversionError, Mapping, Params, TypeContext, structured};
use crate::config::{Release, TimeMode};

/// `infinity` and `-infinity` as pgjdbc gives them to Debezium, in milliseconds.
const INFINITY_MS: i64 = 9_223_372_036_825_200;
const MINUS_INFINITY_MS: i64 = -9_223_372_036_832_400;

pub(super) fn without_zone<W: ValueWriter>(context: &TypeContext<'_>) -> Mapping<W> {
    let milliseconds = (0..=3).contains(&context.typmod);
    let newer = context.modes.release == Release::V3_7;
    let (name, write): (&'static str, super::WriteFn<W>) = match context.modes.time {
        TimeMode::Structured => return structured::timestamp(context),
        TimeMode::Adaptive | TimeMode::AdaptiveTimeMicroseconds if milliseconds => {
            ("io.debezium.time.Timestamp", if newer { write_ms_3_7 } else { write_ms })
        }
        TimeMode::Connect => {
            ("org.apache.kafka.connect.data.Timestamp", if newer { write_ms_3_7 } else { write_ms })
        }
        TimeMode::IsoString => {
            return Mapping {
                schema: Schema::new(Kind::String).named("io.debezium.time.IsoTimestamp"),
                write: if newer { write_iso_3_7 } else { write_iso },
                params: Params::default(),
                fallback: Literal::String("1970-01-01T00:00:00Z".to_owned()),
                unavailable: Literal::Null,
            };
        }
        TimeMode::Nanoseconds => ("io.debezium.time.NanoTimestamp", write_ns),
        _ => ("io.debezium.time.MicroTimestamp", if newer { write_us_3_7 } else { write_us }),
    };
    Mapping {
        schema: Schema::new(Kind::Int64).named(name),
        write,
        params: Params::default(),
        fallback: Literal::Int(0),
        unavailable: Literal::Null,
    }
}

pub(super) fn with_zone<W: ValueWriter>(context: &TypeContext<'_>) -> Mapping<W> {
    if context.modes.time == TimeMode::Structured {
        return structured::zoned_timestamp(context);
    }
    let digits = u8::try_from(context.typmod).unwrap_or(6).min(6);
    Mapping {
        schema: Schema::new(Kind::String).named("io.debezium.time.ZonedTimestamp"),
        write: write_zoned,
        params: Params { digits, ..Params::default() },
        fallback: Literal::String("1970-01-01T00:00:00Z".to_owned()),
        unavailable: Literal::Null,
    }
}

/// Microseconds since 1970, or what stands for the infinities.
fn microseconds(text: &[u8]) -> Result<Finite<i128>, ConversionError> {
    Ok(match parse_timestamp(text)? {
        Finite::Value(instant) => Finite::Value(instant.us_since_1970()),
        Finite::Future => Finite::Future,
        Finite::Past => Finite::Past,
    })
}

fn write_ms<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    writer.int(match microseconds(text)? {
        Finite::Value(us) => us.div_euclid(1000) as i64,
        Finite::Future => INFINITY_MS,
        Finite::Past => MINUS_INFINITY_MS,
    });
    Ok(())
}

fn write_us<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    writer.int(match microseconds(text)? {
        Finite::Value(us) => i64::try_from(us).map_err(|_| ConversionError::OutOfRange)?,
        Finite::Future => INFINITY_MS * 1000,
        Finite::Past => MINUS_INFINITY_MS * 1000,
    });
    Ok(())
}

fn write_ns<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    writer.int(match microseconds(text)? {
        Finite::Value(us) => i64::try_from(us * 1000).map_err(|_| ConversionError::OutOfRange)?,
        Finite::Future => i64::MAX,
        Finite::Past => i64::MIN,
    });
    Ok(())
}

fn write_iso<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    match parse_timestamp(text)? {
        Finite::Value(instant) => {
            let mut iso = Text::new();
            iso.day(instant.day).push(b'T').time(instant.us_of_day, Digits::Trimmed).push(b'Z');
            iso.write(writer);
        }
        Finite::Future => writer.string("+294247-01-10T04:00:25.2Z"),
        Finite::Past => writer.string("-290308-12-21T19:59:27.6Z"),
    }
    Ok(())
}

/// Infinities are other numbers in Debezium 3.7.
fn write_ms_3_7<W: ValueWriter>(text: &[u8], params: &Params, writer: &mut W) -> Result<(), ConversionError> {
    match text {
        b"infinity" => writer.int(INFINITY_MS * 1000),
        b"-infinity" => writer.int(MINUS_INFINITY_MS * 1000),
        _ => write_ms(text, params, writer)?,
    }
    Ok(())
}

fn write_us_3_7<W: ValueWriter>(text: &[u8], params: &Params, writer: &mut W) -> Result<(), ConversionError> {
    match text {
        b"infinity" => writer.int(i64::MAX),
        b"-infinity" => writer.int(i64::MIN),
        _ => write_us(text, params, writer)?,
    }
    Ok(())
}

fn write_iso_3_7<W: ValueWriter>(
    text: &[u8],
    params: &Params,
    writer: &mut W,
) -> Result<(), ConversionError> {
    match text {
        b"infinity" => writer.string("+292278994-08-16T23:00:00Z"),
        b"-infinity" => writer.string("-292275055-05-16T23:00:00Z"),
        _ => write_iso(text, params, writer)?,
    }
    Ok(())
}

fn write_zoned<W: ValueWriter>(text: &[u8], params: &Params, writer: &mut W) -> Result<(), ConversionError> {
    match parse_timestamp(text)? {
        Finite::Value(instant) => {
            let utc = instant.in_utc();
            let mut iso = Text::new();
            iso.day(utc.day).push(b'T').time(utc.us_of_day, Digits::Exactly(params.digits)).push(b'Z');
            iso.write(writer);
        }
        Finite::Future => writer.string("infinity"),
        Finite::Past => writer.string("-infinity"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::ConversionError;
    use super::super::tests::{check, json};
    use crate::config::{Modes, Release, TimeMode};

    fn mode(time: TimeMode) -> Modes {
        Modes { time, ..Modes::default() }
    }

    #[test]
    fn timestamps_in_every_mode() {
        let text = "2024-02-29 12:34:56.789012";
        check(1114, 3, &mode(TimeMode::Adaptive), &[("2024-02-29 12:34:56.789", "1709210096789")]);
        check(1114, 6, &mode(TimeMode::Adaptive), &[(text, "1709210096789012")]);
        check(1114, -1, &mode(TimeMode::Connect), &[(text, "1709210096789")]);
        check(1114, -1, &mode(TimeMode::Nanoseconds), &[(text, "1709210096789012000")]);
        check(
            1114,
            -1,
            &mode(TimeMode::IsoString),
            &[
                (text, "\"2024-02-29T12:34:56.789012Z\""),
                ("2024-02-29 12:34:56.7891", "\"2024-02-29T12:34:56.7891Z\""),
                ("0001-01-01 00:00:00", "\"0001-01-01T00:00:00Z\""),
                ("0044-03-15 12:00:00 BC", "\"-0043-03-15T12:00:00Z\""),
            ],
        );
    }

    #[test]
    fn edges_are_right_or_refused_but_never_wrapped() {
        check(
            1114,
            -1,
            &mode(TimeMode::Microseconds),
            &[
                ("0044-03-15 12:00:00 BC", "-63517780800000000"),
                ("1500-01-01 00:00:00.5", "-14831769599500000"),
                ("infinity", "9223372036825200000"),
                ("-infinity", "-9223372036832400000"),
            ],
        );
        let last = "294276-12-31 23:59:59.999";
        check(1114, 3, &mode(TimeMode::Adaptive), &[(last, "9224318015999999")]);
        assert_eq!(json(1114, -1, &mode(TimeMode::Microseconds), last), Err(ConversionError::OutOfRange));
        let old = "1500-01-01 00:00:00";
        assert_eq!(json(1114, -1, &mode(TimeMode::Nanoseconds), old), Err(ConversionError::OutOfRange));
    }

    #[test]
    fn infinities_of_3_7_are_other_ones() {
        let mode = |time| Modes { release: Release::V3_7, ..mode(time) };
        for (time, future, past) in [
            (TimeMode::Connect, "9223372036825200000", "-9223372036832400000"),
            (TimeMode::Microseconds, "9223372036854775807", "-9223372036854775808"),
            (TimeMode::IsoString, "\"+292278994-08-16T23:00:00Z\"", "\"-292275055-05-16T23:00:00Z\""),
        ] {
            check(1114, -1, &mode(time), &[("infinity", future), ("-infinity", past)]);
            let json = |modes| json(1114, -1, &modes, "2024-02-29 12:34:56.789012");
            assert_eq!(json(mode(time)), json(super::tests::mode(time)), "finite ones are the same");
        }
    }

    #[test]
    fn zoned_timestamps_are_utc_with_exactly_the_columns_digits() {
        let modes = Modes::default();
        let text = "2024-02-29 10:34:56.789012+00";
        check(
            1184,
            -1,
            &modes,
            &[
                (text, "\"2024-02-29T10:34:56.789012Z\""),
                ("2024-02-29 12:34:56.789012+02", "\"2024-02-29T10:34:56.789012Z\""),
                ("1850-01-01 00:00:00+00", "\"1850-01-01T00:00:00.000000Z\""),
                ("infinity", "\"infinity\""),
            ],
        );
        check(1184, 0, &modes, &[("2024-02-29 10:34:57+00", "\"2024-02-29T10:34:57Z\"")]);
        check(1184, 1, &modes, &[("2024-02-29 10:34:56.7+00", "\"2024-02-29T10:34:56.7Z\"")]);
        check(1184, 3, &modes, &[("21016-12-31 23:59:59.999+00", "\"+21016-12-31T23:59:59.999Z\"")]);
    }
}
