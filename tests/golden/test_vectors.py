"""The vectors of `spec/journal-format.md`: what the document says, the code does.

Each vector is computed twice: with the code of durable-core, and by hand from the formulas of the
document, with nothing but `struct`, BLAKE3 and AES. Both must give what the document prints.
"""

from __future__ import annotations

import functools
import re
import struct
import uuid

import pytest
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.cmac import CMAC

from durable_aead.xaes import Xaes256Gcm
from durable_core.contracts import MasterKeys
from durable_core.contracts.cipher import encode_aad
from durable_core.engine.branch import Branch
from durable_core.engine.outcome import finished_value
from durable_core.ids import StepId
from durable_core.model.effects import EffectClass, EffectIntentSubClass, OnAmbiguous
from durable_core.model.entries import (
    EffectIntent,
    Entry,
    EntryKind,
    ExecutionFinished,
    ExecutionStarted,
    JournalRow,
    Outcome,
    StepResult,
    TimerArmed,
    TimerFired,
)
from durable_core.model.execution import ExecutionRow, Status
from durable_core.replay.detail import argument_digests, detail_prefix, encode_detail
from durable_core.wire.call import join
from durable_core.wire.chain import GENESIS, anchor_mac
from durable_core.wire.checkpoint import checkpoint_of, folded_item, snapshot_of, unfolded
from durable_core.wire.envelope import ExecutionEnvelope, WireFormat
from durable_core.wire.fields import NULL, field, integer, text
from durable_core.wire.fingerprint import (
    ROOT_BRANCH,
    call_key,
    idempotency_key,
    step_fingerprint,
)
from durable_core.wire.keys import ExecutionKeys, Keyring
from durable_core.wire.payload import PayloadCodec
from durable_core.wire.promises import outcome_mark, promise_id, promise_token, token_hash
from durable_core.wire.waits import CreatedPromise, Timer, fired_detail, resolved_detail
from tests.meta.modules import ROOT

MASTER = bytes(range(32))
KEY_ID = 7
ID = uuid.UUID("0197754b-1800-7abc-8def-0123456789ab")
FOLD_NONCE = b"k" * 24
NONCES = {1: b"a" * 24, 3: b"c" * 24, 4: b"d" * 24, 0: b"r" * 24}
AT = 1_750_000_000_000
SLOT = "settle:0"
LIMIT = 1 << 20

