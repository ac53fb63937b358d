//! Carries out statements that define things: the engine's DDL, and the emulator's own records beside it.

use deadpool_postgres::Object;
use tokio_postgres::GenericClient;

use crate::account::Account;
use crate::datatype::DataType;
use crate::engine::{self, RelationName, SchemaName, literal, quote};
use crate::error::SqlError;
use crate::sql::ddl::{
    AlterAction, ColumnDef, CreateTable, CreateView, Ddl, Kind, Record, TableOptions, WithRows,
};
use crate::sql::execute::{self, Statement};
use crate::sql::result::ResultSet;
use crate::sql::session::Session;

/// The engine's advisory lock under which definitions change.
const DDL_LOCK: i64 = 0x0dd1;

/// What carrying out needs besides the connection.
pub(crate) struct Context<'a> {
    pub(crate) session: &'a Session,
    pub(crate) account: &'a Account,
}

impl Context<'_> {
    /// Carries out one statement in a transaction of its own; Snowflake's DDL commits by itself.
    pub(crate) async fn run(&self, client: &mut Object, ddl: &Ddl) -> Result<ResultSet, SqlError> {
        let transaction = client.transaction().await?;
        let tx: &tokio_postgres::Transaction<'_> = &transaction;
        // Two clients may make one table at the same time: the engine would refuse the second one by its catalog.
        tx.execute("SELECT pg_advisory_xact_lock($1)", &[&DDL_LOCK]).await?;
        let message = match ddl {
            Ddl::CreateTable(table) => self.create_table(tx, table).await?,
            Ddl::AlterTable { name, if_exists, actions } => {
                self.alter_table(tx, name, *if_exists, actions).await?
            }
            Ddl::CreateView(view) => self.create_view(tx, view).await?,
            Ddl::CreateDatabase { name, if_not_exists, or_replace } => {
                create_database(tx, name, *if_not_exists, *or_replace).await?
            }
            Ddl::CreateSchema { name, if_not_exists, or_replace } => {
                let schema = self.session.schema_name(name)?;
                create_schema(tx, &schema, *if_not_exists, *or_replace).await?
            }
            Ddl::Drop { kind, name, if_exists } => self.drop_object(tx, *kind, name, *if_exists).await?,
            Ddl::Undrop => return Err(SqlError::unsupported("UNDROP: what is dropped is gone")),
            Ddl::Truncate { name, if_exists } => self.truncate(tx, name, *if_exists).await?,
            Ddl::Record(record) => self.record(tx, record).await?,
            Ddl::AlterRecord { kind, name, if_exists, properties } => {
                self.alter_record(tx, *kind, name, *if_exists, properties).await?
            }
            Ddl::Grant { privileges, on_kind, on, to_kind, to, revoke } => {
                grant(tx, privileges, on_kind, &on.join("."), to_kind, &to.join("."), *revoke).await?
            }
            Ddl::Comment { kind, name, comment } => self.comment(tx, *kind, name, comment).await?,
        };
        transaction.commit().await?;
        Ok(ResultSet::status(&message))
    }

    async fn create_table(
        &self,
        client: &impl GenericClient,
        table: &CreateTable,
    ) -> Result<String, SqlError> {
        let name = self.session.relation_name(&table.name)?;
        let engine_name = name.to_engine()?;
        require_schema(client, &name.schema).await?;
        if let Some(found) = engine::find_relation(client, &name).await? {
            if table.if_not_exists {
                return Ok(format!("{} already exists, statement succeeded.", name.name));
            }
            if !table.or_replace || !found.is_table {
                return Err(SqlError::exists(&name.to_string()));
            }
            client.batch_execute(&format!("DROP TABLE {} CASCADE", name.to_engine()?)).await?;
        }
        if let Some((other, with_rows)) = &table.like {
            self.create_like(client, &engine_name, other, *with_rows).await?;
        } else {
            let columns = self.columns_text(client, table).await?;
            client.batch_execute(&format!("CREATE TABLE {engine_name} ({columns})")).await?;
            self.comment_columns(client, &engine_name, &table.columns).await?;
            if let Some(query) = &table.query {
                self.fill(client, &engine_name, query).await?;
            }
        }
        let relation = self.require_table(client, &name).await?;
        client
            .execute(
                "INSERT INTO _emulator.relations (relation, primary_key, unique_keys) VALUES ($1, $2, $3)
                 ON CONFLICT (relation) DO UPDATE SET primary_key = EXCLUDED.primary_key",
                &[&relation, &table.primary_key, &table.unique_keys],
            )
            .await?;
        set_options(client, relation, &table.options).await?;
        index_key(client, &engine_name, relation, &table.primary_key).await?;
        Ok(format!("Table {} successfully created.", name.name))
    }

    async fn columns_text(
        &self,
        client: &impl GenericClient,
        table: &CreateTable,
    ) -> Result<String, SqlError> {
        if let (Some(query), true) = (&table.query, table.columns.is_empty()) {
            let rendered = execute::render_query(client, self.session, query).await?;
            let described = execute::describe(client, &rendered).await?;
            let columns: Vec<String> = described
                .iter()
                .map(|column| {
                    let declared = match column.data_type {
                        // the engine does not say the scale of an expression
                        DataType::Number { precision: 38, scale: 0 } if column.scale_is_open => {
                            "numeric".to_owned()
                        }
                        other => other.to_engine(),
                    };
                    format!("{} {declared}", quote(&column.name))
                })
                .collect();
            return Ok(columns.join(", "));
        }
        let mut parts = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            parts.push(self.column_text(column)?);
        }
        Ok(parts.join(", "))
    }

    fn column_text(&self, column: &ColumnDef) -> Result<String, SqlError> {
        let mut text = format!("{} {}", quote(&column.name), column.data_type.to_engine());
        if matches!(column.data_type, DataType::Varchar { .. }) {
            // Snowflake compares bytes
            text.push_str(" COLLATE \"C\"");
        }
        if column.not_null {
            text.push_str(" NOT NULL");
        }
        if let Some(default) = &column.default {
            let default = execute::render_expression(self.session, default)?;
            text.push_str(&format!(" DEFAULT ({default})::{}", column.data_type.to_engine()));
        }
        if let Some((start, step)) = column.identity {
            // an identity column of the engine must be an integer
            text = text.replacen(&column.data_type.to_engine(), "bigint", 1);
            text.push_str(&format!(
                " GENERATED BY DEFAULT AS IDENTITY (START WITH {start} INCREMENT BY {step})"
            ));
        }
        Ok(text)
    }

    async fn comment_columns(
        &self,
        client: &impl GenericClient,
        table: &str,
        columns: &[ColumnDef],
    ) -> Result<(), SqlError> {
        for column in columns {
            if let Some(comment) = &column.comment {
                let statement =
                    format!("COMMENT ON COLUMN {table}.{} IS {}", quote(&column.name), literal(comment));
                client.batch_execute(&statement).await?;
            }
        }
        Ok(())
    }

    async fn create_like(
        &self,
        client: &impl GenericClient,
        table: &str,
        other: &[String],
        with_rows: WithRows,
    ) -> Result<(), SqlError> {
        let other = self.session.relation_name(other)?;
        self.require_table(client, &other).await?;
        let other = other.to_engine()?;
        client
            .batch_execute(&format!(
                "CREATE TABLE {table} (LIKE {other} INCLUDING DEFAULTS INCLUDING COMMENTS)"
            ))
            .await?;
        if with_rows == WithRows::Yes {
            client.batch_execute(&format!("INSERT INTO {table} SELECT * FROM {other}")).await?;
        }
        Ok(())
    }

    async fn fill(
        &self,
        client: &impl GenericClient,
        table: &str,
        query: &sqlparser::ast::Query,
    ) -> Result<(), SqlError> {
        let rendered = execute::render_query(client, self.session, query).await?;
        client.execute(&format!("INSERT INTO {table} {}", rendered.text), &[]).await?;
        Ok(())
    }

    async fn alter_table(
        &self,
        client: &impl GenericClient,
        name: &[String],
        if_exists: bool,
        actions: &[AlterAction],
    ) -> Result<String, SqlError> {
        let name = self.session.relation_name(name)?;
        let relation = match engine::find_relation(client, &name).await? {
            Some(relation) => relation.oid,
            None if if_exists => return Ok("Statement executed successfully.".to_owned()),
            None => return Err(SqlError::missing("Table", &name.to_string())),
        };
        let table = name.to_engine()?;
        for action in actions {
            self.alter(client, &name, &table, relation, action).await?;
        }
        Ok("Statement executed successfully.".to_owned())
    }

    async fn alter(
        &self,
        client: &impl GenericClient,
        name: &RelationName,
        table: &str,
        relation: u32,
        action: &AlterAction,
    ) -> Result<(), SqlError> {
        let statement = match action {
            AlterAction::AddColumn { column, if_not_exists } => {
                let guard = if *if_not_exists { "IF NOT EXISTS " } else { "" };
                if column.not_null && column.default.is_none() && has_rows(client, table).await? {
                    return Err(SqlError::new(
                        "002055",
                        "42601",
                        format!(
                            "SQL compilation error:\nNon-nullable column '{}' cannot be added to non-empty table '{}' unless it has a non-null default value.",
                            column.name, name.name
                        ),
                    ));
                }
                format!("ADD COLUMN {guard}{}", self.column_text(column)?)
            }
            AlterAction::DropColumn { name, if_exists } => {
                format!("DROP COLUMN {}{} CASCADE", if *if_exists { "IF EXISTS " } else { "" }, quote(name))
            }
            AlterAction::RenameColumn { from, to } => {
                format!("RENAME COLUMN {} TO {}", quote(from), quote(to))
            }
            AlterAction::RenameTo(to) => return self.rename_table(client, name, to).await,
            AlterAction::SwapWith(other) => return self.swap(client, name, other).await,
            AlterAction::SetType { column, data_type } => {
                let before = self.column_type(client, relation, column).await?;
                check_widening(column, before, *data_type)?;
                let statement = format!(
                    "ALTER TABLE {table} ALTER COLUMN {} TYPE {}",
                    quote(column),
                    data_type.to_engine()
                );
                return alter_under_views(client, relation, &statement).await;
            }
            AlterAction::SetNotNull(column) => format!("ALTER COLUMN {} SET NOT NULL", quote(column)),
            AlterAction::DropNotNull(column) => format!("ALTER COLUMN {} DROP NOT NULL", quote(column)),
            AlterAction::SetDefault => {
                return Err(SqlError::unsupported("SET DEFAULT, which Snowflake allows for sequences only"));
            }
            AlterAction::DropDefault(column) => format!("ALTER COLUMN {} DROP DEFAULT", quote(column)),
            AlterAction::CommentColumn { column, comment } => {
                let statement =
                    format!("COMMENT ON COLUMN {table}.{} IS {}", quote(column), literal(comment));
                return Ok(client.batch_execute(&statement).await?);
            }
            AlterAction::SetOptions(options) => return set_options(client, relation, options).await,
            AlterAction::PrimaryKey(columns) => {
                set_key(client, relation, columns).await?;
                return index_key(client, table, relation, columns).await;
            }
            AlterAction::DropPrimaryKey => return set_key(client, relation, &[]).await,
        };
        client.batch_execute(&format!("ALTER TABLE {table} {statement}")).await?;
        Ok(())
    }

    async fn column_type(
        &self,
        client: &impl GenericClient,
        relation: u32,
        column: &str,
    ) -> Result<DataType, SqlError> {
        let table = engine::load_table(client, relation).await?;
        table
            .and_then(|table| table.columns.into_iter().find(|found| found.name == column))
            .map(|found| found.data_type)
            .ok_or_else(|| {
                SqlError::new(
                    "000904",
                    "42000",
                    format!("SQL compilation error: error line 1\ninvalid identifier '{column}'"),
                )
            })
    }

    async fn rename_table(
        &self,
        client: &impl GenericClient,
        name: &RelationName,
        to: &[String],
    ) -> Result<(), SqlError> {
        let to = self.session.relation_name(to)?;
        if engine::find_relation(client, &to).await?.is_some() {
            return Err(SqlError::exists(&to.to_string()));
        }
        // checks the length of the new name
        to.to_engine()?;
        client
            .batch_execute(&format!("ALTER TABLE {} RENAME TO {}", name.to_engine()?, quote(&to.name)))
            .await?;
        if to.schema != name.schema {
            let moved = RelationName { schema: name.schema.clone(), name: to.name.clone() };
            let statement =
                format!("ALTER TABLE {} SET SCHEMA {}", moved.to_engine()?, quote(&to.schema.to_engine()?));
            client.batch_execute(&statement).await?;
        }
        Ok(())
    }

    async fn swap(
        &self,
        client: &impl GenericClient,
        name: &RelationName,
        other: &[String],
    ) -> Result<(), SqlError> {
        let other = self.session.relation_name(other)?;
        if other.schema != name.schema {
            return Err(SqlError::unsupported("SWAP WITH a table of another schema"));
        }
        let parked = RelationName { schema: name.schema.clone(), name: "~swap".to_owned() };
        for (from, to) in [(name, &parked), (&other, name), (&parked, &other)] {
            client
                .batch_execute(&format!("ALTER TABLE {} RENAME TO {}", from.to_engine()?, quote(&to.name)))
                .await?;
        }
        Ok(())
    }

    async fn create_view(&self, client: &impl GenericClient, view: &CreateView) -> Result<String, SqlError> {
        let name = self.session.relation_name(&view.name)?;
        require_schema(client, &name.schema).await?;
        if let Some(found) = engine::find_relation(client, &name).await? {
            if view.if_not_exists {
                return Ok(format!("{} already exists, statement succeeded.", name.name));
            }
            if !view.or_replace || found.is_table {
                return Err(SqlError::exists(&name.to_string()));
            }
            client.batch_execute(&format!("DROP VIEW {} CASCADE", name.to_engine()?)).await?;
        }
        let rendered = execute::render_query(client, self.session, &view.query).await?;
        let columns: Vec<String> = view.columns.iter().map(|column| quote(column)).collect();
        let columns = if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
        let engine_name = name.to_engine()?;
        client.batch_execute(&format!("CREATE VIEW {engine_name}{columns} AS {}", rendered.text)).await?;
        let found = engine::find_relation(client, &name).await?;
        let oid = found.ok_or_else(|| SqlError::missing("Object", &name.to_string()))?.oid;
        client
            .execute(
                "INSERT INTO _emulator.relations (relation, kind, definition, comment) VALUES ($1, $2, $3, $4)",
                &[&oid, &view.kind, &view.text, &view.comment],
            )
            .await?;
        let what = if view.kind == "VIEW" { "View" } else { "Dynamic table" };
        Ok(format!("{what} {} successfully created.", name.name))
    }

    async fn drop_object(
        &self,
        client: &impl GenericClient,
        kind: Kind,
        name: &[String],
        if_exists: bool,
    ) -> Result<String, SqlError> {
        let shown = name.last().cloned().unwrap_or_default();
        let existed = match kind {
            Kind::Database => drop_database(client, &shown).await?,
            Kind::Schema => drop_schema(client, &self.session.schema_name(name)?).await?,
            Kind::Table | Kind::View => {
                let relation = self.session.relation_name(name)?;
                match engine::find_relation(client, &relation).await? {
                    Some(found) if found.is_table == (kind == Kind::Table) => {
                        let statement = format!("DROP {} {} CASCADE", kind.word(), relation.to_engine()?);
                        client.batch_execute(&statement).await?;
                        true
                    }
                    _ => false,
                }
            }
            _ => {
                let (database, schema, name) = self.record_name(kind, name)?;
                let dropped = client
                    .execute(
                        "DELETE FROM _emulator.objects WHERE kind = $1 AND database_name = $2 AND schema_name = $3 AND name = $4",
                        &[&kind.word(), &database, &schema, &name],
                    )
                    .await?;
                dropped > 0
            }
        };
        match (existed, if_exists) {
            (true, _) => Ok(format!("{shown} successfully dropped.")),
            (false, true) => {
                Ok("Drop statement executed successfully (object already dropped or does not exist)."
                    .to_owned())
            }
            (false, false) => Err(SqlError::missing(capitalised(kind), &name.join("."))),
        }
    }

    async fn truncate(
        &self,
        client: &impl GenericClient,
        name: &[String],
        if_exists: bool,
    ) -> Result<String, SqlError> {
        let name = self.session.relation_name(name)?;
        match engine::find_relation(client, &name).await? {
            Some(found) if found.is_table => {
                client.batch_execute(&format!("TRUNCATE TABLE {}", name.to_engine()?)).await?;
                Ok("Statement executed successfully.".to_owned())
            }
            _ if if_exists => Ok("Statement executed successfully.".to_owned()),
            _ => Err(SqlError::missing("Table", &name.to_string())),
        }
    }

    async fn record(&self, client: &impl GenericClient, record: &Record) -> Result<String, SqlError> {
        let (database, schema, name) = self.record_name(record.kind, &record.name)?;
        let exists = client
            .query_opt(
                "SELECT 1 FROM _emulator.objects WHERE kind = $1 AND database_name = $2 AND schema_name = $3 AND name = $4",
                &[&record.kind.word(), &database, &schema, &name],
            )
            .await?
            .is_some();
        if exists && record.if_not_exists {
            return Ok(format!("{name} already exists, statement succeeded."));
        }
        if exists && !record.or_replace {
            return Err(SqlError::exists(&name));
        }
        let properties = self.properties_json(&record.properties)?;
        client
            .execute(
                "INSERT INTO _emulator.objects (kind, database_name, schema_name, name, definition, properties, comment)
                 VALUES ($1, $2, $3, $4, $5, $6::text::jsonb, coalesce($6::text::jsonb ->> 'COMMENT', ''))
                 ON CONFLICT (kind, database_name, schema_name, name) DO UPDATE
                 SET definition = EXCLUDED.definition, properties = EXCLUDED.properties, comment = EXCLUDED.comment, created_at = now()",
                &[&record.kind.word(), &database, &schema, &name, &record.text, &properties],
            )
            .await?;
        if record.kind == Kind::User {
            self.register_keys(&name, &record.properties)?;
        }
        Ok(format!("{} {name} successfully created.", capitalised(record.kind)))
    }

    async fn alter_record(
        &self,
        client: &impl GenericClient,
        kind: Kind,
        name: &[String],
        if_exists: bool,
        properties: &[(String, String)],
    ) -> Result<String, SqlError> {
        if matches!(kind, Kind::Database | Kind::Schema | Kind::View) {
            return Err(SqlError::unsupported(format!("ALTER {}", kind.word())));
        }
        let (database, schema, short) = self.record_name(kind, name)?;
        let json = self.properties_json(properties)?;
        let row = client
            .query_opt(
                "UPDATE _emulator.objects SET properties = properties || $5::text::jsonb
                 WHERE kind = $1 AND database_name = $2 AND schema_name = $3 AND name = $4
                 RETURNING properties ->> 'RSA_PUBLIC_KEY', properties ->> 'RSA_PUBLIC_KEY_2'",
                &[&kind.word(), &database, &schema, &short, &json],
            )
            .await?;
        match row {
            Some(row) if kind == Kind::User => {
                let keys: Vec<String> =
                    [row.get::<_, Option<String>>(0), row.get(1)].into_iter().flatten().collect();
                if !keys.is_empty() {
                    self.account
                        .register(&short, &keys)
                        .map_err(|error| SqlError::new("390200", "42601", error.message))?;
                }
            }
            Some(_) => {}
            None if if_exists => {}
            None => return Err(SqlError::missing(capitalised(kind), &name.join("."))),
        }
        Ok("Statement executed successfully.".to_owned())
    }

    fn register_keys(&self, user: &str, properties: &[(String, String)]) -> Result<(), SqlError> {
        let keys: Vec<String> = properties
            .iter()
            .filter(|(key, _)| key == "RSA_PUBLIC_KEY" || key == "RSA_PUBLIC_KEY_2")
            .map(|(_, value)| value.clone())
            .collect();
        if keys.is_empty() {
            return Ok(());
        }
        self.account.register(user, &keys).map_err(|error| SqlError::new("390200", "42601", error.message))
    }

    /// Properties as JSON; the target of a pipe is resolved here, where the session is known.
    fn properties_json(&self, properties: &[(String, String)]) -> Result<String, SqlError> {
        let mut map = serde_json::Map::new();
        for (key, value) in properties {
            if key == "target" {
                let parts: Vec<String> = value.split('\u{1f}').map(str::to_owned).collect();
                let table = self.session.relation_name(&parts)?;
                map.insert("table_database".to_owned(), table.schema.database.into());
                map.insert("table_schema".to_owned(), table.schema.schema.into());
                map.insert("table_name".to_owned(), table.name.into());
            } else {
                map.insert(key.clone(), value.clone().into());
            }
        }
        Ok(serde_json::Value::Object(map).to_string())
    }

    fn record_name(&self, kind: Kind, name: &[String]) -> Result<(String, String, String), SqlError> {
        if !kind.is_in_schema() {
            return Ok((String::new(), String::new(), name.join(".")));
        }
        let full = self.session.relation_name(name)?;
        Ok((full.schema.database, full.schema.schema, full.name))
    }

    async fn comment(
        &self,
        client: &impl GenericClient,
        kind: Kind,
        name: &[String],
        comment: &str,
    ) -> Result<String, SqlError> {
        match kind {
            Kind::Table | Kind::View => {
                let name = self.session.relation_name(name)?;
                let found = engine::find_relation(client, &name).await?;
                let oid = found.ok_or_else(|| SqlError::missing("Object", &name.to_string()))?.oid;
                let options = TableOptions { comment: Some(comment.to_owned()), ..TableOptions::default() };
                set_options(client, oid, &options).await?;
            }
            Kind::Database => {
                client
                    .execute(
                        "UPDATE _emulator.databases SET comment = $2 WHERE name = $1",
                        &[&name.join("."), &comment],
                    )
                    .await?;
            }
            other => return Err(SqlError::unsupported(format!("COMMENT ON {}", other.word()))),
        }
        Ok("Statement executed successfully.".to_owned())
    }

    async fn require_table(&self, client: &impl GenericClient, name: &RelationName) -> Result<u32, SqlError> {
        let found = engine::find_relation(client, name).await?;
        found.map(|relation| relation.oid).ok_or_else(|| SqlError::missing("Table", &name.to_string()))
    }
}

