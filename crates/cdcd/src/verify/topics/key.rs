//! Keys as hashes that are equal on both sides: made from the columns of a row in the log, and from the JSON of a
//! record's key.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::Value;

/// OIDs of the types whose text in the log is also their text in a key: bool, the integers, text, varchar, name, uuid.
const COMPARABLE: [u32; 8] = [16, 19, 20, 21, 23, 25, 1043, 2950];

/// Whether a key column of this type is equal on both sides.
pub(super) fn is_comparable(type_oid: u32) -> bool {
    COMPARABLE.contains(&type_oid)
}

/// Hash of named texts. The names must be in byte order.
pub(super) fn hash<'a>(columns: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for column in columns {
        column.hash(&mut hasher);
    }
    hasher.finish()
}

/// Hash of a record's key; of its bytes where they are not a JSON object of plain values.
pub(super) fn of_record(key: &[u8]) -> u64 {
    of_json(key).unwrap_or_else(|| {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        hasher.finish()
    })
}

fn of_json(key: &[u8]) -> Option<u64> {
    let parsed: Value = serde_json::from_slice(key).ok()?;
    let object = match parsed.get("payload") {
        Some(Value::Object(payload)) if parsed.get("schema").is_some() => payload,
        _ => parsed.as_object()?,
    };
    let mut texts = Vec::with_capacity(object.len());
    for (name, value) in object {
        let text = match value {
            Value::Null => None,
            Value::Bool(true) => Some("t".to_owned()),
            Value::Bool(false) => Some("f".to_owned()),
            Value::Number(number) => Some(number.to_string()),
            Value::String(text) => Some(text.clone()),
            Value::Array(_) | Value::Object(_) => return None,
        };
        texts.push((name.as_str(), text));
    }
    texts.sort_unstable();
    Some(hash(texts.iter().map(|(name, text)| (name.as_bytes(), text.as_deref().map(str::as_bytes)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_and_its_record_have_the_same_key() {
        let row: [(&[u8], Option<&[u8]>); 3] =
            [(b"a", Some(b"-7")), (b"b", Some("\u{fc}\"".as_bytes())), (b"c", Some(b"t"))];
        let row = hash(row.into_iter());
        assert_eq!(row, of_record(r#"{"b":"ü\"","a":-7,"c":true}"#.as_bytes()));
        assert_eq!(
            row,
            of_record(r#"{"schema":{"type":"struct"},"payload":{"a":-7,"b":"ü\"","c":true}}"#.as_bytes())
        );
        assert_ne!(row, of_record(r#"{"b":"ü\"","a":-8,"c":true}"#.as_bytes()));
    }

    #[test]
    fn a_key_of_another_form_is_taken_as_bytes() {
        assert_eq!(of_record(b"\0\0\0\0\x01"), of_record(b"\0\0\0\0\x01"));
        assert_ne!(of_record(b"\0\0\0\0\x01"), of_record(b"\0\0\0\0\x02"));
        assert_ne!(of_record(br#"{"a":{"x":1}}"#), of_record(br#"{"a":{"x":2}}"#));
    }
}
