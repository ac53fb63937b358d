//! From frames to key, value and headers with each converter, beside the decoding that it begins with, in one run.
#![allow(missing_docs)]

use cdcd_benches::{engine, streams};
use cdcd_capture::config::{Converter, JsonOptions};
use cdcd_capture::converter::AvroOptions;
use cdcd_debezium::transform::Chain;
use cdcd_pgoutput::Decoder;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn bench(criterion: &mut Criterion) {
    for stream in streams::all() {
        let mut group = criterion.benchmark_group(stream.name);
        group.throughput(Throughput::ElementsAndBytes {
            elements: stream.frames.len() as u64,
            bytes: stream.bytes(),
        });
        group.bench_function("decode", |bencher| {
            let mut decoder = Decoder::new();
            bencher.iter(|| engine::decode(&stream, &mut decoder));
        });
        let none = Chain::default();
        for (name, converter) in [
            ("json", JsonOptions { schemas: false, ..JsonOptions::default() }.into()),
            ("json_schemas", JsonOptions::default().into()),
            ("avro", Converter::Avro(AvroOptions::default())),
        ] {
            group.bench_function(name, |bencher| {
                bencher.iter(|| engine::events(&stream, converter, &none));
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_secs(3));
    targets = bench
}
criterion_main!(benches);
