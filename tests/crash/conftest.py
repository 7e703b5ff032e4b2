"""The option `--kills`, the matrix that all crash tests share, and its totals."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.matrix import Matrix, Tally

TALLY = pytest.StashKey[Tally]()
DEFAULT_KILLS = 120


def pytest_addoption(parser: pytest.Parser) -> None:
    text = f"how many times to kill at random instants (default: {DEFAULT_KILLS})"
    parser.addoption("--kills", type=int, default=DEFAULT_KILLS, help=text)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter,
    config: pytest.Config,
) -> None:
    tally = config.stash.get(TALLY, None)
    if tally is not None:
        terminalreporter.write_line(tally.summary)


@pytest.fixture(scope="session")
def kills(request: pytest.FixtureRequest) -> int:
    """How many random kills were asked for; the default where pytest began in another folder."""
    return int(request.config.getoption("--kills", default=DEFAULT_KILLS))


@pytest.fixture(scope="session")
def tally(request: pytest.FixtureRequest) -> Tally:
    return request.config.stash.setdefault(TALLY, Tally())


@pytest.fixture(scope="session")
def matrix(tally: Tally) -> Iterator[Matrix]:
    with Matrix.opened(tally) as opened:
        yield opened
