//! A destination table as the sink knows it: its columns, how source columns meet them, and its evolution.

use crate::config::{Config, DecimalMode, DeleteMode, Landing, Modes, TableMode, TimeMode};
use crate::destination::{Audit, CurrentKind, CurrentState, StoredType, TableColumn, TablePlan};
use crate::row::column;
use cdcd_debezium::event::Fields;
use cdcd_debezium::event::schema::{ColumnType, DateNotation, RowSchema, TimeNotation};
use std::sync::Arc;

/// The destination name of a source column: upper case, as Snowflake folds unquoted names.
pub fn destination_name(source: &str) -> String {
    source.to_uppercase()
}

/// The destination type of a source type.
pub fn stored_type(kind: ColumnType) -> StoredType {
    match kind {
        ColumnType::Boolean => StoredType::Boolean,
        ColumnType::Integer { .. } => StoredType::Number { precision: 38, scale: 0 },
        ColumnType::Float { .. } => StoredType::Float,
        ColumnType::Decimal { precision, scale } => number(precision, scale),
        // Any number of digits on both sides of the point: no fixed NUMBER holds them all.
        ColumnType::VariableDecimal | ColumnType::DecimalText | ColumnType::Text => StoredType::Text,
        ColumnType::Bytes(_) => StoredType::Binary,
        ColumnType::Json | ColumnType::Nested => StoredType::Variant,
        ColumnType::Date(_) => StoredType::Date,
        ColumnType::Time(unit) => StoredType::Time { precision: digits(unit) },
        ColumnType::Timestamp(unit) => StoredType::Timestamp { precision: digits(unit) },
        ColumnType::ZonedTimestamp => StoredType::Instant,
    }
}

const NUMBER_DIGITS_MAX: u32 = 38;

fn number(precision: Option<u32>, scale: i32) -> StoredType {
    let precision = precision.unwrap_or(NUMBER_DIGITS_MAX);
    match u32::try_from(scale) {
        Ok(scale) if precision.max(scale) <= NUMBER_DIGITS_MAX && scale < NUMBER_DIGITS_MAX => {
            StoredType::Number { precision: precision.max(scale), scale }
        }
        Err(_) if precision + scale.unsigned_abs() <= NUMBER_DIGITS_MAX => {
            StoredType::Number { precision: precision + scale.unsigned_abs(), scale: 0 }
        }
        _ => StoredType::Text,
    }
}

fn digits(unit: TimeNotation) -> u32 {
    match unit {
        TimeNotation::Millis => 3,
        TimeNotation::Micros | TimeNotation::Iso => 6,
        TimeNotation::Nanos => 9,
    }
}

/// How a column of an existing table is written in events that carry no schema.
fn event_type(stored: &StoredType, modes: &Modes) -> Option<ColumnType> {
    let unit = |precision: u32, time_of_day: bool| match modes.time {
        TimeMode::Connect => TimeNotation::Millis,
        TimeMode::AdaptiveTimeMicroseconds if time_of_day => TimeNotation::Micros,
        TimeMode::Adaptive | TimeMode::AdaptiveTimeMicroseconds if precision <= 3 => TimeNotation::Millis,
        TimeMode::Adaptive | TimeMode::AdaptiveTimeMicroseconds | TimeMode::Microseconds => {
            TimeNotation::Micros
        }
        TimeMode::Nanoseconds => TimeNotation::Nanos,
        TimeMode::IsoString => TimeNotation::Iso,
    };
    Some(match *stored {
        StoredType::Boolean => ColumnType::Boolean,
        StoredType::Number { precision, scale } => match modes.decimal {
            DecimalMode::String => ColumnType::DecimalText,
            DecimalMode::Precise | DecimalMode::Double => {
                ColumnType::Decimal { precision: Some(precision), scale: i32::try_from(scale).ok()? }
            }
        },
        StoredType::Float => ColumnType::Float { bits: 64 },
        StoredType::Text => ColumnType::Text,
        StoredType::Binary => ColumnType::Bytes(modes.binary),
        StoredType::Date if modes.time == TimeMode::IsoString => ColumnType::Date(DateNotation::Iso),
        StoredType::Date => ColumnType::Date(DateNotation::Days),
        StoredType::Time { precision } => ColumnType::Time(unit(precision, true)),
        StoredType::Timestamp { precision } => ColumnType::Timestamp(unit(precision, false)),
        StoredType::Instant => ColumnType::ZonedTimestamp,
        StoredType::Variant => ColumnType::Json,
        StoredType::Other(_) => return None,
    })
}

