//! G7: the publication that the stream is made by, as it was and as it is.
//!
//! A publication that changes takes changes out of the stream without a word: a table that is dropped and made again
//! is not in it any more, an operation is published no longer, a row filter hides rows. What it was is kept beside
//! the position; at each start and every half minute it is compared with what it is.

use std::collections::BTreeMap;

use cdcd_postgres::{catalog, publication};
use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

use crate::connector::source::SourceSettings;
use crate::exit::Failure;

/// Time between two looks while streaming.
const LOOK_INTERVAL_NS: i64 = 30_000_000_000;

/// A publication, as the guard remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// A publication that is made again has another one.
    pub oid: u32,
    /// `FOR ALL TABLES`
    pub all_tables: bool,
    /// `publish_via_partition_root`
    pub via_root: bool,
    /// `insert`, `update`, `delete`, `truncate`.
    pub operations: Vec<String>,
    /// Captured tables by `schema.table`; empty for all tables.
    pub tables: BTreeMap<String, PublishedTable>,
}

/// A table of it.

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedTable {
    /// A table that is made again has another one.
    pub oid: u32,
    /// Row filter.
    pub filter: Option<String>,
    /// Column numbers, if it has a list of columns.
    pub columns: Option<String>,
}

impl Published {
    /// The publication as it is now; `None` if it does not exist.
    pub(super) async fn now(settings: &SourceSettings, control: &Client) -> Result<Option<Self>, Failure> {
        let Some(found) = publication::describe(control, &settings.publication.name).await? else {
            return Ok(None);
        };
        let captured = |table: &publication::PublishedTable| {
            settings.capture.filters.captures(&table.schema, &table.name)
        };
        let tables = match found.all_tables {
            true => BTreeMap::new(),
            false => found.tables.into_iter().filter(captured).map(remember).collect(),
        };
        Ok(Some(Published {
            oid: found.oid,
            all_tables: found.all_tables,
            via_root: found.via_root,
            operations: found.operations,
            tables,
        }))
    }

    /// Whether the stream still has all that it had when publication `name` was like `self`. `existing`: OIDs of the
    /// database's tables by `schema.table`; only those are asked for that the publication has lost.
    ///
    /// # Errors
    /// A guard's stop.
    pub fn goes_on(
        &self,
        name: &str,
        now: Option<&Published>,
        existing: &BTreeMap<String, u32>,
    ) -> Result<(), Failure> {
        let Some(now) = now.filter(|now| now.oid == self.oid) else {
            return Err(Failure::guard(
                "E_PUBLICATION_HISTORY",
                format!(
                    "publication {name} was dropped{}",
                    if now.is_some() { " and made again" } else { "" }
                ),
            )
            .hint("the changes that were made while it was gone are in no stream any more")
            .hint(CONSENT));
        };
        if let Some(lost) = self.operations.iter().find(|operation| !now.operations.contains(operation)) {
            return Err(changed(name, &format!("it publishes no {lost} any more")));
        }
        if self.via_root != now.via_root {
            return Err(changed(
                name,
                "publish_via_partition_root was changed, and with it the names of tables",
            ));
        }
        if self.all_tables && !now.all_tables {
            return Err(changed(name, "it is not FOR ALL TABLES any more"));
        }
        if now.all_tables {
            return Ok(());
        }
        for (table, before) in &self.tables {
            match now.tables.get(table) {
                Some(now) if now.oid != before.oid => return Err(recreated(table, before.oid, now.oid)),
                Some(now) if now.filter != before.filter => {
                    return Err(changed(name, &format!("the row filter of {table} was changed")));
                }
                Some(now) if now.columns != before.columns => {
                    return Err(changed(name, &format!("the column list of {table} was changed")));
                }
                Some(_) => {}
                None => missing(name, table, before.oid, existing.get(table).copied())?,
            }
        }
        Ok(())
    }

    /// Whether a table is not in the publication any more.
    fn has_lost_tables(&self, now: Option<&Published>) -> bool {
        now.is_some_and(|now| self.tables.keys().any(|table| !now.tables.contains_key(table)))
    }

