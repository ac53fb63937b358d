use std::thread;
use std::time::Duration;

use anyhow::Result;
use cdcd_testkit::services::{self, Running, Service, Signal};
use cdcd_testkit::wait_until;

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

/// A killed broker of a cluster comes back on its address, with what it had.
#[test]
fn a_broker_of_a_cluster_can_be_killed_and_comes_back() {
    let cluster = services::kafka_cluster("testkit", 1).unwrap();
    let topic = cluster.kafka.unique_prefix("killed").unwrap();
    cluster.kafka.tool("org.apache.kafka.tools.ConsoleProducer", &["--topic", &topic], "one\ntwo\n").unwrap();
    let broker = cluster.brokers[0].service.clone();
    services::signal(&broker, Signal::Kill).unwrap();
    assert!(services::find(&broker).unwrap().is_none());
    let twice = services::signal(&broker, Signal::Kill).unwrap_err();
    assert!(format!("{twice:#}").contains("does not live any more"), "{twice:#}");

    let Running::Kafka(again) = services::up(&broker).unwrap() else { panic!("not Kafka") };
    assert_eq!(again.bootstrap_servers, cluster.kafka.bootstrap_servers);
    let args = ["--topic", &topic, "--from-beginning", "--max-messages", "2", "--timeout-ms", "20000"];
    let consumed = again.tool("org.apache.kafka.tools.consumer.ConsoleConsumer", &args, "").unwrap();
    assert_eq!(consumed, "one\ntwo\n");
    services::wipe(&broker).unwrap();
}

/// A copy is the same server at an earlier time, and can follow the original until it is promoted.
#[test]
fn a_copied_cluster_is_a_backup_and_a_standby() {
    let primary = services::postgres_cluster("original", 15).unwrap();
    let (service, copy) = (primary.service(), "copied-postgres15".parse::<Service>().unwrap());
    primary
        .psql("postgres", "DROP TABLE IF EXISTS t; CREATE TABLE t (id int); INSERT INTO t VALUES (1)")
        .unwrap();
    let running = services::copy_postgres(&service, &copy).unwrap_err();
    assert!(format!("{running:#}").contains("still runs"), "{running:#}");
    services::down(&service).unwrap();
    services::down(&copy).unwrap();
    services::copy_postgres(&service, &copy).unwrap();
    let primary = services::postgres_cluster("original", 15).unwrap();
    services::follow_postgres(&copy, &primary).unwrap();
    primary.psql("postgres", "INSERT INTO t VALUES (2)").unwrap();

    let standby = services::postgres_cluster("copied", 15).unwrap();
    assert_ne!(standby.port, primary.port);
    wait_until("the row on the standby", Duration::from_secs(20), || {
        Ok((standby.psql("postgres", "SELECT count(*) FROM t")? == "2").then_some(()))
    })
    .unwrap();
    assert_eq!(standby.psql("postgres", "SELECT pg_promote()").unwrap(), "t");
    standby.psql("postgres", "INSERT INTO t VALUES (3)").unwrap();
    let timeline = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 8, 1)";
    assert_eq!(
        (standby.psql("postgres", timeline).unwrap(), primary.psql("postgres", timeline).unwrap()),
        ("2".into(), "1".into())
    );

    // The sudden end: what was committed is there after recovery.
    services::signal(&service, Signal::Quit).unwrap();
    let primary = services::postgres_cluster("original", 15).unwrap();
    assert_eq!(primary.psql("postgres", "SELECT count(*) FROM t").unwrap(), "2");
    services::wipe(&copy).unwrap();
    services::wipe(&service).unwrap();
}
