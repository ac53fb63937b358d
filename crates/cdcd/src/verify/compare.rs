//! Both sides of one table, chunk by chunk, then key by key where they differ.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use cdcd_postgres::connection::CopyMessage;
use cdcd_postgres::snapshot::{SnapshotReader, TableRows};
use sha2::{Digest as _, Sha256};

use super::cell::{self, Cell};
use super::destination::{DestinationTable, Range, Version};
use super::fence::Fence;
use super::key::{self, Key};
use super::report::{Chunk, Difference, Kind, TableReport};
use super::table::{SourceTable, copy_fields};
use crate::exit::{Exit, Failure};

/// Keys that are looked at again; a table that differs in more is told to differ, without a list of all.
const SUSPECTS_MAX: usize = 5_000;
/// Keys in one question.
const KEYS_PER_QUESTION: usize = 100;
/// Pause between two looks at a merged table.
const MERGE_PAUSE: Duration = Duration::from_millis(500);

type Row = Vec<Cell>;
/// A row after one of its changes; `None` when it is deleted.
type State = Option<Vec<Option<Cell>>>;

/// How a table is compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    pub(super) chunk_rows: usize,
    /// How long a merged row may be behind its log.
    pub(super) patience: Duration,
}

/// Compares one table.
pub(super) async fn table(
    table: &SourceTable,
    destination: &DestinationTable<'_>,
    fence: &mut Fence,
    manner: Manner,
) -> Result<TableReport, Failure> {
    let mut report = TableReport::new(table);
    let mut suspects: BTreeMap<Key, Option<Row>> = BTreeMap::new();
    let mut after: Option<Key> = None;
    let (names, select) = (table.names(), table.ordered_select());
    let rows = TableRows {
        schema: &table.schema,
        table: &table.name,
        columns: &names,
        select: Some(&select),
        order: &[],
        after: None,
        upto: None,
    };
    fence.reader.start_table(&rows).await?;
    let mut is_last = false;
    while !is_last {
        let (source, ended) = next_chunk(table, &mut fence.reader, manner.chunk_rows).await?;
        is_last = ended;
        // The last chunk takes everything above, so that rows beyond the source's last key are seen.
        let upto = if is_last { None } else { source.last().map(|(key, _)| key.clone()) };
        let found = fold(destination.newest(&Range { after: after.clone(), upto: upto.clone() }).await?);
        let chunk = compare_chunk(&source, &found, &mut suspects);
        report.rows_source += chunk.rows_source;
        report.rows_destination += chunk.rows_destination;
        report.chunks.push(chunk);
        after = upto;
        if suspects.len() > SUSPECTS_MAX && !is_last {
            report.is_cut = true;
        }
    }
    fence.reader.end_table().await?;
    resolve(table, destination, fence, manner, (suspects, &mut report)).await?;
    Ok(report)
}

async fn next_chunk(
    table: &SourceTable,
    reader: &mut SnapshotReader,
    rows_max: usize,
) -> Result<(Vec<(Key, Row)>, bool), Failure> {
    let mut rows = Vec::new();
    loop {
        match reader.next_row()? {
            Some(CopyMessage::Data(line)) => {
                let fields = copy_fields(line).ok_or_else(|| unreadable(table, "its text is not UTF-8"))?;
                rows.push(source_row(table, &fields)?);
                if rows.len() == rows_max {
                    return Ok((rows, false));
                }
            }
            Some(CopyMessage::Done) => return Ok((rows, true)),
            None => {
                reader.fill().await?;
            }
        }
    }
}

fn unreadable(table: &SourceTable, what: &str) -> Failure {
    Failure::new(Exit::Unexpected, anyhow::anyhow!("a row of {} cannot be read: {what}", table.full_name()))
}

fn source_row(table: &SourceTable, fields: &[Option<String>]) -> Result<(Key, Row), Failure> {
    let text = |at: usize| fields.get(at).and_then(|field| field.as_deref());
    let mut row = Vec::with_capacity(table.columns.len());
    for (at, column) in table.columns.iter().enumerate() {
        let cell = cell::from_source(column.family, text(at), column.digits)
            .map_err(|error| unreadable(table, &format!("column {} is {}", column.name, error.0)))?;
        row.push(cell);
    }
    let mut key = Vec::with_capacity(table.key.len());
    for (at, column) in table.key.iter().zip(table.key_columns()) {
        let part = cell::whole_of_source(column.family, text(*at).unwrap_or_default(), column.digits)
            .map_err(|error| unreadable(table, &format!("key column {} is {}", column.name, error.0)))?;
        key.push(part);
    }
    Ok((key, row))
}

/// The newest row of each key; `None` for a value that no row here knows. Deleted rows are left out.
fn fold(mut versions: Vec<Version>) -> HashMap<Key, Vec<Option<Cell>>> {
    versions.sort_by(|a, b| b.sequence.cmp(&a.sequence));
    let mut newest: HashMap<Key, (bool, Vec<Option<Cell>>)> = HashMap::new();
    for version in versions {
        match newest.get_mut(&version.key) {
            None => {
                newest.insert(version.key, (version.is_delete, version.cells));
            }
            Some((_, cells)) => fill(cells, &version.cells),
        }
    }
    newest
        .into_iter()
        .filter(|(_, (is_delete, _))| !is_delete)
        .map(|(key, (_, cells))| (key, cells))
        .collect()
}

