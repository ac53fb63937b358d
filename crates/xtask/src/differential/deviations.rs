//! Where we mean to differ from Debezium. One table; a deviation that is not here is a failure, and so is one
//! that a full run does not meet.

use super::compare::Difference;

/// One declared deviation.
#[derive(Debug)]
pub(super) struct Deviation {
    pub(super) id: &'static str,
    /// `scenario.table`, with `*` for any text.
    table: &'static str,
    /// Path of the difference, with `*` for any text; `stop.ours`, `stop.debezium`, `missing.<op>`, `extra.<op>`.
    path: &'static str,
    only: Only,
    pub(super) reason: &'static str,
}

/// Which events a deviation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Only {
    All,
    Snapshot,
    Stream,
}

/// The table.
pub(super) const DEVIATIONS: &[Deviation] = &[
    Deviation {
        id: "conversion-failure-stops",
        table: "conversion_failure",
        path: "stop.ours",
        only: Only::Stream,
        reason: "event.converting.failure.handling.mode unset: a value that the chosen mode cannot hold stops the connector, where Debezium writes null in silence",
    },
    Deviation {
        id: "identity-without-key",
        table: "identity_other_index",
        path: "stop.ours",
        only: Only::Stream,
        reason: "an old row whose replica identity does not hold the key: we stop and say which table, where Debezium makes up a key of zeros",
    },
    Deviation {
        id: "array-dimensions",
        table: "arrays_dimensions.t",
        path: "value.payload.after.*",
        only: Only::All,
        reason: "arrays of more than one dimension are flattened in storage order, where Debezium writes nulls or Java object names",
    },
    Deviation {
        id: "time-array-fraction",
        table: "arrays_times.t",
        path: "value.payload.after.t*",
        only: Only::All,
        reason: "times in arrays keep their fractions, which Debezium cuts (microseconds of time[], all of timetz[])",
    },
    Deviation {
        id: "dates-beyond",
        table: "dates_beyond.t",
        path: "value.payload.after.d",
        only: Only::Snapshot,
        reason: "infinite dates and dates before Christ are in a snapshot what they are in the stream; Debezium's snapshot writes other numbers",
    },
    Deviation {
        id: "default-beyond",
        table: "defaults_beyond.*",
        path: "*",
        only: Only::All,
        reason: "defaults that are infinite, before Christ or 24:00 have the value that a row would have; Debezium's schema has another number or none",
    },
    Deviation {
        id: "nanoseconds-first-day",
        table: "nanoseconds_first_day.t",
        path: "value.payload.after.ts",
        only: Only::All,
        reason: "time.precision.mode=nanoseconds holds all of 1677-09-21 that 64 bits can; Debezium writes null for that day",
    },
    Deviation {
        id: "partitioned-once",
        table: "partitioned.p",
        path: "missing.r",
        only: Only::Snapshot,
        reason: "the snapshot reads rows of a partitioned table once, under the names that the stream uses; Debezium reads \
                 them again under the name of the root",
    },
    Deviation {
        id: "propagated-snapshot",
        table: "propagate_*.special",
        path: "value.schema.fields.*.parameters*",
        only: Only::Snapshot,
        reason: "types, lengths and scales in schema parameters are the same in a snapshot and in the stream; Debezium's \
                 snapshot has other names for serial, enum and domain, and no digits for numeric",
    },
    Deviation {
        id: "propagated-snapshot",
        table: "column_truncate.special",
        path: "value.schema.fields.*.nu.parameters",
        only: Only::Snapshot,
        reason: "types, lengths and scales in schema parameters are the same in a snapshot and in the stream; Debezium's \
                 snapshot has other names for serial, enum and domain, and no digits for numeric",
    },
    Deviation {
        id: "truncated-character",
        table: "column_truncate_surrogate.t",
        path: "value.payload.after.t",
        only: Only::Stream,
        reason: "column.truncate.to.N.chars never cuts a character in two; Debezium leaves half a surrogate pair",
    },
    Deviation {
        id: "name-in-stream",
        table: "names.*",
        path: "value.payload.after.n",
        only: Only::Stream,
        reason: "columns of type name keep their value in the stream, where Debezium writes null",
    },
    Deviation {
        id: "interval-rounding",
        table: "intervals_rounded.t",
        path: "value.payload.after.iv*",
        only: Only::All,
        reason: "intervals are exact; Debezium computes their seconds as a double and cuts it, and saturates far years",
    },
    Deviation {
        id: "bit-array",
        table: "unknown_arrays.t",
        path: "value.*.b3*",
        only: Only::All,
        reason: "bit(n)[] is an array; Debezium gives it the schema of one value and writes null",
    },
    Deviation {
        id: "unwrap-source",
        table: "unwrap_source",
        path: "stop.debezium",
        only: Only::All,
        reason: "ExtractNewRecordState with add.fields=source adds the struct; Debezium's task stops in the snapshot",
    },
    Deviation {
        id: "unwrap-old-keys",
        table: "unwrap_old_keys.t",
        path: "*",
        only: Only::All,
        reason: "delete.handling.mode and drop.tombstones of Debezium 2 keep their meaning; Debezium 3 does not read them",
    },
    Deviation {
        id: "outbox-version",
        table: "outbox_version",
        path: "stop.debezium",
        only: Only::All,
        reason: "EventRouter tells payloads of one table.field.event.schema.version apart by their shape; Debezium's task stops \
                 at the second one",
    },
    Deviation {
        id: "outbox-array",
        table: "outbox_array",
        path: "stop.debezium",
        only: Only::All,
        reason: "EventRouter keeps a JSON payload that is no object as text, with table.expand.json.payload as well; Debezium's \
                 task stops at an array",
    },
    Deviation {
        id: "mask-decimal",
        table: "mask_decimal",
        path: "stop.debezium",
        only: Only::All,
        reason: "MaskField gives a decimal a zero of its own scale; Connect's has none, and the task stops",
    },
    Deviation {
        id: "transaction-messages",
        table: "tx",
        path: "value.payload.data_collections*",
        only: Only::All,
        reason: "the end of a transaction counts its logical decoding messages together, as data collection \"message\"; \
                 Debezium lists each of them under the identity of a Java object",
    },
    Deviation {
        id: "tombstone-headers",
        table: "*",
        path: "tombstone.headers",
        only: Only::All,
        reason: "a tombstone that ExtractNewRecordState keeps gets the headers that are meant for it; in Debezium it shares \
                 those of the delete before it, so that add.headers are there twice",
    },
];

