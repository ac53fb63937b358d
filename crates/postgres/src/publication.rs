//! Publications: used as they are, or created as `publication.autocreate.mode` says.

use tokio_postgres::Client;

use crate::error::Error;
use crate::sql::PgIdent;

/// `publication.autocreate.mode`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AutoCreate {
    /// Must exist.
    Disabled,
    /// FOR ALL TABLES if it is missing.
    #[default]
    AllTables,
    /// Exactly the captured tables.
    Filtered,
    /// Empty if it is missing.
    NoTables,
}

/// What a publication must be like.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// Name.
    pub name: &'a str,
    /// What to do if it is missing or different.
    pub auto_create: AutoCreate,
    /// Captured tables as (schema, table), for `filtered`.
    pub tables: &'a [(String, String)],
    /// `publish.via.partition.root`
    pub via_partition_root: bool,
    /// Value of `publish`, if `skipped.operations` was set explicitly.
    pub publish: Option<&'a str>,
}

/// A publication as the catalog has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// OID: another one under the same name is another publication.
    pub oid: u32,
    /// FOR ALL TABLES.
    pub all_tables: bool,
    /// `publish_via_partition_root`
    pub via_root: bool,
    /// `insert`, `update`, `delete`, `truncate`, as far as they are published.
    pub operations: Vec<String>,
    /// All tables, those of its schemas included.
    pub tables: Vec<PublishedTable>,
}

/// A table of a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedTable {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// OID.
    pub oid: u32,
    /// Row filter (server 15 and later).
    pub filter: Option<String>,
    /// Column numbers, if it has a list of columns (server 15 and later).
    pub columns: Option<String>,
}

/// Reads a publication; `None` if it does not exist.
///
/// # Errors
/// [`Error::Control`] or [`Error::Server`].
pub async fn describe(client: &Client, name: &str) -> Result<Option<Publication>, Error> {
    let failed = |error| Error::control(format!("reading publication {name}"), error);
    let row = client
        .query_opt(
            "SELECT oid, puballtables, pubviaroot, array_remove(ARRAY[CASE WHEN pubinsert THEN 'insert' END, \
             CASE WHEN pubupdate THEN 'update' END, CASE WHEN pubdelete THEN 'delete' END, \
             CASE WHEN pubtruncate THEN 'truncate' END], NULL) FROM pg_publication WHERE pubname = $1",
            &[&name],
        )
        .await
        .map_err(failed)?;
    let Some(row) = row else { return Ok(None) };
    let oid: u32 = row.get(0);
    // Columns of later servers are looked for by name, so that one statement serves all.
    let rows = client
        .query(
            "SELECT t.schemaname::text, t.tablename::text, c.oid, to_jsonb(t) ->> 'rowfilter', \
               to_jsonb(r) ->> 'prattrs' \
             FROM pg_publication_tables t JOIN pg_namespace n ON n.nspname = t.schemaname \
               JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename \
               LEFT JOIN pg_publication_rel r ON r.prpubid = $2 AND r.prrelid = c.oid \
             WHERE t.pubname = $1 ORDER BY 1, 2",
            &[&name, &oid],
        )
        .await
        .map_err(failed)?;
    let table = |row: &tokio_postgres::Row| PublishedTable {
        schema: row.get(0),
        name: row.get(1),
        oid: row.get(2),
        filter: row.get(3),
        columns: row.get(4),
    };
    Ok(Some(Publication {
        oid,
        all_tables: row.get(1),
        via_root: row.get(2),
        operations: row.get(3),
        tables: rows.iter().map(table).collect(),
    }))
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was there and fits.
    Used,
    /// It was created.
    Created,
    /// Its list of tables was changed.
    Altered,
}

