//! The Snowflake account of a sink.

use cdcd_sink::config::{Landing, TableMode};
use cdcd_sink::destination::{Destination as _, DestinationError};
use cdcd_snowflake::{SfIdent, SfLiteral, Snowflake};

use super::kafka;
use super::report::{Mark, Report};
use crate::connector::sink::SinkSettings;

const SNOWFLAKE: &str = "snowflake";

/// Everything about a sink.
pub(super) async fn look(settings: &SinkSettings, report: &mut Report) {
    let topics = kafka::look_at_sink(settings, report).await.unwrap_or_default();
    let account = match Snowflake::new(&settings.snowflake) {
        Ok(account) => account,
        Err(error) => {
            report.add(SNOWFLAKE, Mark::Fail, error.to_string());
            return;
        }
    };
    if !look_at_login(settings, &account, report).await {
        return;
    }
    if look_at_schema(settings, &account, report).await {
        look_at_tables(settings, &account, &topics, report).await;
    }
}

/// Token for streaming, then SQL: they are refused for different reasons.
async fn look_at_login(settings: &SinkSettings, account: &Snowflake, report: &mut Report) -> bool {
    let url = &settings.snowflake.url;
    match account.ingest_host().await {
        Ok(host) => {
            report.add(SNOWFLAKE, Mark::Ok, format!("{url} gives a token for the ingest host {host}"));
        }
        Err(error) => {
            report.mend(SNOWFLAKE, Mark::Fail, format!("{url}: {error}"), login_mend(settings, &error));
            return false;
        }
    }
    let statement = "SELECT CURRENT_ROLE() AS R, CURRENT_USER() AS U, CURRENT_WAREHOUSE() AS W";
    match account.query("asking for the role", statement).await {
        Ok(result) => {
            let row = result.rows.first().cloned().unwrap_or_default();
            let cell = |name: &str| result.cell(&row, name).unwrap_or("none").to_owned();
            let (user, role, warehouse) = (cell("U"), cell("R"), cell("W"));
            report.add(
                SNOWFLAKE,
                Mark::Ok,
                format!("logged in as {user} with role {role}, warehouse {warehouse}"),
            );
            if warehouse == "none" && settings.sink.mode == TableMode::Merge {
                report.mend(
                    SNOWFLAKE,
                    Mark::Fail,
                    "merges run on a warehouse, and there is none",
                    [format!(
                        "ALTER USER {user} SET DEFAULT_WAREHOUSE = …; -- or set cdcd.snowflake.warehouse"
                    )],
                );
            }
            true
        }
        Err(error) => {
            report.mend(SNOWFLAKE, Mark::Fail, error.to_string(), login_mend(settings, &error));
            false
        }
    }
}

fn login_mend(settings: &SinkSettings, error: &DestinationError) -> Vec<String> {
    if error.is_transient() {
        return vec!["check snowflake.url.name, and that this machine may reach it".to_owned()];
    }
    let user = settings.snowflake.user.to_uppercase();
    let mut mend = vec![format!(
        "ALTER USER {user} SET RSA_PUBLIC_KEY = '…'; -- the public half of snowflake.private.key"
    )];
    if let Some(role) = &settings.snowflake.role {
        mend.push(format!("GRANT ROLE {role} TO USER {user};"));
    }
    mend
}

async fn look_at_schema(settings: &SinkSettings, account: &Snowflake, report: &mut Report) -> bool {
    let (database, schema) = (&settings.snowflake.database, &settings.snowflake.schema);
    let quoted = SfIdent::new;
    let role = settings.snowflake.role.as_deref().unwrap_or("…");
    let statement = format!(
        "SELECT SCHEMA_NAME FROM {}.INFORMATION_SCHEMA.SCHEMATA WHERE SCHEMA_NAME = {}",
        quoted(database),
        SfLiteral::new(schema)
    );
    let place = format!("{}.{}", quoted(database), quoted(schema));
    match account.query("looking for the schema", &statement).await {
        Ok(result) if !result.rows.is_empty() => {
            report.add(SNOWFLAKE, Mark::Ok, format!("schema {database}.{schema} exists"));
            true
        }
        Ok(_) => {
            report.mend(
                SNOWFLAKE,
                Mark::Fail,
                format!("schema {database}.{schema} does not exist, or the role may not see it"),
                [
                    format!("CREATE SCHEMA {place};"),
                    format!("GRANT USAGE, CREATE TABLE, CREATE VIEW ON SCHEMA {place} TO ROLE {role};"),
                ],
            );
            false
        }
        Err(error) if error.is_transient() => {
            report.add(SNOWFLAKE, Mark::Fail, error.to_string());
            false
        }
        Err(error) => {
            report.mend(
                SNOWFLAKE,
                Mark::Fail,
                format!("database {database} does not exist, or the role may not see it: {}", error.message),
                [
                    format!("CREATE DATABASE {};", quoted(database)),
                    format!("GRANT USAGE ON DATABASE {} TO ROLE {role};", quoted(database)),
                ],
            );
            false
        }
    }
}

async fn look_at_tables(
    settings: &SinkSettings,
    account: &Snowflake,
    topics: &[String],
    report: &mut Report,
) {
    let landing = settings.sink.landing;
    let kind = match landing {
        Landing::Log => "typed log",
        Landing::Variant => "RECORD_CONTENT and RECORD_METADATA",
        Landing::IdData => "ID and DATA",
    };
    for topic in topics {
        let base = settings.routes.table(topic);
        let table = if landing == Landing::Variant { base.clone() } else { format!("{base}__LOG") };
        let current = match settings.sink.mode {
            TableMode::Append => String::new(),
            TableMode::View => format!(", current rows in view {base}"),
            TableMode::Merge => format!(", current rows merged into {base}"),
        };
        match account.describe(&table).await {
            Ok(None) => report.add(
                SNOWFLAKE,
                Mark::Ok,
                format!("{topic} lands in {table} ({kind}{current}), which will be made"),
            ),
            Ok(Some(columns)) => {
                let has = |name: &str| columns.iter().any(|column| column.name == name);
                let fits = match landing {
                    Landing::Variant => has("RECORD_CONTENT") && has("RECORD_METADATA"),
                    Landing::IdData => has("ID") && has("DATA"),
                    Landing::Log => true,
                };
                if fits {
                    let count = columns.len();
                    report.add(
                        SNOWFLAKE,
                        Mark::Ok,
                        format!(
                            "{topic} lands in {table} ({kind}{current}), which exists with {count} columns"
                        ),
                    );
                } else {
                    report.mend(
                        SNOWFLAKE,
                        Mark::Fail,
                        format!(
                            "{topic} would land in {table} as {kind}, but the table there has other columns"
                        ),
                        ["name another table in snowflake.topic2table.map, or set cdcd.landing"],
                    );
                }
            }
            Err(error) => report.add(SNOWFLAKE, Mark::Fail, error.to_string()),
        }
    }
}
