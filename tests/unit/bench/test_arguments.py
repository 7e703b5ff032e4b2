"""The commands of the bench refuse what cannot be, before anything is measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.__main__ import main
from bench.picture import main as picture
from bench.profile import main as profile


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nope"], "there is no 'nope'; choose from writer-throughput"),
        (["--folder", "{gone}", "nonces"], "there is no folder"),
        (["--json", "{gone}/figures.json", "nonces"], "there is no folder"),
        (["--svg", "{there}", "nonces"], "is a folder, not a file"),
    ],
)
def test_what_cannot_be_measured_or_written_is_refused_first(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([each.format(gone=tmp_path / "gone", there=tmp_path) for each in arguments])
    printed = capsys.readouterr()
    assert said in printed.err
    assert "measuring" not in printed.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nope"], "there is no 'nope'; choose from guarded-sequential"),
        (["--label", "a/b"], "is no part of a file's name"),
        (["--into", "{gone}"], "there is no folder"),
    ],
)
def test_what_cannot_be_profiled_is_refused_first(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        profile([each.format(gone=tmp_path / "gone") for each in arguments])
    assert said in capsys.readouterr().err


def test_figures_that_cannot_be_read_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "figures.json"
    for content in (None, "no JSON"):
        if content is not None:
            figures.write_text(content)
        with pytest.raises(SystemExit, match="2"):
            picture([str(figures), str(tmp_path / "picture.svg")])
        assert "cannot be read" in capsys.readouterr().err
