//! Instructions of the hot path, counted under valgrind: the same on a quiet and on a busy machine.
//!
//! More than the limit of each is a regression, and fails. A change that is meant to cost something raises the figure
//! in its own commit; one that saves lowers it. The figures are what was counted; 3 % above
//! them is the limit.
#![allow(missing_docs, unused_qualifications)]

use std::hint::black_box;

use cdcd_benches::engine::events;
use cdcd_benches::streams::{Stream, mixed};
use cdcd_capture::config::{Converter, JsonOptions};
use cdcd_capture::converter::AvroOptions;
use cdcd_debezium::transform::Chain;
use cdcd_pgoutput::Decoder;
use gungraun::{
    Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};

fn limit(instructions: u64) -> LibraryBenchmarkConfig {
    let mut callgrind = Callgrind::with_args(["--cache-sim=no"]);
    callgrind.hard_limits([(EventKind::Ir, instructions + instructions * 3 / 100)]);
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(callgrind);
    config
}

fn bare() -> Converter {
    JsonOptions { schemas: false, ..JsonOptions::default() }.into()
}

#[library_benchmark(config = limit(43_571_000), setup = mixed)]
#[bench::ten_rows()]
fn decode(stream: Stream) -> usize {
    let mut decoder = Decoder::new();
    stream.bodies().filter(|body| decoder.decode(black_box(body)).is_ok()).count()
}

#[library_benchmark(config = limit(399_448_000), setup = mixed)]
#[bench::ten_rows()]
fn json(stream: Stream) -> usize {
    events(black_box(&stream), bare(), &Chain::default())
}

#[library_benchmark(config = limit(419_175_000), setup = mixed)]
#[bench::ten_rows()]
fn json_schemas(stream: Stream) -> usize {
    events(black_box(&stream), JsonOptions::default().into(), &Chain::default())
}

#[library_benchmark(config = limit(363_012_000), setup = mixed)]
#[bench::ten_rows()]
fn avro(stream: Stream) -> usize {
    events(black_box(&stream), Converter::Avro(AvroOptions::default()), &Chain::default())
}

library_benchmark_group!(name = hot_path; benchmarks = decode, json, json_schemas, avro);
main!(library_benchmark_groups = hot_path);
