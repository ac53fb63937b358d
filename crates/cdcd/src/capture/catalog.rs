//! Answers the engine's questions from the server's catalog.

use cdcd_capture::catalog::{CatalogRequest, ColumnFacts, TableFacts, TypeFacts, TypeKind};
use cdcd_postgres::catalog;
use tokio_postgres::Client;

/// Facts about one table.
///
/// # Errors
/// The connection's.
pub async fn answer(client: &Client, request: &CatalogRequest) -> Result<TableFacts, cdcd_postgres::Error> {
    let columns = catalog::columns(client, request.relation).await?;
    facts(client, request.relation, &columns, &request.type_oids).await
}

/// The same from columns that are known already.
pub(super) async fn facts(
    client: &Client,
    table: u32,
    columns: &[catalog::Column],
    type_oids: &[u32],
) -> Result<TableFacts, cdcd_postgres::Error> {
    let key = catalog::key_columns(client, table).await?;
    let types = catalog::types(client, type_oids).await?;
    Ok(TableFacts {
        columns: columns
            .iter()
            .map(|column| ColumnFacts {
                name: column.name.clone(),
                not_null: column.not_null,
                default: column.default.clone(),
            })
            .collect(),
        key,
        types: types.into_iter().map(type_facts).collect(),
    })
}

fn type_facts(found: catalog::Type) -> TypeFacts {
    let kind = match found.kind {
        'e' => TypeKind::Enum { labels: found.labels },
        'd' => TypeKind::Domain { base_oid: found.base_oid, base_typmod: found.base_typmod },
        'b' if found.element_oid != 0 => {
            TypeKind::Array { element_oid: found.element_oid, delimiter: found.delimiter }
        }
        'b' => TypeKind::Base,
        _ => TypeKind::Other,
    };
    TypeFacts { oid: found.oid, name: found.name, kind }
}
