use cdcd_pgoutput::encode::{self, TupleBuffer};
use cdcd_pgoutput::message::*;
use cdcd_pgoutput::relation::{Relation, RelationColumn, ReplicaIdentity};
use cdcd_pgoutput::tuple::Value;
use cdcd_pgoutput::{Decoder, ErrorKind, Lsn};
use proptest::prelude::*;

fn commit() -> Commit {
    Commit { commit_lsn: Lsn(0x10), end_lsn: Lsn(0x20), committed_at: -5 }
}

fn relation(xid: Option<u32>) -> Message<'static> {
    Message::Relation(Relation {
        xid,
        oid: 16_384,
        namespace: "public",
        name: "orders",
        replica_identity: ReplicaIdentity::Full,
        columns: vec![
            RelationColumn { is_key: true, name: "id", type_oid: 20, type_modifier: -1 },
            RelationColumn { is_key: false, name: "näme", type_oid: 1043, type_modifier: 54 },
        ],
    })
}

/// Calls `check` with every kind of message; `xid` is set as inside a streamed block.
fn each_message(xid: Option<u32>, mut check: impl FnMut(&Message<'_>)) {
    let row = TupleBuffer::new([
        Value::Text(b"1"),
        Value::Null,
        Value::UnchangedToast,
        Value::Binary(&[0, 255]),
        Value::Text(b""),
    ]);
    let key = TupleBuffer::text([Some("1"), None, None, None, None]);
    check(&relation(xid));
    check(&Message::Type(Type { xid, oid: 9, namespace: "", name: "mood" }));
    check(&Message::Insert(Insert { xid, relation: 7, new: row.tuple() }));
    for old in [Old::Absent, Old::Key(key.tuple()), Old::Row(row.tuple())] {
        check(&Message::Update(Update { xid, relation: 7, old, new: row.tuple() }));
    }
    check(&Message::Delete(Delete { xid, relation: 7, old: Old::Key(key.tuple()) }));
    check(&Message::Delete(Delete { xid, relation: 7, old: Old::Row(row.tuple()) }));
    check(&Message::Truncate(Truncate {
        xid,
        cascade: true,
        restart_identity: false,
        relations: vec![7, 8],
    }));
    let logical = Logical { xid, transactional: true, lsn: Lsn(3), prefix: "outbox", content: b"\x00{}" };
    check(&Message::Logical(logical));
}

fn each_frame_message(mut check: impl FnMut(&Message<'_>)) {
    check(&Message::Begin(Begin { final_lsn: Lsn(1), committed_at: 2, xid: 3 }));
    check(&Message::Commit(commit()));
    check(&Message::Origin(Origin { origin_lsn: Lsn(4), name: "node_a" }));
    check(&Message::StreamCommit { xid: 3, commit: commit() });
    check(&Message::StreamAbort { xid: 3, sub_xid: 4, abort: None });
    check(&Message::StreamAbort { xid: 3, sub_xid: 4, abort: Some((Lsn(5), 6)) });
    for kind in [
        TwoPhaseKind::BeginPrepare,
        TwoPhaseKind::Prepare,
        TwoPhaseKind::CommitPrepared,
        TwoPhaseKind::RollbackPrepared,
        TwoPhaseKind::StreamPrepare,
    ] {
        let two_phase = TwoPhase { kind, lsn: Lsn(1), end_lsn: Lsn(2), at: 3, xid: 4, gid: "g" };
        check(&Message::TwoPhase(two_phase));
    }
}

fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode::message(&mut bytes, message);
    bytes
}

/// Values, not column places: two encodings of one row are equal if their values are.
fn text(message: &Message<'_>) -> String {
    let values = |tuple: &cdcd_pgoutput::tuple::Tuple<'_>| format!("{:?}", tuple.iter().collect::<Vec<_>>());
    let old = |old: &Old<'_>| match old {
        Old::Absent => "absent".to_owned(),
        Old::Key(tuple) => format!("key {}", values(tuple)),
        Old::Row(tuple) => format!("row {}", values(tuple)),
    };
    match message {
        Message::Insert(m) => format!("I {:?} {} {}", m.xid, m.relation, values(&m.new)),
        Message::Update(m) => format!("U {:?} {} {} {}", m.xid, m.relation, old(&m.old), values(&m.new)),
        Message::Delete(m) => format!("D {:?} {} {}", m.xid, m.relation, old(&m.old)),
        other => format!("{other:?}"),
    }
}

