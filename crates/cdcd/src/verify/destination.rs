//! A destination table, rebuilt as of the fence.

use cdcd_debezium::event::value::{Placeholder, decode};
use cdcd_debezium::event::{Event, EventReader, Operation};
use cdcd_pgoutput::Lsn;
use cdcd_sink::config::{Landing, TableMode};
use cdcd_sink::destination::{Destination as _, StoredType, TableColumn};
use cdcd_snowflake::{SfIdent, Snowflake};

use super::cell::{self, Cell};
use super::key::{self, Key, beyond};
use super::table::SourceTable;
use crate::connector::sink::SinkSettings;
use crate::exit::{Exit, Failure};

/// What a row of the destination says.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) key: Key,
    /// Sorts as the changes of a key happened.
    pub(super) sequence: String,
    /// WAL position of the change; `None` for a row of the snapshot, which is older than all of them.
    pub(super) lsn: Option<u64>,
    pub(super) is_delete: bool,
    /// In the order of the table's columns; `None` where the source did not send an unchanged value.
    pub(super) cells: Vec<Option<Cell>>,
}

/// Where rows are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// `<T>__LOG`
    Log,
    /// `<T>` with RECORD_CONTENT.
    Variant,
    /// `<T>`, merged.
    Merged,
}

/// A table of the account.
pub(super) struct DestinationTable<'v> {
    account: &'v Snowflake,
    table: &'v SourceTable,
    /// Columns of the log in the order of the source's.
    columns: Vec<TableColumn>,
    landing: From,
    pub(super) is_merged: bool,
    fence: Lsn,
    placeholder: Placeholder,
    /// Sequence of the newest TRUNCATE before the fence.
    truncated: Option<String>,
}

/// Part of the keys.
#[derive(Debug, Clone, Default)]
pub(super) struct Range {
    /// Greater than this.
    pub(super) after: Option<Key>,
    /// Up to and with this.
    pub(super) upto: Option<Key>,
}

/// The longest way to write a row: the same on both ends of the log.
const NO_SEQUENCE: &str = "";

impl<'v> DestinationTable<'v> {
    /// Looks the table up; the words say why it cannot be compared.
    pub(super) async fn open(
        account: &'v Snowflake,
        table: &'v SourceTable,
        settings: &SinkSettings,
        fence: Lsn,
    ) -> Result<Result<Self, String>, Failure> {
        let (landing, name) = match settings.sink.landing {
            Landing::Log => (From::Log, format!("{}__LOG", table.base)),
            Landing::Variant => (From::Variant, table.base.clone()),
            Landing::IdData => {
                return Ok(Err("cdcd.landing=id_data is not verified by this version".to_owned()));
            }
        };
        let Some(existing) = account.describe(&name).await.map_err(|error| refused(&error))? else {
            return Ok(Err(format!(
                "table {name} does not exist: no record of {} has landed yet",
                table.topic
            )));
        };
        // Without types a typed sink falls back to the whole message.
        let landing = match landing {
            From::Log if existing.iter().any(|column| column.name == "RECORD_CONTENT") => From::Variant,
            other => other,
        };
        let mut columns = Vec::new();
        for column in &table.columns {
            let wanted = cdcd_sink::table::destination_name(&column.name);
            match existing.iter().find(|found| found.name == wanted) {
                Some(found) => columns.push(found.clone()),
                None if landing == From::Variant => {
                    columns.push(TableColumn { name: wanted, stored: StoredType::Variant });
                }
                None => return Ok(Err(format!("table {name} has no column {wanted}"))),
            }
        }
        let mut found = DestinationTable {
            account,
            table,
            columns,
            landing,
            is_merged: landing == From::Log && settings.sink.mode == TableMode::Merge,
            fence,
            placeholder: Placeholder::new(&settings.sink.placeholder),
            truncated: None,
        };
        let probe: Key = table.key_columns().map(|_| "0".to_owned()).collect();
        if found.literals(&probe).is_none() {
            return Ok(Err("its key has a type by which the destination cannot be asked".to_owned()));
        }
        found.truncated = found.newest_truncate().await?;
        Ok(Ok(found))
    }

