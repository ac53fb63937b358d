//! Tables over several sessions: every row once, in the order of the key, as of one moment.

use std::time::Duration;

use cdcd_postgres::connection::{Connection, CopyMessage, Purpose};
use cdcd_postgres::slices::SliceReader;
use cdcd_postgres::snapshot::{OrderColumn, SnapshotReader, TableRows};
use cdcd_postgres::{ChannelBinding, Config, Error, Secret, SslMode};
use cdcd_testkit::services::{self, Database};
use cdcd_testkit::wait_until;
use tokio_postgres::{Client, NoTls};

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

async fn read(reader: &mut SliceReader, control: &Client, rows: &TableRows<'_>) -> Vec<String> {
    reader.queue_table(control, rows).await.unwrap();
    rest(reader).await.unwrap()
}

async fn control(database: &Database) -> Client {
    let (client, connection) = tokio_postgres::connect(&database.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
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
    let control = control(&database).await;
    let expected = read(&mut reader(&database, 1).await, &control, &rows).await;
    assert_eq!(expected.len() as u64, ROWS);

    let mut three = reader(&database, 3).await;
    // What comes later is not seen, by none of the sessions.
    database.psql("DELETE FROM t WHERE a = 5; INSERT INTO t VALUES (3, 5, 'late')").unwrap();
    three.queue_table(&control, &rows).await.unwrap();
    wait_until("three readers", Duration::from_secs(20), || Ok((readers(&database) == 3).then_some(())))
        .unwrap();
    let given = rest(&mut three).await.unwrap();
    let differs = given.iter().zip(&expected).position(|(given, expected)| given != expected);
    assert_eq!((given.len(), differs), (expected.len(), None), "three sessions give what one gives");

    let after = ["3".to_owned(), "1300".to_owned()];
    let behind = TableRows { after: Some(&after), ..rows.clone() };
    let expected = read(&mut reader(&database, 1).await, &control, &behind).await;
    assert!((15_000..30_000).contains(&expected.len()), "{}", expected.len());
    assert!(read(&mut reader(&database, 4).await, &control, &behind).await == expected, "behind a key");
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
    let (mut three, control) = (reader(&database, 3).await, control(&database).await);
    three.queue_table(&control, &rows).await.unwrap();
    let end = "SELECT pg_terminate_backend(max(pid)) FROM pg_stat_activity WHERE application_name = 'slices' \
               AND datname = current_database()";
    assert_eq!(database.psql(end).unwrap(), "t");
    let error = rest(&mut three).await.unwrap_err();
    assert!(matches!(error, Error::Closed | Error::Io { .. } | Error::Server { .. }), "{error}");
}

#[tokio::test]
async fn small_tables_are_read_at_the_same_time_and_handed_out_in_turn() {
    let database = services::postgres(15).unwrap().fresh_database("slices").unwrap();
    for table in 0..6 {
        // Large enough that none of them is read whole before somebody takes its rows; one is empty.
        let rows = if table == 3 { 0 } else { 12_000 };
        database
            .psql(&format!(
                "CREATE TABLE t{table} (id bigint, body text); \
                 INSERT INTO t{table} SELECT n, repeat(md5('{table}' || n), 12) FROM generate_series(1, {rows}) n"
            ))
            .unwrap();
    }
    let columns = ["id", "body"].map(str::to_owned);
    let rows = |table: &'static str| TableRows {
        schema: "public",
        table,
        columns: &columns,
        select: None,
        order: &[],
        after: None,
        upto: None,
    };
    let names = ["t0", "t1", "t2", "t3", "t4", "t5"];
    let control = control(&database).await;
    let mut one = reader(&database, 1).await;
    let mut three = reader(&database, 3).await;
    // A transaction's moment is that of its first query.
    one.session().unwrap().next_xid().await.unwrap();
    database.psql("DELETE FROM t4").unwrap();
    for name in names {
        three.queue_table(&control, &rows(name)).await.unwrap();
    }
    wait_until("three readers", Duration::from_secs(20), || Ok((readers(&database) == 3).then_some(())))
        .unwrap();
    for name in names {
        let expected = read(&mut one, &control, &rows(name)).await;
        assert!(rest(&mut three).await.unwrap() == expected, "{name}: what one session gives");
    }
}

#[tokio::test]
async fn a_table_that_may_not_be_read_is_refused_in_its_turn() {
    let database = services::postgres(15).unwrap().fresh_database("slices").unwrap();
    database.psql("CREATE TABLE t (id bigint); INSERT INTO t VALUES (1)").unwrap();
    let columns = ["id".to_owned()];
    let rows = |table: &'static str| TableRows {
        schema: "public",
        table,
        columns: &columns,
        select: None,
        order: &[],
        after: None,
        upto: None,
    };
    let (mut two, control) = (reader(&database, 2).await, control(&database).await);
    two.queue_table(&control, &rows("t")).await.unwrap();
    two.queue_table(&control, &rows("missing")).await.unwrap();
    assert_eq!(rest(&mut two).await.unwrap(), ["1\n"]);
    let error = rest(&mut two).await.unwrap_err();
    assert!(matches!(error, Error::Server { .. }), "{error}");
}
