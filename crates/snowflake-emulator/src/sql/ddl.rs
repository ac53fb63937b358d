//! Statements that define things, as they are read. [`crate::sql::apply`] carries them out.

use sqlparser::ast::{Expr, Query};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::datatype::DataType;
use crate::error::SqlError;
use crate::sql::declared;
use crate::sql::reader::{self, Reader, Source};

/// A statement that defines, changes or drops something.
#[derive(Debug, Clone)]
pub(crate) enum Ddl {
    CreateTable(Box<CreateTable>),
    AlterTable {
        name: Vec<String>,
        if_exists: bool,
        actions: Vec<AlterAction>,
    },
    CreateView(Box<CreateView>),
    CreateDatabase {
        name: String,
        if_not_exists: bool,
        or_replace: bool,
    },
    CreateSchema {
        name: Vec<String>,
        if_not_exists: bool,
        or_replace: bool,
    },
    Drop {
        kind: Kind,
        name: Vec<String>,
        if_exists: bool,
    },
    Undrop,
    Truncate {
        name: Vec<String>,
        if_exists: bool,
    },
    /// Kept as text: users, roles, warehouses, streams, tasks, pipes, stages.
    Record(Box<Record>),
    AlterRecord {
        kind: Kind,
        name: Vec<String>,
        if_exists: bool,
        properties: Vec<(String, String)>,
    },
    Grant {
        privileges: Vec<String>,
        on_kind: String,
        on: Vec<String>,
        to_kind: String,
        to: Vec<String>,
        revoke: bool,
    },
    Comment {
        kind: Kind,
        name: Vec<String>,
        comment: String,
    },
}

/// What can be created and dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Database,
    Schema,
    Table,
    View,
    User,
    Role,
    Warehouse,
    Stream,
    Task,
    Pipe,
    Stage,
    FileFormat,
    Tag,
    ResourceMonitor,
}