    /// The newest row of each key before the fence. Where it does not know a value, older rows follow it.
    pub(super) async fn newest(&self, range: &Range) -> Result<Vec<Version>, Failure> {
        if self.is_merged {
            return self.merged(&self.range(range, From::Merged)).await;
        }
        let (keys, order) = self.partition();
        let statement = format!(
            "SELECT * FROM (SELECT f.*, MIN(CASE WHEN \"_WHOLE\" = 1 THEN \"_RN\" END) OVER (PARTITION BY {keys}) AS \"_FIRST\" \
             FROM (SELECT l.*, ROW_NUMBER() OVER (PARTITION BY {keys} ORDER BY {order}) AS \"_RN\" FROM ({}) l WHERE {}) f) g \
             WHERE \"_RN\" <= COALESCE(\"_FIRST\", \"_RN\")",
            self.rows(),
            self.range(range, self.landing),
        );
        self.read(&statement).await
    }

    /// Whether a TRUNCATE before the fence took this row with it.
    pub(super) fn is_truncated(&self, version: &Version) -> bool {
        match (&self.truncated, self.landing) {
            (None, _) => false,
            (Some(lsn), From::Variant) => {
                lsn.parse::<u64>().is_ok_and(|lsn| version.lsn.is_none_or(|change| change <= lsn))
            }
            (Some(sequence), _) => version.sequence <= *sequence,
        }
    }

    /// Every row of these keys, also beyond the fence.
    pub(super) async fn history(&self, keys: &[Key]) -> Result<Vec<Version>, Failure> {
        let statement =
            format!("SELECT * FROM ({}) l WHERE {}", self.rows_of_all_time(), self.among(keys, self.landing));
        self.read(&statement).await
    }

    /// Rows of the merged table.
    pub(super) async fn merged_rows(&self, keys: &[Key]) -> Result<Vec<Version>, Failure> {
        self.merged(&self.among(keys, From::Merged)).await
    }

    async fn merged(&self, filter: &str) -> Result<Vec<Version>, Failure> {
        let statement = format!(
            "SELECT {}, \"_SEQ\" AS \"_SEQUENCE\", 0 AS \"_DELETE\", '' AS \"_HOLES\" FROM {} \
             WHERE COALESCE(\"_DELETED\", FALSE) = FALSE AND {filter}",
            self.names(),
            SfIdent::new(&self.table.base),
        );
        self.read(&statement).await
    }

    fn names(&self) -> String {
        self.columns.iter().map(|column| SfIdent::new(&column.name)).collect::<Vec<_>>().join(", ")
    }

    /// All rows before the fence and after the newest TRUNCATE.
    fn rows(&self) -> String {
        let fence = self.fence.0;
        let before = match self.landing {
            From::Variant => format!("(\"_CLASS\" = 0 OR \"_LSN\" < {fence})"),
            _ => format!(
                "(SUBSTR(\"_SEQUENCE\", 9, 1) = '0' OR SUBSTR(\"_SEQUENCE\", 10, 16) < '{fence:016x}')"
            ),
        };
        let truncated = match (&self.truncated, self.landing) {
            (None, _) => String::new(),
            (Some(lsn), From::Variant) => format!(" AND \"_LSN\" > {lsn}"),
            (Some(sequence), _) => format!(" AND \"_SEQUENCE\" > {}", key::string(sequence)),
        };
        format!("SELECT * FROM ({}) e WHERE {before}{truncated}", self.rows_of_all_time())
    }

    fn rows_of_all_time(&self) -> String {
        match self.landing {
            From::Variant => {
                let keys: Vec<String> = self
                    .table
                    .key_columns()
                    .enumerate()
                    .map(|(at, column)| {
                        let name = SfIdent::new(&column.name);
                        let kind = key::event_literal(column, "0").map_or("VARCHAR", |(kind, _)| kind);
                        format!("COALESCE(P:\"after\".{name}, P:\"before\".{name})::{kind} AS \"_K{at}\"")
                    })
                    .collect();
                format!(
                    "SELECT P AS \"_MESSAGE\", {}, CASE WHEN P:\"op\"::VARCHAR = 'r' THEN 0 ELSE 1 END AS \"_CLASS\", \
                     P:\"source\".\"lsn\"::NUMBER(38,0) AS \"_LSN\", M:\"offset\"::NUMBER(38,0) AS \"_PLACE\", 1 AS \"_WHOLE\" \
                     FROM (SELECT COALESCE(\"RECORD_CONTENT\":\"payload\", \"RECORD_CONTENT\") AS P, \"RECORD_METADATA\" AS M FROM {}) c \
                     WHERE P:\"op\"::VARCHAR IN ('r', 'c', 'u', 'd')",
                    keys.join(", "),
                    SfIdent::new(&self.table.base),
                )
            }
            _ => format!(
                "SELECT {}, \"_SEQ\" AS \"_SEQUENCE\", CASE WHEN \"_OP\" = 'd' THEN 1 ELSE 0 END AS \"_DELETE\", \
                 COALESCE(\"_UNCHANGED\", '') AS \"_HOLES\", \"_OFFSET\" AS \"_PLACE\", \
                 CASE WHEN \"_UNCHANGED\" IS NULL THEN 1 ELSE 0 END AS \"_WHOLE\" FROM {} WHERE \"_OP\" <> 't'",
                self.names(),
                SfIdent::new(&format!("{}__LOG", self.table.base)),
            ),
        }
    }

