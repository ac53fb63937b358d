//! The merge and view texts, run verbatim on PostgreSQL and compared with the in-memory model.

use super::*;
use crate::ddl;
use cdcd_sink::destination::{Constant, CurrentKind, TableColumn, TablePlan};
use cdcd_sink::memory::{Commit, Memory, Row};
use cdcd_sink::merge::{offset_floor, offset_text};
use cdcd_sink::{destination, destination::Destination};
use cdcd_testkit::services;
use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

const TAG: &str = "0badcafe";

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the in-memory destination never waits"),
    }
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }
}

fn plan(kind: CurrentKind) -> TablePlan {
    let column = |name: &str| TableColumn { name: name.to_owned(), stored: StoredType::Text };
    let business: Vec<TableColumn> = ["ID", "NOTE", "DOC"].into_iter().map(column).collect();
    let mut columns = business.clone();
    columns.extend([column::OP, column::SEQ, column::TS, column::OFFSET, column::UNCHANGED].map(column));
    let keys = vec!["ID".to_owned()];
    // No timestamp: the model has no clock.
    let source = Some(Constant { name: "FROM".to_owned(), value: "it's\\here".to_owned() });
    let audit = Audit { operation: Some("OPERATION".to_owned()), timestamp: None, source };
    let current = CurrentState { name: "T".to_owned(), kind, keys, columns: business, audit };
    TablePlan { table: "T__LOG".to_owned(), columns, current: Some(current) }
}

/// Whether a key has a partition of its own. After partitions were added it has not, and its changes come in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    Stay,
    Move,
}

/// What the source has done so far: its changes, and which keys it has.
#[derive(Default)]
struct Past {
    changes: usize,
    live: BTreeSet<String>,
}

/// One log row: changes of few keys in two partitions, sometimes late, repeated or a truncate.
fn change(dice: &mut Dice, keys: Keys, past: &mut Past, partition: i32, offset: i64) -> Row {
    let mut row = Row::new();
    let mut put = |name: &str, value: String| row.insert(name.to_owned(), value.into());
    let home = if keys == Keys::Stay { partition } else { 0 };
    let key = format!("k{home}{}", dice.roll(3));
    let mut op = ["c", "u", "u", "u", "d", "t"][if dice.roll(25) == 0 { 5 } else { dice.roll(5) }];
    // A replay repeats older LSNs at newer offsets; the offset is the last part of the order.
    let seq = usize::try_from(offset).unwrap_or(0) * 2 + usize::try_from(partition).unwrap_or(0);
    let late = if dice.roll(6) == 0 { dice.roll(9) * 2 } else { 0 };
    let mut order = format!("{:020}{offset:010}", seq.saturating_sub(late));
    if keys == Keys::Move {
        // Rows come as they were changed in the source: a partition may be behind, but nothing is done to a row that is not there.
        past.changes += 1;
        order = format!("{:030}", past.changes);
        op = if op == "t" || past.live.contains(&key) { op } else { "c" };
        match op {
            "t" => past.live.clear(),
            "d" => drop(past.live.remove(&key)),
            _ => drop(past.live.insert(key.clone())),
        }
    }
    put(column::OP, op.to_owned());
    put(column::SEQ, order);
    put(column::OFFSET, offset_text(TAG, partition, offset));
    if op == "t" {
        return row;
    }
    put("ID", key);
    if op == "d" {
        return row;
    }
    let mut unchanged = String::new();
    for name in ["NOTE", "DOC"] {
        match dice.roll(4) {
            0 if op == "u" => {
                unchanged.push_str(&format!("{}{name},", if unchanged.is_empty() { "," } else { "" }));
            }
            1 => {}
            _ => {
                put(name, format!("{name}{offset}'\\"));
            }
        }
    }
    if !unchanged.is_empty() {
        put(column::UNCHANGED, unchanged);
    }
    row
}

/// PostgreSQL reads no backslashes in its literals.
fn postgres_text(statement: &str) -> String {
    statement.replace("\\\\", "\\")
}

fn insert(row: &Row) -> String {
    let names: Vec<SfIdent> = row.keys().map(|name| identifier(name)).collect();
    let values: Vec<String> =
        row.values().map(|value| postgres_text(&literal(value.as_str().unwrap_or("")).to_string())).collect();
    format!("INSERT INTO \"T__LOG\" ({}) VALUES ({});", names.join(", "), values.join(", "))
}

