//! Expressions.

use sqlparser::ast::{
    AccessExpr, BinaryOperator, CaseWhen, CastKind, CeilFloorKind, DateTimeField, Expr, JsonPath,
    JsonPathElem, Subscript, TrimWhereField, UnaryOperator, Value,
};

use super::{Rendered, Renderer, Stop};
use crate::datatype::DataType;
use crate::engine::{literal, quote};
use crate::error::SqlError;
use crate::sql::declared;
use crate::sql::session::fold;

impl Renderer<'_> {
    /// An expression.
    pub(super) fn expr(&mut self, expr: &Expr) -> Rendered {
        match expr {
            Expr::Identifier(ident) => {
                let name = fold(ident);
                match self.aliases.last().and_then(|scope| scope.get(&name)) {
                    Some(text) => Ok(format!("({text})")),
                    None => self.name(ident),
                }
            }
            Expr::CompoundIdentifier(parts) => {
                // the engine knows a table by its own name or alias: database and schema before it are dropped
                let tail = parts.get(parts.len().saturating_sub(2)..).unwrap_or_default();
                let parts: Result<Vec<String>, Stop> = tail.iter().map(|ident| self.name(ident)).collect();
                Ok(parts?.join("."))
            }
            Expr::Value(value) => self.value(&value.value),
            Expr::Nested(inner) => Ok(format!("({})", self.expr(inner)?)),
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            Expr::UnaryOp { op, expr } => self.unary(op, expr),
            Expr::Cast { kind, expr, data_type, format: None } => {
                let target = declared::data_type(data_type)?;
                self.cast(expr, target, matches!(kind, CastKind::TryCast | CastKind::SafeCast))
            }
            Expr::JsonAccess { value, path } => self.json_access(value, path),
            Expr::CompoundFieldAccess { root, access_chain } => self.field_access(root, access_chain),
            Expr::Function(function) => self.function(function),
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Expr::IsNull(inner) => Ok(format!("({} IS NULL)", self.expr(inner)?)),
            Expr::IsNotNull(inner) => Ok(format!("({} IS NOT NULL)", self.expr(inner)?)),
            Expr::IsTrue(inner) => Ok(format!("({} IS TRUE)", self.expr(inner)?)),
            Expr::IsNotTrue(inner) => Ok(format!("({} IS NOT TRUE)", self.expr(inner)?)),
            Expr::IsFalse(inner) => Ok(format!("({} IS FALSE)", self.expr(inner)?)),
            Expr::IsNotFalse(inner) => Ok(format!("({} IS NOT FALSE)", self.expr(inner)?)),
            Expr::IsDistinctFrom(left, right) => self.compared(left, "IS DISTINCT FROM", right),
            Expr::IsNotDistinctFrom(left, right) => self.compared(left, "IS NOT DISTINCT FROM", right),
            Expr::TypedString(typed) => {
                let text = typed.value.to_string();
                let target = declared::data_type(&typed.data_type)?;
                Ok(format!("{}({text})", cast_function(target)))
            }
            Expr::Subquery(query) => Ok(format!("({})", self.query(query)?)),
            Expr::Exists { subquery, negated } => {
                Ok(format!("({}EXISTS ({}))", not(*negated), self.query(subquery)?))
            }
            Expr::Tuple(items) => Ok(format!("({})", self.list(items)?)),
            Expr::Collate { expr, .. } => self.expr(expr),
            _ => self.predicate_or_clause(expr),
        }
    }

    /// The less common half of [`Renderer::expr`].
    fn predicate_or_clause(&mut self, expr: &Expr) -> Rendered {
        match expr {
            Expr::InList { expr, list, negated } => {
                let wrap = is_variant(expr);
                let items: Result<Vec<String>, Stop> =
                    list.iter().map(|item| self.comparable(item, wrap)).collect();
                Ok(format!("({} {}IN ({}))", self.expr(expr)?, not(*negated), items?.join(", ")))
            }
            Expr::InSubquery { expr, subquery, negated } => {
                Ok(format!("({} {}IN ({}))", self.expr(expr)?, not(*negated), self.query(subquery)?))
            }
            Expr::Between { expr, negated, low, high } => {
                let wrap = is_variant(expr);
                let (low, high) = (self.comparable(low, wrap)?, self.comparable(high, wrap)?);
                Ok(format!("({} {}BETWEEN {low} AND {high})", self.expr(expr)?, not(*negated)))
            }
            Expr::Like { negated, any, expr, pattern, escape_char } => {
                self.like("LIKE", *negated, *any, expr, pattern, escape_char.as_deref())
            }
            Expr::ILike { negated, any, expr, pattern, escape_char } => {
                self.like("ILIKE", *negated, *any, expr, pattern, escape_char.as_deref())
            }
            Expr::RLike { negated, expr, pattern, .. } => {
                // Snowflake's RLIKE matches the whole string
                let (text, pattern) = (self.text(expr)?, self.expr(pattern)?);
                Ok(format!("({}({text} ~ ('^(?:' || {pattern} || ')$')))", not(*negated)))
            }
            Expr::Extract { field, expr, .. } => {
                Ok(format!("sf.date_part({}, {})", literal(&date_part(field)), self.expr(expr)?))
            }
            Expr::Ceil { expr, field } => self.ceil_floor("ceil", expr, field),
            Expr::Floor { expr, field } => self.ceil_floor("floor", expr, field),
            Expr::Position { expr, r#in } => {
                Ok(format!("strpos({}, {})", self.text(r#in)?, self.text(expr)?))
            }
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                let mut arguments = vec![self.text(expr)?];
                for part in [substring_from, substring_for].into_iter().flatten() {
                    arguments.push(format!("({})::int", self.expr(part)?));
                }
                Ok(format!("sf.substr({})", arguments.join(", ")))
            }
            Expr::Trim { trim_where, trim_what, expr, trim_characters } => {
                let side = match trim_where {
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                    Some(TrimWhereField::Both) | None => "btrim",
                };
                let mut arguments = vec![self.text(expr)?];
                if let Some(what) =
                    trim_what.as_deref().or(trim_characters.as_ref().and_then(|list| list.first()))
                {
                    arguments.push(self.text(what)?);
                }
                Ok(format!("{side}({})", arguments.join(", ")))
            }
            Expr::AtTimeZone { timestamp, time_zone } => {
                Ok(format!("({} AT TIME ZONE {})", self.expr(timestamp)?, self.expr(time_zone)?))
            }
            Expr::Interval(interval) if interval.leading_field.is_none() => {
                Ok(format!("INTERVAL {}", interval.value))
            }
            Expr::Interval(interval) => {
                let unit = interval.leading_field.as_ref().map(date_part).unwrap_or_default();
                Ok(format!("sf.interval_of({}, {})", literal(&unit), self.expr(&interval.value)?))
            }
            Expr::Array(array) => {
                let items: Result<Vec<String>, Stop> =
                    array.elem.iter().map(|item| self.as_variant(item)).collect();
                Ok(format!("sf.array_construct(ARRAY[{}]::jsonb[])", items?.join(", ")))
            }
            Expr::Dictionary(fields) => {
                let (mut keys, mut values) = (Vec::new(), Vec::new());
                for field in fields {
                    keys.push(literal(&field.key.value));
                    values.push(self.as_variant(&field.value)?);
                }
                Ok(object_construct("object_construct", &keys, &values))
            }
            other => self.unsupported(format!("the expression {other}")),
        }
    }

    /// Several expressions, separated by commas.
    pub(super) fn list(&mut self, items: &[Expr]) -> Rendered {
        let items: Result<Vec<String>, Stop> = items.iter().map(|item| self.expr(item)).collect();
        Ok(items?.join(", "))
    }

    /// An expression as text: a VARIANT gives its string.
    pub(super) fn text(&mut self, expr: &Expr) -> Rendered {
        if is_string_literal(expr) {
            return self.expr(expr);
        }
        Ok(format!("sf.to_varchar({})", self.expr(expr)?))
    }

    /// An expression as a VARIANT.
    pub(super) fn as_variant(&mut self, expr: &Expr) -> Rendered {
        let text = self.expr(expr)?;
        Ok(if is_string_literal(expr) {
            format!("sf.to_variant({text}::text)")
        } else {
            format!("sf.to_variant({text})")
        })
    }

    /// A cast, explicit or TRY_.
    pub(super) fn cast(&mut self, expr: &Expr, target: DataType, try_cast: bool) -> Rendered {
        let inner = self.expr(expr)?;
        Ok(cast_text(&inner, target, try_cast))
    }

    fn value(&mut self, value: &Value) -> Rendered {
        Ok(match value {
            Value::Number(text, _) => text.clone(),
            Value::SingleQuotedString(text) => literal(text),
            Value::DollarQuotedString(text) => literal(&text.value),
            Value::Boolean(truth) => truth.to_string(),
            Value::Null => "NULL".to_owned(),
            Value::HexStringLiteral(digits) => format!("decode({}, 'hex')", literal(digits)),
            Value::Placeholder(name) => return self.placeholder(name),
            other => return self.unsupported(format!("the literal {other}")),
        })
    }

    fn placeholder(&mut self, name: &str) -> Rendered {
        let at = if name == "?" {
            self.next_binding += 1;
            self.next_binding
        } else {
            name.trim_start_matches([':', '$'])
                .parse::<usize>()
                .map_err(|_| SqlError::syntax(format!("placeholder {name} is not ? or :1")))?
        };
        let binding = at.checked_sub(1).and_then(|at| self.bindings.get(at));
        let Some(binding) = binding else {
            return Err(SqlError::new(
                "002049",
                "42601",
                format!("SQL compilation error: error line 1\nBind variable {name} not set."),
            )
            .into());
        };
        binding_text(binding).map_err(Stop::Error)
    }

    fn binary(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr) -> Rendered {
        let symbol = match op {
            BinaryOperator::Eq => "=",
            BinaryOperator::NotEq => "<>",
            BinaryOperator::Lt => "<",
            BinaryOperator::LtEq => "<=",
            BinaryOperator::Gt => ">",
            BinaryOperator::GtEq => ">=",
            BinaryOperator::And | BinaryOperator::Or => {
                let word = if matches!(op, BinaryOperator::And) { "AND" } else { "OR" };
                return Ok(format!("({} {word} {})", self.truth(left)?, self.truth(right)?));
            }
            BinaryOperator::Plus
            | BinaryOperator::Minus
            | BinaryOperator::Multiply
            | BinaryOperator::Modulo => {
                return Ok(format!("({} {op} {})", self.number(left)?, self.number(right)?));
            }
            BinaryOperator::Divide => {
                return Ok(format!("sf.div({}, {})", self.number(left)?, self.number(right)?));
            }
            BinaryOperator::StringConcat => {
                return Ok(format!("({} || {})", self.text(left)?, self.text(right)?));
            }
            other => return self.unsupported(format!("the operator {other}")),
        };
        self.compared(left, symbol, right)
    }

    /// A comparison; when one side is a VARIANT, the other becomes one.
    fn compared(&mut self, left: &Expr, symbol: &str, right: &Expr) -> Rendered {
        let wrap = is_variant(left) || is_variant(right);
        Ok(format!("({} {symbol} {})", self.comparable(left, wrap)?, self.comparable(right, wrap)?))
    }

    fn comparable(&mut self, expr: &Expr, as_variant: bool) -> Rendered {
        if as_variant && !is_variant(expr) { self.as_variant(expr) } else { self.expr(expr) }
    }

    /// An operand of AND, OR, NOT: a VARIANT is read as a BOOLEAN.
    fn truth(&mut self, expr: &Expr) -> Rendered {
        let text = self.expr(expr)?;
        Ok(if is_variant(expr) { format!("sf.to_boolean({text})") } else { text })
    }

    /// An operand of arithmetic: a VARIANT is read as a number.
    fn number(&mut self, expr: &Expr) -> Rendered {
        let text = self.expr(expr)?;
        Ok(if is_variant(expr) { format!("sf.to_number({text})") } else { text })
    }

    fn unary(&mut self, op: &UnaryOperator, expr: &Expr) -> Rendered {
        match op {
            UnaryOperator::Not => Ok(format!("(NOT {})", self.truth(expr)?)),
            UnaryOperator::Minus => Ok(format!("(- {})", self.number(expr)?)),
            UnaryOperator::Plus => self.number(expr),
            other => self.unsupported(format!("the operator {other}")),
        }
    }

    /// `v:a.b[0]`, also nested as `((v:a):b):c`.
    fn json_access(&mut self, value: &Expr, path: &JsonPath) -> Rendered {
        let mut text = self.expr(value)?;
        let mut steps = Vec::new();
        for element in &path.path {
            match element {
                JsonPathElem::Dot { key, .. } => steps.push(literal(key)),
                JsonPathElem::Bracket { key } | JsonPathElem::ColonBracket { key } => match key {
                    Expr::Value(value) => match &value.value {
                        Value::Number(index, _) => steps.push(literal(index)),
                        Value::SingleQuotedString(key) => steps.push(literal(key)),
                        other => return self.unsupported(format!("the path element [{other}]")),
                    },
                    other => {
                        text = format!("({text} #> ARRAY[{}]::text[])", steps.join(", "));
                        steps.clear();
                        text = format!("sf.get({text}, {})", self.expr(other)?);
                    }
                },
            }
        }
        if steps.is_empty() {
            return Ok(text);
        }
        Ok(format!("({text} #> ARRAY[{}]::text[])", steps.join(", ")))
    }

    /// `col[0]`, `col['a']`.
    fn field_access(&mut self, root: &Expr, chain: &[AccessExpr]) -> Rendered {
        let mut text = self.expr(root)?;
        for access in chain {
            match access {
                AccessExpr::Subscript(Subscript::Index { index }) => {
                    let index = self.expr(index)?;
                    text = format!("sf.get({text}, {index})");
                }
                other => return self.unsupported(format!("the access {other}")),
            }
        }
        Ok(text)
    }

    fn case(
        &mut self,
        operand: Option<&Expr>,
        conditions: &[CaseWhen],
        otherwise: Option<&Expr>,
    ) -> Rendered {
        let mut text = "CASE".to_owned();
        if let Some(operand) = operand {
            text.push_str(&format!(" {}", self.expr(operand)?));
        }
        let wrap = operand.is_some_and(is_variant);
        for when in conditions {
            let condition = if operand.is_some() {
                self.comparable(&when.condition, wrap)?
            } else {
                self.truth(&when.condition)?
            };
            text.push_str(&format!(" WHEN {condition} THEN {}", self.expr(&when.result)?));
        }
        if let Some(otherwise) = otherwise {
            text.push_str(&format!(" ELSE {}", self.expr(otherwise)?));
        }
        text.push_str(" END");
        Ok(text)
    }

    fn like(
        &mut self,
        word: &str,
        negated: bool,
        any: bool,
        expr: &Expr,
        pattern: &Expr,
        escape: Option<&Expr>,
    ) -> Rendered {
        let text = self.text(expr)?;
        // without ESCAPE no character escapes in Snowflake; the engine would take the backslash
        let escape = match escape {
            Some(escape) => self.expr(escape)?,
            None => "''".to_owned(),
        };
        let patterns: Vec<&Expr> = match pattern {
            Expr::Tuple(patterns) if any => patterns.iter().collect(),
            single => vec![single],
        };
        let mut parts = Vec::new();
        for pattern in patterns {
            parts.push(format!("{text} {word} {} ESCAPE {escape}", self.text(pattern)?));
        }
        Ok(format!("({}({}))", not(negated), parts.join(" OR ")))
    }

    fn ceil_floor(&mut self, name: &str, expr: &Expr, field: &CeilFloorKind) -> Rendered {
        let text = self.number(expr)?;
        match field {
            CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => Ok(format!("{name}({text})")),
            CeilFloorKind::Scale(scale) => {
                Ok(format!("({name}(({text})::numeric * 10::numeric ^ {scale}) / 10::numeric ^ {scale})"))
            }
            CeilFloorKind::DateTimeField(other) => self.unsupported(format!("{name} to {other}")),
        }
    }
}

/// `sf.object_construct(ARRAY[keys], ARRAY[values])`.
pub(super) fn object_construct(function: &str, keys: &[String], values: &[String]) -> String {
    format!("sf.{function}(ARRAY[{}]::text[], ARRAY[{}]::jsonb[])", keys.join(", "), values.join(", "))
}

/// A cast of engine text to a Snowflake type.
pub(crate) fn cast_text(inner: &str, target: DataType, try_cast: bool) -> String {
    let function = cast_function(target);
    let function = if try_cast { function.replacen("sf.to_", "sf.try_to_", 1) } else { function.to_owned() };
    match target {
        DataType::Number { precision, scale } => {
            format!("{function}({inner}, {precision}, {scale})::numeric({precision},{scale})")
        }
        // a cast cuts a string to its length in the engine; Snowflake does so as well
        DataType::Varchar { length } if length <= 10_485_760 => {
            format!("{function}({inner})::varchar({length})")
        }
        _ => format!("{function}({inner})"),
    }
}

/// The function that converts to a type.
pub(super) fn cast_function(target: DataType) -> &'static str {
    match target {
        DataType::Number { .. } => "sf.to_number",
        DataType::Float => "sf.to_double",
        DataType::Varchar { .. } => "sf.to_varchar",
        DataType::Binary { .. } => "sf.to_binary",
        DataType::Boolean => "sf.to_boolean",
        DataType::Date => "sf.to_date",
        DataType::Time => "sf.to_time",
        DataType::TimestampNtz => "sf.to_timestamp_ntz",
        DataType::TimestampLtz => "sf.to_timestamp_ltz",
        DataType::TimestampTz => "sf.to_timestamp_tz",
        DataType::Variant => "sf.to_variant",
        DataType::Object => "sf.to_object",
        DataType::Array => "sf.to_array",
    }
}

