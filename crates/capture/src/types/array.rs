//! Arrays: the text `{1,NULL,"a b"}` around the element's own text
//!
//! Debezium loses arrays of more than one dimension (a null for each outer element); here their elements follow
//! each other in storage order, so that no value is lost. Lower bounds (`[0:1]={5,6}`) are dropped by both.

use cdcd_debezium::schema::{Kind, Schema};
use cdcd_debezium::value::{Literal, ValueWriter};
use md5::{Digest as _, Md5};

use super::{ConversionError, Mapping, Params, TypeContext, WriteFn, unknown};
use crate::catalog::{TypeFacts, TypeKind};
use crate::config::{BinaryMode, TimeMode};

/// What stands between elements: a comma for every type but `box`.
const COMMA: u8 = b',';

/// Element types by array type, for the arrays that PostgreSQL brings.
const BUILT_IN: &[(u32, u32)] = &[
    (1000, 16),
    (1001, 17),
    (1002, 18),
    (1005, 21),
    (1007, 23),
    (1009, 25),
    (1014, 1042),
    (1015, 1043),
    (1016, 20),
    (1021, 700),
    (1022, 701),
    (1028, 26),
    (1040, 829),
    (1041, 869),
    (1115, 1114),
    (1182, 1082),
    (1183, 1083),
    (1185, 1184),
    (1231, 1700),
    (1270, 1266),
    (1561, 1560),
    (199, 114),
    (2951, 2950),
    (3643, 3614),
    (3807, 3802),
    (3905, 3904),
    (3907, 3906),
    (3909, 3908),
    (3911, 3910),
    (3913, 3912),
    (3927, 3926),
    (651, 650),
    (775, 774),
];

/// Arrays that Debezium leaves out whatever it is told: money, name, interval, varbit, xml, point, refcursor.
const LEFT_OUT: &[u32] = &[791, 1003, 1187, 1563, 143, 1017, 2201];

/// The mapping of an array type; `None` if the type is not an array, `Some(None)` if its columns are left out.
pub(super) fn resolve<W: ValueWriter>(oid: u32, context: &TypeContext<'_>) -> Option<Option<Mapping<W>>> {
    if LEFT_OUT.contains(&oid) {
        return Some(None);
    }
    if let Some((_, element)) = BUILT_IN.iter().find(|(array, _)| *array == oid) {
        return Some(of(*element, COMMA, context));
    }
    let facts = context.types.iter().find(|facts| facts.oid == oid)?;
    let TypeKind::Array { element_oid, delimiter } = facts.kind else { return None };
    Some(of(element_oid, delimiter, context))
}

fn of<W: ValueWriter>(element_oid: u32, delimiter: u8, context: &TypeContext<'_>) -> Option<Mapping<W>> {
    let facts = context.types.iter().find(|facts| facts.oid == element_oid);
    let known = match facts.map(|facts| &facts.kind) {
        // Debezium does not look below an array's domain.
        Some(TypeKind::Domain { .. }) => None,
        _ => {
            let strict = crate::config::Modes { include_unknown: false, ..context.modes.clone() };
            super::resolve::<W>(element_oid, &TypeContext { modes: &strict, ..*context })
        }
    };
    let is_known = known.is_some();
    let mapping = match known {
        Some(mapping) => mapping,
        None if context.modes.include_unknown => unknown::map(element_oid, context),
        None => return None,
    };
    let optional = is_known && !is_required_element(element_oid, facts);
    Some(Mapping {
        schema: Schema::new(Kind::Array(Box::new(mapping.schema.optional(optional)))),
        write: mapping.write,
        params: Params { delimiter: Some(delimiter), required: !optional, ..mapping.params },
        fallback: Literal::Array(Vec::new()),
        unavailable: unavailable(element_oid, context),
    })
}

