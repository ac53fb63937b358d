//! Rules that single columns are written by: truncated, masked, hashed, or with their source type in the schema.
//!
//! Rules touch the row, never the key. Lengths, scales and names of types are those that Debezium streams with.

use cdcd_debezium::format::json::JsonWriter;
use cdcd_debezium::schema::{Kind, Schema};
use cdcd_debezium::transform::tape::TapeWriter;
use cdcd_debezium::value::{Literal, Mark, ValueWriter};
use md5::{Digest as _, Md5};
use regex::Regex;
use sha2::{Sha256, Sha512};

use crate::catalog::{TypeFacts, TypeKind};

/// What Debezium gives as the length of a type that has none.
const UNLIMITED: i32 = i32::MAX;
/// The same for `numeric` without precision.
const NUMERIC_DIGITS: i32 = 131_089;

/// A digest, by its name in Java.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// `MD5`
    Md5,
    /// `SHA-256`
    Sha256,
    /// `SHA-512`
    Sha512,
}

/// What a rule does with a column's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `column.truncate.to.N.chars`: at most so many UTF-16 units, as Java counts.
    Truncate(usize),
    /// `column.mask.with.N.chars`: so many asterisks, for NULL as well.
    Mask(usize),
    /// `column.mask.hash.v2.ALGORITHM.with.salt.SALT`: hexadecimal digest of salt and text, cut to the column's length.
    Hash(Algorithm, String),
}

/// All rules of a connector.
#[derive(Debug, Clone, Default)]
pub struct ColumnRules {
    /// Actions with the columns (`schema.table.column`) that each is for; the first that matches is taken.
    pub actions: Vec<(Vec<Regex>, Action)>,
    /// `column.propagate.source.type`, on `schema.table.column`.
    pub propagate_columns: Vec<Regex>,
    /// `datatype.propagate.source.type`, on `schema.table.type`.
    pub propagate_types: Vec<Regex>,
}

/// A column as rules see it.
pub(crate) struct Subject<'a> {
    /// `schema.table`
    pub(crate) table: &'a str,
    pub(crate) column: &'a str,
    pub(crate) oid: u32,
    pub(crate) typmod: i32,
    pub(crate) types: &'a [TypeFacts],
}

/// What is done to each value of a column.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Transform {
    /// Nothing.
    #[default]
    None,
    /// The same text whatever the value is.
    Replace(String),
    Truncate(usize),
    Hash {
        algorithm: Algorithm,
        salt: String,
        /// Characters of the digest that are kept.
        length: usize,
    },
}

impl ColumnRules {
    /// Applies the rules to a column's schema; gives what they do to its values.
    pub(crate) fn apply(&self, subject: &Subject<'_>, schema: &mut Schema) -> Transform {
        let name = format!("{}.{}", subject.table, subject.column);
        let matches = |list: &[Regex]| list.iter().any(|pattern| pattern.is_match(&name));
        let action = self.actions.iter().find(|(columns, _)| matches(columns)).map(|(_, action)| action);
        let transform = action.map_or(Transform::None, |action| subject.transform(action, schema));
        let type_name = subject.type_name();
        let by_type = format!("{}.{type_name}", subject.table);
        if matches(&self.propagate_columns)
            || self.propagate_types.iter().any(|pattern| pattern.is_match(&by_type))
        {
            let (length, scale) = length_and_scale(subject.oid, subject.typmod, subject.types);
            let mut add = |name: &'static str, value: String| {
                schema.parameters.push((name.into(), value));
            };
            add("__debezium.source.column.type", type_name.to_uppercase());
            add("__debezium.source.column.length", length.to_string());
            add("__debezium.source.column.scale", scale.to_string());
            add("__debezium.source.column.name", subject.column.to_owned());
        }
        transform
    }
}

impl Subject<'_> {
    fn transform(&self, action: &Action, schema: &mut Schema) -> Transform {
        let (length, _) = length_and_scale(self.oid, self.typmod, self.types);
        let length = usize::try_from(length).unwrap_or(0);
        match action {
            Action::Truncate(limit) => {
                if length > *limit {
                    schema.parameters.push(("truncateLength".into(), limit.to_string()));
                }
                if schema.kind == Kind::String { Transform::Truncate(*limit) } else { Transform::None }
            }
            Action::Mask(_) | Action::Hash(..) => {
                schema.parameters.push(("masked".into(), "true".to_owned()));
                match action {
                    _ if !is_text(self.oid, self.types) => Transform::None,
                    Action::Hash(algorithm, salt) => {
                        Transform::Hash { algorithm: *algorithm, salt: salt.clone(), length }
                    }
                    Action::Mask(count) => Transform::Replace("*".repeat(*count)),
                    Action::Truncate(_) => Transform::None,
                }
            }
        }
    }

    fn type_name(&self) -> String {
        name_of(self.oid, self.types)
    }
}

