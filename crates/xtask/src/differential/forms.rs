//! Records in other forms than JSON, made comparable: Avro by the schema that its id names in the registry.
//!
//! Nothing is lost on the way: the id is kept, and bytes that a second encoder would write otherwise are told.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use apache_avro::Schema;
use apache_avro::types::Value;
use cdcd_testkit::services::Registry;
use serde_json::json;

use super::options::Setting;
use super::topics::Record;

const MAGIC: u8 = 0;
const ID_BYTES: usize = 4;

/// The registry that both sides write to.
pub(super) struct Forms {
    url: String,
    client: reqwest::Client,
    schemas: Mutex<HashMap<u32, std::sync::Arc<Schema>>>,
}

impl Forms {
    pub(super) fn new(registry: &Registry) -> Result<Self> {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
        let forms = Forms { url: registry.url.clone(), client, schemas: Mutex::default() };
        // What one side registers first must be what the other registers too, and every change must be compatible
        // with all versions before it.
        forms.ask(reqwest::Method::PUT, "/config", Some(json!({ "compatibility": "FULL_TRANSITIVE" })))?;
        Ok(forms)
    }

    /// The setting with the registry's address in place of `{registry}`.
    pub(super) fn resolved(&self, setting: &Setting) -> (String, String) {
        (setting.key.clone(), setting.value.replace("{registry}", &self.url))
    }

    /// The record with readable key and value.
    pub(super) fn readable(&self, mut record: Record) -> Result<Record> {
        for bytes in [&mut record.key, &mut record.value].into_iter().flatten() {
            if let Some(plain) = self.plain(bytes)? {
                *bytes = plain;
            }
        }
        if let Some(event) = record.value.as_deref().and_then(event_of_text) {
            record.value = Some(event.to_string().into_bytes());
        }
        Ok(record)
    }

    /// JSON of a value in Confluent's wire format, `None` for any other.
    pub(super) fn plain(&self, bytes: &[u8]) -> Result<Option<Vec<u8>>> {
        plain(bytes, |id| self.schema(id))
    }

    fn schema(&self, id: u32) -> Result<std::sync::Arc<Schema>> {
        let mut schemas = self.schemas.lock().map_err(|_| anyhow::anyhow!("another case failed"))?;
        if let Some(schema) = schemas.get(&id) {
            return Ok(schema.clone());
        }
        let answer = self.ask(reqwest::Method::GET, &format!("/schemas/ids/{id}"), None)?;
        let text =
            answer.get("schema").and_then(serde_json::Value::as_str).context("no schema in the answer")?;
        let schema = Schema::parse_str(text).with_context(|| format!("schema {id}: {text}"))?;
        let schema = std::sync::Arc::new(schema);
        schemas.insert(id, schema.clone());
        Ok(schema)
    }

    fn ask(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> Result<serde_json::Value> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut request = self.client.request(method, format!("{}{path}", self.url));
            if let Some(body) = body {
                request = request.json(&body);
            }
            let response = request.send().await?;
            let (status, text) = (response.status(), response.text().await?);
            ensure!(status.is_success(), "the registry answers {status} for {path}: {text}");
            serde_json::from_str(&text).with_context(|| format!("the registry's answer for {path}"))
        })
    }
}

/// JSON of a value in Confluent's wire format, `None` for any other; `schema_of` knows what an id stands for.
pub(super) fn plain(
    bytes: &[u8],
    schema_of: impl Fn(u32) -> Result<std::sync::Arc<Schema>>,
) -> Result<Option<Vec<u8>>> {
    let Some((&MAGIC, rest)) = bytes.split_first() else { return Ok(None) };
    let (id, body) = rest.split_first_chunk::<ID_BYTES>().context("no schema id behind the magic byte")?;
    let id = u32::from_be_bytes(*id);
    let schema = schema_of(id)?;
    let mut unread = body;
    let value = apache_avro::reader::datum::GenericDatumReader::builder(&schema)
        .build()?
        .read_value(&mut unread)
        .with_context(|| format!("reading a value of schema {id}"))?;
    ensure!(unread.is_empty(), "{} bytes stand behind a value of schema {id}", unread.len());
    let again = apache_avro::writer::datum::GenericDatumWriter::builder(&schema)
        .build()?
        .write_value_to_vec(value.clone())?;
    let mut out =
        format!("{{\"schemaId\":{id},\"canonical\":{},\"payload\":", has_maps(&value) || again == body);
    write(&mut out, &value);
    out.push('}');
    Ok(Some(out.into_bytes()))
}

/// The id under which a schema was registered for a subject; an error if it was not.
pub(super) async fn id(url: &str, subject: &str, schema: &str) -> Result<u32> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
    let path = format!("{url}/subjects/{subject}");
    let response = client.post(path).json(&json!({ "schema": schema })).send().await?;
    let (status, text) = (response.status(), response.text().await?);
    ensure!(status.is_success(), "Debezium registered another schema for {subject}: {status} {text}");
    let answer: serde_json::Value = serde_json::from_str(&text)?;
    let id =
        answer.get("id").and_then(serde_json::Value::as_u64).context("no id in the registry's answer")?;
    Ok(u32::try_from(id)?)
}

