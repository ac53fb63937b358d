//! Decoding beside its peers and its ceiling, over the same bytes in one run.
//!
//! `walk` only follows the lengths: no decoder can be faster. `decode` gives every value as a slice.
//! `typed` also reads every value as what it is. `pgwire_replication` frames only; `pg_walstream` parses fully.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use bytes::Bytes;
use cdcd_benches::engine;
use cdcd_benches::streams::{self, Stream};
use cdcd_capture::config::Modes;
use cdcd_capture::types::{Mapping, TypeContext, resolve};
use cdcd_debezium::format::json::JsonWriter;
use cdcd_debezium::value::{FieldName, Mark, ValueWriter};
use cdcd_pgoutput::Decoder;
use cdcd_pgoutput::message::{Message, Old};
use cdcd_pgoutput::tuple::{Tuple, Value};
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};

/// Follows tags and lengths of one message and sums them: what any decoder must at least do.
fn walk(body: &[u8]) -> usize {
    let tuples_at = match body[0] {
        b'I' | b'U' | b'D' => 5,
        _ => return body.len(),
    };
    let mut at = tuples_at;
    let mut sum = 0;
    while at < body.len() {
        let columns = u16::from_be_bytes([body[at + 1], body[at + 2]]);
        at += 3;
        for _ in 0..columns {
            let kind = body[at];
            at += 1;
            if kind == b't' || kind == b'b' {
                let length =
                    u32::from_be_bytes([body[at], body[at + 1], body[at + 2], body[at + 3]]) as usize;
                at += 4 + length;
                sum += length;
            }
        }
    }
    sum
}

/// Takes values and keeps nothing but a checksum.
#[derive(Default)]
struct Sum(i64);

impl ValueWriter for Sum {
    fn begin_record(&mut self, _: &[u8]) {}
    fn end_record(&mut self, _: &[u8]) {}
    fn null(&mut self) {}
    fn boolean(&mut self, value: bool) {
        self.0 += i64::from(value);
    }
    fn int(&mut self, value: i64) {
        self.0 = self.0.wrapping_add(value);
    }
    fn float32(&mut self, value: f32) {
        self.0 += i64::from(value.to_bits());
    }
    fn float64(&mut self, value: f64) {
        self.0 = self.0.wrapping_add(value.to_bits() as i64);
    }
    fn string(&mut self, value: &str) {
        self.0 += value.len() as i64;
    }
    fn bytes(&mut self, value: &[u8]) {
        self.0 += value.len() as i64;
    }
    fn decimal(&mut self, unscaled: &[u8], _: i32) {
        self.0 += unscaled.len() as i64;
    }
    fn begin_struct(&mut self) {}
    fn field(&mut self, _: &FieldName) {}
    fn end_struct(&mut self) {}
    fn begin_array(&mut self, _: usize) {}
    fn end_array(&mut self) {}
    fn begin_map(&mut self, _: usize) {}
    fn map_key(&mut self, _: &str) {}
    fn end_map(&mut self) {}
    fn fragment(&mut self, _: &[u8]) {}
    fn mark(&self) -> Mark {
        JsonWriter::default().mark()
    }
    fn rewind(&mut self, _: Mark) {}
    fn take_since(&mut self, _: Mark, _: &mut Vec<u8>) {}
}

fn typed(stream: &Stream, decoder: &mut Decoder, mappings: &[Mapping<Sum>]) -> i64 {
    let mut sum = Sum::default();
    let mut row = |tuple: &Tuple<'_>| {
        for (value, mapping) in tuple.iter().zip(mappings) {
            if let Value::Text(text) = value {
                (mapping.write)(text, &mapping.params, &mut sum).unwrap();
            }
        }
    };
    for body in stream.bodies() {
        match decoder.decode(body).unwrap() {
            Message::Insert(insert) => row(&insert.new),
            Message::Update(update) => {
                if let Old::Row(tuple) = &update.old {
                    row(tuple);
                }
                row(&update.new);
            }
            Message::Delete(delete) => {
                if let Old::Row(tuple) = &delete.old {
                    row(tuple);
                }
            }
            _ => {}
        }
    }
    sum.0
}

fn peers(group: &mut BenchmarkGroup<'_, criterion::measurement::WallTime>, stream: &Stream) {
    let frames: Vec<Bytes> = stream.frames.iter().map(|frame| Bytes::from(frame.clone())).collect();
    let bodies: Vec<Bytes> = frames.iter().map(|frame| frame.slice(streams::HEADER..)).collect();
    group.bench_function("pgwire_replication", |bencher| {
        bencher.iter(|| {
            for frame in &frames {
                let parsed = pgwire_replication::protocol::replication::parse_copy_data(frame.clone());
                black_box(parsed.unwrap());
            }
        });
    });
    group.bench_function("pg_walstream", |bencher| {
        let mut parser = pg_walstream::LogicalReplicationParser::with_protocol_version(1);
        bencher.iter(|| {
            for body in &bodies {
                black_box(parser.parse_wal_message_bytes(body.clone()).unwrap());
            }
        });
    });
}

fn bench(criterion: &mut Criterion) {
    for stream in streams::all() {
        let mut group = criterion.benchmark_group(stream.name);
        group.throughput(Throughput::ElementsAndBytes {
            elements: stream.frames.len() as u64,
            bytes: stream.bytes(),
        });
        group.bench_function("walk", |bencher| {
            bencher.iter(|| stream.bodies().map(|body| walk(black_box(body))).sum::<usize>());
        });
        group.bench_function("decode", |bencher| {
            let mut decoder = Decoder::new();
            bencher.iter(|| engine::decode(&stream, &mut decoder));
        });
        group.bench_function("typed", |bencher| {
            let modes = Modes::default();
            let mapping = |(_, oid, typmod, _): &streams::Column| {
                let context = TypeContext { modes: &modes, typmod: *typmod, types: &[] };
                resolve::<Sum>(*oid, &context).unwrap()
            };
            let mappings: Vec<_> = stream.columns.iter().map(mapping).collect();
            let mut decoder = Decoder::new();
            bencher.iter(|| typed(&stream, &mut decoder, &mappings));
        });
        peers(&mut group, &stream);
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_secs(3));
    targets = bench
}
criterion_main!(benches);