fn lines(rows: &[Row]) -> Vec<String> {
    let text =
        |row: &Row, name: &str| row.get(name).and_then(|value| value.as_str()).unwrap_or("-").to_owned();
    let mut lines: Vec<String> = rows
        .iter()
        .map(|row| (row.contains_key(column::DELETED), SHOWN.map(|name| text(row, name)).join("|")))
        .map(|(deleted, line)| if deleted { format!("{line} deleted") } else { line })
        .collect();
    lines.sort();
    lines
}

const SHOWN: [&str; 5] = ["ID", "NOTE", "DOC", "OPERATION", "FROM"];

fn shown(database: &services::Database, flag: &str) -> Vec<String> {
    let cells = SHOWN.map(|name| format!("COALESCE({},'-')", identifier(name))).join("||'|'||");
    let text = database.psql(&format!("SELECT {cells}{flag} FROM \"T\";")).expect("read");
    let mut lines: Vec<String> = text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    lines.sort();
    lines
}

fn make(database: &services::Database, plan: &TablePlan) {
    let text = |columns: &[TableColumn]| {
        let flag = |column: &TableColumn| column.name == column::DELETED;
        columns
            .iter()
            .map(|column| {
                format!("{} {}", identifier(&column.name), if flag(column) { "boolean" } else { "text" })
            })
            .map(|column| column.replace("\"GENERATION\" text", "\"GENERATION\" bigint") + " COLLATE \"C\"")
            .map(|column| {
                column.replace("boolean COLLATE \"C\"", "boolean").replace("bigint COLLATE \"C\"", "bigint")
            })
            .collect::<Vec<_>>()
            .join(", ")
    };
    let current = plan.current.as_ref().expect("a current state");
    let mut script = format!("CREATE TABLE \"T__LOG\" ({});", text(&plan.columns));
    match current.kind {
        CurrentKind::View => script.push_str(&postgres_text(&ddl::create_view(plan, current))),
        CurrentKind::Table => {
            script.push_str(&format!("CREATE TABLE \"T\" ({});", text(&ddl::current_columns(current))));
            script.push_str(&format!("CREATE TABLE \"{LEDGER}\" ({});", text(&ddl::ledger_columns())));
            let marks = text(&ddl::marks_columns(current));
            let marks = marks.replace("\"_AT\" text COLLATE \"C\"", "\"_AT\" timestamptz");
            script.push_str(&format!("CREATE TABLE {} ({marks});", identifier(&marks_table(current))));
        }
    }
    database.psql(&format!("{script};")).expect("tables");
}

fn model(plan: &TablePlan) -> Memory {
    let memory = Memory::new(Commit::Immediate);
    now(memory.prepare(plan)).expect("prepared");
    memory
}

fn append(memory: &Memory, plan: &TablePlan, rows: &[Row], serial: u64) {
    let channel = destination::Channel { table: plan.table.clone(), name: "c".to_owned(), epoch: serial };
    now(memory.open(&channel)).expect("opened");
    let body: String = rows.iter().map(|row| serde_json::to_string(row).expect("json") + "\n").collect();
    let batch = destination::RowBatch {
        channel,
        body: Arc::new(body.into_bytes()),
        rows: u32::try_from(rows.len()).expect("few"),
        first_offset: 0,
        last_offset: 0,
        start_token: String::new(),
        end_token: serial.to_string(),
    };
    now(memory.append(&batch)).expect("appended");
}

