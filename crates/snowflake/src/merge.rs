//! A merge as one multi-statement request.

use crate::ddl::{LEDGER, MARKED_AT, marks_table};
use crate::sql::{SfIdent, identifier, literal};
use cdcd_sink::config::DeleteMode;
use cdcd_sink::destination::{Audit, CurrentState, OPERATION_NAMES, OPERATION_UNKNOWN, StoredType};
use cdcd_sink::merge::{MergePlan, MergeRange};
use cdcd_sink::row::column;
use std::fmt::Display;

/// How long a deleted key is remembered: what Kafka keeps by default, so that an older event cannot come any more.
const MARKS_KEPT: &str = "7 days";
/// Marks are looked through once in so many merges of a channel.
const FORGET_EVERY: u64 = 100;

/// Columns that the newest row may not know: what a source may leave unsent (TOAST), which is everything of variable
/// length outside the key; and where deleted rows stay, all of them, for a delete knows only its key.
pub(crate) fn fill_columns(current: &CurrentState, deletes: DeleteMode) -> Vec<String> {
    let may_be_unsent = |stored: &StoredType| {
        deletes == DeleteMode::Soft
            || matches!(stored, StoredType::Text | StoredType::Binary | StoredType::Variant)
    };
    current
        .columns
        .iter()
        .filter(|column| may_be_unsent(&column.stored) && !current.keys.contains(&column.name))
        .map(|column| column.name.clone())
        .collect()
}

/// Log rows that match `filter`, with `_RN` = 1 on the newest per key. For each column of `fill`: `<C>__G` counts the
/// rows up to here that know it, so that `<C>__V`, the first value of the last such group, is the newest known one; `<C>__S` is its `_SEQ`.
///
/// A delete knows only its key. Plain window functions instead of LAST_VALUE IGNORE NULLS: a known NULL is not the same as an unknown value.
pub(crate) fn filled_rows(
    current: &CurrentState,
    log: &impl Display,
    filter: &str,
    fill: &[String],
) -> String {
    let keys: Vec<SfIdent> = current.keys.iter().map(|key| identifier(key)).collect();
    let keys = keys.join(", ");
    let (seq, offset) = (identifier(column::SEQ), identifier(column::OFFSET));
    let mut inner = vec!["l.*".to_owned()];
    let mut outer = vec![format!(
        "ROW_NUMBER() OVER (PARTITION BY {keys} ORDER BY {seq} DESC, {offset} DESC) AS \"_RN\""
    )];
    for name in fill {
        let (group, value) = (identifier(&format!("{name}__G")), identifier(&format!("{name}__V")));
        inner.push(format!(
            "SUM(CASE WHEN {} = 'd' OR POSITION({} IN {}) > 0 THEN 0 ELSE 1 END) OVER (PARTITION BY {keys} ORDER BY {seq}, {offset} \
             ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS {group}",
            identifier(column::OP),
            literal(&format!(",{name},")),
            identifier(column::UNCHANGED),
        ));
        let since = identifier(&format!("{name}__S"));
        for (from, to) in [(identifier(name), value), (seq.clone(), since)] {
            outer.push(format!(
                "FIRST_VALUE({from}) OVER (PARTITION BY {keys}, {group} ORDER BY {seq}, {offset} \
                 ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS {to}"
            ));
        }
    }
    format!(
        "SELECT f.*, {} FROM (SELECT {} FROM {log} l WHERE {filter}) f",
        outer.join(", "),
        inner.join(", ")
    )
}

/// The audit columns and what to write into them, where `op` is the operation's letter and `time` the time to tell.
pub(crate) fn audit_values(audit: &Audit, op: &impl Display, time: &str) -> Vec<(String, String)> {
    let mut columns = Vec::new();
    if let Some(name) = &audit.operation {
        let names: Vec<String> = OPERATION_NAMES
            .iter()
            .map(|(letter, name)| format!("WHEN {} THEN {}", literal(letter), literal(name)))
            .collect();
        let value = format!("CASE {op} {} ELSE {} END", names.join(" "), literal(OPERATION_UNKNOWN));
        columns.push((name.clone(), value));
    }
    if let Some(name) = &audit.timestamp {
        columns.push((name.clone(), time.to_owned()));
    }
    if let Some(source) = &audit.source {
        columns.push((source.name.clone(), literal(&source.value).to_string()));
    }
    columns
}

