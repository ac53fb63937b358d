//! Numbers as Java prints them, because JsonConverter does.

/// Appends a double as `Double.toString` does: plain between 10⁻³ and 10⁷, else computerized scientific.
///
/// The digits are the shortest that read back (as JDK 19 and later print); older JDKs sometimes print more.
pub fn write_f64(out: &mut Vec<u8>, value: f64) {
    let plain = value == 0.0 || (1e-3..1e7).contains(&value.abs());
    write_shortest(out, ryu::Buffer::new().format(value), value.is_finite(), plain);
}

/// Appends a float as `Float.toString` does.
pub fn write_f32(out: &mut Vec<u8>, value: f32) {
    let plain = value == 0.0 || (1e-3..1e7).contains(&value.abs());
    write_shortest(out, ryu::Buffer::new().format(value), value.is_finite(), plain);
}

fn write_shortest(out: &mut Vec<u8>, shortest: &str, finite: bool, plain: bool) {
    if !finite {
        // ryu prints NaN, inf and -inf.
        out.extend_from_slice(match shortest {
            "NaN" => b"\"NaN\"",
            "inf" => b"\"Infinity\"",
            _ => b"\"-Infinity\"",
        });
        return;
    }
    let number = shortest.strip_prefix('-').unwrap_or(shortest);
    if number.len() != shortest.len() {
        out.push(b'-');
    }
    let (mantissa, exponent) = match number.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().unwrap_or(0)),
        None => (number, 0),
    };
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = [0u8; 32];
    let mut length = 0;
    for byte in integer.bytes().chain(fraction.bytes()) {
        if let Some(slot) = digits.get_mut(length) {
            *slot = byte;
            length += 1;
        }
    }
    let digits = digits.get(..length).unwrap_or_default();
    write_digits(out, digits, integer.len() as i32 + exponent, plain);
}

/// Writes `0.digits × 10^point`.
fn write_digits(out: &mut Vec<u8>, digits: &[u8], point: i32, plain: bool) {
    let leading = digits.iter().take_while(|digit| **digit == b'0').count();
    let (digits, point) = match digits.get(leading..) {
        Some([]) | None => (&b"0"[..], 1),
        Some(rest) => (rest, point - leading as i32),
    };
    let trailing = digits.iter().rev().take_while(|digit| **digit == b'0').count();
    let digits = digits.get(..digits.len() - trailing).filter(|rest| !rest.is_empty()).unwrap_or(b"0");
    if !plain {
        let (first, rest) = digits.split_at(1);
        out.extend_from_slice(first);
        out.push(b'.');
        out.extend_from_slice(if rest.is_empty() { b"0" } else { rest });
        out.push(b'E');
        out.extend_from_slice(itoa::Buffer::new().format(point - 1).as_bytes());
    } else if point <= 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', point.unsigned_abs() as usize));
        out.extend_from_slice(digits);
    } else {
        let point = point as usize;
        let integer = digits.get(..point.min(digits.len())).unwrap_or_default();
        out.extend_from_slice(integer);
        out.extend(std::iter::repeat_n(b'0', point - integer.len()));
        out.push(b'.');
        let fraction = digits.get(point..).unwrap_or_default();
        out.extend_from_slice(if fraction.is_empty() { b"0" } else { fraction });
    }
}

