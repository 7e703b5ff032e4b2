"""The project's gates: `nox` runs all that must pass, `nox -s demo` runs the main job.

Every session has an environment of its own, for the Python that runs nox (or for another one, with
`nox --force-python 3.13`). What is tested is what is shipped: a run builds the wheels once, and the
tests run against them; `src` is on the path of no test.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Final

import nox
from nox.command import CommandFailed
from packaging.requirements import Requirement

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_external_run = True

# A machine may forbid Python to keep what it compiles. The tests start hundreds of processes, each
# of which would compile all that it imports anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

ROOT: Final = Path(__file__).parent
CONSTRAINTS: Final = ("-c", "constraints/dev.txt")
RUN: Final = secrets.token_hex(8)
"""Tells this run from all others; see `install_built`."""

CORES: Final = "2"
"""Of a small machine."""

WORKERS: Final = ("-n", "3", "--dist=worksteal")
"""One more than its cores: some tests wait for processes and locks. Each more begins anew."""

MORE: Final = ("-n", "4", "--dist=worksteal")
"""For tests that wait for a server, too."""

FEWER: Final = ("-n", "2", "--dist=worksteal")
"""For few tests, and for a run beside another; see `at_once`."""

CORE: Final = "durable-core"
PLUGINS: Final = tuple(sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml")))
FOLDERS: Final = {CORE: ROOT, **{plugin: ROOT / "plugins" / plugin for plugin in PLUGINS}}
PROJECTS: Final = {
    name: nox.project.load_toml(folder / "pyproject.toml") for name, folder in FOLDERS.items()
}
THIRD_PARTY_FOLDERS: Final = sorted(
    path.parent for path in ROOT.glob("examples/third-party/*/pyproject.toml")
)
THIRD_PARTY: Final = tuple(folder.name for folder in THIRD_PARTY_FOLDERS)
GUESTS: Final = tuple(name for name in THIRD_PARTY if name != "rogue-backend")
SHORT_NAMES: Final = [name.removeprefix("durable-") for name in FOLDERS]
BACKENDS: Final = [
    name.removeprefix("durable-")
    for name, project in PROJECTS.items()
    if "durable_core.backends" in project["project"].get("entry-points", {})
]
SERVED_BY: Final = {"postgres": ("python", "-m", "tests.postgres", "--")}
"""Dialect → the command in front of what its sessions run, which gives it a server meanwhile."""

FEW_TESTS: Final = ("aead", "otel")
"""The distributions whose tests are over when more workers would have begun."""

IN_WHEELS: Final = ("tests/thirdparty",)
"""What the session `wheels` runs, and a whole run of the tests of core need not run as well."""

MATRIX: Final = tuple(
    f"tests/crash/test_{name}.py" for name in ("crash_matrix", "random_kills", "checker")
)
FULLY_COVERED: Final = ("wire", "journal", "replay")
COVERING: Final = (
    *(f"tests/unit/{package}" for package in FULLY_COVERED),
    "tests/golden",
    "tests/invariants",
    *(
        f"tests/unit/engine/test_{what}.py"
        for what in (
            *("continued_signals", "crowds", "divergences", "fresh_runs", "parallel"),
            *("promise_races", "promises", "promises_of_fresh_runs", "signals", "sleeping"),
        )
    ),
)
"""The tests that cover them. The others run without a look at that, which takes half their time."""


def group(name: str, distribution: str = CORE) -> list[str]:
    """The requirements of a dependency group of one of our projects."""
    return list(nox.project.dependency_groups(PROJECTS[distribution], name))


def is_ours(requirement: str) -> bool:
    """Whether this repository provides what is required."""
    return Requirement(requirement).name in {*FOLDERS, *THIRD_PARTY}


def from_elsewhere(requirements: Iterable[str]) -> list[str]:
    """Those of the requirements that this repository does not provide."""
    return sorted(text for text in set(requirements) if not is_ours(text))


def everything_needed() -> list[str]:
    """What all distributions and all their tests need from elsewhere."""
    needs = set(group("tests"))
    for name, project in PROJECTS.items():
        needs.update(project["project"]["dependencies"])
        needs.update(() if name == CORE else group("tests", name))
    return from_elsewhere(needs)


def wheelhouse(session: nox.Session) -> Path:
    """Where `build` puts what it builds."""
    return Path(session.cache_dir) / "wheels"


def built(session: nox.Session, text: str) -> str:
    """The wheel that meets this requirement of ours, with the extras that it asks for."""
    requirement = Requirement(text)
    (wheel,) = wheelhouse(session).glob(f"{requirement.name.replace('-', '_')}-*.whl")
    return f"{wheel}[{','.join(requirement.extras)}]" if requirement.extras else str(wheel)


def install(session: nox.Session, *requirements: str) -> None:
    """Install by `uv` where there is one: a session has its environment in a second or two.

    Without it, or where it fails, pip does it. What is imported is compiled then; most never is.
    """
    install_uncompiled(session, *requirements)
    borrow_compiled(session)


def install_uncompiled(session: nox.Session, *requirements: str) -> None:
    """By `uv` or by pip; see `install`."""
    uv = Path(session.cache_dir).parent / "installer" / "bin" / "uv"
    if session.venv_backend != "uv" and uv.exists():
        command = (str(uv), "pip", "install", "--quiet", *CONSTRAINTS, *requirements)
        environment = {"VIRTUAL_ENV": str(Path(session.bin).parent)}
        try:
            session.run(*command, env=environment, external=True)
        except CommandFailed:
            session.warn("uv could not install that; pip does")
        else:
            return
    session.install("--no-compile", *CONSTRAINTS, *requirements)


def borrow_compiled(session: nox.Session) -> None:
    """Take what has been compiled in the environment of `tests(core)`, which imports the most.

    Python and pytest take it only for a source of the same time and size, as `uv` installs it: it
    unpacks a wheel once, and links every environment to what it has unpacked.
    """
    lender = Path(session.cache_dir).parent / "tests-core"
    for theirs in lender.glob("lib/python*/site-packages"):
        ours = Path(session.bin).parent / theirs.relative_to(lender)
        for compiled in theirs.glob("**/__pycache__/*.pyc"):
            mine = ours / compiled.relative_to(theirs)
            if mine.parents[1].is_dir() and not mine.exists():
                mine.parent.mkdir(exist_ok=True)
                shutil.copyfile(compiled, mine)


def install_built(session: nox.Session, *requirements: str) -> None:
    """Install the requirements, those that are ours from the wheels of this run.

    In an environment that an earlier run has used (`nox -r`) ours are installed once more, alone,
    since it holds the same version of an earlier build.
    """
    ours = [built(session, text) for text in requirements if is_ours(text)]
    install(session, *ours, *from_elsewhere(requirements))
    first_run = Path(session.bin).parent / "first-run"
    if not first_run.exists():
        first_run.write_text(RUN, "utf-8")
    elif first_run.read_text("utf-8") != RUN:
        session.install("--no-deps", "--force-reinstall", *ours)


def at_once(session: nox.Session, *commands: Sequence[str]) -> None:
    """Run commands beside each other and show what each said when it has ended; all must succeed.

    One uses the cores while another one begins, waits, or comes to its last tests.
    """
    with ThreadPoolExecutor(len(commands)) as threads:
        running = [threads.submit(session.run, *command, silent=True) for command in commands]
        for ended in as_completed(running):
            sys.stdout.write(str(ended.result()))


@nox.session(default=False)
def installer(session: nox.Session) -> None:
    """What installs what the other sessions need; see `install`."""
    if session.venv_backend != "uv":
        session.install("--no-compile", *CONSTRAINTS, "uv")


@nox.session(requires=["installer"])
def lint(session: nox.Session) -> None:
    """Style and the usual mistakes, and the formatting."""
    install(session, *group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("python", "tests/meta/modules.py")


@nox.session(requires=["installer"])
def types(session: nox.Session) -> None:
    """Strict typing of everything; each plugin's tests alone, since their module names repeat."""
    install(session, *from_elsewhere(group("types")), *everything_needed())
    sources = [str(folder / "src") for folder in FOLDERS.values()]
    rest = [name for name in ("tests", "examples", "bench") if any(ROOT.glob(f"{name}/**/*.py"))]
    session.run("mypy", "--num-workers", CORES, *sources, *rest, "noxfile.py")
    for plugin in PLUGINS:
        own = FOLDERS[plugin] / "tests"
        if any(own.glob("**/*.py")):
            session.run("mypy", "--exclude", "/conformance/", str(own))
        if any(own.glob("conformance/*.py")):
            session.run("mypy", str(own / "conformance"))