/// Element schemas that Debezium makes not optional: enums and tsvector.
fn is_required_element(oid: u32, facts: Option<&TypeFacts>) -> bool {
    oid == 3614 || facts.is_some_and(|facts| matches!(facts.kind, TypeKind::Enum { .. }))
}

/// What stands for an unchanged TOASTed array, by element type.
fn unavailable(element_oid: u32, context: &TypeContext<'_>) -> Literal {
    let placeholder = &context.modes.unavailable_placeholder;
    let one = |literal| Literal::Array(vec![literal]);
    match element_oid {
        25 | 1042 | 1043 | 114 | 3802 => one(context.placeholder()),
        17 if context.modes.binary == BinaryMode::Bytes => one(Literal::Bytes(placeholder.clone())),
        20 | 23 => octets(placeholder),
        // Connect's own date is no integer to Debezium.
        1082 if !matches!(
            context.modes.time,
            TimeMode::IsoString | TimeMode::Connect | TimeMode::Structured
        ) =>
        {
            octets(placeholder)
        }
        2950 => one(Literal::String(name_uuid(placeholder))),
        _ => Literal::Null,
    }
}

/// The placeholder's octets, one integer each.
fn octets(placeholder: &[u8]) -> Literal {
    Literal::Array(placeholder.iter().map(|byte| Literal::Int(i64::from(byte.cast_signed()))).collect())
}