/// All statements of one merge, BEGIN and COMMIT included.
pub(crate) fn statements(plan: &MergePlan, current: &CurrentState) -> Vec<String> {
    let table = literal(&plan.plan.table);
    let ledger = identifier(LEDGER);
    // Each check divides by zero if it does not hold, and then nothing happens. Before the swap: this very merge was
    // not done already. After it: no other one came between, because its update would have waited for ours.
    let check = |condition: &str| {
        format!(
            "SELECT 1 / CASE WHEN COUNT(*) = {} THEN 1 ELSE 0 END FROM {ledger} WHERE \"TBL\" = {table} AND {condition}",
            plan.ranges.len()
        )
    };
    let unmoved: Vec<String> = plan
        .ranges
        .iter()
        .map(|range| {
            format!("(\"CHANNEL\" = {} AND \"GENERATION\" = {})", literal(&range.channel), range.generation)
        })
        .collect();
    // Members of the group merge other channels of the same table: they wait here for each other, for neither sees
    // what the other one has not committed.
    let turn = format!(
        "UPDATE {ledger} SET \"GENERATION\" = \"GENERATION\" + 1 WHERE \"TBL\" = {table} AND \"CHANNEL\" = ''"
    );
    let mut statements = vec!["BEGIN".to_owned(), turn, check(&format!("({})", unmoved.join(" OR ")))];
    statements.extend(plan.ranges.iter().map(|range| swap(plan, range)));
    statements.push(check(&format!("\"OWNER\" = {}", literal(&plan.id))));
    if plan.deletes == DeleteMode::Hard {
        statements.extend(marks(plan, current));
    }
    statements.extend(fill_late(plan, current));
    statements.push(merge(plan, current));
    let (target, seq) = (identifier(&current.name), identifier(column::SEQ));
    statements.push(format!(
        "DELETE FROM {target} WHERE {seq} < (SELECT MAX(\"TRUNCATED\") FROM {ledger} WHERE \"TBL\" = {table})"
    ));
    if plan.deletes == DeleteMode::Hard {
        statements.push(format!("DELETE FROM {target} WHERE {}", identifier(column::DELETED)));
    }
    statements.push("COMMIT".to_owned());
    statements
}

/// Compare-and-swap of one ledger row; also remembers the newest truncate of the range.
fn swap(plan: &MergePlan, range: &MergeRange) -> String {
    format!(
        "UPDATE {ledger} SET \"MERGED\" = {upto}, \"GENERATION\" = \"GENERATION\" + 1, \"OWNER\" = {owner}, \
         \"TRUNCATED\" = GREATEST(\"TRUNCATED\", COALESCE((SELECT MAX({seq}) FROM {log} WHERE {op} = 't' AND {within}), '')) \
         WHERE \"TBL\" = {table} AND \"CHANNEL\" = {channel} AND \"GENERATION\" = {generation}",
        ledger = identifier(LEDGER),
        upto = literal(&range.upto),
        owner = literal(&plan.id),
        seq = identifier(column::SEQ),
        log = identifier(&plan.plan.table),
        op = identifier(column::OP),
        within = within(range),
        table = literal(&plan.plan.table),
        channel = literal(&range.channel),
        generation = range.generation,
    )
}

fn within(range: &MergeRange) -> String {
    let offset = identifier(column::OFFSET);
    format!("{offset} > {} AND {offset} <= {}", literal(&range.after), literal(&range.upto))
}

/// Which log rows a merge takes.
fn filter(plan: &MergePlan) -> String {
    let ranges: Vec<String> = plan.ranges.iter().map(|range| format!("({})", within(range))).collect();
    format!("({}) AND {}", ranges.join(" OR "), counts(plan))
}

