//! Function calls: each function that the emulator knows, and how the engine says it.

use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, NullTreatment, OrderByExpr, WindowFrame, WindowFrameBound, WindowSpec, WindowType,
};

use super::expression::{date_part_of, is_string_literal, is_variant, object_construct};
use super::{Rendered, Renderer, Stop};
use crate::engine::literal;
use crate::error::SqlError;

/// Functions that the engine has under another, or the same, name, with the same meaning.
const SAME: [(&str, &str); 62] = [
    ("ABS", "abs"),
    ("ACOS", "acos"),
    ("ASCII", "ascii"),
    ("ASIN", "asin"),
    ("ATAN", "atan"),
    ("ATAN2", "atan2"),
    ("BITAND", "sf.bitand"),
    ("BITOR", "sf.bitor"),
    ("BITXOR", "sf.bitxor"),
    ("CEIL", "ceil"),
    ("CHR", "chr"),
    ("COALESCE", "coalesce"),
    ("COS", "cos"),
    ("DEGREES", "degrees"),
    ("EXP", "exp"),
    ("FLOOR", "floor"),
    ("GREATEST_IGNORE_NULLS", "greatest"),
    ("INITCAP", "initcap"),
    ("LEAST_IGNORE_NULLS", "least"),
    ("LN", "ln"),
    ("LOG", "log"),
    ("MD5", "md5"),
    ("MD5_HEX", "md5"),
    ("MOD", "mod"),
    ("NULLIF", "nullif"),
    ("PI", "pi"),
    ("POW", "power"),
    ("POWER", "power"),
    ("RADIANS", "radians"),
    ("RANDOM", "sf.random"),
    ("ROUND", "sf.round"),
    ("SIGN", "sign"),
    ("SIN", "sin"),
    ("SQRT", "sqrt"),
    ("TAN", "tan"),
    ("TRUNC", "sf.trunc"),
    ("TRUNCATE", "sf.trunc"),
    ("UUID_STRING", "sf.uuid_string"),
    ("ARRAY_SIZE", "sf.array_size"),
    ("ARRAY_TO_STRING", "sf.array_to_string"),
    ("ARRAY_DISTINCT", "sf.array_distinct"),
    ("ARRAY_CAT", "sf.array_cat"),
    ("OBJECT_KEYS", "sf.object_keys"),
    ("PARSE_JSON", "sf.parse_json"),
    ("TRY_PARSE_JSON", "sf.try_parse_json"),
    ("CHECK_JSON", "sf.check_json"),
    ("STRIP_NULL_VALUE", "sf.strip_null_value"),
    ("IS_NULL_VALUE", "sf.is_null_value"),
    ("TYPEOF", "sf.typeof"),
    ("TO_JSON", "sf.to_json"),
    ("HASH", "sf.hash"),
    ("LAST_DAY", "sf.last_day"),
    ("DAYNAME", "sf.dayname"),
    ("MONTHNAME", "sf.monthname"),
    ("HEX_ENCODE", "sf.hex_encode"),
    ("HEX_DECODE_BINARY", "sf.hex_decode_binary"),
    ("HEX_DECODE_STRING", "sf.hex_decode_string"),
    ("BASE64_ENCODE", "sf.base64_encode"),
    ("BASE64_DECODE_BINARY", "sf.base64_decode_binary"),
    ("BASE64_DECODE_STRING", "sf.base64_decode_string"),
    ("SHA2", "sf.sha2"),
    ("SHA2_HEX", "sf.sha2"),
];