impl Transform {
    /// What stands for a value that is there without a row.
    pub(crate) fn literal(&self, literal: Literal) -> Literal {
        match (self, literal) {
            (Transform::Replace(text), _) => Literal::String(text.clone()),
            (Transform::None, literal) => literal,
            (_, Literal::String(text)) => Literal::String(self.text(&text)),
            (_, literal) => literal,
        }
    }

    fn text(&self, text: &str) -> String {
        match self {
            Transform::None => text.to_owned(),
            Transform::Replace(other) => other.clone(),
            Transform::Truncate(limit) => truncated(text, *limit).to_owned(),
            Transform::Hash { algorithm, salt, length } => {
                let mut digest = hex_digest(*algorithm, salt, text);
                digest.truncate(*length);
                digest
            }
        }
    }

    /// Changes the text that was written since `mark`; anything but text stays.
    pub(crate) fn rewrite<W: TakeBack>(&self, mark: Mark, writer: &mut W) {
        if *self == Transform::None {
            return;
        }
        if let Some(text) = writer.take_back(mark) {
            writer.string(&self.text(&text));
        }
    }
}

/// A writer whose last value can be read again.
pub(crate) trait TakeBack: ValueWriter {
    /// The text that was written since `mark`, forgotten here; anything but text stays.
    fn take_back(&mut self, mark: Mark) -> Option<String>;
}

impl TakeBack for JsonWriter {
    fn take_back(&mut self, mark: Mark) -> Option<String> {
        let mut written = Vec::new();
        self.take_since(mark, &mut written);
        let json = written.strip_prefix(b",").unwrap_or(&written);
        match serde_json::from_slice::<String>(json) {
            Ok(text) => Some(text),
            Err(_) => {
                self.verbatim(json);
                None
            }
        }
    }
}

impl TakeBack for TapeWriter {
    fn take_back(&mut self, mark: Mark) -> Option<String> {
        self.take_string(mark)
    }
}

/// The longest beginning of at most `limit` UTF-16 units that does not end within a character.
fn truncated(text: &str, limit: usize) -> &str {
    let mut units = 0;
    for (at, c) in text.char_indices() {
        units += c.len_utf16();
        if units > limit {
            return text.get(..at).unwrap_or_default();
        }
    }
    text
}

fn hex_digest(algorithm: Algorithm, salt: &str, text: &str) -> String {
    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
    match algorithm {
        Algorithm::Md5 => hex(&Md5::new().chain_update(salt).chain_update(text).finalize()),
        Algorithm::Sha256 => hex(&Sha256::new().chain_update(salt).chain_update(text).finalize()),
        Algorithm::Sha512 => hex(&Sha512::new().chain_update(salt).chain_update(text).finalize()),
    }
}

/// Types that pgjdbc calls characters: only these are masked.
fn is_text(oid: u32, types: &[TypeFacts]) -> bool {
    match types.iter().find(|facts| facts.oid == oid).map(|facts| &facts.kind) {
        Some(TypeKind::Enum { .. }) => true,
        Some(TypeKind::Domain { base_oid, .. }) if *base_oid != oid => is_text(*base_oid, types),
        _ => matches!(oid, 18 | 19 | 25 | 1042 | 1043),
    }
}

/// Length and scale as Debezium's type registry computes them from the type modifier.
fn length_and_scale(oid: u32, typmod: i32, types: &[TypeFacts]) -> (i32, i32) {
    match types.iter().find(|facts| facts.oid == oid).map(|facts| &facts.kind) {
        Some(TypeKind::Domain { base_oid, base_typmod }) if *base_oid != oid => {
            let typmod = if typmod >= 0 { typmod } else { *base_typmod };
            return length_and_scale(*base_oid, typmod, types);
        }
        Some(TypeKind::Array { element_oid, .. }) if *element_oid != oid => {
            return length_and_scale(*element_oid, typmod, types);
        }
        _ => {}
    }
    // Seconds take a point and their digits; one digit takes as much room as two.
    let digits = if typmod < 0 { 6 } else { typmod };
    let seconds = match digits {
        0 => 0,
        1 => 3,
        digits => digits + 1,
    };
    match oid {
        16 | 18 => (1, 0),
        20 => (19, 0),
        21 => (5, 0),
        23 | 26 => (10, 0),
        700 => (8, 8),
        701 => (17, 17),
        1042 | 1043 if typmod >= 4 => (typmod - 4, 0),
        1082 => (13, 0),
        1083 => (8 + seconds, digits),
        1114 => (22 + seconds, digits),
        1184 => (28 + seconds, digits),
        1186 => (49, if typmod < 0 { 6 } else { (typmod & 0xffff).min(6) }),
        1266 => (14 + seconds, digits),
        1560 if typmod <= 0 => (1, 0),
        1560 | 1562 if typmod > 0 => (typmod, 0),
        1700 if typmod >= 4 => ((typmod - 4) >> 16 & 0xffff, (typmod - 4) & 0xffff),
        1700 => (NUMERIC_DIGITS, 0),
        _ => (UNLIMITED, 0),
    }
}

