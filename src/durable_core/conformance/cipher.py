"""What every payload cipher must do; see `durable_core.contracts.cipher` for the words.

A cipher's tests make one subclass that says which cipher it is:

```python
class TestAcme(CipherConformance):
    @pytest.fixture
    def cipher(self) -> PayloadCipher:
        return AcmeCipher()
```
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from durable_core.contracts import PayloadAad, PayloadCipher
from durable_core.contracts.cipher import FIRST_FOREIGN_FORMAT, BoundCipher, ManyOpens, ManySeals
from durable_core.errors import ConfigError, DecodeError, IntegrityError

__all__ = ["CipherConformance"]

CANARY = b"canary-84c2"
KEY = bytes(range(32))
LARGEST = 1 << 20
"""The usual `max_payload_bytes`."""

AAD = PayloadAad(bytes(16), 1, 0, "0", 3, 1, 1, b"f" * 32, b"i" * 32, None).encode()


class CipherConformance:
    """Round trips, fresh nonces, and that nothing that was touched ever opens."""

    own_format = False
    """Whether the cipher is durable-core's own, whose format byte is below 0x80."""

    @pytest.fixture
    def cipher(self) -> PayloadCipher:
        """The cipher under test."""
        message = f"{type(self).__name__} has to override the fixture `cipher`"
        raise ConfigError(message)

    def test_it_says_what_it_is(self, cipher: PayloadCipher) -> None:
        assert cipher.name == cipher.name.strip().lower() != ""
        if self.own_format:
            assert 0 < cipher.format_byte < FIRST_FOREIGN_FORMAT
        else:
            assert FIRST_FOREIGN_FORMAT <= cipher.format_byte <= 0xFF
        assert cipher.overhead >= 28, "a nonce of 96 bits and a tag of 128 at least"

    @pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 255, 4096, LARGEST])
    def test_what_was_sealed_opens_and_has_the_stated_overhead(
        self, cipher: PayloadCipher, size: int
    ) -> None:
        plaintext = os.urandom(size)
        for aad in (b"", AAD, os.urandom(4096)):
            body = cipher.bind(KEY).seal(plaintext, aad)
            assert type(body) is bytes
            assert len(body) == size + cipher.overhead
            opened = cipher.bind(bytes(KEY)).open(body, aad)
            assert type(opened) is bytes
            assert opened == plaintext

    def test_any_content_opens(self, cipher: PayloadCipher) -> None:
        bound = cipher.bind(KEY)

        @settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
        @given(st.binary(max_size=300), st.binary(max_size=100))
        def opens(plaintext: bytes, aad: bytes) -> None:
            assert bound.open(bound.seal(plaintext, aad), aad) == plaintext

        opens()

    def test_inv_07_every_seal_is_another(self, cipher: PayloadCipher) -> None:
        """Of one text under one key, also from ciphers that were bound anew."""
        bodies = [cipher.bind(KEY).seal(b"", AAD) for _ in range(50)]
        bound = cipher.bind(KEY)
        bodies += [bound.seal(b"", AAD) for _ in range(5000)]
        if isinstance(bound, ManySeals):
            bodies += [seal(b"", AAD) for _ in range(20) for seal in bound.seals(250)]
        assert len(set(bodies)) == len(bodies)

    def test_prepared_seals_are_seals(self, cipher: PayloadCipher) -> None:
        """For a cipher that prepares them: as many as were asked for, each opens as any other."""
        bound = cipher.bind(KEY)
        texts = [os.urandom(size) for size in range(100)]
        seals = bound.seals(100) if isinstance(bound, ManySeals) else [bound.seal] * 100
        for seal, text in zip(seals, texts, strict=True):
            body = seal(text, AAD + text)
            assert bound.open(body, AAD + text) == text
            assert len(body) - len(text) == cipher.overhead

    def test_many_open_as_each_would(self, cipher: PayloadCipher) -> None:
        """For a cipher that opens many at once: all of them in order, or none and an error."""
        bound = cipher.bind(KEY)
        texts = [os.urandom(size) for size in range(100)]
        sealed = [(bound.seal(text, AAD + text), AAD + text) for text in texts]
        assert _opened(bound, sealed) == texts
        assert _opened(bound, []) == []
        body, aad = sealed[7]
        for other in ((_flipped(body, len(body) - 1, 0x01), aad), (body, AAD)):
            with pytest.raises(IntegrityError):
                _opened(bound, [*sealed[:7], other, *sealed[8:]])
        with pytest.raises(DecodeError):
            _opened(bound, [*sealed, (body[: cipher.overhead - 1], aad)])

    @pytest.mark.parametrize("size", [0, 1, 40])
    def test_a_change_of_any_byte_is_found(self, cipher: PayloadCipher, size: int) -> None:
        bound = cipher.bind(KEY)
        body = bound.seal(os.urandom(size), AAD)
        for at in range(len(body)):
            for mask in (0x01, 0x80, 0xFF):
                with pytest.raises(IntegrityError):
                    bound.open(_flipped(body, at, mask), AAD)
        assert len(bound.open(body, AAD)) == size

    def test_other_associated_data_does_not_open(self, cipher: PayloadCipher) -> None:
        bound = cipher.bind(KEY)
        body = bound.seal(b"text", AAD)
        for at in range(len(AAD)):
            with pytest.raises(IntegrityError):
                bound.open(body, _flipped(AAD, at, 0x01))
        for other in (b"", AAD[:-1], AAD + b"\0", AAD[1:]):
            with pytest.raises(IntegrityError):
                bound.open(body, other)

    def test_another_key_does_not_open(self, cipher: PayloadCipher) -> None:
        body = cipher.bind(KEY).seal(b"text", AAD)
        for at in range(len(KEY)):
            with pytest.raises(IntegrityError):
                cipher.bind(_flipped(KEY, at, 0x01)).open(body, AAD)

    def test_text_and_associated_data_do_not_run_into_each_other(
        self, cipher: PayloadCipher
    ) -> None:
        bound = cipher.bind(KEY)
        body = bound.seal(b"textmore", b"place")
        for aad in (b"placetext", b"placemore", b"more"):
            with pytest.raises(IntegrityError):
                bound.open(body, aad)

    def test_halves_of_two_bodies_do_not_open(self, cipher: PayloadCipher) -> None:
        bound = cipher.bind(KEY)
        one, two = bound.seal(b"a" * 100, AAD), bound.seal(b"b" * 100, AAD)
        # By chance both may begin, or end, with the same bytes; then the halves are a whole body.
        halves = {one[:at] + two[at:] for at in range(1, len(one))} - {one, two}
        assert halves
        for body in halves:
            with pytest.raises(IntegrityError):
                bound.open(body, AAD)

    def test_a_body_that_is_too_short_to_be_one_is_a_decode_error(
        self, cipher: PayloadCipher
    ) -> None:
        body = cipher.bind(KEY).seal(b"", AAD)
        for size in range(cipher.overhead):
            with pytest.raises(DecodeError):
                cipher.bind(KEY).open(body[:size], AAD)

    def test_a_cut_or_lengthened_body_gives_nothing(self, cipher: PayloadCipher) -> None:
        bound = cipher.bind(KEY)
        body = bound.seal(b"t" * 64, AAD)
        for size in range(cipher.overhead, len(body)):
            with pytest.raises(IntegrityError):
                bound.open(body[:size], AAD)
        for more in (b"\0", b"t", bytes(64)):
            with pytest.raises(IntegrityError):
                bound.open(body + more, AAD)

    @pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
    def test_a_key_of_another_size_is_refused(self, cipher: PayloadCipher, size: int) -> None:
        with pytest.raises(ConfigError):
            cipher.bind(bytes(size))

    def test_inv_05_nothing_tells_of_key_or_content(self, cipher: PayloadCipher) -> None:
        key = CANARY.ljust(32, b"\0")
        bound = cipher.bind(key)
        body = bound.seal(CANARY * 4, CANARY)
        assert CANARY not in body
        shown = [repr(bound), repr(cipher)]
        for wrong, aad in ((body, b"elsewhere"), (CANARY, CANARY), (body[:-1], CANARY)):
            with pytest.raises((IntegrityError, DecodeError)) as caught:
                bound.open(wrong, aad)
            shown += [repr(caught.value), repr(caught.value.__cause__)]
        with pytest.raises(ConfigError) as refused:
            cipher.bind(key + b"more")
        shown.append(repr(refused.value))
        assert not [text for text in shown if CANARY.decode() in text or CANARY.hex() in text]

    def test_many_threads_share_one_bound_cipher(self, cipher: PayloadCipher) -> None:
        bound = cipher.bind(KEY)
        workers = 8
        together = threading.Barrier(workers)

        def work(number: int) -> bool:
            together.wait()
            texts = [b"%d/%d" % (number, turn) * 20 for turn in range(200)]
            return all(bound.open(bound.seal(text, text), text) == text for text in texts)

        with ThreadPoolExecutor(workers) as pool:
            assert all(pool.map(work, range(workers)))


def _opened(bound: BoundCipher, sealed: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    if isinstance(bound, ManyOpens):
        return bound.open_each(sealed)
    return [bound.open(body, aad) for body, aad in sealed]


def _flipped(data: bytes, at: int, mask: int) -> bytes:
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]
