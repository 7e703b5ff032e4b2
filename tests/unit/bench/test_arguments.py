"""The commands of the bench refuse what cannot be, before anything is measured."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import pytest

from bench.arguments import file_to_write, folder, one_of, word
from bench.picture import main as picture


@pytest.mark.parametrize(
    ("option", "given", "said"),
    [
        ("--name", "nope", "there is no 'nope'; choose from one, two"),
        ("--folder", "{gone}", "there is no folder"),
        ("--file", "{gone}/figures.json", "there is no folder"),
        ("--file", "{there}", "is a folder, not a file"),
        ("--word", "a/b", "is no part of a file's name"),
    ],
)
def test_what_cannot_be_is_refused(
    option: str, given: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parser().parse_args([option, given.format(gone=tmp_path / "gone", there=tmp_path)])
    assert said in capsys.readouterr().err


def test_what_can_be_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    given = ["--name", "two", "--folder", str(tmp_path), "--file", str(file), "--word", "after"]
    taken = parser().parse_args(given)
    assert (taken.name, taken.folder, taken.file, taken.word) == ("two", tmp_path, file, "after")
    assert parser().parse_args(["--file", "figures.json"]).file == Path("figures.json")


def parser() -> ArgumentParser:
    parser = ArgumentParser()
    parser.add_argument("--name", type=one_of(["one", "two"]))
    parser.add_argument("--folder", type=folder)
    parser.add_argument("--file", type=file_to_write)
    parser.add_argument("--word", type=word)
    return parser


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
