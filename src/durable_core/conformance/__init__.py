"""The kit that every backend, cipher and metrics exporter must pass, for their own tests alone.

It needs the extra `durable-core[conformance]`. Nothing else in durable-core imports it. A conftest
that uses it says `pytest.register_assert_rewrite("durable_core.conformance")` before it imports
anything of it: without that a failed `assert` shows no values.
"""
