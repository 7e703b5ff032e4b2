"""The documents hold together: their links lead somewhere, and they name what the code has."""

from __future__ import annotations

import re

import pytest

from durable_core.composition import _HOOKS
from durable_core.contracts.allowlist import ALLOWED_BACKENDS
from durable_core.model.effects import (
    RECONCILE_CODE,
    EffectClass,
    EffectIntentSubClass,
    OnAmbiguous,
)
from durable_core.model.entries import PERSISTED_KINDS, EntryKind, Outcome
from durable_core.model.execution import Status
from durable_core.telemetry import METRICS, SpanName
from tests.meta.modules import ROOT, files, name_of

LINK = re.compile(r"\]\((?!https?:)([^)#]+)\)")
LISTED = re.compile(r"^\| (\d+) \| \[.*\]\((\d{4})-[\w-]+\.md\) \|$", re.MULTILINE)
DOCUMENTS = [name_of(path) for path in files("*.md")]
FORMAT = "spec/journal-format.md"
ADR = "spec/adr/README.md"
NOT_APPENDED = sorted(set(EntryKind) - PERSISTED_KINDS)


def document(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def row(text: str, *cells: object) -> bool:
    """Whether a table of `text` has a line that begins with these cells."""
    wanted = " | ".join(str(cell) for cell in cells)
    return f"| {wanted} |" in text


def line_of(what: str) -> str:
    """The codes beside `what` in the table of codes."""
    (line,) = re.findall(rf"^\| {re.escape(what)} \| (.*) \|$", document(FORMAT), re.MULTILINE)
    return str(line)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_to_files(name: str) -> None:
    links = LINK.findall(document(name))
    assert [link for link in links if not ((ROOT / name).parent / link).exists()] == []


@pytest.mark.parametrize("hook", sorted(_HOOKS.values()))
def test_plugins_document_has_a_section_on_the_hook(hook: str) -> None:
    text = document("spec/plugins.md")
    assert re.search(rf"^### `{hook}`$", text, re.MULTILINE)
    assert f"| `{hook}` |" in text


@pytest.mark.parametrize("backend", sorted(ALLOWED_BACKENDS))
def test_plugins_document_has_the_whole_list_of_backends(backend: str) -> None:
    place = ALLOWED_BACKENDS[backend]
    cells = (f"`{backend}`", f"`{place.distribution}`", f"`{place.package}`")
    assert row(document("spec/plugins.md"), *cells)


def test_plugins_document_has_every_metric_and_every_span() -> None:
    text = document("spec/plugins.md")
    metrics = re.findall(r"^\| `(durable\.[\w.]+)` \| (\w+) \| `(\S+)` \|$", text, re.MULTILINE)
    assert metrics == [(spec.name, spec.kind.value, spec.unit) for spec in METRICS.values()]
    assert [span for span in SpanName if f"`{span}`" not in text] == []


@pytest.mark.parametrize("kind", list(EntryKind), ids=lambda kind: kind.label)
def test_format_document_has_the_code_of_the_kind(kind: EntryKind) -> None:
    assert row(document(FORMAT), f"`{kind.label}`", int(kind))


def test_format_document_says_which_kinds_are_not_appended() -> None:
    assert [EntryKind.CHECKPOINT] == NOT_APPENDED
    assert "Kind 9 is never appended" in document(FORMAT)


@pytest.mark.parametrize(
    ("what", "codes"),
    [
        ("effect class", {code.name.lower(): int(code) for code in EffectClass}),
        ("sub-class", {code.name.lower(): int(code) for code in EffectIntentSubClass}),
        (
            "policy",
            {code.name.lower(): int(code) for code in OnAmbiguous} | {"reconcile": RECONCILE_CODE},
        ),
        ("status (in the anchor)", {code.label: int(code) for code in Status}),
    ],
)
def test_format_document_has_the_codes(what: str, codes: dict[str, int]) -> None:
    line = line_of(what)
    printed = {name: int(code) for name, code in re.findall(r"`(\w+)` (\d)", line)}
    assert printed == codes


def test_format_document_has_every_outcome() -> None:
    line = line_of("outcome of a `step_result`")
    assert [int(code) for code in re.findall(r"\d", line)] == sorted(Outcome)


def test_every_decision_is_listed_once() -> None:
    listed = LISTED.findall(document(ADR))
    numbers = [int(number) for number, _ in listed]
    assert [int(file) for _, file in listed] == numbers == list(range(1, len(numbers) + 1))
    assert len(files("spec/adr/0*.md")) == len(numbers)
