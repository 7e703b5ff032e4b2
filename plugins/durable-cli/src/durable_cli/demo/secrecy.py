"""Looks for words of the orders in the bytes of the journal's files. Carries INV-5 and INV-8."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from durable_cli.demo.orders import Order
from durable_cli.demo.place import Place

__all__ = ["files_in_clear", "secret_words"]


def secret_words(orders: Sequence[Order]) -> list[str]:
    """What must not be seen: customers, their addresses, what they buy. In lower case."""
    return sorted({word.lower() for word in _words(orders)})


def files_in_clear(place: Place, orders: Sequence[Order]) -> list[str]:
    """The names of the journal's files, its write-ahead log among them, that hold such a word."""
    words = [word.encode() for word in secret_words(orders)]
    found = []
    for file in place.journal_files():
        content = file.read_bytes().lower()
        if any(word in content for word in words):
            found.append(file.name)
    return found


def _words(orders: Sequence[Order]) -> Iterator[str]:
    for order in orders:
        yield order.customer
        yield order.email
        yield from (line.item for line in order.lines)