/// Makes a database with its schema PUBLIC.
///
/// # Errors
/// When it exists and neither option says what then.
pub(crate) async fn create_database(
    client: &impl GenericClient,
    name: &str,
    if_not_exists: bool,
    or_replace: bool,
) -> Result<String, SqlError> {
    let exists =
        client.query_opt("SELECT 1 FROM _emulator.databases WHERE name = $1", &[&name]).await?.is_some();
    if exists && if_not_exists {
        return Ok(format!("{name} already exists, statement succeeded."));
    }
    if exists && !or_replace {
        return Err(SqlError::exists(name));
    }
    if exists {
        drop_database(client, name).await?;
    }
    client.execute("INSERT INTO _emulator.databases (name) VALUES ($1)", &[&name]).await?;
    for schema in ["PUBLIC", "INFORMATION_SCHEMA"] {
        let schema = SchemaName { database: name.to_owned(), schema: schema.to_owned() };
        create_schema(client, &schema, true, false).await?;
    }
    client.execute("SELECT _emulator.install_information_schema($1)", &[&name]).await?;
    Ok(format!("Database {name} successfully created."))
}

async fn create_schema(
    client: &impl GenericClient,
    name: &SchemaName,
    if_not_exists: bool,
    or_replace: bool,
) -> Result<String, SqlError> {
    let database =
        client.query_opt("SELECT 1 FROM _emulator.databases WHERE name = $1", &[&name.database]).await?;
    if database.is_none() {
        return Err(SqlError::missing("Database", &name.database));
    }
    if engine::schema_exists(client, name).await? {
        if if_not_exists {
            return Ok(format!("{} already exists, statement succeeded.", name.schema));
        }
        if !or_replace {
            return Err(SqlError::exists(&name.schema));
        }
        drop_schema(client, name).await?;
    }
    client
        .execute(
            "INSERT INTO _emulator.schemas (database_name, name) VALUES ($1, $2)",
            &[&name.database, &name.schema],
        )
        .await?;
    client.batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS {}", quote(&name.to_engine()?))).await?;
    Ok(format!("Schema {} successfully created.", name.schema))
}