@nox.session(requires=["installer"])
def layers(session: nox.Session) -> None:
    """Imports go down only, plugins stay apart and use the published surface."""
    install(session, *group("layers"))
    path = os.pathsep.join(str(folder / "src") for folder in FOLDERS.values())
    session.run("lint-imports", env={"PYTHONPATH": path})


@nox.session(default=False, requires=["installer"])
def build(session: nox.Session) -> None:
    """Build sdists, and from them wheels, of every distribution and third-party example."""
    install(session, *group("build"))
    shutil.rmtree(wheelhouse(session), ignore_errors=True)
    command = ("python", "-m", "build", "--no-isolation", "--outdir", str(wheelhouse(session)))
    folders = (*FOLDERS.values(), *THIRD_PARTY_FOLDERS)
    at_once(session, *((*command, str(folder)) for folder in folders))


@nox.session(requires=["build"])
@nox.parametrize("distribution", SHORT_NAMES, ids=SHORT_NAMES)
def tests(session: nox.Session, distribution: str) -> None:
    """The tests of one distribution, against its wheel and what its tests ask for."""
    if distribution == "core":
        core_tests(session)
        return
    plugin = f"durable-{distribution}"
    install_plugin(session, plugin)
    own = FOLDERS[plugin] / "tests"
    rest = (f"--ignore={own / 'conformance'}",) if distribution in BACKENDS else ()
    workers = FEWER if distribution in FEW_TESTS else workers_for(distribution)
    run_served(session, distribution, "pytest", *workers, *(session.posargs or [*rest, str(own)]))
    if distribution == "postgres" and not session.posargs:
        install_built(session, *group("tests"))
        on_postgres = ("--dialect", "postgres", *marked("dialects", "postgres"))
        run_served(session, distribution, "pytest", *MORE, *on_postgres)


