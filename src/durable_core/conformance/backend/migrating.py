"""Opening: first opens at once (EC-30), opens that must find a journal, and foreign versions."""

from __future__ import annotations

import asyncio

import pytest
from attrs import evolve

from durable_core.conformance.harness import BackendContract, BackendHarness
from durable_core.conformance.processes import started
from durable_core.conformance.rows import Rows, written
from durable_core.contracts import ExecutionBackend, InboxRow, PromiseRow, TimerRow
from durable_core.errors import ConfigError, JournalUnavailable, SchemaTooNew
from durable_core.model.entries import JournalRow
from durable_core.model.execution import ExecutionRow

__all__ = ["OpenContract"]

TABLES = {
    "durable_schema": ("version", "applied_at"),
    "durable_executions": ExecutionRow._fields,
    "durable_execution_keys": ("workflow", "execution_key", "execution_id"),
    "durable_journal": ("seq", *JournalRow._fields),
    "durable_inbox": InboxRow._fields,
    "durable_keys": ("key_id", '"check"'),
    "durable_promises": PromiseRow._fields,
    "durable_timers": TimerRow._fields,
}
VERSIONS = [(1,), (2,), (3,)]
NEWEST = len(VERSIONS)
SELECT_VERSIONS = "SELECT version FROM durable_schema ORDER BY version"
BACK_TO_1 = (
    "DROP TABLE durable_promises",
    "DROP TABLE durable_timers",
    "CREATE INDEX durable_journal_idem_key ON durable_journal (execution_id, idem_key)",
    "DELETE FROM durable_schema WHERE version > 1",
)
"""What makes a journal one of version 1, as an engine of that version left it."""


