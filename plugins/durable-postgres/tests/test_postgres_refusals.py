"""Databases that cannot be opened: one clear error each, soon, and no credential in it (INV-5)."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from durable_core.errors import ConfigError, DurableError, JournalUnavailable, SchemaTooNew
from tests.postgres import WAITING, Server

if TYPE_CHECKING:
    from conftest import Opener

    from durable_core.conformance.rows import Rows

CANARY = "hunter2-canary"
JOURNAL = "SELECT to_regclass('durable_schema')"


async def refused(opener: Opener, url: str, **settings: Any) -> DurableError:
    """The error of opening, which is of ours, comes soon, and shows nothing that is secret."""
    async with asyncio.timeout(50):
        with pytest.raises(DurableError) as raised:
            await opener(url, **settings)
    error = raised.value
    shown = "".join(traceback.format_exception(error)) + repr(error)
    chain: list[BaseException | None] = [error.__cause__, error.__context__]
    assert chain == [None, None]
    assert CANARY not in shown
    return error


async def role(admin: Any, name: str, options: str = "") -> str:
    """A role that goes with the test's database, and its name."""
    full = f"{name}_{os.urandom(4).hex()}"
    await admin.execute(f"CREATE ROLE {full} LOGIN {options}")
    return full


@pytest.fixture
def as_role(own_url: str) -> Any:
    """The URL of the test's own database for another role."""
    return lambda user, password="": own_url.replace(
        "postgres@", f"{user}:{password}@" if password else f"{user}@"
    )


async def test_a_wrong_password(opener: Opener, own_admin: Any, as_role: Any) -> None:
    user = await role(own_admin, "locked", "PASSWORD 'right'")
    error = await refused(opener, as_role(user, CANARY))
    assert isinstance(error, ConfigError)
    assert "check user, password" in str(error)
    assert user in str(error)


