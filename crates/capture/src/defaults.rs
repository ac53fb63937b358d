//! Column defaults in schemas, read from what `pg_get_expr` prints.
//!
//! Schemas must be Debezium's, byte for byte, and it looks at the text only: a call (`now()`, `nextval(…)`) is
//! the type's zero, else the first quoted constant is the default, even inside of a larger expression. What the
//! server would not insert is marked, so that a table whose NULLs it would replace can be named in a warning.

use cdcd_debezium::value::{FieldName, Literal, Mark, ValueWriter};

use crate::catalog::TypeKind;
use crate::config::DecimalMode;
use crate::types::{Mapping, TypeContext, numeric, resolve};

/// A default as it stands in a schema.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SchemaDefault {
    pub(crate) literal: Literal,
    /// Whether it is what the server would insert; else it is only what Debezium makes of the expression.
    pub(crate) is_exact: bool,
}

/// The default of a column of type `oid`, if Debezium puts one into the schema.
pub(crate) fn literal(expression: &str, oid: u32, context: &TypeContext<'_>) -> Option<SchemaDefault> {
    if !has_default(oid, context) {
        return None;
    }
    let mapping: Mapping<Recorder> = resolve(oid, context)?;
    let reading = read(expression)?;
    let is_exact = matches!(reading, Reading::Constant { is_exact: true, .. } | Reading::Bare(_));
    let literal = match &reading {
        Reading::Function => zero(oid, context, mapping.fallback)?,
        Reading::Constant { text, .. } => convert(&mapping, oid, context, text)?,
        Reading::Bare(text) => match bare(text, oid, context) {
            Bare::Text(text) => convert(&mapping, oid, context, text)?,
            Bare::Zero => zero(oid, context, mapping.fallback)?,
            Bare::None => return None,
        },
    };
    // Debezium drops defaults that are structs.
    if matches!(literal, Literal::Struct(_)) {
        return None;
    }
    let is_exact = is_exact && !matches!(&reading, Reading::Bare(text) if !is_plain(text));
    Some(SchemaDefault { literal, is_exact })
}

/// Types whose defaults Debezium reads; enums as well.
fn has_default(oid: u32, context: &TypeContext<'_>) -> bool {
    const TYPES: [u32; 21] = [
        16, 20, 21, 23, 25, 114, 142, 700, 701, 1042, 1043, 1082, 1083, 1114, 1184, 1186, 1560, 1562, 1700,
        2950, 3802,
    ];
    TYPES.contains(&oid) || is_enum(oid, context)
}

fn is_enum(oid: u32, context: &TypeContext<'_>) -> bool {
    let mut types = context.types.iter();
    types.any(|facts| facts.oid == oid && matches!(facts.kind, TypeKind::Enum { .. }))
}

fn convert(mapping: &Mapping<Recorder>, oid: u32, context: &TypeContext<'_>, text: &str) -> Option<Literal> {
    let scaled;
    let text = match (oid, context.modes.decimal) {
        (1700, DecimalMode::String | DecimalMode::Double) => {
            scaled = at_scale(text, context.typmod)?;
            scaled.as_str()
        }
        _ => text,
    };
    let mut recorder = Recorder::default();
    (mapping.write)(text.as_bytes(), &mapping.params, &mut recorder).ok()?;
    recorder.value
}

