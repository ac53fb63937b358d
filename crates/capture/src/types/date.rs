//! `date`

use cdcd_debezium::schema::{Kind, Schema};
use cdcd_debezium::value::{Literal, ValueWriter};

use super::calendar::{Finite, Text, parse_date};
use super::{ConversionError, Mapping, Params, TypeContext, structured};
use crate::config::{Release, TimeMode};

/// What Debezium 3.6 writes for the infinities while streaming: the day count of Java's largest and smallest
/// dates, cut to 32 bits. Kept, because consumers compare against it.
const INFINITY_DAYS: i64 = -2_147_472_692;
const MINUS_INFINITY_DAYS: i64 = -2_147_472_691;
/// What 3.7 writes for the later one: not cut any more.
const INFINITY_DAYS_3_7: i64 = 2_146_033_979;

pub(super) fn map<W: ValueWriter>(context: &TypeContext<'_>) -> Mapping<W> {
    if context.modes.time == TimeMode::IsoString {
        return Mapping {
            schema: Schema::new(Kind::String).named("io.debezium.time.IsoDate"),
            write: match context.modes.release {
                Release::V3_6 => write_iso,
                Release::V3_7 => |text, params, writer| {
                    if text == b"infinity" {
                        writer.string("+5877611-06-21Z");
                        return Ok(());
                    }
                    write_iso(text, params, writer)
                },
            },
            params: Params::default(),
            fallback: Literal::String("1970-01-01Z".to_owned()),
            unavailable: Literal::Null,
        };
    }
    if context.modes.time == TimeMode::Structured {
        return structured::date(context);
    }
    let name = match context.modes.time {
        TimeMode::Connect => "org.apache.kafka.connect.data.Date",
        _ => "io.debezium.time.Date",
    };
    Mapping {
        schema: Schema::new(Kind::Int32).named(name),
        write: match context.modes.release {
            Release::V3_6 => write_days,
            Release::V3_7 => |text, params, writer| {
                if text == b"infinity" {
                    writer.int(INFINITY_DAYS_3_7);
                    return Ok(());
                }
                write_days(text, params, writer)
            },
        },
        params: Params::default(),
        fallback: Literal::Int(0),
        unavailable: Literal::Null,
    }
}

fn write_days<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    writer.int(match parse_date(text)? {
        Finite::Value(day) => day.days_since_1970(),
        Finite::Future => INFINITY_DAYS,
        Finite::Past => MINUS_INFINITY_DAYS,
    });
    Ok(())
}

fn write_iso<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    match parse_date(text)? {
        Finite::Value(day) => Text::new().day(day).push(b'Z').write(writer),
        Finite::Future => writer.string("-5877611-06-21Z"),
        Finite::Past => writer.string("-5877611-06-22Z"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use crate::config::{Modes, Release, TimeMode};

    #[test]
    fn dates_count_days_in_the_proleptic_calendar() {
        check(
            1082,
            -1,
            &Modes::default(),
            &[("2024-02-29", "19782"), ("0044-03-15 BC", "-735160"), ("infinity", "-2147472692")],
        );
        let modes = Modes { time: TimeMode::IsoString, ..Modes::default() };
        check(1082, -1, &modes, &[("2024-02-29", "\"2024-02-29Z\""), ("0044-03-15 BC", "\"-0043-03-15Z\"")]);
    }
    #[test]
    fn the_infinite_date_of_3_7_is_not_cut() {
        let modes = Modes { release: Release::V3_7, ..Modes::default() };
        check(
            1082,
            -1,
            &modes,
            &[("infinity", "2146033979"), ("-infinity", "-2147472691"), ("2024-02-29", "19782")],
        );
        let modes = Modes { time: TimeMode::IsoString, ..modes };
        check(1082, -1, &modes, &[("infinity", "\"+5877611-06-21Z\"")]);
    }
}
