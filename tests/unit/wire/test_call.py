"""Signatures: calls become encoded arguments, and come back as calls."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, NotRequired, ParamSpec, TypedDict, Unpack

import attrs
import pytest

from durable_core.errors import ConfigError, DecodeError
from durable_core.wire.call import CallShape, join
from durable_core.wire.payload import UNTYPED, PayloadCodec, dump, load

CODEC = PayloadCodec(1 << 20)
P = ParamSpec("P")


class Text(str):
    __slots__ = ()


@attrs.frozen
class Item:
    name: str


def every(one: int, /, two: Item, *rest: int, three: str = "t", **more: float) -> set[int]:
    raise AssertionError((one, two, rest, three, more))


def plain(one, two=2):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    raise AssertionError((one, two))


def encoded(shape: CallShape, *args: Any, **kwargs: Any) -> bytes:
    return join(shape.encode_each(CODEC, shape.bind(args, kwargs)))


def test_defaults_are_applied_and_every_kind_of_parameter_comes_back() -> None:
    shape = CallShape.of(every)
    data = encoded(shape, 1, Item("cup"), 5, 6, extra=1.5)
    assert load(data) == [1, {"name": "cup"}, [5, 6], "t", {"extra": 1.5}]
    args, kwargs = shape.decode(CODEC, data)
    assert args == (1, Item("cup"), 5, 6)
    assert kwargs == {"three": "t", "extra": 1.5}
    assert shape.returns == set[int]


def test_spelling_a_call_in_another_way_gives_the_same_bytes() -> None:
    shape = CallShape.of(every)
    assert encoded(shape, 1, two=Item("cup")) == encoded(shape, 1, Item("cup"), three="t")


def test_unannotated_functions_take_plain_data() -> None:
    shape = CallShape.of(plain)
    assert shape.returns is UNTYPED
    assert shape.decode(CODEC, encoded(shape, [1])) == (([1], 2), {})
    with pytest.raises(DecodeError, match="argument 'one'"):
        encoded(shape, object())


def test_wrong_calls_raise_like_the_call_itself() -> None:
    shape = CallShape.of(every)
    with pytest.raises(TypeError, match="two"):
        shape.bind((1,), {})
    with pytest.raises(TypeError):
        shape.bind((), {"one": 1, "two": 2})


def test_the_first_parameter_can_be_left_out() -> None:
    shape = CallShape.of(plain, skip_first=True)
    assert [parameter.name for parameter in shape.parameters] == ["two"]
    assert shape.decode(CODEC, encoded(shape)) == ((2,), {})


def test_arguments_of_an_older_signature() -> None:
    """A parameter that was added with a default takes it; anything else does not fit."""
    older = CallShape.of(plain, skip_first=True)
    newer = CallShape.of(plain)
    assert newer.decode(CODEC, encoded(older, two=7)) == ((7,), {})
    with pytest.raises(DecodeError, match="do not fit"):
        older.decode(CODEC, encoded(newer, 1, 2))
    with pytest.raises(DecodeError, match="do not fit"):
        newer.decode(CODEC, join([]))
    with pytest.raises(DecodeError, match="do not fit"):
        newer.decode(CODEC, CODEC.encode("no array"))


class Options(TypedDict):
    deep: NotRequired[bool]


def unpacked(**options: Unpack[Options]) -> None:
    raise AssertionError(options)


def passing_on(_fn: Callable[P, None]) -> Callable[..., None]:
    def passed_on(call: int, *args: P.args, **kwargs: P.kwargs) -> None:
        raise AssertionError((call, args, kwargs))

    return passed_on


def test_collected_arguments_have_the_types_that_are_said_of_them() -> None:
    shape = CallShape.of(unpacked)
    assert shape.decode(CODEC, encoded(shape, deep=True)) == ((), {"deep": True})
    with pytest.raises(DecodeError, match="argument 'options'"):
        encoded(shape, deep=1)
    shape = CallShape.of(passing_on(unpacked))
    assert shape.decode(CODEC, encoded(shape, 1, [2], x=3)) == ((1, [2]), {"x": 3})


class Job:
    """An object that is called."""

    def __call__(self) -> Item:
        return Item("cup")


def make(item: Item) -> list[Item]:
    return [item]


@pytest.mark.parametrize(
    ("op", "returns"),
    [
        (Job(), Item),
        (Job().__call__, Item),
        (functools.partial(make, Item("cup")), list[Item]),
        (functools.partial(functools.partial(make), Item("cup")), list[Item]),
        (lambda: 1, UNTYPED),
        (time.time, UNTYPED),
    ],
)
def test_an_operation_without_arguments_has_the_result_that_is_said_of_it(
    op: Callable[[], object],
    returns: object,
) -> None:
    shape = CallShape.of_operation(op)
    assert (shape.parameters, shape.returns) == ((), returns)
    assert shape.bind((), {}) == ()


def unresolved_result() -> Missing:  # type: ignore[name-defined]  # noqa: F821
    raise AssertionError


def test_an_operation_whose_annotation_cannot_be_resolved_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="unresolved_result"):
        CallShape.of_operation(functools.partial(unresolved_result))


def unresolvable(value: Missing) -> None:  # type: ignore[name-defined]  # noqa: F821
    raise AssertionError(value)


def test_annotations_that_cannot_be_resolved_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="unresolvable"):
        CallShape.of(unresolvable)


@pytest.mark.parametrize("count", [0, 1, 8, 9, 23, 24, 300])
def test_joined_arguments_are_one_array_of_them(count: int) -> None:
    assert join([dump(1)] * count) == dump([1] * count)


@pytest.mark.parametrize(
    ("bound", "kept"),
    [((1, "a"), True), ((1, None), False), ((True, "a"), False), ((1, Text("a")), False)],
    ids=["leaves", "not of the type", "equal to another", "of a class of its own"],
)
def test_what_decoding_gives_unchanged_needs_none(bound: tuple[object, ...], *, kept: bool) -> None:
    def fn(number: int, text: str) -> None: ...

    assert CallShape.of(fn).keeps(CODEC, bound) is kept


def test_what_is_collected_from_several_arguments_is_decoded() -> None:
    def fn(*numbers: int) -> None: ...

    shape = CallShape.of(fn)
    assert not shape.keeps(CODEC, shape.bind((1, 2), {}))