class OpenContract(BackendContract):
    """An open either gives a usable journal or changes nothing."""

    async def test_it_is_the_backend_of_its_name(
        self, harness: BackendHarness, backend: ExecutionBackend
    ) -> None:
        assert issubclass(harness.backend, ExecutionBackend)
        assert type(backend) is harness.backend
        assert harness.url.partition(":")[0] == backend.name
        assert backend.address.partition(":")[0] == backend.name

    async def test_the_tables_are_those_of_the_journal_format(
        self, harness: BackendHarness
    ) -> None:
        await harness.open()
        for table, columns in TABLES.items():
            assert await harness.query(f"SELECT {', '.join(columns)} FROM {table}") is not None
        assert await harness.query(SELECT_VERSIONS) == VERSIONS
        for (applied_at,) in await harness.query("SELECT applied_at FROM durable_schema"):
            assert isinstance(applied_at, int)
            assert applied_at > 1_600_000_000_000

    async def test_what_was_written_is_there_after_opening_again(
        self, harness: BackendHarness, rows: Rows
    ) -> None:
        first = await harness.open()
        await first.journal.append(rows.start(1, execution_key="k"))
        largest = await first.max_seq()
        await first.close()
        again = await harness.open()
        assert await again.list_executions() == [rows.execution(1, execution_key="k")]
        assert await again.max_seq() == largest
        assert await again.find("checkout", "k") == rows.execution_id(1)

    async def test_a_journal_that_must_exist_is_not_made(
        self, harness: BackendHarness, rows: Rows
    ) -> None:
        for _ in range(2):
            with pytest.raises(ConfigError, match="there is no journal"):
                await harness.open(must_exist=True)
        first = await harness.open()
        await first.journal.append(rows.start(1))
        second = await harness.open(must_exist=True)
        assert await second.load(rows.execution_id(1)) == rows.execution(1)

    async def test_ec_30_many_first_opens_at_once(self, harness: BackendHarness) -> None:
        backends = await asyncio.gather(*(harness.open() for _ in range(8)))
        for backend in backends:
            await backend.probe()
        assert await harness.query(SELECT_VERSIONS) == VERSIONS

    async def test_ec_30_first_opens_of_many_processes(self, harness: BackendHarness) -> None:
        """Three processes, each with three opens at once, begin at one moment."""
        async with (
            started(harness, "open") as one,
            started(harness, "open") as two,
            started(harness, "open") as three,
        ):
            children = (one, two, three)
            for child in children:
                assert await child.line() == "ready"
            for child in children:
                child.go()
            assert [await child.end() for child in children] == [["done"]] * 3
        assert await harness.query(SELECT_VERSIONS) == VERSIONS

    @pytest.mark.parametrize("failpoint", ["backend.migrate.before", "backend.migrate.inside"])
    async def test_ec_30_a_crash_while_migrating_leaves_nothing_half_made(
        self, harness: BackendHarness, failpoint: str
    ) -> None:
        async with started(harness, "write", failpoint=failpoint) as child:
            assert await child.end() == []
            assert child.killed
        with pytest.raises(ConfigError, match="there is no journal"):
            await harness.open(must_exist=True)
        backend = await harness.open()
        await backend.probe()
        assert await backend.list_executions() == []

    async def test_a_newer_schema_is_refused_and_left_alone(self, harness: BackendHarness) -> None:
        await (await harness.open()).close()
        await harness.tamper("INSERT INTO durable_schema VALUES ($1, 1)", NEWEST + 1)
        newer = rf"version {NEWEST + 1} .* knows {NEWEST}; upgrade durable-"
        with pytest.raises(SchemaTooNew, match=newer):
            await harness.open()
        assert await harness.query(SELECT_VERSIONS) == [*VERSIONS, (NEWEST + 1,)]

    async def test_a_journal_of_version_1_is_migrated_with_all_that_it_holds(
        self, harness: BackendHarness, rows: Rows
    ) -> None:
        first = await harness.open()
        await first.journal.append(rows.start(1, 2, 3))
        await first.journal.append(rows.advance(2, 1, 2))
        await first.post_inbox(rows.request(2))
        entries = await first.journal.read_execution(rows.execution_id(1))
        executions = await first.list_executions()
        await first.close()
        for statement in BACK_TO_1:
            await harness.tamper(statement)
        backend = await harness.open(must_exist=True)
        assert await harness.query(SELECT_VERSIONS) == VERSIONS
        assert await backend.list_executions() == executions
        assert await backend.journal.read_execution(rows.execution_id(1)) == entries
        assert await backend.read_inbox() == [rows.request(2)]
        arming = evolve(rows.advance(3, 1), timers=(rows.timer(1),), promises=(rows.promise(1, 7),))
        assert written(await backend.journal.append(arming)) == [True]
        assert await backend.timers_of(rows.execution_id(1)) == [rows.timer(1)]
        assert await backend.find_promise(rows.promise(1, 7).promise_id) == rows.promise(1, 7)

    @pytest.mark.parametrize("failpoint", ["backend.migrate.before", "backend.migrate.inside"])
    async def test_ec_30_a_crash_while_migrating_an_older_journal_leaves_that(
        self, harness: BackendHarness, rows: Rows, failpoint: str
    ) -> None:
        first = await harness.open()
        await first.journal.append(rows.start(1))
        await first.close()
        for statement in BACK_TO_1:
            await harness.tamper(statement)
        async with started(harness, "write", failpoint=failpoint) as child:
            assert await child.end() == []
            assert child.killed
        assert await harness.query(SELECT_VERSIONS) == [(1,)]
        backend = await harness.open()
        assert await harness.query(SELECT_VERSIONS) == VERSIONS
        assert await backend.list_executions() == [rows.execution(1)]
        assert await backend.timers_of(rows.execution_id(1)) == []

    async def test_an_older_journal_of_which_a_part_is_missing_is_refused_and_left_alone(
        self, harness: BackendHarness
    ) -> None:
        await (await harness.open()).close()
        for statement in (*BACK_TO_1, "DROP TABLE durable_inbox"):
            await harness.tamper(statement)
        with pytest.raises(ConfigError, match=r"no whole journal: it lacks durable_inbox;"):
            await harness.open()
        assert await harness.query(SELECT_VERSIONS) == [(1,)]

    @pytest.mark.parametrize(
        ("damage", "what"),
        [
            ("DELETE FROM durable_schema", "durable_schema holds no version"),
            ("DROP TABLE durable_schema", "durable_schema is missing"),
            ("DROP TABLE durable_inbox", "durable_inbox"),
            ("DROP TABLE durable_journal", "durable_journal"),
            ("DROP TABLE durable_keys", "durable_keys"),
            ("DROP TABLE durable_promises", "durable_promises"),
            ("DROP TABLE durable_timers", "durable_timers"),
        ],
    )
    async def test_a_journal_of_which_a_part_is_missing_is_refused(
        self, harness: BackendHarness, damage: str, what: str
    ) -> None:
        await (await harness.open()).close()
        await harness.tamper(damage)
        for must_exist in (False, True):
            with pytest.raises(ConfigError, match=f"no whole journal: .*{what}"):
                await harness.open(must_exist=must_exist)

    async def test_a_table_that_goes_while_the_journal_is_open_is_named_as_damage(
        self, harness: BackendHarness, backend: ExecutionBackend
    ) -> None:
        await harness.tamper("DROP TABLE durable_inbox")
        with pytest.raises(JournalUnavailable, match=r"no whole journal.* restore it"):
            await backend.read_inbox()

    async def test_another_applications_tables_are_left_alone(
        self, harness: BackendHarness
    ) -> None:
        await harness.tamper("CREATE TABLE orders (a integer)")
        await harness.tamper("INSERT INTO orders VALUES (7)")
        with pytest.raises(ConfigError, match="is not a journal of ours"):
            await harness.open()
        assert await harness.query("SELECT a FROM orders") == [(7,)]
        await harness.tamper("DROP TABLE orders")
        await (await harness.open()).probe()

    async def test_a_table_of_our_name_alone_is_no_journal(self, harness: BackendHarness) -> None:
        await harness.tamper("CREATE TABLE durable_schema (version integer)")
        await harness.tamper("INSERT INTO durable_schema VALUES (1)")
        with pytest.raises(ConfigError, match="is not a journal of ours"):
            await harness.open()
        assert await harness.query("SELECT version FROM durable_schema") == [(1,)]
