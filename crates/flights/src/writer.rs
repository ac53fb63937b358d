//! Row changes written to PostgreSQL: one call, one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use tokio::task::JoinHandle;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, NoTls, Statement, Transaction};

use crate::changes::Change;
use crate::random::Random;
use crate::simulator::{Airframe, Event};
use crate::state::StateVector;
use crate::world::AIRPORTS;

/// Rows of one INSERT into `flights`: enough to make the round trip cheap, few enough for one message.
const INSERT_ROWS_MAX: usize = 1_000;

/// Statements sent before the first answer is read. Not more: up to this number the futures of a group are polled, and so
/// sent, in their order.
const PIPELINE_STATEMENTS_MAX: usize = 30;

/// Bytes of each photo: above PostgreSQL's 2 kB, beyond which a value moves out of its row.
const PHOTO_BYTES: usize = 3_000;

/// Each how many aircraft have a photo: all of 50,000 would make 150 MB.
const PHOTO_EVERY: usize = 10;

const SECONDS_PER_DAY: i64 = 86_400;

const INSERT_FLIGHTS: &str = "\
    INSERT INTO flights (icao24, callsign, origin_country, time_position, last_contact, longitude, latitude, \
                         baro_altitude, on_ground, velocity, heading, vertical_rate) \
    SELECT icao24, callsign, origin_country, to_timestamp(time_position) AT TIME ZONE 'UTC', \
           to_timestamp(last_contact) AT TIME ZONE 'UTC', longitude, latitude, baro_altitude, on_ground, velocity, \
           heading, vertical_rate \
      FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::float[], $7::float[], \
                  $8::float[], $9::boolean[], $10::float[], $11::float[], $12::float[]) \
        AS s (icao24, callsign, origin_country, time_position, last_contact, longitude, latitude, baro_altitude, \
              on_ground, velocity, heading, vertical_rate) \
        ON CONFLICT DO NOTHING";

/// `track` is a well-known-text point; `version` counts the changes of the row.
const INSERT_CURRENT: &str = "\
    INSERT INTO flights_current (icao24, callsign, origin_country, time_position, last_contact, longitude, latitude, \
        baro_altitude, on_ground, velocity, heading, vertical_rate, geo_altitude, squawk, spi, position_source, \
        category, track, updated_at, version) \
    VALUES ($1, $2, $3, to_timestamp($4::bigint) AT TIME ZONE 'UTC', to_timestamp($5::bigint) AT TIME ZONE 'UTC', $6, \
        $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, 'POINT(' || $6 || ' ' || $7 || ')', clock_timestamp(), 1)";

const UPDATE_CURRENT: &str = "\
    UPDATE flights_current SET callsign = $2, origin_country = $3, \
        time_position = to_timestamp($4::bigint) AT TIME ZONE 'UTC', \
        last_contact = to_timestamp($5::bigint) AT TIME ZONE 'UTC', longitude = $6, latitude = $7, baro_altitude = $8, \
        on_ground = $9, velocity = $10, heading = $11, vertical_rate = $12, geo_altitude = $13, squawk = $14, \
        spi = $15, position_source = $16, category = $17, track = 'POINT(' || $6 || ' ' || $7 || ')', \
        updated_at = clock_timestamp(), version = version + 1 \
    WHERE icao24 = $1";

const DELETE_CURRENT: &str = "DELETE FROM flights_current WHERE icao24 = $1";

const INSERT_EVENT: &str = "\
    INSERT INTO flight_events (occurred_at, icao24, kind, airport, squawk) \
    VALUES (to_timestamp($1::bigint), $2, ($3::text)::flight_event_kind, $4, $5)";

const UPDATE_AIRCRAFT: &str = "UPDATE aircraft SET landings = landings + 1 WHERE icao24 = $1";

/// Types of the parameters, where PostgreSQL would choose others (a varchar column, or a cast).
#[rustfmt::skip]
const CURRENT_TYPES: &[Type] = &[
    Type::TEXT, Type::TEXT, Type::TEXT, Type::INT8, Type::INT8, Type::FLOAT8, Type::FLOAT8, Type::FLOAT8, Type::BOOL,
    Type::FLOAT8, Type::FLOAT8, Type::FLOAT8, Type::FLOAT8, Type::TEXT, Type::BOOL, Type::INT2, Type::INT2,
];
const EVENT_TYPES: &[Type] = &[Type::INT8, Type::TEXT, Type::TEXT, Type::TEXT, Type::TEXT];