/// Whether a log row is of a row that no truncate has taken.
fn counts(plan: &MergePlan) -> String {
    format!(
        "{} <> 't' AND {} > (SELECT MAX(\"TRUNCATED\") FROM {} WHERE \"TBL\" = {})",
        identifier(column::OP),
        identifier(column::SEQ),
        identifier(LEDGER),
        literal(&plan.plan.table)
    )
}

/// `<left>.<key> = <right>.<key>` for all keys.
fn same_key(current: &CurrentState, left: &str, right: &str) -> String {
    let same: Vec<String> =
        current.keys.iter().map(|key| format!("{left}.{0} = {right}.{0}", identifier(key))).collect();
    same.join(" AND ")
}

/// Remembers which keys were deleted, and now and then forgets what is too old to matter: a purged row could not tell
/// that an older insert, late by a partition that was added, is no news.
fn marks(plan: &MergePlan, current: &CurrentState) -> Vec<String> {
    let marks = identifier(&marks_table(current));
    let (seq, at) = (identifier(column::SEQ), identifier(MARKED_AT));
    let rows = filled_rows(current, &identifier(&plan.plan.table), &filter(plan), &[]);
    let keys: Vec<SfIdent> = current.keys.iter().map(|key| identifier(key)).collect();
    let keys_of_s: Vec<String> = keys.iter().map(|key| format!("s.{key}")).collect();
    let mut statements = vec![format!(
        "MERGE INTO {marks} t USING (SELECT * FROM ({rows}) r WHERE \"_RN\" = 1 AND {op} = 'd') s ON {on} \
         WHEN MATCHED AND s.{seq} > t.{seq} THEN UPDATE SET {seq} = s.{seq}, {at} = CURRENT_TIMESTAMP \
         WHEN NOT MATCHED THEN INSERT ({keys}, {seq}, {at}) VALUES ({values}, s.{seq}, CURRENT_TIMESTAMP)",
        op = identifier(column::OP),
        on = same_key(current, "t", "s"),
        keys = keys.join(", "),
        values = keys_of_s.join(", "),
    )];
    if plan.ranges.iter().any(|range| range.generation.is_multiple_of(FORGET_EVERY)) {
        statements
            .push(format!("DELETE FROM {marks} WHERE {at} < CURRENT_TIMESTAMP - INTERVAL '{MARKS_KEPT}'"));
    }
    statements
}

/// Where a row comes later than a newer one of its key, the newer one may have left out what this one, or one before,
/// tells: the columns that may be unsent are told anew by the log, up to where the table is. Nothing is done where the
/// log has lost the table's newest row.
///
/// Without such rows the innermost join is empty, and the log is not read for it.
fn fill_late(plan: &MergePlan, current: &CurrentState) -> Option<String> {
    let fill = fill_columns(current, plan.deletes);
    let (log, target) = (identifier(&plan.plan.table), identifier(&current.name));
    let seq = identifier(column::SEQ);
    let keys: Vec<String> = current.keys.iter().map(|key| format!("n.{}", identifier(key))).collect();
    let late = format!(
        "SELECT DISTINCT {keys}, c.{seq} AS \"_AS_OF\" FROM (SELECT * FROM {log} WHERE {filter}) n \
         JOIN {target} c ON {on} WHERE n.{seq} < c.{seq}",
        keys = keys.join(", "),
        filter = filter(plan),
        on = same_key(current, "n", "c"),
    );
    let known = format!(
        "(SELECT a.* FROM {log} a JOIN ({late}) k ON {} WHERE a.{seq} <= k.\"_AS_OF\")",
        same_key(current, "a", "k")
    );
    let rows = filled_rows(current, &known, &counts(plan), &fill);
    let set: Vec<String> = fill
        .iter()
        .map(|name| {
            let (group, value) = (identifier(&format!("{name}__G")), identifier(&format!("{name}__V")));
            let name = identifier(name);
            format!("{name} = CASE WHEN s.{group} = 0 THEN t.{name} ELSE s.{value} END")
        })
        .collect();
    (!set.is_empty()).then(|| {
        format!(
            "MERGE INTO {target} t USING (SELECT * FROM ({rows}) r WHERE \"_RN\" = 1) s ON {} \
             WHEN MATCHED AND s.{seq} = t.{seq} THEN UPDATE SET {}",
            same_key(current, "t", "s"),
            set.join(", ")
        )
    })
}