async def test_a_password_with_special_characters_and_the_usual_variables(
    opener: Opener,
    own_admin: Any,
    as_role: Any,
    own_server: Server,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    user = await role(own_admin, "locked", "PASSWORD 'p@ss/w:o?r#d %é' SUPERUSER")
    escaped = "p%40ss%2Fw%3Ao%3Fr%23d%20%25%C3%A9"
    backend = await opener(as_role(user, escaped))
    assert escaped not in backend.address
    await own_admin.execute(f"ALTER ROLE {user} PASSWORD 'p@ss/w;o?r#d %é'")
    database = as_role(user).rpartition("/")[2]
    passwords = tmp_path / "passwords"
    passwords.write_text(f"*:*:*:{user}:p@ss/w;o?r#d %é\n", encoding="utf-8")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGHOST", "127.0.0.1")
    monkeypatch.setenv("PGPORT", str(own_server.port))
    monkeypatch.setenv("PGUSER", user)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    monkeypatch.setenv("PGSSLMODE", "disable")
    assert await (await opener(f"postgres:///{database}")).list_executions() == []
    monkeypatch.setenv("PGDATABASE", database)
    monkeypatch.setenv("PGPASSWORD", "p@ss/w;o?r#d %é")
    assert await (await opener("postgres://")).list_executions() == []
    monkeypatch.setenv("PGPASSWORD", CANARY)
    assert "password" in str(await refused(opener, "postgres://"))


@pytest.mark.parametrize("user", ["nobody_of_that_name", "refused_by_name"])
async def test_a_user_that_the_server_does_not_let_in(
    opener: Opener, as_role: Any, user: str
) -> None:
    error = await refused(opener, as_role(user, CANARY))
    assert isinstance(error, ConfigError)
    assert "pg_hba.conf" in str(error)


async def test_no_such_database(opener: Opener, url: str) -> None:
    error = await refused(opener, f"{url}_missing")
    assert isinstance(error, ConfigError)
    assert "there is no such database" in str(error)


async def test_nobody_listens(opener: Opener) -> None:
    error = await refused(opener, f"postgres://u:{CANARY}@127.0.0.1:1/db")
    assert isinstance(error, JournalUnavailable)
    assert "at 127.0.0.1:1" in str(error)


async def test_the_place_comes_from_the_variables(
    opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOST", "127.0.0.1")
    monkeypatch.setenv("PGPORT", "1")
    error = await refused(opener, "postgres:///db")
    assert isinstance(error, JournalUnavailable)
    assert "at 127.0.0.1:1" in str(error)


async def test_a_host_that_has_no_address(opener: Opener) -> None:
    error = await refused(opener, f"postgres://u:{CANARY}@nowhere.invalid:5433/db")
    assert isinstance(error, JournalUnavailable)
    assert "at nowhere.invalid:5433" in str(error)


async def test_a_server_that_says_nothing(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("durable_postgres._connections.CONNECT_S", 0.5)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        error = await refused(opener, f"postgres://u:{CANARY}@127.0.0.1:{port}/db")
    assert isinstance(error, JournalUnavailable)
    assert f"at 127.0.0.1:{port}" in str(error)
    assert "TimeoutError" in str(error)


async def test_something_else_listens(opener: Opener) -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"postgres://u:{CANARY}@127.0.0.1:{port}/db?sslmode=disable"
        error = await refused(opener, url)
    assert isinstance(error, (JournalUnavailable, ConfigError))
    assert f"127.0.0.1:{port}" in str(error)


@pytest.mark.parametrize(
    "url",
    [
        f"postgres://u:{CANARY}@127.0.0.1:port/db",
        f"postgres://u:{CANARY}@127.0.0.1:99999999/db",
        f"postgres://u:{CANARY}@[::1/db",
        f"postgres://u:{CANARY}@127.0.0.1:1,2/db",
        f"postgres://u:{CANARY}@127.0.0.1:1/db?sslmode=maybe",
        f"postgres://u:{CANARY}@127.0.0.1:1/db?target_session_attrs=any-of-them",
        f"postgres://u:{CANARY}@127.0.0.1:1/db?port=x",
        f"postgres://u:{CANARY}@{'h' * 70}.example:1/db",
        f"postgres://u:{CANARY}@127.0.0.1:1/db%00x",
        f"postgres://u:{CANARY}@127.0.0.1:1/db\0x",
        f"postgres://u%ff:{CANARY}@127.0.0.1:1/db",
        f"postgres://127.0.0.1:1/db?password={CANARY}&host=",
        f"postgres://127.0.0.1:1/db?{CANARY}",
    ],
)
async def test_urls_that_are_none(opener: Opener, url: str) -> None:
    async with asyncio.timeout(50):
        with pytest.raises(DurableError) as raised:
            await opener(url)
    assert isinstance(raised.value, (ConfigError, JournalUnavailable))
    assert raised.value.__context__ is None
    if "?hunter2" not in url:
        assert CANARY not in str(raised.value)


async def test_no_right_to_create_tables(opener: Opener, url: str, admin: Any) -> None:
    user = await role(admin, "weak")
    try:
        error = await refused(opener, url.replace("postgres@", f"{user}@"))
        assert isinstance(error, ConfigError)
        assert "grant it CREATE" in str(error)
        await admin.execute("CREATE SCHEMA private")
        await admin.execute(f"ALTER ROLE {user} SET search_path = private")
        error = await refused(opener, url.replace("postgres@", f"{user}@"))
        assert "there is no schema" in str(error)
    finally:
        await admin.execute(f"DROP OWNED BY {user}")
        await admin.execute(f"DROP ROLE {user}")
    assert await admin.fetchval(JOURNAL) is None


async def test_the_rights_that_the_readme_names_are_enough(
    opener: Opener, url: str, admin: Any, rows: Rows
) -> None:
    await opener()
    user = await role(admin, "worker")
    try:
        rights = "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public"
        await admin.execute(f"GRANT {rights} TO {user}")
        await admin.execute(f"GRANT SELECT ON SEQUENCE durable_journal_seq_seq TO {user}")
        backend = await opener(url.replace("postgres@", f"{user}@"))
        await backend.hold_owner_lock("a")
        backend.announce_key(1, b"check")
        await backend.journal.append(rows.start(1, execution_key="k"))
        await backend.journal.append(rows.advance(2, 1, status="completed", finalized_at=3))
        await backend.probe()
        assert await backend.max_seq() == 2
        pruned = await backend.journal.prune(await backend.journal.ended(None, 9))
        assert pruned == {rows.execution_id(1)}
        await backend.close()
    finally:
        await admin.execute(f"DROP OWNED BY {user}")
        await admin.execute(f"DROP ROLE {user}")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("CREATE TABLE customers (id INTEGER)", "another application"),
        ("CREATE TABLE durable_schema (name TEXT)", "another application"),
        ("CREATE TABLE durable_schema (version TEXT)", "another application"),
        ("CREATE TABLE durable_schema (version INTEGER)", "another application"),
        ("CREATE TABLE durable_inbox (id INTEGER)", "another application"),
    ],
)
async def test_a_schema_that_is_not_ours_is_left_alone(
    opener: Opener, url: str, admin: Any, change: str, words: str
) -> None:
    await admin.execute(change)
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    error = await refused(opener, url)
    assert isinstance(error, ConfigError)
    assert words in str(error)
    assert await admin.fetchval(tables) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("DROP TABLE durable_journal", "it lacks durable_journal"),
        ("DROP TABLE durable_keys, durable_inbox", "it lacks durable_inbox, durable_keys"),
        ("DELETE FROM durable_schema", "holds no version"),
        ("DROP TABLE durable_schema", "durable_schema is missing"),
    ],
)
async def test_a_journal_of_which_a_part_is_missing(
    opener: Opener, url: str, admin: Any, change: str, words: str
) -> None:
    await opener()
    await admin.execute(change)
    error = await refused(opener, url)
    assert isinstance(error, ConfigError)
    assert words in str(error)