impl Kind {
    /// As statements and answers write it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Database => "DATABASE",
            Kind::Schema => "SCHEMA",
            Kind::Table => "TABLE",
            Kind::View => "VIEW",
            Kind::User => "USER",
            Kind::Role => "ROLE",
            Kind::Warehouse => "WAREHOUSE",
            Kind::Stream => "STREAM",
            Kind::Task => "TASK",
            Kind::Pipe => "PIPE",
            Kind::Stage => "STAGE",
            Kind::FileFormat => "FILE FORMAT",
            Kind::Tag => "TAG",
            Kind::ResourceMonitor => "RESOURCE MONITOR",
        }
    }

    /// Whether it belongs to a schema rather than to the account.
    pub(crate) fn is_in_schema(self) -> bool {
        !matches!(
            self,
            Kind::Database | Kind::Schema | Kind::User | Kind::Role | Kind::Warehouse | Kind::ResourceMonitor
        )
    }

    fn read(reader: &mut Reader<'_>) -> Option<Kind> {
        const KINDS: [Kind; 14] = [
            Kind::Database,
            Kind::Schema,
            Kind::Table,
            Kind::View,
            Kind::User,
            Kind::Role,
            Kind::Warehouse,
            Kind::Stream,
            Kind::Task,
            Kind::Pipe,
            Kind::Stage,
            Kind::FileFormat,
            Kind::Tag,
            Kind::ResourceMonitor,
        ];
        KINDS.into_iter().find(|kind| reader.accept(kind.word()))
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct CreateTable {
    pub(crate) name: Vec<String>,
    pub(crate) or_replace: bool,
    pub(crate) if_not_exists: bool,
    pub(crate) columns: Vec<ColumnDef>,
    pub(crate) primary_key: Vec<String>,
    pub(crate) unique_keys: Vec<String>,
    pub(crate) options: TableOptions,
    pub(crate) query: Option<Box<Query>>,
    /// `LIKE` or `CLONE` of this table.
    pub(crate) like: Option<(Vec<String>, WithRows)>,
}

/// Whether a table made after another takes its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WithRows {
    Yes,
    No,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TableOptions {
    pub(crate) error_logging: Option<bool>,
    pub(crate) schema_evolution: Option<bool>,
    pub(crate) change_tracking: Option<bool>,
    pub(crate) cluster_by: Option<String>,
    pub(crate) comment: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct ColumnDef {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    pub(crate) not_null: bool,
    pub(crate) default: Option<Expr>,
    /// AUTOINCREMENT (start, increment).
    pub(crate) identity: Option<(i64, i64)>,
    pub(crate) primary_key: bool,
    pub(crate) unique: bool,
    pub(crate) comment: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) enum AlterAction {
    AddColumn {
        column: Box<ColumnDef>,
        if_not_exists: bool,
    },
    DropColumn {
        name: String,
        if_exists: bool,
    },
    RenameColumn {
        from: String,
        to: String,
    },
    RenameTo(Vec<String>),
    SwapWith(Vec<String>),
    SetType {
        column: String,
        data_type: DataType,
    },
    SetNotNull(String),
    DropNotNull(String),
    /// Refused: Snowflake allows it for sequences only.
    SetDefault,
    DropDefault(String),
    CommentColumn {
        column: String,
        comment: String,
    },
    SetOptions(TableOptions),
    PrimaryKey(Vec<String>),
    DropPrimaryKey,
}

#[derive(Debug, Clone)]
pub(crate) struct CreateView {
    pub(crate) name: Vec<String>,
    pub(crate) or_replace: bool,
    pub(crate) if_not_exists: bool,
    pub(crate) columns: Vec<String>,
    pub(crate) comment: String,
    pub(crate) query: Box<Query>,
    pub(crate) text: String,
    /// `VIEW` or `DYNAMIC TABLE`; the latter is as fresh as a view here.
    pub(crate) kind: &'static str,
}

#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) name: Vec<String>,
    pub(crate) or_replace: bool,
    pub(crate) if_not_exists: bool,
    pub(crate) text: String,
    pub(crate) properties: Vec<(String, String)>,
}

/// Reads a statement that starts with CREATE, ALTER, DROP, TRUNCATE, GRANT, REVOKE, COMMENT or UNDROP.
///
/// # Errors
/// When it is not one that the emulator knows.
pub(crate) fn read(source: &Source) -> Result<Option<Ddl>, SqlError> {
    let mut reader = Reader::new(&source.tokens);
    let Some(word) = reader.peek_word() else { return Ok(None) };
    let ddl = match word.as_str() {
        "CREATE" => create(&mut reader, source)?,
        "ALTER" => match alter(&mut reader)? {
            Some(ddl) => ddl,
            None => return Ok(None),
        },
        "DROP" => drop_object(&mut reader)?,
        "UNDROP" => Ddl::Undrop,
        "TRUNCATE" => {
            reader.expect("TRUNCATE")?;
            reader.accept("TABLE");
            let if_exists = reader.accept("IF EXISTS");
            Ddl::Truncate { name: reader.object_name()?, if_exists }
        }
        "GRANT" | "REVOKE" => grant(&mut reader)?,
        "COMMENT" => {
            reader.expect("COMMENT")?;
            reader.accept("IF EXISTS");
            reader.expect("ON")?;
            let kind = Kind::read(&mut reader).ok_or_else(|| reader.unexpected("what the comment is on"))?;
            let name = reader.object_name()?;
            reader.expect("IS")?;
            Ddl::Comment { kind, name, comment: reader.string()? }
        }
        _ => return Ok(None),
    };
    if !matches!(ddl, Ddl::Undrop) {
        reader.finish()?;
    }
    Ok(Some(ddl))
}

fn create(reader: &mut Reader<'_>, source: &Source) -> Result<Ddl, SqlError> {
    reader.expect("CREATE")?;
    let or_replace = reader.accept("OR REPLACE");
    if reader.accept("OR ALTER") {
        return Err(SqlError::unsupported("CREATE OR ALTER"));
    }
    if reader.accept("DYNAMIC TABLE") {
        return view(reader, source, or_replace, "DYNAMIC TABLE");
    }
    for word in ["SECURE", "LOCAL", "GLOBAL", "TRANSIENT", "RECURSIVE"] {
        reader.accept(word);
    }
    if reader.accept("TEMPORARY") || reader.accept("TEMP") || reader.accept("VOLATILE") {
        return Err(SqlError::unsupported("temporary objects (each request is a session of its own)"));
    }
    let kind = Kind::read(reader)
        .ok_or_else(|| SqlError::unsupported(source.text.chars().take(60).collect::<String>()))?;
    match kind {
        Kind::Table => return table(reader, or_replace),
        Kind::View => return view(reader, source, or_replace, "VIEW"),
        _ => {}
    }
    let if_not_exists = reader.accept("IF NOT EXISTS");
    let name = reader.object_name()?;
    let if_not_exists = if_not_exists || reader.accept("IF NOT EXISTS");
    match kind {
        Kind::Database => {
            let name = single(name)?;
            reader.rest();
            Ok(Ddl::CreateDatabase { name, if_not_exists, or_replace })
        }
        Kind::Schema => {
            reader.rest();
            Ok(Ddl::CreateSchema { name, if_not_exists, or_replace })
        }
        kind => {
            let mut properties = properties_of(reader.rest());
            if kind == Kind::Pipe {
                properties.extend(pipe_target(source)?);
            }
            Ok(Ddl::Record(Box::new(Record {
                kind,
                name,
                or_replace,
                if_not_exists,
                text: source.text.clone(),
                properties,
            })))
        }
    }
}

/// The table that `CREATE PIPE … AS COPY INTO t FROM (SELECT …)` names, and whether rows pass unchanged.
fn pipe_target(source: &Source) -> Result<Vec<(String, String)>, SqlError> {
    let mut reader = Reader::new(&source.tokens);
    while !reader.is_at_end() && !reader.accept("COPY INTO") {
        reader.next();
    }
    if reader.is_at_end() {
        return Err(SqlError::syntax("CREATE PIPE has no COPY INTO"));
    }
    let mut properties = vec![("target".to_owned(), reader.object_name()?.join("\u{1f}"))];
    let text = source.text.to_uppercase();
    if !text.contains("MATCH_BY_COLUMN_NAME") || !text.contains("'STREAMING'") {
        let reason = "the emulator streams into pipes with DATA_SOURCE(TYPE => 'STREAMING') and MATCH_BY_COLUMN_NAME only";
        properties.push(("refused".to_owned(), reason.to_owned()));
    }
    Ok(properties)
}

/// `KEY = value` pairs, wherever they stand; everything else is in the recorded text only.
fn properties_of(tokens: &[TokenWithSpan]) -> Vec<(String, String)> {
    let mut properties = Vec::new();
    for window in tokens.windows(3) {
        if let [key, equals, value] = window
            && equals.token == Token::Eq
            && let Token::Word(key) = &key.token
        {
            let value = match &value.token {
                Token::SingleQuotedString(text) => text.clone(),
                Token::DollarQuotedString(text) => text.value.clone(),
                Token::Word(word) if word.quote_style.is_none() => word.value.to_uppercase(),
                Token::Word(word) => word.value.clone(),
                other => other.to_string(),
            };
            properties.push((key.value.to_uppercase(), value));
        }
    }
    properties
}

fn table(reader: &mut Reader<'_>, or_replace: bool) -> Result<Ddl, SqlError> {
    let if_not_exists = reader.accept("IF NOT EXISTS");
    let mut table =
        CreateTable { name: reader.object_name()?, or_replace, if_not_exists, ..CreateTable::default() };
    table.if_not_exists |= reader.accept("IF NOT EXISTS");
    if reader.peek() == Some(&Token::LParen) {
        table_body(reader.parenthesized()?, &mut table)?;
    }
    if reader.accept("LIKE") {
        table.like = Some((reader.object_name()?, WithRows::No));
    } else if reader.accept("CLONE") {
        table.like = Some((reader.object_name()?, WithRows::Yes));
    }
    while !reader.is_at_end() {
        if reader.accept("AS") {
            table.query = Some(reader::query(reader.rest())?);
            break;
        }
        table_option(reader, &mut table.options)?;
    }
    if table.columns.is_empty() && table.query.is_none() && table.like.is_none() {
        return Err(SqlError::syntax("CREATE TABLE without columns"));
    }
    for column in &table.columns {
        if column.primary_key {
            table.primary_key.push(column.name.clone());
        }
        if column.unique {
            table.unique_keys.push(column.name.clone());
        }
    }
    Ok(Ddl::CreateTable(Box::new(table)))
}

fn table_body(tokens: &[TokenWithSpan], table: &mut CreateTable) -> Result<(), SqlError> {
    let mut reader = Reader::new(tokens);
    loop {
        if reader.accept("CONSTRAINT") {
            reader.identifier()?;
        }
        if reader.accept("PRIMARY KEY") {
            table.primary_key = names_in(reader.parenthesized()?)?;
            reader.until(&[]);
        } else if reader.accept("UNIQUE") {
            table.unique_keys = names_in(reader.parenthesized()?)?;
            reader.until(&[]);
        } else if reader.accept("FOREIGN KEY") {
            // recorded nowhere: Snowflake does not enforce it
            reader.until(&[]);
        } else {
            table.columns.push(column(&mut reader)?);
        }
        if reader.is_at_end() {
            return Ok(());
        }
        reader.expect_token(&Token::Comma)?;
        if reader.is_at_end() {
            return Ok(());
        }
    }
}

fn names_in(tokens: &[TokenWithSpan]) -> Result<Vec<String>, SqlError> {
    let mut reader = Reader::new(tokens);
    let mut names = vec![reader.identifier()?];
    while reader.accept_token(&Token::Comma) {
        names.push(reader.identifier()?);
    }
    reader.finish()?;
    Ok(names)
}

/// Words that end a DEFAULT expression.
const COLUMN_OPTIONS: [&str; 14] = [
    "NOT",
    "NULL",
    "DEFAULT",
    "AUTOINCREMENT",
    "IDENTITY",
    "PRIMARY",
    "UNIQUE",
    "COMMENT",
    "COLLATE",
    "CONSTRAINT",
    "FOREIGN",
    "REFERENCES",
    "WITH",
    "MASKING",
];

/// `name TYPE options…`
fn column(reader: &mut Reader<'_>) -> Result<ColumnDef, SqlError> {
    let name = reader.identifier()?;
    let data_type = column_type(reader)?;
    let mut column = ColumnDef {
        name,
        data_type,
        not_null: false,
        default: None,
        identity: None,
        primary_key: false,
        unique: false,
        comment: None,
    };
    while !reader.is_at_end() && reader.peek() != Some(&Token::Comma) {
        column_option(reader, &mut column)?;
    }
    Ok(column)
}

fn column_option(reader: &mut Reader<'_>, column: &mut ColumnDef) -> Result<(), SqlError> {
    if reader.accept("NOT NULL") {
        column.not_null = true;
    } else if reader.accept("NULL") {
        column.not_null = false;
    } else if reader.accept("DEFAULT") {
        column.default = Some(reader::expression(reader.until(&COLUMN_OPTIONS))?);
    } else if reader.accept("AUTOINCREMENT") || reader.accept("IDENTITY") {
        column.identity = Some(identity(reader)?);
    } else if reader.accept("PRIMARY KEY") {
        column.primary_key = true;
        column.not_null = true;
    } else if reader.accept("UNIQUE") {
        column.unique = true;
    } else if reader.accept("COMMENT") {
        column.comment = Some(reader.string()?);
    } else if reader.accept("COLLATE") {
        reader.string()?;
        return Err(SqlError::unsupported("COLLATE"));
    } else if reader.accept("CONSTRAINT") {
        reader.identifier()?;
    } else if reader.accept("FOREIGN KEY") || reader.accept("REFERENCES") {
        reader.until(&[]);
    } else if reader.accept("ENFORCED")
        || reader.accept("NOT ENFORCED")
        || reader.accept("RELY")
        || reader.accept("NORELY")
    {
        // no constraint but NOT NULL is enforced
    } else {
        return Err(reader.unexpected("a column option"));
    }
    Ok(())
}

fn identity(reader: &mut Reader<'_>) -> Result<(i64, i64), SqlError> {
    let number = |reader: &mut Reader<'_>| -> Result<i64, SqlError> {
        let text = reader.option_value()?;
        text.parse().map_err(|_| SqlError::syntax(format!("{text} is not a whole number")))
    };
    let (mut start, mut step) = (1, 1);
    if reader.peek() == Some(&Token::LParen) {
        let mut inner = Reader::new(reader.parenthesized()?);
        start = number(&mut inner)?;
        if inner.accept_token(&Token::Comma) {
            step = number(&mut inner)?;
        }
    } else {
        if reader.accept("START") {
            reader.accept("WITH");
            start = number(reader)?;
        }
        if reader.accept("INCREMENT") {
            reader.accept("BY");
            step = number(reader)?;
        }
    }
    let _ = reader.accept("ORDER") || reader.accept("NOORDER");
    Ok((start, step))
}