async fn drop_schema(client: &impl GenericClient, name: &SchemaName) -> Result<bool, SqlError> {
    let dropped = client
        .execute(
            "DELETE FROM _emulator.schemas WHERE database_name = $1 AND name = $2",
            &[&name.database, &name.schema],
        )
        .await?;
    if dropped > 0 {
        client.batch_execute(&format!("DROP SCHEMA IF EXISTS {} CASCADE", quote(&name.to_engine()?))).await?;
        client
            .execute(
                "DELETE FROM _emulator.objects WHERE database_name = $1 AND schema_name = $2",
                &[&name.database, &name.schema],
            )
            .await?;
    }
    Ok(dropped > 0)
}

/// Drops a database with all that is in it; false when there is none.
pub(crate) async fn drop_database(client: &impl GenericClient, name: &str) -> Result<bool, SqlError> {
    let schemas =
        client.query("SELECT name FROM _emulator.schemas WHERE database_name = $1", &[&name]).await?;
    for row in &schemas {
        drop_schema(client, &SchemaName { database: name.to_owned(), schema: row.get(0) }).await?;
    }
    Ok(client.execute("DELETE FROM _emulator.databases WHERE name = $1", &[&name]).await? > 0)
}

async fn require_schema(client: &impl GenericClient, name: &SchemaName) -> Result<(), SqlError> {
    if engine::schema_exists(client, name).await? {
        return Ok(());
    }
    Err(SqlError::missing("Schema", &format!("{}.{}", name.database, name.schema)))
}

