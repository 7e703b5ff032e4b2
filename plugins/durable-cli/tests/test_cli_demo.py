"""`durable demo`: orders survive a worker that is killed, and the check sees what disagrees."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from durable_cli.demo.orders import bundled_orders, read_orders
from durable_cli.demo.outside import LedgerTail
from durable_cli.demo.place import Place
from durable_cli.demo.secrecy import files_in_clear
from durable_cli.demo.supervisor import Supervisor
from durable_core.errors import ConfigError, DurableError
from durable_core.keysources import generate_key

if TYPE_CHECKING:
    from conftest import Durable

EXAMPLE = Path(__file__).parents[3] / "examples" / "orders.csv"
BUNDLED = Path("src", "durable_cli", "demo", "orders.csv")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `finished` is a copy of: run once."""
    folder = tmp_path_factory.mktemp("demo") / "kept"
    options = ("--orders", "3", "--kills", "0", "--keep", str(folder))
    subprocess.run(
        [sys.executable, "-m", "durable_cli", "demo", *options],
        check=True,
        env={name: os.environ[name] for name in os.environ if not name.startswith("DURABLE_")},
        stdout=subprocess.DEVNULL,
        timeout=250,
    )
    return folder


@pytest.fixture
def finished(kept: Path, tmp_path: Path) -> Place:
    """A demonstration of three orders that went well and was kept."""
    return Place(shutil.copytree(kept, tmp_path / "demo"))


def ledger_of(place: Place) -> list[dict[str, Any]]:
    return [json.loads(line) for line in place.outside.ledger.read_text().splitlines()]