fn merge(plan: &MergePlan, current: &CurrentState) -> String {
    let fill = fill_columns(current, plan.deletes);
    let (seq, op, deleted) = (identifier(column::SEQ), identifier(column::OP), identifier(column::DELETED));
    let rows = filled_rows(current, &identifier(&plan.plan.table), &filter(plan), &fill);

    let mut set = Vec::new();
    let mut names = Vec::new();
    let mut values = Vec::new();
    for column in &current.columns {
        let name = identifier(&column.name);
        let value = if fill.contains(&column.name) {
            let (group, filled) =
                (identifier(&format!("{}__G", column.name)), identifier(&format!("{}__V", column.name)));
            // A value that came late may be older than what the table has.
            let since = identifier(&format!("{}__S", column.name));
            set.push(format!(
                "{name} = CASE WHEN s.{group} = 0 OR s.{since} <= t.{seq} THEN t.{name} ELSE s.{filled} END"
            ));
            format!("CASE WHEN s.{group} = 0 THEN NULL ELSE s.{filled} END")
        } else {
            if !current.keys.contains(&column.name) {
                set.push(format!("{name} = s.{name}"));
            }
            format!("s.{name}")
        };
        names.push(name);
        values.push(value);
    }
    let merged_at = "CAST(CURRENT_TIMESTAMP() AS TIMESTAMP_NTZ(9))";
    for (name, value) in audit_values(&current.audit, &format!("s.{op}"), merged_at) {
        set.push(format!("{} = {value}", identifier(&name)));
        names.push(identifier(&name));
        values.push(value);
    }
    let newer = format!("(t.{seq} IS NULL OR s.{seq} > t.{seq})");
    // A table of key columns only has nothing else to set.
    let set: String = set.iter().map(|assignment| format!("{assignment}, ")).collect();
    let (names, values) = (names.join(", "), values.join(", "));
    let written = |is: &str, flag: &str| {
        format!(
            "WHEN MATCHED AND s.{op} {is} 'd' AND {newer} THEN UPDATE SET {set}{deleted} = {flag}, {seq} = s.{seq} \
             WHEN NOT MATCHED AND s.{op} {is} 'd' THEN INSERT ({names}, {deleted}, {seq}) VALUES ({values}, {flag}, s.{seq})",
        )
    };
    let gone = match plan.deletes {
        DeleteMode::Soft => written("=", "TRUE"),
        // The mark is all that the purge of the same merge needs, and a row that is not there needs none. A row of
        // key columns only would not fit a table made by others, with NOT NULL on the rest.
        DeleteMode::Hard => format!(
            "WHEN MATCHED AND s.{op} = 'd' AND {newer} THEN UPDATE SET {deleted} = TRUE, {seq} = s.{seq}"
        ),
    };
    let (unmarked, newest) = match plan.deletes {
        DeleteMode::Soft => (String::new(), String::new()),
        DeleteMode::Hard => (
            format!(" LEFT JOIN {} m ON {}", identifier(&marks_table(current)), same_key(current, "m", "r")),
            format!(" AND (m.{seq} IS NULL OR m.{seq} <= r.{seq})"),
        ),
    };
    format!(
        "MERGE INTO {} t USING (SELECT r.* FROM ({rows}) r{unmarked} WHERE r.\"_RN\" = 1{newest}) s ON {} {} {}",
        identifier(&current.name),
        same_key(current, "t", "s"),
        gone,
        written("<>", "FALSE"),
    )
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
