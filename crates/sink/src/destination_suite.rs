//! What every [`Destination`] must do. Each implementation runs it, the in-memory one included.

use crate::config::DeleteMode;
use crate::destination::{
    Audit, Channel, ChannelStatus, CurrentKind, CurrentState, Destination, DestinationError, ErrorKind,
    RowBatch, StoredType, TableColumn, TablePlan,
};
use crate::merge::{MergePlan, MergeRange, offset_floor, offset_text};
use crate::row::{RowEncoder, column};
use cdcd_debezium::event::value::Value;
use std::future::Future;
use std::sync::Arc;

/// Attempts to see a batch durable, each after one pause of the caller's choice.
const POLLS_MAX: u32 = 400;

/// Runs all checks in tables whose names start with `prefix`, which must not exist yet.
///
/// # Errors
/// The first rule that does not hold, in words.
pub async fn run<D, P, F>(
    destination: &D,
    encoder: &mut dyn RowEncoder,
    prefix: &str,
    pause: P,
) -> Result<(), String>
where
    D: Destination,
    P: Fn() -> F,
    F: Future<Output = ()>,
{
    let mut suite = Suite { destination, encoder, plan: plan(prefix), pause };
    suite.tables().await?;
    suite.channels().await?;
    suite.merges().await
}

struct Suite<'d, D, P> {
    destination: &'d D,
    encoder: &'d mut dyn RowEncoder,
    plan: TablePlan,
    pause: P,
}

fn plan(prefix: &str) -> TablePlan {
    let column = |name: &str, stored| TableColumn { name: name.to_owned(), stored };
    let business = vec![
        column("ID", StoredType::Number { precision: 38, scale: 0 }),
        column("NOTE", StoredType::Text),
        column("DOC", StoredType::Variant),
    ];
    let mut columns = business.clone();
    columns.push(column(column::OP, StoredType::Text));
    columns.push(column(column::SEQ, StoredType::Text));
    columns.push(column(column::TS, StoredType::Instant));
    columns.push(column(column::OFFSET, StoredType::Text));
    columns.push(column(column::UNCHANGED, StoredType::Text));
    let current = CurrentState {
        name: prefix.to_owned(),
        kind: CurrentKind::Table,
        keys: vec!["ID".to_owned()],
        columns: business,
        audit: Audit::default(),
    };
    TablePlan { table: format!("{prefix}__LOG"), columns, current: Some(current) }
}

fn demand(holds: bool, rule: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(rule.to_owned()) }
}

fn worked<T>(what: &str, answer: Result<T, DestinationError>) -> Result<T, String> {
    answer.map_err(|error| format!("{what}: {error}"))
}

