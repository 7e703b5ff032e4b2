"""What the tests of the plugin have from those of core: no limit on the time of an example."""

from __future__ import annotations

from tests.untimed import run_untimed

run_untimed()