def workers_for(dialect: str) -> tuple[str, ...]:
    """How many tests of a dialect's session run beside each other."""
    return MORE if dialect in SERVED_BY else WORKERS


def marked(*marks: str, where: str = "tests") -> list[str]:
    """The files of tests in which something carries one of these markers.

    Reading them all takes less than having pytest import them all to choose among them.
    """
    named = [f"mark.{mark}" for mark in marks]
    paths = sorted(ROOT.glob(f"{where}/**/test_*.py"))
    chosen = [path for path in paths if any(mark in path.read_text("utf-8") for mark in named)]
    return [str(path.relative_to(ROOT)) for path in chosen]


@nox.session(requires=["build"])
@nox.parametrize("dialect", BACKENDS, ids=BACKENDS)
def conformance(session: nox.Session, dialect: str) -> None:
    """The kit that every backend must pass, on this one."""
    plugin = f"durable-{dialect}"
    install_plugin(session, plugin)
    own = str(FOLDERS[plugin] / "tests" / "conformance")
    run_served(session, dialect, "pytest", *workers_for(dialect), *(session.posargs or [own]))


def install_plugin(session: nox.Session, plugin: str) -> None:
    """A plugin with core, the conformance kit, and what its tests ask for."""
    core = f"{CORE}[conformance]"
    install_built(session, core, plugin, *group("pytest"), *group("tests", plugin))


def run_served(session: nox.Session, dialect: str, *command: str) -> None:
    """Run a command of a dialect's session, by way of what gives it a server where it needs one."""
    session.run(*SERVED_BY.get(dialect, ()), *command)