impl<D: Destination, P: Fn() -> F, F: Future<Output = ()>> Suite<'_, D, P> {
    async fn tables(&mut self) -> Result<(), String> {
        let name = self.plan.table.clone();
        let described = worked("describing", self.destination.describe(&name).await)?;
        demand(described.is_none(), "a table that does not exist is described as absent")?;
        let mut first = self.plan.clone();
        first.columns.retain(|column| column.name != "DOC");
        for (what, plan) in [("making", &first), ("altering", &self.plan), ("altering again", &self.plan)] {
            worked(what, self.destination.prepare(plan).await)?;
        }
        let described = worked("describing", self.destination.describe(&name).await)?.unwrap_or_default();
        for column in &self.plan.columns {
            let found = described.iter().find(|have| have.name == column.name);
            demand(
                found.is_some_and(|have| have.stored == column.stored),
                &format!("column {} is described as it was made, not as {found:?}", column.name),
            )?;
        }
        Ok(())
    }

    async fn channels(&mut self) -> Result<(), String> {
        let status = self.open(1).await?;
        demand(
            status.token.is_none() && status.rows_error_count == 0,
            "a new channel has no token and no errors",
        )?;
        let first = self.batch(1, 0, &[("c", 1, Some("a")), ("c", 2, Some("b"))]);
        worked("appending", self.destination.append(&first).await)?;
        let status = self.durable(1, &first).await?;
        demand(status.rows_inserted == Some(2), "two rows are counted as inserted")?;

        let status = self.open(2).await?;
        demand(
            status.token.as_deref() == Some(&*first.end_token),
            "a reopened channel tells its committed token",
        )?;
        let late = self.batch(1, 2, &[("c", 9, Some("zombie"))]);
        let refused = self.destination.append(&late).await;
        demand(
            refused.is_err_and(|error| error.kind == ErrorKind::Reopen),
            "a batch of an older open is refused, and the error asks for a new open",
        )?;
        let second = self.batch(2, 2, &[("u", 1, None), ("d", 2, None)]);
        worked("appending", self.destination.append(&second).await)?;
        let status = self.durable(2, &second).await?;
        demand(status.rows_inserted == Some(4), "rows of a refused batch are not inserted")
    }

    async fn merges(&mut self) -> Result<(), String> {
        let channels = [self.channel(2).name];
        let answer = worked("reading the ledger", self.destination.ledger(&self.plan, &channels).await)?;
        demand(answer.keys == ["ID"], "the ledger tells the merged table's keys")?;
        demand(
            matches!(answer.rows.as_slice(), [(_, row)] if row.merged.is_empty() && row.generation == 0),
            "a channel that was never merged has an empty ledger row",
        )?;
        let range = MergeRange {
            channel: self.channel(2).name,
            after: offset_floor(TAG, 0),
            upto: offset_text(TAG, 0, 3),
            generation: 0,
        };
        let mut merge = MergePlan {
            id: "suite-1".to_owned(),
            plan: self.plan.clone(),
            deletes: DeleteMode::Hard,
            ranges: vec![range],
        };
        worked("merging", self.destination.merge(&merge).await)?;
        let answer = worked("reading the ledger", self.destination.ledger(&self.plan, &channels).await)?;
        demand(
            matches!(answer.rows.as_slice(), [(_, row)] if row.merged == offset_text(TAG, 0, 3) && row.generation == 1),
            "a merge moves the ledger",
        )?;
        merge.id = "suite-2".to_owned();
        let again = self.destination.merge(&merge).await;
        demand(
            again.is_err_and(|error| error.kind == ErrorKind::Conflict),
            "a merge on an old generation is a conflict and changes nothing",
        )
    }

    fn channel(&self, epoch: u64) -> Channel {
        Channel { table: self.plan.table.clone(), name: "suite_channel_0".to_owned(), epoch }
    }

    async fn open(&self, epoch: u64) -> Result<ChannelStatus, String> {
        let status = worked("opening", self.destination.open(&self.channel(epoch)).await)?;
        demand(status.problem.is_none(), "an opened channel is usable")?;
        Ok(status)
    }

    fn batch(&mut self, epoch: u64, first: i64, rows: &[(&str, i64, Option<&str>)]) -> RowBatch {
        let mut body = Vec::new();
        let mut offset = first;
        for (op, id, note) in rows {
            let text = |text: String| Value::Text(text.into());
            let unchanged =
                if note.is_none() && *op == "u" { text(",NOTE,".to_owned()) } else { Value::Null };
            let columns = [
                ("ID", StoredType::Number { precision: 38, scale: 0 }, Value::Integer(*id)),
                ("NOTE", StoredType::Text, note.map_or(Value::Null, |note| text(note.to_owned()))),
                ("DOC", StoredType::Variant, Value::Json(r#"{"k":[1,"é\n"]}"#.into())),
                (column::OP, StoredType::Text, text((*op).to_owned())),
                (column::SEQ, StoredType::Text, text(format!("{offset:043}"))),
                (column::TS, StoredType::Instant, Value::Instant("2024-02-29T12:34:56.789012Z".into())),
                (column::OFFSET, StoredType::Text, text(offset_text(TAG, 0, offset))),
                (column::UNCHANGED, StoredType::Text, unchanged),
            ];
            self.encoder.begin(&mut body);
            for (name, stored, value) in &columns {
                self.encoder.field(&mut body, name, stored, value).expect("values of the suite are in range");
            }
            self.encoder.end(&mut body);
            offset += 1;
        }
        RowBatch {
            channel: self.channel(epoch),
            body: Arc::new(body),
            rows: u32::try_from(rows.len()).unwrap_or(u32::MAX),
            first_offset: first,
            last_offset: offset - 1,
            start_token: format!("suite|{first}"),
            end_token: format!("suite|{offset}"),
        }
    }

    async fn durable(&self, epoch: u64, batch: &RowBatch) -> Result<ChannelStatus, String> {
        let channel = self.channel(epoch);
        for _ in 0..POLLS_MAX {
            let statuses = worked("asking", self.destination.statuses(std::slice::from_ref(&channel)).await)?;
            let status =
                statuses.into_iter().find(|(name, _)| *name == channel.name).map(|(_, status)| status);
            let status = status.ok_or("an open channel has a status")?;
            demand(status.rows_error_count == 0, &format!("no row is rejected: {:?}", status.last_error))?;
            if status.token.as_deref() == Some(&*batch.end_token) {
                return Ok(status);
            }
            (self.pause)().await;
        }
        Err("an accepted batch becomes durable in time".to_owned())
    }
}

const TAG: &str = "5017e000";