/// The same, for functions whose arguments are strings.
const TEXT: [(&str, &str); 26] = [
    ("LOWER", "lower"),
    ("UPPER", "upper"),
    ("LENGTH", "length"),
    ("LEN", "length"),
    ("CHARINDEX", "sf.charindex"),
    ("CONTAINS", "sf.contains"),
    ("STARTSWITH", "starts_with"),
    ("ENDSWITH", "sf.endswith"),
    ("REPLACE", "sf.replace"),
    ("REVERSE", "reverse"),
    ("LTRIM", "ltrim"),
    ("RTRIM", "rtrim"),
    ("TRIM", "btrim"),
    ("SPLIT", "sf.split"),
    ("SPLIT_PART", "sf.split_part"),
    ("LPAD", "sf.lpad"),
    ("RPAD", "sf.rpad"),
    ("LEFT", "sf.left"),
    ("RIGHT", "sf.right"),
    ("SUBSTR", "sf.substr"),
    ("SUBSTRING", "sf.substr"),
    ("REPEAT", "sf.repeat"),
    ("REGEXP_LIKE", "sf.regexp_like"),
    ("REGEXP_REPLACE", "sf.regexp_replace"),
    ("REGEXP_SUBSTR", "sf.regexp_substr"),
    ("TRANSLATE", "translate"),
];

/// Aggregates and window functions that need nothing but their name.
const AGGREGATES: [(&str, &str); 32] = [
    ("COUNT", "count"),
    ("SUM", "sum"),
    ("AVG", "avg"),
    ("MIN", "min"),
    ("MAX", "max"),
    ("STDDEV", "stddev_samp"),
    ("STDDEV_SAMP", "stddev_samp"),
    ("STDDEV_POP", "stddev_pop"),
    ("VARIANCE", "var_samp"),
    ("VAR_SAMP", "var_samp"),
    ("VAR_POP", "var_pop"),
    ("CORR", "corr"),
    ("BOOLAND_AGG", "bool_and"),
    ("BOOLOR_AGG", "bool_or"),
    ("ANY_VALUE", "sf.any_value"),
    ("BITXOR_AGG", "sf.bitxor_agg"),
    ("BITAND_AGG", "sf.bitand_agg"),
    ("BITOR_AGG", "sf.bitor_agg"),
    ("HASH_AGG", "sf.hash_agg"),
    ("ROW_NUMBER", "row_number"),
    ("RANK", "rank"),
    ("DENSE_RANK", "dense_rank"),
    ("PERCENT_RANK", "percent_rank"),
    ("CUME_DIST", "cume_dist"),
    ("NTILE", "ntile"),
    ("LAG", "lag"),
    ("LEAD", "lead"),
    ("FIRST_VALUE", "first_value"),
    ("LAST_VALUE", "last_value"),
    ("NTH_VALUE", "nth_value"),
    ("MEDIAN", "sf.median"),
    ("APPROX_COUNT_DISTINCT", "count"),
];

/// Date parts as functions.
const DATE_PARTS: [&str; 17] = [
    "YEAR",
    "QUARTER",
    "MONTH",
    "WEEK",
    "DAY",
    "DAYOFMONTH",
    "DAYOFWEEK",
    "DAYOFWEEKISO",
    "DAYOFYEAR",
    "WEEKISO",
    "WEEKOFYEAR",
    "YEAROFWEEK",
    "YEAROFWEEKISO",
    "HOUR",
    "MINUTE",
    "SECOND",
    "NANOSECOND",
];

