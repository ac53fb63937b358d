//! Faults that end with a guard, of the kinds that a seed without another ending may have.

use cdcd::capture::publication::Published;
use cdcd_sink::destination::ErrorKind;
use cdcd_sink::offset_token::channel_name;

use crate::faults::{Fault, kill_all, large};
use crate::kafka::Record;
use crate::postgres::{QUALIFIED, publication};
use crate::snowflake::Twist;
use crate::time::{MINUTE, SECOND};
use crate::world::{Event, World};

use Fault::*;

const ENDING: &[Fault] = &[
    TableRecreated,
    TableUnpublished,
    PublicationChanged,
    PublicationDropped,
    SpoolCorrupt,
    RowFilter,
    RowFilter,
    TokensWentBack,
    TokensWentBack,
    ChannelsForgotten,
    ChannelsForgotten,
    ChannelsContended,
    LedgerContended,
    RowsDoubled,
    RowsLost,
    RecordMalformed,
    RecordStrange,
    RowTooLarge,
    RequestRefused,
];

/// Draws one for a seed that has no ending yet. The draws are its own: what the other seeds are stays as it was.
pub(crate) fn draw(world: &mut World) {
    let mut rng = fastrand::Rng::with_seed(world.seed.wrapping_mul(0xD134_2543_DE82_EF95) ^ 0x0E4D);
    if rng.u8(0..100) < 90 {
        let at = rng.i64(8 * MINUTE..42 * MINUTE);
        world.push(at, Event::Fault(ENDING[rng.usize(0..ENDING.len())]));
    }
}

/// Faults of the source, while a capture streams.
pub(crate) fn source(world: &mut World, fault: Fault) {
    if fault == SpoolCorrupt {
        if world.pg.streams_from.is_some() {
            kill_all(world);
            (world.facts.spool_corrupt, world.facts.spool_was_corrupt) = (true, true);
            world.fired("spool corrupt");
            let then = world.now + world.between(10 * SECOND, MINUTE);
            world.push(then, Event::Fault(SlowLarge));
        }
        return;
    }
    // A process that is away finds it at its start; one that streams looks now and then.
    if world.rng.bool() {
        kill_all(world);
    }
    publication_changes(world, fault);
}

fn publication_changes(world: &mut World, fault: Fault) {
    let Some(mut found) = world.pg.publication.clone() else { return };
    let table = world.rng.usize(0..2);
    let name = QUALIFIED[table];
    let (what, guard) = match fault {
        TableRecreated => {
            found.tables.remove(name);
            world.pg.oids[table] += 1_000;
            ("table made again", "E_TABLE_RECREATED")
        }
        TableUnpublished => {
            found.tables.remove(name);
            ("table unpublished", "E_TABLE_UNPUBLISHED")
        }
        PublicationChanged => {
            narrow(&mut found, name, world.rng.bool());
            ("publication changed", "E_PUBLICATION_CHANGED")
        }
        _ => ("publication dropped", "E_PUBLICATION_HISTORY"),
    };
    world.pg.publication = match fault {
        PublicationDropped if world.rng.bool() => None,
        PublicationDropped => Some(Published { oid: found.oid + 1, ..publication() }),
        _ => Some(found),
    };
    world.facts.publication_guard = Some(guard);
    world.facts.publication_changed_at = world.now;
    world.fired(what);
}

fn narrow(publication: &mut Published, table: &str, by_filter: bool) {
    if !by_filter {
        return publication.operations.retain(|operation| operation != "delete");
    }
    if let Some(table) = publication.tables.get_mut(table) {
        table.filter = Some("(id > 1000)".to_owned());
    }
}