BLOCK = re.compile(r"^```vectors\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"^(\w+) = ([0-9a-f]+(?:\n +[0-9a-f]+)*)$", re.MULTILINE)


@functools.cache
def printed() -> dict[str, str]:
    """The vectors of the document; a value may go on in the lines below its name."""
    document = (ROOT / "spec" / "journal-format.md").read_text(encoding="utf-8")
    lines = [line for block in BLOCK.findall(document) for line in LINE.findall(block)]
    assert len(lines) == len(dict(lines)), "a vector is printed twice"
    return {name: "".join(value.split()) for name, value in lines}


def envelope(nonce: bytes, row: ExecutionRow) -> ExecutionEnvelope:
    cipher = Xaes256Gcm(random=lambda _size: nonce)
    keyring = Keyring.derive(MasterKeys(KEY_ID, {KEY_ID: MASTER}))
    return WireFormat(keyring, cipher, {1: cipher}, LIMIT).envelope(row)


def execution(status: Status, count: int, head: bytes | None) -> ExecutionRow:
    return ExecutionRow(
        execution_id=ID.bytes,
        workflow="checkout",
        execution_key="order-42",
        kind="workflow",
        status=status.label,
        generation=0,
        key_id=KEY_ID,
        sealed=True,
        stamped=True,
        owner_id="",
        owner_epoch=1,
        entry_count=count,
        head_hmac=head,
        anchor_mac=None,
        created_at=0,
        updated_at=0,
        finalized_at=None,
    )


def journal() -> list[JournalRow]:
    """The four rows of the document's execution, by the code."""
    keys = envelope(b"", execution(Status.RUNNING, 0, None)).keys
    parts = [PayloadCodec(LIMIT).encode(value) for value in ("order-42", 1999)]
    digests = argument_digests(keys, parts)
    effect, sub_class = EffectClass.EXACTLY_ONCE_GUARDED, EffectIntentSubClass.MONEY_MOVING
    fingerprint = step_fingerprint(keys, "charge", effect, sub_class, join(parts))
    step = (
        StepId("0"),
        fingerprint,
        idempotency_key(ID.bytes, ROOT_BRANCH, fingerprint, 0),
        int(effect),
    )
    detail = encode_detail(detail_prefix("charge"), digests, sub_class, OnAmbiguous.FAIL)
    value = PayloadCodec(LIMIT).encode("pay_1")
    entries: list[Entry] = [
        ExecutionStarted(ID, 0, join(parts)),
        EffectIntent(ID, 0, *step, detail),
        StepResult(ID, 0, *step, bytes((Outcome.VALUE,)) + value, detail),
        ExecutionFinished(ID, 0, Status.COMPLETED, finished_value(value)),
    ]
    rows: list[JournalRow] = []
    for number, entry in enumerate(entries, start=1):
        seal = envelope(NONCES.get(number, b""), execution(Status.RUNNING, 0, None))
        before = rows[-1].hmac if rows else GENESIS
        rows.append(seal.row_of(entry, number, before or b"", AT + number))
    return rows


@functools.cache
def by_code() -> dict[str, bytes]:
    rows = journal()
    ended = execution(Status.COMPLETED, 4, rows[-1].hmac)
    started = envelope(NONCES[0], ended)
    keyring = started.wire.keyring
    parts = [PayloadCodec(LIMIT).encode(value) for value in ("order-42", 1999)]
    anchor = started.anchor(Status.COMPLETED, 0, 4, rows[-1].hmac or b"")
    assert started.keys.macs is not None
    assert anchor == anchor_mac(started.keys.macs, ended)
    unkeyed = Keyring.derive(None).execution_keys(None)
    draws = Branch(ID.bytes)
    settled = EntryKind.INTENT_SETTLED
    blobs = {f"blob_{row.entry_no}": row.payload for row in rows if row.payload is not None}
    return blobs | {
        "key_payload": keyring.payload_key(KEY_ID),
        "key_journal_mac": started.keys.mac_key or b"",
        "key_fingerprint": started.keys.fingerprint_key or b"",
        "key_check": keyring.check(KEY_ID),
        "field_text": text("né"),
        "field_integer": integer(1999),
        "field_null": field(None),
        "arguments": join(parts),
        "argument_digests": argument_digests(started.keys, parts),
        "fingerprint": rows[1].fingerprint or b"",
        "fingerprint_unkeyed": step_fingerprint(unkeyed, "charge", 3, 4, join(parts)),
        "idem_key": rows[1].idem_key or b"",
        "detail": rows[1].detail or b"",
        "aad_3": encode_aad(*rows[2][:5], rows[2].effect_class, 1, *rows[2][5:7], rows[2].detail),
        **{f"hmac_{row.entry_no}": row.hmac or b"" for row in rows},
        "anchor": anchor or b"",
        "request_aad": encode_aad(ID.bytes, 0, 0, SLOT, settled, 0, 1, None, None, None),
        "request_blob": started.seal_request(SLOT, settled, b"\x01\x65pay_1"),
        "digest": blake3(field(ID.bytes) + field(anchor)).digest(),
        "draw_uuid": draws.uuid().bytes,
        "draw_random": struct.pack(">d", draws.random()),
        **places_by_code(rows[1].fingerprint or b""),
        **waits_by_code(started.keys),
        **checkpoint_by_code(rows[0].hmac or b""),
    }


def places_by_code(fingerprint: bytes) -> dict[str, bytes]:
    root = Branch(ID.bytes)
    for _ in range(4):
        root.next_step()
    branch = root.child(root.next_step(), root.next_block(), 1)
    first = branch.by_position(fingerprint)
    nested = branch.child(branch.next_step(), branch.next_block(), 0)
    called = {
        "branch": first,
        "nested": nested.by_position(fingerprint),
        "content": root.by_content(fingerprint),
        "content_again": root.by_content(fingerprint),
        "content_of_branch": branch.by_content(fingerprint),
    }
    return {f"{name}_step_id": step_id.encode() for name, (step_id, _, _) in called.items()} | {
        f"{name}_idem_key": call_key(prefix, fingerprint, occurrence)
        for name, (_, prefix, occurrence) in called.items()
    }


def waits_by_code(keys: ExecutionKeys) -> dict[str, bytes]:
    promise = promise_id(ID.bytes, ROOT_BRANCH, "approval", 0).bytes
    token = promise_token(keys, ID.bytes, promise)
    return {
        "key_promise": keys.promise_key or b"",
        "promise_id": promise,
        "promise_token": token,
        "promise_token_hash": token_hash(token, ID.bytes, promise),
        "promise_outcome": outcome_mark(keys, ID.bytes, promise, finished_value(b"\xf5")),
        "detail_created": CreatedPromise(promise, "approval").detail(),
        "detail_resolved": resolved_detail(promise),
        "detail_armed": Timer("t0", AT).detail(),
        "detail_fired": fired_detail("t0"),
    }


def checkpoint_by_code(before: bytes) -> dict[str, bytes]:
    """Entries 2 and 3 are the timer of above, armed and fired, in place of the guarded step."""
    seal = envelope(FOLD_NONCE, execution(Status.RUNNING, 0, None))
    armed = TimerArmed(ID, 0, StepId("0"), Timer("t0", AT).detail())
    rows = [seal.row_of(armed, 2, before, AT + 2)]
    fired = TimerFired(ID, 0, StepId("0"), fired_detail("t0"))
    rows.append(seal.row_of(fired, 3, rows[0].hmac or b"", AT + 3))
    snapshot = snapshot_of([folded_item(row, None) for row in rows])
    made = checkpoint_of(seal, 2, rows[1], snapshot, before, AT + 9)
    assert [row._replace(hmac=None) for row in unfolded(seal, made)] == [
        row._replace(hmac=None) for row in rows
    ]
    return {
        "folded_hmac_2": rows[0].hmac or b"",
        "folded_hmac_3": rows[1].hmac or b"",
        "checkpoint_detail": made.detail or b"",
        "checkpoint_snapshot": snapshot,
        "checkpoint_blob": made.payload or b"",
        "checkpoint_hmac": made.hmac or b"",
    }


def f(value: bytes | int | None) -> bytes:
    """`field()` as the document writes it."""
    if value is None:
        return NULL
    data = struct.pack(">Q", value) if isinstance(value, int) else value
    return struct.pack(">I", len(data)) + data


def derived(context: str, data: bytes = MASTER) -> bytes:
    return blake3(data, derive_key_context=context).digest()


def keyed(key: bytes, *parts: bytes) -> bytes:
    return blake3(b"".join(parts), key=key).digest()


def sealed(plain: bytes, nonce: bytes, aad: bytes) -> bytes:
    """XAES-256-GCM from its specification, in front of it format byte and key id."""
    subkey = b""
    for number in (1, 2):
        mac = CMAC(algorithms.AES256(derived("durable-core v1 payload")))
        mac.update(b"\x00" + bytes([number]) + b"X\x00" + nonce[:12])
        subkey += mac.finalize()
    body = AESGCM(subkey).encrypt(nonce[12:], plain, aad)
    return bytes([1, KEY_ID]) + nonce + body


@functools.cache
def by_hand() -> dict[str, bytes]:
    mac_key = derived("durable-core v1 journal-mac")
    fingerprint_key = derived("durable-core v1 fingerprint")
    parts = [b"\x68order-42", b"\x19\x07\xcf"]
    arguments = b"\x82" + b"".join(parts)
    digests = b"".join(keyed(fingerprint_key, part)[:4] for part in parts)
    content = f(b"charge") + f(3) + f(4) + f(arguments)
    fingerprint = keyed(fingerprint_key, content)
    idem_key = derived(
        "durable-core v1 idempotency-key", f(ID.bytes) + f(b"") + f(fingerprint) + f(0)
    )
    detail = b"\x84\x66charge\x48" + digests + b"\x04\x01"
    result = b"\x00\x65pay_1"
    place = f(fingerprint) + f(idem_key)
    rows = [
        (1, b"", 1, 0, f(None) * 2, None, arguments),
        (2, b"0", 2, 3, place, detail, None),
        (3, b"0", 3, 3, place, detail, result),
        (4, b"", 10, 0, f(None) * 2, None, result),
    ]
    vectors: dict[str, bytes] = {}
    before = bytes(32)
    for number, step, kind, effect, hashes, extra, plain in rows:
        head = f(ID.bytes) + f(number) + f(0) + f(step)
        aad = f(1) + head + f(kind) + f(effect) + f(1) + hashes + f(extra)
        blob = b"" if plain is None else sealed(plain, NONCES[number], aad)
        columns = head + f(kind) + hashes + f(effect) + f(extra) + f(1) + f(AT + number)
        before = keyed(mac_key, b"row v1", before, columns, blake3(blob).digest())
        vectors |= {f"hmac_{number}": before, f"blob_{number}": blob, f"aad_{number}": aad}
    fixed = f(ID.bytes) + f(b"checkout") + f(b"workflow") + f(b"order-42") + f(KEY_ID) + f(1) + f(1)
    anchor = keyed(mac_key, b"anchor v1", fixed, f(3), f(0), f(4), f(before))
    request = f(1) + f(ID.bytes) + f(0) + f(0) + f(SLOT.encode()) + f(11) + f(0) + f(1) + NULL * 3
    draws = [
        derived("durable-core v1 derived-draw", f(ID.bytes) + f(b"") + f(count)) for count in (0, 1)
    ]
    versioned = bytearray(draws[0][:16])
    versioned[6] = versioned[6] & 0x0F | 0x80
    versioned[8] = versioned[8] & 0x3F | 0x80
    number = int.from_bytes(draws[1][:8], "big") >> 11
    return vectors | {
        "key_payload": derived("durable-core v1 payload"),
        "key_journal_mac": mac_key,
        "key_fingerprint": fingerprint_key,
        "key_check": keyed(mac_key, b"durable-core key check v1"),
        "field_text": bytes.fromhex("000000036ec3a9"),
        "field_integer": bytes.fromhex("0000000800000000000007cf"),
        "field_null": bytes.fromhex("ffffffff"),
        "arguments": arguments,
        "argument_digests": digests,
        "fingerprint": fingerprint,
        "fingerprint_unkeyed": derived("durable-core v1 fingerprint", content),
        "idem_key": idem_key,
        "detail": detail,
        "anchor": anchor,
        "request_aad": request,
        "request_blob": sealed(b"\x01\x65pay_1", NONCES[0], request),
        "digest": blake3(f(ID.bytes) + f(anchor)).digest(),
        "draw_uuid": bytes(versioned),
        "draw_random": struct.pack(">d", number / 2**53),
        **places_by_hand(fingerprint),
        **waits_by_hand(),
        **checkpoint_by_hand(mac_key, vectors["hmac_1"]),
    }


def places_by_hand(fingerprint: bytes) -> dict[str, bytes]:
    content = b"~" + fingerprint.hex()[:16].encode()
    vectors: dict[str, bytes] = {}
    for name, step_id, path, occurrence in (
        ("branch", b"4.1.0", b"0.1", 0),
        ("nested", b"4.1.1.0.0", b"0.1.0.0", 0),
        ("content", content + b".0", b"~", 0),
        ("content_again", content + b".1", b"~", 1),
        ("content_of_branch", b"4.1." + content + b".0", b"0.1~", 0),
    ):
        fields = f(ID.bytes) + f(path) + f(fingerprint) + f(occurrence)
        vectors[f"{name}_step_id"] = step_id
        vectors[f"{name}_idem_key"] = derived("durable-core v1 idempotency-key", fields)
    return vectors


def waits_by_hand() -> dict[str, bytes]:
    key = derived("durable-core v1 promise-token")
    name = f(ID.bytes) + f(b"") + f(b"approval") + f(0)
    versioned = bytearray(derived("durable-core v1 promise-id", name)[:16])
    versioned[6] = versioned[6] & 0x0F | 0x80
    versioned[8] = versioned[8] & 0x3F | 0x80
    promise = bytes(versioned)
    place = f(ID.bytes) + f(promise)
    token = keyed(key, b"token", place)
    return {
        "key_promise": key,
        "promise_id": promise,
        "promise_token": token,
        "promise_token_hash": derived("durable-core v1 promise-token-hash", f(token) + place),
        "promise_outcome": keyed(key, b"outcome", place + f(b"\x00\xf5")),
        "detail_created": b"\x82\x50" + promise + b"\x68approval",
        "detail_resolved": b"\x81\x50" + promise,
        "detail_armed": b"\x82\x62t0\x1b" + struct.pack(">Q", AT),
        "detail_fired": b"\x81\x62t0",
    }


def checkpoint_by_hand(mac_key: bytes, before: bytes) -> dict[str, bytes]:
    def mac(before: bytes, number: int, step: bytes, kind: int, *rest: bytes, at: int) -> bytes:
        """`rest` is the detail and the blob."""
        head = f(ID.bytes) + f(number) + f(0) + f(step) + f(kind) + NULL * 2 + f(0) + f(rest[0])
        blob = blake3(b"".join(rest[1:])).digest()
        return keyed(mac_key, b"row v1", before, head, f(1), f(AT + at), blob)

    timer = waits_by_hand()
    items, macs = [], [before]
    for number, kind, detail in ((2, 7, timer["detail_armed"]), (3, 8, timer["detail_fired"])):
        macs.append(mac(macs[-1], number, b"0", kind, detail, at=number))
        short = bytes([0x40 | len(detail)]) + detail
        at = b"\x1b" + struct.pack(">Q", AT + number)
        fields = b"\x61\x30" + bytes([kind]) + b"\xf6\xf6\x00" + short + b"\xf6"
        items.append(b"\x89" + fields + b"\x58\x20" + macs[-1] + at)
    snapshot = b"\x01\x82" + b"".join(items)
    detail = b"\x83\x02\x58\x20" + before + b"\x58\x20" + macs[2]
    place = f(ID.bytes) + f(3) + f(0) + f(b"") + f(9) + f(0) + f(1)
    blob = sealed(snapshot, FOLD_NONCE, f(1) + place + NULL * 2 + f(detail))
    return {
        "folded_hmac_2": macs[1],
        "folded_hmac_3": macs[2],
        "checkpoint_detail": detail,
        "checkpoint_snapshot": snapshot,
        "checkpoint_blob": blob,
        "checkpoint_hmac": mac(before, 3, b"", 9, detail, blob, at=9),
    }


NAMES = sorted(by_code())


def test_document_prints_exactly_these_vectors() -> None:
    assert sorted(printed()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_code_gives_the_vector(name: str) -> None:
    assert by_code()[name].hex() == printed()[name]


@pytest.mark.parametrize("name", NAMES)
def test_formula_gives_the_vector(name: str) -> None:
    assert by_hand()[name].hex() == printed()[name]


def test_printed_blobs_open_at_their_places_only() -> None:
    row = journal()[2]
    opens = envelope(b"", execution(Status.COMPLETED, 4, row.hmac))
    stored = row._replace(payload=bytes.fromhex(printed()["blob_3"]))
    assert opens.open(stored) == b"\x00\x65pay_1"
    assert opens.check(bytes.fromhex(printed()["hmac_2"]), stored) == row.hmac
