//! Transaction metadata and logical decoding messages, exactly once.

use std::collections::BTreeMap;
use std::time::Duration;

use cdcd_testkit::wait_until;

use crate::kit::{Bench, finish, kill, stderr};

const LIMIT: Duration = Duration::from_secs(60);
/// Messages outside of transactions in each round.
const MESSAGES: usize = 400;

/// Rows and messages of one round; a long one is cut into several commits.
fn write(bench: &Bench, round: usize, rows: usize) {
    let message = |transactional: bool, from: usize| {
        format!(
            "SELECT count(pg_logical_emit_message({transactional}, '{transactional}', '{round}-' || i)) \
             FROM generate_series({from}, {}) i; ",
            from + MESSAGES / 2 - 1
        )
    };
    bench.psql(&format!(
        "{} BEGIN; INSERT INTO t(v) SELECT md5(i::text) FROM generate_series(1, {rows}) i; {} \
         INSERT INTO t(v) VALUES ('last'); COMMIT; {}",
        message(false, 0),
        message(true, 0),
        message(false, MESSAGES / 2),
    ));
}

/// How often each message is there.
fn messages(bench: &Bench) -> BTreeMap<(String, String), usize> {
    let mut counts = BTreeMap::new();
    for record in bench.topic("message") {
        let message = &record.payload().unwrap()["message"];
        let text = |name: &str| message[name].as_str().unwrap().to_owned();
        *counts.entry((text("prefix"), text("content"))).or_default() += 1;
    }
    counts
}

/// Kills and stops at random moments: each message comes once, each transaction has two ends, and its events are
/// counted from one to the number that its end tells.
#[test]
fn no_kill_and_no_stop_repeats_a_message_or_miscounts_a_transaction() {
    let bench = Bench::new("rowless");
    bench.psql("CREATE TABLE t (id bigserial PRIMARY KEY, v text)");
    let connector = bench.connector(&[
        ("snapshot.mode", "no_data"),
        ("provide.transaction.metadata", "true"),
        ("binary.handling.mode", "hex"),
    ]);
    bench.catch_up(&connector);
    let rounds = ["KILL", "TERM", "KILL", "KILL", "TERM", "KILL"];
    for (round, signal) in rounds.into_iter().enumerate() {
        write(&bench, round, if round == 1 || round == 3 { 100_000 } else { 3_000 });
        let topic = if round % 2 == 0 { "message" } else { "public.t" };
        let before = bench.count(topic);
        let child = bench.command(&connector, &[]);
        wait_until("new records", LIMIT, || Ok((bench.count(topic) > before).then_some(()))).unwrap();
        kill(child.id(), signal);
        let output = finish(child);
        assert!(signal == "KILL" || output.status.success(), "{}", stderr(&output));
    }
    bench.catch_up(&connector);

    let delivered = messages(&bench);
    assert_eq!(delivered.len(), rounds.len() * MESSAGES * 3 / 2, "each message is there");
    assert!(delivered.values().all(|count| *count == 1), "messages that were delivered more than once");

    let mut orders = BTreeMap::<String, Vec<u64>>::new();
    for record in bench.topic("public.t").iter().chain(&bench.topic("message")) {
        let block = &record.payload().unwrap()["transaction"];
        let Some(id) = block["id"].as_str() else { continue };
        let xid = id.split(':').next().unwrap().to_owned();
        orders.entry(xid).or_default().push(block["total_order"].as_u64().unwrap());
    }
    let mut ends = BTreeMap::<String, Vec<String>>::new();
    for record in bench.topic("transaction") {
        let value = record.payload().unwrap();
        let xid = value["id"].as_str().unwrap().split(':').next().unwrap();
        let status = value["status"].as_str().unwrap();
        ends.entry(xid.to_owned()).or_default().push(status.to_owned());
        if status == "END" {
            let mut counted = orders.remove(xid).unwrap_or_default();
            counted.sort_unstable();
            let expected: Vec<u64> = (1..=value["event_count"].as_u64().unwrap()).collect();
            assert!(counted == expected, "transaction {xid}: {} events, {value}", counted.len());
        }
    }
    assert!(orders.is_empty(), "events of transactions without end");
    assert_eq!(ends.len(), rounds.len());
    assert!(ends.values().all(|told| told == &["BEGIN", "END"]), "{ends:?}");
}