#[test]
fn merges_give_the_model_s_table_whatever_the_ranges() {
    let server = services::postgres(17).expect("PostgreSQL starts");
    for (seed, deletes) in (1..=18u64).zip([DeleteMode::Hard, DeleteMode::Soft].into_iter().cycle()) {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let keys = if seed % 3 == 0 { Keys::Move } else { Keys::Stay };
        let database = server.fresh_database(&format!("merge{seed}")).expect("a database");
        let plan = plan(CurrentKind::Table);
        make(&database, &plan);
        let memory = model(&plan);
        let channels = ["p0".to_owned(), "p1".to_owned()];
        let mut setup: Vec<String> =
            channels.iter().map(|channel| ddl::remember_channel(&plan.table, channel)).collect();
        setup.push(String::new());
        database.psql(&setup.join(";\n")).expect("a ledger");
        now(memory.ledger(&plan, &channels)).expect("a ledger");
        let mut merged = [0i64, 0];
        let mut written = [0i64, 0];
        let mut history = Vec::new();
        let mut past = Past::default();
        for round in 0..6u64 {
            let mut rows = Vec::new();
            // The last round only merges the rest.
            for _ in 0..if round == 5 { 0 } else { 10 + dice.roll(30) } {
                let partition = dice.roll(2);
                rows.push(change(&mut dice, keys, &mut past, partition as i32, written[partition]));
                written[partition] += 1;
            }
            append(&memory, &plan, &rows, round + 1);
            history.extend(rows.iter().cloned());
            database.psql(&rows.iter().map(insert).collect::<Vec<_>>().join("\n")).expect("rows");
            let mut ranges = Vec::new();
            for partition in 0..2usize {
                // Sometimes not all that is there.
                let unread = if keys == Keys::Move { 20 } else { 4 };
                let upto = written[partition]
                    - i64::try_from(if round == 5 { 0 } else { dice.roll(unread) }).unwrap_or(0);
                if upto <= merged[partition] {
                    continue;
                }
                let number = partition as i32;
                let end = |offset: i64| {
                    if offset == 0 { offset_floor(TAG, number) } else { offset_text(TAG, number, offset - 1) }
                };
                let row = now(memory.ledger(&plan, &channels)).expect("a ledger").rows[partition].1.clone();
                ranges.push(MergeRange {
                    channel: channels[partition].clone(),
                    after: end(merged[partition]),
                    upto: end(upto),
                    generation: row.generation,
                });
                merged[partition] = upto;
            }
            if ranges.is_empty() {
                continue;
            }
            let merge = MergePlan { id: format!("m{round}"), plan: plan.clone(), deletes, ranges };
            let script = statements(&merge, plan.current.as_ref().expect("current")).join(";\n");
            database.psql(&postgres_text(&format!("{script};"))).expect("merged");
            now(memory.merge(&merge)).expect("merged");
            let flag = "||CASE WHEN \"_DELETED\" THEN ' deleted' ELSE '' END";
            assert_eq!(shown(&database, flag), lines(&memory.rows("T")), "seed {seed} round {round}");
            let again = database.psql(&postgres_text(&format!("{script};")));
            let refused = format!("{:#}", again.expect_err("the ledger moved on"));
            assert!(refused.contains("division by zero"), "{refused}");
        }
        if keys == Keys::Move {
            assert_eq!(lines(&memory.rows("T")), in_order(&plan, deletes, &history), "seed {seed}");
        }
        database.remove().expect("removed");
    }
}

/// A key whose partition has changed: its newest update comes first, and does not send what one before it has set.
#[test]
fn a_value_that_comes_late_fills_what_the_newer_change_left_unsent() {
    let server = services::postgres(17).expect("PostgreSQL starts");
    let database = server.fresh_database("late").expect("a database");
    let plan = plan(CurrentKind::Table);
    make(&database, &plan);
    let row = |op: &str, seq: u32, partition, offset, values: &[(&str, &str)]| {
        let mut row = Row::new();
        let place = offset_text(TAG, partition, offset);
        let own = [(column::OP, op.to_owned()), (column::SEQ, format!("{seq:03}")), (column::OFFSET, place)];
        row.extend(own.map(|(name, value)| (name.to_owned(), value.into())));
        row.extend(values.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())));
        row
    };
    let rows = [
        row("c", 1, 0, 0, &[("ID", "k"), ("NOTE", "one"), ("DOC", "old")]),
        row("u", 2, 0, 1, &[("ID", "k"), ("NOTE", "two"), ("DOC", "set")]),
        row("u", 3, 1, 0, &[("ID", "k"), ("NOTE", "three"), (column::UNCHANGED, ",DOC,")]),
    ];
    database.psql(&rows.iter().map(insert).collect::<Vec<_>>().join("\n")).expect("rows");
    let channels = ["p0", "p1"].map(|channel| ddl::remember_channel(&plan.table, channel));
    database.psql(&format!("{};", channels.join(";\n"))).expect("a ledger");
    let merge = |serial: u64, partition: i32, upto: i64, generation| {
        let after = if generation == 0 {
            offset_floor(TAG, partition)
        } else {
            offset_text(TAG, partition, upto - 1)
        };
        let upto = offset_text(TAG, partition, upto);
        let ranges = vec![MergeRange { channel: format!("p{partition}"), after, upto, generation }];
        let merge =
            MergePlan { id: format!("m{serial}"), plan: plan.clone(), deletes: DeleteMode::Hard, ranges };
        let script = statements(&merge, plan.current.as_ref().expect("current")).join(";\n");
        database.psql(&postgres_text(&format!("{script};"))).expect("merged");
        shown(&database, "")
    };
    merge(1, 0, 0, 0);
    assert_eq!(merge(2, 1, 0, 0), ["k|three|old|UPDATE|it's\\here"], "nobody has told the value yet");
    assert_eq!(merge(3, 0, 1, 1), ["k|three|set|UPDATE|it's\\here"]);
    database.remove().expect("removed");
}