    fn partition(&self) -> (String, &'static str) {
        let keys = self.expressions(self.landing).join(", ");
        match self.landing {
            From::Variant => (keys, "\"_CLASS\" DESC, \"_LSN\" DESC, \"_PLACE\" DESC"),
            _ => (keys, "\"_SEQUENCE\" DESC, \"_PLACE\" DESC"),
        }
    }

    async fn newest_truncate(&self) -> Result<Option<String>, Failure> {
        let fence = self.fence.0;
        let statement = match self.landing {
            From::Variant => format!(
                "SELECT MAX(P:\"source\".\"lsn\"::NUMBER(38,0)) AS T FROM \
                 (SELECT COALESCE(\"RECORD_CONTENT\":\"payload\", \"RECORD_CONTENT\") AS P FROM {}) c \
                 WHERE P:\"op\"::VARCHAR = 't' AND P:\"source\".\"lsn\"::NUMBER(38,0) < {fence}",
                SfIdent::new(&self.table.base)
            ),
            _ => format!(
                "SELECT MAX(\"_SEQ\") AS T FROM {} WHERE \"_OP\" = 't' AND SUBSTR(\"_SEQ\", 10, 16) < '{fence:016x}'",
                SfIdent::new(&format!("{}__LOG", self.table.base))
            ),
        };
        let result =
            self.account.query_all("looking for a truncate", &statement).await.map_err(|e| refused(&e))?;
        Ok(result.rows.first().and_then(|row| result.cell(row, "T").map(str::to_owned)))
    }

    /// SQL of the key's parts.
    fn expressions(&self, from: From) -> Vec<String> {
        let name = |at: usize| {
            self.columns.get(at).map_or(String::new(), |column| SfIdent::new(&column.name).to_string())
        };
        match from {
            From::Variant => (0..self.table.key.len()).map(|at| format!("\"_K{at}\"")).collect(),
            From::Log | From::Merged => self.table.key.iter().map(|at| name(*at)).collect(),
        }
    }

    fn literals(&self, key: &Key) -> Option<Vec<String>> {
        self.table
            .key
            .iter()
            .zip(key)
            .map(|(at, text)| {
                let (column, target) = (self.table.columns.get(*at)?, self.columns.get(*at)?);
                match self.landing {
                    From::Variant => key::event_literal(column, text).map(|(_, literal)| literal),
                    _ => key::column_literal(column, &target.stored, text),
                }
            })
            .collect()
    }

    /// A key that has no literal (infinity) bounds nothing: more rows are read, and found equal.
    fn range(&self, range: &Range, from: From) -> String {
        let expressions = self.expressions(from);
        let bound = |key: &Option<Key>, operator: &str| {
            let values = self.literals(key.as_ref()?)?;
            Some(beyond(&expressions, &values, operator))
        };
        let bounds: Vec<String> =
            [bound(&range.after, ">"), bound(&range.upto, "<=")].into_iter().flatten().collect();
        if bounds.is_empty() { "TRUE".to_owned() } else { bounds.join(" AND ") }
    }

    fn among(&self, keys: &[Key], from: From) -> String {
        let expressions = self.expressions(from);
        let one = |key: &Key| {
            let values = self.literals(key)?;
            let terms: Vec<String> =
                expressions.iter().zip(values).map(|(e, v)| format!("{e} = {v}")).collect();
            Some(format!("({})", terms.join(" AND ")))
        };
        let all: Vec<String> = keys.iter().filter_map(one).collect();
        if all.is_empty() { "FALSE".to_owned() } else { format!("({})", all.join(" OR ")) }
    }

    async fn read(&self, statement: &str) -> Result<Vec<Version>, Failure> {
        let what = format!("reading {}", self.table.base);
        let result = self.account.query_all(&what, statement).await.map_err(|error| refused(&error))?;
        let mut reader = EventReader::default();
        let mut versions = Vec::with_capacity(result.rows.len());
        for row in &result.rows {
            let version = match result.cell(row, "_MESSAGE") {
                Some(message) => {
                    let place =
                        (result.cell(row, "_CLASS"), result.cell(row, "_LSN"), result.cell(row, "_PLACE"));
                    self.version_of_event(&mut reader, message, place)
                }
                None => self.version_of_row(row, &|name| result.cell(row, name)),
            };
            versions.push(version.map_err(|what| {
                Failure::new(
                    Exit::Unexpected,
                    anyhow::anyhow!("a row of {} cannot be read: {what}", self.table.base),
                )
            })?);
        }
        Ok(versions)
    }