/// Faults of the destination, and of what others write.
pub(crate) fn sink(world: &mut World, fault: Fault) {
    world.settle();
    if matches!(fault, TokensWentBack | ChannelsForgotten) {
        end_sleepers(world);
    }
    match fault {
        TokensWentBack => tokens_go_back(world),
        ChannelsForgotten => channels_are_forgotten(world),
        ChannelsContended => {
            world.snow.channels_contended = true;
            world.fired("channels contended for");
        }
        LedgerContended => {
            world.snow.ledger_contended = true;
            world.fired("ledger contended for");
        }
        RowsDoubled | RowsLost => {
            world.snow.twist_next = Some(if fault == RowsLost { Twist::Lose } else { Twist::Double });
            world.facts.rows_miscounted = true;
            world.fired(if fault == RowsLost { "row lost in silence" } else { "row inserted twice" });
        }
        RowTooLarge | RequestRefused => {
            let is_large = fault == RowTooLarge;
            world.snow.refuse_next = Some(if is_large { ErrorKind::TooLarge } else { ErrorKind::Definite });
            world.facts.refusal = Some(if is_large { "E_ROW_TOO_LARGE" } else { "E_DESTINATION" });
            world.fired(if is_large { "row too large" } else { "request refused" });
        }
        _ => foreign_record(world, fault),
    }
    // There is something to land.
    large(world);
}

/// A process that sleeps since before the newest tokens would take the old ones for the newest, in the moment between
/// its awakening and the group's word. Nobody whose partitions these are knows less: it is a limit of these guards.
fn end_sleepers(world: &mut World) {
    let now = world.now;
    for id in 0..world.sinks.len() {
        world.with_sink(id, |node, _| {
            if now < node.paused_until {
                node.revoke();
                node.alive = false;
            }
        });
    }
}

/// Channels as they were before the group heard of their newest tokens: a table that was restored.
fn tokens_go_back(world: &mut World) {
    let invalid = world.rng.bool();
    let mut any = false;
    for (place, (_, metadata)) in &world.group {
        let durable = metadata.split(' ').nth(3).and_then(|word| word.split_once(':'));
        let Some(durable) = durable.and_then(|(_, offset)| offset.parse().ok()) else { continue };
        let channel = channel_name("sink", world.kafka.topics[place.0].id, 0, place.1 as i32);
        any |= world.snow.go_back(&channel, durable, invalid);
    }
    if any {
        world.facts.tokens_went_back = true;
        world.fired("tokens went back");
    }
}

/// Snowflake forgets channels that nobody used for long.
fn channels_are_forgotten(world: &mut World) {
    let mut any = false;
    for (place, (offset, _)) in &world.group {
        let channel = channel_name("sink", world.kafka.topics[place.0].id, 0, place.1 as i32);
        any |= world.snow.forget(&channel, *offset);
    }
    if any {
        world.facts.channels_forgotten = true;
        world.fired("channels forgotten");
    }
}

/// Somebody else writes into a topic of ours.
fn foreign_record(world: &mut World, fault: Fault) {
    let topic = world.rng.usize(0..2);
    let partition = world.rng.usize(0..world.kafka.topics[topic].partitions.len());
    let (value, guard) = match fault {
        RecordMalformed => (br#"{"op":"c","after":{"id""#.to_vec(), "E_MALFORMED_RECORD"),
        _ => (strange(topic), "E_TABLE_CLASH"),
    };
    let key = Some(br#"{"id":1}"#.to_vec());
    let record = Record { topic, key, value: Some(value), eid: None };
    let offset = world.kafka.write_record(partition, record);
    world.facts.foreign = Some(((topic, partition), offset, guard));
    world.fired(if fault == RecordMalformed { "malformed record" } else { "record of another table" });
}

/// An event of a table that has a column more, without a schema.
fn strange(topic: usize) -> Vec<u8> {
    let name = QUALIFIED[topic].trim_start_matches("public.");
    format!(
        r#"{{"before":null,"after":{{"id":1,"v":null,"big":"b","more":"1"}},"source":{{"version":"1","connector":"postgresql","name":"srv","ts_ms":1,"snapshot":"false","db":"app","schema":"public","table":"{name}","txId":1,"lsn":1,"xmin":null}},"op":"c","ts_ms":1}}"#
    )
    .into_bytes()
}
