"""Hashers that lie ready: each hash is that of its own data, whatever else is hashed meanwhile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Self, cast

from attrs import define, field
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from durable_core.wire.hashing import Hashing, keyed

KEY = bytes(range(32))


@given(st.lists(st.binary(max_size=3000), max_size=5))
def test_each_hash_is_that_of_its_own_data_alone(texts: list[bytes]) -> None:
    macs, plain = keyed(KEY), Hashing(blake3())
    for text in texts:
        assert macs(text) == blake3(text, key=KEY).digest()
        assert plain(text) == blake3(text).digest()


def test_many_threads_may_hash_at_once() -> None:
    macs = keyed(KEY)
    texts = [bytes([number]) * 100_000 for number in range(64)]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(macs, texts)) == [blake3(text, key=KEY).digest() for text in texts]


@define
class Interrupted:
    """A hasher during whose work the same hash is asked for of something else."""

    inner: blake3
    hashing: list[Hashing] = field(factory=list)
    meanwhile: list[bytes] = field(factory=list)

    def copy(self) -> Self:
        return type(self)(self.inner.copy(), self.hashing, self.meanwhile)

    def update(self, data: bytes) -> None:
        self.inner.update(data[:1])
        if data != b"meanwhile":
            self.meanwhile.append(self.hashing[0](b"meanwhile"))
        self.inner.update(data[1:])

    def digest(self) -> bytes:
        return self.inner.digest()

    def reset(self) -> None:
        self.inner.reset()


def test_a_hash_that_is_interrupted_by_another_is_still_its_own() -> None:
    blank = Interrupted(blake3())
    hashing = Hashing(cast("blake3", blank))
    blank.hashing.append(hashing)
    hashing(b"meanwhile")  # so that a hasher lies ready
    assert hashing(b"begun before") == blake3(b"begun before").digest()
    assert blank.meanwhile == [blake3(b"meanwhile").digest()]


def test_what_was_hashed_is_not_kept_for_the_next_one() -> None:
    macs = keyed(KEY)
    assert macs(b"secret") != macs(b"") == blake3(key=KEY).digest()