def rewrite(place: Place, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    kept = [changed for one in ledger_of(place) if (changed := change(one)) is not None]
    place.outside.ledger.write_text("".join(f"{json.dumps(one)}\n" for one in kept))


def require_found(durable: Durable, place: Place, *words: str) -> None:
    ran = durable("demo", "--check", str(place.folder))
    assert ran.code == 1
    assert "WRONG" in ran.out
    ran.require_line("does not agree", *words)


def test_orders_survive_two_kills(durable: Durable, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    options = ("--orders", "6", "--kills", "2", "--seed", "7", "--keep", str(folder))
    ran = durable.alone("demo", *options)
    assert (ran.code, ran.err) == (0, "")
    assert re.search(r"^kills +2$", ran.out, re.MULTILINE)
    assert "WRONG" not in ran.out
    place = Place(folder)
    charges = [one["order"] for one in ledger_of(place) if one["effect"] == "charge"]
    assert sorted(charges) == [order.order_id for order in bundled_orders(6)]
    key_file = str(place.key_file)
    listed = durable("list", "--json", "--url", place.url, "--key-file", key_file)
    assert [row["status"] for row in json.loads(listed.out)] == ["completed"] * 6
    assert place.key_file.stat().st_mode & 0o777 == 0o600


def test_nothing_is_left_without_keep(
    durable: Durable,
    tmp_path: Path,
) -> None:
    ran = durable.alone("demo", "--orders", "1", "--kills", "0", TMPDIR=str(tmp_path))
    assert (ran.code, ran.err) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_a_finished_demonstration_is_right(durable: Durable, finished: Place) -> None:
    ran = durable("demo", "--check", str(finished.folder))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.count(" ok\n") == 6


def test_a_duplicate_charge_is_found(durable: Durable, finished: Place) -> None:
    charge = next(one for one in ledger_of(finished) if one["effect"] == "charge")
    with finished.outside.ledger.open("a") as ledger:
        ledger.write(f"{json.dumps(charge)}\n")
    require_found(durable, finished, charge["order"], "charged 2 times")


def test_a_wrong_amount_is_found(durable: Durable, finished: Place) -> None:
    rewrite(finished, lambda one: one | {"cents": 1} if one["effect"] == "charge" else one)
    require_found(durable, finished, "charged 1 instead of")


@pytest.mark.parametrize(
    ("effect", "word"),
    [
        ("charge", "charged 0 times"),
        ("send_email", "no e-mail"),
        ("notify_warehouse", "no crash explains it"),
    ],
)
def test_a_missing_effect_is_found(
    durable: Durable,
    finished: Place,
    effect: str,
    word: str,
) -> None:
    rewrite(finished, lambda one: None if one["effect"] == effect else one)
    require_found(durable, finished, word)


def test_a_second_notice_is_found(durable: Durable, finished: Place) -> None:
    finished.outside.record("notify_warehouse", "order-1002", "00")
    require_found(durable, finished, "2 times of order-1002")


def test_an_effect_of_a_stranger_is_found(durable: Durable, finished: Place) -> None:
    finished.outside.record("charge", "order-9", "00")
    require_found(durable, finished, "nobody made")


def test_a_wrong_address_is_found(durable: Durable, finished: Place) -> None:
    rewrite(finished, lambda one: one | {"to": "x@example.com"} if "to" in one else one)
    require_found(durable, finished, "another address")


def test_a_wrong_invoice_is_found(durable: Durable, finished: Place) -> None:
    finished.outside.write_invoice("order-1001", "total 1\n")
    require_found(durable, finished, "invoice of order-1001")


def test_a_missing_invoice_is_found(durable: Durable, finished: Place) -> None:
    finished.outside.invoice("order-1003").unlink()
    require_found(durable, finished, "order-1003 has no invoice")


def test_plaintext_in_a_journal_file_is_found(durable: Durable, finished: Place) -> None:
    customer = bundled_orders(1)[0].customer
    Path(f"{finished.journal}.owners", "leak").write_text(customer.upper())
    assert files_in_clear(finished, bundled_orders(1)) == ["leak"]
    require_found(durable, finished, "leak held words")


def test_a_damaged_journal_is_found(durable: Durable, finished: Place) -> None:
    with closing(sqlite3.connect(finished.journal, isolation_level=None)) as connection:
        connection.execute("UPDATE durable_journal SET created_at = 0 WHERE entry_no = 3")
    ran = durable("demo", "--check", str(finished.folder))
    ran.require_error("entry 3", "changed outside")


def test_a_ledger_that_cannot_be_read_is_refused(durable: Durable, finished: Place) -> None:
    with finished.outside.ledger.open("a") as ledger:
        ledger.write("half a li")
    durable("demo", "--check", str(finished.folder)).require_error("line 10")


def test_check_wants_a_demonstration(durable: Durable, tmp_path: Path) -> None:
    durable("demo", "--check", str(tmp_path)).require_error("no demonstration")


def test_keep_wants_an_empty_folder(durable: Durable, tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    durable("demo", "--keep", str(tmp_path)).require_error("not empty")
    durable("demo", "--keep", str(tmp_path / "precious")).require_error("precious")


def supervisor(folder: Path, *, orders: str, seconds: float) -> Supervisor:
    place = Place(folder)
    place.orders.write_text(orders)
    deadline = time.monotonic() + seconds
    return Supervisor(place, generate_key(), bundled_orders(1), 0, random.Random(1), deadline)


def test_the_supervisor_ends_at_its_deadline(tmp_path: Path) -> None:
    one = supervisor(tmp_path, orders=EXAMPLE.read_text(), seconds=0)
    with pytest.raises(DurableError, match="did not end in time"):
        one.run(lambda _: None, lambda _: None)


def test_a_worker_that_fails_by_itself_is_reported(tmp_path: Path) -> None:
    one = supervisor(tmp_path, orders="order_id\norder-1\n", seconds=50)
    with pytest.raises(DurableError, match=r"with code 1: .*row 1 of the orders"):
        one.run(lambda _: None, lambda _: None)


def test_the_example_is_the_bundled_input() -> None:
    orders = read_orders(EXAMPLE.read_text())
    assert orders == bundled_orders()
    assert (
        EXAMPLE.read_bytes()
        == EXAMPLE.parents[1]
        .joinpath(
            "plugins",
            "durable-cli",
            BUNDLED,
        )
        .read_bytes()
    )
    assert len(orders) == len({order.order_id for order in orders}) == 40


def test_every_amount_is_the_sum_of_its_lines() -> None:
    for order in bundled_orders():
        assert order.amount_cents == sum(line.quantity * line.price_cents for line in order.lines)


def test_more_orders_than_bundled_have_ids_of_their_own() -> None:
    orders = bundled_orders(95)
    assert len({order.order_id for order in orders}) == len(orders) == 95
    assert orders[90].order_id == "order-1011-3"


def test_an_order_that_cannot_be_read_names_its_row() -> None:
    text = "order_id,customer,email,amount_cents,lines\nx,y,z,many,1 x a at 2\n"
    with pytest.raises(ConfigError, match="row 1"):
        read_orders(text)


def test_the_tail_counts_what_is_new(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    tail = LedgerTail(ledger)
    assert tail.count() == 0
    ledger.write_text("a\nb\nc")
    assert tail.count() == 2
    with ledger.open("a") as file:
        file.write("d\n")
    assert tail.count() == 3
