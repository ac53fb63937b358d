//! Errors as Snowflake's clients see them: a code, a SQLSTATE, a sentence, and the HTTP status of the surface.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A statement that failed: what the SQL API answers with 422 and the driver protocol with `success: false`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code} ({sqlstate}): {message}")]
pub struct SqlError {
    /// Snowflake's number, six digits.
    pub code: String,
    /// SQLSTATE.
    pub sqlstate: String,
    /// What, where, why.
    pub message: String,
}

impl SqlError {
    /// The statement is not SQL that Snowflake would read.
    pub fn syntax(message: impl Into<String>) -> SqlError {
        SqlError::new("001003", "42000", format!("SQL compilation error:\n{}", message.into()))
    }

    /// Legal in Snowflake, but this emulator does not evaluate it.
    pub fn unsupported(what: impl Into<String>) -> SqlError {
        SqlError::new(
            "000002",
            "0A000",
            format!("Unsupported feature: the emulator does not evaluate {}", what.into()),
        )
    }

    /// A table, view, schema, database … that is not there.
    pub fn missing(kind: &str, name: &str) -> SqlError {
        SqlError::new(
            if kind == "Object" || kind == "Table" { "002003" } else { "002043" },
            if kind == "Object" || kind == "Table" { "42S02" } else { "02000" },
            format!("SQL compilation error:\n{kind} '{name}' does not exist or not authorized."),
        )
    }

    /// Something that is there already.
    pub fn exists(name: &str) -> SqlError {
        SqlError::new("002002", "42710", format!("SQL compilation error:\nObject '{name}' already exists."))
    }

    /// Any other.
    pub fn new(code: &str, sqlstate: &str, message: impl Into<String>) -> SqlError {
        SqlError { code: code.to_owned(), sqlstate: sqlstate.to_owned(), message: message.into() }
    }

    /// Whether the statement was ended by its timeout or by a cancel, which the SQL API answers with 408.
    pub fn is_timeout(&self) -> bool {
        matches!(self.code.as_str(), "000630" | "000604")
    }

    /// Maps the engine's own refusal to the error that Snowflake has for it.
    pub fn from_engine(error: &tokio_postgres::Error) -> SqlError {
        let Some(db) = error.as_db_error() else {
            return SqlError::new("000603", "58000", format!("the emulator's engine failed: {error}"));
        };
        let state = db.code().code();
        let mut message = db.message().to_owned();
        // The detail of a refused row quotes its values, which belong into no message and no log.
        let detail = db.detail().filter(|_| !state.starts_with("23"));
        for part in [detail, db.hint()].into_iter().flatten() {
            message.push_str("; ");
            message.push_str(part);
        }
        match state {
            "42P01" | "3F000" => {
                SqlError::new("002003", "42S02", format!("SQL compilation error:\n{message}"))
            }
            "42703" | "42702" => {
                SqlError::new("000904", "42000", format!("SQL compilation error: error {message}"))
            }
            "42P07" | "42701" => {
                SqlError::new("002002", "42710", format!("SQL compilation error:\n{message}"))
            }
            "42601" => SqlError::new("001003", "42000", format!("SQL compilation error:\n{message}")),
            "42883" => SqlError::new("002140", "42601", format!("SQL compilation error:\n{message}")),
            "22012" => SqlError::new("100051", "22012", "Division by zero"),
            "21000" => SqlError::new(
                "100090",
                "42P18",
                format!("Duplicate row detected during DML action: {message}"),
            ),
            "23502" => {
                SqlError::new("100072", "22000", format!("NULL result in a non-nullable column: {message}"))
            }
            "22001" => SqlError::new(
                "100078",
                "22000",
                format!("String is too long and would be truncated: {message}"),
            ),
            "57014" if message.contains("statement timeout") => SqlError::new(
                "000630",
                "57014",
                "Statement reached its statement or warehouse timeout and was canceled.",
            ),
            "57014" => SqlError::new("000604", "57014", "SQL execution canceled"),
            // raised by the emulator's own functions: SFnnn is Snowflake's number 100nnn
            _ if state.starts_with("SF") => {
                SqlError::new(&format!("100{}", state.trim_start_matches("SF")), "22000", message)
            }
            _ => {
                let message = format!("SQL execution error: {message}");
                SqlError::new("100183", state, message)
            }
        }
    }
}

impl From<tokio_postgres::Error> for SqlError {
    fn from(error: tokio_postgres::Error) -> SqlError {
        SqlError::from_engine(&error)
    }
}

impl From<deadpool_postgres::PoolError> for SqlError {
    fn from(error: deadpool_postgres::PoolError) -> SqlError {
        SqlError::new("000603", "58000", format!("the emulator's engine gave no connection: {error}"))
    }
}

/// A refused request of the streaming or token surface: status, code, message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status} {code}: {message}")]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// Snowflake's code.
    pub code: String,
    /// What, where, why.
    pub message: String,
}

impl ApiError {
    /// Any.
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> ApiError {
        ApiError { status, code: code.to_owned(), message: message.into() }
    }
}

impl From<SqlError> for ApiError {
    fn from(error: SqlError) -> ApiError {
        ApiError::new(503, "ERR_GENERAL_EXCEPTION_RETRY_REQUEST", error.to_string())
    }
}

impl From<tokio_postgres::Error> for ApiError {
    fn from(error: tokio_postgres::Error) -> ApiError {
        SqlError::from_engine(&error).into()
    }
}

impl From<deadpool_postgres::PoolError> for ApiError {
    fn from(error: deadpool_postgres::PoolError) -> ApiError {
        SqlError::from(error).into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(json!({"code": self.code, "message": self.message}))).into_response()
    }
}
