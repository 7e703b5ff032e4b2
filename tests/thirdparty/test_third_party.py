"""Packages by other authors, built and installed, and used in a process of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any, Final
from zipfile import ZipFile

import pytest

pytestmark = pytest.mark.entrypoints

EXAMPLES: Final = Path(__file__).parents[2] / "examples" / "third-party"

LIST: Final = """
    from durable_core.registry import Registry

    answer = [
        [info.kind.value, info.name, info.distribution, info.version, info.contract, info.usable]
        for info in Registry.discover(strict=False).describe()
    ]
"""

SEAL: Final = """
    from durable_core.errors import IntegrityError
    from durable_core.registry import Registry

    registry = Registry.discover()
    cipher = registry.cipher("aes-256-gcm-siv")
    sealed = [cipher.bind(bytes(32)).seal(b"text", b"place") for _ in range(2)]
    opener = registry.ciphers()[cipher.format_byte].bind(bytes(32))

    def opens(body, aad):
        try:
            return opener.open(body, aad) == b"text"
        except IntegrityError:
            return "IntegrityError"

    answer = {
        "opened": [opens(body, b"place") for body in sealed],
        "moved": opens(sealed[0], b"elsewhere"),
        "changed": opens(sealed[0][:-1] + bytes([sealed[0][-1] ^ 1]), b"place"),
        "distinct": sealed[0] != sealed[1],
        "overhead": len(sealed[0]) - len(b"text") == cipher.overhead,
        "formats": sorted(registry.ciphers()),
    }
"""

EXPORT: Final = """
    from durable_core.contracts import MetricKind, MetricSpec
    from durable_core.errors import PluginError
    from durable_core.registry import Registry

    registry = Registry.discover()
    try:
        exporter = registry.exporter("line")
    except PluginError as error:
        answer = str(error)
    else:
        spec = MetricSpec("durable.test.depth", MetricKind.GAUGE, "{entry}", "How deep it is.")
        exporter.prepare({spec.name: spec})
        exporter.record(spec.name, 2.5)
        exporter.close()
        answer = "recorded"
"""

REFUSE: Final = """
    from durable_core.errors import BackendNotAllowed
    from durable_core.registry import Registry

    answer = []
    for attempt in (
        Registry.discover,
        Registry.of,
        lambda: Registry.discover(strict=False).backend("rogue"),
        lambda: Registry.discover(strict=False).backend("sqlite"),
    ):
        try:
            attempt()
        except BackendNotAllowed as error:
            answer.append(str(error))
"""


def install(folder: Path, *examples: str) -> Path:
    """Build the wheel of each example and unpack all of them into `folder`: an installation."""
    for example in examples:
        source = folder.parent / "sources" / example
        shutil.copytree(EXAMPLES / example, source)
        wheels = folder.parent / "wheels" / example
        build = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels))
        subprocess.run(build, cwd=source, check=True, capture_output=True)
        (wheel,) = wheels.glob("*.whl")
        with ZipFile(wheel) as archive:
            archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the cipher and the exporter are installed."""
    return install(tmp_path_factory.mktemp("good") / "site", "toy-cipher", "line-exporter")


@pytest.fixture(scope="module")
def rogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the backend is installed that must not be used."""
    return install(tmp_path_factory.mktemp("rogue") / "site", "rogue-backend")


def run(program: str, *sites: Path, **variables: str) -> Any:
    """What `program` calls its answer, in a fresh process that also finds what is in `sites`."""
    environment = os.environ | variables | {"PYTHONPATH": os.pathsep.join(map(str, sites))}
    source = f"{dedent(program)}\nimport json\nprint(json.dumps(answer))"
    child = subprocess.run(
        (sys.executable, "-c", source),
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout)


def test_cipher_and_exporter_are_found_by_their_entry_points(good: Path) -> None:
    found = run(LIST, good)
    assert ["cipher", "aes-256-gcm-siv", "toy-cipher", "0.1.0", 1, True] in found
    assert ["metrics exporter", "line", "line-exporter", "0.1.0", 1, True] in found


def test_the_cipher_seals_and_opens_beside_that_of_the_house(good: Path) -> None:
    assert run(SEAL, good) == {
        "opened": [True, True],
        "moved": "IntegrityError",
        "changed": "IntegrityError",
        "distinct": True,
        "overhead": True,
        "formats": [0x01, 0x80],
    }


def test_the_exporter_appends_lines_to_its_file(good: Path, tmp_path: Path) -> None:
    lines = tmp_path / "metrics.txt"
    lines.write_text("before\n")
    assert run(EXPORT, good, LINE_EXPORTER_FILE=str(lines)) == "recorded"
    assert lines.read_text() == (
        "before\n# durable.test.depth gauge {entry}\ndurable.test.depth 2.5\n"
    )


def test_the_exporter_says_what_it_lacks(good: Path) -> None:
    assert "LINE_EXPORTER_FILE" in run(EXPORT, good, LINE_EXPORTER_FILE="")


def test_ec_40_the_rogue_backend_is_refused_by_name_and_never_imported(
    good: Path,
    rogue: Path,
    tmp_path: Path,
) -> None:
    mark = tmp_path / "imported"
    refusals = run(REFUSE, good, rogue, ROGUE_BACKEND_MARK=str(mark))
    assert len(refusals) == 4
    for refusal in refusals:
        assert "backend 'rogue' of rogue-backend 0.1.0" in refusal
        assert "'sqlite' of durable-sqlite" in refusal
    assert not mark.exists()
    run("import rogue_backend\nanswer = None", rogue, ROGUE_BACKEND_MARK=str(mark))
    assert mark.exists(), "the module would not have told"


def test_ec_40_the_rogue_backend_is_listed_as_refused(rogue: Path, tmp_path: Path) -> None:
    mark = tmp_path / "imported"
    found = run(LIST, rogue, ROGUE_BACKEND_MARK=str(mark))
    assert ["backend", "rogue", "rogue-backend", "0.1.0", None, False] in found
    assert not mark.exists()


@pytest.mark.parametrize("example", ["toy-cipher", "line-exporter"])
def test_the_examples_pass_the_kit_of_their_kind(good: Path, example: str, tmp_path: Path) -> None:
    """Run as their authors run them: by pytest, with none of our settings."""
    tests = shutil.copytree(EXAMPLES / example / "tests", tmp_path / "tests")
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    child = subprocess.run(
        (*command, str(tests)),
        env=os.environ | {"PYTHONPATH": str(good)},
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert child.returncode == 0, child.stdout
    assert " passed" in child.stdout