/// A bound value as a literal of the engine.
fn binding_text(binding: &super::Binding) -> Result<String, SqlError> {
    let Some(value) = &binding.value else { return Ok("NULL".to_owned()) };
    let bad = || {
        SqlError::new("002040", "22000", format!("a binding of type {} does not hold one", binding.data_type))
    };
    Ok(match binding.data_type {
        DataType::Number { .. } => {
            let decimal = value.trim();
            let plain = decimal.trim_start_matches(['-', '+']);
            if plain.is_empty() || !plain.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
                return Err(bad());
            }
            format!("({decimal})")
        }
        DataType::Float => format!("({}::double precision)", literal(value)),
        DataType::Boolean => match value.to_ascii_lowercase().as_str() {
            "true" | "1" => "true".to_owned(),
            "false" | "0" => "false".to_owned(),
            _ => return Err(bad()),
        },
        DataType::Date => {
            let ms: i64 = value.trim().parse().map_err(|_| bad())?;
            format!("(date '1970-01-01' + {})", ms.div_euclid(86_400_000))
        }
        DataType::Time => {
            let ns: i64 = value.trim().parse().map_err(|_| bad())?;
            format!("(time '00:00' + interval '1 microsecond' * {})", ns.div_euclid(1_000))
        }
        DataType::TimestampNtz => format!("sf.timestamp_of_nanos({})", nanos(value).ok_or_else(bad)?),
        DataType::TimestampLtz | DataType::TimestampTz => {
            format!("(sf.timestamp_of_nanos({}) AT TIME ZONE 'UTC')", nanos(value).ok_or_else(bad)?)
        }
        DataType::Binary { .. } => format!("decode({}, 'hex')", literal(value)),
        _ => literal(value),
    })
}

