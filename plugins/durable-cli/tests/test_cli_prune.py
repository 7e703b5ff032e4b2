"""`durable prune`: what goes is told and is gone, with no application running."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Durable, Written

ALL = {"DURABLE_RETENTION_TTL_COMPLETED_SECS": "0", "DURABLE_RETENTION_TTL_FAILED_SECS": "0"}
ONE = {"DURABLE_RETENTION_MAX_EXECUTIONS": "1"}


def listed(durable: Durable, journal: Written) -> list[str]:
    rows = json.loads(durable("list", "--json", **journal.environment).out)
    return [row["execution_id"] for row in rows]


def test_what_is_young_and_little_stays(durable: Durable, journal: Written) -> None:
    ran = durable("prune", **journal.environment)
    assert (ran.code, ran.out, ran.err) == (0, "0 executions, 0 entries, 0 B were deleted\n", "")
    assert listed(durable, journal) == list(journal.ids)


def test_ec_39_a_dry_run_says_what_then_goes(durable: Durable, journal: Written) -> None:
    """The first two to end, since one may stay."""
    environment = journal.environment | ONE
    ran = durable("prune", "--dry-run", "--json", **environment)
    assert (ran.code, ran.err) == (0, "")
    said = json.loads(ran.out)
    assert listed(durable, journal) == list(journal.ids)
    done = json.loads(durable("prune", "--json", **environment).out)
    assert said == done | {"dry_run": True}
    assert done["dry_run"] is False
    assert [one["execution_id"] for one in done["executions"]] == list(journal.ids[:2])
    first = done["executions"][0]
    assert first.pop("finalized_at").endswith("Z")
    assert first.pop("bytes") > 3 * 256
    assert first == {
        "execution_id": journal.ids[0],
        "workflow": "pack",
        "execution_key": "parcel-0",
        "status": "completed",
        "entries": 3,
        "why": "max_executions",
    }
    assert done["entries"] == 6
    assert listed(durable, journal) == [journal.ids[2]]
    assert durable("verify", **journal.environment).code == 0


def test_the_table_has_a_line_for_each(durable: Durable, journal: Written, canary: str) -> None:
    environment = journal.environment | ALL
    table = durable("prune", "--dry-run", **environment).out
    heading, *lines, empty, total = table.splitlines()
    assert heading.split() == [
        "ID",
        "WORKFLOW",
        "KEY",
        "STATUS",
        "ENDED",
        "ENTRIES",
        "BYTES",
        "WHY",
    ]
    assert [line.split()[0] for line in lines] == list(journal.ids)
    assert {line.split()[-1] for line in lines} == {"ttl_completed_secs"}
    assert empty == ""
    assert total.startswith("3 executions, 9 entries, ")
    assert total.endswith(" B would be deleted")
    assert canary not in table
    ran = durable("prune", **environment)
    assert ran.out.replace(" were ", " would be ") == table
    assert listed(durable, journal) == []


def test_what_is_blocked_stays(durable: Durable, blocked: Written) -> None:
    assert json.loads(durable("prune", "--json", **blocked.environment, **ALL, **ONE).out) == {
        "dry_run": False,
        "executions": [],
        "entries": 0,
        "bytes": 0,
    }
    assert listed(durable, blocked) == list(blocked.ids)


def test_what_was_written_without_a_key_needs_none(durable: Durable, plain: Written) -> None:
    cancelled = durable("cancel", plain.ids[0], DURABLE_URL=plain.url)
    assert cancelled.code == 0
    ran = durable("prune", "--json", DURABLE_URL=plain.url, **ALL)
    assert [one["why"] for one in json.loads(ran.out)["executions"]] == ["ttl_failed_secs"]


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_pruning_needs_the_key(durable: Durable, journal: Written, options: tuple[str]) -> None:
    ran = durable("prune", *options, DURABLE_URL=journal.url, **ALL)
    ran.require_error("DURABLE_KEY")
    assert listed(durable, journal) == list(journal.ids)


def test_a_journal_that_is_not_there_is_not_made(durable: Durable, journal: Written) -> None:
    path = journal.path.with_name("none.db")
    ran = durable("prune", DURABLE_URL=f"sqlite:///{path}", DURABLE_KEY=journal.key)
    ran.require_error("no journal")
    assert not path.exists()
