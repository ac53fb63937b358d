//! Column defaults in schemas, read from what `pg_get_expr` prints.
//!
//! A constant becomes the schema's default; a function (`now()`, `nextval(…)`, `CURRENT_TIMESTAMP`) becomes
//! the type's zero, as in Debezium; an expression becomes none.

use cdcd_debezium::value::{FieldName, Literal, Mark, ValueWriter};

use crate::types::{Mapping, TypeContext, resolve};

/// The default of a column of type `oid`, if Debezium puts one into the schema.
pub(crate) fn literal(expression: &str, oid: u32, context: &TypeContext<'_>) -> Option<Literal> {
    if !has_default(oid, context) {
        return None;
    }
    let mapping: Mapping<Recorder> = resolve(oid, context)?;
    match parse(expression)? {
        Default::Constant(text) => {
            let mut recorder = Recorder::default();
            (mapping.write)(text.as_bytes(), &mapping.params, &mut recorder).ok()?;
            recorder.value
        }
        Default::Function => zero(oid, context, mapping.fallback),
    }
}

/// Types whose defaults Debezium reads; enums as well.
fn has_default(oid: u32, context: &TypeContext<'_>) -> bool {
    const TYPES: [u32; 20] = [
        16, 20, 21, 23, 25, 114, 142, 700, 701, 1042, 1043, 1082, 1083, 1114, 1184, 1186, 1560, 1562, 1700,
        2950,
    ];
    let is_enum = |facts: &crate::catalog::TypeFacts| {
        facts.oid == oid && matches!(facts.kind, crate::catalog::TypeKind::Enum { .. })
    };
    oid == 3802 || TYPES.contains(&oid) || context.types.iter().any(is_enum)
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
        _ => fallback,
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Default {
    Constant(String),
    Function,
}

fn parse(expression: &str) -> Option<Default> {
    let expression = expression.trim();
    let inner = expression.strip_prefix('(').and_then(|inner| inner.strip_suffix(')'));
    if let Some(inner) = inner.filter(|inner| is_number(inner)) {
        return Some(Default::Constant(inner.to_owned()));
    }
    if let Some(body) = expression.strip_prefix('\'') {
        return quoted(body).map(Default::Constant);
    }
    let bare = expression.split("::").next().unwrap_or_default();
    match bare {
        "true" => Some(Default::Constant("t".to_owned())),
        "false" => Some(Default::Constant("f".to_owned())),
        _ if bare.eq_ignore_ascii_case("null") => None,
        _ if is_number(bare) => Some(Default::Constant(bare.to_owned())),
        _ if is_function(expression) => Some(Default::Function),
        _ => None,
    }
}

/// The text up to the closing quote; only a cast may follow.
fn quoted(body: &str) -> Option<String> {
    let mut text = String::new();
    let mut chars = body.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\'' {
            text.push(c);
        } else if chars.peek() == Some(&'\'') {
            chars.next();
            text.push('\'');
        } else {
            let rest: String = chars.collect();
            let cast_only = rest.is_empty() || rest.starts_with("::") && !rest.contains("||");
            return cast_only.then_some(text);
        }
    }
    None
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && digits.bytes().any(|byte| byte.is_ascii_digit())
}

/// `name(…)` with nothing behind, or one of SQL's functions without parentheses.
fn is_function(expression: &str) -> bool {
    let upper = expression.to_ascii_uppercase();
    if upper.starts_with("CURRENT_") || upper.starts_with("LOCALTIME") || upper.starts_with("SESSION_USER") {
        return true;
    }
    let expression = expression.split(")::").next().unwrap_or_default();
    match expression.split_once('(') {
        Some((name, _)) => {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'))
        }
        None => false,
    }
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
    // Debezium drops struct-typed defaults; so nothing below records.
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

    #[test]
    fn constants_functions_and_expressions_are_told_apart() {
        let modes = Modes::default();
        let default = |expression: &str, oid: u32, typmod: i32| {
            literal(expression, oid, &TypeContext { modes: &modes, typmod, types: &[] })
        };
        let text = |text: &str| Some(Literal::String(text.to_owned()));
        assert_eq!(default("'pending'::character varying", 1043, 24), text("pending"));
        assert_eq!(default("'n''a'::text", 25, -1), text("n'a"));
        assert_eq!(default("CURRENT_TIMESTAMP", 1114, -1), Some(Literal::Int(0)));
        assert_eq!(default("nextval('t_id_seq'::regclass)", 23, -1), Some(Literal::Int(0)));
        assert_eq!(default("now()", 1184, -1), text("1970-01-01T00:00:00.000000Z"));
        assert_eq!(default("gen_random_uuid()", 2950, -1), text("00000000-0000-0000-0000-000000000000"));
        assert_eq!(default("1.5", 1700, (10 << 16 | 2) + 4), Some(Literal::Decimal(vec![0, 150], 2)));
        assert_eq!(default("true", 16, -1), Some(Literal::Boolean(true)));
        assert_eq!(default("'-1'::integer", 23, -1), Some(Literal::Int(-1)));
        assert_eq!(default("(-1)", 23, -1), Some(Literal::Int(-1)));
        assert_eq!(default("NULL::character varying", 1043, -1), None);
        assert_eq!(default("(1 + 2)", 23, -1), None);
        assert_eq!(default("5", 26, -1), None);
    }
}
