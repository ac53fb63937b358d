//! Any text of any type, under any mode, is written as JSON that can be parsed, or is a named error.
#![no_main]

use arbitrary::Arbitrary;
use cdcd_capture::catalog::TableFacts;
use cdcd_capture::config::{BinaryMode, Config, ConversionFailure, DecimalMode, IntervalMode, TimeMode};
use cdcd_capture::{Capture, Flow, Start};
use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::encode::{self, TupleBuffer};
use cdcd_pgoutput::message::{Begin, Insert, Message};
use cdcd_pgoutput::relation::{Relation, RelationColumn, ReplicaIdentity};
use cdcd_pgoutput::replication::XLogData;
use cdcd_pgoutput::tuple::Value;
use libfuzzer_sys::fuzz_target;

/// Every type with a room of its own, and arrays of some.
const OIDS: [u32; 44] = [
    16, 17, 18, 20, 21, 23, 25, 26, 114, 142, 600, 650, 700, 701, 790, 869, 1082, 1083, 1114, 1184, 1186, 1266, 1560,
    1562, 1700, 2950, 3614, 3802, 3904, 3906, 1000, 1001, 1007, 1009, 1016, 1022, 1115, 1182, 1183, 1185, 1231, 1561,
    2951, 3807,
];

#[derive(Debug, Arbitrary)]
struct Case<'a> {
    oid: usize,
    typmod: i32,
    modes: [u8; 4],
    text: &'a [u8],
}

fuzz_target!(|case: Case<'_>| {
    let pick = |index: usize, count: u8| case.modes[index] % count;
    let mut config = Config::default();
    config.modes.decimal = [DecimalMode::Precise, DecimalMode::String, DecimalMode::Double][pick(0, 3) as usize];
    config.modes.time = [
        TimeMode::Adaptive,
        TimeMode::AdaptiveTimeMicroseconds,
        TimeMode::Connect,
        TimeMode::IsoString,
        TimeMode::Microseconds,
        TimeMode::Nanoseconds,
    ][pick(1, 6) as usize];
    config.modes.binary =
        [BinaryMode::Bytes, BinaryMode::Base64, BinaryMode::Base64UrlSafe, BinaryMode::Hex][pick(2, 4) as usize];
    config.modes.interval = [IntervalMode::Numeric, IntervalMode::String][pick(3, 2) as usize];
    config.conversion_failure = ConversionFailure::Fail;
    let mut capture = Capture::new(config, Start::at(Lsn(8))).expect("a start without a snapshot");
    let give = |capture: &mut Capture, message: &Message<'_>, lsn: u64| {
        let mut body = Vec::new();
        encode::message(&mut body, message);
        capture.handle_xlog_data(&XLogData { wal_start: Lsn(lsn), wal_end: Lsn(lsn), sent_at: 0, body: &body }, 1)
    };
    let begin = Message::Begin(Begin { final_lsn: Lsn(100), committed_at: 0, xid: 7 });
    give(&mut capture, &begin, 100).expect("a transaction");
    let column = RelationColumn {
        is_key: false,
        name: "v",
        type_oid: OIDS[case.oid % OIDS.len()],
        type_modifier: case.typmod,
    };
    let relation = Message::Relation(Relation {
        xid: None,
        oid: 1,
        namespace: "public",
        name: "t",
        replica_identity: ReplicaIdentity::Default,
        columns: vec![column],
    });
    if give(&mut capture, &relation, 0).is_err() {
        return;
    }
    if capture.poll_catalog_request().is_some() && capture.handle_catalog(&TableFacts::default()).is_err() {
        return;
    }
    let tuple = TupleBuffer::new([Value::Text(case.text)]);
    let insert = Message::Insert(Insert { xid: None, relation: 1, new: tuple.tuple() });
    if give(&mut capture, &insert, 100).is_err() {
        return;
    }
    capture.send_records(|record| {
        if let Some(value) = record.value {
            // What PostgreSQL sends is UTF-8; of anything else the bytes are passed on.
            if std::str::from_utf8(case.text).is_ok() {
                serde_json::from_slice::<&serde_json::value::RawValue>(value).expect("JSON");
            }
        }
        Flow::Taken
    });
});