/// What one merge of everything makes, which takes all changes in their order.
fn in_order(plan: &TablePlan, deletes: DeleteMode, history: &[Row]) -> Vec<String> {
    let memory = model(plan);
    now(memory.ledger(plan, &["all".to_owned()])).expect("a ledger");
    append(&memory, plan, history, 1);
    let range = MergeRange {
        channel: "all".to_owned(),
        after: offset_floor(TAG, 0),
        upto: offset_text(TAG, 2, 0),
        generation: 0,
    };
    let merge = MergePlan { id: "all".to_owned(), plan: plan.clone(), deletes, ranges: vec![range] };
    now(memory.merge(&merge)).expect("merged");
    lines(&memory.rows("T"))
}

#[test]
fn the_view_shows_what_a_merge_would_make() {
    let server = services::postgres(17).expect("PostgreSQL starts");
    let database = server.fresh_database("view").expect("a database");
    make(&database, &plan(CurrentKind::View));
    let merged = plan(CurrentKind::Table);
    let memory = model(&merged);
    now(memory.ledger(&merged, &["p0".to_owned()])).expect("a ledger");
    let mut dice = Dice(4242);
    let mut past = Past::default();
    let rows: Vec<Row> = (0..150).map(|offset| change(&mut dice, Keys::Stay, &mut past, 0, offset)).collect();
    append(&memory, &merged, &rows, 1);
    database.psql(&rows.iter().map(insert).collect::<Vec<_>>().join("\n")).expect("rows");
    let range = MergeRange {
        channel: "p0".to_owned(),
        after: offset_floor(TAG, 0),
        upto: offset_text(TAG, 0, 149),
        generation: 0,
    };
    let merge =
        MergePlan { id: "m".to_owned(), plan: merged, deletes: DeleteMode::Hard, ranges: vec![range] };
    now(memory.merge(&merge)).expect("merged");
    assert_eq!(shown(&database, ""), lines(&memory.rows("T")));
    database.remove().expect("removed");
}

/// Pipeline B's table.
fn transactions() -> TablePlan {
    let column = |name: &str, stored| TableColumn { name: name.to_owned(), stored };
    let business = vec![
        column("TRANSACTION_ID", StoredType::Number { precision: 38, scale: 0 }),
        column("AMOUNT", StoredType::Number { precision: 10, scale: 2 }),
        column("CREATED_AT", StoredType::Timestamp { precision: 6 }),
    ];
    let audit = Audit {
        operation: Some("CDC_OPERATION".to_owned()),
        timestamp: Some("CDC_TIMESTAMP".to_owned()),
        source: Some(Constant { name: "SOURCE_DB".to_owned(), value: "postgres".to_owned() }),
    };
    let current = CurrentState {
        name: "TRANSACTIONS".to_owned(),
        kind: CurrentKind::Table,
        keys: vec!["TRANSACTION_ID".to_owned()],
        columns: business.clone(),
        audit,
    };
    TablePlan { table: "TRANSACTIONS__LOG".to_owned(), columns: business, current: Some(current) }
}

/// What a MERGE does with its rows, one branch per line, `<operation>` and `<now>` for the long values.
fn branches(plan: &TablePlan, deletes: DeleteMode) -> String {
    let range =
        MergeRange { channel: "c".to_owned(), after: "a".to_owned(), upto: "b".to_owned(), generation: 0 };
    let merge = MergePlan { id: "m".to_owned(), plan: plan.clone(), deletes, ranges: vec![range] };
    let all = statements(&merge, plan.current.as_ref().expect("current"));
    let target = format!("MERGE INTO {} t", identifier(&plan.current.as_ref().expect("current").name));
    let text = all.iter().rfind(|text| text.starts_with(&target)).expect("a merge");
    let (_, text) = text.split_once(" s ON ").expect("a key comparison");
    text.replace(OPERATION, "<operation>")
        .replace("CAST(CURRENT_TIMESTAMP() AS TIMESTAMP_NTZ(9))", "<now>")
        .replace(" WHEN MATCHED ", "\nWHEN MATCHED ")
        .replace(" WHEN NOT MATCHED ", "\nWHEN NOT MATCHED ")
        .replace('"', "")
}

