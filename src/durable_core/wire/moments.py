"""Plans for datetimes, times and spans.

```
datetime    with a fixed offset of whole minutes: CBOR tag 0; else text as below
text        ISO 8601, and after it (RFC 9557) [zone key] for a zone, or [_fold=1] for the second
            of two equal naive times
time        text, ISO 8601                    timedelta   [days, seconds, microseconds]
```
"""

from __future__ import annotations

import datetime as dt
from typing import Final
from zoneinfo import ZoneInfo

import cbor2

from durable_core.errors import DecodeError
from durable_core.wire.cbor import is_plain_moment, write_text
from durable_core.wire.plan import Plan, misfit, require

__all__ = ["MOMENTS"]

_FOLD: Final = "[_fold=1]"


def _encode_moment(value: object) -> bytes:
    moment: dt.datetime = require(dt.datetime, value)
    zone = moment.tzinfo
    text = moment.isoformat()
    if zone is None:
        return write_text(text + _FOLD * moment.fold)
    if isinstance(zone, ZoneInfo) and zone.key is not None:
        return write_text(f"{text}[{zone.key}]")
    if is_plain_moment(moment):
        return cbor2.dumps(moment)
    if type(zone) is dt.timezone:
        return write_text(text)
    message = "a datetime of a foreign time zone class would not come back equal; use zoneinfo"
    raise DecodeError(message)


def _lift_moment(plain: object) -> dt.datetime:
    if type(plain) is dt.datetime:
        return plain
    text, bracket, suffix = require(str, plain).partition("[")
    moment = dt.datetime.fromisoformat(text)
    if not bracket:
        return moment
    if bracket + suffix == _FOLD:
        return moment.replace(fold=1)
    # By way of the moment itself, which stays what it was when the zone's rules have changed.
    return moment.astimezone(ZoneInfo(suffix.removesuffix("]")))


def _encode_time(value: object) -> bytes:
    time: dt.time = require(dt.time, value)
    if time.fold or not isinstance(time.tzinfo, dt.timezone | None):
        message = "a time with a fold or a named zone would not come back; use a datetime"
        raise DecodeError(message)
    return write_text(time.isoformat())


def _lift_time(plain: object) -> dt.time:
    return dt.time.fromisoformat(require(str, plain))


def _encode_span(value: object) -> bytes:
    span: dt.timedelta = require(dt.timedelta, value)
    return cbor2.dumps([span.days, span.seconds, span.microseconds])


def _lift_span(plain: object) -> dt.timedelta:
    match plain:
        case (int() as days, int() as seconds, int() as microseconds):
            return dt.timedelta(days, seconds, microseconds)
        case _:
            raise misfit(dt.timedelta.__name__, plain)


MOMENTS: Final[dict[object, Plan]] = {
    dt.datetime: Plan(
        "datetime",
        _encode_moment,
        _lift_moment,
        frozenset({dt.datetime, str}),
        frozenset({dt.datetime}),
        exact=False,
    ),
    dt.time: Plan("time", _encode_time, _lift_time, frozenset({str}), frozenset({dt.time})),
    dt.timedelta: Plan(
        "timedelta",
        _encode_span,
        _lift_span,
        frozenset({list}),
        frozenset({dt.timedelta}),
    ),
}
"""By annotation."""
