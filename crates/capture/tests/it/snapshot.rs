use cdcd_capture::{ColumnShape, SnapshotTable, TableShape};
use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::relation::ReplicaIdentity;

use crate::harness::{COMMITTED_AT_US, Harness, NOW_NS, config};

fn table(h: &Harness, oid: u32, name: &str) -> SnapshotTable {
    let column = |name: &str, type_oid| ColumnShape {
        name: name.to_owned(),
        is_identity: name == "id",
        type_oid,
        typmod: -1,
    };
    SnapshotTable {
        shape: TableShape {
            oid,
            schema: "public".to_owned(),
            table: name.to_owned(),
            identity: ReplicaIdentity::Default,
            columns: vec![column("id", 23), column("v", 25)],
        },
        facts: h.facts.clone(),
        at_us: COMMITTED_AT_US,
    }
}

/// Reads tables with so many rows each; gives topic, marker and LSN of each record.
fn markers(rows: &[usize]) -> Vec<String> {
    let mut h = Harness::new(config());
    h.capture.begin_snapshot(Lsn(500), Some(9));
    for (index, rows) in rows.iter().enumerate() {
        let table = table(&h, index as u32 + 1, &format!("t{index}"));
        h.capture.begin_snapshot_table(table).unwrap();
        for row in 0..*rows {
            h.capture.handle_snapshot_row(format!("{row}\t\\N\n").as_bytes(), NOW_NS).unwrap();
        }
        h.capture.end_snapshot_table();
    }
    h.capture.end_snapshot(NOW_NS).unwrap();
    let sent = h.sent();
    let marker = |value: &str| {
        let event: serde_json::Value = serde_json::from_str(value).unwrap();
        assert_eq!(event["op"], "r");
        assert_eq!(event["source"]["lsn"], 500);
        assert_eq!(event["source"]["txId"], 9);
        format!(
            "{} {}",
            event["source"]["table"].as_str().unwrap(),
            event["source"]["snapshot"].as_str().unwrap()
        )
    };
    let markers = sent.iter().map(|sent| marker(sent.value.as_deref().unwrap())).collect();
    assert!(h.capture.poll_position(0, true).is_none(), "rows are not delivered yet");
    for sent in sent {
        h.capture.handle_delivered(sent.token, 1);
    }
    assert_eq!(h.capture.poll_position(0, true), Some(Lsn(500)));
    markers
}

#[test]
fn markers_tell_first_and_last_of_table_and_snapshot() {
    assert_eq!(
        markers(&[3, 3]),
        [
            "t0 first",
            "t0 true",
            "t0 last_in_data_collection",
            "t1 first_in_data_collection",
            "t1 true",
            "t1 last"
        ]
    );
    assert_eq!(markers(&[1]), ["t0 last"]);
    assert_eq!(markers(&[2, 0]), ["t0 first", "t0 last"]);
    assert_eq!(markers(&[1, 1]), ["t0 first", "t1 last"]);
    // "first" belongs to the first table: it is nobody's if that table is empty.
    assert_eq!(markers(&[0, 2, 1]), ["t1 first_in_data_collection", "t1 last_in_data_collection", "t2 last"]);
}