/// Whether values of `wanted` fit a column of type `stored` without loss.
fn accepts(stored: &StoredType, wanted: &StoredType) -> bool {
    match (stored, wanted) {
        (StoredType::Text | StoredType::Variant, _) => true,
        (StoredType::Number { scale: s, .. }, StoredType::Number { scale: wanted_s, .. }) => {
            // More digits than the column has are rejected loudly; a lost fraction would be rounded in silence.
            s >= wanted_s
        }
        (StoredType::Time { precision }, StoredType::Time { precision: wanted })
        | (StoredType::Timestamp { precision }, StoredType::Timestamp { precision: wanted }) => {
            precision >= wanted
        }
        _ => std::mem::discriminant(stored) == std::mem::discriminant(wanted),
    }
}

/// How the fields of a row meet the columns of the table.
#[derive(Debug)]
struct Binding {
    /// The event schema that it was made for; `None` when the event carried none.
    schema: Option<Arc<RowSchema>>,
    /// In the order of the row.
    columns: Vec<Bound>,
}

/// One source column and its destination.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    pub(crate) source: String,
    pub(crate) kind: ColumnType,
    pub(crate) target: TableColumn,
}

/// What the sink finds when it wants to write a row of some schema.
#[derive(Debug)]
pub(crate) enum Fit {
    /// The table takes it.
    Fits,
    /// The table lacks columns.
    Evolve,
    /// A column exists with a type that cannot hold the values.
    Clash(String),
}

/// How far the table is known and ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TablePhase {
    /// Not asked yet.
    Unknown,
    /// Asked.
    Describing,
    /// There is none; the first event's schema will make it.
    Missing,
    /// Columns are wanted; partitions are draining.
    Draining,
    /// Being made or altered.
    Preparing,
    /// Usable.
    Ready,
}

/// One destination table, shared by all partitions that land in it.
#[derive(Debug)]
pub(crate) struct Table {
    /// Base name, for example `FLIGHTS`.
    pub(crate) base: String,
    pub(crate) landing: Landing,
    pub(crate) mode: TableMode,
    pub(crate) deletes: DeleteMode,
    audit: Audit,
    modes: Modes,
    pub(crate) phase: TablePhase,
    /// Columns that exist, as described or prepared.
    pub(crate) columns: Vec<TableColumn>,
    /// Columns that the coming preparation adds.
    wanted: Vec<TableColumn>,
    /// Destination names of the key columns, once an event told them.
    pub(crate) keys: Vec<String>,
    binding: Option<Binding>,
    current_ready: bool,
    /// Columns of an existing current-state table: types for a log that is not there yet.
    template: Vec<TableColumn>,
}

impl Table {
    pub(crate) fn new(base: &str, config: &Config) -> Self {
        let mode = if config.landing == Landing::Variant { TableMode::Append } else { config.mode };
        Table {
            base: base.to_owned(),
            landing: config.landing,
            mode,
            deletes: config.deletes,
            audit: config.audit.clone(),
            modes: config.modes,
            phase: TablePhase::Unknown,
            columns: Vec::new(),
            wanted: Vec::new(),
            keys: config.key_fields.iter().map(|name| destination_name(name)).collect(),
            binding: None,
            current_ready: false,
            template: Vec::new(),
        }
    }

    /// Name of the landing table.
    pub(crate) fn landing_name(&self) -> String {
        match self.landing {
            Landing::Variant => self.base.clone(),
            Landing::Log | Landing::IdData => format!("{}__LOG", self.base),
        }
    }

    /// Takes what the destination says about the landing table. Decides whether it must be made now.
    pub(crate) fn described(&mut self, columns: Option<Vec<TableColumn>>, current: Option<Vec<TableColumn>>) {
        self.template = current.unwrap_or_default();
        let fixed = self.fixed_columns();
        self.binding = None;
        match columns {
            Some(columns) => {
                self.wanted = missing(&columns, fixed);
                self.columns = columns;
                // What stands beside an id/data log is known without an event, and made again if it is gone.
                let beside = self.mode != TableMode::Append && self.landing == Landing::IdData;
                let complete = self.wanted.is_empty() && !beside;
                self.phase = if complete { TablePhase::Ready } else { TablePhase::Draining };
            }
            None if self.landing == Landing::Log => self.phase = TablePhase::Missing,
            None => {
                self.wanted = fixed;
                self.phase = TablePhase::Draining;
            }
        }
    }

