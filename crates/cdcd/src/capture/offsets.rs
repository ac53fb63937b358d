//! `cdcd offsets`: positions shown; a take-over from Debezium, and the way back.
//!
//! Debezium's offset says how far it has come at least. What it had sent beyond that is in the topics, so the log is read
//! again from there and compared with them, change by change: the position is behind the last change that is in Kafka.

mod connect;
mod delivered;
mod java_map;
mod walk;

use cdcd_capture::position::{Guarantee, LsnText, Position};
use cdcd_debezium::record::Record;
use cdcd_kafka::producer::{Guarantee as ProducerGuarantee, Producer};
use cdcd_pgoutput::Lsn;
use cdcd_postgres::connection::{Connection, Purpose};
use cdcd_postgres::replication;
use cdcd_postgres::slot::SlotInfo;
use cdcd_postgres::{control, slot};
use tokio_postgres::Client;

use super::store::{Identity, Store};
use crate::connector::properties::Properties;
use crate::connector::source::{KafkaNeed, SourceSettings};
use crate::exit::{Exit, Failure};
use connect::Offset;

/// How long Kafka may take for one record.
const WRITE_LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Verb {
    /// Print both positions.
    Show,
    /// Make our position from Debezium's.
    Import,
    /// Make Debezium's offset from our position.
    Export,
}

/// Runs the command; prints one JSON object.
///
/// # Errors
/// What is missing, what contradicts, and what Kafka or the server refuse.
pub async fn run(properties: &Properties, verb: Verb, dry_run: bool) -> Result<(), Failure> {
    let settings = SourceSettings::new(properties, KafkaNeed::Required)?;
    let store = Store::new(&settings);
    let position = store.peek(&settings).await?;
    let place = Place::of(properties)?;
    let answer = match (verb, &place) {
        (Verb::Import, Some(place)) => {
            let offsets = place.read(&settings).await?;
            import(&settings, &store, position, &offsets, dry_run).await?
        }
        (Verb::Export, Some(Place::Topic(topic))) => export(&settings, position, topic, dry_run).await?,
        (Verb::Export, Some(Place::File(path))) => {
            return Err(Failure::configuration(format!("offset.storage.file.filename: {path} is only read"))
                .hint("an offset is given back to a worker that keeps its offsets in a topic: --set offset.storage.topic=…"));
        }
        (Verb::Import | Verb::Export, None) => {
            return Err(Failure::configuration("offset.storage.topic: is required and missing")
                .hint("give the worker's file (--worker connect-distributed.properties), or --set offset.storage.topic=…")
                .hint("of a standalone worker or Debezium's engine: --set offset.storage.file.filename=…"));
        }
        (Verb::Show, place) => {
            let offsets = match place {
                Some(place) => Some(place.read(&settings).await?),
                None => None,
            };
            serde_json::json!({
                "cdcd": position,
                "debezium": offsets.and_then(|offsets| offsets.find(&settings).cloned()),
            })
        }
    };
    println!("{answer:#}");
    Ok(())
}

/// Where a worker keeps its offsets.
enum Place {
    Topic(String),
    File(String),
}

impl Place {
    fn of(properties: &Properties) -> Result<Option<Self>, Failure> {
        let text = |key| properties.non_empty(key).map(str::to_owned);
        match (text("offset.storage.topic"), text("offset.storage.file.filename")) {
            (Some(_), Some(_)) => Err(Failure::configuration(
                "offset.storage.topic and offset.storage.file.filename: a worker has one of them",
            )),
            (Some(topic), None) => Ok(Some(Place::Topic(topic))),
            (None, Some(path)) => Ok(Some(Place::File(path))),
            (None, None) => Ok(None),
        }
    }

    async fn read(&self, settings: &SourceSettings) -> Result<connect::Offsets, Failure> {
        match self {
            Place::Topic(topic) => connect::read(settings, topic).await,
            Place::File(path) => connect::read_file(path),
        }
    }
}

/// Topic of a worker's offsets in the file that comes with Kafka.
const USUAL_TOPIC: &str = "connect-offsets";