async fn set_options(
    client: &impl GenericClient,
    relation: u32,
    options: &TableOptions,
) -> Result<(), SqlError> {
    client
        .execute(
            "INSERT INTO _emulator.relations AS r (relation, error_logging, schema_evolution, change_tracking, cluster_by, comment)
             VALUES ($1, coalesce($2, false), coalesce($3, false), coalesce($4, false), coalesce($5, ''), coalesce($6, ''))
             ON CONFLICT (relation) DO UPDATE SET error_logging = coalesce($2, r.error_logging),
               schema_evolution = coalesce($3, r.schema_evolution), change_tracking = coalesce($4, r.change_tracking),
               cluster_by = coalesce($5, r.cluster_by), comment = coalesce($6, r.comment)",
            &[
                &relation,
                &options.error_logging,
                &options.schema_evolution,
                &options.change_tracking,
                &options.cluster_by,
                &options.comment,
            ],
        )
        .await?;
    Ok(())
}

async fn set_key(client: &impl GenericClient, relation: u32, columns: &[String]) -> Result<(), SqlError> {
    client
        .execute(
            "INSERT INTO _emulator.relations (relation, primary_key) VALUES ($1, $2)
             ON CONFLICT (relation) DO UPDATE SET primary_key = EXCLUDED.primary_key",
            &[&relation, &columns],
        )
        .await?;
    Ok(())
}