/// A type: one to several words and perhaps arguments.
fn column_type(reader: &mut Reader<'_>) -> Result<DataType, SqlError> {
    let mut written = reader.identifier()?;
    if written == "DOUBLE" && reader.accept("PRECISION") {
        written.push_str(" PRECISION");
    }
    if (written == "CHAR" || written == "CHARACTER") && reader.accept("VARYING") {
        written.push_str(" VARYING");
    }
    if reader.peek() == Some(&Token::LParen) {
        let inner: Vec<String> =
            reader.parenthesized()?.iter().map(|token| token.token.to_string()).collect();
        written.push_str(&format!("({})", inner.join("")));
    }
    for tail in ["WITH TIME ZONE", "WITHOUT TIME ZONE", "WITH LOCAL TIME ZONE"] {
        if written.starts_with("TIMESTAMP") && reader.accept(tail) {
            written.push_str(&format!(" {tail}"));
        }
    }
    declared::parse(&written)
}

fn table_option(reader: &mut Reader<'_>, options: &mut TableOptions) -> Result<(), SqlError> {
    if reader.accept("ERROR_LOGGING") {
        options.error_logging = Some(reader.boolean_option()?);
    } else if reader.accept("ENABLE_SCHEMA_EVOLUTION") {
        options.schema_evolution = Some(reader.boolean_option()?);
    } else if reader.accept("CHANGE_TRACKING") {
        options.change_tracking = Some(reader.boolean_option()?);
    } else if reader.accept("CLUSTER BY") {
        reader.accept("LINEAR");
        options.cluster_by = Some(reader.option_value()?);
    } else if reader.accept("COMMENT") {
        reader.accept_token(&Token::Eq);
        options.comment = Some(reader.string()?);
    } else if reader.accept("DATA_RETENTION_TIME_IN_DAYS")
        || reader.accept("MAX_DATA_EXTENSION_TIME_IN_DAYS")
        || reader.accept("STAGE_FILE_FORMAT")
        || reader.accept("STAGE_COPY_OPTIONS")
        || reader.accept("DEFAULT_DDL_COLLATION")
    {
        // nothing in the emulator depends on these
        reader.option_value()?;
    } else if reader.accept("COPY GRANTS") {
        // grants are recorded and not enforced
    } else {
        return Err(reader.unexpected("a table option"));
    }
    Ok(())
}

