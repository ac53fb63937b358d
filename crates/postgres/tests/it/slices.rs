//! One table over several sessions: every row once, in the order of the key, as of one moment.

use std::time::Duration;

use cdcd_postgres::connection::{Connection, CopyMessage, Purpose};
use cdcd_postgres::slices::SliceReader;
use cdcd_postgres::snapshot::{OrderColumn, SnapshotReader, TableRows};
use cdcd_postgres::{ChannelBinding, Config, Error, Secret, SslMode};
use cdcd_testkit::services::{self, Database};
use cdcd_testkit::wait_until;

const ROWS: u64 = 60_000;

fn config(database: &Database) -> Config {
    let server = &database.server;
    Config {
        host: server.host.clone(),
        port: server.port,
        user: server.user.clone(),
        password: Some(Secret::new(server.password.clone())),
        database: database.name.clone(),
        ssl_mode: SslMode::Prefer,
        ssl_root_cert: None,
        ssl_cert: None,
        ssl_key: None,
        channel_binding: ChannelBinding::Prefer,
        connect_timeout: Duration::from_secs(20),
        application_name: "slices".to_owned(),
        initial_statements: Vec::new(),
    }
}

async fn reader(database: &Database, sessions: usize) -> SliceReader {
    let config = config(database);
    let first = Connection::connect(&config, Purpose::Query).await.unwrap();
    let first = SnapshotReader::begin(first, None).await.unwrap();
    let mut more = Vec::new();
    for _ in 1..sessions {
        more.push(Connection::connect(&config, Purpose::Query).await.unwrap());
    }
    SliceReader::begin(first, more, None).await.unwrap()
}

async fn read(reader: &mut SliceReader, rows: &TableRows<'_>) -> Result<Vec<String>, Error> {
    reader.start_table(rows).await?;
    rest(reader).await
}

async fn rest(reader: &mut SliceReader) -> Result<Vec<String>, Error> {
    let mut lines = Vec::new();
    loop {
        match reader.next_row()? {
            Some(CopyMessage::Data(line)) => lines.push(String::from_utf8(line.to_vec()).unwrap()),
            Some(CopyMessage::Done) => break,
            None => reader.fill().await?,
        }
    }
    reader.end_table().await?;
    Ok(lines)
}

/// Sessions of this test that have a part of the table to read.
fn readers(database: &Database) -> u32 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'slices' \
               AND query LIKE 'COPY%' AND datname = current_database()";
    database.psql(sql).unwrap().parse().unwrap()
}

#[tokio::test]
async fn several_sessions_read_every_row_once_and_in_order() {
    let database = services::postgres(15).unwrap().fresh_database("slices").unwrap();
    // Two columns, the keys neither dense nor in the order in which they lie in the table.
    database
        .psql(&format!(
            "CREATE TABLE t (a int, b bigint, body text, PRIMARY KEY (a, b)); \
             INSERT INTO t SELECT n % 7, n * 13, repeat(md5(n::text), 12) FROM generate_series(1, {ROWS}) n \
             ORDER BY md5(n::text)"
        ))
        .unwrap();
    let order = ["a", "b"].map(|name| OrderColumn { name, by_bytes: false });
    let columns = ["a", "b", "body"].map(str::to_owned);
    let rows = TableRows {
        schema: "public",
        table: "t",
        columns: &columns,
        select: None,
        order: &order,
        after: None,
        upto: None,
    };
    let expected = read(&mut reader(&database, 1).await, &rows).await.unwrap();
    assert_eq!(expected.len() as u64, ROWS);

    let mut three = reader(&database, 3).await;
    // What comes later is not seen, by none of the sessions.
    database.psql("DELETE FROM t WHERE a = 5; INSERT INTO t VALUES (3, 5, 'late')").unwrap();
    three.start_table(&rows).await.unwrap();
    wait_until("three readers", Duration::from_secs(20), || Ok((readers(&database) == 3).then_some(())))
        .unwrap();
    let given = rest(&mut three).await.unwrap();
    let differs = given.iter().zip(&expected).position(|(given, expected)| given != expected);
    assert_eq!((given.len(), differs), (expected.len(), None), "three sessions give what one gives");

    let after = ["3".to_owned(), "1300".to_owned()];
    let behind = TableRows { after: Some(&after), ..rows.clone() };
    let expected = read(&mut reader(&database, 1).await, &behind).await.unwrap();
    assert!((15_000..30_000).contains(&expected.len()), "{}", expected.len());
    assert!(read(&mut reader(&database, 4).await, &behind).await.unwrap() == expected, "behind a key");
}

#[tokio::test]
async fn a_session_that_ends_while_it_reads_ahead_is_a_failure() {
    let database = services::postgres(15).unwrap().fresh_database("slices").unwrap();
    database
        .psql(&format!(
            "CREATE TABLE t (id bigint PRIMARY KEY, body text); \
             INSERT INTO t SELECT n, repeat(md5(n::text), 12) FROM generate_series(1, {ROWS}) n"
        ))
        .unwrap();
    let order = [OrderColumn { name: "id", by_bytes: false }];
    let columns = ["id", "body"].map(str::to_owned);
    let rows = TableRows {
        schema: "public",
        table: "t",
        columns: &columns,
        select: None,
        order: &order,
        after: None,
        upto: None,
    };
    let mut three = reader(&database, 3).await;
    three.start_table(&rows).await.unwrap();
    let end = "SELECT pg_terminate_backend(max(pid)) FROM pg_stat_activity WHERE application_name = 'slices' \
               AND datname = current_database()";
    assert_eq!(database.psql(end).unwrap(), "t");
    let error = rest(&mut three).await.unwrap_err();
    assert!(matches!(error, Error::Closed | Error::Io { .. } | Error::Server { .. }), "{error}");
}
