use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use cdcd_flights::changes::Changes;
use cdcd_flights::feed::{self, Options};
use cdcd_flights::simulator::Simulator;
use cdcd_flights::writer::{Tally, Writer};
use cdcd_testkit::services::{self, Database};

const START: i64 = 1_700_000_000;

fn options(changes: u64) -> Options {
    Options {
        rate: 1e6,
        duration: Some(Duration::from_secs(60)),
        changes: Some(changes),
        big_every: None,
        big_rows: 0,
        truncate_every: None,
        ddl_every: None,
    }
}

/// Runs the feeder for so many row changes; the tally is that of the loop alone, without the dimensions.
async fn feed(database: &Database, seed: u64, options: &Options) -> Result<(Tally, Changes)> {
    let simulator = Simulator::new(seed, 60, START);
    let mut writer = Writer::connect(&database.url()).await?;
    writer.fill_dimensions(simulator.airframes()).await?;
    let present = writer.present().await?;
    let mut changes = Changes::new(seed, simulator, "c:60,u:35,d:5".parse()?, present);
    let tally = feed::run(&mut writer, &mut changes, options, std::future::pending()).await?;
    Ok((tally, changes))
}

/// What does not depend on the clock, of all tables, as one hash each.
fn content(database: &Database) -> Result<BTreeMap<&'static str, String>> {
    let hash = |rows: &str| {
        database.psql(&format!("SELECT md5(string_agg(s::text, chr(10) ORDER BY s::text)) FROM ({rows}) s"))
    };
    let flights = "SELECT icao24, callsign, origin_country, time_position, last_contact, longitude, latitude, \
                          baro_altitude, on_ground, velocity, heading, vertical_rate FROM flights";
    let current =
        "SELECT icao24, callsign, last_contact, geo_altitude, squawk, track, version FROM flights_current";
    Ok(BTreeMap::from([
        ("flights", hash(flights)?),
        ("flights_current", hash(current)?),
        ("flight_events", hash("SELECT * FROM flight_events")?),
        ("aircraft", hash("SELECT * FROM aircraft")?),
        ("airports", hash("SELECT * FROM airports")?),
    ]))
}

#[tokio::test]
async fn equal_seeds_leave_equal_tables() {
    let server = services::postgres(15).unwrap();
    let databases = [(); 3].map(|()| server.fresh_database("flights").unwrap());
    let [a, b, other] = &databases;
    for (database, seed) in [(a, 42), (b, 42), (other, 43)] {
        feed(database, seed, &options(6_000)).await.unwrap();
    }
    assert_eq!(content(a).unwrap(), content(b).unwrap());
    let (one, two) = (content(a).unwrap(), content(other).unwrap());
    assert_ne!(one["flights"], two["flights"]);
    assert_eq!(one["airports"], two["airports"]);
}

#[tokio::test]
async fn tables_hold_what_the_tally_says() {
    let database = services::postgres(17).unwrap().fresh_database("flights").unwrap();
    let (tally, changes) = feed(&database, 7, &options(20_000)).await.unwrap();
    let count =
        |from: &str| database.psql(&format!("SELECT count(*) FROM {from}")).unwrap().parse::<u64>().unwrap();
    assert!(tally.rows() >= 20_000 && tally.updated > 0 && tally.deleted > 0, "{tally:?}");
    assert_eq!(count("flights_current"), changes.present() as u64);
    // Each row that is in flights_current now, or was deleted from it, was inserted once.
    let inserted = count("flights") + count("flight_events") + count("flights_current") + tally.deleted;
    assert_eq!(inserted, tally.inserted);
    let (departed, landed, airborne) = changes.simulator().traffic();
    assert_eq!(departed, landed + airborne);
    assert!(landed > 0);
    assert_eq!(count("flight_events WHERE kind = 'landing'"), landed);
    let landings = database.psql("SELECT sum(landings) FROM aircraft").unwrap();
    assert_eq!(landings, landed.to_string());
    let stamped = "flights WHERE inserted_by = 'postgres' AND inserted_at > now() - interval '5 minutes'";
    assert_eq!(count(stamped), count("flights"));
    assert_eq!(count("aircraft WHERE length(photo) = 3000"), 6);
}

#[tokio::test]
async fn second_run_goes_on_where_the_first_one_stopped() {
    let database = services::postgres(15).unwrap().fresh_database("flights").unwrap();
    feed(&database, 1, &options(3_000)).await.unwrap();
    // Other traffic by the same aircraft: rows that the first run left are updated, not inserted again.
    feed(&database, 2, &options(3_000)).await.unwrap();
}

#[tokio::test]
async fn schedule_brings_big_transactions_truncates_and_new_columns() {
    let database = services::postgres(15).unwrap().fresh_database("flights").unwrap();
    let every = Some(Duration::from_millis(300));
    let options = Options {
        rate: 500.0,
        duration: Some(Duration::from_millis(1_500)),
        changes: None,
        big_every: every,
        big_rows: 5_000,
        truncate_every: every,
        ddl_every: every,
    };
    let (tally, _) = feed(&database, 5, &options).await.unwrap();
    let one = |sql: &str| database.psql(sql).unwrap().parse::<u64>().unwrap();
    let biggest = "SELECT max(n) FROM (SELECT count(*) AS n FROM flights GROUP BY xmin::text) s";
    assert_eq!(one(biggest), 5_000);
    assert!(tally.inserted > 5_000);
    let columns = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'flights_current'::regclass AND attname LIKE 'note_%'";
    assert!((1..=5).contains(&one(columns)), "{}", one(columns));
}

#[test]
fn program_keeps_its_rate_and_stops_on_sigterm_with_what_it_said() {
    let database = services::postgres(15).unwrap().fresh_database("flights").unwrap();
    let run = || -> Result<(String, Duration)> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flights"));
        command.args(["--rate", "400/s", "--seed", "1", "--aircraft", "50"]);
        let child = command.env("FLIGHTS_DATABASE_URL", database.url()).stderr(Stdio::piped()).spawn()?;
        let started = Instant::now();
        std::thread::sleep(Duration::from_secs(3));
        let kill = Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status()?;
        ensure!(kill.success(), "kill");
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "{}", output.status);
        Ok((String::from_utf8(output.stderr)?, started.elapsed()))
    };
    let (said, elapsed) = run().unwrap();
    let summary = said.lines().last().context("nothing was said").unwrap();
    let rows: f64 = summary.split(' ').nth(1).unwrap().parse().unwrap();
    let rate = rows / elapsed.as_secs_f64();
    // The first fill takes its part of the three seconds; a loaded machine some more.
    assert!((100.0..=440.0).contains(&rate), "{rate}/s: {said}");
    let count = |filter: &str| {
        database.psql(&format!("SELECT count(*) FROM flights {filter}")).unwrap().parse::<u64>().unwrap()
    };
    let first = count("");
    assert!(first > 100, "{said}");
    // The same seed again: time goes on, so that no report meets one of the first run.
    let latest = database.psql("SELECT max(last_contact) FROM flights").unwrap();
    let mut again = Command::new(env!("CARGO_BIN_EXE_flights"));
    again.args(["--rate", "100000/s", "--seed", "1", "--aircraft", "50", "--changes", "1000"]);
    assert!(again.env("FLIGHTS_DATABASE_URL", database.url()).status().unwrap().success());
    assert_eq!(count(&format!("WHERE last_contact <= '{latest}'")), first);
    assert!(count("") > first + 400);
}