fn view(
    reader: &mut Reader<'_>,
    source: &Source,
    or_replace: bool,
    kind: &'static str,
) -> Result<Ddl, SqlError> {
    let if_not_exists = reader.accept("IF NOT EXISTS");
    let name = reader.object_name()?;
    let mut columns = Vec::new();
    let mut comment = String::new();
    if reader.peek() == Some(&Token::LParen) {
        let mut inner = Reader::new(reader.parenthesized()?);
        while !inner.is_at_end() {
            columns.push(inner.identifier()?);
            inner.until(&[]);
            inner.accept_token(&Token::Comma);
        }
    }
    loop {
        if reader.accept("AS") {
            break;
        } else if reader.accept("COMMENT") {
            reader.accept_token(&Token::Eq);
            comment = reader.string()?;
        } else if reader.accept("COPY GRANTS") {
            continue;
        } else if ["TARGET_LAG", "WAREHOUSE", "REFRESH_MODE", "INITIALIZE", "CHANGE_TRACKING"]
            .into_iter()
            .any(|option| reader.accept(option))
        {
            reader.option_value()?;
        } else {
            return Err(reader.unexpected("AS"));
        }
    }
    let query = reader::query(reader.rest())?;
    Ok(Ddl::CreateView(Box::new(CreateView {
        name,
        or_replace,
        if_not_exists,
        columns,
        comment,
        query,
        text: source.text.clone(),
        kind,
    })))
}

