//! JSON text as a struct whose schema is read out of it: `table.expand.json.payload` of the outbox router.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::value::Value;
use crate::schema::{Field, Kind, Schema};

/// `table.json.payload.null.behavior`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NullFields {
    Ignore,
    OptionalBytes,
}

/// A JSON document with its members in order.
#[derive(Debug, Clone, PartialEq)]
enum Json {
    Null,
    Boolean(bool),
    Int(i64),
    /// A fraction, or an integer beyond 64 bits.
    Float(f64),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Schema and value of a document that is an object; `None` if it cannot be told as a struct.
pub(crate) fn expand(name: &str, text: &str, nulls: NullFields) -> Option<(Schema, Value)> {
    if !text.starts_with('{') {
        return None;
    }
    let json: Json = serde_json::from_str(text).ok()?;
    let schema = schema(Some(name), &json, nulls).ok()??;
    let value = value(&json, &schema)?;
    Some((schema, value))
}

/// A document that has no schema: elements of one array that are unlike each other.
struct Unlike;

fn schema(name: Option<&str>, json: &Json, nulls: NullFields) -> Result<Option<Schema>, Unlike> {
    let optional = |kind| Some(Schema::new(kind).optional(true));
    Ok(match json {
        Json::Null if nulls == NullFields::OptionalBytes => optional(Kind::Bytes),
        Json::Null => None,
        Json::Boolean(_) => optional(Kind::Boolean),
        Json::Int(value) if i32::try_from(*value).is_ok() => optional(Kind::Int32),
        Json::Int(_) => optional(Kind::Int64),
        Json::Float(_) => optional(Kind::Float64),
        Json::String(_) => optional(Kind::String),
        Json::Array(items) if items.is_empty() => None,
        Json::Array(items) => optional(Kind::Array(Box::new(elements(name, items, nulls)?))),
        Json::Object(members) => {
            let mut fields: Vec<Field> = Vec::new();
            for (member, json) in members {
                let path = match name {
                    Some(name) if !name.trim().is_empty() => format!("{name}.{member}"),
                    _ => member.clone(),
                };
                if let Some(schema) = schema(Some(&path), json, nulls)? {
                    fields.push(schema.field(member));
                }
            }
            let mut schema = Schema::structure(fields).optional(true);
            schema.name = name.map(|name| name.to_owned().into());
            Some(schema)
        }
    })
}

/// The schema of all elements: objects are merged, anything else must be alike.
fn elements(name: Option<&str>, items: &[Json], nulls: NullFields) -> Result<Schema, Unlike> {
    let mut present = items.iter().filter(|item| **item != Json::Null);
    let sample = present.next().ok_or(Unlike)?;
    if !matches!(sample, Json::Object(_)) {
        let first = schema(None, sample, nulls)?.ok_or(Unlike)?;
        let is_alike = |item: &Json| match (item, sample) {
            (Json::Array(_), Json::Array(_)) => Ok(true),
            _ => Ok(schema(None, item, nulls)?.as_ref() == Some(&first)),
        };
        for item in present {
            if !is_alike(item)? {
                return Err(Unlike);
            }
        }
        return Ok(first);
    }
    let mut merged: Option<Schema> = None;
    for item in items.iter().filter(|item| **item != Json::Null) {
        if !matches!(item, Json::Object(_)) {
            return Err(Unlike);
        }
        let next = schema(name, item, nulls)?.ok_or(Unlike)?;
        merged = Some(match merged {
            None => next,
            Some(known) if known == next => known,
            Some(known) => merge(known, next),
        });
    }
    merged.ok_or(Unlike)
}

fn merge(left: Schema, right: Schema) -> Schema {
    let mut fields = left.fields().to_vec();
    for field in right.fields() {
        match fields.iter_mut().find(|known| known.name == field.name) {
            None => fields.push(field.clone()),
            Some(known) if known.schema.kind == Kind::Bytes && field.schema.kind != Kind::Bytes => {
                *known = field.clone();
            }
            Some(_) => {}
        }
    }
    super::value::basics(&left, Kind::Struct(fields))
}

fn value(json: &Json, schema: &Schema) -> Option<Value> {
    Some(match (json, &schema.kind) {
        (Json::Null, _) => Value::Null,
        (Json::Boolean(value), Kind::Boolean) => Value::Boolean(*value),
        (Json::Int(value), Kind::Int32) if i32::try_from(*value).is_ok() => Value::Int(*value),
        (Json::Int(value), Kind::Int64) if i32::try_from(*value).is_err() => Value::Int(*value),
        (Json::Float(value), Kind::Float64) => Value::Float64(*value),
        (Json::String(text), Kind::String) => Value::String(text.clone()),
        (Json::Array(items), Kind::Array(item)) => {
            Value::Array(items.iter().map(|json| value(json, item)).collect::<Option<_>>()?)
        }
        (Json::Object(members), Kind::Struct(fields)) => {
            let of = |field: &Field| match members.iter().find(|(name, _)| *name == field.name) {
                Some((_, json)) => value(json, &field.schema),
                None => Some(Value::Null),
            };
            Value::Struct(fields.iter().map(of).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Json;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
                Ok(Json::Boolean(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
                Ok(Json::Int(value))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
                Ok(i64::try_from(value).map_or(Json::Float(value as f64), Json::Int))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
                Ok(Json::Float(value))
            }

            fn visit_str<E>(self, value: &str) -> Result<Json, E> {
                Ok(Json::String(value.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
                let mut array = Vec::new();
                while let Some(item) = items.next_element()? {
                    array.push(item);
                }
                Ok(Json::Array(array))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
                let mut object: Vec<(String, Json)> = Vec::new();
                while let Some((name, value)) = members.next_entry::<String, Json>()? {
                    // The last of two members with one name counts, in the place of the first.
                    match object.iter_mut().find(|(known, _)| *known == name) {
                        Some((_, known)) => *known = value,
                        None => object.push((name, value)),
                    }
                }
                Ok(Json::Object(object))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::json::DecimalFormat;

    fn text(json: &str) -> Option<String> {
        let (schema, value) = expand("payload", json, NullFields::Ignore)?;
        let mut out = Vec::new();
        schema.write_json(&mut out, DecimalFormat::Base64);
        Some(format!("{} {value:?}", String::from_utf8(out).unwrap()))
    }

    #[test]
    fn members_keep_their_order_and_get_optional_types() {
        let found = text(r#"{"b":1,"a":{"x":null,"y":[1,2]},"big":9999999999,"f":1.5,"e":[]}"#).unwrap();
        assert_eq!(
            found,
            concat!(
                r#"{"type":"struct","fields":[{"type":"int32","optional":true,"field":"b"},"#,
                r#"{"type":"struct","fields":[{"type":"array","items":{"type":"int32","optional":true},"optional":true,"field":"y"}],"#,
                r#""optional":true,"name":"payload.a","field":"a"},"#,
                r#"{"type":"int64","optional":true,"field":"big"},{"type":"double","optional":true,"field":"f"}],"#,
                r#""optional":true,"name":"payload"} "#,
                "Struct([Int(1), Struct([Array([Int(1), Int(2)])]), Int(9999999999), Float64(1.5)])"
            )
        );
    }

    #[test]
    fn the_last_of_two_members_with_one_name_counts() {
        let (_, value) = expand("p", r#"{"a":1,"b":2,"a":"x"}"#, NullFields::Ignore).unwrap();
        assert_eq!(value, Value::Struct(vec![Value::String("x".into()), Value::Int(2)]));
    }

    #[test]
    fn what_is_no_struct_stays_text() {
        for json in ["[1]", "1", "{", r#"{"a":[1,"x"]}"#, r#"{"a":[1,1.5]}"#, r#"{"a":[null]}"#, ""] {
            assert_eq!(text(json), None, "{json}");
        }
    }

    #[test]
    fn objects_in_an_array_are_merged() {
        let (schema, value) = expand("p", r#"{"a":[{"x":1},{"y":"z"}]}"#, NullFields::Ignore).unwrap();
        let Kind::Array(item) = &schema.fields()[0].schema.kind else { panic!() };
        assert_eq!(item.fields().iter().map(|field| field.name.as_str()).collect::<Vec<_>>(), ["x", "y"]);
        assert!(!item.optional);
        let row = |x, y| Value::Struct(vec![x, y]);
        let rows = vec![row(Value::Int(1), Value::Null), row(Value::Null, Value::String("z".into()))];
        assert_eq!(value, Value::Struct(vec![Value::Array(rows)]));
    }
}