/// `BigDecimal.toString`: plain unless the scale is negative or the number very small.
pub(crate) fn decimal(unscaled: &[u8], scale: i32) -> String {
    let negative = unscaled.first().is_some_and(|byte| byte & 0x80 != 0);
    let digits = magnitude(unscaled, negative);
    let scale = i64::from(scale);
    let exponent = digits.len() as i64 - 1 - scale;
    let sign = if negative { "-" } else { "" };
    if scale >= 0 && exponent >= -6 {
        let scale = scale as usize;
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (integer, fraction) = padded.split_at(padded.len() - scale);
        let point = if scale > 0 { "." } else { "" };
        return format!("{sign}{integer}{point}{fraction}");
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    let power = if exponent == 0 { String::new() } else { format!("E{exponent:+}") };
    format!("{sign}{first}{point}{rest}{power}")
}

/// Decimal digits of a two's complement number without its sign.
fn magnitude(bytes: &[u8], negative: bool) -> String {
    // Base 10⁹, lowest first.
    let mut parts: Vec<u64> = vec![0];
    for byte in bytes {
        let mut carry = u64::from(if negative { !byte } else { *byte });
        for part in &mut parts {
            let value = *part * 256 + carry;
            *part = value % 1_000_000_000;
            carry = value / 1_000_000_000;
        }
        if carry > 0 {
            parts.push(carry);
        }
    }
    let mut carry = u64::from(negative);
    for part in &mut parts {
        *part += carry;
        carry = *part / 1_000_000_000;
        *part %= 1_000_000_000;
    }
    if carry > 0 {
        parts.push(carry);
    }
    let mut parts = parts.iter().rev();
    let mut text = parts.next().map(u64::to_string).unwrap_or_default();
    parts.for_each(|part| text.push_str(&format!("{part:09}")));
    text
}

/// Year, month and day of so many days after 1970-01-01, in the proleptic Gregorian calendar.
pub(crate) fn civil_date(days: i64) -> (i64, i64, i64) {
    // From the 400-year cycle that begins on a 1st of March.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// 1582-10-15, from which on Java's calendar is the Gregorian one, in days since 1970.
const GREGORIAN: i64 = -141_427;

/// The same in the Julian calendar.
fn julian_date(days: i64) -> (i64, i64, i64) {
    // From the 4-year cycle that begins on a 1st of March; that calendar's is two days earlier.
    let shifted = days + 719_470;
    let (cycle, of_cycle) = (shifted.div_euclid(1461), shifted.rem_euclid(1461));
    let year_of_cycle = (of_cycle - of_cycle / 1460) / 365;
    let of_year = of_cycle - 365 * year_of_cycle;
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_cycle + cycle * 4 + i64::from(month <= 2), month, day)
}

/// `java.util.Date.toString` in UTC, of milliseconds since 1970.
pub(crate) fn date_text(ms: i64) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, seconds) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000) / 1000);
    let (year, month, day) = if days < GREGORIAN { julian_date(days) } else { civil_date(days) };
    // There is no year 0, and the era is not printed.
    let year = if year > 0 { year } else { 1 - year };
    let weekday = WEEKDAYS.get(days.rem_euclid(7) as usize).copied().unwrap_or_default();
    let month = MONTHS.get((month - 1) as usize).copied().unwrap_or_default();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{weekday} {month} {day:02} {hours:02}:{minutes:02}:{seconds:02} UTC {year}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_look_as_java_prints_them() {
        let text = |value| {
            let mut out = Vec::new();
            write_f64(&mut out, value);
            String::from_utf8(out).unwrap()
        };
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (100.0, "100.0"),
            (0.001, "0.001"),
            (0.00099, "9.9E-4"),
            (1e-7, "1.0E-7"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (12_345_678.9, "1.23456789E7"),
            (-1.5, "-1.5"),
            (123.456, "123.456"),
            (1.5e300, "1.5E300"),
            (f64::NAN, "\"NaN\""),
            (f64::INFINITY, "\"Infinity\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ] {
            assert_eq!(text(value), expected);
        }
    }

    #[test]
    fn decimals_look_as_java_prints_them() {
        for (unscaled, scale, expected) in [
            (&[0x01, 0x5e][..], 2, "3.50"),
            (&[0xff], 2, "-0.01"),
            (&[0], 0, "0"),
            (&[0], 2, "0.00"),
            (&[1], 7, "1E-7"),
            (&[12], 8, "1.2E-7"),
            (&[5], -2, "5E+2"),
            (&[0x80], 0, "-128"),
            (&[0xff, 0x00], 0, "-256"),
            (&[0x0d, 0xe0, 0xb6, 0xb3, 0xa7, 0x64, 0x00, 0x00], 18, "1.000000000000000000"),
        ] {
            assert_eq!(decimal(unscaled, scale), expected);
        }
    }

    #[test]
    fn dates_look_as_java_util_date_prints_them() {
        for (ms, expected) in [
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (1_709_210_096_789, "Thu Feb 29 12:34:56 UTC 2024"),
            (-1, "Wed Dec 31 23:59:59 UTC 1969"),
            // The last day of the Julian calendar and the first of the Gregorian one, and what a default showed.
            (-141_428 * 86_400_000, "Thu Oct 04 00:00:00 UTC 1582"),
            (-141_427 * 86_400_000, "Fri Oct 15 00:00:00 UTC 1582"),
            (-62_135_596_800_000, "Mon Jan 03 00:00:00 UTC 1"),
            (-14_831_769_600_000, "Mon Dec 23 00:00:00 UTC 1499"),
        ] {
            assert_eq!(date_text(ms), expected);
        }
    }

    #[test]
    fn floats_keep_their_own_shortest_digits() {
        let mut out = Vec::new();
        write_f32(&mut out, 0.1);
        assert_eq!(out, b"0.1");
    }
}