    /// The columns that every landing table of this shape has.
    fn fixed_columns(&self) -> Vec<TableColumn> {
        let column = |name: &str, stored| TableColumn { name: name.to_owned(), stored };
        let own = [column::OP, column::SEQ, column::TS, column::OFFSET, column::UNCHANGED];
        let own = own.into_iter().map(|name| match name {
            column::TS => column(name, StoredType::Instant),
            _ => column(name, StoredType::Text),
        });
        match self.landing {
            Landing::Variant => vec![
                column(column::RECORD_METADATA, StoredType::Variant),
                column(column::RECORD_CONTENT, StoredType::Variant),
            ],
            Landing::Log => own.collect(),
            Landing::IdData => {
                [column(column::ID, StoredType::Text), column(column::DATA, StoredType::Variant)]
                    .into_iter()
                    .chain(own)
                    .collect()
            }
        }
    }

    /// Whether rows of `schema` can be written now. Without a schema the table's own columns tell the types.
    pub(crate) fn fit(&mut self, schema: Option<&Arc<RowSchema>>, row: &Fields<'_>) -> Fit {
        match (schema, &self.binding) {
            (Some(wanted), Some(Binding { schema: Some(bound), .. }))
                if Arc::ptr_eq(wanted, bound) || wanted == bound =>
            {
                Fit::Fits
            }
            (None, Some(Binding { schema: None, columns }))
                if columns.len() == row.len()
                    && columns.iter().zip(row.iter()).all(|(bound, (name, _))| bound.source == name) =>
            {
                Fit::Fits
            }
            (Some(schema), _) => self.fit_schema(schema),
            (None, _) => self.fit_fields(row),
        }
    }

    fn fit_schema(&mut self, schema: &Arc<RowSchema>) -> Fit {
        let mut columns: Vec<Bound> = Vec::with_capacity(schema.columns.len());
        let mut wanted = Vec::new();
        for source in &schema.columns {
            let name = destination_name(&source.name);
            let target = TableColumn { stored: stored_type(source.kind), name };
            if let Some(twin) = columns.iter().find(|bound| bound.target.name == target.name) {
                return Fit::Clash(format!(
                    "columns {} and {} both become {}",
                    twin.source, source.name, target.name
                ));
            }
            if let Some(clash) = self.audit_clash(&target.name) {
                return clash;
            }
            let bound = |target| Bound { source: source.name.clone(), kind: source.kind, target };
            match self.columns.iter().find(|column| column.name == target.name) {
                None => {
                    wanted.push(target.clone());
                    columns.push(bound(target));
                }
                Some(existing) if accepts(&existing.stored, &target.stored) => {
                    columns.push(bound(existing.clone()));
                }
                Some(existing) => {
                    return Fit::Clash(format!(
                        "column {} is {} in table {}, but the events now need {}",
                        existing.name,
                        existing.stored,
                        self.landing_name(),
                        target.stored
                    ));
                }
            }
        }
        if !wanted.is_empty() {
            return self.evolve_by(wanted);
        }
        self.binding = Some(Binding { schema: Some(Arc::clone(schema)), columns });
        Fit::Fits
    }

    /// Without a schema the table's own columns tell the types, or those of the table that merges keep.
    fn fit_fields(&mut self, row: &Fields<'_>) -> Fit {
        let mut columns = Vec::with_capacity(row.len());
        let mut wanted = Vec::new();
        for (source, _) in row.iter() {
            let name = destination_name(source);
            if let Some(clash) = self.audit_clash(&name) {
                return clash;
            }
            let named = |column: &&TableColumn| column.name == name;
            let existing = self.columns.iter().find(named);
            let found = existing.or_else(|| self.template.iter().find(named));
            let kind = found.and_then(|column| event_type(&column.stored, &self.modes));
            let (Some(target), Some(kind)) = (found, kind) else {
                return Fit::Clash(format!(
                    "field {source} has no column in table {}, and the events carry no schema to make one from",
                    self.landing_name()
                ));
            };
            if existing.is_none() {
                wanted.push(target.clone());
            }
            columns.push(Bound { source: source.to_owned(), kind, target: target.clone() });
        }
        if !wanted.is_empty() {
            return self.evolve_by(wanted);
        }
        self.binding = Some(Binding { schema: None, columns });
        Fit::Fits
    }