fn alter(reader: &mut Reader<'_>) -> Result<Option<Ddl>, SqlError> {
    reader.expect("ALTER")?;
    if reader.accept("SESSION") {
        return Ok(None);
    }
    let kind = Kind::read(reader).ok_or_else(|| reader.unexpected("what is altered"))?;
    let if_exists = reader.accept("IF EXISTS");
    let name = reader.object_name()?;
    if kind != Kind::Table {
        let properties = properties_of(reader.rest());
        return Ok(Some(Ddl::AlterRecord { kind, name, if_exists, properties }));
    }
    let mut actions = Vec::new();
    alter_actions(reader, &mut actions)?;
    Ok(Some(Ddl::AlterTable { name, if_exists, actions }))
}

fn alter_actions(reader: &mut Reader<'_>, actions: &mut Vec<AlterAction>) -> Result<(), SqlError> {
    if reader.accept("ADD PRIMARY KEY") {
        actions.push(AlterAction::PrimaryKey(names_in(reader.parenthesized()?)?));
    } else if reader.accept("ADD CONSTRAINT") {
        reader.identifier()?;
        reader.expect("PRIMARY KEY")?;
        actions.push(AlterAction::PrimaryKey(names_in(reader.parenthesized()?)?));
    } else if reader.accept("DROP PRIMARY KEY") {
        actions.push(AlterAction::DropPrimaryKey);
    } else if reader.accept("ADD") {
        add_columns(reader, actions)?;
    } else if reader.accept("DROP CLUSTERING KEY") {
        actions.push(AlterAction::SetOptions(TableOptions {
            cluster_by: Some(String::new()),
            ..Default::default()
        }));
    } else if reader.accept("DROP") {
        reader.accept("COLUMN");
        let if_exists = reader.accept("IF EXISTS");
        loop {
            actions.push(AlterAction::DropColumn { name: reader.identifier()?, if_exists });
            if !reader.accept_token(&Token::Comma) {
                break;
            }
        }
    } else if reader.accept("RENAME COLUMN") {
        let from = reader.identifier()?;
        reader.expect("TO")?;
        actions.push(AlterAction::RenameColumn { from, to: reader.identifier()? });
    } else if reader.accept("RENAME TO") {
        actions.push(AlterAction::RenameTo(reader.object_name()?));
    } else if reader.accept("SWAP WITH") {
        actions.push(AlterAction::SwapWith(reader.object_name()?));
    } else if reader.accept("ALTER") || reader.accept("MODIFY") {
        modify_columns(reader, actions)?;
    } else if reader.accept("SET") {
        let mut options = TableOptions::default();
        while !reader.is_at_end() {
            table_option(reader, &mut options)?;
            reader.accept_token(&Token::Comma);
        }
        actions.push(AlterAction::SetOptions(options));
    } else if reader.accept("CLUSTER BY") {
        let cluster_by = Some(reader.option_value()?);
        actions.push(AlterAction::SetOptions(TableOptions { cluster_by, ..Default::default() }));
    } else {
        return Err(reader.unexpected("what is done to the table"));
    }
    Ok(())
}