/// How many rows were changed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Inserted rows.
    pub inserted: u64,
    /// Updated rows.
    pub updated: u64,
    /// Deleted rows.
    pub deleted: u64,
    /// Committed transactions.
    pub transactions: u64,
}

impl Tally {
    /// All changed rows.
    pub fn rows(&self) -> u64 {
        self.inserted + self.updated + self.deleted
    }

    /// Adds another tally.
    pub fn add(&mut self, other: Self) {
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.deleted += other.deleted;
        self.transactions += other.transactions;
    }
}

struct Statements {
    insert_flights: Statement,
    insert_current: Statement,
    update_current: Statement,
    delete_current: Statement,
    insert_event: Statement,
    update_aircraft: Statement,
}

/// A connection to the feeder's database.
pub struct Writer {
    client: Client,
    connection: JoinHandle<Result<(), tokio_postgres::Error>>,
    statements: Statements,
    /// Days since 1970 with a partition of `flight_events`.
    days: BTreeSet<i64>,
    extra_columns: u32,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Writer {
    /// Connects (without TLS: the feeder stands beside its database) and makes the tables that are missing.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn connect(url: &str) -> Result<Self> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("database: connect")?;
        let connection = tokio::spawn(connection);
        client.batch_execute(include_str!("schema.sql")).await.context("database: make the tables")?;
        let statements = prepare(&client).await.context("database: prepare")?;
        Ok(Self { client, connection, statements, days: BTreeSet::new(), extra_columns: 0 })
    }

    /// Fills `airports` and `aircraft`; rows that are there stay as they are.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn fill_dimensions(&mut self, airframes: impl Iterator<Item = &Airframe>) -> Result<Tally> {
        let mut tally = Tally { transactions: 1, ..Tally::default() };
        let transaction = self.client.transaction().await?;
        for airport in AIRPORTS {
            let (latitude, longitude) = (airport.latitude.to_string(), airport.longitude.to_string());
            let sql = "INSERT INTO airports VALUES ($1, $2, $3, $4, ($5::text)::numeric, ($6::text)::numeric, $7, \
                       ARRAY[$1, $2]::text[], jsonb_build_object('high', $7 > 5000, 'name', $3)) ON CONFLICT DO NOTHING";
            let types = [Type::TEXT, Type::TEXT, Type::TEXT, Type::TEXT, Type::TEXT, Type::TEXT, Type::INT4];
            let insert = transaction.prepare_typed(sql, &types).await?;
            let a = airport;
            let parameters: [&(dyn ToSql + Sync); 7] =
                [&a.iata, &a.icao, &a.name, &a.country, &latitude, &longitude, &a.elevation_ft];
            tally.inserted += transaction.execute(&insert, &parameters).await.context("airports")?;
        }
        let insert = prepare_aircraft(&transaction).await?;
        for (number, airframe) in airframes.enumerate() {
            tally.inserted +=
                insert_aircraft(&transaction, &insert, number, airframe).await.context("aircraft")?;
        }
        transaction.commit().await?;
        Ok(tally)
    }

    /// The aircraft that `flights_current` holds, with the time of their last contact.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn present(&self) -> Result<BTreeMap<String, i64>> {
        let sql = "SELECT icao24, extract(epoch FROM last_contact)::bigint FROM flights_current";
        let rows = self.client.query(sql, &[]).await.context("flights_current")?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// The time of the latest report in `flights`, seconds since 1970.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn latest(&self) -> Result<Option<i64>> {
        let sql = "SELECT extract(epoch FROM max(last_contact))::bigint FROM flights";
        Ok(self.client.query_one(sql, &[]).await.context("flights")?.try_get(0)?)
    }

    /// Applies the changes in one transaction: first the reports, then the others in their order.
    ///
    /// # Errors
    /// When the server refuses, or when a row that should be there is not.
    pub async fn apply(&mut self, changes: &[Change]) -> Result<Tally> {
        self.make_partitions(changes).await?;
        let statements = &self.statements;
        let transaction = self.client.transaction().await?;
        let mut tally = Tally { transactions: 1, ..Tally::default() };
        let reports: Vec<&StateVector> = changes.iter().filter_map(report).collect();
        for rows in reports.chunks(INSERT_ROWS_MAX) {
            tally.inserted += insert_reports(&transaction, &statements.insert_flights, rows).await?;
        }
        let others: Vec<&Change> = changes.iter().filter(|change| report(change).is_none()).collect();
        for group in others.chunks(PIPELINE_STATEMENTS_MAX) {
            let sent = group.iter().map(|change| write(&transaction, statements, change));
            for (change, rows) in group.iter().zip(try_join_all(sent).await?) {
                match change {
                    Change::Report(_) | Change::Appear(_) | Change::Event(_) => tally.inserted += rows,
                    Change::Move(_) | Change::Landed(_) => tally.updated += rows,
                    Change::Vanish(_) => tally.deleted += rows,
                }
            }
        }
        transaction.commit().await.context("commit")?;
        Ok(tally)
    }

    /// Makes the partitions of `flight_events` for the days of these changes.
    async fn make_partitions(&mut self, changes: &[Change]) -> Result<()> {
        for change in changes {
            let Change::Event(event) = change else { continue };
            let day = event.at.div_euclid(SECONDS_PER_DAY);
            if !self.days.insert(day) {
                continue;
            }
            let sql = "SELECT to_char(date '1970-01-01' + $1::int, 'YYYYMMDD'), (date '1970-01-01' + $1::int)::text, \
                              (date '1970-01-01' + $1::int + 1)::text";
            let row = self.client.query_one(sql, &[&i32::try_from(day).context("day")?]).await?;
            let (name, from, to): (String, String, String) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let sql = format!(
                "CREATE TABLE IF NOT EXISTS flight_events_{name} PARTITION OF flight_events \
                 FOR VALUES FROM ('{from} 00:00:00+00') TO ('{to} 00:00:00+00')"
            );
            self.client.batch_execute(&sql).await.context("flight_events: make a partition")?;
        }
        Ok(())
    }

    /// Empties `flight_events`.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn truncate_events(&mut self) -> Result<()> {
        self.client.batch_execute("TRUNCATE flight_events").await.context("TRUNCATE flight_events")
    }

    /// Adds a column to `flights_current`, once each call; returns its name.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn add_column(&mut self) -> Result<String> {
        self.extra_columns += 1;
        let name = format!("note_{}", self.extra_columns);
        let sql = format!("ALTER TABLE flights_current ADD COLUMN IF NOT EXISTS {name} text DEFAULT 'none'");
        self.client.batch_execute(&sql).await.with_context(|| format!("flights_current: add {name}"))?;
        Ok(name)
    }
}