const OPERATION: &str = "CASE s.\"_OP\" WHEN 'c' THEN 'CREATE' WHEN 'u' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' \
                         WHEN 'r' THEN 'READ' ELSE 'UNKNOWN' END";

#[test]
fn audit_columns_are_made_with_the_table() {
    let current = transactions().current.expect("current");
    assert_eq!(
        ddl::create_table(&current.name, &ddl::current_columns(&current), "").replace('"', ""),
        "CREATE TABLE IF NOT EXISTS TRANSACTIONS (TRANSACTION_ID NUMBER(38,0), AMOUNT NUMBER(10,2), \
         CREATED_AT TIMESTAMP_NTZ(6), CDC_OPERATION VARCHAR, CDC_TIMESTAMP TIMESTAMP_NTZ(9), SOURCE_DB VARCHAR, \
         _SEQ VARCHAR, _DELETED BOOLEAN)"
    );
}

#[test]
fn audit_columns_are_set_on_update_and_insert() {
    assert_eq!(
        branches(&transactions(), DeleteMode::Hard),
        "t.TRANSACTION_ID = s.TRANSACTION_ID\n\
         WHEN MATCHED AND s._OP = 'd' AND (t._SEQ IS NULL OR s._SEQ > t._SEQ) THEN UPDATE SET \
         _DELETED = TRUE, _SEQ = s._SEQ\n\
         WHEN MATCHED AND s._OP <> 'd' AND (t._SEQ IS NULL OR s._SEQ > t._SEQ) THEN UPDATE SET \
         AMOUNT = s.AMOUNT, CREATED_AT = s.CREATED_AT, \
         CDC_OPERATION = <operation>, CDC_TIMESTAMP = <now>, SOURCE_DB = 'postgres', _DELETED = FALSE, _SEQ = s._SEQ\n\
         WHEN NOT MATCHED AND s._OP <> 'd' THEN INSERT \
         (TRANSACTION_ID, AMOUNT, CREATED_AT, CDC_OPERATION, CDC_TIMESTAMP, SOURCE_DB, _DELETED, _SEQ) VALUES \
         (s.TRANSACTION_ID, s.AMOUNT, s.CREATED_AT, <operation>, <now>, 'postgres', FALSE, s._SEQ)"
    );
}

#[test]
fn a_soft_delete_sets_the_audit_columns_and_keeps_the_values() {
    let text = branches(&transactions(), DeleteMode::Soft);
    let deleted =
        text.lines().find(|line| line.starts_with("WHEN MATCHED AND s._OP = 'd'")).expect("a branch");
    assert!(
        deleted.ends_with(
            "CDC_OPERATION = <operation>, CDC_TIMESTAMP = <now>, SOURCE_DB = 'postgres', _DELETED = TRUE, _SEQ = s._SEQ"
        ),
        "{deleted}"
    );
    assert!(deleted.contains("AMOUNT = CASE WHEN s.AMOUNT__G = 0 OR"), "{deleted}");
}

#[test]
fn without_audit_columns_a_merge_writes_the_source_s_columns_and_our_own() {
    let mut plan = transactions();
    if let Some(current) = &mut plan.current {
        current.audit = Audit::default();
        current.columns.retain(|column| column.name == "TRANSACTION_ID");
    }
    assert_eq!(
        branches(&plan, DeleteMode::Hard),
        "t.TRANSACTION_ID = s.TRANSACTION_ID\n\
         WHEN MATCHED AND s._OP = 'd' AND (t._SEQ IS NULL OR s._SEQ > t._SEQ) THEN UPDATE SET \
         _DELETED = TRUE, _SEQ = s._SEQ\n\
         WHEN MATCHED AND s._OP <> 'd' AND (t._SEQ IS NULL OR s._SEQ > t._SEQ) THEN UPDATE SET \
         _DELETED = FALSE, _SEQ = s._SEQ\n\
         WHEN NOT MATCHED AND s._OP <> 'd' THEN INSERT (TRANSACTION_ID, _DELETED, _SEQ) VALUES \
         (s.TRANSACTION_ID, FALSE, s._SEQ)"
    );
}