impl Renderer<'_> {
    /// A call.
    pub(super) fn function(&mut self, function: &Function) -> Rendered {
        let name = function.name.to_string().to_uppercase().replace('"', "");
        if !matches!(function.parameters, FunctionArguments::None) || function.filter.is_some() {
            return self.unsupported(format!("the call {function}"));
        }
        if let Some((_, engine_name)) = AGGREGATES.iter().find(|(snowflake, _)| *snowflake == name) {
            return self.aggregate(&name, engine_name, function);
        }
        match name.as_str() {
            "LISTAGG" | "ARRAY_AGG" | "OBJECT_AGG" | "COUNT_IF" | "PERCENTILE_CONT" | "PERCENTILE_DISC" => {
                return self.collecting_aggregate(&name, function);
            }
            _ => {}
        }
        if function.over.is_some() || !function.within_group.is_empty() || function.null_treatment.is_some() {
            return self.unsupported(format!("{name} as an aggregate or window function"));
        }
        let arguments = positional(function)?;
        if let Some((_, engine_name)) = SAME.iter().find(|(snowflake, _)| *snowflake == name) {
            return Ok(format!("{engine_name}({})", self.list(&arguments)?));
        }
        if let Some((_, engine_name)) = TEXT.iter().find(|(snowflake, _)| *snowflake == name) {
            let arguments: Result<Vec<String>, Stop> = arguments
                .iter()
                .map(|argument| if is_variant(argument) { self.text(argument) } else { self.expr(argument) })
                .collect();
            return Ok(format!("{engine_name}({})", arguments?.join(", ")));
        }
        if DATE_PARTS.contains(&name.as_str()) {
            let [argument] = arguments.as_slice() else { return wrong_count(&name) };
            return Ok(format!("sf.date_part({}, {})", literal(&name.to_lowercase()), self.expr(argument)?));
        }
        match self.conversion(&name, &arguments)? {
            Some(text) => Ok(text),
            None => self.special(&name, &arguments),
        }
    }

    /// `TO_x`, `TRY_TO_x`, `AS_x`, `IS_x`.
    fn conversion(&mut self, name: &str, arguments: &[Expr]) -> Result<Option<String>, Stop> {
        let (try_prefix, base) = match name.strip_prefix("TRY_") {
            Some(base) => ("try_", base),
            None => ("", name),
        };
        let target = match base {
            "TO_VARCHAR" | "TO_CHAR" => "to_varchar",
            "TO_NUMBER" | "TO_DECIMAL" | "TO_NUMERIC" => "to_number",
            "TO_DOUBLE" => "to_double",
            "TO_BOOLEAN" => "to_boolean",
            "TO_DATE" | "DATE" => "to_date",
            "TO_TIME" | "TIME" => "to_time",
            "TO_TIMESTAMP" | "TO_TIMESTAMP_NTZ" => "to_timestamp_ntz",
            "TO_TIMESTAMP_LTZ" => "to_timestamp_ltz",
            "TO_TIMESTAMP_TZ" => "to_timestamp_tz",
            "TO_BINARY" => "to_binary",
            "TO_VARIANT" => "to_variant",
            "TO_OBJECT" => "to_object",
            "TO_ARRAY" => "to_array",
            _ => return Ok(None),
        };
        if target == "to_variant" {
            let [argument] = arguments else { return wrong_count(name).map(Some) };
            return self.as_variant(argument).map(Some);
        }
        let list = self.list(arguments)?;
        if target == "to_number" {
            // NUMBER without precision and scale is NUMBER(38, 0)
            return Ok(Some(match arguments {
                [_] => format!("sf.{try_prefix}to_number({list}, 38, 0)"),
                [value, precision] if !is_string_literal(precision) => {
                    let (value, precision) = (self.expr(value)?, self.expr(precision)?);
                    format!("sf.{try_prefix}to_number({value}, {precision}, 0)")
                }
                [_, _, _] => format!("sf.{try_prefix}to_number({list})"),
                _ => return self.unsupported(format!("{name} with a format")),
            }));
        }
        Ok(Some(format!("sf.{try_prefix}{target}({list})")))
    }

    fn special(&mut self, name: &str, arguments: &[Expr]) -> Rendered {
        match (name, arguments) {
            ("IFF", [condition, yes, no]) => Ok(format!(
                "CASE WHEN {} THEN {} ELSE {} END",
                self.expr(condition)?,
                self.expr(yes)?,
                self.expr(no)?
            )),
            ("NVL" | "IFNULL", [_, _]) => Ok(format!("coalesce({})", self.list(arguments)?)),
            ("NVL2", [test, yes, no]) => Ok(format!(
                "CASE WHEN {} IS NOT NULL THEN {} ELSE {} END",
                self.expr(test)?,
                self.expr(yes)?,
                self.expr(no)?
            )),
            ("ZEROIFNULL", [value]) => Ok(format!("coalesce({}, 0)", self.expr(value)?)),
            ("NULLIFZERO", [value]) => Ok(format!("nullif({}, 0)", self.expr(value)?)),
            ("EQUAL_NULL", [left, right]) => {
                Ok(format!("({} IS NOT DISTINCT FROM {})", self.expr(left)?, self.expr(right)?))
            }
            ("GREATEST" | "LEAST", [_, ..]) => {
                // unlike the engine's, NULL if any argument is
                let list = self.list(arguments)?;
                let nulls: Result<Vec<String>, Stop> = arguments
                    .iter()
                    .map(|argument| Ok(format!("({}) IS NULL", self.expr(argument)?)))
                    .collect();
                Ok(format!(
                    "CASE WHEN {} THEN NULL ELSE {}({list}) END",
                    nulls?.join(" OR "),
                    name.to_lowercase()
                ))
            }
            ("DECODE", [value, rest @ ..]) => self.decode(value, rest),
            ("CONCAT", [_, ..]) => self.joined_text(arguments),
            ("CONCAT_WS", [separator, rest @ ..]) => {
                let separator = self.text(separator)?;
                let parts: Result<Vec<String>, Stop> = rest.iter().map(|part| self.text(part)).collect();
                Ok(parts?.join(&format!(" || {separator} || ")))
            }
            ("DATEDIFF" | "TIMESTAMPDIFF" | "TIMEDIFF", [part, from, to]) => {
                let part = part_literal(part)?;
                Ok(format!("sf.datediff({part}, {}, {})", self.instant(from)?, self.instant(to)?))
            }
            ("DATEADD" | "TIMESTAMPADD" | "TIMEADD", [part, amount, to]) => {
                let part = part_literal(part)?;
                Ok(format!("sf.dateadd({part}, ({})::numeric, {})", self.expr(amount)?, self.instant(to)?))
            }
            ("DATE_TRUNC", [first, second]) => {
                let (part, value) =
                    if date_part_of(first).is_some() { (first, second) } else { (second, first) };
                Ok(format!("sf.date_trunc({}, {})", part_literal(part)?, self.instant(value)?))
            }
            ("DATE_PART", [part, value]) => {
                Ok(format!("sf.date_part({}, {})", part_literal(part)?, self.instant(value)?))
            }
            ("CONVERT_TIMEZONE", [_, _] | [_, _, _]) => {
                Ok(format!("sf.convert_timezone({})", self.list(arguments)?))
            }
            ("OBJECT_CONSTRUCT" | "OBJECT_CONSTRUCT_KEEP_NULL", pairs) => self.object_pairs(name, pairs),
            ("ARRAY_CONSTRUCT", items) => {
                let items: Result<Vec<String>, Stop> =
                    items.iter().map(|item| self.as_variant(item)).collect();
                Ok(format!("sf.array_construct(ARRAY[{}]::jsonb[])", items?.join(", ")))
            }
            ("ARRAY_CONTAINS", [value, array]) => {
                Ok(format!("sf.array_contains({}, {})", self.as_variant(value)?, self.expr(array)?))
            }
            ("GET", [value, key]) => Ok(format!("sf.get({}, {})", self.expr(value)?, self.expr(key)?)),
            ("GET_PATH", [value, path]) => {
                Ok(format!("sf.get_path({}, {})", self.expr(value)?, self.expr(path)?))
            }
            _ => self.context(name, arguments),
        }
    }

    /// Functions of the session and the clock.
    fn context(&mut self, name: &str, arguments: &[Expr]) -> Rendered {
        if !arguments.is_empty() && !matches!(name, "CURRENT_TIMESTAMP" | "LOCALTIMESTAMP" | "CURRENT_TIME") {
            return Err(unknown(name));
        }
        let or_null = |value: &Option<String>| value.as_deref().map_or("NULL::text".to_owned(), text_literal);
        Ok(match name {
            "CURRENT_TIMESTAMP" | "LOCALTIMESTAMP" | "GETDATE" | "SYSTIMESTAMP" => {
                "statement_timestamp()".to_owned()
            }
            "SYSDATE" => "(statement_timestamp() AT TIME ZONE 'UTC')".to_owned(),
            "CURRENT_DATE" => "CURRENT_DATE".to_owned(),
            "CURRENT_TIME" | "LOCALTIME" => "LOCALTIME".to_owned(),
            "CURRENT_DATABASE" => or_null(&self.session.database),
            "CURRENT_SCHEMA" => or_null(&self.session.schema),
            "CURRENT_ROLE" => or_null(&self.session.role),
            "CURRENT_WAREHOUSE" => or_null(&self.session.warehouse),
            "CURRENT_USER" => text_literal(&self.session.user),
            "CURRENT_ACCOUNT" | "CURRENT_ACCOUNT_NAME" => text_literal("EMULATOR"),
            "CURRENT_REGION" => text_literal("LOCAL"),
            "CURRENT_VERSION" => text_literal(concat!("emulator ", env!("CARGO_PKG_VERSION"))),
            _ => return Err(unknown(name)),
        })
    }

    /// An argument that must be a date, time or timestamp: strings are read as timestamps.
    fn instant(&mut self, expr: &Expr) -> Rendered {
        let text = self.expr(expr)?;
        Ok(if is_string_literal(expr) || is_variant(expr) {
            format!("sf.to_timestamp_ntz({text})")
        } else {
            text
        })
    }

    fn decode(&mut self, value: &Expr, rest: &[Expr]) -> Rendered {
        let value = self.expr(value)?;
        let mut text = "CASE".to_owned();
        for pair in rest.chunks(2) {
            match pair {
                [search, result] => text.push_str(&format!(
                    " WHEN {value} IS NOT DISTINCT FROM {} THEN {}",
                    self.expr(search)?,
                    self.expr(result)?
                )),
                [otherwise] => text.push_str(&format!(" ELSE {}", self.expr(otherwise)?)),
                _ => {}
            }
        }
        text.push_str(" END");
        Ok(text)
    }

    fn joined_text(&mut self, arguments: &[Expr]) -> Rendered {
        let parts: Result<Vec<String>, Stop> = arguments.iter().map(|part| self.text(part)).collect();
        Ok(format!("({})", parts?.join(" || ")))
    }

    fn object_pairs(&mut self, name: &str, pairs: &[Expr]) -> Rendered {
        if !pairs.len().is_multiple_of(2) {
            return wrong_count(name);
        }
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for pair in pairs.chunks(2) {
            if let [key, value] = pair {
                keys.push(self.text(key)?);
                values.push(self.as_variant(value)?);
            }
        }
        Ok(object_construct(&name.to_lowercase(), &keys, &values))
    }

    fn aggregate(&mut self, name: &str, engine_name: &str, function: &Function) -> Rendered {
        let (distinct, arguments) = self.aggregate_arguments(function)?;
        let distinct = if name == "APPROX_COUNT_DISTINCT" { "DISTINCT " } else { distinct };
        let ignore_nulls = ignores_nulls(function);
        if !function.within_group.is_empty() {
            return self.unsupported(format!("{name} WITHIN GROUP"));
        }
        let engine_name = match (name, ignore_nulls) {
            ("LAST_VALUE", true) => "sf.last_known_value",
            ("FIRST_VALUE", true) => "sf.first_known_value",
            (_, true) => return self.unsupported(format!("{name} IGNORE NULLS")),
            (_, false) => engine_name,
        };
        let mut text = format!("{engine_name}({distinct}{arguments})");
        // Snowflake sorts these over the whole partition when no frame is given; the engine ends at the current row
        let whole_partition = matches!(name, "FIRST_VALUE" | "LAST_VALUE" | "NTH_VALUE");
        match &function.over {
            Some(WindowType::WindowSpec(spec)) => {
                text.push_str(&format!(" OVER ({})", self.window(spec, whole_partition)?));
            }
            Some(WindowType::NamedWindow(window)) => text.push_str(&format!(" OVER {}", self.name(window)?)),
            None => {}
        }
        Ok(text)
    }

    /// `DISTINCT ` or nothing, and the arguments; `*` stays.
    fn aggregate_arguments(&mut self, function: &Function) -> Result<(&'static str, String), Stop> {
        let FunctionArguments::List(list) = &function.args else {
            return self.unsupported(format!("the call {function}"));
        };
        for clause in &list.clauses {
            if !matches!(clause, FunctionArgumentClause::IgnoreOrRespectNulls(_)) {
                return self.unsupported(format!("the clause {clause}"));
            }
        }
        let distinct = match list.duplicate_treatment {
            Some(DuplicateTreatment::Distinct) => "DISTINCT ",
            _ => "",
        };
        if let [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] = list.args.as_slice() {
            return Ok((distinct, "*".to_owned()));
        }
        let arguments = positional(function)?;
        let many = arguments.len() > 1 && !distinct.is_empty();
        let text = self.list(&arguments)?;
        Ok((distinct, if many { format!("({text})") } else { text }))
    }

    fn collecting_aggregate(&mut self, name: &str, function: &Function) -> Rendered {
        let (distinct, _) = self.aggregate_arguments(function)?;
        let arguments = positional(function)?;
        let order = if function.within_group.is_empty() {
            String::new()
        } else {
            format!(" ORDER BY {}", self.order_list(&function.within_group)?)
        };
        let mut text = match (name, arguments.as_slice()) {
            ("LISTAGG", [value]) => {
                format!("coalesce(string_agg({distinct}{}, ''{order}), '')", self.text(value)?)
            }
            ("LISTAGG", [value, separator]) => {
                let (value, separator) = (self.text(value)?, self.expr(separator)?);
                format!("coalesce(string_agg({distinct}{value}, {separator}{order}), '')")
            }
            ("ARRAY_AGG", [value]) => {
                let value = self.as_variant(value)?;
                format!(
                    "coalesce(jsonb_agg({distinct}{value}{order}) FILTER (WHERE {value} IS NOT NULL), '[]'::jsonb)"
                )
            }
            ("OBJECT_AGG", [key, value]) => {
                let (key, value) = (self.text(key)?, self.as_variant(value)?);
                format!(
                    "coalesce(jsonb_object_agg({key}, {value}) FILTER (WHERE {key} IS NOT NULL AND {value} IS NOT NULL), '{{}}'::jsonb)"
                )
            }
            ("COUNT_IF", [condition]) => format!("count(*) FILTER (WHERE {})", self.expr(condition)?),
            ("PERCENTILE_CONT" | "PERCENTILE_DISC", [fraction]) if !order.is_empty() => {
                format!("{}({}) WITHIN GROUP ({})", name.to_lowercase(), self.expr(fraction)?, order.trim())
            }
            _ => return wrong_count(name),
        };
        match &function.over {
            Some(WindowType::WindowSpec(spec)) if order.is_empty() && name == "COUNT_IF" => {
                text.push_str(&format!(" OVER ({})", self.window(spec, false)?));
            }
            Some(_) => return self.unsupported(format!("{name} OVER")),
            None => {}
        }
        Ok(text)
    }

    /// What stands between the parentheses of OVER.
    pub(super) fn window(&mut self, spec: &WindowSpec, whole_partition: bool) -> Rendered {
        let mut parts = Vec::new();
        if let Some(base) = &spec.window_name {
            parts.push(self.name(base)?);
        }
        if !spec.partition_by.is_empty() {
            parts.push(format!("PARTITION BY {}", self.list(&spec.partition_by)?));
        }
        if !spec.order_by.is_empty() {
            parts.push(format!("ORDER BY {}", self.order_list(&spec.order_by)?));
        }
        match &spec.window_frame {
            Some(frame) => parts.push(self.frame(frame)?),
            None if whole_partition => {
                parts.push("ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING".to_owned());
            }
            None => {}
        }
        Ok(parts.join(" "))
    }

    fn frame(&mut self, frame: &WindowFrame) -> Rendered {
        let start = self.bound(&frame.start_bound)?;
        Ok(match &frame.end_bound {
            Some(end) => format!("{} BETWEEN {start} AND {}", frame.units, self.bound(end)?),
            None => format!("{} {start}", frame.units),
        })
    }

    fn bound(&mut self, bound: &WindowFrameBound) -> Rendered {
        Ok(match bound {
            WindowFrameBound::CurrentRow => "CURRENT ROW".to_owned(),
            WindowFrameBound::Preceding(None) => "UNBOUNDED PRECEDING".to_owned(),
            WindowFrameBound::Following(None) => "UNBOUNDED FOLLOWING".to_owned(),
            WindowFrameBound::Preceding(Some(distance)) => format!("{} PRECEDING", self.expr(distance)?),
            WindowFrameBound::Following(Some(distance)) => format!("{} FOLLOWING", self.expr(distance)?),
        })
    }

    /// The list of an ORDER BY.
    pub(super) fn order_list(&mut self, items: &[OrderByExpr]) -> Rendered {
        let mut parts = Vec::with_capacity(items.len());
        for item in items {
            let mut text = self.expr(&item.expr)?;
            if let Some(sort) = &item.options.sort {
                text.push_str(match sort {
                    sqlparser::ast::OrderBySort::Asc => " ASC",
                    sqlparser::ast::OrderBySort::Desc => " DESC",
                    sqlparser::ast::OrderBySort::Using(_) => return self.unsupported("ORDER BY … USING"),
                });
            }
            match item.options.nulls_first {
                Some(true) => text.push_str(" NULLS FIRST"),
                Some(false) => text.push_str(" NULLS LAST"),
                None => {}
            }
            parts.push(text);
        }
        Ok(parts.join(", "))
    }
}