    fn version_of_row<'r>(
        &self,
        row: &[Option<String>],
        cell: &dyn Fn(&str) -> Option<&'r str>,
    ) -> Result<Version, String> {
        let holes = cell("_HOLES").unwrap_or_default();
        let is_delete = cell("_DELETE") == Some("1");
        let sequence = cell("_SEQUENCE").unwrap_or(NO_SEQUENCE).to_owned();
        let mut cells = Vec::with_capacity(self.columns.len());
        for (at, (column, target)) in self.table.columns.iter().zip(&self.columns).enumerate() {
            let text = row.get(at).and_then(Option::as_deref);
            let unsent = holes.contains(&format!(",{},", target.name));
            let value = match unsent {
                true => None,
                false => Some(
                    cell::from_destination(column.family, &target.stored, text, column.digits)
                        .map_err(|error| format!("column {} is {}", target.name, error.0))?,
                ),
            };
            cells.push(value);
        }
        // A row whose columns come first keeps the key whole, however long it is.
        let key = self.key_of(|at, column| {
            let text = row.get(at).and_then(Option::as_deref).unwrap_or_default();
            let stored = self.columns.get(at).map_or(&StoredType::Text, |target| &target.stored);
            cell::whole(column.family, stored, text, column.digits)
        })?;
        let lsn = match sequence.get(8..9) {
            Some("1") => sequence.get(9..25).and_then(|hex| u64::from_str_radix(hex, 16).ok()),
            _ => None,
        };
        Ok(Version { key, sequence, lsn, is_delete, cells })
    }

    fn key_of(
        &self,
        part: impl Fn(usize, &super::table::Column) -> Result<String, cell::Unreadable>,
    ) -> Result<Key, String> {
        let one = |at: &usize| {
            let column = self.table.columns.get(*at).ok_or("a key without column")?;
            part(*at, column).map_err(|error| format!("key column {} is {}", column.name, error.0))
        };
        self.table.key.iter().map(one).collect()
    }

    fn version_of_event(
        &self,
        reader: &mut EventReader,
        message: &str,
        (class, lsn, place): (Option<&str>, Option<&str>, Option<&str>),
    ) -> Result<Version, String> {
        let event = reader
            .read(&self.table.topic, None, Some(message.as_bytes()))
            .map_err(|error| error.to_string())?;
        let Event::Change(change) = event else { return Err("it is no change".to_owned()) };
        let row = change.row().ok_or("it has no row")?;
        let is_delete = change.op == Operation::Delete;
        let read = |column: &super::table::Column| {
            let wrong = |what: &str| format!("column {} is not {what}", column.name);
            let value = match row.get(&column.name) {
                None => return Ok(Some(Cell::NULL)),
                Some(raw) => {
                    decode(column.kind, raw, &self.placeholder).map_err(|error| wrong(error.expected))?
                }
            };
            cell::from_event(column.family, &value, column.digits).map_err(|error| wrong(error.0))
        };
        let cells = match is_delete {
            // A delete knows its key only.
            true => vec![Some(Cell::NULL); self.table.columns.len()],
            false => self.table.columns.iter().map(read).collect::<Result<Vec<_>, String>>()?,
        };
        let key = self.key_of(|_, column| {
            let raw = row.get(&column.name).ok_or(cell::Unreadable("missing"))?;
            let value = decode(column.kind, raw, &self.placeholder)
                .map_err(|error| cell::Unreadable(error.expected))?;
            cell::whole_of_event(column.family, &value, column.digits)
        })?;
        let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok());
        let class = class.unwrap_or("1");
        let position = number(lsn).unwrap_or(0);
        let sequence = format!("{class}{position:016x}{:016x}", number(place).unwrap_or(0));
        Ok(Version { key, sequence, lsn: (class == "1").then_some(position), is_delete, cells })
    }
}

/// An answer of the account that ends the command.
pub(super) fn refused(error: &cdcd_sink::destination::DestinationError) -> Failure {
    let exit = if error.is_transient() { Exit::Dependency } else { Exit::Configuration };
    Failure::new(exit, anyhow::anyhow!("{error}"))
        .hint("cdcd check tells what is wrong with the sink's account")
}
