//! `time.precision.mode=structured`, which Debezium has since 3.7: the parts of dates, times and intervals, each a field

use std::sync::LazyLock;

use cdcd_debezium::schema::{Kind, Schema};
use cdcd_debezium::value::{FieldName, Literal, ValueWriter};

use super::calendar::{Day, Finite, Instant, parse_date, parse_time, parse_timestamp};
use super::interval::{self, Interval};
use super::{ConversionError, Mapping, Params, TypeContext};

/// A field's value.
#[derive(Clone, Copy)]
enum Part<'a> {
    Null,
    Int(i64),
    Text(&'a str),
}

/// One struct: its name and its fields, all of them optional.
struct Shape {
    name: &'static str,
    fields: Vec<(FieldName, Schema)>,
}

impl Shape {
    fn new(name: &'static str, fields: &[(&'static str, Kind)]) -> Self {
        let field = |(name, kind): &(&'static str, Kind)| {
            let schema = Schema::new(kind.clone()).optional(true);
            (FieldName::of(*name, &schema), schema)
        };
        Shape { name, fields: fields.iter().map(field).collect() }
    }

    fn schema(&self) -> Schema {
        let field = |(name, schema): &(FieldName, Schema)| schema.clone().field(name.as_str());
        Schema::structure(self.fields.iter().map(field).collect()).named(self.name)
    }

    fn write<W: ValueWriter>(&self, parts: &[Part<'_>], writer: &mut W) {
        writer.begin_struct();
        for ((name, _), part) in self.fields.iter().zip(parts) {
            writer.field(name);
            match part {
                Part::Null => writer.null(),
                Part::Int(value) => writer.int(*value),
                Part::Text(text) => writer.string(text),
            }
        }
        writer.end_struct();
    }

    fn literal(&self, parts: &[Part<'_>]) -> Literal {
        let literal = |part: &Part<'_>| match part {
            Part::Null => Literal::Null,
            Part::Int(value) => Literal::Int(*value),
            Part::Text(text) => Literal::String((*text).to_owned()),
        };
        Literal::Struct(
            self.fields.iter().zip(parts).map(|((name, _), part)| (name.clone(), literal(part))).collect(),
        )
    }

    fn map<W: ValueWriter>(
        &self,
        context: &TypeContext<'_>,
        write: super::WriteFn<W>,
        zero: &[Part<'_>],
    ) -> Mapping<W> {
        let params = Params { scale: column_digits(context), ..Params::default() };
        Mapping {
            schema: self.schema(),
            write,
            params,
            fallback: self.literal(zero),
            unavailable: Literal::Null,
        }
    }
}

static DATE: LazyLock<Shape> = LazyLock::new(|| {
    Shape::new(
        "io.debezium.time.StructuredDate",
        &[("year", Kind::Int32), ("month", Kind::Int8), ("day", Kind::Int8), ("specialValue", Kind::String)],
    )
});

static TIME: LazyLock<Shape> = LazyLock::new(|| {
    Shape::new(
        "io.debezium.time.StructuredTime",
        &[
            ("hour", Kind::Int8),
            ("minute", Kind::Int8),
            ("second", Kind::Int8),
            ("nanos", Kind::Int32),
            ("precision", Kind::Int32),
        ],
    )
});

static ZONED_TIME: LazyLock<Shape> = LazyLock::new(|| {
    Shape::new(
        "io.debezium.time.StructuredZonedTime",
        &[
            ("hour", Kind::Int8),
            ("minute", Kind::Int8),
            ("second", Kind::Int8),
            ("nanos", Kind::Int32),
            ("offsetSeconds", Kind::Int32),
            ("precision", Kind::Int32),
        ],
    )
});

static TIMESTAMP: LazyLock<Shape> = LazyLock::new(|| {
    Shape::new(
        "io.debezium.time.StructuredTimestamp",
        &[
            ("year", Kind::Int32),
            ("month", Kind::Int8),
            ("day", Kind::Int8),
            ("hour", Kind::Int8),
            ("minute", Kind::Int8),
            ("second", Kind::Int8),
            ("nanos", Kind::Int32),
            ("specialValue", Kind::String),
            ("precision", Kind::Int32),
        ],
    )
});

static ZONED_TIMESTAMP: LazyLock<Shape> = LazyLock::new(|| {
    Shape::new(
        "io.debezium.time.StructuredZonedTimestamp",
        &[
            ("year", Kind::Int32),
            ("month", Kind::Int8),
            ("day", Kind::Int8),
            ("hour", Kind::Int8),
            ("minute", Kind::Int8),
            ("second", Kind::Int8),
            ("nanos", Kind::Int32),
            ("offsetSeconds", Kind::Int32),
            ("zoneId", Kind::String),
            ("specialValue", Kind::String),
            ("precision", Kind::Int32),
        ],
    )
});

static DURATION: LazyLock<Shape> = LazyLock::new(|| {
    Shape::new(
        "io.debezium.time.StructuredDuration",
        &[
            ("years", Kind::Int32),
            ("months", Kind::Int32),
            ("days", Kind::Int32),
            ("hours", Kind::Int32),
            ("minutes", Kind::Int32),
            ("seconds", Kind::Int64),
            ("nanos", Kind::Int32),
            ("precision", Kind::Int32),
        ],
    )
});

const POSITIVE_INFINITY: Part<'_> = Part::Text("POSITIVE_INFINITY");
const NEGATIVE_INFINITY: Part<'_> = Part::Text("NEGATIVE_INFINITY");

pub(super) fn date<W: ValueWriter>(context: &TypeContext<'_>) -> Mapping<W> {
    DATE.map(context, write_date, &date_parts(EPOCH))
}

pub(super) fn time<W: ValueWriter>(context: &TypeContext<'_>) -> Mapping<W> {
    let precision = precision(context);
    let [hour, minute, second, nanos] = clock_parts(0);
    TIME.map(context, write_time, &[hour, minute, second, nanos, precision])
}

pub(super) fn zoned_time<W: ValueWriter>(context: &TypeContext<'_>) -> Mapping<W> {
    let precision = precision(context);
    let [hour, minute, second, nanos] = clock_parts(0);
    ZONED_TIME.map(context, write_zoned_time, &[hour, minute, second, nanos, Part::Int(0), precision])
}

pub(super) fn timestamp<W: ValueWriter>(context: &TypeContext<'_>) -> Mapping<W> {
    let epoch = Instant { day: EPOCH, us_of_day: 0, offset_s: 0 };
    TIMESTAMP.map(context, write_timestamp, &timestamp_parts(Finite::Value(epoch), precision(context)))
}

pub(super) fn zoned_timestamp<W: ValueWriter>(context: &TypeContext<'_>) -> Mapping<W> {
    let epoch = Instant { day: EPOCH, us_of_day: 0, offset_s: 0 };
    let mut parts = zoned_timestamp_parts(Finite::Value(epoch), precision(context));
    // What stands for a value that is not there has no zone.
    parts[8] = Part::Null;
    ZONED_TIMESTAMP.map(context, write_zoned_timestamp, &parts)
}

pub(super) fn duration<W: ValueWriter>(context: &TypeContext<'_>) -> Mapping<W> {
    // An interval's holds its range of fields as well, and 65535 where only that is given: so Debezium writes it.
    let typmod = if context.typmod < 0 { context.typmod } else { context.typmod & 0xffff };
    let context = TypeContext { typmod, ..*context };
    DURATION.map(&context, write_duration, &duration_parts(Interval::default(), precision(&context)))
}

const EPOCH: Day = Day { year: 1970, month: 1, day: 1 };

/// Digits of a second's fraction that the column keeps.
fn column_digits(context: &TypeContext<'_>) -> i32 {
    if context.typmod < 0 { 6 } else { context.typmod }
}

fn precision(context: &TypeContext<'_>) -> Part<'static> {
    Part::Int(column_digits(context).into())
}

fn date_parts(day: Day) -> [Part<'static>; 4] {
    [Part::Int(day.year), Part::Int(day.month), Part::Int(day.day), Part::Null]
}

/// Hour, minute, second, nanoseconds.
fn clock_parts(us: i64) -> [Part<'static>; 4] {
    let seconds = us / 1_000_000;
    [seconds / 3600, seconds / 60 % 60, seconds % 60, us % 1_000_000 * 1000].map(Part::Int)
}

fn timestamp_parts(at: Finite<Instant>, precision: Part<'static>) -> [Part<'static>; 9] {
    let special = |special| {
        let mut parts = [Part::Null; 9];
        parts[7] = special;
        parts[8] = precision;
        parts
    };
    match at {
        Finite::Future => special(POSITIVE_INFINITY),
        Finite::Past => special(NEGATIVE_INFINITY),
        Finite::Value(at) => {
            let [year, month, day, _] = date_parts(at.day);
            let [hour, minute, second, nanos] = clock_parts(at.us_of_day);
            [year, month, day, hour, minute, second, nanos, Part::Null, precision]
        }
    }
}

fn zoned_timestamp_parts(at: Finite<Instant>, precision: Part<'static>) -> [Part<'static>; 11] {
    let utc = match at {
        Finite::Value(at) => Finite::Value(at.in_utc()),
        infinite => infinite,
    };
    let [year, month, day, hour, minute, second, nanos, special, precision] = timestamp_parts(utc, precision);
    let (offset, zone) = match utc {
        Finite::Value(_) => (Part::Int(0), Part::Text("Z")),
        Finite::Future | Finite::Past => (Part::Null, Part::Null),
    };
    [year, month, day, hour, minute, second, nanos, offset, zone, special, precision]
}

fn duration_parts(interval: Interval, precision: Part<'static>) -> [Part<'static>; 8] {
    let seconds = interval.us / 1_000_000;
    let clock = [seconds / 3600, seconds / 60 % 60, seconds % 60, interval.us % 1_000_000 * 1000];
    let [hours, minutes, seconds, nanos] = clock.map(Part::Int);
    let [years, months, days] = [interval.years, interval.months, interval.days].map(Part::Int);
    [years, months, days, hours, minutes, seconds, nanos, precision]
}

fn digits(params: &Params) -> Part<'static> {
    Part::Int(params.scale.into())
}

fn write_date<W: ValueWriter>(text: &[u8], _: &Params, writer: &mut W) -> Result<(), ConversionError> {
    let special = |special| [Part::Null, Part::Null, Part::Null, special];
    let parts = match parse_date(text)? {
        Finite::Value(day) => date_parts(day),
        Finite::Future => special(POSITIVE_INFINITY),
        Finite::Past => special(NEGATIVE_INFINITY),
    };
    DATE.write(&parts, writer);
    Ok(())
}

fn write_time<W: ValueWriter>(text: &[u8], params: &Params, writer: &mut W) -> Result<(), ConversionError> {
    let [hour, minute, second, nanos] = clock_parts(parse_time(text)?.0);
    TIME.write(&[hour, minute, second, nanos, digits(params)], writer);
    Ok(())
}

fn write_zoned_time<W: ValueWriter>(
    text: &[u8],
    params: &Params,
    writer: &mut W,
) -> Result<(), ConversionError> {
    let (us, offset_s) = parse_time(text)?;
    let [hour, minute, second, nanos] = clock_parts(us);
    ZONED_TIME.write(&[hour, minute, second, nanos, Part::Int(offset_s), digits(params)], writer);
    Ok(())
}

fn write_timestamp<W: ValueWriter>(
    text: &[u8],
    params: &Params,
    writer: &mut W,
) -> Result<(), ConversionError> {
    TIMESTAMP.write(&timestamp_parts(parse_timestamp(text)?, digits(params)), writer);
    Ok(())
}

fn write_zoned_timestamp<W: ValueWriter>(
    text: &[u8],
    params: &Params,
    writer: &mut W,
) -> Result<(), ConversionError> {
    ZONED_TIMESTAMP.write(&zoned_timestamp_parts(parse_timestamp(text)?, digits(params)), writer);
    Ok(())
}

fn write_duration<W: ValueWriter>(
    text: &[u8],
    params: &Params,
    writer: &mut W,
) -> Result<(), ConversionError> {
    DURATION.write(&duration_parts(interval::parse(text)?, digits(params)), writer);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, json};
    use super::*;
    use crate::config::{Modes, Release, TimeMode};

    fn modes() -> Modes {
        Modes { time: TimeMode::Structured, release: Release::V3_7, ..Modes::default() }
    }

    #[test]
    fn each_part_is_a_field() {
        check(
            1082,
            -1,
            &modes(),
            &[
                ("2024-02-29", r#"{"year":2024,"month":2,"day":29,"specialValue":null}"#),
                ("0044-03-15 BC", r#"{"year":-43,"month":3,"day":15,"specialValue":null}"#),
                ("-infinity", r#"{"year":null,"month":null,"day":null,"specialValue":"NEGATIVE_INFINITY"}"#),
            ],
        );
        check(
            1083,
            3,
            &modes(),
            &[("12:34:56.789", r#"{"hour":12,"minute":34,"second":56,"nanos":789000000,"precision":3}"#)],
        );
        check(
            1114,
            -1,
            &modes(),
            &[
                (
                    "2262-04-11 23:47:16.854775",
                    r#"{"year":2262,"month":4,"day":11,"hour":23,"minute":47,"second":16,"nanos":854775000,"specialValue":null,"precision":6}"#,
                ),
                (
                    "infinity",
                    r#"{"year":null,"month":null,"day":null,"hour":null,"minute":null,"second":null,"nanos":null,"specialValue":"POSITIVE_INFINITY","precision":6}"#,
                ),
            ],
        );
    }

    #[test]
    fn zoned_times_keep_their_offset_and_zoned_timestamps_are_in_utc() {
        check(
            1266,
            0,
            &modes(),
            &[(
                "24:00:00-14:00",
                r#"{"hour":24,"minute":0,"second":0,"nanos":0,"offsetSeconds":-50400,"precision":0}"#,
            )],
        );
        check(
            1184,
            0,
            &modes(),
            &[(
                "1940-06-01 01:00:00+02",
                r#"{"year":1940,"month":5,"day":31,"hour":23,"minute":0,"second":0,"nanos":0,"offsetSeconds":0,"zoneId":"Z","specialValue":null,"precision":0}"#,
            )],
        );
    }

    #[test]
    fn intervals_keep_the_sign_of_each_part() {
        check(
            1186,
            -1,
            &modes(),
            &[(
                "-1 mons +2 days -04:05:06.5",
                r#"{"years":0,"months":-1,"days":2,"hours":-4,"minutes":-5,"seconds":-6,"nanos":-500000000,"precision":6}"#,
            )],
        );
        assert_eq!(json(1186, -1, &modes(), "1 fortnight"), Err(ConversionError::Malformed));
    }
}
