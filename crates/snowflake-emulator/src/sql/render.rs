//! From the syntax tree of a Snowflake query to the engine's SQL.
//!
//! Every node that may appear is named here; what is not named is refused, so that nothing is ever evaluated by accident with
//! another meaning. Rendering is pure. Where the columns of a sub-query must be known (EXCLUDE, QUALIFY under a wildcard), it
//! stops with [`Stop::NeedColumns`]; the caller asks the engine, adds the answer to [`Known`] and renders again.

mod dml;
mod expression;
mod function;
mod query;

use std::collections::{BTreeMap, BTreeSet};

use sqlparser::ast::{Ident, ObjectName, ObjectNamePart, Query};

use crate::datatype::DataType;
use crate::engine::{IDENTIFIER_BYTES_MAX, RelationName, quote};
use crate::error::SqlError;
use crate::sql::session::{Session, fold};

pub(crate) use dml::{Count, Dml};

/// Why rendering stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The statement cannot be rendered.
    Error(SqlError),
    /// The columns of this query of the engine must be known first.
    NeedColumns(String),
}

impl From<SqlError> for Stop {
    fn from(error: SqlError) -> Stop {
        Stop::Error(error)
    }
}

/// Rendered text, or why not.
pub(crate) type Rendered = Result<String, Stop>;

/// Column names of queries of the engine, by their text.
pub(crate) type Known = BTreeMap<String, Vec<String>>;

/// A value for a placeholder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Its type.
    pub data_type: DataType,
    /// Its text as the SQL API sends it; None is NULL.
    pub value: Option<String>,
}

/// Renders one statement.
pub(crate) struct Renderer<'a> {
    session: &'a Session,
    known: &'a Known,
    bindings: &'a [Binding],
    next_binding: usize,
    /// Names of common table expressions that are in scope.
    ctes: Vec<BTreeSet<String>>,
    /// Output names that the engine would cut, by the name that stands for them.
    long_names: BTreeMap<String, String>,
    /// Aliases of the select list that may stand for their expressions, innermost last.
    aliases: Vec<BTreeMap<String, String>>,
    /// Relations that the statement reads.
    relations: BTreeSet<RelationName>,
}

impl<'a> Renderer<'a> {
    /// A renderer for one statement in a session.
    pub(crate) fn new(session: &'a Session, known: &'a Known, bindings: &'a [Binding]) -> Renderer<'a> {
        Renderer {
            session,
            known,
            bindings,
            next_binding: 0,
            ctes: Vec::new(),
            long_names: BTreeMap::new(),
            aliases: Vec::new(),
            relations: BTreeSet::new(),
        }
    }

    /// A query, whole.
    pub(crate) fn statement_query(&mut self, query: &Query) -> Rendered {
        self.query(query)
    }

    /// An expression outside of any query.
    pub(crate) fn standalone_expression(&mut self, expr: &sqlparser::ast::Expr) -> Rendered {
        self.expr(expr)
    }

    /// Output names that were too long for the engine, by the name that it was given instead.
    pub(crate) fn long_names(&self) -> &BTreeMap<String, String> {
        &self.long_names
    }

    /// `"NAME"` for a column or an alias.
    pub(crate) fn name(&self, ident: &Ident) -> Rendered {
        let name = fold(ident);
        if name.len() > IDENTIFIER_BYTES_MAX {
            return Err(SqlError::unsupported(format!(
                "the name {name:?}: the engine keeps {IDENTIFIER_BYTES_MAX} bytes"
            ))
            .into());
        }
        Ok(quote(&name))
    }

    /// The engine's name of a table or view, or of a common table expression.
    pub(crate) fn relation(&mut self, name: &ObjectName) -> Rendered {
        let parts = name_parts(name)?;
        if let [single] = parts.as_slice()
            && self.ctes.iter().any(|scope| scope.contains(single))
        {
            return Ok(quote(single));
        }
        let relation = self.session.relation_name(&parts)?;
        let engine_name = relation.to_engine()?;
        self.relations.insert(relation);
        Ok(engine_name)
    }

    fn columns_of(&self, query: String) -> Result<&[String], Stop> {
        match self.known.get(&query) {
            Some(columns) => Ok(columns),
            None => Err(Stop::NeedColumns(query)),
        }
    }

    fn unsupported<T>(&self, what: impl Into<String>) -> Result<T, Stop> {
        Err(SqlError::unsupported(what).into())
    }
}

/// The parts of an object's name, as they are stored.
pub(crate) fn name_parts(name: &ObjectName) -> Result<Vec<String>, SqlError> {
    name.0
        .iter()
        .map(|part| match part {
            ObjectNamePart::Identifier(ident) => Ok(fold(ident)),
            ObjectNamePart::Function(function) => {
                Err(SqlError::unsupported(format!("the name {}(…)", function.name)))
            }
        })
        .collect()
}
