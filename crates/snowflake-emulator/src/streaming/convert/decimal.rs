//! Exact decimal text: parsed, rounded half away from zero, bounded by precision and scale.

/// A decimal number: sign, digits without leading zeros, and a power of ten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decimal {
    negative: bool,
    /// ASCII digits, most significant first; empty for zero.
    digits: Vec<u8>,
    /// The value is `digits * 10^exponent`.
    exponent: i64,
}

/// Exponents beyond this are out of every NUMBER's range, or zero: no need to walk them digit by digit.
const EXPONENT_MAX: i64 = 10_000;

impl Decimal {
    /// Reads `[+-]digits[.digits][e[+-]digits]`; None if the text is anything else.
    pub(crate) fn parse(text: &str) -> Option<Decimal> {
        let (negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, text.get(1..)?),
            b'+' => (false, text.get(1..)?),
            _ => (false, text),
        };
        let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
            Some(at) => (unsigned.get(..at)?, unsigned.get(at + 1..)?.parse::<i64>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        if !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let digits: Vec<u8> =
            whole.bytes().chain(fraction.bytes()).skip_while(|byte| *byte == b'0').collect();
        let exponent = exponent.clamp(-EXPONENT_MAX, EXPONENT_MAX) - i64::try_from(fraction.len()).ok()?;
        Some(Decimal { negative, digits, exponent })
    }

    /// Whether the value is zero.
    pub(crate) fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    /// Writes the value with exactly `scale` digits after the point.
    ///
    /// # Errors
    /// When the rounded value has more than `precision - scale` digits before the point.
    pub(crate) fn write(&self, precision: u8, scale: u8, out: &mut Vec<u8>) -> Result<(), ()> {
        let digits = self.scaled(scale)?;
        if digits.len() > usize::from(precision) {
            return Err(());
        }
        let scale = usize::from(scale);
        if self.negative && !digits.is_empty() {
            out.push(b'-');
        }
        let whole = digits.len().saturating_sub(scale);
        if whole == 0 {
            out.push(b'0');
        }
        out.extend_from_slice(digits.get(..whole).unwrap_or_default());
        if scale > 0 {
            out.push(b'.');
            out.extend(std::iter::repeat_n(b'0', scale.saturating_sub(digits.len())));
            out.extend_from_slice(digits.get(whole..).unwrap_or_default());
        }
        Ok(())
    }

    /// The digits of `value * 10^scale`, rounded to a whole number.
    fn scaled(&self, scale: u8) -> Result<Vec<u8>, ()> {
        if self.digits.is_empty() {
            return Ok(Vec::new());
        }
        let shift = self.exponent + i64::from(scale);
        if shift >= 0 {
            // 38 digits are the widest NUMBER: more zeros than that cannot fit
            let zeros = usize::try_from(shift).map_err(|_| ())?;
            if zeros > 38 {
                return Err(());
            }
            let mut digits = self.digits.clone();
            digits.extend(std::iter::repeat_n(b'0', zeros));
            return Ok(digits);
        }
        let dropped = usize::try_from(-shift).map_err(|_| ())?;
        let Some(kept) = self.digits.len().checked_sub(dropped) else { return Ok(Vec::new()) };
        let mut digits = self.digits.get(..kept).unwrap_or_default().to_vec();
        if self.digits.get(kept).is_some_and(|digit| *digit >= b'5') {
            increment(&mut digits);
        }
        Ok(digits)
    }
}

fn increment(digits: &mut Vec<u8>) {
    for digit in digits.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
    digits.insert(0, b'1');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, precision: u8, scale: u8, expected: Option<&str>) {
        let mut out = Vec::new();
        let written = Decimal::parse(text).and_then(|decimal| decimal.write(precision, scale, &mut out).ok());
        let written = written.map(|()| String::from_utf8(out).expect("digits"));
        assert_eq!(written.as_deref(), expected, "{text} as NUMBER({precision},{scale})");
    }

    #[test]
    fn rounds_half_away_from_zero() {
        check("0.5", 38, 0, Some("1"));
        check("-0.5", 38, 0, Some("-1"));
        check("0.49", 38, 0, Some("0"));
        check("-0.4", 38, 0, Some("0"));
        check("9.995", 5, 2, Some("10.00"));
        check("0.005", 5, 2, Some("0.01"));
        check("0.0005", 5, 2, Some("0.00"));
    }

    #[test]
    fn exponents_move_the_point() {
        check("1e3", 10, 1, Some("1000.0"));
        check("12.5E-1", 10, 3, Some("1.250"));
        check("1e-400", 10, 2, Some("0.00"));
        check("1e400", 38, 0, None);
        check("0e400", 38, 0, Some("0"));
    }

    #[test]
    fn leading_zeros_do_not_count_as_digits() {
        check("0000012", 2, 0, Some("12"));
        check("+.5", 3, 1, Some("0.5"));
    }

    #[test]
    fn what_is_not_a_number_is_refused() {
        for text in ["", "-", ".", "1.2.3", "1e", "0x10", "1_000", "NaN", " 1"] {
            check(text, 38, 0, None);
        }
    }
}