/// `ADD [COLUMN] [IF NOT EXISTS] a T, [COLUMN] [IF NOT EXISTS] b T …`
fn add_columns(reader: &mut Reader<'_>, actions: &mut Vec<AlterAction>) -> Result<(), SqlError> {
    let mut if_not_exists = false;
    loop {
        reader.accept("COLUMN");
        if_not_exists |= reader.accept("IF NOT EXISTS");
        actions.push(AlterAction::AddColumn { column: Box::new(column(reader)?), if_not_exists });
        if !reader.accept_token(&Token::Comma) {
            return Ok(());
        }
    }
}

fn modify_columns(reader: &mut Reader<'_>, actions: &mut Vec<AlterAction>) -> Result<(), SqlError> {
    let mut inner = if reader.peek() == Some(&Token::LParen) {
        Reader::new(reader.parenthesized()?)
    } else {
        Reader::new(reader.rest())
    };
    loop {
        inner.accept("COLUMN");
        let column = inner.identifier()?;
        actions.push(modify_column(&mut inner, column)?);
        if inner.is_at_end() {
            return Ok(());
        }
        inner.expect_token(&Token::Comma)?;
    }
}

fn modify_column(reader: &mut Reader<'_>, column: String) -> Result<AlterAction, SqlError> {
    if reader.accept("SET NOT NULL") || reader.accept("NOT NULL") {
        Ok(AlterAction::SetNotNull(column))
    } else if reader.accept("DROP NOT NULL") {
        Ok(AlterAction::DropNotNull(column))
    } else if reader.accept("DROP DEFAULT") {
        Ok(AlterAction::DropDefault(column))
    } else if reader.accept("SET DEFAULT") {
        reader::expression(reader.until(&[]))?;
        Ok(AlterAction::SetDefault)
    } else if reader.accept("COMMENT") {
        Ok(AlterAction::CommentColumn { column, comment: reader.string()? })
    } else {
        let _ = reader.accept("SET DATA TYPE") || reader.accept("TYPE");
        Ok(AlterAction::SetType { column, data_type: column_type(reader)? })
    }
}

