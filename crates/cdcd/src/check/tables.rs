//! Which tables are captured, what the publication makes of them, and what their events will lack.

use std::collections::BTreeSet;

use cdcd_postgres::catalog::{self, Table};
use cdcd_postgres::health::{self, Publication};
use cdcd_postgres::publication::AutoCreate;
use cdcd_postgres::sql::PgIdent;
use tokio_postgres::Client;

use super::report::{Mark, Report};
use crate::connector::source::SourceSettings;

const PUBLICATION: &str = "publication";
const TABLES: &str = "tables";

/// Tables named in one line; the rest is counted.
const NAMES_MAX: usize = 8;

/// What a start will have to do about the publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Published {
    /// Nothing.
    Fits,
    /// Make it.
    Missing,
    /// Change its list of tables.
    Differs,
}

/// `schema.table`
pub(super) fn name(table: &Table) -> String {
    format!("{}.{}", table.schema, table.name)
}

/// `"schema"."table"`
pub(super) fn quoted(table: &Table) -> String {
    format!("{}.{}", PgIdent::new(&table.schema), PgIdent::new(&table.name))
}

/// Tables that the include and exclude lists let through.
pub(super) async fn captured(
    settings: &SourceSettings,
    control: &Client,
) -> Result<Vec<Table>, cdcd_postgres::Error> {
    let mut tables = catalog::tables(control).await?;
    tables.retain(|table| settings.capture.filters.captures(&table.schema, &table.name));
    Ok(tables)
}

/// Looks at the publication, and tells what a start will do about it.
pub(super) async fn look_at_publication(
    settings: &SourceSettings,
    control: &Client,
    captured: &[Table],
    report: &mut Report,
) -> Result<Published, cdcd_postgres::Error> {
    let wanted = &settings.publication;
    let found = health::publication(control, &wanted.name).await?;
    let quoted_name = PgIdent::new(&wanted.name);
    // A partition is published by its parent or by itself; what counts here are the tables with rows of their own.
    let publishable: Vec<&Table> =
        captured.iter().filter(|table| !table.is_unlogged && !table.is_partitioned).collect();
    let Some(found) = found else {
        let list: Vec<String> =
            captured.iter().filter(|table| !table.is_unlogged && !table.is_partition).map(quoted).collect();
        match wanted.auto_create {
            AutoCreate::Disabled => {
                let statement = if list.is_empty() {
                    format!("CREATE PUBLICATION {quoted_name} FOR ALL TABLES;")
                } else {
                    format!("CREATE PUBLICATION {quoted_name} FOR TABLE {};", list.join(", "))
                };
                let text = format!(
                    "publication {} does not exist, and publication.autocreate.mode is disabled",
                    wanted.name
                );
                report.mend(PUBLICATION, Mark::Fail, text, [statement]);
            }
            AutoCreate::AllTables => report.add(
                PUBLICATION,
                Mark::Ok,
                format!("publication {} will be made FOR ALL TABLES", wanted.name),
            ),
            AutoCreate::NoTables => report.mend(
                PUBLICATION,
                Mark::Warn,
                format!(
                    "publication {} will be made without tables: nothing is captured until some are added",
                    wanted.name
                ),
                list.iter().map(|table| format!("ALTER PUBLICATION {quoted_name} ADD TABLE {table};")),
            ),
            AutoCreate::Filtered if list.is_empty() => report.add(
                PUBLICATION,
                Mark::Fail,
                format!(
                    "publication {} cannot be made: no table matches the include and exclude lists",
                    wanted.name
                ),
            ),
            AutoCreate::Filtered => report.add(
                PUBLICATION,
                Mark::Ok,
                format!("publication {} will be made for {} tables", wanted.name, list.len()),
            ),
        }
        return Ok(Published::Missing);
    };
    look_at_options(settings, &found, report);
    Ok(look_at_list(settings, &found, &publishable, report))
}

fn look_at_list(
    settings: &SourceSettings,
    found: &Publication,
    publishable: &[&Table],
    report: &mut Report,
) -> Published {
    let wanted = &settings.publication;
    let quoted_name = PgIdent::new(&wanted.name);
    let missing: Vec<&Table> = publishable
        .iter()
        .filter(|table| !found.tables.contains(&(table.schema.clone(), table.name.clone())))
        // A parent stands in for its partitions where changes are published through the root.
        .filter(|table| !(found.via_root && table.is_partition))
        .copied()
        .collect();
    if wanted.auto_create == AutoCreate::Filtered && found.all_tables {
        report.mend(
            PUBLICATION,
            Mark::Fail,
            format!("publication {} is FOR ALL TABLES and cannot be filtered", wanted.name),
            [
                format!("DROP PUBLICATION {quoted_name};"),
                "or set publication.autocreate.mode=all_tables".to_owned(),
            ],
        );
        return Published::Differs;
    }
    if missing.is_empty() {
        let kind = if found.all_tables {
            "FOR ALL TABLES".to_owned()
        } else {
            format!("with {} tables", found.tables.len())
        };
        report.add(PUBLICATION, Mark::Ok, format!("publication {} exists, {kind}", wanted.name));
        return Published::Fits;
    }
    let names = names(missing.iter().map(|table| name(table)));
    if wanted.auto_create == AutoCreate::Filtered {
        report.add(
            PUBLICATION,
            Mark::Ok,
            format!("publication {} will be changed to hold {names} as well", wanted.name),
        );
        return Published::Differs;
    }
    let list: Vec<String> = missing.iter().map(|table| quoted(table)).collect();
    report.mend(
        PUBLICATION,
        Mark::Fail,
        format!("publication {} lacks {names}: their changes would never arrive", wanted.name),
        [format!("ALTER PUBLICATION {quoted_name} ADD TABLE {};", list.join(", "))],
    );
    Published::Fits
}

