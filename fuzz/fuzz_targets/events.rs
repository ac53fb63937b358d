//! Any record is an event, a tombstone or a named error; an event's row can be looked at.
#![no_main]

use cdcd_debezium::event::{Event, EventReader, value};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (Option<&[u8]>, Option<&[u8]>)| {
    let (key, value) = data;
    let mut reader = EventReader::default();
    let placeholder = value::Placeholder::new("__debezium_unavailable_value");
    for _ in 0..2 {
        // The second time the schemas come out of the cache.
        let Ok(Event::Change(change)) = reader.read("t.public.t", key, value) else { return };
        let Some(row) = change.row() else { return };
        for (name, text) in row.iter() {
            let Some(column) = change.schema.as_ref().and_then(|schema| schema.column(name)) else { continue };
            let _ = value::decode(column.kind, text, &placeholder);
        }
    }
});