fn in_stream_block() -> Decoder {
    let mut decoder = Decoder::new();
    decoder.decode(&encoded(&Message::StreamStart { xid: 3, first: true })).unwrap();
    decoder
}

#[test]
fn every_message_survives_encode_and_decode() {
    let mut plain = Decoder::new();
    each_message(None, |m| assert_eq!(text(&plain.decode(&encoded(m)).unwrap()), text(m)));
    let mut streamed = in_stream_block();
    each_message(Some(9), |m| assert_eq!(text(&streamed.decode(&encoded(m)).unwrap()), text(m)));
    each_frame_message(|m| assert_eq!(&plain.decode(&encoded(m)).unwrap(), m));
}

#[test]
fn changes_carry_no_xid_after_the_stream_block_ends() {
    let mut decoder = in_stream_block();
    decoder.decode(&encoded(&Message::StreamStop)).unwrap();
    each_message(None, |m| assert_eq!(text(&decoder.decode(&encoded(m)).unwrap()), text(m)));
}

#[test]
fn every_cut_and_every_trailing_byte_is_an_error() {
    let mut decoder = Decoder::new();
    let mut check = |m: &Message<'_>| {
        let whole = encoded(m);
        for length in 0..whole.len() {
            let cut = decoder.decode(&whole[..length]).map(|_| ());
            let optional_tail = matches!(m, Message::StreamAbort { abort: Some(_), .. }) && length == 9;
            assert_eq!(cut.is_err(), !optional_tail, "{m:?} cut at {length}: {cut:?}");
        }
        let mut longer = whole;
        longer.push(0);
        assert!(decoder.decode(&longer).is_err(), "{m:?} with a trailing byte");
    };
    each_message(None, &mut check);
    each_frame_message(&mut check);
}

#[test]
fn errors_say_message_field_and_offset() {
    let mut decoder = Decoder::new();
    let error = decoder.decode(b"I\0\0\0\x07X").unwrap_err();
    assert_eq!((error.message, error.field, error.offset), (b'I', "new tuple", 5));
    assert_eq!(error.kind, ErrorKind::UnknownTag(b'X'));
    assert_eq!(error.to_string(), "message 'I': new tuple at byte 5: unknown tag 'X'");
    let error = decoder.decode(b"I\0\0\0\x07N\0\x01t\xff\xff\xff\xff").unwrap_err();
    assert_eq!((error.offset, error.kind), (9, ErrorKind::BadLength(-1)));
}

proptest! {
    #[test]
    fn random_bytes_never_panic_and_what_decodes_encodes_back(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        tag in proptest::sample::select(b"BCORYIUDTMSEcAbPKrp".to_vec()),
    ) {
        let mut bytes = bytes;
        bytes.insert(0, tag);
        for mut decoder in [Decoder::new(), in_stream_block()] {
            if let Ok(message) = decoder.decode(&bytes) {
                let again = encoded(&message);
                let mut second = if text(&message).contains("Some(") && !matches!(message, Message::StreamAbort{..}) {
                    in_stream_block()
                } else {
                    Decoder::new()
                };
                prop_assert_eq!(text(&second.decode(&again).unwrap()), text(&message));
            }
        }
    }

    #[test]
    fn rows_of_any_bytes_round_trip(values in proptest::collection::vec(proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)), 0..20)) {
        let row = TupleBuffer::new(values.iter().map(|v| match v {
            Some(bytes) => Value::Text(bytes),
            None => Value::Null,
        }));
        let bytes = encoded(&Message::Insert(Insert { xid: None, relation: 1, new: row.tuple() }));
        let mut decoder = Decoder::new();
        let Message::Insert(insert) = decoder.decode(&bytes).unwrap() else { panic!("not an insert") };
        prop_assert_eq!(insert.new.iter().collect::<Vec<_>>(), row.tuple().iter().collect::<Vec<_>>());
    }
}
