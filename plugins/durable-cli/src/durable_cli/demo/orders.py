"""The input of the demonstration: a file of orders, as a shop would have it."""

from __future__ import annotations

import csv
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Final

from attrs import evolve, frozen

from durable_core.errors import ConfigError

__all__ = ["Line", "Order", "bundled_orders", "read_orders", "write_orders"]

_FIELDS: Final = ("order_id", "customer", "email", "amount_cents", "lines")


@frozen
class Line:
    """One line of an order; prices are cents for each piece."""

    quantity: int
    item: str
    price_cents: int

    @classmethod
    def parse(cls, text: str) -> Line:
        """Reads `3 x Linen apron at 2800`; `ValueError` for anything else."""
        quantity, rest = text.split(" x ", 1)
        item, price = rest.rsplit(" at ", 1)
        return cls(int(quantity), item, int(price))

    def __str__(self) -> str:
        return f"{self.quantity} x {self.item} at {self.price_cents}"


@frozen
class Order:
    """One order; `amount_cents` is what the customer is charged."""

    order_id: str
    customer: str
    email: str
    amount_cents: int
    lines: tuple[Line, ...]


def read_orders(text: str) -> list[Order]:
    """The orders in CSV `text`; `ConfigError` that names the row for one that cannot be read."""
    orders = []
    for number, row in enumerate(csv.DictReader(text.splitlines()), start=1):
        try:
            lines = tuple(Line.parse(line) for line in row["lines"].split("; "))
            amount = int(row["amount_cents"])
            orders.append(Order(row["order_id"], row["customer"], row["email"], amount, lines))
        except (KeyError, ValueError, AttributeError) as error:
            message = f"row {number} of the orders does not have the fields {', '.join(_FIELDS)}"
            raise ConfigError(message) from error
    return orders


def write_orders(orders: list[Order], path: Path) -> None:
    """Write `orders` as `read_orders` reads them."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(_FIELDS)
        for order in orders:
            lines = "; ".join(map(str, order.lines))
            rows.writerow(
                (order.order_id, order.customer, order.email, order.amount_cents, lines),
            )


def bundled_orders(count: int | None = None) -> list[Order]:
    """The first `count` orders that come with the package; beyond the last they begin again.

    Those of a later round have ids of their own: `order-1001-2` is `order-1001` once more.
    """
    text = resources.files("durable_cli.demo").joinpath("orders.csv").read_text(encoding="utf-8")
    first = read_orders(text)
    if count is None:
        return first
    rounds = (
        order if turn == 1 else evolve(order, order_id=f"{order.order_id}-{turn}")
        for turn in range(1, count // len(first) + 2)
        for order in first
    )
    return list(islice(rounds, count))
