use std::thread;

use anyhow::Result;
use cdcd_testkit::services::{self, Running, Service};

/// Password login over TCP is SCRAM, decoding is logical, and a database goes away together with its slots.
fn check_postgres(major: u16) -> Result<()> {
    let server = services::postgres(major)?;
    let number = server.psql("postgres", "SHOW server_version_num")?;
    assert_eq!(number.parse::<u32>()? / 10_000, u32::from(major));
    assert_eq!(server.psql("postgres", "SHOW wal_level")?, "logical");
    assert_eq!(server.psql("postgres", "SHOW synchronous_commit")?, "on");
    let verifier = "SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = 'postgres'";
    assert_eq!(server.psql("postgres", verifier)?, "t");

    let mut stranger = server.clone();
    stranger.password = "wrong".to_owned();
    let refused = format!("{:#}", stranger.psql("postgres", "SELECT 1").expect_err("wrong password"));
    assert!(refused.contains("password authentication failed"), "{refused}");

    let database = server.fresh_database("testkit")?;
    let name = database.name.clone();
    database.psql("SELECT pg_create_logical_replication_slot(current_database(), 'pgoutput')")?;
    database.remove()?;
    let left = format!(
        "SELECT (SELECT count(*) FROM pg_database WHERE datname = '{name}')
              + (SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{name}')"
    );
    assert_eq!(server.psql("postgres", &left)?, "0");
    Ok(())
}

#[test]
fn postgres_15_of_the_distribution_asks_for_scram_and_decodes() {
    check_postgres(15).unwrap();
}

#[test]
fn postgres_17_of_npm_asks_for_scram_and_decodes() {
    check_postgres(17).unwrap();
}

#[test]
fn two_clusters_are_two_servers() {
    let (main, other) =
        (services::postgres(15).unwrap(), services::postgres_cluster("emulator", 15).unwrap());
    assert_ne!(main.port, other.port);
    let identity = "SELECT system_identifier FROM pg_control_system()";
    assert_ne!(main.psql("postgres", identity).unwrap(), other.psql("postgres", identity).unwrap());
}

#[test]
fn concurrent_callers_get_the_same_server() {
    let ports: Vec<u16> = thread::scope(|scope| {
        let callers: Vec<_> = (0..4).map(|_| scope.spawn(|| services::postgres(15).unwrap().port)).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    assert!(ports.iter().all(|port| *port == ports[0]), "{ports:?}");
    let found = services::find(&"postgres15".parse::<Service>().unwrap()).unwrap();
    assert!(matches!(found, Some(Running::Postgres(server)) if server.port == ports[0]));
}

#[test]
fn kafka_gives_back_what_was_produced() {
    let kafka = services::kafka().unwrap();
    let topic = kafka.unique_prefix("testkit").unwrap();
    kafka.tool("org.apache.kafka.tools.ConsoleProducer", &["--topic", &topic], "one\ntwo\nthree\n").unwrap();
    let args = ["--topic", &topic, "--from-beginning", "--max-messages", "3", "--timeout-ms", "20000"];
    let consumed = kafka.tool("org.apache.kafka.tools.consumer.ConsoleConsumer", &args, "").unwrap();
    assert_eq!(consumed, "one\ntwo\nthree\n");
}
