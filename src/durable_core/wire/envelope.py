"""The envelope around a payload and its row: guard the size, seal, stamp, and all of it backwards.

```
sealed blob    format byte | key_id (1) | cipher body     0x01: nonce (24) | ciphertext | tag (16)
unsealed blob  0x00 | bytes
```
Carries INV-7 (whatever is sealed anew gets a new nonce; the ciphers draw it), INV-11 (sizes are
checked before anything is decrypted) and INV-16 (rows are stamped and verified).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from attrs import define, field, frozen

from durable_core.contracts.cipher import (
    BoundCipher,
    ManySeals,
    PayloadCipher,
    Seal,
    aad_of,
    encode_aad,
    entry_fields,
)
from durable_core.errors import ConfigError, DecodeError, IntegrityError, PayloadTooLarge
from durable_core.ids import shown_id
from durable_core.model.entries import (
    PAYLOAD_VERSION,
    EffectIntent,
    Entry,
    IntentSettled,
    JournalRow,
    OpenedRow,
    StepFailure,
    StepResult,
)
from durable_core.model.execution import ExecutionRow
from durable_core.wire.chain import GENESIS, AnchorPrefix, check_anchor, check_row
from durable_core.wire.keys import ExecutionKeys, Keyring

__all__ = ["FRAME", "NONE_PREPARED", "ExecutionEnvelope", "WireFormat"]

NONE_PREPARED: Final[Iterator[Seal]] = iter(())
"""Of no seals: each payload is sealed by itself."""

_UNSEALED: Final = 0
FRAME: Final = 2
"""How many bytes stand in front of what a cipher has sealed."""

_OF_A_STEP: Final = (StepResult, EffectIntent, StepFailure, IntentSettled)


@frozen
class WireFormat:
    """Keys, ciphers and limits of one engine; makes the envelope of each execution.

    `cipher` seals what is written; `ciphers` open what was written, by format byte. Safe to use
    from any thread once built.
    """

    keyring: Keyring
    cipher: PayloadCipher | None
    ciphers: Mapping[int, PayloadCipher]
    max_payload_bytes: int
    accept_unstamped: bool = False
    """Read executions without stamps although there is a key, on the word of the settings."""

    _bound: dict[tuple[int, int], BoundCipher] = field(init=False, factory=dict, repr=False)
    _sealing: dict[int, tuple[bytes, Seal]] = field(init=False, factory=dict, repr=False)

    def guard(self, payload: bytes) -> None:
        """`PayloadTooLarge` for a payload over `max_payload_bytes`, before any work on it."""
        if len(payload) > self.max_payload_bytes:
            raise _too_large(len(payload), self.max_payload_bytes)

    def envelope(self, row: ExecutionRow) -> ExecutionEnvelope:
        """The envelope of the execution `row`; `ConfigError` if its key is not configured."""
        keys = self.keyring.execution_keys(row.key_id)
        return ExecutionEnvelope(
            self,
            row.execution_id,
            keys,
            bool(row.sealed),
            None if keys.macs is None else AnchorPrefix(keys.macs, row),
        )

    def verified(self, row: ExecutionRow) -> ExecutionEnvelope:
        """The envelope of a stored execution whose own row was checked against its anchor.

        `IntegrityError` if it does not fit, and for a row without stamps where a key is configured,
        unless `accept_unstamped`: whoever can write the file could have taken them off, and then
        write what he likes. `ConfigError` if the key is missing.
        """
        if row.sealed and not self.keyring.key_ids:
            message = (
                f"execution {shown_id(row.execution_id)} is sealed and no key is configured; "
                "set DURABLE_KEY to the key it was written with"
            )
            raise ConfigError(message)
        # First, since what the envelope is made of is only known to be sound after it.
        check_anchor(self.keyring.execution_keys(row.key_id).macs, row)
        if not row.stamped and self.keyring.key_ids and not self.accept_unstamped:
            message = (
                f"execution {shown_id(row.execution_id)} carries no stamps although a key is "
                "configured: it was written before there was a key, or somebody took them off; if "
                "this journal began without a key, set accept_unstamped = true, else restore it "
                "from a backup"
            )
            raise IntegrityError(message)
        return self.envelope(row)

    def sealing(self) -> tuple[bytes, Seal]:
        """The frame in front of a new blob, and how the current cipher seals it; made once."""
        if self.cipher is None or self.keyring.current is None:
            message = "no cipher or key is configured, so this sealed execution takes no entries"
            raise ConfigError(message)
        current = self.keyring.current
        sealing = self._sealing.get(current)
        if sealing is None:
            frame = bytes((self.cipher.format_byte, current))
            sealing = frame, self.bound(self.cipher.format_byte, current).seal
            self._sealing[current] = sealing
        return sealing

    def seals(self, count: int) -> Iterator[Seal]:
        """Seals for as many payloads, where the cipher prepares them; none where it does not.

        Nothing is asked of the cipher before the first one is taken.
        """
        frame, _ = self.sealing()
        cipher = self.bound(*frame)
        if isinstance(cipher, ManySeals):
            yield from cipher.seals(count)

    def bound(self, format_byte: int, key_id: int) -> BoundCipher:
        """The cipher that owns `format_byte`, under the key `key_id`; bound once and kept."""
        bound = self._bound.get((format_byte, key_id))
        if bound is None:
            cipher = self.ciphers.get(format_byte)
            if cipher is None:
                message = (
                    f"payload format 0x{format_byte:02x} is unknown here; install the plugin "
                    "of the cipher that wrote it"
                )
                raise DecodeError(message)
            bound = cipher.bind(self.keyring.payload_key(key_id))
            self._bound[format_byte, key_id] = bound
        return bound

    def guard_blob(self, blob: bytes) -> None:
        """`PayloadTooLarge` for a stored blob that no payload within the limit can have made."""
        overhead = 1
        if blob[0] != _UNSEALED:
            cipher = self.ciphers.get(blob[0])
            overhead = FRAME + (0 if cipher is None else cipher.overhead)
        if len(blob) > self.max_payload_bytes + overhead:
            raise _too_large(len(blob) - overhead, self.max_payload_bytes)


@define
class ExecutionEnvelope:
    """Seals, stamps, verifies and opens the rows of one execution."""

    wire: WireFormat
    execution_id: bytes
    keys: ExecutionKeys
    sealed: bool
    _anchor: AnchorPrefix | None
    _sealing: tuple[bytes, Seal] | None = field(init=False, default=None, repr=False)

    def row_of(
        self,
        entry: Entry,
        entry_no: int,
        before: bytes,
        created_at: int,
        seals: Iterator[Seal] = NONE_PREPARED,
    ) -> JournalRow:
        """The row of `entry`: sealed under a fresh nonce, stamped after the row `before`.

        Takes the next one of `seals`, or where none is left, draws the nonce itself.
        """
        execution_id, generation, step_id = self.execution_id, entry.generation, entry.step_id
        # A plus makes a plain number of a code, in a fourth of the time that `int()` takes.
        kind, detail, payload = +entry.kind, entry.detail, getattr(entry, "payload", None)
        fingerprint: bytes | None = None
        idem_key: bytes | None = None
        effect = 0
        if isinstance(entry, _OF_A_STEP):
            fingerprint, idem_key = entry.fingerprint, entry.idem_key
            effect = +entry.effect_class
        fields = entry_fields(
            execution_id, entry_no, generation, step_id, kind, fingerprint, idem_key, effect, detail
        )
        if payload is not None:
            payload = self._seal(payload, aad_of(fields, PAYLOAD_VERSION), seals)
        macs, mac = self.keys.macs, None
        if macs is not None:
            mac = macs.of_row(before, fields, payload, PAYLOAD_VERSION, created_at)
        row = (
            execution_id,
            entry_no,
            generation,
            step_id,
            kind,
            fingerprint,
            idem_key,
            effect,
            detail,
            payload,
            PAYLOAD_VERSION,
            mac,
            created_at,
        )
        # A named tuple has a `__new__` of its own, which takes longer than the tuple itself.
        return tuple.__new__(JournalRow, row)

    def seal_request(self, slot: str, kind: int, payload: bytes) -> bytes:
        """A payload sealed for the inbox: bound to the execution, the slot and the kind."""
        self.wire.guard(payload)
        place = self._request_place(slot, kind, None)
        return self._seal(payload, aad_of(entry_fields(*place[:9]), PAYLOAD_VERSION))

    def open_request(self, slot: str, kind: int, blob: bytes | None) -> bytes:
        """The plain payload of a request; raises as `open` does. No chain covers the request."""
        if not slot.isascii():
            message = (
                f"a request to execution {shown_id(self.execution_id)} has a slot that nobody "
                "files: the journal was changed outside durable-core; restore it from a backup"
            )
            raise IntegrityError(message)
        return self.open(self._request_place(slot, kind, blob))

    def _request_place(self, slot: str, kind: int, blob: bytes | None) -> JournalRow:
        return JournalRow(
            execution_id=self.execution_id,
            entry_no=0,
            generation=0,
            step_id=slot,
            entry_kind=kind,
            fingerprint=None,
            idem_key=None,
            effect_class=0,
            detail=None,
            payload=blob,
            payload_version=PAYLOAD_VERSION,
            hmac=None,
            created_at=0,
        )

    def anchor(self, status: int, generation: int, count: int, head: bytes) -> bytes | None:
        """The anchor MAC of that state; None where the execution is not stamped."""
        return None if self._anchor is None else self._anchor.mac(status, generation, count, head)

    def check(self, before: bytes, row: JournalRow) -> bytes:
        """Verify `row` after the row `before`; returns its hmac. `IntegrityError` otherwise."""
        return check_row(self.keys.macs, before, row)

    def open(self, row: JournalRow) -> bytes:
        """The plain payload of a verified row that must have one.

        `PayloadTooLarge` before anything is decrypted, `DecodeError` for unknown versions and
        formats and truncated blobs, `IntegrityError` for a blob that was not sealed at this place.
        """
        blob, version = row.payload, row.payload_version
        if blob and isinstance(row, OpenedRow):
            return blob  # with its page, or its checkpoint
        if version != PAYLOAD_VERSION:
            message = (
                f"entry {row.entry_no} has payload version {version}; this build reads version "
                f"{PAYLOAD_VERSION}: upgrade durable-core"
            )
            raise DecodeError(message)
        if not blob:
            message = f"entry {row.entry_no} has no payload where its kind needs one"
            raise DecodeError(message)
        wire, form = self.wire, blob[0]
        if len(blob) > wire.max_payload_bytes:
            wire.guard_blob(blob)
        if (form != _UNSEALED) != self.sealed:
            state = "plain in a sealed" if self.sealed else "sealed in an unsealed"
            message = f"the payload of entry {row.entry_no} is {state} execution"
            raise IntegrityError(message)
        if form == _UNSEALED:
            return blob[1:]
        if len(blob) < FRAME:
            message = f"the payload of entry {row.entry_no} is truncated"
            raise DecodeError(message)
        aad = encode_aad(*row[:5], row.effect_class, version, *row[5:7], row.detail)
        return wire.bound(form, blob[1]).open(blob[FRAME:], aad)

    def _seal(self, payload: bytes, aad: bytes, seals: Iterator[Seal] = NONE_PREPARED) -> bytes:
        if not self.sealed:
            return b"\x00" + payload
        if self._sealing is None:
            self._sealing = self.wire.sealing()
        frame, seal = self._sealing
        return frame + next(seals, seal)(payload, aad)

    @property
    def genesis(self) -> bytes:
        """What the first row of the execution continues."""
        return GENESIS


def _too_large(size: int, limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"a payload of {size} bytes exceeds max_payload_bytes = {limit}; store it elsewhere and "
        "journal a reference, or raise the limit",
    )
