//! Snowflake's SQL, executed.

use serde_json::{Value, json};

use crate::harness::{Fixture, start};

async fn check(fixture: &Fixture, statement: &str, expected: Value) {
    assert_eq!(fixture.rows(statement).await, expected, "{statement}");
}

/// Runs all cases and tells every one that went wrong, not only the first.
async fn check_all(fixture: &Fixture, cases: impl IntoIterator<Item = (&str, Value)>) {
    let mut wrong = String::new();
    for (statement, expected) in cases {
        let reply = fixture.sql(statement).await;
        let found = if reply.status == 200 { &reply.body["data"] } else { &reply.body };
        if *found != expected {
            wrong.push_str(&format!("{statement}\n  expected {expected}\n  found    {found}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

async fn fails(fixture: &Fixture, statement: &str, code: &str, sqlstate: &str) {
    let reply = fixture.sql(statement).await;
    assert_eq!(reply.code(), (422, code), "{statement}\n{}", reply.body);
    assert_eq!(reply.body["sqlState"], sqlstate, "{statement}");
    assert!(reply.body["statementHandle"].is_string() && reply.body["message"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions() {
    let fixture = start().await;
    let cases = [
        ("SELECT 1/3, 7/2, 1/2::FLOAT", json!([["0.333333", "3.500000", "0.5"]])),
        (
            "SELECT IFF(1 > 2, 'a', 'b'), NVL(NULL, 'x'), IFNULL(NULL, 2), ZEROIFNULL(NULL), NVL2(1, 'y', 'n')",
            json!([["b", "x", "2", "0", "y"]]),
        ),
        ("SELECT EQUAL_NULL(NULL, NULL), EQUAL_NULL(1, NULL), NULL = NULL", json!([["true", "false", null]])),
        (
            "SELECT DECODE(2, 1, 'one', 2, 'two', 'many'), CASE 3 WHEN 3 THEN 'three' END",
            json!([["two", "three"]]),
        ),
        ("SELECT GREATEST(1, 3, 2), GREATEST(1, NULL), LEAST(1, 3)", json!([["3", null, "1"]])),
        (
            "SELECT CONTAINS('abc', 'b'), STARTSWITH('abc', 'ab'), ENDSWITH('abc', 'x'), 'a_c' LIKE 'a\\\\_c' ESCAPE '\\\\'",
            json!([["true", "true", "false", "true"]]),
        ),
        (
            "SELECT 'a' || 1 || TRUE, CONCAT('x', 2), UPPER('ab'), SUBSTR('hello', 2, 3), SPLIT_PART('a,b,c', ',', 2)",
            json!([["a1true", "x2", "AB", "ell", "b"]]),
        ),
        (
            "SELECT '12.5'::NUMBER(5,1), '12.55'::NUMBER(5,1), 1.5::INT, TO_NUMBER('7'), TRY_TO_NUMBER('x')",
            json!([["12.5", "12.6", "2", "7", null]]),
        ),
        (
            "SELECT TRUE::STRING, 1.50::STRING, '2026-01-02'::DATE::STRING",
            json!([["true", "1.50", "2026-01-02"]]),
        ),
        ("SELECT TO_BOOLEAN('yes'), TRY_CAST('x' AS BOOLEAN), 't'::BOOLEAN", json!([["true", null, "true"]])),
        (
            "SELECT 3 IN (1, 3), 3 NOT IN (1, 3), 2 BETWEEN 1 AND 3, 'abc' RLIKE 'a.c', 'xabc' RLIKE 'a.c'",
            json!([["true", "false", "true", "true", "false"]]),
        ),
        (
            "SELECT MD5('a'), SHA2('a', 256), LENGTH('äö')",
            json!([[
                "0cc175b9c0f1b6a831c399e269772661",
                "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
                "2"
            ]]),
        ),
        ("SELECT CURRENT_DATABASE(), CURRENT_SCHEMA()", json!([["DB1", "PUBLIC"]])),
        ("SELECT X'00FF'::BINARY, TO_BINARY('ab', 'HEX')", json!([["00FF", "AB"]])),
    ];
    check_all(&fixture, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_and_times() {
    let fixture = start().await;
    let cases = [
        // an integer in a string: the unit by its magnitude
        (
            "SELECT TO_TIMESTAMP('1795000000'), TO_TIMESTAMP('1795000000123'), TO_TIMESTAMP('1795000000123456')",
            json!([["1795000000.000000000", "1795000000.123000000", "1795000000.123456000"]]),
        ),
        (
            "SELECT TO_TIMESTAMP(1795000000), TO_TIMESTAMP(1795000000123, 3)",
            json!([["1795000000.000000000", "1795000000.123000000"]]),
        ),
        (
            "SELECT DATEDIFF(millisecond, '2026-01-01 00:00:00.9996', '2026-01-01 00:00:01.0004')",
            json!([["1"]]),
        ),
        (
            "SELECT DATEDIFF('day', '2026-01-01 23:59'::TIMESTAMP, '2026-01-02 00:01'::TIMESTAMP), DATEDIFF(year, '2025-12-31'::DATE, '2026-01-01'::DATE)",
            json!([["1", "1"]]),
        ),
        (
            "SELECT DATEDIFF(second, '2026-01-01 00:00:01'::TIMESTAMP, '2026-01-01'::TIMESTAMP)",
            json!([["-1"]]),
        ),
        (
            "SELECT DATEADD(month, 1, '2026-01-31'::DATE)::STRING, DATEADD('ms', -1, '2026-01-01'::TIMESTAMP_NTZ)::STRING",
            json!([["2026-02-28", "2025-12-31 23:59:59.999"]]),
        ),
        (
            "SELECT DATE_TRUNC('hour', '2026-01-01 12:34:56'::TIMESTAMP)::STRING, YEAR('2026-05-06'::DATE), EXTRACT(dow FROM '2026-11-22'::DATE)",
            json!([["2026-01-01 12:00:00.000", "2026", "0"]]),
        ),
        (
            "SELECT TO_VARCHAR('2026-01-02 03:04:05.678'::TIMESTAMP, 'YYYY-MM-DD\"T\"HH24:MI:SS.FF3')",
            json!([["2026-01-02T03:04:05.678"]]),
        ),
        (
            "SELECT '2026-01-01 00:00:00+02:00'::TIMESTAMP_NTZ, '2026-01-01 00:00:00+02:00'::TIMESTAMP_LTZ",
            json!([["1767225600.000000000", "1767218400.000000000"]]),
        ),
        ("SELECT '12:34:56.5'::TIME, '2026-01-02'::DATE", json!([["45296.500000000", "20455"]])),
    ];
    check_all(&fixture, cases).await;
    fails(&fixture, "SELECT 'soon'::TIMESTAMP", "100035", "22000").await;
    fails(&fixture, "SELECT 'x'::NUMBER", "100038", "22000").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn semi_structured() {
    let fixture = start().await;
    fixture.rows("CREATE TABLE t (id NUMBER, v VARIANT)").await;
    fixture
        .rows("INSERT INTO t SELECT 1, PARSE_JSON('{\"b\":{\"c\":[1,{\"d\":\"x\"}]},\"n\":null,\"f\":1.50,\"Case\":\"y\"}')")
        .await;
    let cases = [
        (
            "SELECT v:b.c[1].d::string, v:b['c'][0], v:Case::STRING, v:case FROM t",
            json!([["x", "1", "y", null]]),
        ),
        (
            "SELECT v:n IS NULL, v:missing IS NULL, v:n::STRING, IS_NULL_VALUE(v:n) FROM t",
            json!([["false", "true", null, "true"]]),
        ),
        ("SELECT v:f::NUMBER(5,1), v:f::FLOAT, v:f + 1 FROM t", json!([["1.5", "1.5", "2.50"]])),
        ("SELECT id FROM t WHERE v:Case = 'y' AND v:b.c[0] = 1 AND v:f IN (1.5, 2)", json!([["1"]])),
        (
            "SELECT ((v:b):c)[1]:d::STRING, GET_PATH(v, 'b.c[1].d')::STRING, TYPEOF(v:b) FROM t",
            json!([["x", "x", "OBJECT"]]),
        ),
        (
            "SELECT OBJECT_CONSTRUCT('z', 1, 'a', NULL, 'b', 'x')::STRING, ARRAY_CONSTRUCT(1, NULL, 'x')::STRING",
            json!([["{\"b\":\"x\",\"z\":1}", "[1,null,\"x\"]"]]),
        ),
        (
            "SELECT f.index, f.value::STRING FROM t, LATERAL FLATTEN(input => t.v:b.c) f ORDER BY f.index",
            json!([["0", "1"], ["1", "{\"d\":\"x\"}"]]),
        ),
        ("SELECT f.key FROM t, TABLE(FLATTEN(v)) f ORDER BY 1", json!([["Case"], ["b"], ["f"], ["n"]])),
        (
            "SELECT TRY_PARSE_JSON('{'), ARRAY_SIZE(PARSE_JSON('[1,2]')), ARRAY_CONTAINS('a'::VARIANT, ARRAY_CONSTRUCT('a'))",
            json!([[null, "2", "true"]]),
        ),
        (
            "SELECT ARRAY_AGG(x) WITHIN GROUP (ORDER BY x DESC)::STRING, LISTAGG(x, '-') WITHIN GROUP (ORDER BY x) FROM (VALUES (1), (2)) AS q(x)",
            json!([["[2,1]", "1-2"]]),
        ),
        (
            "SELECT v FROM t",
            json!([[
                "{\n  \"b\": {\n    \"c\": [\n      1,\n      {\n        \"d\": \"x\"\n      }\n    ]\n  },\n  \"f\": 1.50,\n  \"n\": null,\n  \"Case\": \"y\"\n}"
            ]]),
        ),
    ];
    check_all(&fixture, cases).await;
    fails(&fixture, "SELECT PARSE_JSON('{')", "100069", "22000").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queries() {
    let fixture = start().await;
    fixture.rows("CREATE TABLE log (id NUMBER, note VARCHAR, _op VARCHAR, _seq VARCHAR)").await;
    fixture
        .rows("INSERT INTO log VALUES (1,'a','c','01'), (1,'b','u','02'), (2,'x','c','01'), (2,'x','d','03'), (3,NULL,'c','01')")
        .await;
    let cases = [
        (
            "SELECT * EXCLUDE (_op, _seq) FROM log QUALIFY ROW_NUMBER() OVER (PARTITION BY id ORDER BY _seq DESC) = 1 AND _op <> 'd' ORDER BY id",
            json!([["1", "b"], ["3", null]]),
        ),
        (
            "SELECT id, ROW_NUMBER() OVER (PARTITION BY id ORDER BY _seq DESC) AS rn FROM log QUALIFY rn = 1 ORDER BY id",
            json!([["1", "1"], ["2", "1"], ["3", "1"]]),
        ),
        ("SELECT * EXCLUDE _op RENAME (note AS n) FROM log WHERE id = 3", json!([["3", null, "01"]])),
        (
            "WITH w AS (SELECT id, COUNT(*) AS n FROM log GROUP BY id) SELECT id FROM w WHERE n > 1 ORDER BY id DESC LIMIT 1",
            json!([["2"]]),
        ),
        ("SELECT UPPER(note) AS big, COUNT(*) FROM log WHERE big = 'X' GROUP BY big", json!([["X", "2"]])),
        ("SELECT a.id FROM log a JOIN log b USING (id) WHERE a._seq = '02' AND b._op = 'c'", json!([["1"]])),
        (
            "SELECT COUNT_IF(_op = 'd'), COUNT(DISTINCT id), MAX(_seq), ANY_VALUE(id) IS NOT NULL FROM log",
            json!([["1", "3", "03", "true"]]),
        ),
        ("SELECT id FROM log MINUS SELECT 1 UNION ALL SELECT 9 ORDER BY 1", json!([["2"], ["3"], ["9"]])),
        ("SELECT column1, column2 FROM VALUES (1, 'a'), (2, 'b')", json!([["1", "a"], ["2", "b"]])),
        (
            "SELECT DISTINCT id, LAST_VALUE(note) IGNORE NULLS OVER (PARTITION BY id ORDER BY _seq) FROM log ORDER BY id",
            json!([["1", "b"], ["2", "x"], ["3", null]]),
        ),
        ("SELECT TOP 1 id FROM log ORDER BY id DESC", json!([["3"]])),
        ("SELECT log.* FROM log, (SELECT 3 AS id) AS k WHERE k.id = log.id", json!([["3", null, "c", "01"]])),
    ];
    check_all(&fixture, cases).await;
    fails(&fixture, "SELECT NOSUCH(1)", "002140", "42601").await;
    fails(&fixture, "SELECT nosuch FROM log", "000904", "42000").await;
    fails(&fixture, "SELECT * EXCLUDE nosuch FROM log", "000904", "42000").await;
    fails(&fixture, "SELECT * FROM nosuch", "002003", "42S02").await;
    fails(&fixture, "SELECT FROM WHERE", "001003", "42000").await;
    fails(&fixture, "SELECT 1/0", "100051", "22012").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_latency_query_of_the_flights_pipeline_runs_unchanged() {
    let fixture = start().await;
    fixture
        .rows("CREATE TABLE cdc_public_flights_2113051958 (RECORD_METADATA VARIANT, RECORD_CONTENT VARIANT)")
        .await;
    fixture
        .rows("INSERT INTO cdc_public_flights_2113051958 SELECT PARSE_JSON('{\"CreateTime\":1795000001500}'), PARSE_JSON('{\"payload\":{\"after\":{\"inserted_at\":1795000000123456}}}')")
        .await;
    let query = "SELECT COUNT(*), AVG(DATEDIFF(millisecond, TO_TIMESTAMP(((record_content:payload):after):inserted_at::string), \
                 TO_TIMESTAMP((record_metadata:CreateTime)::string))) AS lag_ms FROM cdc_public_flights_2113051958";
    let rows = fixture.rows(query).await;
    assert_eq!(rows[0][0], "1");
    assert_eq!(rows[0][1].as_str().and_then(|text| text.parse::<f64>().ok()), Some(1377.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn merge_folds_a_log_into_a_table_and_counts_what_it_did() {
    let fixture = start().await;
    fixture
        .rows("CREATE TABLE orders (id NUMBER PRIMARY KEY, amount NUMBER(12,2), note VARCHAR, _seq VARCHAR)")
        .await;
    fixture
        .rows("CREATE TABLE orders__log (id NUMBER, amount NUMBER(12,2), note VARCHAR, _op VARCHAR, _seq VARCHAR, _unchanged VARCHAR)")
        .await;
    fixture
        .rows("INSERT INTO orders VALUES (1, 1, 'keep', '01'), (2, 2, 'old', '05'), (3, 3, 'gone', '01')")
        .await;
    fixture
        .rows("INSERT INTO orders__log VALUES (1, 10, NULL, 'u', '02', ',note,'), (2, 20, 'late', 'u', '04', ''), (3, NULL, NULL, 'd', '02', ''), (4, 40, 'a', 'c', '02', ''), (4, 41, 'b', 'u', '03', '')")
        .await;
    let merge = "MERGE INTO orders t USING (SELECT * FROM orders__log QUALIFY ROW_NUMBER() OVER (PARTITION BY id ORDER BY _seq DESC) = 1) s ON t.id = s.id
        WHEN MATCHED AND s._OP='d' AND s._SEQ>t._SEQ THEN DELETE
        WHEN MATCHED AND s._SEQ>t._SEQ THEN UPDATE SET amount=s.amount, note=CASE WHEN CONTAINS(s._UNCHANGED,',note,') THEN t.note ELSE s.note END, _SEQ=s._SEQ
        WHEN NOT MATCHED AND s._OP<>'d' THEN INSERT (id,amount,note,_SEQ) VALUES (s.id,s.amount,UPPER(s.note),s._SEQ)";
    let reply = fixture.sql(merge).await.ok();
    let names: Vec<&str> = reply["resultSetMetaData"]["rowType"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|c| c["name"].as_str())
        .collect();
    assert_eq!(names, ["number of rows inserted", "number of rows updated", "number of rows deleted"]);
    assert_eq!(reply["data"], json!([["1", "1", "1"]]));
    assert_eq!(reply["stats"]["numRowsUpdated"], 1);
    let expected =
        json!([["1", "10.00", "keep", "02"], ["2", "2.00", "old", "05"], ["4", "41.00", "B", "03"]]);
    check(&fixture, "SELECT * FROM orders ORDER BY id", expected.clone()).await;
    check(&fixture, merge, json!([["0", "0", "0"]])).await;
    check(&fixture, "SELECT * FROM orders ORDER BY id", expected).await;
    let double = "MERGE INTO orders t USING (SELECT 1 AS id UNION ALL SELECT 1) s ON t.id = s.id WHEN MATCHED THEN UPDATE SET note = 'x'";
    fails(&fixture, double, "100090", "42P18").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_statements_are_one_session_and_a_transaction_undoes_all() {
    let fixture = start().await;
    fixture.rows("CREATE TABLE ledger (tbl VARCHAR, gen NUMBER)").await;
    let run = |text: &'static str, count: &'static str| {
        let body = json!({"statement": text, "database": "DB1", "schema": "PUBLIC", "parameters": {"MULTI_STATEMENT_COUNT": count}});
        let fixture = &fixture;
        async move { fixture.post("/api/v2/statements", &body).await }
    };
    let done = run("BEGIN; INSERT INTO ledger VALUES ('t', 1); UPDATE ledger SET gen = gen + 1; COMMIT", "0")
        .await
        .ok();
    let handles = done["statementHandles"].as_array().expect("handles").clone();
    assert_eq!(handles.len(), 4);
    let path = format!("/api/v2/statements/{}", handles[2].as_str().unwrap_or_default());
    assert_eq!(fixture.get(&path).await.ok()["data"], json!([["1", "0"]]));
    let failed = run("BEGIN; UPDATE ledger SET gen = 99; SELECT nosuch; COMMIT", "4").await;
    assert_eq!(failed.code(), (422, "000904"));
    check(&fixture, "SELECT gen FROM ledger", json!([["2"]])).await;
    assert_eq!(run("SELECT 1; SELECT 2", "3").await.code(), (422, "000008"));
    assert_eq!(run("SELECT 1; SELECT 2", "1").await.code(), (422, "000008"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_of_a_request_gives_the_first_answer_even_after_a_restart() {
    let mut fixture = start().await;
    fixture.rows("CREATE TABLE t (id NUMBER)").await;
    let body = json!({"statement": "INSERT INTO t VALUES (1), (2)", "database": "DB1", "schema": "PUBLIC"});
    let path = "/api/v2/statements?requestId=0b5a1c34-7a0f-4c55-9f5e-3f3f5a1d2c3b";
    let first = fixture.post(path, &body).await.ok();
    let again = fixture.post(&format!("{path}&retry=true"), &body).await.ok();
    assert_eq!((&again["data"], &again["statementHandle"]), (&json!([["2"]]), &first["statementHandle"]));
    fixture.crash_and_restart().await;
    let again = fixture.post(&format!("{path}&retry=true"), &body).await.ok();
    assert_eq!((&again["data"], &again["statementHandle"]), (&json!([["2"]]), &first["statementHandle"]));
    check(&fixture, "SELECT COUNT(*) FROM t", json!([["2"]])).await;
    let failing =
        json!({"statement": "INSERT INTO nosuch VALUES (1)", "database": "DB1", "schema": "PUBLIC"});
    let path = "/api/v2/statements?requestId=1b5a1c34-7a0f-4c55-9f5e-3f3f5a1d2c3b&retry=true";
    assert_eq!(fixture.post(path, &failing).await.code(), (422, "002003"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bindings_carry_types_and_arrays() {
    let fixture = start().await;
    fixture
        .rows("CREATE TABLE t (id NUMBER(10,2), s VARCHAR, b BOOLEAN, d DATE, at TIMESTAMP_NTZ, x BINARY)")
        .await;
    let body = json!({
        "statement": "INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", "database": "DB1", "schema": "PUBLIC",
        "bindings": {
            "1": {"type": "FIXED", "value": "1.25"}, "2": {"type": "TEXT", "value": "o'\\x"}, "3": {"type": "BOOLEAN", "value": "true"},
            "4": {"type": "DATE", "value": "1767225600000"}, "5": {"type": "TIMESTAMP_NTZ", "value": "1767225600123456000"},
            "6": {"type": "BINARY", "value": "00ff"},
        },
    });
    fixture.post("/api/v2/statements", &body).await.ok();
    let expected = json!([["1.25", "o'\\x", "true", "20454", "1767225600.123456000", "00FF"]]);
    check(&fixture, "SELECT * FROM t", expected).await;
    let body = json!({
        "statement": "INSERT INTO t (id, s) VALUES (:1, :2)", "database": "DB1", "schema": "PUBLIC",
        "bindings": {"1": {"type": "FIXED", "value": ["2", "3"]}, "2": {"type": "TEXT", "value": ["b", null]}},
    });
    assert_eq!(fixture.post("/api/v2/statements", &body).await.ok()["data"], json!([["2"]]));
    check(&fixture, "SELECT id, s FROM t WHERE id > 2 ORDER BY id", json!([["3.00", null]])).await;
    let body = json!({"statement": "SELECT ?", "bindings": {"1": {"type": "FIXED", "value": "1; DROP"}}});
    assert_eq!(fixture.post("/api/v2/statements", &body).await.code(), (422, "002040"));
}

#[tokio::test(flavor = "multi_thread")]
async fn long_statements_are_answered_202_polled_cancelled_and_timed_out() {
    let fixture = start().await;
    let slow =
        "SELECT COUNT(*) FROM TABLE(GENERATOR(ROWCOUNT => 50000)) a, TABLE(GENERATOR(ROWCOUNT => 50000)) b";
    let body = json!({"statement": slow});
    let accepted = fixture.post("/api/v2/statements?async=true", &body).await;
    assert_eq!(accepted.code(), (202, "333334"));
    let handle = accepted.body["statementHandle"].as_str().expect("a handle").to_owned();
    let path = format!("/api/v2/statements/{handle}");
    assert_eq!(fixture.get(&path).await.status, 202);
    fixture.post(&format!("{path}/cancel"), &json!({})).await.ok();
    let deadline = std::time::Instant::now() + crate::harness::PATIENCE;
    loop {
        let reply = fixture.get(&path).await;
        if reply.status != 202 {
            assert_eq!(reply.code(), (408, "000604"));
            break;
        }
        assert!(std::time::Instant::now() < deadline, "the cancelled statement goes on");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let timed_out = fixture.post("/api/v2/statements", &json!({"statement": slow, "timeout": 1})).await;
    assert_eq!(timed_out.code(), (408, "000630"));
    assert_eq!(fixture.get("/api/v2/statements/0b5a1c34-7a0f-4c55-9f5e-3f3f5a1d2c3b").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_results_come_in_partitions() {
    let fixture = start().await;
    let reply = fixture.sql("SELECT 'row' FROM TABLE(GENERATOR(ROWCOUNT => 25000))").await.ok();
    let meta = &reply["resultSetMetaData"];
    assert_eq!(
        (meta["numRows"].as_u64(), meta["partitionInfo"].as_array().map(Vec::len)),
        (Some(25_000), Some(3))
    );
    assert_eq!(reply["data"].as_array().map(Vec::len), Some(10_000));
    let path =
        format!("/api/v2/statements/{}?partition=2", reply["statementHandle"].as_str().unwrap_or_default());
    assert_eq!(fixture.get(&path).await.ok()["data"].as_array().map(Vec::len), Some(5_000));
    assert_eq!(fixture.get(&path.replace("=2", "=3")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions() {
    let fixture = start().await;
    for statement in [
        "CREATE DATABASE flights",
        "CREATE SCHEMA flights.raw",
        "CREATE ROLE IF NOT EXISTS kafka_connector_role",
        "CREATE USER kafka_connector_user DEFAULT_ROLE = kafka_connector_role",
        "GRANT ROLE kafka_connector_role TO USER kafka_connector_user",
        "GRANT USAGE ON DATABASE flights TO ROLE kafka_connector_role",
        "GRANT CREATE TABLE, CREATE STAGE, CREATE PIPE ON SCHEMA flights.public TO ROLE kafka_connector_role",
        "GRANT USAGE, OPERATE ON WAREHOUSE compute_wh TO ROLE kafka_connector_role",
        "CREATE TABLE flights.public.transactions (transaction_id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, amount DECIMAL(10,2), status VARCHAR(20), created_at TIMESTAMP_NTZ, updated_at TIMESTAMP_NTZ, cdc_operation VARCHAR(10), cdc_timestamp TIMESTAMP_NTZ DEFAULT CURRENT_TIMESTAMP(), source_db VARCHAR(50) DEFAULT 'postgres')",
        "CREATE OR REPLACE VIEW flights.public.transaction_analytics AS SELECT DATE(created_at) AS day, status, COUNT(*) AS transaction_count, SUM(amount) AS total_amount FROM flights.public.transactions WHERE cdc_operation != 'DELETE' GROUP BY DATE(created_at), status",
        "CREATE STREAM IF NOT EXISTS s ON TABLE flights.public.transactions APPEND_ONLY = TRUE",
        "CREATE TASK k WAREHOUSE = w SCHEDULE = '1 MINUTE' AS MERGE INTO a USING b ON a.id = b.id WHEN MATCHED THEN DELETE",
        "ALTER TASK k RESUME",
        "ALTER TABLE flights.public.transactions ADD COLUMN IF NOT EXISTS x NUMBER, y VARIANT",
        "ALTER TABLE flights.public.transactions ALTER COLUMN status SET DATA TYPE VARCHAR(40)",
        "ALTER TABLE flights.public.transactions SET ENABLE_SCHEMA_EVOLUTION = TRUE",
        "ALTER TABLE flights.public.transactions RENAME COLUMN y TO z",
        "CREATE TABLE copy AS SELECT transaction_id, amount FROM flights.public.transactions",
        "CREATE TABLE twin LIKE flights.public.transactions",
        "CREATE DYNAMIC TABLE dyn TARGET_LAG = '1 minute' WAREHOUSE = w AS SELECT * FROM copy",
    ] {
        let reply = fixture.sql(statement).await;
        assert_eq!(reply.status, 200, "{statement}\n{}", reply.body);
    }
    fixture.rows("INSERT INTO flights.public.transactions (transaction_id, user_id, amount, created_at) VALUES (1, 7, 9.5, '2026-01-02 03:04:05')").await;
    check(
        &fixture,
        "SELECT source_db, cdc_timestamp IS NOT NULL FROM flights.public.transactions",
        json!([["postgres", "true"]]),
    )
    .await;
    check(&fixture, "SELECT data_type, character_maximum_length, numeric_scale FROM flights.information_schema.columns WHERE table_name = 'TRANSACTIONS' AND column_name IN ('STATUS', 'AMOUNT') ORDER BY column_name", json!([["NUMBER", null, "2"], ["TEXT", "40", null]])).await;
    let described = fixture.rows("DESCRIBE TABLE flights.public.transactions").await;
    let head: Vec<_> = described[0].as_array().into_iter().flatten().take(6).cloned().collect();
    assert_eq!(json!(head), json!(["TRANSACTION_ID", "NUMBER(38,0)", "COLUMN", "N", null, "Y"]));
    let shown = fixture.rows("SHOW TABLES LIKE 'trans%' IN SCHEMA flights.public").await;
    assert_eq!((shown.as_array().map(Vec::len), &shown[0][1]), (Some(1), &json!("TRANSACTIONS")));
    assert_eq!(fixture.rows("SHOW TASKS").await[0][1], "K");
    fails(&fixture, "CREATE TABLE copy (id NUMBER)", "002002", "42710").await;
    fails(&fixture, "DESCRIBE TABLE nosuch", "002003", "42S02").await;
    fails(&fixture, "DROP TABLE nosuch", "002003", "42S02").await;
    fails(&fixture, "ALTER TABLE copy ALTER COLUMN amount SET DATA TYPE VARCHAR", "002108", "22000").await;
    fails(
        &fixture,
        "ALTER TABLE flights.public.transactions ADD COLUMN n NUMBER NOT NULL",
        "002055",
        "42601",
    )
    .await;
    fails(&fixture, "CREATE TABLE g (p GEOGRAPHY)", "000002", "0A000").await;
    fails(&fixture, &format!("CREATE TABLE {} (id NUMBER)", "x".repeat(64)), "000002", "0A000").await;
    fixture.rows("DROP DATABASE flights").await;
    fails(&fixture, "SELECT 1 FROM flights.public.transactions", "002003", "42S02").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn registered_keys_are_verified_and_tokens_expire() {
    let fixture = start().await;
    let call = |token: &'static str, kind: &'static str| {
        let request = fixture
            .http
            .get(fixture.url("/v2/streaming/hostname"))
            .header("Authorization", format!("Bearer {token}"))
            .header("X-Snowflake-Authorization-Token-Type", kind);
        async move { request.send().await.expect("a reply").status().as_u16() }
    };
    assert_eq!(call("x.y.z", "KEYPAIR_JWT").await, 401);
    assert_eq!(call("x", "OAUTH").await, 401);
    assert_eq!(call("x", "PASSWORD").await, 401);
    let refused = fixture.post("/_ctl/keys", &json!({"user": "U", "public_keys": ["AAAA"]})).await;
    assert_eq!(refused.code(), (400, "390200"));
}