fn drop_object(reader: &mut Reader<'_>) -> Result<Ddl, SqlError> {
    reader.expect("DROP")?;
    let kind = if reader.accept("DYNAMIC TABLE") {
        Kind::View
    } else {
        Kind::read(reader).ok_or_else(|| reader.unexpected("what is dropped"))?
    };
    let if_exists = reader.accept("IF EXISTS");
    let name = reader.object_name()?;
    let _ = reader.accept("CASCADE") || reader.accept("RESTRICT");
    Ok(Ddl::Drop { kind, name, if_exists })
}

/// `GRANT p, q ON [FUTURE|ALL] KIND[S] [IN SCHEMA] name TO ROLE r`, `GRANT ROLE a TO USER b`.
fn grant(reader: &mut Reader<'_>) -> Result<Ddl, SqlError> {
    let revoke = reader.accept("REVOKE");
    if !revoke {
        reader.expect("GRANT")?;
    }
    let to_word = if revoke { "FROM" } else { "TO" };
    let (privileges, on_kind, on) = if reader.accept("ROLE") {
        (vec!["USAGE".to_owned()], "ROLE".to_owned(), reader.object_name()?)
    } else {
        let mut privileges = Vec::new();
        let mut words = Vec::new();
        while let Some(word) = reader.peek_word().filter(|word| word != "ON") {
            reader.next();
            words.push(word);
            if reader.accept_token(&Token::Comma) {
                privileges.push(std::mem::take(&mut words).join(" "));
            }
        }
        privileges.push(words.join(" "));
        reader.expect("ON")?;
        let mut kind = vec![reader.identifier()?];
        let mut name = Vec::new();
        if kind.first().is_some_and(|word| word == "ACCOUNT") {
            name.push("ACCOUNT".to_owned());
        } else {
            while matches!(kind.last().map(String::as_str), Some("FUTURE" | "ALL" | "FILE" | "RESOURCE")) {
                kind.push(reader.identifier()?);
            }
            if reader.accept("IN") {
                kind.push("IN".to_owned());
                kind.push(reader.identifier()?);
            }
            name.extend(reader.object_name()?);
        }
        (privileges, kind.join(" "), name)
    };
    reader.expect(to_word)?;
    let to_kind = if reader.accept("USER") {
        "USER"
    } else {
        reader.accept("DATABASE");
        reader.accept("ROLE");
        "ROLE"
    };
    let to = reader.object_name()?;
    reader.accept("WITH GRANT OPTION");
    Ok(Ddl::Grant { privileges, on_kind, on, to_kind: to_kind.to_owned(), to, revoke })
}

