//! Consumer group, offsets, dead letters and restarts on a real broker, into the in-memory destination.

use super::bench_topic::{Bench, TEST_MAX, catch_up, event};
use cdcd::connector::sink::SinkSettings;
use cdcd::sink::{SinkError, SinkOptions, run_with};
use cdcd_kafka::ClientConfig;
use cdcd_kafka::consumer::{Consumer, Event, Topics};
use cdcd_sink::memory::{Commit, Memory, MemoryEncoder};
use std::collections::BTreeSet;
use std::sync::Arc;

fn encoder() -> Box<MemoryEncoder> {
    Box::new(MemoryEncoder::default())
}

fn memory() -> Arc<Memory> {
    Arc::new(Memory::new(Commit::Immediate))
}

fn offsets(memory: &Memory, table: &str) -> Vec<String> {
    memory.rows(table).iter().map(|row| row["_OFFSET"].as_str().unwrap_or("").to_owned()).collect()
}

#[tokio::test]
async fn a_restart_goes_on_after_the_token_and_merges() {
    let bench = Bench::new("restart");
    let topic = bench.topic("public.orders");
    bench.make_topic(&topic, 3).await;
    let mut lsn = 0;
    let mut next = || {
        lsn += 1;
        lsn
    };
    let first: Vec<_> = (0..200).map(|id| event("c", id, Some("first"), next())).collect();
    bench.produce(&topic, &first);
    let memory = memory();
    let properties = bench.properties(&topic, &[("cdcd.table.mode", "merge")]);
    catch_up(&properties, &memory, encoder()).await.expect("first run");
    assert_eq!(memory.rows("ORDERS__LOG").len(), 200);
    assert_eq!(memory.rows("ORDERS").len(), 200);

    let mut second: Vec<_> = (0..100).map(|id| event("u", id, Some("second"), next())).collect();
    second.extend((0..50).map(|id| event("d", id, None, next())));
    second.extend((0..50).map(|id| (event("d", id, None, 0).0, None)));
    bench.produce(&topic, &second);
    catch_up(&properties, &memory, encoder()).await.expect("second run");
    let logged = offsets(&memory, "ORDERS__LOG");
    assert_eq!(logged.len(), 350, "tombstones carry no row");
    assert_eq!(logged.iter().collect::<BTreeSet<_>>().len(), 350, "each offset once");
    let orders = memory.rows("ORDERS");
    assert_eq!(orders.len(), 150);
    assert_eq!(orders.iter().filter(|row| row["NOTE"] == "second").count(), 50);
    catch_up(&properties, &memory, encoder()).await.expect("nothing new is caught up too");
    assert_eq!(memory.rows("ORDERS__LOG").len(), 350);
}