    async fn judge(
        &self,
        settings: &SourceSettings,
        control: &Client,
        now: Option<&Published>,
    ) -> Result<(), Failure> {
        let existing = match self.has_lost_tables(now) {
            true => catalog::tables(control).await?,
            false => Vec::new(),
        };
        let existing =
            existing.into_iter().map(|table| (format!("{}.{}", table.schema, table.name), table.oid));
        self.goes_on(&settings.publication.name, now, &existing.collect())
    }

    /// As it is kept beside the position.
    pub fn encode(&self) -> Vec<u8> {
        // Only strings, numbers and booleans: serialization cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what was kept.
    ///
    /// # Errors
    /// A guard's stop if it cannot be read.
    pub fn decode(value: &[u8]) -> Result<Self, Failure> {
        serde_json::from_slice(value).map_err(|error| {
            Failure::guard(
                "E_POSITION_FORMAT",
                format!("what was kept of the publication is unreadable: {error}"),
            )
        })
    }
}

/// Compares `before` with now.
///
/// # Errors
/// A guard's stop, unless `accept_loss` consents to go on without what is missing.
pub(crate) async fn check(
    settings: &SourceSettings,
    control: &Client,
    before: Option<Published>,
    accept_loss: bool,
) -> Result<(), Failure> {
    let captures = |name: &String| {
        name.split_once('.').is_some_and(|(schema, table)| settings.capture.filters.captures(schema, table))
    };
    let Some(mut before) = before else { return Ok(()) };
    // What is not captured any more is not missed.
    before.tables.retain(|name, _| captures(name));
    let now = Published::now(settings, control).await?;
    match before.judge(settings, control, now.as_ref()).await {
        Err(failure) if accept_loss && failure.exit == crate::exit::Exit::Guard => {
            tracing::warn!(error = failure.render(), "--accept-loss: going on with the publication as it is");
            Ok(())
        }
        outcome => outcome,
    }
}

/// Looks at the publication now and then.
pub struct Watch {
    published: Option<Published>,
    next_at: i64,
}

impl Watch {
    /// `published`: as the stream was started with. Times in nanoseconds.
    pub fn new(published: Option<Published>, now_ns: i64) -> Self {
        Watch { published, next_at: now_ns.saturating_add(LOOK_INTERVAL_NS) }
    }

    /// What the publication must be compared with, if it is time to look.
    pub fn due(&mut self, now_ns: i64) -> Option<&Published> {
        if now_ns < self.next_at {
            return None;
        }
        self.next_at = now_ns.saturating_add(LOOK_INTERVAL_NS);
        self.published.as_ref()
    }

    pub(super) async fn look(
        &mut self,
        settings: &SourceSettings,
        control: &Client,
        now_ns: i64,
    ) -> Result<(), Failure> {
        let Some(published) = self.due(now_ns) else { return Ok(()) };
        let now = Published::now(settings, control).await?;
        published.judge(settings, control, now.as_ref()).await
    }
}

/// A table that was in the publication is not in it any more: is it gone?
fn missing(publication: &str, table: &str, before: u32, now: Option<u32>) -> Result<(), Failure> {
    match now {
        None => {
            tracing::warn!(table, "a captured table was dropped");
            Ok(())
        }
        Some(now) if now != before => Err(recreated(table, before, now)),
        Some(_) => Err(Failure::guard(
            "E_TABLE_UNPUBLISHED",
            format!(
                "table {table} was taken out of publication {publication}: its changes are not in the stream"
            ),
        )
        .hint(format!("ALTER PUBLICATION {publication} ADD TABLE {table};"))
        .hint(CONSENT)),
    }
}

const CONSENT: &str = "then take a new snapshot under another connector name, or go on without these changes: --accept-loss, for one start";

fn recreated(table: &str, before: u32, now: u32) -> Failure {
    Failure::guard(
        "E_TABLE_RECREATED",
        format!(
            "table {table} was dropped and made again (OID {before}, now {now}): what was written to the new one before it \
             was published is not in the stream"
        ),
    )
    .hint(CONSENT)
}

fn changed(publication: &str, what: &str) -> Failure {
    Failure::guard("E_PUBLICATION_CHANGED", format!("publication {publication}: {what}"))
        .hint("set it back, or if it is meant to be so:")
        .hint(CONSENT)
}

fn remember(table: publication::PublishedTable) -> (String, PublishedTable) {
    let name = format!("{}.{}", table.schema, table.name);
    (name, PublishedTable { oid: table.oid, filter: table.filter, columns: table.columns })
}
