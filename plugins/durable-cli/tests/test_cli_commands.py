"""The commands and their options, written down here once more, by hand."""

from __future__ import annotations

import typer.main
from typer.core import TyperGroup

from durable_cli.main import build

COMMANDS = {
    "demo": ["--check", "--keep", "--kills", "--orders", "--seed"],
    "keygen": ["--id"],
    "list": ["--json", "--key-file", "--limit", "--status", "--url", "--workflow"],
    "show": ["--json", "--key-file", "--reveal", "--url"],
    "inspect": ["--json", "--key-file", "--reveal", "--url"],
    "verify": ["--expect", "--json", "--key-file", "--url"],
    "cancel": ["--json", "--key-file", "--url", "--wait"],
    "resume": ["--app", "--json", "--key-file", "--reveal", "--url"],
    "claim": ["--force", "--json", "--key-file", "--url"],
    "settle": ["--abandon", "--did-not-run", "--json", "--key-file", "--ran", "--url", "--value"],
    "prune": ["--dry-run", "--json", "--key-file", "--url"],
    "resolve": ["--json", "--key-file", "--reject", "--token-file", "--url"],
    "plugins": ["--json"],
}


def test_the_command_line_has_these_commands_and_options() -> None:
    """Each long option of each command; `--help` is everywhere."""
    group = typer.main.get_command(build())
    assert isinstance(group, TyperGroup)
    found = {
        name: sorted(
            option
            for parameter in command.params
            for option in parameter.opts
            if option.startswith("--") and option != "--help"
        )
        for name, command in group.commands.items()
    }
    assert found == COMMANDS
