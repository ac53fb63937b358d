//! What a statement runs in: database, schema, role, warehouse, parameters.

use crate::engine::{RelationName, SchemaName};
use crate::error::SqlError;

/// The context of one request, or of one driver session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Session {
    /// The user that was authenticated.
    pub user: String,
    /// Current database.
    pub database: Option<String>,
    /// Current schema.
    pub schema: Option<String>,
    /// Current role.
    pub role: Option<String>,
    /// Current warehouse.
    pub warehouse: Option<String>,
    /// TIMEZONE; shows and reads TIMESTAMP_LTZ.
    pub timezone: Option<String>,
    /// AUTOCOMMIT is off: a statement that changes rows begins a transaction.
    pub manual_commit: bool,
}

impl Session {
    /// The full name of a schema that is named by 0 to 2 parts.
    ///
    /// # Errors
    /// When a part is needed that the session does not have.
    pub(crate) fn schema_name(&self, parts: &[String]) -> Result<SchemaName, SqlError> {
        let database = || {
            self.database.clone().ok_or_else(|| {
                SqlError::new(
                    "090105",
                    "22000",
                    "Cannot perform operation. This session does not have a current database. Call 'USE DATABASE', or use a qualified name.",
                )
            })
        };
        match parts {
            [] => Ok(SchemaName {
                database: database()?,
                schema: self.schema.clone().ok_or_else(|| {
                    SqlError::new(
                        "090106",
                        "22000",
                        "Cannot perform operation. This session does not have a current schema. Call 'USE SCHEMA', or use a qualified name.",
                    )
                })?,
            }),
            [schema] => Ok(SchemaName { database: database()?, schema: schema.clone() }),
            [database, schema] => {
                // DB..TABLE means the schema PUBLIC
                let schema = if schema.is_empty() { "PUBLIC" } else { schema };
                Ok(SchemaName { database: database.clone(), schema: schema.to_owned() })
            }
            _ => Err(SqlError::syntax(format!("name {} has too many parts", parts.join(".")))),
        }
    }

    /// The full name of a table, view, pipe … that is named by 1 to 3 parts.
    ///
    /// # Errors
    /// When a part is needed that the session does not have.
    pub(crate) fn relation_name(&self, parts: &[String]) -> Result<RelationName, SqlError> {
        let (name, schema) =
            parts.split_last().ok_or_else(|| SqlError::syntax("an object name is missing"))?;
        Ok(RelationName { schema: self.schema_name(schema)?, name: name.clone() })
    }
}

/// An identifier as Snowflake stores it: upper case unless quoted.
pub(crate) fn fold(ident: &sqlparser::ast::Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_uppercase(),
    }
}
