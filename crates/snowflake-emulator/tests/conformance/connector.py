"""Drives Snowflake's Python connector against the emulator; asserts what it sees."""

import datetime
import decimal
import sys

import snowflake.connector

HOST, PORT = "127.0.0.1", int(sys.argv[1])


def connect(**more):
    return snowflake.connector.connect(
        account="testacct", user="u1", password="any", host=HOST, port=PORT, protocol="http", database="db1", schema="public",
        **more,
    )


def main():
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE OR REPLACE TABLE c (id NUMBER, n NUMBER(10,2), v VARIANT, at TIMESTAMP_NTZ, tz TIMESTAMP_TZ, d DATE, b BOOLEAN, x BINARY, f FLOAT)")
        cursor.execute(
            "INSERT INTO c SELECT 1, 1.5, PARSE_JSON('{\"a\":1}'), '2026-01-02 03:04:05.678', '2026-01-02 03:04:05+00:00', '2026-01-02', TRUE, TO_BINARY('00ff', 'HEX'), 2.5"
        )
        assert cursor.rowcount == 1, cursor.rowcount
        row = cursor.execute("SELECT * FROM c").fetchone()
        assert row[0:2] == (1, decimal.Decimal("1.50")), row
        assert row[2].replace("\n", "").replace(" ", "") == '{"a":1}', row
        assert row[3] == datetime.datetime(2026, 1, 2, 3, 4, 5, 678000), row
        assert row[4] == datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc), row
        assert row[5:7] == (datetime.date(2026, 1, 2), True), row
        assert bytes(row[7]) == b"\x00\xff" and row[8] == 2.5, row
        cursor.execute("SELECT %s, %s", ("it's", 7))
        assert cursor.fetchone() == ("it's", 7)
        try:
            cursor.execute("SELECT nosuch FROM c")
            raise AssertionError("a wrong column was accepted")
        except snowflake.connector.errors.ProgrammingError as error:
            assert error.errno == 904 and error.sqlstate == "42000", (error.errno, error.sqlstate)
        cursor.execute("SELECT COUNT(*) FROM TABLE(GENERATOR(ROWCOUNT => 30000))")
        assert cursor.fetchone() == (30000,)
        assert len(cursor.execute("SELECT 1 FROM TABLE(GENERATOR(ROWCOUNT => 30000))").fetchall()) == 30000
    with connect(autocommit=False) as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM c")
        connection.rollback()
        assert cursor.execute("SELECT COUNT(*) FROM c").fetchone() == (1,)
        cursor.execute("UPDATE c SET n = 2")
        connection.commit()
    # more sessions, one after the other, than may be open at a time
    for _ in range(12):
        with connect() as connection, connection.cursor() as cursor:
            assert cursor.execute("SELECT n FROM c").fetchone() == (decimal.Decimal("2.00"),)


main()