fn single(mut name: Vec<String>) -> Result<String, SqlError> {
    match (name.pop(), name.is_empty()) {
        (Some(name), true) => Ok(name),
        _ => Err(SqlError::syntax("the name of a database has one part")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Ddl {
        let sources = reader::split(text).expect("tokens");
        let source = sources.first().expect("one statement");
        read(source).unwrap_or_else(|error| panic!("{text}: {error}")).expect("a definition")
    }

    #[test]
    fn a_landing_table_is_read_with_its_options() {
        let ddl = parse(
            "CREATE TABLE IF NOT EXISTS \"ORDERS__LOG\" (id NUMBER(38,0), amount NUMBER(12,2) NOT NULL DEFAULT 0, v VARIANT,
             ts TIMESTAMP_TZ COMMENT 'when', PRIMARY KEY (id)) ERROR_LOGGING = TRUE ENABLE_SCHEMA_EVOLUTION=FALSE COMMENT='x'",
        );
        let Ddl::CreateTable(table) = ddl else { panic!("not a table") };
        assert_eq!(table.name, ["ORDERS__LOG"]);
        assert_eq!(table.primary_key, ["ID"]);
        assert_eq!(table.columns.len(), 4);
        assert!(table.columns.get(1).is_some_and(|column| column.not_null && column.default.is_some()));
        assert_eq!(table.options.error_logging, Some(true));
        assert_eq!(table.options.schema_evolution, Some(false));
    }

    #[test]
    fn several_columns_are_added_by_one_statement() {
        let ddl = parse(
            "ALTER TABLE t ADD COLUMN IF NOT EXISTS a NUMBER, b VARCHAR(10) NOT NULL, COLUMN c TIMESTAMP WITH TIME ZONE",
        );
        let Ddl::AlterTable { actions, .. } = ddl else { panic!("not ALTER TABLE") };
        assert_eq!(actions.len(), 3);
        assert!(
            actions.iter().all(|action| matches!(action, AlterAction::AddColumn { if_not_exists: true, .. }))
        );
    }

    #[test]
    fn what_is_only_recorded_keeps_its_text_and_properties() {
        let ddl = parse("CREATE USER IF NOT EXISTS u RSA_PUBLIC_KEY = 'MIIB' DEFAULT_ROLE = r");
        let Ddl::Record(record) = ddl else { panic!("not recorded") };
        assert!(record.properties.contains(&("RSA_PUBLIC_KEY".to_owned(), "MIIB".to_owned())));
        assert!(record.if_not_exists);
        let ddl = parse(
            "CREATE OR REPLACE TASK t WAREHOUSE = W SCHEDULE='1 MINUTE' WHEN SYSTEM$STREAM_HAS_DATA('S') AS SELECT 1",
        );
        assert!(matches!(ddl, Ddl::Record(record) if record.kind == Kind::Task && record.or_replace));
    }

    #[test]
    fn grants_are_read() {
        let ddl = parse("GRANT USAGE, CREATE TABLE ON SCHEMA db.s TO ROLE r");
        let Ddl::Grant { privileges, on, to, revoke, .. } = ddl else { panic!("not a grant") };
        assert_eq!(privileges, ["USAGE", "CREATE TABLE"]);
        assert_eq!((on.join("."), to.join("."), revoke), ("DB.S".to_owned(), "R".to_owned(), false));
        assert!(matches!(parse("GRANT ROLE r TO USER u"), Ddl::Grant { .. }));
        assert!(matches!(parse("GRANT INSERT ON ALL TABLES IN SCHEMA s TO ROLE r"), Ddl::Grant { .. }));
    }

    #[test]
    fn what_is_left_over_is_an_error() {
        let sources = reader::split("DROP TABLE t t2").expect("tokens");
        assert!(read(sources.first().expect("one")).is_err());
    }
}