/// A constant of a numeric column as text, with all digits of the column's scale; `None` if it has more.
fn at_scale(text: &str, typmod: i32) -> Option<String> {
    if !is_number(text) {
        return None;
    }
    let Some(scale) = numeric::scale(typmod) else { return Some(text.to_owned()) };
    let (integer, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > scale {
        return None;
    }
    let point = if scale > 0 { "." } else { "" };
    Some(format!("{integer}{point}{fraction:0<scale$}"))
}

fn zero(oid: u32, context: &TypeContext<'_>, fallback: Literal) -> Option<Literal> {
    Some(match oid {
        114 | 3802 => Literal::String("{}".to_owned()),
        2950 => Literal::String("00000000-0000-0000-0000-000000000000".to_owned()),
        1184 => {
            let mapping: Mapping<Recorder> = resolve(oid, context)?;
            let mut recorder = Recorder::default();
            (mapping.write)(b"1970-01-01 00:00:00+00", &mapping.params, &mut recorder).ok()?;
            recorder.value?
        }
        1700 if matches!(fallback, Literal::VariableScaleDecimal(..)) => return None,
        1700 if fallback == Literal::String("0".to_owned()) && context.typmod < 0 => {
            Literal::String("0.0".to_owned())
        }
        _ => fallback,
    })
}

/// What Debezium sees in a default's text.
#[derive(Debug, PartialEq, Eq)]
enum Reading<'a> {
    /// A call, alone or at the beginning.
    Function,
    /// The first quoted constant, wherever it stands; exact if nothing but casts follows it.
    Constant { text: String, is_exact: bool },
    /// Text without quotes.
    Bare(&'a str),
}

fn read(expression: &str) -> Option<Reading<'_>> {
    let head = expression.split("::").next().unwrap_or_default();
    if head.eq_ignore_ascii_case("null") {
        return None;
    }
    if begins_with_call(expression) {
        return Some(Reading::Function);
    }
    match expression.split_once('\'') {
        Some((before, body)) => {
            let (text, rest) = quoted(body)?;
            let is_exact = matches!(before, "" | "B" | "E") && is_casts(rest);
            Some(Reading::Constant { text, is_exact })
        }
        None => Some(Reading::Bare(expression)),
    }
}

/// The text up to the closing quote, and what follows it.
fn quoted(body: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut chars = body.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != '\'' {
            text.push(c);
        } else if chars.next_if(|(_, next)| *next == '\'').is_some() {
            text.push('\'');
        } else {
            return Some((text, body.get(at + 1..).unwrap_or_default()));
        }
    }
    None
}

/// Nothing, or `::type` once or more.
fn is_casts(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with("::") && !rest.contains(['|', '+', '\'', '='])
}

/// A constant without quotes, as PostgreSQL prints numbers and booleans.
fn is_plain(text: &str) -> bool {
    is_number(text) || matches!(text, "true" | "false")
}

enum Bare<'a> {
    Text(&'a str),
    Zero,
    None,
}