def core_tests(session: nox.Session) -> None:
    """The tests of core; a whole run also demands full coverage of the packages that say so."""
    install_built(session, CORE, *group("tests"), *GUESTS)
    if session.posargs:
        session.run("pytest", *WORKERS, "--ignore=tests/crash", *session.posargs)
        return
    rest = [f"--ignore={path}" for path in ("tests/crash", *IN_WHEELS, *COVERING)]
    at_once(
        session,
        ("pytest", *WORKERS, *rest, "tests"),
        ("pytest", *FEWER, "--cov", "--cov-report=", *COVERING),
    )
    covered = ",".join(f"src/durable_core/{package}/*" for package in FULLY_COVERED)
    session.run("coverage", "report", f"--include={covered}", "--fail-under=100")


@nox.session(requires=["build"])
def crash(session: nox.Session) -> None:
    """Child processes killed with SIGKILL; `nox -s crash -- --kills 5000` for a long run."""
    install_built(session, CORE, *group("tests"))
    if session.posargs:
        session.run("pytest", "tests/crash", *session.posargs)
        return
    rest = map("--ignore={}".format, MATRIX)
    # The matrix counts its kills in one process, and kills several at once by itself.
    at_once(
        session,
        ("pytest", *MATRIX),
        ("pytest", *FEWER, "--dist=loadfile", *rest, "tests/crash"),
    )


@nox.session(requires=["build"])
def wheels(session: nox.Session) -> None:
    """What a user gets: the wheels in an empty environment, the demo, and the entry points."""
    install_built(session, f"{CORE}[local]", *PLUGINS)
    with session.chdir(session.create_tmp()):
        session.run("durable", "demo")
    needs = {*group("tests"), *(text for plugin in PLUGINS for text in group("tests", plugin))}
    install_built(session, *sorted(needs), *GUESTS)
    files = [*marked("entrypoints"), *marked("entrypoints", where="plugins/*/tests")]
    run_served(session, "postgres", "pytest", "-m", "entrypoints", *files)


@nox.session(default=False, requires=["build"])
def demo(session: nox.Session) -> None:
    """The main job: orders that survive being killed. Takes the options of `durable demo`."""
    install_built(session, f"{CORE}[local]", *PLUGINS)
    session.run("durable", "demo", *session.posargs)


@nox.session(default=False, requires=["build"])
def bench(session: nox.Session) -> None:
    """Measure the figures of spec/nfr.md as ratios in one run; peers get environments of theirs.

    A whole run also writes its figures and their picture into docs/.
    """
    install_measured(session)
    written = ("--json", "docs/figures.json", "--svg", "docs/figures.svg")
    session.run("python", "-m", "bench", *(session.posargs or written))


@nox.session(default=False, requires=["build"])
def profile(session: nox.Session) -> None:
    """Write into bench/profiles where the time of a step goes. Takes the names of workloads."""
    install_measured(session)
    session.run("python", "-m", "bench.profile", *session.posargs)


def install_measured(session: nox.Session) -> None:
    """Everything of ours, and what gives the bench a Postgres server."""
    beside = from_elsewhere(group("tests", "durable-postgres"))
    install_built(session, CORE, *PLUGINS, *beside)


@nox.session(default=False, requires=["build"])
def compare(session: nox.Session) -> None:
    """Make things go wrong here and in other engines, and write what happened into the docs."""
    install_built(session, f"{CORE}[local]", *PLUGINS)
    page = ("--page", "docs/comparison.md")
    session.run("python", "-m", "bench.comparison", *page, *session.posargs)


@nox.session(default=False)
def constraints(session: nox.Session) -> None:
    """Write constraints/dev.txt anew: the newest versions that fit, without where they lie."""
    session.install("uv")
    needs = set(everything_needed())
    for name in ("build", "lint", "types", "layers", "release"):
        needs.update(from_elsewhere(group(name)))
    wanted = Path(session.create_tmp()) / "requirements.in"
    wanted.write_text("".join(f"{text}\n" for text in sorted(needs)))
    plain = ("--universal", "--no-header", "--no-annotate", "--quiet")
    fresh = ("--upgrade", "--python-version", "3.11", "--output-file", CONSTRAINTS[1])
    session.run("uv", "pip", "compile", *plain, *fresh, str(wanted), silent=True)
