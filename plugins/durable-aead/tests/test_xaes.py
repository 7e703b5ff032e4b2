"""XAES-256-GCM against the vectors of its specification, and against every change of one bit."""

from __future__ import annotations

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_aead.xaes import KEY_BYTES, NONCE_BYTES, OVERHEAD, BoundXaes, Xaes256Gcm
from durable_core.contracts import BoundCipher, PayloadCipher
from durable_core.contracts.cipher import ManySeals
from durable_core.errors import ConfigError, DecodeError, IntegrityError

NONCE: Final = b"ABCDEFGHIJKLMNOPQRSTUVWX"
PLAINTEXT: Final = b"XAES-256-GCM"
CANARY: Final = b"canary-7f3a91"


def bound(key: bytes = bytes(KEY_BYTES)) -> BoundCipher:
    return Xaes256Gcm().bind(key)


def sealed_under(nonce: bytes, key: bytes, plaintext: bytes, aad: bytes) -> bytes:
    body = Xaes256Gcm(random=lambda _: nonce).bind(key).seal(plaintext, aad)
    assert body[:NONCE_BYTES] == nonce
    return body[NONCE_BYTES:]


@pytest.mark.parametrize(
    ("key", "aad", "expected"),
    [
        (b"\x01" * 32, b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
        (
            b"\x03" * 32,
            b"c2sp.org/XAES-256-GCM",
            "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
        ),
    ],
    ids=["msb-of-L-clear", "msb-of-L-set"],
)
def test_vectors_of_the_specification(key: bytes, aad: bytes, expected: str) -> None:
    assert sealed_under(NONCE, key, PLAINTEXT, aad).hex() == expected
    assert Xaes256Gcm().bind(key).open(NONCE + bytes.fromhex(expected), aad) == PLAINTEXT


def test_accumulated_vector_of_10_000_rounds() -> None:
    """Keys, nonces, plaintexts and associated data read from one SHAKE-128 stream."""
    rounds = 10_000
    stream = memoryview(hashlib.shake_128().digest(rounds * (KEY_BYTES + NONCE_BYTES + 2 * 256)))
    at = 0
    digest = hashlib.shake_128()

    def take(size: int) -> bytes:
        nonlocal at
        at += size
        return bytes(stream[at - size : at])

    for _ in range(rounds):
        key, nonce = take(KEY_BYTES), take(NONCE_BYTES)
        plaintext = take(take(1)[0])
        aad = take(take(1)[0])
        ciphertext = sealed_under(nonce, key, plaintext, aad)
        digest.update(ciphertext)
        assert Xaes256Gcm().bind(key).open(nonce + ciphertext, aad) == plaintext
    expected = "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"
    assert digest.hexdigest(32) == expected


def test_the_cipher_says_what_it_is() -> None:
    cipher: PayloadCipher = Xaes256Gcm()
    assert (cipher.name, cipher.format_byte, cipher.overhead) == ("xaes-256-gcm", 0x01, 40)


@given(st.binary(max_size=512), st.binary(max_size=200), st.binary(min_size=32, max_size=32))
def test_what_was_sealed_opens_and_has_the_stated_overhead(
    plaintext: bytes,
    aad: bytes,
    key: bytes,
) -> None:
    body = bound(key).seal(plaintext, aad)
    assert len(body) == len(plaintext) + OVERHEAD
    assert bound(key).open(body, aad) == plaintext


@given(st.binary(max_size=64), st.binary(max_size=64), st.data())
def test_any_flipped_bit_of_the_body_is_found(
    plaintext: bytes,
    aad: bytes,
    data: st.DataObject,
) -> None:
    body = bound().seal(plaintext, aad)
    changed = flip(body, data.draw(st.integers(0, 8 * len(body) - 1)))
    with pytest.raises(IntegrityError):
        bound().open(changed, aad)


@given(st.binary(max_size=64), st.binary(min_size=1, max_size=64), st.data())
def test_any_flipped_bit_of_the_associated_data_is_found(
    plaintext: bytes,
    aad: bytes,
    data: st.DataObject,
) -> None:
    body = bound().seal(plaintext, aad)
    changed = flip(aad, data.draw(st.integers(0, 8 * len(aad) - 1)))
    with pytest.raises(IntegrityError):
        bound().open(body, changed)


@given(st.binary(max_size=64), st.data())
def test_a_cut_or_lengthened_body_never_gives_a_partial_value(
    plaintext: bytes,
    data: st.DataObject,
) -> None:
    body = bound().seal(plaintext, b"place")
    cut = body[: data.draw(st.integers(0, len(body) - 1))]
    with pytest.raises(DecodeError if len(cut) < OVERHEAD else IntegrityError):
        bound().open(cut, b"place")
    with pytest.raises(IntegrityError):
        bound().open(body + data.draw(st.binary(min_size=1, max_size=16)), b"place")


def test_every_bit_of_the_key_counts() -> None:
    body = bound().seal(PLAINTEXT, b"")
    for bit in range(8 * KEY_BYTES):
        with pytest.raises(IntegrityError):
            bound(flip(bytes(KEY_BYTES), bit)).open(body, b"")


def test_the_empty_plaintext_is_authenticated_too() -> None:
    body = bound().seal(b"", b"here")
    assert bound().open(body, b"here") == b""
    with pytest.raises(IntegrityError):
        bound().open(body, b"there")


@pytest.mark.parametrize("size", [0, 1, 24, 39])
def test_ec_17_a_body_too_short_to_be_one_is_a_decode_error(size: int) -> None:
    with pytest.raises(DecodeError, match=f"has {size} bytes, at least 40"):
        bound().open(bytes(size), b"")


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_a_key_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(ConfigError, match=f"32 bytes and was given {size}"):
        Xaes256Gcm().bind(CANARY.ljust(size, b"k")[:size])


def test_inv_05_neither_errors_nor_reprs_tell_of_key_or_content() -> None:
    key = CANARY.ljust(KEY_BYTES, b"\x00")
    cipher = bound(key)
    body = cipher.seal(CANARY, CANARY)
    with pytest.raises(IntegrityError) as wrong_place:
        cipher.open(body, b"elsewhere" + CANARY)
    with pytest.raises(DecodeError) as short:
        cipher.open(CANARY, CANARY)
    shown = " ".join((repr(cipher), repr(wrong_place.value), repr(short.value)))
    shown += repr(wrong_place.value.__cause__)
    assert CANARY.decode() not in shown
    assert CANARY.hex() not in shown
    assert CANARY not in body


def test_inv_07_two_seals_of_one_text_differ() -> None:
    cipher = bound()
    first, second = cipher.seal(PLAINTEXT, b""), cipher.seal(PLAINTEXT, b"")
    assert first[:NONCE_BYTES] != second[:NONCE_BYTES]
    assert first[NONCE_BYTES:] != second[NONCE_BYTES:]


def test_inv_07_100_000_seals_have_distinct_nonces() -> None:
    """Both halves are random: the one that picks the sub-key, and the one GCM sees."""
    cipher = bound(os.urandom(KEY_BYTES))
    nonces = [cipher.seal(b"", b"")[:NONCE_BYTES] for _ in range(100_000)]
    assert len(set(nonces)) == len(nonces)
    assert len({nonce[:12] for nonce in nonces}) == len(nonces)
    assert len({nonce[12:] for nonce in nonces}) == len(nonces)


def test_a_prepared_seal_is_the_seal_under_its_nonce() -> None:
    drawn = iter([bytes(range(36)), bytes(range(100, 136))])
    cipher = Xaes256Gcm(random=lambda _: next(drawn)).bind(bytes(KEY_BYTES))
    assert isinstance(cipher, ManySeals)
    for number, seal in enumerate(cipher.seals(3)):
        first, last = 12 * number, 12 * (number + 1)
        nonce = bytes(range(36))[first:last] + bytes(range(100, 136))[first:last]
        body = seal(PLAINTEXT, b"place")
        assert body == nonce + sealed_under(nonce, bytes(KEY_BYTES), PLAINTEXT, b"place")


def test_inv_07_100_000_prepared_seals_have_distinct_nonces() -> None:
    cipher = bound(os.urandom(KEY_BYTES))
    assert isinstance(cipher, ManySeals)
    nonces = [seal(b"", b"")[:NONCE_BYTES] for _ in range(400) for seal in cipher.seals(250)]
    assert len({nonce[:12] for nonce in nonces}) == 100_000
    assert len({nonce[12:] for nonce in nonces}) == 100_000


def test_many_threads_share_one_bound_cipher() -> None:
    cipher = bound(os.urandom(KEY_BYTES))
    workers = 8
    together = threading.Barrier(workers)

    def work(number: int) -> bool:
        together.wait()
        texts = [b"%d/%d" % (number, turn) for turn in range(400)]
        return all(cipher.open(cipher.seal(text, text), text) == text for text in texts)

    with ThreadPoolExecutor(workers) as pool:
        assert all(pool.map(work, range(workers)))


def test_threads_do_not_share_a_cipher_context() -> None:
    """Nothing promises that two threads may use one context, so each has its own."""
    cipher = BoundXaes(bytes(KEY_BYTES), os.urandom)
    updates = []  # bound methods are equal where they belong to the same context

    threads = [
        threading.Thread(target=lambda: updates.append(cipher._blocks.update)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(updates)) == len(threads)


def flip(data: bytes, bit: int) -> bytes:
    """`data` with one bit turned over."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
