//! Java's regular expressions and replacements, as far as the `regex` crate has them.

use regex::Regex;

use super::options::OptionError;

/// An expression with the two ways in which Java's `Matcher` uses it.
#[derive(Debug, Clone)]
pub struct Pattern {
    whole: Regex,
    first: Regex,
}

/// What `Matcher.replaceFirst` puts in place of a match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(usize),
}

impl Pattern {
    /// Compiles the value of the property `key`.
    ///
    /// # Errors
    /// What is no expression, or uses look-around or back-references.
    pub fn new(key: &str, text: &str) -> Result<Self, OptionError> {
        let compile = |text: &str| {
            Regex::new(text).map_err(|error| {
                OptionError::new(key, format!("'{text}' is not an expression that can be used: {error}"))
                    .hint("look-around, back-references and possessive quantifiers of Java are not supported")
            })
        };
        Ok(Pattern { first: compile(text)?, whole: compile(&format!("^(?:{text})$"))? })
    }

    /// `Matcher.matches`: all of the text.
    pub fn matches(&self, text: &str) -> bool {
        self.whole.is_match(text)
    }

    /// `Matcher.replaceFirst`, if `Matcher.matches`.
    pub fn replace(&self, text: &str, replacement: &Replacement) -> Option<String> {
        if !self.matches(text) {
            return None;
        }
        let Some(captures) = self.first.captures(text) else { return Some(text.to_owned()) };
        let whole = captures.get(0)?;
        let mut out = text.get(..whole.start())?.to_owned();
        for part in &replacement.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Group(group) => out.push_str(captures.get(*group).map_or("", |found| found.as_str())),
            }
        }
        out.push_str(text.get(whole.end()..)?);
        Some(out)
    }
}

impl Replacement {
    /// Reads the value of the property `key`: `$1`, `${name}` and `\` as in Java.
    ///
    /// # Errors
    /// A group that the expression does not have, a `$` or `\` that stands alone.
    pub fn new(key: &str, text: &str, pattern: &Pattern) -> Result<Self, OptionError> {
        let wrong = |what: String| OptionError::new(key, what);
        let groups = pattern.first.captures_len();
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '\\' => match rest.next() {
                    Some(c) => plain.push(c),
                    None => return Err(wrong("ends with a backslash that escapes nothing".to_owned())),
                },
                '$' => {
                    let group = match rest.next() {
                        Some('{') => {
                            let name: String = rest.by_ref().take_while(|c| *c != '}').collect();
                            let mut names = pattern.first.capture_names();
                            names
                                .position(|known| known == Some(name.as_str()))
                                .ok_or_else(|| wrong(format!("the expression has no group {name}")))?
                        }
                        Some(digit) if digit.is_ascii_digit() => {
                            let mut group = digit.to_digit(10).unwrap_or(0) as usize;
                            if group >= groups {
                                return Err(wrong(format!("the expression has no group {group}")));
                            }
                            // Java takes further digits as long as there is such a group.
                            while let Some(digit) = rest.peek().and_then(|c| c.to_digit(10)) {
                                let longer = group * 10 + digit as usize;
                                if longer >= groups {
                                    break;
                                }
                                group = longer;
                                rest.next();
                            }
                            group
                        }
                        _ => return Err(wrong("has a $ without a group behind it".to_owned())),
                    };
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(Part::Group(group));
                }
                c => plain.push(c),
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Replacement { parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(pattern: &str, replacement: &str, text: &str) -> Option<String> {
        let pattern = Pattern::new("regex", pattern).unwrap();
        pattern.replace(text, &Replacement::new("replacement", replacement, &pattern).unwrap())
    }

    #[test]
    fn the_whole_text_must_match_and_the_first_find_is_replaced() {
        for (pattern, replacement, text, expected) in [
            (r"cdc\.(.*)\.(.*)", "$2-$1", "cdc.public.t", Some("t-public")),
            (r"cdc\.(.*)", "$1", "x.cdc.t", None),
            ("(?<a>.)(?<b>.)", "${b}${a}", "xy", Some("yx")),
            // Java looks again from the start, without anchors.
            ("a|ab", "X", "ab", Some("Xb")),
            ("(.)(x)?", "$1[$2]", "a", Some("a[]")),
            ("(.*)", r"\$1\\$12", "a", Some(r"$1\a2")),
            (".*", "", "a", Some("")),
        ] {
            assert_eq!(replaced(pattern, replacement, text).as_deref(), expected, "{pattern} {replacement}");
        }
    }

    #[test]
    fn what_java_would_refuse_later_is_refused_at_the_start() {
        let pattern = Pattern::new("regex", "(.*)").unwrap();
        for text in ["$2", "${name}", "a$", "a$b", "a\\"] {
            assert_eq!(
                Replacement::new("replacement", text, &pattern).unwrap_err().key,
                "replacement",
                "{text}"
            );
        }
        assert_eq!(Pattern::new("regex", "a(?=b)").unwrap_err().key, "regex");
    }
}
