"""Opening: URLs, first opens, and files that cannot be a journal."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from durable_core.contracts import BackendSettings, Durability
from durable_core.errors import ConfigError, SchemaTooNew, TransientStoreError
from durable_core.failpoints import Failpoints
from durable_sqlite import LocalBackend, _migrate
from durable_sqlite._migrate import open_file
from durable_sqlite._url import parse_url

if TYPE_CHECKING:
    from conftest import Opener

    from durable_core.conformance.rows import Rows


def _snapshot(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "orders.db",
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite://orders.db",
        "sqlite:///folder/",
        "sqlite:///orders.db?mode=ro",
        "sqlite:///orders.db#x",
        "sqlite:///or\0ders.db",
        "SQLITE:///orders.db",
        "postgres://user:hunter2@host/db",
    ],
)
async def test_other_urls_show_the_legal_forms(opener: Opener, url: str) -> None:
    with pytest.raises(ConfigError, match=r"sqlite:////absolute.db or sqlite://:memory:") as caught:
        await opener(url or "x")
    assert "hunter2" not in str(caught.value)


async def test_relative_paths_start_at_the_working_directory(
    opener: Opener,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(opener.folder)
    backend = await opener("sqlite:///journal.db")
    assert opener.path.exists()
    assert backend.address == f"sqlite:///{opener.path}"
    assert parse_url(backend.address).path == str(opener.path)


async def test_memory_is_one_journal_for_each_backend(opener: Opener, rows: Rows) -> None:
    one, two = await opener("sqlite://:memory:"), await opener("sqlite://:memory:")
    await one.journal.append(rows.start(1))
    assert await two.load(rows.execution_id(1)) is None
    assert one.address == "sqlite://:memory:"


async def test_odd_names_are_taken_as_they_are(opener: Opener, rows: Rows) -> None:
    name = "ein buch %41 'n' ü.db"
    backend = await opener(f"sqlite:///{opener.folder}/{name}")
    await backend.journal.append(rows.start(1))
    await backend.close()
    again = await opener(f"sqlite:///{opener.folder}/{name}")
    assert await again.load(rows.execution_id(1)) == rows.execution(1)
    assert (opener.folder / name).exists()


async def test_ec_28_a_symlinked_path_is_the_same_journal(opener: Opener, rows: Rows) -> None:
    first = await opener()
    await first.journal.append(rows.start(1))
    await first.hold_owner_lock("first")
    (opener.folder / "elsewhere").mkdir()
    link = opener.folder / "elsewhere" / "link.db"
    link.symlink_to(opener.path)
    second = await opener(f"sqlite:///{link}")
    assert second.address == first.address
    assert await second.load(rows.execution_id(1)) == rows.execution(1)
    assert await second.owner_alive("first")
    assert [file.name for file in link.parent.iterdir()] == ["link.db"]


async def test_a_journal_that_must_exist_is_not_made(opener: Opener, rows: Rows) -> None:
    with pytest.raises(ConfigError, match="there is no journal"):
        await opener(must_exist=True)
    with pytest.raises(ConfigError, match="there is no journal"):
        await opener("sqlite://:memory:", must_exist=True)
    assert not list(opener.folder.iterdir())
    opener.path.touch()
    with pytest.raises(ConfigError, match="the file is empty"):
        await opener(must_exist=True)
    with closing(sqlite3.connect(opener.path)) as empty:
        empty.execute("PRAGMA user_version = 3")
    before = _snapshot(opener.folder)
    with pytest.raises(ConfigError, match="there is no journal"):
        await opener(must_exist=True)
    assert _snapshot(opener.folder) == before
    await (await opener()).journal.append(rows.start(1))
    assert await (await opener(must_exist=True)).load(rows.execution_id(1)) is not None


async def test_an_empty_file_becomes_a_journal(opener: Opener) -> None:
    opener.path.touch()
    await (await opener()).probe()


async def test_a_missing_folder_is_named(opener: Opener) -> None:
    with pytest.raises(ConfigError, match=r"folder .*nowhere does not exist; create it"):
        await opener(f"sqlite:///{opener.folder}/nowhere/j.db")
    assert not list(opener.folder.iterdir())


async def test_a_path_below_a_file_is_refused(opener: Opener) -> None:
    opener.path.touch()
    with pytest.raises(ConfigError, match="does not exist"):
        await opener(f"sqlite:///{opener.path}/j.db")


async def test_a_folder_and_a_device_are_refused(opener: Opener) -> None:
    for path in (opener.folder, Path(os.devnull)):
        with pytest.raises(ConfigError, match="not a file of SQLite"):
            await opener(f"sqlite:///{path}")
    assert not list(opener.folder.iterdir())


async def test_a_place_where_no_file_can_be_made_is_refused(opener: Opener) -> None:
    with pytest.raises(ConfigError, match=r"cannot use sqlite:////proc/durable.db") as caught:
        await opener("sqlite:////proc/durable.db")
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("size", [1, 99, 512, 100_000])
async def test_a_file_that_is_not_sqlite_is_left_alone(opener: Opener, size: int) -> None:
    opener.path.write_bytes(b"x" * size)
    before = _snapshot(opener.folder)
    with pytest.raises(ConfigError, match=r"cannot use .* SQLite"):
        await opener()
    assert _snapshot(opener.folder) == before


@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize("name", ["orders", "durable_orders", "sqlitex"])
async def test_another_applications_database_is_left_alone(
    opener: Opener,
    mode: str,
    name: str,
) -> None:
    with closing(sqlite3.connect(opener.path)) as foreign:
        foreign.execute(f"PRAGMA journal_mode = {mode}")
        foreign.execute(f"CREATE TABLE {name} (a)")
        foreign.commit()
    before = _snapshot(opener.folder)
    with pytest.raises(ConfigError, match="is not a journal of ours") as caught:
        await opener()
    assert "wants a database of its own" in str(caught.value)
    assert _snapshot(opener.folder) == before


async def test_another_applications_crashed_wal_is_left_alone(opener: Opener) -> None:
    """What a crash leaves: a -wal with content and nobody who has it open."""
    live = opener.folder / "live.db"
    with closing(sqlite3.connect(live)) as foreign:
        foreign.execute("PRAGMA journal_mode = wal")
        foreign.execute("CREATE TABLE orders (a)")
        foreign.commit()
        opener.path.write_bytes(live.read_bytes())
        wal = opener.folder / "journal.db-wal"
        wal.write_bytes((opener.folder / "live.db-wal").read_bytes())
    before = opener.path.read_bytes(), wal.read_bytes()
    with pytest.raises(ConfigError, match="is not a journal of ours"):
        await opener()
    assert (opener.path.read_bytes(), wal.read_bytes()) == before


async def test_opening_again_keeps_the_locks_of_this_process(
    opener: Opener,
    rows: Rows,
    child: Any,
) -> None:
    """A descriptor of the file that is closed anywhere in the process would drop them all."""
    backend = await opener()
    await backend.journal.append(rows.start(1))
    await backend._writer.call(lambda connection: connection.execute("BEGIN IMMEDIATE"))
    await opener()
    process = child("write_lock", opener.url)
    assert await asyncio.to_thread(process.communicate) == ("TransientStoreError\n", "")
    await backend._writer.call(lambda connection: connection.execute("ROLLBACK"))


async def test_an_empty_database_with_another_identity_is_refused(opener: Opener) -> None:
    with closing(sqlite3.connect(opener.path)) as foreign:
        foreign.execute("PRAGMA application_id = 77")
    before = _snapshot(opener.folder)
    with pytest.raises(ConfigError, match="is not a journal of ours"):
        await opener()
    assert _snapshot(opener.folder) == before


async def test_a_table_of_our_name_alone_is_no_journal(opener: Opener) -> None:
    with closing(sqlite3.connect(opener.path)) as foreign:
        foreign.execute("CREATE TABLE durable_schema (version)")
        foreign.execute("INSERT INTO durable_schema VALUES (1)")
        foreign.commit()
    before = _snapshot(opener.folder)
    with pytest.raises(ConfigError, match="is not a journal of ours"):
        await opener()
    assert _snapshot(opener.folder) == before


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ("DELETE FROM durable_schema", "durable_schema holds no version"),
        (
            """
            DROP TABLE durable_schema;
            CREATE TABLE durable_schema (version, applied_at);
            INSERT INTO durable_schema VALUES ('abc', 1);
            """,
            "durable_schema holds no version",
        ),
        ("DROP TABLE durable_schema", "durable_schema is missing"),
        ("DROP TABLE durable_inbox; DROP TABLE durable_journal", "durable_inbox, durable_journal"),
    ],
)
async def test_a_journal_of_which_a_part_is_missing_is_refused_and_left_alone(
    opener: Opener,
    damage: str,
    what: str,
) -> None:
    await (await opener()).close()
    with closing(sqlite3.connect(opener.path)) as broken:
        broken.executescript(damage)
    before = _snapshot(opener.folder)
    with pytest.raises(ConfigError, match=f"no whole journal: .*{what}; restore it from a backup"):
        await opener()
    assert _snapshot(opener.folder) == before


async def test_a_journal_restored_from_sql_text_is_ours(opener: Opener, rows: Rows) -> None:
    """Such a copy has lost the identity in its header."""
    backend = await opener()
    await backend.journal.append(rows.start(1))
    await backend.close()
    with closing(sqlite3.connect(opener.path)) as source:
        text = "\n".join(source.iterdump())
    with closing(sqlite3.connect(opener.folder / "copy.db")) as copy:
        copy.executescript(text)
    again = await opener(f"sqlite:///{opener.folder}/copy.db")
    assert await again.load(rows.execution_id(1)) == rows.execution(1)
    assert list((await again.journal.append(rows.advance(2, 1))).seqs) == [2]


async def test_a_newer_schema_is_refused_and_left_alone(opener: Opener) -> None:
    await (await opener()).close()
    with closing(sqlite3.connect(opener.path)) as newer:
        newer.execute("INSERT INTO durable_schema VALUES (4, 1)")
        newer.commit()
    before = _snapshot(opener.folder)
    with pytest.raises(SchemaTooNew, match=r"version 4 .* knows 3; upgrade durable-sqlite"):
        await opener()
    assert _snapshot(opener.folder) == before


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that a user without privileges can reach."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("file_mode", "folder_mode"),
    [(0o444, 0o777), (0o000, 0o777), (0o666, 0o555), (None, 0o555), (0o666, 0o777)],
)
async def test_a_read_only_file_or_folder_is_refused(
    public_folder: Path,
    opener: Opener,
    child: Any,
    file_mode: int | None,
    folder_mode: int,
) -> None:
    path = public_folder / "journal.db"
    if file_mode is not None:
        await (await opener(f"sqlite:///{path}")).close()
        path.chmod(file_mode)
    public_folder.chmod(folder_mode)
    before = _snapshot(public_folder)
    process = child("open_unprivileged", f"sqlite:///{path}")
    out, err = await asyncio.to_thread(process.communicate)
    assert not err
    if file_mode == 0o666 and folder_mode == 0o777:
        assert out == "opened\n"
        return
    assert out.startswith("ConfigError: cannot use ")
    assert _snapshot(public_folder) == before


async def test_ec_30_another_open_migrates_first(
    opener: Opener,
) -> None:
    """Between the look at the version and the lock under which it is looked at again."""
    settings = BackendSettings(Durability.FULL, 5000)
    points = Failpoints()

    def overtake(name: str) -> None:
        assert name == "backend.migrate.before"
        open_file(str(opener.path), settings, Failpoints()).close()

    points.reach = overtake
    open_file(str(opener.path), settings, points).close()
    await (await opener()).probe()


async def test_an_open_that_is_cancelled_leaves_nothing_open(
    opener: Opener,
    recwarn: pytest.WarningsRecorder,
) -> None:
    opening = asyncio.ensure_future(opener())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert not list(opener.folder.glob("journal.db-*"))
    assert not recwarn.list


async def test_an_open_waits_for_a_lock_and_gives_up_in_time(
    opener: Opener,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("durable_sqlite._migrate._OPEN_WAIT_S", 0.05)
    with closing(sqlite3.connect(opener.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TransientStoreError):
            await opener()
        other.execute("COMMIT")
    assert isinstance(await opener(), LocalBackend)


async def test_ec_30_a_journal_that_is_migrated_while_it_is_looked_at(
    opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at its tables and that at its version: it is whole all the same."""
    await (await opener()).close()
    with closing(sqlite3.connect(opener.path)) as connection:
        connection.executescript(
            "DROP TABLE durable_promises; DROP TABLE durable_timers; "
            "CREATE INDEX durable_journal_idem_key ON durable_journal (execution_id, idem_key); "
            "DELETE FROM durable_schema WHERE version > 1"
        )
    looked: list[frozenset[str]] = []

    def beside_a_migration(connection: sqlite3.Connection) -> frozenset[str]:
        tables = real(connection)
        looked.append(tables)
        if len(looked) == 1:
            settings = BackendSettings(Durability.FULL, 5000)
            open_file(str(opener.path), settings, Failpoints()).close()
        return tables

    real = _migrate._tables
    monkeypatch.setattr(_migrate, "_tables", beside_a_migration)
    await (await opener()).probe()
    assert "durable_promises" not in looked[0]
