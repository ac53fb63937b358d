//! Records that wait to be sent: bytes in reused buffers, places beside them.

use std::collections::BTreeMap;
use std::io::Write as _;

use cdcd_debezium::format::writer::RecordWriter;
use cdcd_debezium::header;
use cdcd_debezium::record::{Header, Record};

/// Capacity that the buffer keeps after an unusually large record: 1 MiB holds hundreds of common ones.
const KEPT_BYTES: usize = 1 << 20;

/// A key, four of the context, the lineage, the event id, and some that transformations added; more are collected.
const HEADERS_MAX: usize = 16;

/// Whether a receiver of records takes more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// The record was taken; go on.
    Taken,
    /// The record was not taken; offer it again later.
    Full,
}

/// A place in the buffer of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Range {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The headers of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Headers {
    /// None: heartbeats, apart from those that were added.
    #[default]
    None,
    /// The context headers.
    Context,
    /// The new key, then the context headers.
    NewKey(Range),
    /// The old key, then the context headers.
    OldKey(Range),
    /// Only those that were added: a chain of transformations has seen them all.
    Added,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Entry {
    pub(crate) topic: usize,
    /// Partition and timestamp, if transformations chose them.
    pub(crate) partition: Option<i32>,
    pub(crate) timestamp_ms: Option<i64>,
    pub(crate) key: Option<Range>,
    pub(crate) value: Option<Range>,
    pub(crate) headers: Headers,
    /// Places in the outbox's added headers.
    pub(crate) added: Range,
    /// `cdcd.eid`
    pub(crate) id: Option<Range>,
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) key: RecordWriter,
    pub(crate) value: RecordWriter,
    headers: Vec<u8>,
    /// Headers of the entries: a name's number, and where the value lies.
    pub(crate) added: Vec<(usize, Option<Range>)>,
    entries: Vec<Entry>,
    sent: usize,
}

/// Names that records share: topics, and headers that transformations add. A name keeps its number.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    names: Vec<String>,
    numbers: BTreeMap<String, usize>,
    headers: Vec<String>,
}

impl Topics {
    /// All topics that were named so far.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of a topic.
    pub(crate) fn index(&mut self, name: &str) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), self.names.len() - 1);
        self.names.len() - 1
    }

    /// The number of a header's name. There are only a few, all from the connector's file.
    pub(crate) fn header(&mut self, name: &str) -> usize {
        match self.headers.iter().position(|known| known == name) {
            Some(number) => number,
            None => {
                self.headers.push(name.to_owned());
                self.headers.len() - 1
            }
        }
    }
}

/// The headers that every data record carries.
#[derive(Debug, Default)]
pub(crate) struct ContextHeaders {
    /// Values of Debezium's context headers, unless they are switched off.
    pub(crate) values: Option<[String; 4]>,
    /// `cdcd.lineage`, in decimal: written above 0, because it marks a discontinuity.
    pub(crate) lineage: Option<String>,
}

impl Outbox {
    pub(crate) fn new(key: RecordWriter, value: RecordWriter) -> Self {
        Outbox { key, value, ..Outbox::default() }
    }

    /// Keeps the bytes of a header.
    pub(crate) fn header(&mut self, bytes: &[u8]) -> Range {
        let start = self.headers.len();
        self.headers.extend_from_slice(bytes);
        Range { start, end: self.headers.len() }
    }

    /// The same for a number in decimal digits.
    pub(crate) fn header_int(&mut self, value: i64) -> Range {
        let start = self.headers.len();
        // A vector takes all that it is given.
        let _ = write!(self.headers, "{value}");
        Range { start, end: self.headers.len() }
    }

    /// The bytes of a header.
    pub(crate) fn header_bytes(&self, range: Range) -> &[u8] {
        slice(&self.headers, range)
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// Records that wait.
    pub(crate) fn records(&self) -> usize {
        self.entries.len() - self.sent
    }

    pub(crate) fn bytes(&self) -> usize {
        self.key.as_bytes().len() + self.value.as_bytes().len() + self.headers.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sent == self.entries.len()
    }

    /// Offers each waiting record in order until one is not taken.
    pub(crate) fn send(
        &mut self,
        topics: &Topics,
        context: &ContextHeaders,
        mut receiver: impl FnMut(Record<'_>) -> Flow,
    ) -> Flow {
        let (keys, values) = (self.key.as_bytes(), self.value.as_bytes());
        let header = |range: Range| slice(&self.headers, range);
        for entry in self.entries.get(self.sent..).unwrap_or_default() {
            let added = self.added.get(entry.added.start..entry.added.end).unwrap_or_default();
            let all = || headers(entry, added, topics, context, header);
            let mut few = [Header { name: "", value: None }; HEADERS_MAX];
            let many: Vec<Header<'_>>;
            let record = Record {
                topic: topics.names.get(entry.topic).map(String::as_str).unwrap_or_default(),
                partition: entry.partition,
                timestamp_ms: entry.timestamp_ms,
                key: entry.key.map(|range| slice(keys, range)),
                value: entry.value.map(|range| slice(values, range)),
                headers: match added.len() + CONTEXT_MAX <= HEADERS_MAX {
                    true => {
                        let count = few.iter_mut().zip(all()).map(|(slot, header)| *slot = header).count();
                        few.get(..count).unwrap_or_default()
                    }
                    false => {
                        many = all().collect();
                        &many
                    }
                },
            };
            if receiver(record) == Flow::Full {
                return Flow::Full;
            }
            self.sent += 1;
        }
        self.entries.clear();
        self.added.clear();
        self.sent = 0;
        for writer in [&mut self.key, &mut self.value] {
            writer.clear();
            writer.shrink_to(KEPT_BYTES);
        }
        self.headers.clear();
        self.headers.shrink_to(KEPT_BYTES);
        Flow::Taken
    }
}

fn slice(bytes: &[u8], range: Range) -> &[u8] {
    bytes.get(range.start..range.end).unwrap_or_default()
}

/// Headers that are not added by transformations.
const CONTEXT_MAX: usize = 7;

fn headers<'a>(
    entry: &'a Entry,
    added: &'a [(usize, Option<Range>)],
    topics: &'a Topics,
    context: &'a ContextHeaders,
    slice: impl Fn(Range) -> &'a [u8] + Copy + 'a,
) -> impl Iterator<Item = Header<'a>> {
    let (key_header, has_context, has_own) = match entry.headers {
        Headers::None => (None, false, false),
        Headers::Context => (None, true, true),
        Headers::NewKey(range) => (Some((header::NEW_KEY, range)), true, true),
        Headers::OldKey(range) => (Some((header::OLD_KEY, range)), true, true),
        Headers::Added => (None, false, true),
    };
    let key_header = key_header.map(|(name, range)| Header { name, value: Some(slice(range)) });
    let values = context.values.iter().flatten().filter(move |_| has_context);
    let context_headers = header::CONTEXT
        .iter()
        .zip(values)
        .map(|(name, value)| Header { name, value: Some(value.as_bytes()) });
    let added = added.iter().map(move |(name, value)| Header {
        name: topics.headers.get(*name).map(String::as_str).unwrap_or_default(),
        value: value.map(slice),
    });
    let lineage = context.lineage.as_ref().filter(|_| has_own);
    let lineage = lineage.map(|text| Header { name: header::LINEAGE, value: Some(text.as_bytes()) });
    let id = entry.id.map(|range| Header { name: header::EVENT_ID, value: Some(slice(range)) });
    key_header.into_iter().chain(context_headers).chain(added).chain(lineage).chain(id)
}
