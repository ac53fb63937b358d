//! Java's `SimpleDateFormat` in UTC and English, for the letters that timestamps are written with.

const DAY_MS: i64 = 86_400_000;
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A pattern in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DateFormat {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A letter and how often it stands.
    Letter(char, usize),
}

/// A moment in the proleptic Gregorian calendar, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moment {
    year: i64,
    /// 1 to 12.
    month: i64,
    day: i64,
    of_day_ms: i64,
}

impl DateFormat {
    /// Reads a pattern; the error says what is wrong with it.
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        let mut parts: Vec<Part> = Vec::new();
        let mut chars = pattern.chars().peekable();
        let mut quoted = false;
        while let Some(c) = chars.next() {
            match c {
                '\'' if chars.peek() == Some(&'\'') => {
                    chars.next();
                    text(&mut parts, '\'');
                }
                '\'' => quoted = !quoted,
                c if !quoted && c.is_ascii_alphabetic() => {
                    if !"yMdHhkKmsSEaDzZX".contains(c) {
                        return Err(format!("'{c}' in a date format is not supported"));
                    }
                    match parts.last_mut() {
                        Some(Part::Letter(letter, count)) if *letter == c => *count += 1,
                        _ => parts.push(Part::Letter(c, 1)),
                    }
                    // The same letter behind a quote is another field.
                    if chars.peek() == Some(&'\'') {
                        parts.push(Part::Text(String::new()));
                    }
                }
                c => text(&mut parts, c),
            }
        }
        match quoted {
            true => Err("a quote in the date format is not closed".to_owned()),
            false => Ok(DateFormat { parts }),
        }
    }

    /// The text of a moment in milliseconds since 1970.
    pub(crate) fn format(&self, ms: i64) -> String {
        let moment = Moment::new(ms);
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Letter(letter, count) => moment.write(*letter, *count, &mut out),
            }
        }
        out
    }

    /// Milliseconds since 1970 of a text; `None` if it does not fit the pattern.
    pub(crate) fn parse(&self, text: &str) -> Option<i64> {
        let mut fields = Fields::default();
        let mut rest = text;
        for (index, part) in self.parts.iter().enumerate() {
            rest = match part {
                Part::Text(text) => rest.strip_prefix(text.as_str())?,
                Part::Letter(letter, count) => {
                    // Fields that touch each other have as many digits as letters.
                    let touches = matches!(self.parts.get(index + 1), Some(Part::Letter(..)));
                    fields.read(*letter, *count, if touches { *count } else { usize::MAX }, rest)?
                }
            };
        }
        // Java does not mind what stands behind.
        Some(fields.milliseconds())
    }
}

fn text(parts: &mut Vec<Part>, c: char) {
    match parts.last_mut() {
        Some(Part::Text(text)) => text.push(c),
        _ => parts.push(Part::Text(c.to_string())),
    }
}

impl Moment {
    fn new(ms: i64) -> Self {
        let (days, of_day_ms) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS));
        // From the 400-year cycle that begins on a 1st of March.
        let shifted = days + 719_468;
        let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Moment {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: of_year - (153 * shifted_month + 2) / 5 + 1,
            of_day_ms,
        }
    }

    fn write(&self, letter: char, count: usize, out: &mut String) {
        let hour = self.of_day_ms / 3_600_000;
        let number = match letter {
            'y' if count == 2 => self.year.rem_euclid(100),
            'y' => self.year,
            'M' if count >= 3 => {
                let name = MONTHS.get(self.month as usize - 1).copied().unwrap_or_default();
                return out.push_str(if count == 3 { name.get(..3).unwrap_or(name) } else { name });
            }
            'M' => self.month,
            'd' => self.day,
            'D' => days(self.year, self.month, self.day) - days(self.year, 1, 1) + 1,
            'H' => hour,
            'k' => (hour + 23) % 24 + 1,
            'K' => hour % 12,
            'h' => (hour + 11) % 12 + 1,
            'm' => self.of_day_ms / 60_000 % 60,
            's' => self.of_day_ms / 1000 % 60,
            'S' => self.of_day_ms % 1000,
            'a' => return out.push_str(if hour < 12 { "AM" } else { "PM" }),
            'E' => {
                let day = (days(self.year, self.month, self.day) + 4).rem_euclid(7);
                let name = DAYS.get(day as usize).copied().unwrap_or_default();
                return out.push_str(if count < 4 { name.get(..3).unwrap_or(name) } else { name });
            }
            'z' => return out.push_str(if count < 4 { "UTC" } else { "Coordinated Universal Time" }),
            'Z' => return out.push_str("+0000"),
            _ => return out.push('Z'),
        };
        out.push_str(&format!("{number:0count$}"));
    }
}

/// Days since 1970 of a civil date; months beyond 12 belong to later years.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = (year + (month - 1).div_euclid(12), (month - 1).rem_euclid(12) + 1);
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[derive(Debug, Default)]
struct Fields {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: i64,
    afternoon: bool,
    minute: i64,
    second: i64,
    millisecond: i64,
    offset_minutes: i64,
}

