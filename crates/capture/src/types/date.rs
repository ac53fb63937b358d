//! `date`

use cdcd_debezium::schema::{Kind, Schema};
use cdcd_debezium::value::{Literal, ValueWriter};

use super::calendar::{Finite, Text, parse_date};
use super::{ConversionError, Mapping, Params, TypeContext};
use crate::config::TimeMode;

/// What Debezium 3.6 writes for the infinities while streaming: the day count of Java's largest and smallest
/// dates, cut to 32 bits. Kept, because consumers compare against it.
const INFINITY_DAYS: i64 = -2_147_472_692;
const MINUS_INFINITY_DAYS: i64 = -2_147_472_691;

pub(super) fn map<W: ValueWriter>(context: &TypeContext<'_>) -> Mapping<W> {
    if context.modes.time == TimeMode::IsoString {
        return Mapping {
            schema: Schema::new(Kind::String).named("io.debezium.time.IsoDate"),
            write: write_iso,
            params: Params::default(),
            fallback: Literal::String("1970-01-01Z".to_owned()),
            unavailable: Literal::Null,
        };
    }
    let name = match context.modes.time {
        TimeMode::Connect => "org.apache.kafka.connect.data.Date",
        _ => "io.debezium.time.Date",
    };
    Mapping {
        schema: Schema::new(Kind::Int32).named(name),
        write: write_days,
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
    use crate::config::{Modes, TimeMode};

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
}