/// An event in StringConverter's form: row images as they are, what surrounds them by name; of a logical decoding
/// message its clock, and the rest as it is.
fn event_of_text(bytes: &[u8]) -> Option<serde_json::Value> {
    let text = std::str::from_utf8(bytes).ok()?.strip_prefix("Struct{")?.strip_suffix('}')?;
    if text.starts_with("status=") {
        return Some(boundary_of_text(text).into());
    }
    if let Some(message) = text.strip_prefix("op=m,ts_ms=") {
        let (clock, rest) = message.split_once(',')?;
        let clock: i64 = clock.parse().ok()?;
        return Some(serde_json::json!({"op": "m", "ts_ms": clock, "rest": without_addresses(rest)}));
    }
    let (images, rest) = text.split_at(text.rfind("source=Struct{version=")?);
    let (source, tail) = rest.strip_prefix("source=Struct{")?.split_once("},op=")?;
    let mut event = members(&format!("op={tail}"));
    event.insert("images".to_owned(), without_addresses(images).into());
    event.insert("source".to_owned(), members(source).into());
    Some(event.into())
}

/// The end of a transaction, whose collections Java has in no order.
fn boundary_of_text(text: &str) -> serde_json::Map<String, serde_json::Value> {
    let Some((head, rest)) = text.split_once(",data_collections=[") else { return members(text) };
    let Some((collections, tail)) = rest.rsplit_once(']') else { return members(text) };
    let one = |part: &str| members(part.trim_start_matches("Struct{").trim_end_matches('}'));
    let collections = collections.split(", Struct{").map(one);
    let mut boundary = members(&format!("{head}{tail}"));
    boundary.insert("data_collections".to_owned(), collections.collect());
    boundary
}

/// `a=1,b=x`, where a comma without a name behind it is part of the value.
fn members(text: &str) -> serde_json::Map<String, serde_json::Value> {
    let mut parts: Vec<String> = Vec::new();
    for part in text.split(',') {
        match parts.last_mut() {
            Some(last) if !part.contains('=') => {
                last.push(',');
                last.push_str(part);
            }
            _ => parts.push(part.to_owned()),
        }
    }
    let member = |part: &String| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let number = value.parse::<i64>().map(serde_json::Value::from);
        (name.to_owned(), number.unwrap_or_else(|_| value.into()))
    };
    parts.iter().map(member).collect()
}

/// Java prints an address for a `byte[]`, new in each run, where we print a buffer's length as for other bytes.
fn without_addresses(text: &str) -> String {
    const BYTES: [(&str, &[char]); 2] = [("[B@", &[',', '}', ']']), ("java.nio.HeapByteBuffer[", &[']'])];
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let find = |text: &str| BYTES.iter().filter_map(|(head, ends)| Some((text.find(head)?, *ends))).min();
    while let Some((at, ends)) = find(rest) {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        out.push_str("(bytes)");
        let end = after.find(ends).map(|end| if ends.len() == 1 { end + 1 } else { end });
        rest = after.get(end.unwrap_or(after.len())..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Maps are read without their order, so their bytes cannot be made again.
fn has_maps(value: &Value) -> bool {
    match value {
        Value::Map(_) => true,
        Value::Union(_, inner) => has_maps(inner),
        Value::Array(items) => items.iter().any(has_maps),
        Value::Record(fields) => fields.iter().any(|(_, value)| has_maps(value)),
        _ => false,
    }
}

/// JSON with the kind of every value: bytes are told from text, and floats are exact.
fn write(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) | Value::Date(value) | Value::TimeMillis(value) => out.push_str(&value.to_string()),
        Value::Long(value) | Value::TimestampMillis(value) => out.push_str(&value.to_string()),
        Value::Float(value) => out.push_str(&json!(format!("{value:?}f")).to_string()),
        Value::Double(value) => out.push_str(&json!(format!("{value:?}d")).to_string()),
        Value::String(text) => out.push_str(&json!(text).to_string()),
        Value::Bytes(bytes) => hex(out, bytes),
        Value::Decimal(decimal) => match <Vec<u8>>::try_from(decimal) {
            Ok(bytes) => hex(out, &bytes),
            Err(error) => out.push_str(&json!(error.to_string()).to_string()),
        },
        Value::Union(_, inner) => write(out, inner),
        Value::Array(items) => list(out, ['[', ']'], items, write),
        Value::Record(fields) => list(out, ['{', '}'], fields, |out, (name, value)| {
            out.push_str(&json!(name).to_string());
            out.push(':');
            write(out, value);
        }),
        Value::Map(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by_key(|(key, _)| (*key).clone());
            list(out, ['{', '}'], &entries, |out, (key, value)| {
                out.push_str(&json!(key).to_string());
                out.push(':');
                write(out, value);
            });
        }
        other => out.push_str(&json!(format!("{other:?}")).to_string()),
    }
}

fn hex(out: &mut String, bytes: &[u8]) {
    out.push_str("\"0x");
    bytes.iter().for_each(|byte| out.push_str(&format!("{byte:02x}")));
    out.push('"');
}

fn list<T>(out: &mut String, [open, close]: [char; 2], items: &[T], write: impl Fn(&mut String, &T)) {
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(close);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_in_text_are_taken_apart() {
        let text = "Struct{after=Struct{id=1,n=Struct{scale=2,value=[B@1f2e},t=a,b},source=Struct{version=3,name=d,\
                    sequence=[null,\"5\"],lsn=5},op=c,ts_ms=12,ts_us=12000}";
        let expected = json!({
            "op": "c", "ts_ms": 12, "ts_us": 12000, "images": "after=Struct{id=1,n=Struct{scale=2,value=(bytes)},t=a,b},",
            "source": {"version": 3, "name": "d", "sequence": "[null,\"5\"]", "lsn": 5}
        });
        assert_eq!(event_of_text(text.as_bytes()), Some(expected));
        assert_eq!(event_of_text(br#"{"payload":1}"#), None);
        let ours = "n=Struct{scale=2,value=java.nio.HeapByteBuffer[pos=0 lim=1 cap=1]},b=x";
        assert_eq!(without_addresses(ours), "n=Struct{scale=2,value=(bytes)},b=x");
    }
}