/// What shows that Debezium has run for this connector: its offset in a worker's topic. `None` also if the worker's topic
/// is not named and the usual one is not to be read.
///
/// # Errors
/// The named topic cannot be read.
pub(crate) async fn trace(settings: &SourceSettings) -> Result<Option<String>, Failure> {
    let topic = settings.offset_topic.as_deref();
    let offsets = match (connect::read(settings, topic.unwrap_or(USUAL_TOPIC)).await, topic) {
        (Ok(offsets), _) => offsets,
        (Err(error), Some(_)) => return Err(error),
        (Err(_), None) => return Ok(None),
    };
    let key = String::from_utf8_lossy(&connect::key(settings)).into_owned();
    Ok(offsets.find(settings).map(|_| format!("{} holds an offset of {key}", offsets.place())))
}

/// The slot, which nobody may be using.
async fn idle_slot(settings: &SourceSettings, control: &Client) -> Result<SlotInfo, Failure> {
    let name = &settings.slot.name;
    let Some(found) = slot::find(control, name).await? else {
        return Err(Failure::guard("E_SLOT_MISSING", format!("slot {name} does not exist"))
            .hint("both connectors must name the same slot.name: it keeps the log between the two"));
    };
    match found.active_pid {
        None => Ok(found),
        Some(pid) => Err(Failure::guard(
            "E_SLOT_ACTIVE",
            format!("slot {name} is in use by the server process {pid}: positions move while it runs"),
        )
        .hint("stop the connector first: PUT /connectors/<name>/stop or DELETE /connectors/<name> on Kafka Connect, SIGTERM for cdcd")),
    }
}

async fn import(
    settings: &SourceSettings,
    store: &Store,
    position: Option<Position>,
    offsets: &connect::Offsets,
    dry_run: bool,
) -> Result<serde_json::Value, Failure> {
    if let Some(position) = position {
        return Err(Failure::configuration(format!(
            "connector {} has a position already: {position}",
            settings.name
        ))
        .hint("nothing to take over: cdcd capture goes on there; another connector name has a position of its own"));
    }
    let offset = offsets.expect(settings)?;
    let control = control::connect(&settings.database, settings.query_timeout).await?;
    let slot = idle_slot(settings, &control).await?;
    let confirmed = slot.confirmed_flush_lsn.unwrap_or(Lsn::ZERO);
    let known = offset.done().unwrap_or(confirmed);
    if confirmed > known {
        return Err(super::start::slot_is_ahead(settings, confirmed, known));
    }
    let mut replication = Connection::connect(&settings.database, Purpose::Replication).await?;
    let system = replication::identify_system(&mut replication).await?;
    let stream_options = settings.stream_options(control::server_version(&control).await?).text();
    let delivered = delivered::read(settings, offset).await?;
    let unreadable = delivered.unreadable;
    if unreadable > 0 {
        tracing::warn!(
            records = unreadable,
            "records do not say which change they are (another converter than JSON, or transformed): what Debezium had \
             sent of them beyond its offset will be repeated"
        );
    }
    let walk = walk::Walk {
        settings,
        control: &control,
        delivered,
        end: slot::current_wal_flush_lsn(&control).await?,
    };
    replication::start(&mut replication, &settings.slot.name, known, &stream_options).await?;
    let found = walk.run(&mut replication, known).await?;
    let database = control
        .query_one("SELECT oid FROM pg_database WHERE datname = current_database()", &[])
        .await
        .map_err(|error| Failure::new(Exit::Dependency, error))?;
    let identity = Identity {
        system_id: system.system_id,
        timeline: system.timeline,
        db_oid: database.get(0),
        stream_options,
        lineage: 0,
        guarantee: Guarantee::AtLeastOnce,
        cluster_id: store.cluster_id(settings).await?,
        topics: std::collections::BTreeMap::new(),
        writer: settings.capture.run_id.clone(),
        writer_epoch: 0,
    };
    let position = store.position(&identity, found.point);
    if !dry_run {
        store.kept_or_made(settings).await?;
        let record = Record {
            topic: &store.topic,
            partition: None,
            timestamp_ms: None,
            key: Some(settings.name.as_bytes()),
            value: Some(&position.encode()),
            headers: &[],
        };
        write(settings, &record)?;
    }
    Ok(serde_json::json!({
        "written": !dry_run,
        "debezium": offset,
        "sent_beyond_its_offset": found.skipped,
        "will_be_repeated": found.repeated,
        "records_that_do_not_say": unreadable,
        "position": position,
    }))
}

