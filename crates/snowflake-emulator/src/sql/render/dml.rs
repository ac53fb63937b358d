//! INSERT, UPDATE, DELETE, MERGE.

use sqlparser::ast::{
    Assignment, AssignmentTarget, Delete, Expr, FromTable, Insert, Merge, MergeAction, MergeClause,
    MergeClauseKind, MergeInsertKind, MergeUpdateKind, ObjectName, SetExpr, TableFactor, TableObject, Update,
    UpdateTableFromKind,
};

use super::{Rendered, Renderer, Stop, name_parts};
use crate::engine::{RelationName, quote};
use crate::error::SqlError;

/// A statement that changes rows, rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dml {
    /// The table that it changes.
    pub(crate) table: RelationName,
    /// What the engine runs, in order; the last one's count is the statement's.
    pub(crate) statements: Vec<String>,
    /// Which counts the answer has, in order.
    pub(crate) counts: Vec<Count>,
}

/// A column of the answer to a statement that changes rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    /// `number of rows inserted`.
    Inserted,
    /// `number of rows updated`.
    Updated,
    /// `number of rows deleted`.
    Deleted,
}

impl Count {
    /// The name that Snowflake gives the column.
    pub(crate) fn column(self) -> &'static str {
        match self {
            Count::Inserted => "number of rows inserted",
            Count::Updated => "number of rows updated",
            Count::Deleted => "number of rows deleted",
        }
    }
}

