//! From a pipe's name to the table that its rows go to.

use crate::engine::{self, Engine, RelationName, SchemaName};
use crate::error::ApiError;

/// The suffix of the pipe that every table has.
const DEFAULT_PIPE_SUFFIX: &str = "-STREAMING";

/// Where a pipe's rows go.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The table.
    pub(crate) table: RelationName,
    /// The engine's id of it.
    pub(crate) oid: u32,
    /// False for a view, which makes the pipe invalid.
    pub(crate) is_table: bool,
}

/// Finds the table of a default pipe (`<TABLE>-STREAMING`) or of a pipe that CREATE PIPE recorded.
pub(crate) async fn resolve(engine: &Engine, schema: &SchemaName, pipe: &str) -> Result<Target, ApiError> {
    let client = engine.client().await?;
    if !engine::schema_exists(&**client, schema).await? {
        return Err(ApiError::new(
            404,
            "ERR_SCHEMA_DOES_NOT_EXIST_OR_NOT_AUTHORIZED",
            format!("schema {}.{} does not exist or is not authorized", schema.database, schema.schema),
        ));
    }
    let table = match pipe.strip_suffix(DEFAULT_PIPE_SUFFIX) {
        Some(table) => RelationName { schema: schema.clone(), name: table.to_owned() },
        None => custom(&client, schema, pipe).await?,
    };
    match engine::find_relation(&**client, &table).await? {
        Some(relation) => Ok(Target { table, oid: relation.oid, is_table: relation.is_table }),
        None => Err(ApiError::new(
            404,
            "ERR_TABLE_DOES_NOT_EXIST_NOT_AUTHORIZED",
            format!("table {table} does not exist or is not authorized"),
        )),
    }
}

async fn custom(
    client: &deadpool_postgres::Object,
    schema: &SchemaName,
    pipe: &str,
) -> Result<RelationName, ApiError> {
    let row = client
        .query_opt(
            "SELECT properties->>'table_database', properties->>'table_schema', properties->>'table_name',
                    properties->>'refused'
             FROM _emulator.objects WHERE kind = 'PIPE' AND database_name = $1 AND schema_name = $2 AND name = $3",
            &[&schema.database, &schema.schema, &pipe],
        )
        .await?;
    let Some(row) = row else {
        return Err(ApiError::new(
            404,
            "ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED",
            format!("pipe {}.{}.{pipe} does not exist or is not authorized", schema.database, schema.schema),
        ));
    };
    if let Some(reason) = row.get::<_, Option<String>>(3) {
        return Err(ApiError::new(400, "ERR_PIPE_KIND_NOT_SUPPORTED", format!("pipe {pipe}: {reason}")));
    }
    let part = |at| row.get::<_, Option<String>>(at).unwrap_or_default();
    Ok(RelationName { schema: SchemaName { database: part(0), schema: part(1) }, name: part(2) })
}