fn name_of(oid: u32, types: &[TypeFacts]) -> String {
    const BUILT_IN: &[(u32, &str)] = &[
        (16, "bool"),
        (17, "bytea"),
        (18, "char"),
        (19, "name"),
        (20, "int8"),
        (21, "int2"),
        (23, "int4"),
        (25, "text"),
        (26, "oid"),
        (114, "json"),
        (142, "xml"),
        (600, "point"),
        (650, "cidr"),
        (700, "float4"),
        (701, "float8"),
        (774, "macaddr8"),
        (790, "money"),
        (829, "macaddr"),
        (869, "inet"),
        (1042, "bpchar"),
        (1043, "varchar"),
        (1082, "date"),
        (1083, "time"),
        (1114, "timestamp"),
        (1184, "timestamptz"),
        (1186, "interval"),
        (1266, "timetz"),
        (1560, "bit"),
        (1562, "varbit"),
        (1700, "numeric"),
        (2950, "uuid"),
        (3614, "tsvector"),
        (3802, "jsonb"),
        (3904, "int4range"),
        (3906, "numrange"),
        (3908, "tsrange"),
        (3910, "tstzrange"),
        (3912, "daterange"),
        (3926, "int8range"),
    ];
    let by_facts = types.iter().find(|facts| facts.oid == oid).map(|facts| facts.name.as_str());
    let built_in = BUILT_IN.iter().find(|(known, _)| *known == oid).map(|(_, name)| *name);
    by_facts.or(built_in).unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(oid: u32, typmod: i32) -> Subject<'static> {
        Subject { table: "s.t", column: "c", oid, typmod, types: &[] }
    }

    fn rules(action: Action) -> ColumnRules {
        let all = Regex::new("^s\\.t\\.c$").expect("an expression");
        ColumnRules { actions: vec![(vec![all], action)], ..ColumnRules::default() }
    }

    #[test]
    fn truncation_counts_utf16_units_and_keeps_characters_whole() {
        assert_eq!(truncated("abcdef", 3), "abc");
        assert_eq!(truncated("abc", 3), "abc");
        assert_eq!(truncated("🛫🛫🛫", 5), "🛫🛫");
        let mut schema = Schema::new(Kind::String);
        let transform = rules(Action::Truncate(5)).apply(&subject(1043, 14), &mut schema);
        assert_eq!(transform, Transform::Truncate(5));
        assert_eq!(schema.parameters, [("truncateLength".into(), "5".to_owned())]);
        let mut schema = Schema::new(Kind::String);
        rules(Action::Truncate(5)).apply(&subject(1043, 9), &mut schema);
        assert!(schema.parameters.is_empty(), "a column that is no longer than the limit");
    }

    #[test]
    fn digests_are_of_salt_and_text_and_cut_to_the_column() {
        let action = Action::Hash(Algorithm::Sha256, "salt&pepper".to_owned());
        let mut schema = Schema::new(Kind::String);
        let transform = rules(action).apply(&subject(1043, 16), &mut schema);
        assert_eq!(
            transform.literal(Literal::String("varchar".into())),
            Literal::String("d3b9849cb3b2".into())
        );
        assert_eq!(transform.literal(Literal::Null), Literal::Null);
    }

    #[test]
    fn masks_replace_text_and_null_but_no_other_type() {
        let mut schema = Schema::new(Kind::String);
        let transform = rules(Action::Mask(3)).apply(&subject(25, -1), &mut schema);
        assert_eq!(transform.literal(Literal::Null), Literal::String("***".into()));
        assert_eq!(rules(Action::Mask(3)).apply(&subject(23, -1), &mut schema), Transform::None);
    }

    #[test]
    fn rewriting_keeps_commas() {
        let mut writer = JsonWriter::default();
        writer.begin_array(2);
        for text in ["abcdef", "x"] {
            let mark = writer.mark();
            writer.string(text);
            Transform::Truncate(2).rewrite(mark, &mut writer);
        }
        let mark = writer.mark();
        writer.null();
        Transform::Truncate(2).rewrite(mark, &mut writer);
        writer.end_array();
        assert_eq!(writer.as_bytes(), br#"["ab","x",null]"#);
    }

    #[test]
    fn lengths_and_scales_are_the_type_registrys() {
        for (oid, typmod, expected) in [
            (1700, (10 << 16 | 2) + 4, (10, 2)),
            (1700, -1, (131_089, 0)),
            (1083, 3, (12, 3)),
            (1083, 0, (8, 0)),
            (1114, -1, (29, 6)),
            (1184, -1, (35, 6)),
            (1266, -1, (21, 6)),
            (1186, -1, (49, 6)),
            (25, -1, (i32::MAX, 0)),
            (1042, 9, (5, 0)),
        ] {
            assert_eq!(length_and_scale(oid, typmod, &[]), expected, "{oid} {typmod}");
        }
    }
}