fn fill(cells: &mut [Option<Cell>], older: &[Option<Cell>]) {
    for (cell, known) in cells.iter_mut().zip(older) {
        if cell.is_none() {
            cell.clone_from(known);
        }
    }
}

fn is_equal(source: &Row, found: &[Option<Cell>]) -> bool {
    source.len() == found.len() && source.iter().zip(found).all(|(a, b)| b.as_ref() == Some(a))
}

fn compare_chunk(
    source: &[(Key, Row)],
    found: &HashMap<Key, Vec<Option<Cell>>>,
    suspects: &mut BTreeMap<Key, Option<Row>>,
) -> Chunk {
    let mut suspect = |key: &Key, row: Option<&Row>| {
        if suspects.len() <= SUSPECTS_MAX {
            suspects.insert(key.clone(), row.cloned());
        }
    };
    let mut known: BTreeSet<&Key> = BTreeSet::new();
    let mut hashes = (Sha256::new(), Sha256::new());
    for (key, row) in source {
        known.insert(key);
        let other = found.get(key);
        digest(&mut hashes.0, key, row.iter().map(Some));
        if let Some(cells) = other {
            digest(&mut hashes.1, key, cells.iter().map(Option::as_ref));
        }
        if !other.is_some_and(|cells| is_equal(row, cells)) {
            suspect(key, Some(row));
        }
    }
    let mut extra: Vec<&Key> = found.keys().filter(|key| !known.contains(key)).collect();
    extra.sort();
    for key in extra {
        if let Some(cells) = found.get(key) {
            digest(&mut hashes.1, key, cells.iter().map(Option::as_ref));
        }
        suspect(key, None);
    }
    Chunk {
        rows_source: source.len() as u64,
        rows_destination: found.len() as u64,
        hash_source: hex(hashes.0),
        hash_destination: hex(hashes.1),
    }
}

