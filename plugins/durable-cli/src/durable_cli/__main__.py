"""`python -m durable_cli` is the command `durable`."""

from durable_cli.main import run

run()