async def test_a_newer_schema(opener: Opener, url: str, admin: Any) -> None:
    await opener()
    await admin.execute("INSERT INTO durable_schema VALUES (99, 0)")
    error = await refused(opener, url)
    assert isinstance(error, SchemaTooNew)
    assert "upgrade durable-postgres" in str(error)


async def test_a_journal_that_must_exist_is_not_made(opener: Opener, url: str, admin: Any) -> None:
    error = await refused(opener, url, must_exist=True)
    assert isinstance(error, ConfigError)
    assert "no journal" in str(error)
    assert await admin.fetchval(JOURNAL) is None
    await opener()
    assert await (await opener(must_exist=True)).list_executions() == []


async def test_the_tables_of_another_schema_do_not_matter(
    opener: Opener, url: str, admin: Any, rows: Rows
) -> None:
    """Two journals in one database, each in a schema of its own, know nothing of each other."""
    await admin.execute("CREATE TABLE customers (id INTEGER); CREATE SCHEMA one; CREATE SCHEMA two")
    one = await opener(f"{url}?search_path=one")
    two = await opener(f"{url}?search_path=two")
    await one.journal.append(rows.start(1))
    assert await two.list_executions() == []


async def test_a_server_without_tls_is_refused_where_it_is_asked_for(
    opener: Opener, own_url: str
) -> None:
    error = await refused(opener, f"{own_url}?sslmode=require&password={CANARY}")
    assert isinstance(error, ConfigError)
    assert "TLS failed" in str(error)


@contextmanager
def certificate(folder: Path) -> Iterator[ssl.SSLContext]:
    """A server's context with a certificate that nobody has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    plain = serialization.NoEncryption()
    traditional = serialization.PrivateFormat.TraditionalOpenSSL
    pem = serialization.Encoding.PEM
    file.write_bytes(key.private_bytes(pem, traditional, plain) + built.public_bytes(pem))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    yield context


async def test_a_certificate_that_nobody_signed(
    opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = tmp_path / "roots.pem"
    (tmp_path / "other").mkdir()
    with certificate(tmp_path / "other"):
        roots.write_bytes((tmp_path / "other" / "server.pem").read_bytes())
    monkeypatch.setenv("PGSSLROOTCERT", str(roots))
    with certificate(tmp_path) as context:

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(8)
            writer.write(b"S")
            try:
                await writer.start_tls(context)
            except OSError:
                writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            url = f"postgres://u:{CANARY}@127.0.0.1:{port}/db?sslmode=verify-full"
            error = await refused(opener, url)
    assert isinstance(error, ConfigError)
    assert "TLS failed" in str(error)


async def test_a_missing_root_certificate(opener: Opener, tmp_path: Path) -> None:
    url = f"postgres://u:{CANARY}@127.0.0.1:1/db?sslmode=verify-full&sslrootcert={tmp_path}/no.pem"
    error = await refused(opener, url)
    assert isinstance(error, ConfigError)


async def test_ec_30_of_many_first_opens_one_migrates(opener: Opener, admin: Any) -> None:
    backends = await asyncio.gather(*(opener() for _ in range(6)))
    assert {len(await backend.list_executions()) for backend in backends} == {0}
    versions = await admin.fetch("SELECT version FROM durable_schema ORDER BY version")
    assert [version for (version,) in versions] == [1, 2, 3]


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
async def test_ec_30_whatever_a_transaction_sees_by_default(
    opener: Opener, url: str, admin: Any, level: str
) -> None:
    """Who has waited for the one that migrates looks at what that one did."""
    await admin.execute("SELECT pg_advisory_lock(7160, 1)")
    strict = f"{url}?default_transaction_isolation={level}"
    opening = [asyncio.ensure_future(opener(strict)) for _ in range(2)]
    while await admin.fetchval(WAITING) < len(opening):
        assert not any(one.done() for one in opening)
    await admin.execute("SELECT pg_advisory_unlock(7160, 1)")
    for backend in await asyncio.gather(*opening):
        assert await backend.list_executions() == []


async def test_ec_30_a_migration_has_the_time_that_it_needs(
    opener: Opener, url: str, admin: Any
) -> None:
    """Also where the role's statements may take half a second."""
    waited = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
        "AND datname = current_database() AND clock_timestamp() - query_start > interval '0.7 s'"
    )
    await admin.execute("SELECT pg_advisory_lock(7160, 1)")
    opening = asyncio.ensure_future(opener(f"{url}?statement_timeout=500"))
    while not await admin.fetchval(waited):
        assert not opening.done()
    await admin.execute("SELECT pg_advisory_unlock(7160, 1)")
    assert await (await opening).list_executions() == []