    /// A column of the source and one of ours cannot share a name.
    fn audit_clash(&self, name: &str) -> Option<Fit> {
        (self.mode != TableMode::Append && self.audit.has(name)).then(|| {
            Fit::Clash(format!(
                "the events have a column {name} of their own: give the audit column of table {} another name",
                self.base
            ))
        })
    }

    fn evolve_by(&mut self, mut wanted: Vec<TableColumn>) -> Fit {
        wanted.extend(missing(&self.columns, self.fixed_columns()));
        self.wanted = wanted;
        Fit::Evolve
    }

    /// Whether types are known for events without a schema.
    pub(crate) fn has_types(&self) -> bool {
        !self.columns.is_empty() || !self.template.is_empty()
    }

    /// The columns bound by the last [`Table::fit`] that said [`Fit::Fits`].
    pub(crate) fn bound(&self) -> &[Bound] {
        self.binding.as_ref().map_or(&[], |binding| &binding.columns)
    }

    /// Business columns: all but the log's own and the audit columns.
    fn business(&self, columns: &[TableColumn]) -> Vec<TableColumn> {
        let own = [column::OP, column::SEQ, column::TS, column::OFFSET, column::UNCHANGED];
        let is_business = |name: &str| !own.contains(&name) && !self.audit.has(name);
        columns.iter().filter(|column| is_business(&column.name)).cloned().collect()
    }

    /// What the destination must make, with the columns that exist and those that are wanted.
    pub(crate) fn plan(&self) -> TablePlan {
        let mut columns = self.columns.clone();
        columns.extend(self.wanted.iter().cloned());
        // The log's own columns last, whatever came first.
        let own: Vec<String> = match self.landing {
            Landing::Log => self.fixed_columns().into_iter().map(|column| column.name).collect(),
            _ => Vec::new(),
        };
        columns.sort_by_key(|column| own.iter().position(|name| *name == column.name).map_or(0, |at| at + 1));
        let current = self.current_state(&columns);
        TablePlan { table: self.landing_name(), columns, current }
    }

    fn current_state(&self, columns: &[TableColumn]) -> Option<CurrentState> {
        let kind = match self.mode {
            TableMode::Append => return None,
            TableMode::View => CurrentKind::View,
            TableMode::Merge => CurrentKind::Table,
        };
        let mut audit = self.audit.clone();
        let keys: Vec<String> = match self.landing {
            Landing::IdData => {
                audit.timestamp.get_or_insert_with(|| column::LAST_UPDATED.to_owned());
                vec![column::ID.to_owned()]
            }
            _ => self.keys.iter().map(|key| destination_name(key)).collect(),
        };
        if keys.is_empty() {
            return None;
        }
        Some(CurrentState { name: self.base.clone(), kind, keys, columns: self.business(columns), audit })
    }

    /// Whether the current-state object is as the known keys and columns want it.
    pub(crate) fn current_is_prepared(&self) -> bool {
        self.mode == TableMode::Append || self.current_ready
    }

    /// A prepared table tells its keys even when no record comes after a restart. It is prepared again before the
    /// next merge if the settings have since asked for columns that it lacks.
    pub(crate) fn keys_from_ledger(&mut self, keys: Vec<String>) {
        if !self.keys.is_empty() || keys.is_empty() {
            return;
        }
        self.keys = keys;
        self.current_ready |= missing(&self.template, self.audit.columns()).is_empty();
        if !self.current_ready && self.phase == TablePhase::Ready {
            self.phase = TablePhase::Draining;
        }
    }

    /// Neither the record nor a table tells the types: the whole message lands as it is.
    pub(crate) fn fall_back_to_variant(&mut self) {
        tracing::warn!(
            table = self.base,
            "events carry no schema and there is no table to take types from: landing RECORD_CONTENT"
        );
        self.landing = Landing::Variant;
        self.mode = TableMode::Append;
        self.wanted = self.fixed_columns();
    }

