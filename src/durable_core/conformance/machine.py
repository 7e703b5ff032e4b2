"""Random operations on a backend and on the reference side by side: every answer must agree."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from durable_core.conformance.harness import BackendContract, BackendHarness
from durable_core.conformance.memory import MemoryBackend
from durable_core.conformance.operations import (
    KEYS,
    NUMBERS,
    PROMISES,
    WORKFLOWS,
    Advance,
    Lookups,
    Start,
    advances,
    batch_of,
    continued,
    lookups,
    mostly_all,
    numbers,
    owners,
    starts,
    statuses,
)
from durable_core.conformance.rows import Rows
from durable_core.conformance.sides import BothSides
from durable_core.contracts import (
    Claimable,
    EndedRow,
    ExecutionBackend,
    OwnerLoad,
)
from durable_core.model.execution import ANYONE, NOBODY, ExecutionRow

__all__ = ["StateMachineContract"]

ROWS = Rows()
SIDES = st.integers(0, 1)
SLOTS = st.sampled_from(("cancel", "settle:1", "Settle:1"))


def _changed(row: EndedRow, what: str | None) -> EndedRow:
    """As it would be if that had changed since."""
    match what:
        case "status":
            return row._replace(status="running")
        case "epoch":
            return row._replace(owner_epoch=row.owner_epoch + 1)
        case "time":
            return row._replace(finalized_at=row.finalized_at + 1)
        case _:
            return row


def _number(one: Start | Advance) -> int:
    return one.number


class ContractMachine(BothSides):
    """What is done on the two sides, and what is compared."""

    @initialize()
    def begin_with_some(self) -> None:
        """So that there is something to claim and to change from the first operation on."""
        self.commit(0, ROWS.start(1, 2, 3, 4))

    @rule(
        side=SIDES,
        begun=st.lists(starts, min_size=1, max_size=3, unique_by=_number),
        looked_up=lookups,
    )
    def start(self, side: int, begun: list[Start], looked_up: Lookups) -> None:
        """Starts, of which some exist, and some have a key that is taken."""
        self.commit(side, batch_of(begun, [], self.stored, looked_up))

    @rule(
        side=SIDES,
        advanced=st.lists(advances, min_size=1, max_size=3, unique_by=_number),
        looked_up=lookups,
    )
    def advance(self, side: int, advanced: list[Advance], looked_up: Lookups) -> None:
        """Changes, of which some are stale, and some entries are no good."""
        self.commit(side, batch_of([], advanced, self.stored, looked_up))

    @rule(
        side=SIDES,
        begun=st.lists(starts, min_size=1, max_size=2, unique_by=_number),
        advanced=st.lists(advances, min_size=1, max_size=3, unique_by=_number),
        looked_up=lookups,
    )
    def mix(
        self, side: int, begun: list[Start], advanced: list[Advance], looked_up: Lookups
    ) -> None:
        """Both in one batch, and the same batch again, as after an answer that was lost."""
        batch = batch_of(begun, advanced, self.stored, looked_up)
        self.commit(side, batch)
        self.commit(side, batch)

    @rule(
        side=SIDES,
        begun=st.lists(starts, max_size=1),
        advanced=st.lists(advances, min_size=1, max_size=3, unique_by=_number),
        heirs=st.lists(numbers, min_size=1, max_size=3, unique=True),
        looked_up=lookups,
        again=st.booleans(),
    )
    def succeed(
        self,
        side: int,
        begun: list[Start],
        advanced: list[Advance],
        heirs: list[int],
        looked_up: Lookups,
        again: bool,  # noqa: FBT001 - drawn
    ) -> None:
        """Executions that continue others, of which some exist, or whose change is stale."""
        batch = continued(batch_of(begun, advanced, self.stored, looked_up), heirs, self.stored)
        self.commit(side, batch)
        if again:
            self.commit(side, batch)

    @rule(side=SIDES, one=advances)
    def finalize(self, side: int, one: Advance) -> None:
        """One change and one entry."""
        row = self.stored.get(ROWS.execution_id(one.number))
        change = one.change(row)._replace(entry_count=(row.entry_count if row else 1) + 1)
        fields = {"entry_no": change.entry_count, **one.fault_for(row)}
        entry = ROWS.entry(one.number, 1, step_id="end")._replace(**fields)
        answers = self.answers(side, lambda backend: backend.journal.finalize(change, entry))
        (expected, answer), (found, real) = answers
        assert real == answer
        assert (found is None) == (expected is None)
        if expected is not None and found is not None:
            assert found > max(self.seqs.values(), default=0)
            self.seqs[expected] = found

    @rule(side=SIDES, number=numbers, owner=owners, stale=st.booleans())
    def claim(self, side: int, number: int, owner: str, stale: bool) -> None:  # noqa: FBT001 - drawn, and given by name
        """As it is stored, or as it was before an earlier claim."""
        row = self.stored.get(ROWS.execution_id(number)) or ROWS.execution(number)
        expected = row._replace(owner_epoch=row.owner_epoch - stale)
        now = self.now()
        self.both(side, lambda one: one.claim(expected, owner, now))

    @rule(
        side=SIDES,
        names=mostly_all("owner-1", "owner-2", ANYONE, NOBODY),
        workflows=mostly_all(*WORKFLOWS),
        key_ids=mostly_all(1, 2),
        passed=st.sampled_from(((), (1, 3), (2,), (1, 2, 3, 4))),
        limit=st.sampled_from((1, 2, 9, 0)),
    )
    def claim_waiting(
        self,
        side: int,
        names: tuple[str, ...],
        workflows: tuple[str, ...],
        key_ids: tuple[int, ...],
        passed: tuple[int, ...],
        limit: int,
    ) -> None:
        """Whatever fits, the oldest first."""
        ids = tuple(ROWS.execution_id(number) for number in passed)
        which = Claimable(names, workflows, key_ids, ids)
        now = self.now()
        self.both(side, lambda one: one.claim_waiting(which, "claimer", now, limit))

    @rule(side=SIDES, number=numbers, slot=SLOTS, payload=st.sampled_from((None, b"sealed")))
    def post(self, side: int, number: int, slot: str, payload: bytes | None) -> None:
        """A request, for an execution that is there or not."""
        row = ROWS.request(number, slot, payload=payload, created_at=self.now())
        self.both(side, lambda one: one.post_inbox(row))

    @rule(side=SIDES, number=numbers, slot=SLOTS)
    def remove(self, side: int, number: int, slot: str) -> None:
        """A request, filed or not."""
        self.both(side, lambda one: one.remove_inbox(ROWS.execution_id(number), slot))

    @rule(side=SIDES, key_id=st.integers(1, 3))
    def announce(self, side: int, key_id: int) -> None:
        """A key, always with the same bytes; what is written next carries its check."""
        for one in (self.model[side], self.real[side]):
            one.announce_key(key_id, b"check of %d" % key_id)

    @rule(side=SIDES, key_id=st.integers(0, 3), begun=starts, number=numbers)
    def announce_other_bytes(self, side: int, key_id: int, begun: Start, number: int) -> None:
        """A key id with other bytes: refused where it is known, and then the right one again."""
        if key_id and key_id not in self.database.tables.checks:
            return
        for one in (self.model[side], self.real[side]):
            one.announce_key(key_id, b"other bytes")
        self.commit(side, batch_of([begun], [], self.stored, Lookups([], [], [])))
        self.post(side, number, "settle:2", b"sealed")
        self.announce(side, 1)

    @rule(
        side=SIDES,
        number=numbers,
        first=st.integers(1, 3),
        length=st.integers(1, 3),
        stale=st.sampled_from((False, False, True)),
    )
    def fold(self, side: int, number: int, first: int, length: int, stale: bool) -> None:  # noqa: FBT001 - drawn, and given by name
        """Some entries, of which some are not there, by an owner that may be stale."""
        row = self.stored.get(ROWS.execution_id(number)) or ROWS.execution(number)
        stored = self.database.tables.entries_of(row.execution_id)[first - 1 :][:length]
        entries = stored or [ROWS.entry(number, first)]
        fence = {"owner_epoch": row.owner_epoch - stale, "status": "running"}
        fold = ROWS.fold(entries, checkpoint={"created_at": self.now()}, **fence)
        before = self.database.tables.last_seq
        self.both(side, lambda one: one.journal.fold(fold))
        if self.database.tables.last_seq > before:
            place = row.execution_id, entries[-1].entry_no
            ((seq,),) = [self.run(self.real[side].stored_seqs(place[0], place[1] - 1, 1))]
            self.seqs[self.database.tables.seqs[place]] = seq

    @rule(
        side=SIDES,
        after=st.integers(0, 4),
        limit=st.sampled_from((0, 1, 2, 9)),
        stale=st.sampled_from((None, None, None, "epoch", "time", "status")),
        back=st.booleans(),
    )
    def prune(self, side: int, after: int, limit: int, stale: str | None, back: bool) -> None:  # noqa: FBT001 - drawn, and given by name
        """A page of what has ended, of which the first one may have changed meanwhile."""
        behind = (None, *self.database.tables.ended())[: after + 1][-1]
        rows = list(
            self.both(side, lambda one: one.journal.ended(behind, limit, newest_first=back)) or ()
        )
        if rows:
            rows[0] = _changed(rows[0], stale)
        self.both(side, lambda one: one.journal.prune(rows))
        self.both(side, lambda one: one.journal.open_usage())
        if back:
            self.run(self.real[side].journal.reclaim())

    @rule(side=SIDES)
    def hold(self, side: int) -> None:
        """The lock of an owner of its own, until this connection is closed."""
        owner = f"holder-{side}"
        if owner not in self.held:
            self.held.add(owner)
            self.both(side, lambda one: one.hold_owner_lock(owner))

    @rule(side=SIDES, owner=st.sampled_from(("holder-0", "holder-1", "owner-1", ANYONE, NOBODY)))
    def alive(self, side: int, owner: str) -> None:
        """Who lives."""
        self.both(side, lambda one: one.owner_alive(owner))

    @rule(side=SIDES)
    def reopen(self, side: int) -> None:
        """Close one connection, and open it anew."""
        for backends in (self.model, self.real):
            self.run(backends[side].close())
        self.model[side] = MemoryBackend(self.database)
        self.real[side] = self.run(self.harness.open(must_exist=True))
        self.held.discard(f"holder-{side}")

    @rule(
        side=SIDES,
        wanted=st.lists(statuses, max_size=3),
        workflow=st.sampled_from((None, *WORKFLOWS)),
        after=st.sampled_from((None, *NUMBERS)),
        limit=st.integers(0, 9),
    )
    def listing(
        self, side: int, wanted: list[str], workflow: str | None, after: int | None, limit: int
    ) -> None:
        """A page of executions."""
        above = None if after is None else ROWS.execution_id(after)
        self.both(
            side,
            lambda one: one.list_executions(
                statuses=wanted, workflow=workflow, after=above, limit=limit
            ),
        )

    @rule(side=SIDES, number=numbers, after=st.integers(0, 4), limit=st.integers(0, 3))
    def page(self, side: int, number: int, after: int, limit: int) -> None:
        """A page of entries, and their numbers."""
        one = ROWS.execution_id(number)
        self.both(side, lambda it: it.journal.read_execution_range(one, after, limit))
        (expected, _), (found, _) = self.answers(side, lambda it: it.stored_seqs(one, after, limit))
        assert found == [self.seqs[seq] for seq in expected or ()]

    @rule(side=SIDES, owner=st.sampled_from((None, "owner-1", "claimer")), limit=st.integers(0, 3))
    def requests(self, side: int, owner: str | None, limit: int) -> None:
        """The oldest requests."""
        self.both(side, lambda one: one.read_inbox(owner, limit))

    @rule(side=SIDES, number=numbers, promise=st.sampled_from(PROMISES))
    def looking_up(self, side: int, number: int, promise: int) -> None:
        """A promise by its id, and all that one execution has."""
        one, wanted = ROWS.execution_id(number), promise.to_bytes(16, "big")
        self.both(side, lambda it: it.find_promise(wanted))
        self.both(side, lambda it: it.promises_of(one))
        self.both(side, lambda it: it.timers_of(one))

    @invariant()
    def the_heads_agree(self) -> None:
        """Everything that the rows of executions say, after each operation."""
        ids = [ROWS.execution_id(number) for number in NUMBERS]

        async def heads(backend: ExecutionBackend) -> list[ExecutionRow]:
            return sorted(await backend.heads(ids), key=lambda row: row.execution_id)

        self.both(0, heads)

    def teardown(self) -> None:
        """Compare all that is stored, as another connection sees it; then empty the database."""
        try:
            self.real.append(self.run(self.harness.open(must_exist=True)))
            self.model.append(MemoryBackend(self.database))
            self.compare(2)
        finally:
            self.run(self.harness.reset())

    def compare(self, side: int) -> None:
        """Every table, by way of the reads of the contract."""
        self.both(side, lambda one: one.list_executions(limit=999))
        self.both(side, lambda one: one.read_inbox(limit=999))
        self.both(side, lambda one: one.key_checks())
        self.both(side, lambda one: one.strays())
        for workflow in WORKFLOWS:
            for key in KEYS:
                self.both(side, lambda one, w=workflow, k=key: one.find(w, k))  # type: ignore[misc]  # no type of its defaults
        for number in NUMBERS:
            self.page(side, number, 0, 999)
            self.looking_up(side, number, 1 + number % len(PROMISES))

        async def loads(backend: ExecutionBackend) -> list[OwnerLoad]:
            return sorted(await backend.running_owners(), key=repr)

        self.both(side, loads)
        assert self.run(self.real[side].max_seq()) >= max(self.seqs.values(), default=0)


class StateMachineContract(BackendContract):
    """Whatever is done in whatever order, the backend answers as the reference does."""

    runs: ClassVar[int] = 30
    steps: ClassVar[int] = 60
    shrinks: ClassVar[bool] = False
    """Whether a failure is made smaller: beside a server that takes minutes, and looks like a hang.

    To be switched on by hand, together with a longer limit for the test.
    """

    async def test_random_operations_agree_with_the_reference(
        self, harness: BackendHarness
    ) -> None:
        machine = type(
            "Machine",
            (ContractMachine,),
            {"harness": harness, "loop": asyncio.get_running_loop()},
        )
        chosen = settings(
            max_examples=self.runs,
            stateful_step_count=self.steps,
            deadline=None,
            phases=(Phase.generate, Phase.shrink) if self.shrinks else (Phase.generate,),
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        await asyncio.to_thread(run_state_machine_as_test, machine, settings=chosen)