/// A name-based UUID as Java makes it from bytes alone: MD5, version 3, no namespace.
fn name_uuid(name: &[u8]) -> String {
    let mut bytes: [u8; 16] = Md5::digest(name).into();
    bytes[6] = bytes[6] & 0x0f | 0x30;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// Writes all elements.
pub(crate) fn write<W: ValueWriter>(
    text: &[u8],
    delimiter: u8,
    element: WriteFn<W>,
    params: &Params,
    writer: &mut W,
) -> Result<(), ConversionError> {
    let mut length = 0;
    let mut count = Elements::new(text, delimiter)?;
    while count.next()?.is_some() {
        length += 1;
    }
    writer.begin_array(length);
    let mut elements = Elements::new(text, delimiter)?;
    // Holds nothing unless an element has escapes.
    let mut plain = Vec::new();
    while let Some(found) = elements.next()? {
        match found {
            Element::Null if params.required => return Err(ConversionError::NullElement),
            Element::Null => writer.null(),
            Element::Plain(text) => element(text, params, writer)?,
            Element::Escaped(text) => {
                unescape(text, &mut plain);
                element(&plain, params, writer)?;
            }
        }
    }
    writer.end_array();
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Element<'a> {
    Null,
    Plain(&'a [u8]),
    /// Quoted, with backslashes.
    Escaped(&'a [u8]),
}

/// The elements in storage order, whatever the number of dimensions.
struct Elements<'a> {
    rest: &'a [u8],
    delimiter: u8,
    depth: u32,
}

impl<'a> Elements<'a> {
    fn new(text: &'a [u8], delimiter: u8) -> Result<Self, ConversionError> {
        // Bounds stand before the first brace: [0:1]={5,6}
        let start = match text.first() {
            Some(b'[') => text.iter().position(|byte| *byte == b'{'),
            _ => Some(0),
        };
        let rest = start.and_then(|start| text.get(start..)).ok_or(ConversionError::Malformed)?;
        if rest.first() != Some(&b'{') {
            return Err(ConversionError::Malformed);
        }
        Ok(Elements { rest, delimiter, depth: 0 })
    }

    fn next(&mut self) -> Result<Option<Element<'a>>, ConversionError> {
        loop {
            let Some((first, after)) = self.rest.split_first() else {
                return if self.depth == 0 { Ok(None) } else { Err(ConversionError::Malformed) };
            };
            match first {
                b'{' => self.depth += 1,
                b'}' => self.depth = self.depth.checked_sub(1).ok_or(ConversionError::Malformed)?,
                byte if *byte == self.delimiter => {}
                _ if self.depth == 0 => return Err(ConversionError::Malformed),
                b'"' => return self.quoted(after).map(Some),
                _ => return Ok(Some(self.bare())),
            }
            self.rest = after;
        }
    }

    fn bare(&mut self) -> Element<'a> {
        let end = |byte: &u8| *byte == self.delimiter || *byte == b'}';
        let length = self.rest.iter().position(end).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(length);
        self.rest = rest;
        if text == b"NULL" { Element::Null } else { Element::Plain(text) }
    }

    fn quoted(&mut self, body: &'a [u8]) -> Result<Element<'a>, ConversionError> {
        let mut escaped = false;
        let mut at = 0;
        while let Some(byte) = body.get(at) {
            match byte {
                b'"' => {
                    let (text, rest) = body.split_at(at);
                    self.rest = rest.get(1..).unwrap_or_default();
                    return Ok(if escaped { Element::Escaped(text) } else { Element::Plain(text) });
                }
                b'\\' => {
                    escaped = true;
                    at += 2;
                }
                _ => at += 1,
            }
        }
        Err(ConversionError::Malformed)
    }
}

fn unescape(text: &[u8], into: &mut Vec<u8>) {
    into.clear();
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => into.extend(bytes.next()),
            plain => into.push(*plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, json};
    use super::super::{ConversionError, TypeContext, resolve};
    use super::*;
    use crate::config::Modes;
    use cdcd_debezium::format::json::JsonWriter;

    #[test]
    fn elements_keep_nulls_quotes_and_blanks() {
        let modes = Modes::default();
        check(
            1009,
            -1,
            &modes,
            &[
                ("{}", "[]"),
                ("{a,NULL,\"NULL\",\"\",\"a,b\",\"{x}\"}", r#"["a",null,"NULL","","a,b","{x}"]"#),
                (r#"{"with \"quote\"","back\\slash"}"#, r#"["with \"quote\"","back\\slash"]"#),
            ],
        );
        check(1007, -1, &modes, &[("{1,NULL,-3}", "[1,null,-3]"), ("[0:1]={5,6}", "[5,6]")]);
        check(1000, -1, &modes, &[("{t,f}", "[true,false]")]);
        check(1231, (10 << 16 | 2) + 4, &modes, &[("{1.50,NULL}", r#"["AJY=",null]"#)]);
    }

    #[test]
    fn a_null_where_the_element_schema_has_none_is_refused() {
        let modes = Modes::default();
        check(3643, -1, &modes, &[("{'a'}", r#"["'a'"]"#)]);
        assert_eq!(json(3643, -1, &modes, "{NULL}"), Err(ConversionError::NullElement));
    }

    #[test]
    fn more_dimensions_are_flattened_in_storage_order() {
        check(1007, -1, &Modes::default(), &[("{{1,2},{3,4}}", "[1,2,3,4]"), ("{{{1},{2}}}", "[1,2]")]);
    }

    #[test]
    fn broken_arrays_are_refused() {
        for text in ["", "1,2", "{1", "{1}}", "{\"a}", "[0:1]", "{a}x"] {
            assert_eq!(json(1009, -1, &Modes::default(), text), Err(ConversionError::Malformed), "{text}");
        }
    }

    #[test]
    fn placeholders_depend_on_the_element() {
        let modes = Modes::default();
        let context = TypeContext { modes: &modes, typmod: -1, types: &[] };
        let text = |oid: u32| {
            let mapping: Mapping<JsonWriter> = resolve(oid, &context).unwrap();
            let mut writer = JsonWriter::default();
            mapping.unavailable.write(&mut writer);
            String::from_utf8(writer.as_bytes().to_vec()).unwrap()
        };
        assert_eq!(text(1009), r#"["__debezium_unavailable_value"]"#);
        assert_eq!(text(2951), r#"["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]"#);
        assert!(text(1007).starts_with("[95,95,100,"));
        assert_eq!(text(1231), "null");
    }
}