/// Beside them, where we write Debezium 3.7's events.
const OF_3_7: &[Deviation] = &[
    midnight("temporal.t", "value.payload.after.t"),
    midnight("temporal.t", "value.payload.after.t0"),
    midnight("temporal.t", "value.payload.after.t3"),
    midnight("temporal.t", "value.payload.after.t6"),
    midnight("temporal_edges.times", "value.payload.after.t"),
    Deviation {
        id: "box-array",
        table: "unknown_arrays.t",
        path: "value.payload.after.bx",
        only: Only::All,
        reason: "box[] has its elements; Debezium 3.7 gives it their schema and writes null",
    },
    Deviation {
        id: "structured-before-christ",
        table: "dates_beyond.t",
        path: "value.payload.after.d.year",
        only: Only::Snapshot,
        reason: "structured dates before Christ are in a snapshot what they are in the stream; Debezium's snapshot loses the era",
    },
];

const fn midnight(table: &'static str, path: &'static str) -> Deviation {
    Deviation {
        id: "structured-midnight",
        table,
        path,
        only: Only::All,
        reason: "a structured time of 24:00 has hour 24; Debezium writes null in silence",
    }
}

/// Those that are declared; `newer` if we write Debezium 3.7's events.
pub(super) fn declared(newer: bool) -> impl Iterator<Item = &'static Deviation> {
    DEVIATIONS.iter().chain(if newer { OF_3_7 } else { &[] })
}

/// The deviation that covers this place, if one is declared.
pub(super) fn find(table: &str, difference: &Difference, newer: bool) -> Option<&'static Deviation> {
    declared(newer).find(|deviation| {
        let is_about = match deviation.only {
            Only::All => true,
            Only::Snapshot => difference.is_snapshot,
            Only::Stream => !difference.is_snapshot,
        };
        is_about && matches(deviation.table, table) && matches(deviation.path, &difference.path)
    })
}

/// Whether `text` fits `pattern`, in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.bc", false),
            ("a.*", "a.bc", true),
            ("*.c", "a.b.c", true),
            ("value.*.n", "value.payload.after.n", true),
            ("value.*.n", "value.payload.after.m", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn ids_are_unique_and_reasons_are_given() {
        for (index, deviation) in declared(true).enumerate() {
            assert!(!deviation.reason.is_empty());
            assert!(
                declared(true)
                    .skip(index + 1)
                    .all(|other| other.id != deviation.id || other.reason == deviation.reason)
            );
        }
    }
}
