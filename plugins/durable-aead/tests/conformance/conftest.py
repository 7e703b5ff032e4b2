"""Failed asserts of the kit show their values."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("durable_core.conformance")
