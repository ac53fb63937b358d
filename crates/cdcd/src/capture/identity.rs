//! `replica.identity.autoset.values`: replica identities that are set at the start.

use cdcd_postgres::catalog::Table;
use tokio_postgres::Client;

use crate::connector::source::{IdentityRule, WantedIdentity};
use crate::exit::{Exit, Failure};

/// The server's way of saying that the table is somebody else's: told, and the table is captured as it is.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// Sets what differs from the rules.
///
/// # Errors
/// A table that two rules are for; what the server says, but for a lack of rights.
pub(super) async fn set(control: &Client, tables: &[Table], rules: &[IdentityRule]) -> Result<(), Failure> {
    for table in tables {
        let name = format!("{}.{}", table.schema, table.name);
        let mut matching = rules.iter().filter(|rule| rule.table.is_match(&name));
        let Some(rule) = matching.next() else { continue };
        if matching.next().is_some() {
            let error = anyhow::anyhow!("replica.identity.autoset.values: two entries are for table {name}");
            return Err(Failure::new(Exit::Configuration, error).hint("leave one of them"));
        }
        set_one(control, table, &rule.identity).await.map_err(|error| {
            Failure::new(Exit::Configuration, error)
                .context(format!("replica.identity.autoset.values: table {name}"))
        })?;
    }
    Ok(())
}

async fn set_one(
    control: &Client,
    table: &Table,
    wanted: &WantedIdentity,
) -> Result<(), tokio_postgres::Error> {
    const CURRENT: &str = "SELECT c.relreplident::text, (SELECT r.relname::text FROM pg_index i \
        JOIN pg_class r ON r.oid = i.indexrelid WHERE i.indrelid = c.oid AND i.indisreplident) \
        FROM pg_class c WHERE c.oid = $1";
    let row = control.query_one(CURRENT, &[&table.oid]).await?;
    let (letter, index): (String, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
    let (is_set, clause) = match wanted {
        WantedIdentity::Default => (letter == "d", "DEFAULT".to_owned()),
        WantedIdentity::Full => (letter == "f", "FULL".to_owned()),
        WantedIdentity::Nothing => (letter == "n", "NOTHING".to_owned()),
        WantedIdentity::Index(name) => {
            (letter == "i" && index.as_ref() == Some(name), format!("USING INDEX {}", quoted(name)))
        }
    };
    if is_set {
        return Ok(());
    }
    let name = format!("{}.{}", quoted(&table.schema), quoted(&table.name));
    match control.batch_execute(&format!("ALTER TABLE {name} REPLICA IDENTITY {clause}")).await {
        Ok(()) => tracing::info!(table = name, identity = clause, "replica identity set"),
        Err(error) if error.code().is_some_and(|code| code.code() == INSUFFICIENT_PRIVILEGE) => {
            tracing::warn!(table = name, identity = clause, %error, "replica identity not set");
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
