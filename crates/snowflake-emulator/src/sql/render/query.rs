//! Queries: WITH, SELECT with QUALIFY and EXCLUDE, set operations, VALUES, joins, table functions.

use std::collections::{BTreeMap, BTreeSet};

use sqlparser::ast::{
    Distinct, ExcludeSelectItem, Expr, FunctionArg, FunctionArgExpr, GroupByExpr, Join, JoinConstraint,
    JoinOperator, LimitClause, NamedWindowDefinition, ObjectName, OrderByKind, Query, RenameSelectItem,
    Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, SetOperator, SetQuantifier, TableAlias,
    TableFactor, TableWithJoins, TopQuantity, Value, Values, WildcardAdditionalOptions,
};

use super::expression::own_column;
use super::{Rendered, Renderer, Stop, name_parts};
use crate::engine::{IDENTIFIER_BYTES_MAX, literal, quote};
use crate::error::SqlError;
use crate::sql::session::fold;

/// Alias of the sub-query that carries the condition of a QUALIFY.
const QUALIFIED: &str = "~qualified";
/// Its column with the condition.
const KEPT: &str = "~kept";

/// One item of a select list, rendered.
#[derive(Debug, Clone)]
struct Item {
    text: String,
    /// Output name; None for a wildcard that the engine expands.
    name: Option<String>,
    /// Whether the statement gave the name with AS.
    aliased: bool,
}