fn look_at_options(settings: &SourceSettings, found: &Publication, report: &mut Report) {
    let wanted = &settings.publication;
    let quoted_name = PgIdent::new(&wanted.name);
    let skipped = settings.capture.skipped_operations;
    let lacking: Vec<&str> = [
        ("insert", skipped.create),
        ("update", skipped.update),
        ("delete", skipped.delete),
        ("truncate", skipped.truncate),
    ]
    .into_iter()
    .filter(|(operation, skipped)| !skipped && found.publish.iter().all(|published| published != operation))
    .map(|(operation, _)| operation)
    .collect();
    if !lacking.is_empty() {
        report.mend(
            PUBLICATION,
            Mark::Warn,
            format!(
                "publication {} does not publish {}, which skipped.operations does not leave out",
                wanted.name,
                lacking.join(" and ")
            ),
            [format!("ALTER PUBLICATION {quoted_name} SET (publish = 'insert, update, delete, truncate');")],
        );
    }
    if found.via_root != wanted.via_partition_root {
        report.mend(
            PUBLICATION,
            Mark::Warn,
            format!(
                "publication {} has publish_via_partition_root = {}, the connector's publish.via.partition.root is {}",
                wanted.name, found.via_root, wanted.via_partition_root
            ),
            [format!("ALTER PUBLICATION {quoted_name} SET (publish_via_partition_root = {});", wanted.via_partition_root)],
        );
    }
    for table in &found.narrowed {
        report.add(
            PUBLICATION,
            Mark::Warn,
            format!(
                "publication {} has a row filter or a column list on {table}: events show only that part",
                wanted.name
            ),
        );
    }
}

/// What events of these tables will lack.
pub(super) async fn look(
    control: &Client,
    captured: &[Table],
    report: &mut Report,
) -> Result<(), cdcd_postgres::Error> {
    if captured.is_empty() {
        report.add(
            TABLES,
            Mark::Warn,
            "no table matches the include and exclude lists: nothing will be captured",
        );
        return Ok(());
    }
    let mut plain = Vec::new();
    for table in captured.iter().filter(|table| !table.is_partitioned) {
        if !look_at_table(control, table, report).await? {
            plain.push(name(table));
        }
    }
    if !plain.is_empty() {
        let count = plain.len();
        report.add(
            TABLES,
            Mark::Ok,
            format!(
                "{count} with REPLICA IDENTITY DEFAULT ({}): before is null in updates that keep the key, and holds only the key in deletes",
                names(plain.into_iter())
            ),
        );
    }
    Ok(())
}

/// `false` if there is nothing to say: a primary key and the default replica identity.
async fn look_at_table(
    control: &Client,
    table: &Table,
    report: &mut Report,
) -> Result<bool, cdcd_postgres::Error> {
    let (name, quoted) = (name(table), quoted(table));
    if table.is_unlogged {
        report.mend(
            TABLES,
            Mark::Warn,
            format!("{name} is unlogged: PostgreSQL publishes no changes of it"),
            [format!("ALTER TABLE {quoted} SET LOGGED;")],
        );
        return Ok(true);
    }
    let keyless = !table.has_primary_key;
    let mut key_mend = vec![format!("ALTER TABLE {quoted} ADD PRIMARY KEY (…);")];
    match (table.replica_identity, keyless) {
        ('d', false) => return Ok(false),
        ('d', true) => {
            key_mend.push(format!("ALTER TABLE {quoted} REPLICA IDENTITY FULL; -- if there can be no key"));
            report.mend(
                TABLES,
                Mark::Warn,
                format!("{name} has no primary key: PostgreSQL will refuse its UPDATE and DELETE once it is published, and events have no key"),
                key_mend,
            );
        }
        ('n', _) => report.mend(
            TABLES,
            Mark::Warn,
            format!("{name} has REPLICA IDENTITY NOTHING: PostgreSQL will refuse its UPDATE and DELETE once it is published"),
            [format!("ALTER TABLE {quoted} REPLICA IDENTITY DEFAULT;")],
        ),
        (_, true) => {
            let keys = catalog::key_columns(control, table.oid).await?;
            if keys.is_empty() {
                report.mend(
                    TABLES,
                    Mark::Warn,
                    format!("{name} has no key: events have none either, and a sink cannot tell its current rows"),
                    key_mend,
                );
            } else {
                let text = format!("{name} has no primary key: events are keyed by its unique index ({})", keys.join(", "));
                report.add(TABLES, Mark::Ok, text);
            }
        }
        ('f', _) => report.add(TABLES, Mark::Ok, format!("{name} has REPLICA IDENTITY FULL: before is whole in updates and deletes")),
        _ => report.add(TABLES, Mark::Ok, format!("{name} has REPLICA IDENTITY USING INDEX: before holds that index's columns")),
    }
    Ok(true)
}

/// A list for one line.
pub(super) fn names(all: impl Iterator<Item = String>) -> String {
    let all: BTreeSet<String> = all.collect();
    let shown: Vec<String> = all.iter().take(NAMES_MAX).cloned().collect();
    match all.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