async fn export(
    settings: &SourceSettings,
    position: Option<Position>,
    topic: &str,
    dry_run: bool,
) -> Result<serde_json::Value, Failure> {
    let Some(position) = position else {
        return Err(Failure::configuration(format!("connector {} has no position", settings.name)));
    };
    let control = control::connect(&settings.database, settings.query_timeout).await?;
    idle_slot(settings, &control).await?;
    stands_between_transactions(&position)?;
    let LsnText(lsn) = position.done_end_lsn;
    let offset = Offset::after_commit(lsn, position.wall_ms);
    let (key, value) = (connect::key(settings), offset.encode());
    if !dry_run {
        let record = Record {
            topic,
            partition: None,
            timestamp_ms: None,
            key: Some(&key),
            value: Some(&value),
            headers: &[],
        };
        write(settings, &record)?;
        // Given away: a capture that starts here without an import is stopped by E_POSITION_MISSING.
        let record = Record {
            topic: &cdcd_capture::position::topic(&settings.name),
            partition: None,
            timestamp_ms: None,
            key: Some(settings.name.as_bytes()),
            value: None,
            headers: &[],
        };
        write(settings, &record)?;
    }
    Ok(serde_json::json!({
        "written": !dry_run,
        "topic": topic,
        "key": String::from_utf8_lossy(&key),
        "debezium": offset,
        "position": position,
    }))
}

/// What the later attempts of a snapshot have read is left out of the stream by us, and would not be by Debezium.
fn stands_between_transactions(position: &Position) -> Result<(), Failure> {
    let snapshot = position.snapshot.as_ref();
    let unfinished = snapshot.is_some_and(|snapshot| !snapshot.complete || !snapshot.moments.is_empty());
    if position.open.is_none() && !unfinished {
        return Ok(());
    }
    Err(Failure::guard(
        "E_POSITION_OPEN",
        format!("the position {position} stands inside of a transaction or a snapshot, which Debezium's offset cannot say"),
    )
    .hint("let cdcd finish it: cdcd capture CONNECTOR --endpos now"))
}

fn write(settings: &SourceSettings, record: &Record<'_>) -> Result<(), Failure> {
    let producer = Producer::new(&settings.producer, &ProducerGuarantee::AtLeastOnce)?;
    producer.send(record)?;
    producer.drain(Some(WRITE_LIMIT))?;
    Ok(producer.check()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdcd_capture::position::{Moment, OpenTransaction, PrefixHash, SnapshotProgress};
    use std::collections::BTreeMap;

    fn position() -> Position {
        Position {
            v: cdcd_capture::position::VERSION,
            lineage: 0,
            system_id: "7400000000000000000".to_owned(),
            timeline: 1,
            db_oid: 5,
            slot: "slot".to_owned(),
            publication: "publication".to_owned(),
            done_end_lsn: LsnText(Lsn(99)),
            last_commit_lsn: None,
            last_commit_us: None,
            open: None,
            snapshot: None,
            guarantee: Guarantee::ExactlyOnce,
            stream_options: String::new(),
            cluster_id: String::new(),
            topics: BTreeMap::new(),
            writer: "run".to_owned(),
            writer_epoch: 1,
            wall_ms: 0,
        }
    }

    fn snapshot(complete: bool, moments: BTreeMap<u32, Moment>) -> Position {
        let (consistent_point, tables) = (LsnText(Lsn(1)), Vec::new());
        let progress = SnapshotProgress { consistent_point, attempt: 1, tables, moments, complete };
        Position { snapshot: Some(progress), ..position() }
    }

    #[test]
    fn a_position_inside_of_a_transaction_or_a_snapshot_is_not_given_away() {
        let lsn = LsnText(Lsn(120));
        let open = OpenTransaction {
            commit_lsn: lsn,
            xid: 7,
            ordinal_next: 3,
            prefix_hash: PrefixHash::default(),
            counts: None,
        };
        let moment = Moment { snapshot: "750:760:".to_owned(), horizon: lsn };
        let refused = [
            Position { open: Some(open), ..position() },
            snapshot(false, BTreeMap::new()),
            snapshot(true, BTreeMap::from([(2, moment)])),
        ];
        for position in refused {
            let failure = stands_between_transactions(&position).expect_err("it must finish first");
            let is_named = failure.render().contains("E_POSITION_OPEN");
            assert!(failure.exit == Exit::Guard && is_named, "{}", failure.render());
        }
        for position in [position(), snapshot(true, BTreeMap::new())] {
            assert!(stands_between_transactions(&position).is_ok(), "{position}");
        }
    }
}
