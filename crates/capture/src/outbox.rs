//! Records that wait to be sent: bytes in reused buffers, places beside them.

use cdcd_debezium::format::writer::RecordWriter;
use cdcd_debezium::header;
use cdcd_debezium::record::{Header, Record};

/// Capacity that the buffer keeps after an unusually large record: 1 MiB holds hundreds of common ones.
const KEPT_BYTES: usize = 1 << 20;

/// A key, four of the context, the lineage, the event id.
const HEADERS_MAX: usize = 7;

/// Whether a receiver of records takes more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// The record was taken; go on.
    Taken,
    /// The record was not taken; offer it again later.
    Full,
}

/// A place in the buffer of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The headers of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Headers {
    /// None: heartbeats.
    None,
    /// The context headers.
    Context,
    /// The new key, then the context headers.
    NewKey(Range),
    /// The old key, then the context headers.
    OldKey(Range),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) topic: usize,
    pub(crate) key: Option<Range>,
    pub(crate) value: Option<Range>,
    pub(crate) headers: Headers,
    /// `cdcd.eid`
    pub(crate) id: Option<Range>,
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) key: RecordWriter,
    pub(crate) value: RecordWriter,
    headers: Vec<u8>,
    entries: Vec<Entry>,
    sent: usize,
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
        topics: &[String],
        context: &ContextHeaders,
        mut receiver: impl FnMut(Record<'_>) -> Flow,
    ) -> Flow {
        fn slice(bytes: &[u8], range: Range) -> &[u8] {
            bytes.get(range.start..range.end).unwrap_or_default()
        }
        let (keys, values) = (self.key.as_bytes(), self.value.as_bytes());
        let own_header = |range: Range| slice(&self.headers, range);
        for entry in self.entries.get(self.sent..).unwrap_or_default() {
            let mut headers = [Header { name: "", value: None }; HEADERS_MAX];
            let count = fill_headers(&mut headers, entry, context, own_header);
            let record = Record {
                topic: topics.get(entry.topic).map(String::as_str).unwrap_or_default(),
                partition: None,
                key: entry.key.map(|range| slice(keys, range)),
                value: entry.value.map(|range| slice(values, range)),
                headers: headers.get(..count).unwrap_or_default(),
            };
            if receiver(record) == Flow::Full {
                return Flow::Full;
            }
            self.sent += 1;
        }
        self.entries.clear();
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

fn fill_headers<'a>(
    headers: &mut [Header<'a>; HEADERS_MAX],
    entry: &Entry,
    context: &'a ContextHeaders,
    slice: impl Fn(Range) -> &'a [u8],
) -> usize {
    let key_header = match entry.headers {
        Headers::None => return 0,
        Headers::Context => None,
        Headers::NewKey(range) => Some((header::NEW_KEY, range)),
        Headers::OldKey(range) => Some((header::OLD_KEY, range)),
    };
    let key_header = key_header.map(|(name, range)| Header { name, value: Some(slice(range)) });
    let values = context.values.iter().flatten();
    let context_headers = header::CONTEXT
        .iter()
        .zip(values)
        .map(|(name, value)| Header { name, value: Some(value.as_bytes()) });
    let lineage = context.lineage.as_ref();
    let lineage = lineage.map(|text| Header { name: header::LINEAGE, value: Some(text.as_bytes()) });
    let id = entry.id.map(|range| Header { name: header::EVENT_ID, value: Some(slice(range)) });
    let all = key_header.into_iter().chain(context_headers).chain(lineage).chain(id);
    let mut count = 0;
    for (slot, header) in headers.iter_mut().zip(all) {
        *slot = header;
        count += 1;
    }
    count
}
