//! Rules that single columns are written by: truncated, masked, hashed, or with their source type in the schema.
//!
//! Rules touch the row, never the key. Lengths, scales and names of types are those that Debezium streams with.

use cdcd_debezium::schema::{Kind, Schema};
use cdcd_debezium::value::{Literal, Mark, ValueWriter};
use md5::{Digest, Md5};
use regex::Regex;
use sha2::{Sha224, Sha256, Sha384, Sha512};

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
    /// `SHA-224`
    Sha224,
    /// `SHA-256`
    Sha256,
    /// `SHA-384`
    Sha384,
    /// `SHA-512`
    Sha512,
}

/// What stands behind the salt in what is digested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digested {
    /// The text in UTF-8: `column.mask.hash.v2`.
    Text,
    /// Java's stream of one serialized string: `column.mask.hash`.
    Serialized,
}

/// How a column is hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashing {
    /// The digest.
    pub algorithm: Algorithm,
    /// Of what.
    pub digested: Digested,
    /// What comes first.
    pub salt: String,
}

/// What a rule does with a column's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `column.truncate.to.N.chars`: at most so many UTF-16 units, as Java counts.
    Truncate(usize),
    /// `column.mask.with.N.chars`: so many asterisks, for NULL as well.
    Mask(usize),
    /// `column.mask.hash.ALGORITHM.with.salt.SALT` and `column.mask.hash.v2.…`: hexadecimal digest, cut to the column's
    /// length.
    Hash(Hashing),
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
    /// Filled from a sequence, and Debezium says so of its type.
    pub(crate) is_serial: bool,
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
        hashing: Hashing,
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
            Action::Mask(_) | Action::Hash(_) => {
                schema.parameters.push(("masked".into(), "true".to_owned()));
                match action {
                    _ if !is_text(self.oid, self.types) => Transform::None,
                    Action::Hash(hashing) => Transform::Hash { hashing: hashing.clone(), length },
                    Action::Mask(count) => Transform::Replace("*".repeat(*count)),
                    Action::Truncate(_) => Transform::None,
                }
            }
        }
    }

    fn type_name(&self) -> String {
        match self.oid {
            20 if self.is_serial => "bigserial".to_owned(),
            21 if self.is_serial => "smallserial".to_owned(),
            23 if self.is_serial => "serial".to_owned(),
            _ => name_of(self.oid, self.types),
        }
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
            Transform::Hash { hashing, length } => {
                let mut digest = hashing.hex(text);
                digest.truncate(*length);
                digest
            }
        }
    }

    /// Changes the text that was written since `mark`; anything but text stays.
    pub(crate) fn rewrite<W: ValueWriter>(&self, mark: Mark, writer: &mut W) {
        if let Some(text) = writer.take_string(mark) {
            writer.string(&self.text(&text));
        }
    }

    /// Whether values stay what they are.
    #[inline]
    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Transform::None)
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

impl Hashing {
    fn hex(&self, text: &str) -> String {
        match self.algorithm {
            Algorithm::Md5 => self.digest::<Md5>(text),
            Algorithm::Sha224 => self.digest::<Sha224>(text),
            Algorithm::Sha256 => self.digest::<Sha256>(text),
            Algorithm::Sha384 => self.digest::<Sha384>(text),
            Algorithm::Sha512 => self.digest::<Sha512>(text),
        }
    }

    fn digest<D: Digest>(&self, text: &str) -> String {
        let digest = D::new().chain_update(&self.salt);
        let digest = match self.digested {
            Digested::Text => digest.chain_update(text),
            Digested::Serialized => digest.chain_update(serialized(text)),
        };
        digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What Java's `ObjectOutputStream` writes for one string: its header, a mark, the length and modified UTF-8, in which
/// a character beyond the first plane is two surrogates and NUL takes two bytes.
fn serialized(text: &str) -> Vec<u8> {
    const HEADER: [u8; 4] = [0xac, 0xed, 0, 5];
    const STRING: u8 = 0x74;
    const LONG_STRING: u8 = 0x7c;
    let mut body = Vec::with_capacity(text.len());
    for unit in text.encode_utf16() {
        let low = 0x80 | (unit & 0x3f) as u8;
        match unit {
            1..0x80 => body.push(unit as u8),
            0 | 0x80..0x800 => body.extend([0xc0 | (unit >> 6) as u8, low]),
            _ => body.extend([0xe0 | (unit >> 12) as u8, 0x80 | (unit >> 6 & 0x3f) as u8, low]),
        }
    }
    let mut out = HEADER.to_vec();
    match u16::try_from(body.len()) {
        Ok(length) => {
            out.push(STRING);
            out.extend(length.to_be_bytes());
        }
        Err(_) => {
            out.push(LONG_STRING);
            out.extend((body.len() as u64).to_be_bytes());
        }
    }
    out.append(&mut body);
    out
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
    use cdcd_debezium::format::writer::RecordWriter;

    fn subject(oid: u32, typmod: i32) -> Subject<'static> {
        Subject { table: "s.t", column: "c", oid, typmod, types: &[], is_serial: false }
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

    fn hash(digested: Digested, salt: &str) -> Action {
        Action::Hash(Hashing { algorithm: Algorithm::Sha256, digested, salt: salt.to_owned() })
    }

    #[test]
    fn digests_of_the_first_version_are_of_what_java_serializes() {
        let digest = |text: &str| {
            let transform = rules(hash(Digested::Serialized, "salt"))
                .apply(&subject(25, -1), &mut Schema::new(Kind::String));
            transform.text(text)
        };
        assert_eq!(digest("hello"), "af5843a0f0e728ab0332c8888b6e1190bfb79e584f0d40538de8f10df6ef29c6");
        assert_eq!(digest("world"), "4588e1f2dcdc7fefc1515d3acd5acb9033478eace68286f383c337b9ff4464a3");
        let head = |text: &str| serialized(text).into_iter().take(13).collect::<Vec<u8>>();
        assert_eq!(head("é漢"), b"\xac\xed\0\x05t\0\x05\xc3\xa9\xe6\xbc\xa2");
        assert_eq!(head("🛫"), b"\xac\xed\0\x05t\0\x06\xed\xa0\xbd\xed\xbb\xab");
        assert_eq!(head(&"x".repeat(65_535)), b"\xac\xed\0\x05t\xff\xffxxxxxx");
        assert_eq!(head(&"x".repeat(65_536)), b"\xac\xed\0\x05|\0\0\0\0\0\x01\0\0");
    }

    #[test]
    fn digests_are_of_salt_and_text_and_cut_to_the_column() {
        let action = hash(Digested::Text, "salt&pepper");
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
        let mut writer = RecordWriter::default();
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