/// A primary key is not enforced in Snowflake; here it becomes an index that is not unique, so that MERGE is not quadratic.
async fn index_key(
    client: &impl GenericClient,
    table: &str,
    relation: u32,
    columns: &[String],
) -> Result<(), SqlError> {
    if columns.is_empty() {
        return Ok(());
    }
    let columns: Vec<String> = columns.iter().map(|column| quote(column)).collect();
    let statement =
        format!("CREATE INDEX IF NOT EXISTS \"pk~{relation}\" ON {table} ({})", columns.join(", "));
    client.batch_execute(&statement).await?;
    Ok(())
}

async fn has_rows(client: &impl GenericClient, table: &str) -> Result<bool, SqlError> {
    Ok(client.query_opt(&format!("SELECT 1 FROM {table} LIMIT 1"), &[]).await?.is_some())
}

/// The engine refuses to change a column that a view reads: the views are taken away and made again.
async fn alter_under_views(
    client: &impl GenericClient,
    relation: u32,
    statement: &str,
) -> Result<(), SqlError> {
    let views = client
        .query(
            "WITH RECURSIVE readers AS (
               SELECT r.ev_class AS oid, 1 AS depth FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
               WHERE d.classid = 'pg_rewrite'::regclass AND d.refobjid = $1 AND r.ev_class <> $1
               UNION SELECT r.ev_class, v.depth + 1 FROM readers v JOIN pg_depend d ON d.refobjid = v.oid AND d.classid = 'pg_rewrite'::regclass
               JOIN pg_rewrite r ON r.oid = d.objid WHERE r.ev_class <> v.oid)
             SELECT v.oid, v.oid::regclass::text, pg_get_viewdef(v.oid),
               (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = v.oid AND attnum > 0)
             FROM (SELECT oid, max(depth) AS depth FROM readers GROUP BY oid) AS v ORDER BY v.depth",
            &[&relation],
        )
        .await?;
    for view in views.iter().rev() {
        client.batch_execute(&format!("DROP VIEW {}", view.get::<_, &str>(1))).await?;
    }
    client.batch_execute(statement).await?;
    for view in &views {
        let (name, definition, columns): (&str, &str, &str) = (view.get(1), view.get(2), view.get(3));
        client.batch_execute(&format!("CREATE VIEW {name} ({columns}) AS {definition}")).await?;
        client
            .execute(
                "UPDATE _emulator.relations SET relation = $2::text::regclass::oid WHERE relation = $1",
                &[&view.get::<_, u32>(0), &name],
            )
            .await?;
    }
    Ok(())
}

