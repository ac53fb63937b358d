//! A stream through the decoder, and through the whole capture core, without sockets.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;

use cdcd_capture::catalog::{ColumnFacts, TableFacts};
use cdcd_capture::config::{Config, Converter, Filters, Modes, SkippedOperations, TransactionTopic};
use cdcd_capture::{Capture, Flow, Start};
use cdcd_debezium::record::Record;
use cdcd_debezium::transform::Chain;
use cdcd_pgoutput::message::{Message, Old};
use cdcd_pgoutput::replication::Frame;
use cdcd_pgoutput::tuple::{Tuple, Value};
use cdcd_pgoutput::{Decoder, Lsn};

use crate::streams::Stream;

/// Whether transactions are told, in a topic of their own and in each event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metadata {
    /// They are not.
    Off,
    /// They are.
    On,
}

fn config(converter: Converter, transforms: &Chain, metadata: Metadata) -> Config {
    Config {
        topic_prefix: "cdc".to_owned(),
        topic_delimiter: ".".to_owned(),
        database: "bench".to_owned(),
        connector_version: "3.6.3.Final".to_owned(),
        run_id: "0".to_owned(),
        filters: Filters::default(),
        modes: Modes::default(),
        message_key_columns: Vec::new(),
        tombstones_on_delete: true,
        skipped_operations: SkippedOperations::default(),
        skip_unchanged: false,
        conversion_failure: Default::default(),
        extended_headers: true,
        event_ids: false,
        key: converter,
        value: converter,
        schema_names: Default::default(),
        field_names: Default::default(),
        column_rules: Default::default(),
        transforms: transforms.clone(),
        heartbeat: None,
        transactions: (metadata == Metadata::On)
            .then(|| TransactionTopic { name: "cdc.transaction".to_owned() }),
        messages: Default::default(),
    }
}

/// The whole engine: frames to records, key, value and headers. Bytes of values and number of headers.
///
/// # Panics
/// When the core refuses a stream of ours.
pub fn events(stream: &Stream, converter: Converter, transforms: &Chain) -> usize {
    events_with(stream, converter, transforms, Metadata::Off)
}

/// As [`events`], with or without transaction metadata.
///
/// # Panics
/// When the core refuses a stream of ours.
pub fn events_with(stream: &Stream, converter: Converter, transforms: &Chain, metadata: Metadata) -> usize {
    let mut bytes = 0;
    run(stream, converter, transforms, metadata, |record| {
        bytes += record.value.map_or(0, <[u8]>::len) + record.headers.len();
    });
    bytes
}

/// The records of a whole stream, each in turn.
///
/// # Panics
/// When the core refuses a stream of ours.
pub fn records(stream: &Stream, converter: Converter, each: impl FnMut(&Record<'_>)) {
    run(stream, converter, &Chain::default(), Metadata::Off, each);
}

fn run(
    stream: &Stream,
    converter: Converter,
    transforms: &Chain,
    metadata: Metadata,
    mut each: impl FnMut(&Record<'_>),
) {
    let start = Start {
        done_end_lsn: Lsn(0),
        last_commit_lsn: None,
        last_commit_us: None,
        open: None,
        snapshot: None,
        status_interval_ns: i64::MAX,
        lineage: 0,
    };
    let mut capture = Capture::new(config(converter, transforms, metadata), start).unwrap();
    while let Some(subject) = capture.poll_schema_request().map(|request| request.subject.clone()) {
        capture.handle_schema_id(&subject, 1);
    }
    let facts = TableFacts {
        columns: stream
            .columns
            .iter()
            .map(|(name, _, _, key)| ColumnFacts { name: (*name).to_owned(), not_null: *key, default: None })
            .collect(),
        key: stream.columns.iter().filter(|column| column.3).map(|column| column.0.to_owned()).collect(),
        types: Vec::new(),
    };
    for (nth, frame) in stream.frames.iter().enumerate() {
        let Frame::XLogData(data) = Frame::read(frame).unwrap() else {
            unreachable!("only data is generated")
        };
        capture.handle_xlog_data(&data, 1_795_170_021_207_940_471).unwrap();
        if capture.poll_catalog_request().is_some() {
            capture.handle_catalog(&facts).unwrap();
            while let Some(subject) = capture.poll_schema_request().map(|request| request.subject.clone()) {
                capture.handle_schema_id(&subject, 1);
            }
        }
        if nth % 256 == 255 {
            capture.send_records(|record| {
                each(&record);
                Flow::Taken
            });
        }
    }
}

/// The messages of a whole stream, decoded. Bytes of their values.
///
/// # Panics
/// When the decoder refuses a stream of ours.
pub fn decode(stream: &Stream, decoder: &mut Decoder) -> usize {
    stream.bodies().map(|body| decode_message(decoder, black_box(body))).sum()
}

fn decode_message(decoder: &mut Decoder, body: &[u8]) -> usize {
    match decoder.decode(body).unwrap() {
        Message::Insert(insert) => sum(&insert.new),
        Message::Update(update) => {
            let old = match &update.old {
                Old::Absent => 0,
                Old::Key(tuple) | Old::Row(tuple) => sum(tuple),
            };
            old + sum(&update.new)
        }
        Message::Delete(delete) => match &delete.old {
            Old::Absent => 0,
            Old::Key(tuple) | Old::Row(tuple) => sum(tuple),
        },
        _ => 0,
    }
}

fn sum(tuple: &Tuple<'_>) -> usize {
    tuple.iter().map(|value| if let Value::Text(text) = value { text.len() } else { 0 }).sum()
}