fn report(change: &Change) -> Option<&StateVector> {
    match change {
        Change::Report(state) => Some(state),
        _ => None,
    }
}

async fn prepare(client: &Client) -> Result<Statements> {
    Ok(Statements {
        insert_flights: client.prepare(INSERT_FLIGHTS).await?,
        insert_current: client.prepare_typed(INSERT_CURRENT, CURRENT_TYPES).await?,
        update_current: client.prepare_typed(UPDATE_CURRENT, CURRENT_TYPES).await?,
        delete_current: client.prepare_typed(DELETE_CURRENT, &[Type::TEXT]).await?,
        insert_event: client.prepare_typed(INSERT_EVENT, EVENT_TYPES).await?,
        update_aircraft: client.prepare_typed(UPDATE_AIRCRAFT, &[Type::TEXT]).await?,
    })
}

/// One INSERT of many rows, as arrays of columns.
async fn insert_reports(
    transaction: &Transaction<'_>,
    insert: &Statement,
    rows: &[&StateVector],
) -> Result<u64> {
    fn column<'a, T>(rows: &[&'a StateVector], field: impl Fn(&'a StateVector) -> T) -> Vec<T> {
        rows.iter().map(|row| field(row)).collect()
    }
    let parameters: [&(dyn ToSql + Sync); 12] = [
        &column(rows, |row| row.icao24.as_str()),
        &column(rows, |row| row.callsign.as_deref()),
        &column(rows, |row| row.origin_country.as_str()),
        &column(rows, |row| row.time_position),
        &column(rows, |row| row.last_contact),
        &column(rows, |row| row.longitude),
        &column(rows, |row| row.latitude),
        &column(rows, |row| row.baro_altitude),
        &column(rows, |row| row.on_ground),
        &column(rows, |row| row.velocity),
        &column(rows, |row| row.heading),
        &column(rows, |row| row.vertical_rate),
    ];
    transaction.execute(insert, &parameters).await.context("flights")
}