/// Lengths keep `a`,`bc` and `ab`,`c` apart.
fn digest<'c>(hash: &mut Sha256, key: &Key, cells: impl Iterator<Item = Option<&'c Cell>>) {
    let mut part = |text: Option<&str>| {
        hash.update(text.map_or(u64::MAX, |text| text.len() as u64).to_be_bytes());
        hash.update(text.unwrap_or_default().as_bytes());
    };
    for text in key {
        part(Some(text));
    }
    for cell in cells {
        part(cell.and_then(Cell::text));
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Looks again at each key that differs, with its whole history.
async fn resolve(
    table: &SourceTable,
    destination: &DestinationTable<'_>,
    fence: &mut Fence,
    manner: Manner,
    (suspects, report): (BTreeMap<Key, Option<Row>>, &mut TableReport),
) -> Result<(), Failure> {
    let keys: Vec<Key> = suspects.keys().cloned().collect();
    for keys in keys.chunks(KEYS_PER_QUESTION) {
        let mut rows: HashMap<Key, Option<Row>> =
            keys.iter().map(|key| (key.clone(), suspects.get(key).cloned().flatten())).collect();
        missing_rows(table, fence, &mut rows).await?;
        let deadline = Instant::now() + manner.patience;
        let mut open = keys.to_vec();
        loop {
            let judged = judge(table, destination, fence, &open, &rows).await?;
            let retry: Vec<Key> =
                judged.iter().filter(|(_, verdict)| verdict.may_pass).map(|(key, _)| key.clone()).collect();
            let is_over = retry.is_empty() || Instant::now() >= deadline;
            for (key, verdict) in judged {
                if let Some(kind) = verdict.kind.filter(|_| is_over || !verdict.may_pass) {
                    report.add(Difference::new(table, &key, kind));
                }
            }
            if is_over {
                break;
            }
            open = retry;
            tokio::time::sleep(MERGE_PAUSE).await;
        }
    }
    Ok(())
}

/// A key that only the destination has: is it really not in the source? The two sides may sort texts differently.
async fn missing_rows(
    table: &SourceTable,
    fence: &mut Fence,
    rows: &mut HashMap<Key, Option<Row>>,
) -> Result<(), Failure> {
    let literals = |key: &Key| -> Option<Vec<String>> {
        table.key_columns().zip(key).map(|(column, text)| key::source_literal(column.family, text)).collect()
    };
    let absent: Vec<Vec<String>> =
        rows.iter().filter(|(_, row)| row.is_none()).filter_map(|(key, _)| literals(key)).collect();
    if absent.is_empty() {
        return Ok(());
    }
    for fields in fence.reader.query(&table.select_keys(&absent)).await? {
        let (key, row) = source_row(table, &fields)?;
        rows.insert(key, Some(row));
    }
    Ok(())
}

/// What came of a second look.
struct Verdict {
    /// `None`: equal.
    kind: Option<Kind>,
    /// A merge that is still to come may mend it.
    may_pass: bool,
}

async fn judge(
    table: &SourceTable,
    destination: &DestinationTable<'_>,
    fence: &Fence,
    keys: &[Key],
    rows: &HashMap<Key, Option<Row>>,
) -> Result<Vec<(Key, Verdict)>, Failure> {
    // The merged rows first: the log must not be older than they are.
    let merged = if destination.is_merged { destination.merged_rows(keys).await? } else { Vec::new() };
    let mut histories: HashMap<Key, Vec<Version>> = HashMap::new();
    for version in destination.history(keys).await? {
        histories.entry(version.key.clone()).or_default().push(version);
    }
    let mut verdicts = Vec::new();
    for key in keys {
        let source = rows.get(key).and_then(Option::as_ref);
        let mut history = histories.remove(key).unwrap_or_default();
        history.sort_by(|a, b| a.sequence.cmp(&b.sequence));
        history.retain(|version| !destination.is_truncated(version));
        let states = states(&history);
        let kind = judge_log(table, fence, source, (&history, &states));
        let verdict = match (kind, destination.is_merged) {
            (Some(kind), _) => Verdict { kind: Some(kind), may_pass: false },
            (None, false) => Verdict { kind: None, may_pass: false },
            (None, true) => {
                let row = merged.iter().find(|version| version.key == *key);
                judge_merged(table, (fence, source), (&history, &states), row)
            }
        };
        verdicts.push((key.clone(), verdict));
    }
    Ok(verdicts)
}

/// The row after each version; `None` when it is deleted.
fn states(history: &[Version]) -> Vec<State> {
    let mut states: Vec<State> = Vec::with_capacity(history.len());
    for version in history {
        let state = (!version.is_delete).then(|| {
            let mut cells = version.cells.clone();
            if let Some(Some(older)) = states.last() {
                fill(&mut cells, older);
            }
            cells
        });
        states.push(state);
    }
    states
}

/// The log before the fence must give the source's row. A change between `settled` and the fence may belong to a
/// transaction that was still open at the fence: then any state from there on is right.
fn judge_log(
    table: &SourceTable,
    fence: &Fence,
    source: Option<&Row>,
    (history, states): (&[Version], &[State]),
) -> Option<Kind> {
    let before = |limit: u64| history.iter().rposition(|version| version.lsn.is_none_or(|lsn| lsn < limit));
    let first = before(fence.settled.0);
    let last = before(fence.lsn.0);
    let state = |at: Option<usize>| at.and_then(|at| states.get(at)).and_then(Option::as_ref);
    let mut acceptable = vec![state(first)];
    if let Some(last) = last {
        acceptable.extend((first.map_or(0, |at| at + 1)..=last).map(|at| state(Some(at))));
    }
    let fits = |found: &Option<&Vec<Option<Cell>>>| match (source, found) {
        (None, None) => true,
        (Some(row), Some(cells)) => is_equal(row, cells),
        _ => false,
    };
    if acceptable.iter().any(fits) {
        return None;
    }
    kind(table, source, state(last))
}

fn kind(table: &SourceTable, source: Option<&Row>, found: Option<&Vec<Option<Cell>>>) -> Option<Kind> {
    match (source, found) {
        (None, None) => None,
        (Some(_), None) => Some(Kind::Missing),
        (None, Some(_)) => Some(Kind::Extra),
        (Some(row), Some(cells)) => {
            let columns = table.columns.iter().zip(row).zip(cells);
            let differing = columns
                .filter(|((_, a), b)| b.as_ref() != Some(*a))
                .map(|((column, a), b)| (column.name.clone(), a.clone(), b.clone()))
                .collect();
            Some(Kind::Different(differing))
        }
    }
}

/// The merged row must be what its log says at its own sequence, and not be older than the fence.
fn judge_merged(
    table: &SourceTable,
    (fence, source): (&Fence, Option<&Row>),
    (history, states): (&[Version], &[State]),
    row: Option<&Version>,
) -> Verdict {
    let passed = history.iter().rposition(|version| version.lsn.is_none_or(|lsn| lsn < fence.settled.0));
    let state = |at: usize| states.get(at).and_then(Option::as_ref);
    let found = row.map(|row| &row.cells);
    let is_right = match row {
        Some(row) => match history.iter().rposition(|version| version.sequence == row.sequence) {
            Some(at) => {
                let cells: Option<Row> = state(at).and_then(|cells| cells.iter().cloned().collect());
                passed.is_none_or(|passed| at >= passed)
                    && cells.is_some_and(|cells| is_equal(&cells, &row.cells))
            }
            None => false,
        },
        // Gone, or not merged yet: right if a delete, or nothing at all, is among the states from the fence on.
        None => match passed {
            None => true,
            Some(passed) => (passed..states.len()).any(|at| state(at).is_none()),
        },
    };
    match is_right {
        true => Verdict { kind: None, may_pass: false },
        false => Verdict { kind: kind(table, source, found).or(Some(Kind::Stale)), may_pass: true },
    }
}
