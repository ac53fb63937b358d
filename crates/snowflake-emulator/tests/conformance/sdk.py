"""Drives Snowflake's own streaming client against the emulator; one phase a run, each asserts what it sees."""

import sys
import time

from snowflake.ingest.streaming import StreamingIngestClient

PATIENCE_S = 30


def connect(name, scheme, port, key_file):
    with open(key_file) as file:
        key = file.read()
    properties = dict(account="testacct", user="U1", role="R1", private_key=key, scheme=scheme, host="localhost", port=port)
    return StreamingIngestClient(name, "DB1", "PUBLIC", "T1-STREAMING", properties=properties)


def wait_for_token(channel, token):
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = channel.get_latest_committed_offset_token()
        if found == token:
            return
        assert time.monotonic() < deadline, f"token {token} was not committed, it is {found}"
        time.sleep(0.1)


def wait_for_status(channel, accept, what):
    deadline = time.monotonic() + PATIENCE_S
    while True:
        status = channel.get_channel_status()
        if accept(status):
            return status
        assert time.monotonic() < deadline, f"{what}: {status}"
        time.sleep(0.2)


def first(connection):
    """Open, append one row and a batch, commit."""
    client = connect("first", *connection)
    channel, status = client.open_channel("main")
    assert status.latest_committed_offset_token is None, status.latest_committed_offset_token
    channel.append_row({"ID": 1, "V": {"a": [1, 2]}}, "0")
    channel.append_rows([{"ID": 2}, {"ID": 3}], "1", "2")
    channel.initiate_flush()
    channel.wait_for_flush(PATIENCE_S)
    wait_for_token(channel, "2")
    client.close()


def after_restart(connection):
    """The token is still there after the emulator died and came back; the channel goes on after it."""
    client = connect("after-restart", *connection)
    channel, status = client.open_channel("main")
    assert status.latest_committed_offset_token == "2", status.latest_committed_offset_token
    channel.append_row({"ID": 4}, "3")
    channel.initiate_flush()
    wait_for_token(channel, "3")
    client.close()


def stale(connection):
    """A second client opens the channel: the first one's next append is refused."""
    older = connect("older", *connection)
    channel, _ = older.open_channel("main")
    channel.append_row({"ID": 5}, "4")
    channel.initiate_flush()
    wait_for_token(channel, "4")
    newer = connect("newer", *connection)
    taken, status = newer.open_channel("main")
    assert status.latest_committed_offset_token == "4", status.latest_committed_offset_token
    error = None
    deadline = time.monotonic() + PATIENCE_S
    while error is None and time.monotonic() < deadline:
        try:
            channel.append_row({"ID": 99}, "5")
            channel.initiate_flush()
            channel.wait_for_flush(2)
        except Exception as caught:
            error = f"{type(caught).__name__}: {caught}"
            if "Timeout" in error:
                error = None
        time.sleep(0.2)
    assert error is not None, "the older writer was not fenced"
    assert "invalid" in error.lower() or "STALE" in error, error
    taken.append_row({"ID": 6}, "5")
    taken.initiate_flush()
    wait_for_token(taken, "5")
    older.close()
    newer.close()


def rejected(connection):
    """A row that does not convert raises the counter; the token moves on over it."""
    client = connect("rejected", *connection)
    channel, _ = client.open_channel("bad-rows")
    channel.append_rows([{"ID": 7}, {"ID": "not a number"}, {"V": 1}], "0", "2")
    channel.initiate_flush()
    wait_for_token(channel, "2")
    status = wait_for_status(channel, lambda status: status.rows_error_count == 2, "two rows are bad")
    assert status.rows_inserted_count == 1, status.rows_inserted_count
    assert "column ID" in (status.last_error_message or ""), status.last_error_message
    client.close()


def file_mode(connection):
    """Over 1 MiB a flush goes through the stage: encrypted, compressed, registered."""
    client = connect("file-mode", *connection)
    channel, _ = client.open_channel("files")
    count = 20000
    channel.append_rows([{"ID": n, "S": f"{n:0200d}"} for n in range(count)], "0", str(count - 1))
    channel.initiate_flush()
    channel.wait_for_flush(PATIENCE_S)
    wait_for_token(channel, str(count - 1))
    status = wait_for_status(channel, lambda status: status.rows_inserted_count == count, "all rows are in")
    assert status.rows_error_count == 0, status.last_error_message
    client.close()


def wrong_key(connection):
    """A signature that the registered key does not verify is refused."""
    try:
        client = connect("wrong-key", *connection)
        client.open_channel("main")
    except Exception as error:
        text = str(error)
        assert "401" in text or "auth" in text.lower() or "JWT" in text, text
        return
    raise AssertionError("the client was let in with a key that is not registered")


PHASES = {
    "first": first,
    "after-restart": after_restart,
    "stale": stale,
    "rejected": rejected,
    "file-mode": file_mode,
    "wrong-key": wrong_key,
}

if __name__ == "__main__":
    PHASES[sys.argv[1]](tuple(sys.argv[2:5]))
