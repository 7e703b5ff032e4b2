"""Compares what happened outside with what the journal promises, order by order.

The ledger is the judge: it has no part in the journal and refuses nothing. Carries the
demonstration's share of INV-5 and INV-16: no word of an order stands in clear in the journal's
files, and every chain is whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from durable_cli.demo.orders import Order
from durable_cli.demo.place import Place
from durable_cli.demo.secrecy import files_in_clear, secret_words
from durable_cli.demo.workflow import charge_id_of, invoice_text
from durable_core import DurableConfig
from durable_core.engine.inspection import Inspector, open_journal
from durable_core.model.entries import EntryKind
from durable_core.model.execution import Status

__all__ = ["Finding", "Judgement", "judge"]

_ALL: Final = 1_000_000


@frozen
class Finding:
    """What became of one kind of effect over all orders; `problems` is empty where all is well."""

    effect: str
    effect_class: str
    in_doubt: str
    promise: str
    seen: int
    repeated: int
    problems: tuple[str, ...]


@frozen
class Journaled:
    """What the journal says of one order."""

    status: str
    result: object
    meanings: Mapping[str, str]
    """For each step with a result, by its name, how the result came about."""


@frozen
class Judgement:
    """The verdict on a whole demonstration."""

    findings: tuple[Finding, ...]
    reconciled: int
    assumed: int
    entries: int
    digest: str

    @property
    def problems(self) -> list[str]:
        """Everything that disagrees, one line each; empty where all is well."""
        return [problem for finding in self.findings for problem in finding.problems]


async def judge(
    place: Place,
    key: str,
    orders: Sequence[Order],
    leaked: Sequence[str] = (),
) -> Judgement:
    """Check the ledger, the invoices and the journal of a finished run.

    `leaked` are names of journal files that were found to hold plaintext while it ran.
    Damage to the journal is raised as `IntegrityError`; whatever else disagrees is in the result.
    """
    async with open_journal(place.url, DurableConfig(), key) as journal:
        report = await journal.verify()
        journaled = await _journaled(journal)
    effects = place.outside.effects()
    meanings = Counter(meaning for one in journaled.values() for meaning in one.meanings.values())
    findings = (
        _charges(orders, effects),
        _warehouse(orders, effects, journaled),
        _emails(orders, effects),
        _invoices(place, orders, effects),
        _results(orders, effects, journaled),
        _secrecy(place, orders, leaked),
        _strangers(orders, effects),
    )
    return Judgement(
        tuple(finding for finding in findings if finding.effect or finding.problems),
        meanings["reconciled"],
        meanings["assumed done"],
        report.entries,
        report.digest,
    )


async def _journaled(journal: Inspector) -> dict[str, Journaled]:
    found = {}
    for seen in await journal.executions(limit=_ALL):
        result: object = None
        meanings = {}
        for entry in await journal.entries(seen, reveal=True):
            if entry.payload is None:
                continue
            if entry.row.entry_kind == EntryKind.STEP_RESULT and entry.step_name is not None:
                meanings[entry.step_name] = entry.payload.meaning
            elif entry.row.entry_kind == EntryKind.EXECUTION_FINISHED:
                result = entry.payload.value
        found[seen.row.execution_key or ""] = Journaled(seen.row.status, result, meanings)
    return found


def _of(effects: Sequence[Mapping[str, Any]], effect: str, order: Order) -> list[Mapping[str, Any]]:
    return [one for one in effects if one["effect"] == effect and one["order"] == order.order_id]


def _repeated(counts: Mapping[str, int]) -> int:
    return sum(count - 1 for count in counts.values() if count > 1)


def _charges(orders: Sequence[Order], effects: Sequence[Mapping[str, Any]]) -> Finding:
    counts = _counts(orders, effects, "charge")
    problems = [
        f"{order_id} was charged {count} times instead of once"
        for order_id, count in counts.items()
        if count != 1
    ]
    problems += [
        f"{order.order_id} was charged {one.get('cents')} instead of {order.amount_cents}"
        for order in orders
        for one in _of(effects, "charge", order)
        if one.get("cents") != order.amount_cents
    ]
    return Finding(
        "charge",
        "guarded",
        "reconcile",
        f"exactly {len(orders)}",
        sum(counts.values()),
        _repeated(counts),
        tuple(problems),
    )


def _warehouse(
    orders: Sequence[Order],
    effects: Sequence[Mapping[str, Any]],
    journaled: Mapping[str, Journaled],
) -> Finding:
    counts = _counts(orders, effects, "notify_warehouse")
    problems = [
        f"the warehouse was told {count} times of {order_id}, at most once was promised"
        for order_id, count in counts.items()
        if count > 1
    ]
    for order_id, count in counts.items():
        told = journaled.get(order_id)
        assumed = told is not None and told.meanings.get("notify_warehouse") == "assumed done"
        if not count and not assumed:
            problems.append(f"the warehouse was not told of {order_id}, and no crash explains it")
    return Finding(
        "notify_warehouse",
        "guarded",
        "skip",
        f"at most {len(orders)}",
        sum(counts.values()),
        _repeated(counts),
        tuple(problems),
    )


def _emails(orders: Sequence[Order], effects: Sequence[Mapping[str, Any]]) -> Finding:
    counts = _counts(orders, effects, "send_email")
    problems = [f"no e-mail was sent for {order}" for order, count in counts.items() if not count]
    problems += [
        f"an e-mail for {order.order_id} went to another address"
        for order in orders
        for one in _of(effects, "send_email", order)
        if one.get("to") != order.email
    ]
    return Finding(
        "send_email",
        "at_least_once",
        "rerun",
        f"at least {len(orders)}",
        sum(counts.values()),
        _repeated(counts),
        tuple(problems),
    )


def _invoices(
    place: Place,
    orders: Sequence[Order],
    effects: Sequence[Mapping[str, Any]],
) -> Finding:
    problems = []
    seen = 0
    for order in orders:
        file = place.outside.invoice(order.order_id)
        if not file.is_file():
            problems.append(f"{order.order_id} has no invoice")
            continue
        seen += 1
        text = file.read_text(encoding="utf-8", errors="replace")
        if text not in {invoice_text(order, charge) for charge in _charge_ids(effects, order)}:
            problems.append(f"the invoice of {order.order_id} is not right")
    promise = f"exactly {len(orders)}"
    return Finding("write_invoice", "idempotent", "rerun", promise, seen, 0, tuple(problems))


def _results(
    orders: Sequence[Order],
    effects: Sequence[Mapping[str, Any]],
    journaled: Mapping[str, Journaled],
) -> Finding:
    problems = []
    seen = 0
    for order in orders:
        one = journaled.get(order.order_id)
        if one is None or one.status != Status.COMPLETED.label:
            status = "not in the journal" if one is None else one.status
            problems.append(f"the workflow of {order.order_id} is {status} instead of completed")
            continue
        seen += 1
        receipt = one.result if isinstance(one.result, Mapping) else {}
        right = (
            receipt.get("order_id") == order.order_id
            and receipt.get("amount_cents") == order.amount_cents
            and receipt.get("charge_id") in _charge_ids(effects, order)
        )
        if not right:
            problems.append(f"the result of {order.order_id} is not right")
    promise = f"exactly {len(orders)}"
    return Finding("workflow result", "-", "resume", promise, seen, 0, tuple(problems))


def _secrecy(place: Place, orders: Sequence[Order], leaked: Sequence[str]) -> Finding:
    words = len(secret_words(orders))
    found = {*leaked, *files_in_clear(place, orders)}
    problems = [f"{name} held words of an order in clear" for name in sorted(found)]
    what = f"{words} words in clear"
    return Finding(what, "-", "-", "none", len(found), 0, tuple(problems))


def _strangers(orders: Sequence[Order], effects: Sequence[Mapping[str, Any]]) -> Finding:
    known = {order.order_id for order in orders}
    strange = [one for one in effects if one["order"] not in known]
    problems = tuple(f"{one['effect']} happened for an order that nobody made" for one in strange)
    return Finding("", "", "", "none", len(strange), 0, problems)


def _counts(
    orders: Sequence[Order],
    effects: Sequence[Mapping[str, Any]],
    effect: str,
) -> dict[str, int]:
    counts = Counter(one["order"] for one in effects if one["effect"] == effect)
    return {order.order_id: counts[order.order_id] for order in orders}


def _charge_ids(effects: Sequence[Mapping[str, Any]], order: Order) -> set[str]:
    return {charge_id_of(order.order_id, str(one["key"])) for one in _of(effects, "charge", order)}