#[tokio::test]
async fn a_malformed_record_stops_with_its_place_or_becomes_a_dead_letter() {
    let bench = Bench::new("dlq");
    let topic = bench.topic("public.orders");
    bench.make_topic(&topic, 1).await;
    let broken = (Some(r#"{"id":7}"#.to_owned()), Some("{broken".to_owned()));
    bench.produce(&topic, &[event("c", 1, Some("a"), 1), broken, event("c", 2, Some("b"), 2)]);

    let strict = memory();
    let error = catch_up(&bench.properties(&topic, &[]), &strict, encoder()).await.expect_err("stops");
    assert!(matches!(error, SinkError::Guard { name: "E_MALFORMED_RECORD", .. }), "{error}");
    assert!(error.to_string().contains("offset 1"), "{error}");

    let letters = bench.topic("dlq");
    let properties = bench.properties(
        &topic,
        &[
            ("name", &format!("{}-lenient", bench.prefix)),
            ("errors.tolerance", "all"),
            ("errors.deadletterqueue.topic.name", &letters),
        ],
    );
    let lenient = memory();
    catch_up(&properties, &lenient, encoder()).await.expect("goes on");
    assert_eq!(lenient.rows("ORDERS__LOG").len(), 2);
    let (headers, value) = first_record(&bench, &letters).await;
    assert_eq!(value.as_deref(), Some("{broken"), "the bytes are untouched");
    let wanted = [
        ("__connect.errors.topic", topic.as_str()),
        ("__connect.errors.partition", "0"),
        ("__connect.errors.offset", "1"),
    ];
    for (name, value) in wanted {
        assert!(headers.contains(&(name.to_owned(), value.to_owned())), "{name} in {headers:?}");
    }
}

async fn first_record(bench: &Bench, topic: &str) -> (Vec<(String, String)>, Option<String>) {
    let mut config = ClientConfig::new(&bench.bootstrap);
    config.set("group.id", format!("{}-reader", bench.prefix));
    let mut consumer = Consumer::join(&config, &Topics::Names(vec![topic.to_owned()])).expect("joined");
    let mut found = None;
    while found.is_none() {
        match tokio::time::timeout(TEST_MAX, consumer.next()).await.expect("in time").expect("an event") {
            Event::Assigned(partitions) => {
                for one in partitions {
                    consumer.begin(&one.topic, one.partition, 1, one.low);
                }
            }
            Event::Records(batch) => batch.for_each(|_, _, record| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let headers = record
                    .headers
                    .iter()
                    .map(|header| (header.name.to_owned(), header.value.map(text).unwrap_or_default()));
                found = Some((headers.collect(), record.value.map(text)));
            }),
            Event::Revoked | Event::Trouble(_) => {}
            Event::Failed(error) => panic!("{error}"),
        }
    }
    found.expect("a record")
}

#[tokio::test]
async fn two_members_share_the_partitions_and_land_each_record_once() {
    let bench = Bench::new("members");
    let topic = bench.topic("public.orders");
    bench.make_topic(&topic, 4).await;
    let memory = memory();
    let properties = bench.properties(&topic, &[]);
    let start = |stop: tokio::sync::oneshot::Receiver<()>| {
        let settings = SinkSettings::read(&properties).expect("usable properties");
        let shutdown = async move {
            let _ = stop.await;
        };
        tokio::spawn(run_with(settings, SinkOptions::default(), Arc::clone(&memory), encoder(), shutdown))
    };
    let batch =
        |from: i64| (from..from + 300).map(|id| event("c", id, Some("x"), id as u64 + 1)).collect::<Vec<_>>();
    let ((stop_one, wait_one), (stop_two, wait_two)) =
        (tokio::sync::oneshot::channel(), tokio::sync::oneshot::channel());
    bench.produce(&topic, &batch(0));
    let one = start(wait_one);
    until_rows(&memory, 300).await;
    let two = start(wait_two);
    bench.produce(&topic, &batch(300));
    until_rows(&memory, 600).await;
    stop_one.send(()).expect("running");
    tokio::time::timeout(TEST_MAX, one).await.expect("in time").expect("joined").expect("drained");
    bench.produce(&topic, &batch(600));
    until_rows(&memory, 900).await;
    stop_two.send(()).expect("running");
    tokio::time::timeout(TEST_MAX, two).await.expect("in time").expect("joined").expect("drained");
    let logged = offsets(&memory, "ORDERS__LOG");
    assert_eq!(logged.iter().collect::<BTreeSet<_>>().len(), 900, "each offset once");
    assert_eq!(logged.len(), 900, "and none twice");
}

async fn until_rows(memory: &Memory, rows: usize) {
    let started = std::time::Instant::now();
    while memory.rows("ORDERS__LOG").len() < rows {
        assert!(started.elapsed() < TEST_MAX, "{} of {rows} rows", memory.rows("ORDERS__LOG").len());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_topic_made_again_under_its_name_is_not_skipped_in_silence() {
    let bench = Bench::new("again");
    let topic = bench.topic("public.orders");
    bench.make_topic(&topic, 1).await;
    bench.produce(&topic, &[event("c", 1, Some("a"), 1), event("c", 2, Some("b"), 2)]);
    let memory = memory();
    let properties = bench.properties(&topic, &[]);
    catch_up(&properties, &memory, encoder()).await.expect("first life");
    let kafka = cdcd_testkit::services::kafka().expect("the broker");
    kafka.tool("org.apache.kafka.tools.TopicCommand", &["--delete", "--topic", &topic], "").expect("deleted");
    for _ in 0..50 {
        let admin = cdcd_kafka::admin::Admin::new(&ClientConfig::new(&bench.bootstrap)).expect("admin");
        if admin.topic(&topic).expect("asked").is_none() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    bench.make_topic(&topic, 1).await;
    bench.produce(&topic, &[event("c", 3, Some("c"), 3)]);
    match catch_up(&properties, &memory, encoder()).await {
        // Brokers that forget a deleted topic's group offsets give a clean start under the new id.
        Ok(()) => assert_eq!(memory.rows("ORDERS__LOG").len(), 3),
        Err(error) => assert!(matches!(error, SinkError::Guard { name: "E_TOPIC_RECREATED", .. }), "{error}"),
    }
}