/// One change but a report; returns the number of rows, which is 1 (an aircraft of a live feed may be unknown: 0).
fn write<'a>(
    transaction: &'a Transaction<'_>,
    statements: &'a Statements,
    change: &'a Change,
) -> Pin<Box<dyn Future<Output = Result<u64>> + Send + 'a>> {
    Box::pin(async move {
        match change {
            Change::Appear(state) => write_current(transaction, &statements.insert_current, state).await,
            Change::Move(state) => {
                let rows = write_current(transaction, &statements.update_current, state).await?;
                ensure!(
                    rows == 1,
                    "flights_current: {} is gone: does somebody else write this table?",
                    state.icao24
                );
                Ok(rows)
            }
            Change::Vanish(icao24) => {
                transaction.execute(&statements.delete_current, &[icao24]).await.context("flights_current")
            }
            Change::Landed(icao24) => {
                transaction.execute(&statements.update_aircraft, &[icao24]).await.context("aircraft")
            }
            Change::Event(Event { at, icao24, kind, airport, squawk }) => {
                let parameters: [&(dyn ToSql + Sync); 5] = [at, icao24, &kind.label(), airport, squawk];
                transaction.execute(&statements.insert_event, &parameters).await.context("flight_events")
            }
            Change::Report(state) => insert_reports(transaction, &statements.insert_flights, &[state]).await,
        }
    })
}

async fn write_current(transaction: &Transaction<'_>, statement: &Statement, s: &StateVector) -> Result<u64> {
    let parameters: [&(dyn ToSql + Sync); 17] = [
        &s.icao24,
        &s.callsign,
        &s.origin_country,
        &s.time_position,
        &s.last_contact,
        &s.longitude,
        &s.latitude,
        &s.baro_altitude,
        &s.on_ground,
        &s.velocity,
        &s.heading,
        &s.vertical_rate,
        &s.geo_altitude,
        &s.squawk,
        &s.spi,
        &s.position_source,
        &s.category,
    ];
    transaction.execute(statement, &parameters).await.context("flights_current")
}

async fn prepare_aircraft(transaction: &Transaction<'_>) -> Result<Statement> {
    let sql = "INSERT INTO aircraft (icao24, registration, type_code, category, country, serial_number, seats, \
                                     mass_tonnes, features, engines, photo, built) \
               VALUES ($1, $2, $3, ($4::text)::aircraft_category, $5, ($6::text)::uuid, $7, $8::int / 1000.0, \
                       jsonb_build_object('wifi', $9::boolean, 'type', $3::text), ARRAY[1, 2], $10, \
                       date '1995-01-01' + $11::int) \
               ON CONFLICT DO NOTHING";
    use Type as T;
    let types =
        [T::TEXT, T::TEXT, T::TEXT, T::TEXT, T::TEXT, T::TEXT, T::INT2, T::INT4, T::BOOL, T::BYTEA, T::INT4];
    transaction.prepare_typed(sql, &types).await.context("aircraft")
}

async fn insert_aircraft(
    transaction: &Transaction<'_>,
    insert: &Statement,
    number: usize,
    airframe: &Airframe,
) -> Result<u64> {
    // By the number alone: what an aircraft is made of does not depend on the seed.
    let mut random = Random::new(number as u64, 0);
    let category = match airframe.kind.category {
        2 => "light",
        3 => "small",
        4 => "large",
        5 => "high_vortex",
        6 => "heavy",
        _ => "unknown",
    };
    let serial = format!("{:016x}{:016x}", random.next_u64(), random.next_u64());
    let mass = i32::try_from(airframe.kind.mass_kg).context("mass")?;
    let photo: Option<Vec<u8>> = number
        .is_multiple_of(PHOTO_EVERY)
        .then(|| (0..PHOTO_BYTES.div_ceil(8)).flat_map(|_| random.next_u64().to_le_bytes()).collect());
    let (wifi, built) = (random.chance(0.5), i32::try_from(random.between(0, 11_000)).unwrap_or(0));
    let parameters: [&(dyn ToSql + Sync); 11] = [
        &airframe.icao24,
        &airframe.registration,
        &airframe.kind.code,
        &category,
        &airframe.country,
        &serial,
        &airframe.kind.seats,
        &mass,
        &wifi,
        &photo,
        &built,
    ];
    Ok(transaction.execute(insert, &parameters).await?)
}
