//! The whole capture core with transforms and with transaction metadata; `encode` has it bare.
#![allow(missing_docs, clippy::unwrap_used)]

use cdcd_benches::engine::{Metadata, events, events_with};
use cdcd_benches::streams;
use cdcd_capture::config::{Converter, JsonOptions};
use cdcd_capture::converter::AvroOptions;
use cdcd_debezium::transform::Chain;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const UNWRAP: (&str, &str) = ("transforms.unwrap.type", "io.debezium.transforms.ExtractNewRecordState");
const DROP: (&str, &str) = ("transforms.drop.type", "org.apache.kafka.connect.transforms.DropHeaders");

fn chain(properties: &[(&str, &str)]) -> Chain {
    Chain::new(&properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
        .unwrap()
}

fn bench(criterion: &mut Criterion) {
    for stream in streams::all() {
        let mut group = criterion.benchmark_group(stream.name);
        group.throughput(Throughput::ElementsAndBytes {
            elements: stream.frames.len() as u64,
            bytes: stream.bytes(),
        });
        let none = Chain::default();
        let bare: Converter = JsonOptions { schemas: false, ..JsonOptions::default() }.into();
        let unwrap =
            chain(&[("transforms", "unwrap"), UNWRAP, ("transforms.unwrap.add.fields", "op,ts_ms,lsn")]);
        let trees =
            chain(&[("transforms", "drop,unwrap"), UNWRAP, DROP, ("transforms.drop.headers", "none")]);
        for (name, transforms) in [("json_unwrapped", &unwrap), ("json_trees", &trees)] {
            group.bench_function(name, |bencher| bencher.iter(|| events(&stream, bare, transforms)));
        }
        for (name, converter) in
            [("json_metadata", bare), ("avro_metadata", Converter::Avro(AvroOptions::default()))]
        {
            group.bench_function(name, |bencher| {
                bencher.iter(|| events_with(&stream, converter, &none, Metadata::On));
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
