"""The examples that wait, pay, destroy and never end: killed in the middle, and started again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from attrs import frozen

from durable_core.keysources import generate_key
from tests.forked import run
from tests.meta.modules import ROOT

EXAMPLES = ROOT / "examples"
KILLED = -9
MAIL = r"may chair be bought for 19900 cents\? promise (\S+), token in (\S+)\n"


@frozen
class Place:
    """A folder with a journal, and the key to it."""

    folder: Path
    environment: dict[str, str]

    def command(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        return run(command, self.environment | more, self.folder)

    def approval(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.command(str(EXAMPLES / "approval.py"), *arguments)

    def cron(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.command(str(EXAMPLES / "cron.py"), *arguments)

    def agent(self, task: str, **more: str) -> subprocess.CompletedProcess[str]:
        return self.command(str(EXAMPLES / "agent_loop.py"), task, **more)

    def settle(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        url = ("--url", "sqlite:///agent.durable.db")
        return self.command("-m", "durable_cli", *url, "settle", *arguments)

    def files(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "files").iterdir())

    def calls(self) -> list[str]:
        """The keys under which the provider was paid."""
        lines = (self.folder / "provider.jsonl").read_text().splitlines()
        return [json.loads(line)["key"] for line in lines]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "files").mkdir()
    for name in ("a.log", "b.log", "keep.txt"):
        (tmp_path / "files" / name).touch()
    return Place(tmp_path, {"DURABLE_KEY": generate_key(), "PATH": os.environ["PATH"]})


def killed_after(place: Place, lines: int, script: str, *arguments: str) -> list[str]:
    """Start an example, kill it when it has printed so many lines, and return them."""
    with subprocess.Popen(
        [sys.executable, str(EXAMPLES / script), *arguments],
        cwd=place.folder,
        env=place.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            assert child.stdout is not None
            return [child.stdout.readline() for _ in range(lines)]
        finally:
            child.kill()


def mailed_and_killed(place: Place) -> tuple[str, str]:
    """Start the purchase of a chair, and kill it when the mail is out; the promise, its token."""
    (printed,) = killed_after(place, 1, "approval.py", "run", "chair", "19900")
    mail = re.fullmatch(MAIL, printed)
    assert mail is not None
    return mail[1], mail[2]


@pytest.mark.parametrize(
    ("word", "end"),
    [
        (("approve", "ann"), "chair is ordered, approved by ann\n"),
        (("reject", "too dear"), "chair is not ordered: too dear\n"),
    ],
)
def test_word_of_the_manager_counts_though_nobody_waited_when_it_came(
    place: Place, word: tuple[str, str], end: str
) -> None:
    mail = mailed_and_killed(place)
    given = place.approval(word[0], *mail, word[1])
    assert (given.returncode, given.stdout, given.stderr) == (0, "", "")
    ended = place.approval("run", "chair", "19900")
    assert (ended.returncode, ended.stdout) == (0, end)


def test_second_word_comes_too_late(place: Place) -> None:
    mail = mailed_and_killed(place)
    assert place.approval("approve", *mail, "ann").returncode == 0
    late = place.approval("reject", *mail, "too dear")
    assert (late.returncode, late.stderr.partition(":")[0]) == (1, "PromiseAlreadyResolved")
    assert place.approval("approve", *mail, "ann").returncode == 0


def test_nobody_answers_in_time(place: Place) -> None:
    ended = place.approval("run", "lamp", "4900", "--patience", "0.05")
    question, answer = ended.stdout.splitlines()
    assert answer == "lamp is not ordered: nobody answered"
    promise = question.split("promise ")[1].split(",")[0]
    late = place.approval("approve", promise, "mail/lamp.token", "ann")
    assert (late.returncode, late.stderr.partition(":")[0]) == (1, "ExecutionTerminal")


def test_token_is_in_the_mail_alone(place: Place) -> None:
    promise, mailed = mailed_and_killed(place)
    letter = place.folder / mailed
    assert letter.stat().st_mode & 0o777 == 0o600
    token = letter.read_text()
    for file in place.folder.glob("approval.durable.db*"):
        assert file.is_dir() or bytes.fromhex(token) not in file.read_bytes()
    letter.write_text("00" * 32)
    refused = place.approval("approve", promise, mailed, "eve")
    assert (refused.returncode, refused.stderr.partition(":")[0]) == (1, "InvalidResolverToken")


def test_agent_does_what_the_model_says(place: Place) -> None:
    ended = place.agent("tidy up")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "no logs are left\n", "")
    assert place.files() == ["keep.txt"]
    assert len(set(place.calls())) == len(place.calls()) == 6


def test_tool_that_does_not_exist_ends_the_loop(place: Place) -> None:
    ended = place.agent("go to the moon")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("gave up: the model wants the tool 'teleport'")
    assert place.files() == ["a.log", "b.log", "keep.txt"]


def test_call_that_was_paid_for_is_not_paid_for_twice(place: Place) -> None:
    assert place.agent("tidy up", KILL_IN="ask_model").returncode == KILLED
    assert place.agent("tidy up").stdout == "no logs are left\n"
    assert len(set(place.calls())) == len(place.calls()) == 6


@pytest.mark.parametrize(
    ("restored", "word"),
    [
        (False, ("--ran", "--value", '"deleted a.log"')),
        (True, ("--did-not-run",)),
    ],
)
def test_deletion_that_nobody_can_tell_about_waits_for_an_operator(
    place: Place, *, restored: bool, word: tuple[str, ...]
) -> None:
    assert place.agent("tidy up", KILL_IN="delete_file").returncode == KILLED
    assert place.files() == ["b.log", "keep.txt"]
    if restored:
        (place.folder / "files" / "a.log").touch()
    left = place.files()
    execution = place.agent("tidy up").stdout.partition(" is blocked: ")[0]
    assert place.agent("tidy up").stdout.startswith(f"{execution} is blocked: ")
    assert place.files() == left
    settled = place.settle(execution, "3", *word)
    assert (settled.returncode, settled.stderr) == (0, "")
    assert place.agent("tidy up").stdout == "no logs are left\n"
    assert place.files() == ["keep.txt"]


def test_loop_that_was_killed_reports_every_due_time_once(place: Place) -> None:
    timing = ("--every", "0.02", "--times", "7")
    assert len(killed_after(place, 3, "cron.py", *timing)) == 3
    ended = place.cron(*timing)
    assert ended.returncode == 0
    reports = (place.folder / "reports.txt").read_text().splitlines()
    assert ended.stdout.splitlines()[-1] == f"the last report was that of {reports[-1]}"
    assert reports == sorted(set(reports))
    assert len(reports) == 7
    dues = [datetime.fromisoformat(report) for report in reports]
    period = timedelta(milliseconds=20)
    gaps = [later - due for due, later in pairwise(dues)]
    assert [gap % period for gap in gaps] == [timedelta()] * 6
    assert max(gaps) > period  # what passed while nothing ran is made up for once


def test_loop_that_has_ended_does_not_begin_again(place: Place) -> None:
    timing = ("--every", "0.01", "--times", "2")
    last = place.cron(*timing).stdout.splitlines()[-1]
    again = place.cron(*timing)
    assert (again.stdout, again.stderr) == (f"{last}\n", "")
    assert len((place.folder / "reports.txt").read_text().splitlines()) == 2