/// Makes sure that the publication is there.
///
/// # Errors
/// [`Error::Config`] if it is missing and must not be created, or cannot be made to fit;
/// [`Error::Server`] with the server's refusal (42501: a FOR ALL TABLES publication needs a superuser).
pub async fn ensure(client: &Client, wanted: &Wanted<'_>) -> Result<Outcome, Error> {
    match ensure_once(client, wanted).await {
        // Somebody made it between our look and our CREATE: now it is there to be used.
        Err(error) if error.code().is_some_and(|code| CREATED_MEANWHILE.contains(&code)) => {
            ensure_once(client, wanted).await
        }
        outcome => outcome,
    }
}

/// `duplicate_object`, and `unique_violation` of the catalog's index if both creations run at the same moment.
const CREATED_MEANWHILE: [&str; 2] = ["42710", "23505"];

async fn ensure_once(client: &Client, wanted: &Wanted<'_>) -> Result<Outcome, Error> {
    let existing = client
        .query_opt("SELECT puballtables FROM pg_publication WHERE pubname = $1", &[&wanted.name])
        .await
        .map_err(|error| Error::control(format!("reading publication {}", wanted.name), error))?;
    match (existing, wanted.auto_create) {
        (None, AutoCreate::Disabled) => Err(Error::Config(format!(
            "publication {} does not exist, and publication.autocreate.mode=disabled forbids to create it",
            wanted.name
        ))),
        (None, _) => execute(client, &create_statement(wanted)?, wanted).await.map(|()| Outcome::Created),
        (Some(row), AutoCreate::Filtered) => {
            if row.get::<_, bool>(0) {
                return Err(Error::Config(format!(
                    "publication {} is FOR ALL TABLES and cannot be filtered: drop it, or set \
                     publication.autocreate.mode=all_tables",
                    wanted.name
                )));
            }
            adjust(client, wanted).await
        }
        (Some(_), _) => Ok(Outcome::Used),
    }
}

async fn adjust(client: &Client, wanted: &Wanted<'_>) -> Result<Outcome, Error> {
    let rows = client
        .query(
            "SELECT schemaname::text, tablename::text FROM pg_publication_tables WHERE pubname = $1",
            &[&wanted.name],
        )
        .await
        .map_err(|error| Error::control(format!("reading tables of publication {}", wanted.name), error))?;
    let mut present: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut tables = wanted.tables.to_vec();
    present.sort();
    tables.sort();
    if present == tables {
        return Ok(Outcome::Used);
    }
    let sql = format!("ALTER PUBLICATION {} SET TABLE {}", PgIdent::new(wanted.name), table_list(wanted)?);
    execute(client, &sql, wanted).await.map(|()| Outcome::Altered)
}

fn create_statement(wanted: &Wanted<'_>) -> Result<String, Error> {
    let mut sql = format!("CREATE PUBLICATION {}", PgIdent::new(wanted.name));
    match wanted.auto_create {
        AutoCreate::AllTables => sql.push_str(" FOR ALL TABLES"),
        AutoCreate::Filtered => sql.push_str(&format!(" FOR TABLE {}", table_list(wanted)?)),
        AutoCreate::NoTables | AutoCreate::Disabled => {}
    }
    let mut with = Vec::new();
    if wanted.via_partition_root {
        with.push("publish_via_partition_root = true".to_owned());
    }
    if let Some(publish) = wanted.publish {
        with.push(format!("publish = '{publish}'"));
    }
    if !with.is_empty() {
        sql.push_str(&format!(" WITH ({})", with.join(", ")));
    }
    Ok(sql)
}

fn table_list(wanted: &Wanted<'_>) -> Result<String, Error> {
    if wanted.tables.is_empty() {
        return Err(Error::Config(
            "no table matches the include and exclude lists, so a filtered publication would be empty"
                .to_owned(),
        ));
    }
    let names = wanted
        .tables
        .iter()
        .map(|(schema, table)| format!("{}.{}", PgIdent::new(schema), PgIdent::new(table)));
    Ok(names.collect::<Vec<_>>().join(", "))
}

async fn execute(client: &Client, sql: &str, wanted: &Wanted<'_>) -> Result<(), Error> {
    client
        .batch_execute(sql)
        .await
        .map_err(|error| Error::control(format!("making publication {} fit", wanted.name), error))
}