/// The arguments, which must be plain expressions.
fn positional(function: &Function) -> Result<Vec<Expr>, Stop> {
    match &function.args {
        FunctionArguments::None => Ok(Vec::new()),
        FunctionArguments::Subquery(query) => Ok(vec![Expr::Subquery(query.clone())]),
        FunctionArguments::List(list) => list
            .args
            .iter()
            .map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr.clone()),
                other => {
                    Err(SqlError::unsupported(format!("the argument {other} of {}", function.name)).into())
                }
            })
            .collect(),
    }
}

/// `f(x) IGNORE NULLS` and `f(x IGNORE NULLS)`.
fn ignores_nulls(function: &Function) -> bool {
    if matches!(function.null_treatment, Some(NullTreatment::IgnoreNulls)) {
        return true;
    }
    let FunctionArguments::List(list) = &function.args else { return false };
    list.clauses.iter().any(|clause| {
        matches!(clause, FunctionArgumentClause::IgnoreOrRespectNulls(NullTreatment::IgnoreNulls))
    })
}

fn part_literal(expr: &Expr) -> Rendered {
    match date_part_of(expr) {
        Some(part) => Ok(literal(&part)),
        None => Err(SqlError::syntax(format!("{expr} is not a date or time part")).into()),
    }
}

fn text_literal(text: &str) -> String {
    format!("{}::text", literal(text))
}

fn wrong_count(name: &str) -> Rendered {
    Err(SqlError::new(
        "000938",
        "22023",
        format!("SQL compilation error:\nwrong number or kind of arguments for function {name}"),
    )
    .into())
}

fn unknown(name: &str) -> Stop {
    Stop::Error(SqlError::new(
        "002140",
        "42601",
        format!("SQL compilation error:\nUnknown function {name} (the emulator does not have it)"),
    ))
}
