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
    fn floats_keep_their_own_shortest_digits() {
        let mut out = Vec::new();
        write_f32(&mut out, 0.1);
        assert_eq!(out, b"0.1");
    }
}