impl Renderer<'_> {
    /// INSERT.
    pub(crate) fn insert(&mut self, insert: &Insert) -> Result<Dml, Stop> {
        if insert.multi_table_insert_type.is_some() || insert.on.is_some() || insert.returning.is_some() {
            return self.unsupported("a multi-table or conditional INSERT");
        }
        let TableObject::TableName(name) = &insert.table else {
            return self.unsupported("INSERT into something that is not a table");
        };
        let table = self.target(name)?;
        let engine_table = table.to_engine()?;
        let mut text = format!("INSERT INTO {engine_table}");
        if !insert.columns.is_empty() {
            let columns: Result<Vec<String>, Stop> = insert.columns.iter().map(column).collect();
            text.push_str(&format!(" ({})", columns?.join(", ")));
        }
        let Some(source) = &insert.source else { return self.unsupported("INSERT without rows") };
        let rows = match &*source.body {
            SetExpr::Values(values) if source.with.is_none() => self.insert_values(values)?,
            _ => self.query(source)?,
        };
        text.push_str(&format!(" {rows}"));
        let mut statements = Vec::new();
        if insert.overwrite {
            statements.push(format!("DELETE FROM {engine_table}"));
        }
        statements.push(text);
        Ok(Dml { table, statements, counts: vec![Count::Inserted] })
    }

    /// VALUES of an INSERT may say DEFAULT.
    fn insert_values(&mut self, values: &sqlparser::ast::Values) -> Rendered {
        let mut rows = Vec::with_capacity(values.rows.len());
        for row in &values.rows {
            let mut cells = Vec::with_capacity(row.content.len());
            for cell in &row.content {
                cells.push(self.cell_or_default(cell)?);
            }
            rows.push(format!("({})", cells.join(", ")));
        }
        Ok(format!("VALUES {}", rows.join(", ")))
    }

    fn cell_or_default(&mut self, cell: &Expr) -> Rendered {
        match cell {
            Expr::Identifier(ident)
                if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default") =>
            {
                Ok("DEFAULT".to_owned())
            }
            other => self.expr(other),
        }
    }

    /// UPDATE.
    pub(crate) fn update(&mut self, update: &Update) -> Result<Dml, Stop> {
        if update.returning.is_some() || update.limit.is_some() || !update.table.joins.is_empty() {
            return self.unsupported("a clause of this UPDATE");
        }
        let (table, alias) = self.target_factor(&update.table.relation)?;
        let assignments = self.assignments(&update.assignments)?;
        let mut text = format!("UPDATE {}{alias} SET {assignments}", table.to_engine()?);
        match &update.from {
            Some(UpdateTableFromKind::AfterSet(tables) | UpdateTableFromKind::BeforeSet(tables)) => {
                text.push_str(&self.from(tables)?);
            }
            None => {}
        }
        if let Some(condition) = &update.selection {
            text.push_str(&format!(" WHERE {}", self.expr(condition)?));
        }
        Ok(Dml { table, statements: vec![text], counts: vec![Count::Updated] })
    }

    /// DELETE.
    pub(crate) fn delete(&mut self, delete: &Delete) -> Result<Dml, Stop> {
        let (FromTable::WithFromKeyword(tables) | FromTable::WithoutKeyword(tables)) = &delete.from;
        let [table] = tables.as_slice() else { return self.unsupported("DELETE from several tables") };
        if delete.returning.is_some() || delete.limit.is_some() || !table.joins.is_empty() {
            return self.unsupported("a clause of this DELETE");
        }
        let (table, alias) = self.target_factor(&table.relation)?;
        let mut text = format!("DELETE FROM {}{alias}", table.to_engine()?);
        if let Some(using) = &delete.using {
            let tables: Result<Vec<String>, Stop> =
                using.iter().map(|table| self.table_with_joins(table)).collect();
            text.push_str(&format!(" USING {}", tables?.join(", ")));
        }
        if let Some(condition) = &delete.selection {
            text.push_str(&format!(" WHERE {}", self.expr(condition)?));
        }
        Ok(Dml { table, statements: vec![text], counts: vec![Count::Deleted] })
    }

    /// MERGE. A row that two source rows match is an error in the engine, as it is in Snowflake by default.
    pub(crate) fn merge(&mut self, merge: &Merge) -> Result<Dml, Stop> {
        let (table, alias) = self.target_factor(&merge.table)?;
        let source = self.table_factor(&merge.source)?;
        let mut text =
            format!("MERGE INTO {}{alias} USING {source} ON {}", table.to_engine()?, self.expr(&merge.on)?);
        let mut counts = Vec::new();
        for clause in &merge.clauses {
            let (rendered, count) = self.merge_clause(clause)?;
            text.push_str(&rendered);
            if !counts.contains(&count) {
                counts.push(count);
            }
        }
        counts.sort_by_key(|count| match count {
            Count::Inserted => 0,
            Count::Updated => 1,
            Count::Deleted => 2,
        });
        Ok(Dml { table, statements: vec![text], counts })
    }

    fn merge_clause(&mut self, clause: &MergeClause) -> Result<(String, Count), Stop> {
        let mut text = match clause.clause_kind {
            MergeClauseKind::Matched => " WHEN MATCHED".to_owned(),
            MergeClauseKind::NotMatched => " WHEN NOT MATCHED".to_owned(),
            _ => return self.unsupported(format!("the clause WHEN {}", clause.clause_kind)),
        };
        if let Some(predicate) = &clause.predicate {
            text.push_str(&format!(" AND {}", self.expr(predicate)?));
        }
        let count = match &clause.action {
            MergeAction::Update(update) => {
                let MergeUpdateKind::Set(assignments) = &update.kind else {
                    return self.unsupported("MERGE … UPDATE ALL BY NAME");
                };
                text.push_str(&format!(" THEN UPDATE SET {}", self.assignments(assignments)?));
                Count::Updated
            }
            MergeAction::Delete { .. } => {
                text.push_str(" THEN DELETE");
                Count::Deleted
            }
            MergeAction::Insert(insert) => {
                let MergeInsertKind::Values(values) = &insert.kind else {
                    return self.unsupported("MERGE … INSERT without VALUES");
                };
                let columns: Result<Vec<String>, Stop> = insert.columns.iter().map(column).collect();
                let columns = columns?;
                let rows = self.insert_values(values)?;
                let list =
                    if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
                text.push_str(&format!(" THEN INSERT{list} {rows}"));
                Count::Inserted
            }
            MergeAction::DoNothing { .. } => {
                return self.unsupported("DO NOTHING, which Snowflake does not have");
            }
        };
        Ok((text, count))
    }

    fn assignments(&mut self, assignments: &[Assignment]) -> Rendered {
        let mut parts = Vec::with_capacity(assignments.len());
        for assignment in assignments {
            let AssignmentTarget::ColumnName(name) = &assignment.target else {
                return self.unsupported("an assignment to several columns");
            };
            parts.push(format!("{} = {}", column(name)?, self.cell_or_default(&assignment.value)?));
        }
        Ok(parts.join(", "))
    }

    fn target(&mut self, name: &ObjectName) -> Result<RelationName, Stop> {
        Ok(self.session.relation_name(&name_parts(name)?)?)
    }

    /// The changed table and ` AS "alias"`.
    fn target_factor(&mut self, factor: &TableFactor) -> Result<(RelationName, String), Stop> {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let table = self.target(name)?;
                let alias = match alias {
                    Some(alias) => format!(" AS {}", self.name(&alias.name)?),
                    None => String::new(),
                };
                Ok((table, alias))
            }
            other => self.unsupported(format!("changing {other}")),
        }
    }
}

/// The column of `t.col` or `col`.
fn column(name: &ObjectName) -> Rendered {
    let parts = name_parts(name)?;
    parts.last().map(|part| quote(part)).ok_or_else(|| SqlError::syntax("a column name is missing").into())
}