impl Fields {
    fn read<'a>(&mut self, letter: char, count: usize, digits_max: usize, text: &'a str) -> Option<&'a str> {
        match letter {
            'M' if count >= 3 => {
                let (place, rest) = name(&MONTHS, text)?;
                self.month = Some(place as i64 + 1);
                return Some(rest);
            }
            'E' => return name(&DAYS, text).map(|(_, rest)| rest),
            'a' => {
                let (half, rest) = text.split_at_checked(2)?;
                self.afternoon = match half.to_ascii_uppercase().as_str() {
                    "AM" => false,
                    "PM" => true,
                    _ => return None,
                };
                return Some(rest);
            }
            'z' | 'Z' | 'X' => return self.offset(text),
            _ => {}
        }
        let text = text.trim_start_matches(' ');
        let digits = text.bytes().take(digits_max).take_while(u8::is_ascii_digit).count();
        let (number, rest) = text.split_at_checked(digits)?;
        let value: i64 = number.parse().ok()?;
        match letter {
            // Two digits are a year within 80 years before and 20 after: a century that a clock would have to tell.
            'y' if count <= 2 && digits == 2 => {
                self.year = Some(if value < 70 { 2000 + value } else { 1900 + value });
            }
            'y' => self.year = Some(value),
            'M' => self.month = Some(value),
            'd' => self.day = Some(value),
            'D' => self.day_of_year = Some(value),
            'H' | 'K' => self.hour = value,
            'k' => self.hour = value % 24,
            'h' => self.hour = value % 12,
            'm' => self.minute = value,
            's' => self.second = value,
            _ => self.millisecond = value,
        }
        Some(rest)
    }

    /// `Z`, `UTC`, `GMT`, `+01`, `+0100` or `+01:00`.
    fn offset<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        for zone in ["UTC", "GMT", "Z"] {
            if let Some(rest) = text.strip_prefix(zone) {
                return Some(rest);
            }
        }
        let sign = match text.chars().next()? {
            '+' => 1,
            '-' => -1,
            _ => return None,
        };
        let (hours, rest) = text.get(1..)?.split_at_checked(2)?;
        let minutes = rest.strip_prefix(':').unwrap_or(rest);
        let (minutes, rest) = match minutes.split_at_checked(2) {
            Some((minutes, rest)) if minutes.bytes().all(|b| b.is_ascii_digit()) => (minutes, rest),
            _ => ("0", rest),
        };
        self.offset_minutes = sign * (hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?);
        Some(rest)
    }

    fn milliseconds(&self) -> i64 {
        let year = self.year.unwrap_or(1970);
        let day = match (self.day_of_year, self.month, self.day) {
            (Some(day), None, None) => days(year, 1, 1) + day - 1,
            (_, month, day) => days(year, month.unwrap_or(1), 1) + day.unwrap_or(1) - 1,
        };
        let hour = self.hour + if self.afternoon { 12 } else { 0 };
        let minutes = hour * 60 + self.minute - self.offset_minutes;
        day * DAY_MS + minutes * 60_000 + self.second * 1000 + self.millisecond
    }
}

/// The place of the longest name, or of its first three letters, that the text begins with; and what stands behind.
fn name<'a>(names: &[&str], text: &'a str) -> Option<(usize, &'a str)> {
    let begins = |name: &str| {
        let head = text.get(..name.len())?;
        head.eq_ignore_ascii_case(name).then(|| text.get(name.len()..).unwrap_or_default())
    };
    names.iter().enumerate().find_map(|(place, name)| {
        let rest = begins(name).or_else(|| begins(name.get(..3)?))?;
        Some((place, rest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_look_as_java_prints_them() {
        for (pattern, ms, expected) in [
            ("yyyyMMdd", 1_709_210_096_789, "20240229"),
            ("yyyy-MM-dd'T'HH:mm:ss.SSSX", 1_709_210_096_789, "2024-02-29T12:34:56.789Z"),
            ("yy/M/d h:m a", 1_709_210_096_789, "24/2/29 12:34 PM"),
            ("EEE, d MMM yyyy HH:mm:ss Z", 0, "Thu, 1 Jan 1970 00:00:00 +0000"),
            ("EEEE MMMM D k K", 1_709_210_096_789, "Thursday February 60 12 0"),
            ("yyyy-MM-dd''HH", -1, "1969-12-31'23"),
            ("z zzzz", 0, "UTC Coordinated Universal Time"),
        ] {
            assert_eq!(DateFormat::new(pattern).unwrap().format(ms), expected, "{pattern}");
        }
        assert!(DateFormat::new("yyyy-'MM").is_err() && DateFormat::new("YYYY").is_err());
    }

    #[test]
    fn texts_are_read_as_java_reads_them() {
        for (pattern, text, expected) in [
            ("yyyyMMdd", "20240229", Some(1_709_164_800_000)),
            ("yyyy-MM-dd HH:mm:ss", "2024-02-29 12:34:56", Some(1_709_210_096_000)),
            ("yyyy-MM-dd'T'HH:mm:ss.SSSX", "2024-02-29T13:34:56.789+01:00", Some(1_709_210_096_789)),
            ("d MMM yyyy h a", "1 mar 1970 1 PM", Some(59 * DAY_MS + 13 * 3_600_000)),
            ("yyyy-MM-dd", "2024-02-30", Some(1_709_164_800_000 + DAY_MS)),
            ("yyyy-MM-dd", "2024-02-29 and more", Some(1_709_164_800_000)),
            ("yyyy-MM-dd", "29.02.2024", None),
            ("yyyy-MM-dd", "", None),
        ] {
            assert_eq!(DateFormat::new(pattern).unwrap().parse(text), expected, "{pattern} {text}");
        }
    }
}
