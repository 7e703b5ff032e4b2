"""Looks for secrets in everything that comes out of the library: records, errors, spans, files."""

from __future__ import annotations

import asyncio
import base64
import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from attrs import define, field
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from durable_core import (
    DurableEngine,
)
from durable_core.errors import (
    DurableError,
)
from tests.journals import (
    MASTER,
    wire_format,
)

CANARY = "canary-4d7e19ab"


def spellings(secret: bytes) -> list[bytes]:
    """What the secret would look like in a text or in a file."""
    return [
        secret,
        repr(secret)[2:-1].encode(),
        secret.hex().encode(),
        base64.b64encode(secret).rstrip(b"="),
        base64.urlsafe_b64encode(secret).rstrip(b"="),
    ]


KEYS = wire_format().keyring


SECRETS = {
    "the canary": [*spellings(CANARY.encode()), CANARY.encode("utf-16-le"), CANARY[2:].encode()],
    "the master key": spellings(MASTER),
    "the payload key": spellings(KEYS.payload_key(1)),
    "the MAC key": spellings(KEYS.execution_keys(1).mac_key or b""),
    "the fingerprint key": spellings(KEYS.execution_keys(1).fingerprint_key or b""),
}


@define
class Evidence:
    """Everything that came out, and where."""

    folder: Path
    spans: InMemorySpanExporter
    records: list[logging.LogRecord]
    found: list[tuple[str, bytes]] = field(factory=list)

    def add(self, where: str, text: object) -> None:
        """Keep a text or the representation of an object."""
        self.found.append((where, str(text).encode()))

    def error(self, error: BaseException) -> None:
        """An error as it would be shown, with the library's own errors that led to it.

        What user code raised is the user's own, and is chained so that its author can see it.
        """
        shown: BaseException | None = error
        while shown is not None:
            if isinstance(shown, DurableError):
                self.add("an error's message", shown)
                self.add("an error's representation", repr(shown))
                self.add("an error's arguments", shown.args)
                self.add("an error's traceback", "".join(traceback.format_tb(shown.__traceback__)))
            shown = shown.__cause__ or shown.__context__

    def engine(self, engine: DurableEngine) -> None:
        """What an engine and its parts show of themselves, and its files while it is open."""
        for name, part in (
            ("engine", engine),
            ("parts", engine.parts),
            ("health", engine.health()),
        ):
            self.add(f"the representation of its {name}", repr(part))
        self.files("while it is open")

    def files(self, when: str) -> None:
        """The raw bytes of every file."""
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                self.found.append((f"{path.name} {when}", path.read_bytes()))

    def leaks(self) -> list[str]:
        """Where a secret was found."""
        everything = [*self.found, *self._logged(), *self._spanned()]
        return [
            f"{name} in {where}"
            for name, forms in SECRETS.items()
            for where, data in everything
            if any(form in data for form in forms)
        ]

    def _logged(self) -> Iterator[tuple[str, bytes]]:
        for record in self.records:
            where = f"a record of {record.name}"
            yield where, record.getMessage().encode()
            yield where, repr(record.args).encode()
            if record.exc_info:
                yield where, "".join(traceback.format_exception(*record.exc_info)).encode()

    def _spanned(self) -> Iterator[tuple[str, bytes]]:
        for span in self.spans.get_finished_spans():
            yield f"span {span.name}", span.to_json().encode()
            for event in span.events:
                yield f"an event of span {span.name}", repr(event.attributes).encode()


@contextmanager
def collecting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Evidence]:
    """Everything that comes out from here on; the loop is in debug mode meanwhile."""
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    records: list[logging.LogRecord] = []
    handler = _Keeper(records)
    root, loop = logging.getLogger(), asyncio.get_running_loop()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    loop.set_debug(True)
    loop.slow_callback_duration = 0
    try:
        yield Evidence(folder, spans, records)
    finally:
        loop.set_debug(False)
        root.setLevel(level)
        root.removeHandler(handler)


class _Keeper(logging.Handler):
    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)