    /// The preparation succeeded.
    pub(crate) fn prepared(&mut self) {
        self.columns = self.plan().columns;
        self.wanted.clear();
        self.binding = None;
        self.current_ready = self.plan().current.is_some();
        self.phase = TablePhase::Ready;
    }
}

fn missing(existing: &[TableColumn], wanted: Vec<TableColumn>) -> Vec<TableColumn> {
    wanted.into_iter().filter(|column| existing.iter().all(|have| have.name != column.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrower_column_is_not_written_into() {
        let number = |precision, scale| StoredType::Number { precision, scale };
        assert!(accepts(&number(38, 0), &number(38, 0)));
        assert!(
            accepts(&number(10, 0), &number(38, 0)),
            "an INTEGER column takes integers; overflow is rejected"
        );
        assert!(!accepts(&number(10, 2), &number(10, 4)), "the scale would be rounded in silence");
        assert!(accepts(&number(12, 4), &number(10, 2)));
        assert!(accepts(&StoredType::Text, &StoredType::Date));
        assert!(!accepts(&StoredType::Date, &StoredType::Text));
        assert!(!accepts(&StoredType::Timestamp { precision: 3 }, &StoredType::Timestamp { precision: 6 }));
    }

    #[test]
    fn decimals_that_no_number_holds_become_text() {
        let decimal = |precision, scale| stored_type(ColumnType::Decimal { precision, scale });
        assert_eq!(decimal(Some(10), 2), StoredType::Number { precision: 10, scale: 2 });
        assert_eq!(decimal(Some(3), 5), StoredType::Number { precision: 5, scale: 5 });
        assert_eq!(decimal(Some(5), -2), StoredType::Number { precision: 7, scale: 0 });
        assert_eq!(decimal(Some(50), 2), StoredType::Text);
        assert_eq!(decimal(None, 38), StoredType::Text);
    }

    fn audited() -> Table {
        let mut config = Config { mode: TableMode::Merge, ..Config::default() };
        config.audit.operation = Some("CDC_OPERATION".to_owned());
        Table::new("T", &config)
    }

    fn text(name: &str) -> TableColumn {
        TableColumn { name: name.to_owned(), stored: StoredType::Text }
    }

    #[test]
    fn a_prepared_table_without_a_new_audit_column_is_prepared_again() {
        for (columns, phase) in [
            (vec![text("ID")], TablePhase::Draining),
            (vec![text("ID"), text("CDC_OPERATION")], TablePhase::Ready),
        ] {
            let mut table = audited();
            table.described(Some(vec![text("ID")]), Some(columns));
            table.prepared();
            assert!(!table.current_is_prepared(), "the keys are not known yet");
            table.keys_from_ledger(vec!["ID".to_owned()]);
            assert_eq!(table.phase, phase);
            assert_eq!(table.current_is_prepared(), phase == TablePhase::Ready);
        }
    }

    #[test]
    fn a_column_of_the_source_does_not_share_an_audit_column() {
        let mut table = audited();
        table.described(Some(vec![text("ID"), text("CDC_OPERATION")]), None);
        let row: Fields<'_> = serde_json::from_str(r#"{"id":"1","cdc_operation":"x"}"#).expect("fields");
        let fit = table.fit(None, &row);
        assert!(matches!(&fit, Fit::Clash(why) if why.contains("CDC_OPERATION")), "{fit:?}");
        let row: Fields<'_> = serde_json::from_str(r#"{"id":"1"}"#).expect("fields");
        assert!(matches!(table.fit(None, &row), Fit::Fits));
    }

    #[test]
    fn types_without_a_schema_come_back_as_they_were_stored() {
        for kind in [
            ColumnType::Boolean,
            ColumnType::Float { bits: 64 },
            ColumnType::Decimal { precision: Some(10), scale: 2 },
            ColumnType::Text,
            ColumnType::Json,
            ColumnType::Date(DateNotation::Days),
            ColumnType::Time(TimeNotation::Millis),
            ColumnType::Time(TimeNotation::Micros),
            ColumnType::Timestamp(TimeNotation::Millis),
            ColumnType::Timestamp(TimeNotation::Micros),
            ColumnType::ZonedTimestamp,
        ] {
            assert_eq!(event_type(&stored_type(kind), &Modes::default()), Some(kind));
        }
    }
}
