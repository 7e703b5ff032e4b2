"""Master keys from text, environment and file; what is wrong is said without showing a key."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from durable_core.contracts import KeyProvider
from durable_core.errors import ConfigError
from durable_core.keysources import (
    EnvironmentKeys,
    KeyFile,
    TextKeys,
    generate_key,
    no_key_error,
    parse_keys,
)
from durable_core.secretfile import _refusal

ONE, TWO = bytes(range(32)), bytes(range(200, 232))


def text_of(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode()


def bare(key: bytes) -> str:
    return text_of(key).rstrip("=")


def key_file(folder: Path, content: str | bytes, mode: int = 0o600) -> Path:
    path = folder / "durable.key"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


def open_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_the_first_key_is_current_and_all_open() -> None:
    keys = parse_keys(f"7:{bare(ONE)},3:{bare(TWO)}")
    assert keys.current == 7
    assert keys.by_id == {7: ONE, 3: TWO}


def test_padding_and_spaces_around_entries_do_not_matter() -> None:
    assert parse_keys(f" 1:{text_of(ONE)} , 2:{bare(TWO)}\n").by_id == {1: ONE, 2: TWO}


@pytest.mark.parametrize("key_id", [1, 9, 10, 255])
def test_ids_go_from_1_to_255(key_id: int) -> None:
    assert parse_keys(generate_key(key_id)).current == key_id


GOOD = f"1:{bare(ONE)}"
BAD = {
    "empty text": ("", 1, "is empty"),
    "trailing comma": (f"{GOOD},", 2, "is empty"),
    "no colon": (bare(ONE), 1, "has no ':'"),
    "no id": (f":{bare(ONE)}", 1, "a number from 1 to 255"),
    "id 0": (f"0:{bare(ONE)}", 1, "a number from 1 to 255"),
    "id 256": (f"{GOOD},256:{bare(TWO)}", 2, "a number from 1 to 255"),
    "id -1": (f"-1:{bare(ONE)}", 1, "a number from 1 to 255"),
    "id in other digits": (f"\u0661:{bare(ONE)}", 1, "a number from 1 to 255"),
    "key and id swapped": (f"{bare(ONE)}:1", 1, "a number from 1 to 255"),
    "duplicate id": (f"{GOOD},1:{bare(TWO)}", 2, "uses key id 1 again"),
    "duplicate id, other spelling": (f"{GOOD},01:{bare(TWO)}", 2, "uses key id 1 again"),
    "no key": ("1:", 1, "a key of 0 bytes; it must have 32"),
    "short key": (f"1:{bare(ONE[:16])}", 1, "a key of 16 bytes; it must have 32"),
    "long key": (f"1:{bare(ONE + b'x')}", 1, "a key of 33 bytes; it must have 32"),
    "key cut off": (f"1:{bare(ONE)[:41]}", 1, "impossible length"),
    "plain base64": ("1:" + base64.b64encode(TWO).decode(), 1, "not base64url"),
    "hexadecimal": (f"1:{ONE.hex()}", 1, "a key of 48 bytes"),
    "space inside": (f"1:{bare(ONE)[:20]} {bare(ONE)[20:]}", 1, "not base64url"),
    "padding inside": (f"1:{bare(ONE)[:20]}={bare(ONE)[20:]}", 1, "not base64url"),
    "stray bits": (f"1:{bare(ONE)[:-1]}9", 1, "that no encoder writes"),
}


@pytest.mark.parametrize("case", BAD)
def test_ec_27_bad_entry_is_named_by_position_and_never_shown(case: str) -> None:
    text, position, wrong = BAD[case]
    with pytest.raises(ConfigError) as refused:
        parse_keys(text)
    message = str(refused.value)
    assert message.startswith(f"DURABLE_KEY, entry {position} ")
    assert wrong in message
    assert refused.value.__context__ is None
    for entry in text.split(","):
        for part in entry.split(":"):
            assert len(part) < 4 or part[:4] not in repr(refused.value)


def test_errors_say_how_to_make_a_key() -> None:
    with pytest.raises(ConfigError, match="`durable keygen`"):
        parse_keys("1:short")


def test_a_generated_key_is_an_entry_of_32_fresh_bytes() -> None:
    first, second = generate_key(), generate_key(2)
    assert first.startswith("1:")
    assert "=" not in first
    keys = parse_keys(f"{first},{second}")
    assert [len(key) for key in keys.by_id.values()] == [32, 32]
    assert keys.by_id[1] != keys.by_id[2]


@pytest.mark.parametrize("key_id", [0, 256, -1])
def test_a_key_is_not_generated_under_an_illegal_id(key_id: int) -> None:
    with pytest.raises(ConfigError, match="use 1 to 255"):
        generate_key(key_id)


def test_no_key_says_how_to_make_one_and_how_to_go_without() -> None:
    for needed in ("DURABLE_KEY", "durable keygen", "keys=", "encrypt_payload = false"):
        assert needed in str(no_key_error())


def test_environment_is_read_when_the_keys_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DURABLE_KEY", raising=False)
    provider: KeyProvider = EnvironmentKeys()
    assert not EnvironmentKeys().present
    monkeypatch.setenv("DURABLE_KEY", GOOD)
    assert EnvironmentKeys().present
    assert provider.load().by_id == {1: ONE}


@pytest.mark.parametrize("environ", [{}, {"DURABLE_KEY": ""}, {"DURABLE_KEY": " \n"}])
def test_environment_without_a_key(environ: Mapping[str, str]) -> None:
    assert not EnvironmentKeys(environ).present
    with pytest.raises(ConfigError, match="no key: set DURABLE_KEY"):
        EnvironmentKeys(environ).load()


def test_text_is_parsed_and_named_as_keys() -> None:
    provider: KeyProvider = TextKeys(GOOD)
    assert provider.load().current == 1
    with pytest.raises(ConfigError, match="keys, entry 1 has no ':'"):
        TextKeys("x").load()
    with pytest.raises(ConfigError, match="no key: set DURABLE_KEY"):
        TextKeys(" ").load()


@pytest.mark.parametrize(
    "content",
    [
        f"2:{bare(TWO)},{GOOD}",
        f"2:{bare(TWO)}\n{GOOD}\n",
        f"\n2:{text_of(TWO)},\r\n\r\n  {GOOD}  \n\n",
    ],
)
def test_key_file_holds_entries_by_line_or_by_comma(tmp_path: Path, content: str) -> None:
    provider: KeyProvider = KeyFile(key_file(tmp_path, content))
    keys = provider.load()
    assert (keys.current, dict(keys.by_id)) == (2, {2: TWO, 1: ONE})


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666])
def test_key_file_that_others_can_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path, GOOD, mode)
    with pytest.raises(ConfigError, match=rf"mode {mode:04o}\); run `chmod 600`"):
        KeyFile(path).load()


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o700])
def test_key_file_that_is_closed_to_others_is_read(tmp_path: Path, mode: int) -> None:
    assert KeyFile(key_file(tmp_path, GOOD, mode)).load().current == 1


@pytest.mark.parametrize(
    ("owner", "user", "fits"),
    [(1000, 1000, True), (0, 1000, True), (0, 0, True), (1001, 1000, False), (1000, 0, False)],
)
def test_key_file_belongs_to_its_user_or_to_root(owner: int, user: int, *, fits: bool) -> None:
    status = os.stat_result((stat.S_IFREG | 0o600, 0, 0, 1, owner, 0, 0, 0, 0, 0))
    refused = _refusal(status, user)
    assert (refused == "") is fits
    assert fits or f"belongs to user {owner}; it must belong to user {user}" in refused


def test_link_to_a_key_file_is_judged_by_its_target(tmp_path: Path) -> None:
    target = key_file(tmp_path, GOOD)
    link = tmp_path / "link"
    link.symlink_to(target)
    assert KeyFile(link).load().current == 1
    target.chmod(0o644)
    with pytest.raises(ConfigError, match="open to other users"):
        KeyFile(link).load()


def test_key_file_must_be_a_regular_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    for path in (pipe, tmp_path, Path(os.devnull)):
        with pytest.raises(ConfigError, match="is no regular file"):
            KeyFile(path).load()


def test_key_file_that_is_missing_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none cannot be read: No such file") as refused:
        KeyFile(tmp_path / "none").load()
    assert isinstance(refused.value.__cause__, FileNotFoundError)


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("", "holds no key; make a key with `durable keygen`"),
        (" \n,\n", "holds no key"),
        (b"1:\xff\xfe", "is no text"),
        ("x" * 65_537, "larger than 65536 bytes"),
        (f"{GOOD}\nnothing", "entry 2 has no ':'"),
    ],
)
def test_key_file_with_other_content_is_refused(
    tmp_path: Path,
    content: str | bytes,
    wrong: str,
) -> None:
    path = key_file(tmp_path, content)
    with pytest.raises(ConfigError) as refused:
        KeyFile(path).load()
    assert str(refused.value).startswith(f"key file {path}")
    assert wrong in str(refused.value)


def test_key_file_leaves_no_descriptor_open(tmp_path: Path) -> None:
    fine = key_file(tmp_path, GOOD)
    before = open_descriptors()
    KeyFile(fine).load()
    with pytest.raises(ConfigError):
        KeyFile(tmp_path).load()
    assert open_descriptors() == before


def test_ec_27_no_repr_shows_a_key(tmp_path: Path) -> None:
    path = key_file(tmp_path, GOOD)
    sources = (EnvironmentKeys({"DURABLE_KEY": GOOD}), TextKeys(GOOD), KeyFile(path))
    for source in sources:
        assert bare(ONE)[:6] not in f"{source!r} {source.load()!r} {source.load()}"
        assert repr(ONE)[2:10] not in repr(source.load())