/// What becomes of text without quotes depends on the type: text keeps it, whatever it says.
fn bare<'a>(text: &'a str, oid: u32, context: &TypeContext<'_>) -> Bare<'a> {
    let now = ["CURRENT_", "LOCALTIME"].iter().any(|name| text.starts_with(name));
    match oid {
        16 => Bare::Text(if text.eq_ignore_ascii_case("true") { "t" } else { "f" }),
        1082 | 1083 | 1114 | 1184 if now && !text.contains(' ') => Bare::Zero,
        20 | 21 | 23 | 700 | 701 | 1700 if is_number(text) => Bare::Text(text),
        1560 | 1562 if context.typmod != 1 => Bare::Zero,
        25 | 114 | 142 | 1042 | 1043 | 3802 => Bare::Text(text),
        _ if is_enum(oid, context) => Bare::Text(text),
        _ => Bare::None,
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && digits.bytes().any(|byte| byte.is_ascii_digit())
}

/// `name(…)` or `(name(…)`, whatever follows.
fn begins_with_call(expression: &str) -> bool {
    let expression = expression.strip_prefix('(').unwrap_or(expression);
    let Some((name, rest)) = expression.split_once('(') else { return false };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    !name.is_empty() && name.bytes().all(is_name) && rest.contains(')')
}

/// Keeps the one scalar that a type writes.
#[derive(Debug, std::default::Default)]
struct Recorder {
    value: Option<Literal>,
}

impl ValueWriter for Recorder {
    fn begin_record(&mut self, _: &[u8]) {}
    fn end_record(&mut self, _: &[u8]) {}
    fn null(&mut self) {
        self.value = None;
    }
    fn boolean(&mut self, value: bool) {
        self.value = Some(Literal::Boolean(value));
    }
    fn int(&mut self, value: i64) {
        self.value = Some(Literal::Int(value));
    }
    fn float32(&mut self, value: f32) {
        self.value = Some(Literal::Float32(value));
    }
    fn float64(&mut self, value: f64) {
        self.value = Some(Literal::Float64(value));
    }
    fn string(&mut self, value: &str) {
        self.value = Some(Literal::String(value.to_owned()));
    }
    fn bytes(&mut self, value: &[u8]) {
        self.value = Some(Literal::Bytes(value.to_vec()));
    }
    fn decimal(&mut self, unscaled: &[u8], scale: i32) {
        self.value = Some(Literal::Decimal(unscaled.to_vec(), scale));
    }
    // Defaults that are structs are dropped; so nothing below records.
    fn begin_struct(&mut self) {}
    fn field(&mut self, _: &FieldName) {}
    fn end_struct(&mut self) {
        self.value = None;
    }
    fn begin_array(&mut self, _: usize) {}
    fn end_array(&mut self) {
        self.value = None;
    }
    fn begin_map(&mut self, _: usize) {}
    fn map_key(&mut self, _: &str) {}
    fn end_map(&mut self) {
        self.value = None;
    }
    fn fragment(&mut self, _: &[u8]) {}
    fn mark(&self) -> Mark {
        cdcd_debezium::format::json::JsonWriter::default().mark()
    }
    fn rewind(&mut self, _: Mark) {
        self.value = None;
    }
    fn take_since(&mut self, _: Mark, _: &mut Vec<u8>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Modes;

    fn default(expression: &str, oid: u32, typmod: i32) -> Option<SchemaDefault> {
        let modes = Modes::default();
        literal(expression, oid, &TypeContext { modes: &modes, typmod, types: &[] })
    }

    fn exact(expression: &str, oid: u32, typmod: i32) -> Option<Literal> {
        default(expression, oid, typmod).filter(|found| found.is_exact).map(|found| found.literal)
    }

    fn guessed(expression: &str, oid: u32, typmod: i32) -> Option<Literal> {
        default(expression, oid, typmod).filter(|found| !found.is_exact).map(|found| found.literal)
    }

    fn text(text: &str) -> Option<Literal> {
        Some(Literal::String(text.to_owned()))
    }

    #[test]
    fn constants_are_exact() {
        assert_eq!(exact("'pending'::character varying", 1043, 24), text("pending"));
        assert_eq!(exact("'n''a'::text", 25, -1), text("n'a"));
        assert_eq!(exact("1.5", 1700, (10 << 16 | 2) + 4), Some(Literal::Decimal(vec![0, 150], 2)));
        assert_eq!(exact("true", 16, -1), Some(Literal::Boolean(true)));
        assert_eq!(exact("'-1'::integer", 23, -1), Some(Literal::Int(-1)));
        assert_eq!(exact("'101'::\"bit\"", 1560, 3), Some(Literal::Bytes(vec![5])));
        assert_eq!(default("NULL::character varying", 1043, -1), None);
        assert_eq!(default("5", 26, -1), None);
    }

    #[test]
    fn calls_and_expressions_are_read_as_debezium_reads_them_and_are_not_exact() {
        assert_eq!(guessed("CURRENT_TIMESTAMP", 1114, -1), Some(Literal::Int(0)));
        assert_eq!(guessed("(now() AT TIME ZONE 'utc'::text)", 1114, -1), Some(Literal::Int(0)));
        assert_eq!(guessed("nextval('t_id_seq'::regclass)", 23, -1), Some(Literal::Int(0)));
        assert_eq!(guessed("now()", 1184, -1), text("1970-01-01T00:00:00.000000Z"));
        assert_eq!(guessed("gen_random_uuid()", 2950, -1), text("00000000-0000-0000-0000-000000000000"));
        assert_eq!(guessed("('a'::text || 'b'::text)", 25, -1), text("a"));
        assert_eq!(guessed("CURRENT_USER", 25, -1), text("CURRENT_USER"));
        assert_eq!(guessed("(1 > 0)", 16, -1), Some(Literal::Boolean(false)));
        assert_eq!(default("(1 + 2)", 23, -1), None);
        assert_eq!(default("(CURRENT_DATE + 1)", 1082, -1), None);
    }

    #[test]
    fn numeric_text_has_the_digits_of_its_column() {
        let typmod = (10 << 16 | 2) + 4;
        assert_eq!(at_scale("10", typmod).as_deref(), Some("10.00"));
        assert_eq!(at_scale("-1.500", typmod).as_deref(), Some("-1.50"));
        assert_eq!(at_scale("-1.005", typmod), None);
        assert_eq!(at_scale("NaN", typmod), None);
        assert_eq!(at_scale("1.50", -1).as_deref(), Some("1.50"));
    }
}