impl Renderer<'_> {
    /// A query with everything around its body.
    pub(super) fn query(&mut self, query: &Query) -> Rendered {
        if !query.locks.is_empty() || query.for_clause.is_some() || !query.pipe_operators.is_empty() {
            return self.unsupported("a locking or piped query");
        }
        let mut text = String::new();
        self.ctes.push(BTreeSet::new());
        if let Some(with) = &query.with {
            let mut tables = Vec::new();
            for cte in &with.cte_tables {
                let name = fold(&cte.alias.name);
                if with.recursive {
                    self.enter_cte(&name);
                }
                let body = self.query(&cte.query)?;
                self.enter_cte(&name);
                tables.push(format!("{} AS ({body})", self.alias(&cte.alias)?));
            }
            // a recursive reference needs the word in the engine, not in Snowflake
            text.push_str(&format!("WITH RECURSIVE {} ", tables.join(", ")));
        }
        text.push_str(&self.set_expr(&query.body)?);
        if let Some(order) = &query.order_by {
            match &order.kind {
                OrderByKind::Expressions(items) => {
                    text.push_str(&format!(" ORDER BY {}", self.order_list(items)?));
                }
                OrderByKind::All(_) => return self.unsupported("ORDER BY ALL"),
            }
        }
        text.push_str(&self.top(&query.body)?);
        text.push_str(&self.limit(query)?);
        self.ctes.pop();
        Ok(text)
    }

    fn enter_cte(&mut self, name: &str) {
        if let Some(scope) = self.ctes.last_mut() {
            scope.insert(name.to_owned());
        }
    }

    /// TOP stands before the select list and counts after ORDER BY.
    fn top(&mut self, body: &SetExpr) -> Rendered {
        let SetExpr::Select(select) = body else { return Ok(String::new()) };
        match &select.top {
            Some(top) if !top.with_ties && !top.percent => match &top.quantity {
                Some(TopQuantity::Constant(count)) => Ok(format!(" LIMIT {count}")),
                Some(TopQuantity::Expr(count)) => Ok(format!(" LIMIT {}", self.expr(count)?)),
                None => self.unsupported("TOP without a number"),
            },
            Some(_) => self.unsupported("TOP … PERCENT or WITH TIES"),
            None => Ok(String::new()),
        }
    }

    fn limit(&mut self, query: &Query) -> Rendered {
        let mut text = String::new();
        match &query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, limit_by }) if limit_by.is_empty() => {
                if let Some(limit) = limit {
                    text.push_str(&format!(" LIMIT {}", self.expr(limit)?));
                }
                if let Some(offset) = offset {
                    text.push_str(&format!(" OFFSET {}", self.expr(&offset.value)?));
                }
            }
            Some(other) => return self.unsupported(format!("{other}")),
            None => {}
        }
        if let Some(fetch) = &query.fetch {
            match &fetch.quantity {
                Some(quantity) if !fetch.with_ties && !fetch.percent => {
                    text.push_str(&format!(" LIMIT {}", self.expr(quantity)?));
                }
                _ => return self.unsupported(format!("{fetch}")),
            }
        }
        Ok(text)
    }

    fn set_expr(&mut self, body: &SetExpr) -> Rendered {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => Ok(format!("({})", self.query(query)?)),
            SetExpr::Values(values) => self.values(values),
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                if [left, right]
                    .iter()
                    .any(|side| matches!(&***side, SetExpr::Select(select) if select.top.is_some()))
                {
                    return self.unsupported("TOP on one side of a set operation");
                }
                let word = match op {
                    SetOperator::Union => "UNION",
                    SetOperator::Except | SetOperator::Minus => "EXCEPT",
                    SetOperator::Intersect => "INTERSECT",
                };
                let all = match set_quantifier {
                    SetQuantifier::All => " ALL",
                    SetQuantifier::None | SetQuantifier::Distinct => "",
                    _ => return self.unsupported("UNION BY NAME"),
                };
                Ok(format!("{} {word}{all} {}", self.set_expr(left)?, self.set_expr(right)?))
            }
            other => self.unsupported(format!("the query {other}")),
        }
    }

    /// `VALUES (…), (…)`, whose columns Snowflake calls COLUMN1, COLUMN2 ….
    pub(super) fn values(&mut self, values: &Values) -> Rendered {
        let mut rows = Vec::with_capacity(values.rows.len());
        for row in &values.rows {
            rows.push(format!("({})", self.list(&row.content)?));
        }
        Ok(format!("VALUES {}", rows.join(", ")))
    }

    fn select(&mut self, select: &Select) -> Rendered {
        if select.into.is_some()
            || !select.lateral_views.is_empty()
            || !select.connect_by.is_empty()
            || select.prewhere.is_some()
            || select.exclude.is_some()
        {
            return self.unsupported("a clause of this SELECT");
        }
        let from = self.from(&select.from)?;
        let items = self.projection(&select.projection, &from)?;
        self.push_aliases(select, &items, &from)?;
        let result = self.select_body(select, &from, items);
        self.aliases.pop();
        result
    }

    fn select_body(&mut self, select: &Select, from: &str, items: Vec<Item>) -> Rendered {
        let mut tail = from.to_owned();
        if let Some(condition) = &select.selection {
            tail.push_str(&format!(" WHERE {}", self.expr(condition)?));
        }
        tail.push_str(&self.group_by(&select.group_by)?);
        if let Some(condition) = &select.having {
            tail.push_str(&format!(" HAVING {}", self.expr(condition)?));
        }
        tail.push_str(&self.named_windows(&select.named_window)?);
        let distinct = match &select.distinct {
            Some(Distinct::Distinct) => "DISTINCT ",
            Some(Distinct::On(_)) => return self.unsupported("DISTINCT ON"),
            Some(Distinct::All) | None => "",
        };
        match &select.qualify {
            Some(condition) => {
                let condition = self.expr(condition)?;
                self.qualified(distinct, items, &condition, &tail)
            }
            None => Ok(format!("SELECT {distinct}{}{tail}", join_items(&items))),
        }
    }

    /// QUALIFY: the condition becomes a column of a sub-query, which the outer query filters by and leaves out.
    fn qualified(&mut self, distinct: &str, items: Vec<Item>, condition: &str, tail: &str) -> Rendered {
        let names = if items.iter().all(|item| item.name.is_some()) {
            items.iter().filter_map(|item| item.name.clone()).collect()
        } else {
            self.columns_of(format!("SELECT {}{tail}", join_items(&items)))?.to_vec()
        };
        let inner: Vec<String> = (1..=names.len()).map(|at| quote(&format!("~{at}"))).collect();
        let outer: Vec<String> = names
            .iter()
            .zip(&inner)
            .map(|(name, inner)| format!("{}.{inner} AS {}", quote(QUALIFIED), quote(name)))
            .collect();
        Ok(format!(
            "SELECT {distinct}{} FROM (SELECT {}, ({condition}){tail}) AS {} ({}, {}) WHERE {}",
            outer.join(", "),
            join_items(&items),
            quote(QUALIFIED),
            inner.join(", "),
            quote(KEPT),
            own_column(QUALIFIED, KEPT)
        ))
    }

    /// Aliases may stand for their expressions in WHERE, GROUP BY, HAVING, QUALIFY, unless a column has the name.
    fn push_aliases(&mut self, select: &Select, items: &[Item], from: &str) -> Result<(), Stop> {
        let mut aliases = BTreeMap::new();
        let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
        if select.selection.is_some() || select.qualify.is_some() || select.having.is_some() || grouped {
            for item in items.iter().filter(|item| item.aliased) {
                aliases.extend(item.name.clone().map(|name| (name, item.text.clone())));
            }
        }
        if !aliases.is_empty() && !from.is_empty() {
            let columns = self.columns_of(format!("SELECT *{from}"))?;
            aliases.retain(|name, _| !columns.contains(name));
        }
        self.aliases.push(aliases);
        Ok(())
    }

    fn projection(&mut self, projection: &[SelectItem], from: &str) -> Result<Vec<Item>, Stop> {
        // an alias of the outer query means nothing in the select list of this one
        self.aliases.push(BTreeMap::new());
        let mut items = Vec::with_capacity(projection.len());
        for item in projection {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let text = self.expr(expr)?;
                    items.push(Item { text, name: Some(self.output_name(expr)), aliased: false });
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    let text = self.expr(expr)?;
                    self.name(alias)?;
                    items.push(Item { text, name: Some(fold(alias)), aliased: true });
                }
                SelectItem::Wildcard(options) => self.wildcard("*", options, from, &mut items)?,
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    let parts = name_parts(name)?;
                    let table = quote(parts.last().map(String::as_str).unwrap_or_default());
                    self.wildcard(&format!("{table}.*"), options, from, &mut items)?;
                }
                other => return self.unsupported(format!("the select item {other}")),
            }
        }
        self.aliases.pop();
        Ok(items)
    }

    fn wildcard(
        &mut self,
        star: &str,
        options: &WildcardAdditionalOptions,
        from: &str,
        items: &mut Vec<Item>,
    ) -> Result<(), Stop> {
        if options.opt_except.is_some() || options.opt_alias.is_some() {
            return self.unsupported("EXCEPT in a select list");
        }
        if options.opt_exclude.is_none()
            && options.opt_rename.is_none()
            && options.opt_replace.is_none()
            && options.opt_ilike.is_none()
        {
            items.push(Item { text: star.to_owned(), name: None, aliased: false });
            return Ok(());
        }
        if options.opt_ilike.is_some() {
            return self.unsupported("ILIKE in a select list");
        }
        let excluded = match &options.opt_exclude {
            Some(ExcludeSelectItem::Single(name)) => vec![last_part(name)?],
            Some(ExcludeSelectItem::Multiple(names)) => {
                names.iter().map(last_part).collect::<Result<_, _>>()?
            }
            None => Vec::new(),
        };
        let mut renamed = BTreeMap::new();
        let pairs = match &options.opt_rename {
            Some(RenameSelectItem::Single(pair)) => std::slice::from_ref(pair),
            Some(RenameSelectItem::Multiple(pairs)) => pairs.as_slice(),
            None => &[],
        };
        for pair in pairs {
            renamed.insert(fold(&pair.ident), fold(&pair.alias));
        }
        let mut replaced = BTreeMap::new();
        for element in options.opt_replace.iter().flat_map(|replace| &replace.items) {
            replaced.insert(fold(&element.column_name), self.expr(&element.expr)?);
        }
        let columns = self.columns_of(format!("SELECT {star}{from}"))?.to_vec();
        for name in excluded.iter().chain(renamed.keys()).chain(replaced.keys()) {
            if !columns.contains(name) {
                let message = format!("SQL compilation error: error line 1\ninvalid identifier '{name}'");
                return Err(SqlError::new("000904", "42000", message).into());
            }
        }
        let prefix = star.strip_suffix('*').unwrap_or_default();
        for column in columns.iter().filter(|column| !excluded.contains(column)) {
            let text = replaced.get(column).cloned().unwrap_or_else(|| format!("{prefix}{}", quote(column)));
            let name = renamed.get(column).unwrap_or(column).clone();
            items.push(Item { text, name: Some(name), aliased: false });
        }
        Ok(())
    }

    /// The name of an expression without an alias: the column's, else the expression's own text.
    fn output_name(&mut self, expr: &Expr) -> String {
        let name = match expr {
            Expr::Identifier(ident) => fold(ident),
            Expr::CompoundIdentifier(parts) => parts.last().map(fold).unwrap_or_default(),
            other => other.to_string().to_uppercase(),
        };
        if name.len() <= IDENTIFIER_BYTES_MAX {
            return name;
        }
        let short = format!("~long~{}", self.long_names.len());
        self.long_names.insert(short.clone(), name);
        short
    }

    fn group_by(&mut self, group_by: &GroupByExpr) -> Rendered {
        match group_by {
            GroupByExpr::Expressions(items, modifiers) if modifiers.is_empty() => {
                if items.is_empty() {
                    return Ok(String::new());
                }
                Ok(format!(" GROUP BY {}", self.list(items)?))
            }
            other => self.unsupported(format!("{other}")),
        }
    }

    fn named_windows(&mut self, windows: &[NamedWindowDefinition]) -> Rendered {
        let mut parts = Vec::new();
        for NamedWindowDefinition(name, definition) in windows {
            let sqlparser::ast::NamedWindowExpr::WindowSpec(spec) = definition else {
                return self.unsupported("a window that is named after another");
            };
            parts.push(format!("{} AS ({})", self.name(name)?, self.window(spec, false)?));
        }
        Ok(if parts.is_empty() { String::new() } else { format!(" WINDOW {}", parts.join(", ")) })
    }

    /// ` FROM …`, or nothing.
    pub(super) fn from(&mut self, tables: &[TableWithJoins]) -> Rendered {
        if tables.is_empty() {
            return Ok(String::new());
        }
        let tables: Result<Vec<String>, Stop> =
            tables.iter().map(|table| self.table_with_joins(table)).collect();
        Ok(format!(" FROM {}", tables?.join(", ")))
    }

    /// A table and what is joined to it.
    pub(super) fn table_with_joins(&mut self, table: &TableWithJoins) -> Rendered {
        let mut text = self.table_factor(&table.relation)?;
        for join in &table.joins {
            text.push_str(&self.join(join)?);
        }
        Ok(text)
    }

    fn join(&mut self, join: &Join) -> Rendered {
        let (word, constraint) = match &join.join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => ("JOIN", constraint),
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => ("LEFT JOIN", constraint),
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
                ("RIGHT JOIN", constraint)
            }
            JoinOperator::FullOuter(constraint) => ("FULL JOIN", constraint),
            JoinOperator::CrossJoin(constraint) => ("CROSS JOIN", constraint),
            _ => return self.unsupported(format!("the join {join}")),
        };
        let table = self.table_factor(&join.relation)?;
        Ok(match constraint {
            JoinConstraint::On(condition) => format!(" {word} {table} ON {}", self.expr(condition)?),
            JoinConstraint::Using(columns) => {
                let columns: Result<Vec<String>, Stop> =
                    columns.iter().map(|column| Ok(quote(&last_part(column)?))).collect();
                format!(" {word} {table} USING ({})", columns?.join(", "))
            }
            JoinConstraint::Natural => format!(" NATURAL {word} {table}"),
            // an inner join without a condition is a cross join
            JoinConstraint::None => format!(" CROSS JOIN {table}"),
        })
    }

    /// What stands in FROM.
    pub(super) fn table_factor(&mut self, factor: &TableFactor) -> Rendered {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                version: None,
                json_path: None,
                sample: None,
                ..
            } => {
                let mut text = self.relation(name)?;
                if let Some(alias) = alias {
                    text.push_str(&format!(" AS {}", self.alias(alias)?));
                }
                Ok(text)
            }
            TableFactor::Table { name, alias, args: Some(args), .. } => {
                self.table_function(&name.to_string().to_uppercase(), &args.args, alias.as_ref())
            }
            TableFactor::Function { name, args, alias, .. } => {
                self.table_function(&name.to_string().to_uppercase(), args, alias.as_ref())
            }
            TableFactor::TableFunction { expr: Expr::Function(function), alias } => {
                let sqlparser::ast::FunctionArguments::List(list) = &function.args else {
                    return self.unsupported(format!("TABLE({function})"));
                };
                self.table_function(&function.name.to_string().to_uppercase(), &list.args, alias.as_ref())
            }
            TableFactor::Derived { lateral, subquery, alias, sample: None } => {
                let text = self.query(subquery)?;
                let is_values = matches!(*subquery.body, SetExpr::Values(_));
                let lateral = if *lateral { "LATERAL " } else { "" };
                let alias = match alias {
                    Some(alias) if is_values && alias.columns.is_empty() => {
                        format!("{} ({})", self.name(&alias.name)?, values_columns(subquery))
                    }
                    Some(alias) => self.alias(alias)?,
                    None if is_values => format!("\"~values\" ({})", values_columns(subquery)),
                    // the engine before version 16 wants a name
                    None => format!("\"~derived{}\"", text.len()),
                };
                Ok(format!("{lateral}({text}) AS {alias}"))
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                Ok(format!("({})", self.table_with_joins(table_with_joins)?))
            }
            other => self.unsupported(format!("{other} in FROM")),
        }
    }

    /// FLATTEN, GENERATOR, ERROR_TABLE.
    fn table_function(&mut self, name: &str, args: &[FunctionArg], alias: Option<&TableAlias>) -> Rendered {
        let alias = match alias {
            Some(alias) => self.alias(alias)?,
            None => quote(name),
        };
        match name {
            "FLATTEN" => {
                let mut parts = Vec::new();
                for argument in args {
                    let (key, value) = match argument {
                        FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                            (name.value.to_lowercase(), value)
                        }
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) if args.len() == 1 => {
                            ("input".to_owned(), value)
                        }
                        other => return self.unsupported(format!("the argument {other} of FLATTEN")),
                    };
                    let text = match key.as_str() {
                        "input" | "outer" | "recursive" => self.expr(value)?,
                        "path" | "mode" => self.text(value)?,
                        _ => return self.unsupported(format!("the argument {key} of FLATTEN")),
                    };
                    parts.push(format!("\"{key}\" => {text}"));
                }
                Ok(format!("LATERAL sf.flatten({}) AS {alias}", parts.join(", ")))
            }
            "GENERATOR" => {
                let count = args.iter().find_map(|argument| match argument {
                    FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. }
                        if name.value.eq_ignore_ascii_case("rowcount") =>
                    {
                        Some(value.clone())
                    }
                    _ => None,
                });
                let Some(count) = count else { return self.unsupported("GENERATOR without ROWCOUNT") };
                Ok(format!("generate_series(1, ({})::int) AS {alias}", self.expr(&count)?))
            }
            "ERROR_TABLE" => {
                let [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] = args else {
                    return self.unsupported("ERROR_TABLE without one name");
                };
                let table = self.table_argument(argument)?;
                Ok(format!("sf.error_table({}::regclass) AS {alias}", literal(&table)))
            }
            other => self.unsupported(format!("the table function {other}")),
        }
    }

    /// `'T'` or `T` as the argument of a table function: the engine's name of that table.
    fn table_argument(&mut self, argument: &Expr) -> Rendered {
        let parts = match argument {
            Expr::Identifier(ident) => vec![fold(ident)],
            Expr::CompoundIdentifier(parts) => parts.iter().map(fold).collect(),
            Expr::Value(value) => match &value.value {
                Value::SingleQuotedString(text) => text
                    .split('.')
                    .map(|part| match part.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
                        Some(quoted) => quoted.to_owned(),
                        None => part.to_uppercase(),
                    })
                    .collect(),
                other => return self.unsupported(format!("the table {other}")),
            },
            other => return self.unsupported(format!("the table {other}")),
        };
        Ok(self.session.relation_name(&parts)?.to_engine()?)
    }

    /// `"ALIAS"` or `"ALIAS" ("C1", …)`.
    fn alias(&mut self, alias: &TableAlias) -> Rendered {
        let mut text = self.name(&alias.name)?;
        if !alias.columns.is_empty() {
            let columns: Result<Vec<String>, Stop> =
                alias.columns.iter().map(|column| self.name(&column.name)).collect();
            text.push_str(&format!(" ({})", columns?.join(", ")));
        }
        Ok(text)
    }
}

fn join_items(items: &[Item]) -> String {
    let parts: Vec<String> = items
        .iter()
        .map(|item| match &item.name {
            Some(name) => format!("{} AS {}", item.text, quote(name)),
            None => item.text.clone(),
        })
        .collect();
    parts.join(", ")
}

fn last_part(name: &ObjectName) -> Result<String, SqlError> {
    name_parts(name)?.pop().ok_or_else(|| SqlError::syntax("a name is missing"))
}

fn values_columns(query: &Query) -> String {
    let width = match &*query.body {
        SetExpr::Values(values) => values.rows.first().map_or(0, |row| row.content.len()),
        _ => 0,
    };
    let names: Vec<String> = (1..=width).map(|at| format!("\"COLUMN{at}\"")).collect();
    names.join(", ")
}