/// The nanoseconds of `"<ns>"` or `"<ns> <offset>"`.
fn nanos(value: &str) -> Option<i128> {
    value.split_whitespace().next()?.parse().ok()
}

fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

/// Whether the text of an expression says that it is a VARIANT; a bare column does not say.
pub(super) fn is_variant(expr: &Expr) -> bool {
    match expr {
        Expr::JsonAccess { .. } => true,
        Expr::Nested(inner) => is_variant(inner),
        Expr::Cast { data_type, .. } => {
            matches!(
                declared::data_type(data_type),
                Ok(DataType::Variant | DataType::Object | DataType::Array)
            )
        }
        Expr::Function(function) => matches!(
            function.name.to_string().to_uppercase().as_str(),
            "PARSE_JSON"
                | "TRY_PARSE_JSON"
                | "TO_VARIANT"
                | "GET"
                | "GET_PATH"
                | "OBJECT_CONSTRUCT"
                | "ARRAY_CONSTRUCT"
        ),
        _ => false,
    }
}

pub(super) fn is_string_literal(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_) | Value::DollarQuotedString(_)))
}

/// A date or time part in lower case.
pub(super) fn date_part(field: &DateTimeField) -> String {
    field.to_string().to_lowercase().trim_matches(['\'', '"']).to_owned()
}

/// A bare word, a string or an identifier that names a date part.
pub(super) fn date_part_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(ident.value.to_lowercase()),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.to_lowercase()),
            _ => None,
        },
        _ => None,
    }
}

/// `"alias"."column"` of an alias that the renderer itself made.
pub(super) fn own_column(alias: &str, column: &str) -> String {
    format!("{}.{}", quote(alias), quote(column))
}