/// What ALTER … SET DATA TYPE may do: a longer VARCHAR, a NUMBER of the same scale and another precision.
fn check_widening(column: &str, before: DataType, after: DataType) -> Result<(), SqlError> {
    let allowed = match (before, after) {
        (DataType::Varchar { length: before }, DataType::Varchar { length: after }) => after >= before,
        (DataType::Binary { length: before }, DataType::Binary { length: after }) => after >= before,
        (DataType::Number { scale: before, .. }, DataType::Number { scale: after, .. }) => before == after,
        (before, after) => before == after,
    };
    if allowed {
        return Ok(());
    }
    Err(SqlError::new(
        "002108",
        "22000",
        format!("SQL compilation error: cannot change column {column} from type {before} to {after}"),
    ))
}

async fn grant(
    client: &impl GenericClient,
    privileges: &[String],
    on_kind: &str,
    on: &str,
    to_kind: &str,
    to: &str,
    revoke: bool,
) -> Result<String, SqlError> {
    let statement = if revoke {
        "DELETE FROM _emulator.grants WHERE privilege = $1 AND granted_on = $2 AND name = $3 AND granted_to = $4 AND grantee_name = $5"
    } else {
        "INSERT INTO _emulator.grants (privilege, granted_on, name, granted_to, grantee_name) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING"
    };
    for privilege in privileges {
        client.execute(statement, &[privilege, &on_kind, &on, &to_kind, &to]).await?;
    }
    Ok("Statement executed successfully.".to_owned())
}

fn capitalised(kind: Kind) -> &'static str {
    match kind {
        Kind::Database => "Database",
        Kind::Schema => "Schema",
        Kind::Table => "Table",
        Kind::View => "View",
        Kind::User => "User",
        Kind::Role => "Role",
        Kind::Warehouse => "Warehouse",
        Kind::Stream => "Stream",
        Kind::Task => "Task",
        Kind::Pipe => "Pipe",
        Kind::Stage => "Stage",
        Kind::FileFormat => "File format",
        Kind::Tag => "Tag",
        Kind::ResourceMonitor => "Resource monitor",
    }
}

/// A statement that changes what tables there are, after which channels must be looked at.
pub(crate) fn may_invalidate_pipes(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::Ddl(
            Ddl::CreateTable(_)
                | Ddl::AlterTable { .. }
                | Ddl::Drop { .. }
                | Ddl::CreateDatabase { .. }
                | Ddl::CreateSchema { .. }
        )
    )
}
