//! What one more event costs the allocator: nothing, in any form.

use cdcd_capture::config::{Converter, JsonOptions, TransactionTopic};
use cdcd_capture::converter::AvroOptions;
use cdcd_capture::{Config, Flow};
use cdcd_pgoutput::encode;
use cdcd_pgoutput::message::{Delete, Message, Old, Update};
use cdcd_pgoutput::relation::ReplicaIdentity;

use crate::harness::{Harness, config, insert, row};

const ROUNDS: usize = 50;

/// Allocations of the second of two equal runs: the first one makes buffers large enough.
fn allocations(converter: Converter, transactions: Option<TransactionTopic>) -> u64 {
    let mut h = Harness::new(Config { key: converter, value: converter, transactions, ..config() });
    while let Some(subject) = h.capture.poll_schema_request().map(|request| request.subject.clone()) {
        h.capture.handle_schema_id(&subject, 1);
    }
    h.begin();
    let columns = [
        ("id", true, 23, -1),
        ("t", true, 25, -1),
        ("n", true, 1700, (10 << 16 | 2) + 4),
        ("f", true, 701, -1),
        ("at", true, 1184, -1),
        ("d", true, 1082, -1),
        ("u", true, 2950, -1),
        ("b", true, 16, -1),
    ];
    h.table_with_typmods(ReplicaIdentity::Full, &columns);
    while let Some(subject) = h.capture.poll_schema_request().map(|request| request.subject.clone()) {
        h.capture.handle_schema_id(&subject, 1);
    }
    let values = [
        Some("-17"),
        Some("some text"),
        Some("12345.67"),
        Some("1.5"),
        Some("2026-11-20 22:20:20.98974+00"),
        Some("2024-02-29"),
        Some("00000000-0000-0000-0000-000000000001"),
        Some("t"),
    ];
    let (full, sparse) = (row(values), row([Some("-17"), None, None, None, None, None, None, None]));
    let messages = [
        insert(&full),
        insert(&sparse),
        Message::Update(Update { xid: None, relation: 7, old: Old::Row(full.tuple()), new: sparse.tuple() }),
        Message::Delete(Delete { xid: None, relation: 7, old: Old::Row(full.tuple()) }),
    ];
    let bodies = messages.map(|message| {
        let mut body = Vec::new();
        encode::message(&mut body, &message);
        body
    });
    let run = |h: &mut Harness| {
        for _ in 0..ROUNDS {
            bodies.iter().for_each(|body| h.feed_body(body));
        }
        let mut bytes = 0;
        let flow = h.capture.send_records(|record| {
            bytes += record.value.map_or(0, <[u8]>::len);
            Flow::Taken
        });
        assert!(flow == Flow::Taken && bytes > 0);
    };
    run(&mut h);
    run(&mut h);
    allocation_counter::measure(|| run(&mut h)).count_total
}

#[test]
fn an_event_allocates_nothing() {
    let bare = JsonOptions { schemas: false, ..JsonOptions::default() };
    for converter in [bare.into(), JsonOptions::default().into(), Converter::Avro(AvroOptions::default())] {
        assert_eq!(allocations(converter, None), 0, "{converter:?}");
        let told = TransactionTopic { name: "srv.transaction".to_owned() };
        assert_eq!(allocations(converter, Some(told)), 0, "{converter:?}, with transaction metadata");
    }
}
