"""What plugins offer, asked once by way of pluggy, and checked: names, contracts, format bytes.

Each plugin is asked through a pluggy manager of its own, which is gone when this is done. So no
plugin can wrap the hooks of another, and no hook call remains for later.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, Final, cast

import pluggy
from attrs import evolve, frozen

from durable_core.contracts.allowlist import BackendPlace
from durable_core.contracts.cipher import FIRST_FOREIGN_FORMAT, PayloadCipher
from durable_core.discovery import Origin, reason
from durable_core.errors import PluginConflict, PluginError
from durable_core.hookspecs import CONTRACT_VERSION, PROJECT, PluginSpecs, Provided
from durable_core.settings import Name

__all__ = ["Composition", "Offer", "PluginKind", "Refusal", "compose", "make"]

_OWN_FORMATS: Final = {0x01: BackendPlace("durable-aead", "durable_aead")}
"""The format bytes below 0x80, and who alone may claim each."""

_LAST_FORMAT: Final = 0xFF


class PluginKind(enum.Enum):
    """What a plugin can offer; the value is the word for it in messages and lists."""

    BACKEND = "backend"
    CIPHER = "cipher"
    KEY_PROVIDER = "key provider"
    EXPORTER = "metrics exporter"
    AUDIT_SINK = "audit sink"
    PLUGIN = "plugin"
    """One that was refused as a whole, before it was known what it offers."""


_HOOKS: Final = {
    PluginKind.CIPHER: "durable_ciphers",
    PluginKind.KEY_PROVIDER: "durable_key_providers",
    PluginKind.EXPORTER: "durable_metrics_exporters",
    PluginKind.AUDIT_SINK: "durable_audit_sinks",
}

_MEMBERS: Final = {
    PluginKind.CIPHER: ("name", "format_byte", "overhead", "bind"),
    PluginKind.KEY_PROVIDER: ("load",),
    PluginKind.EXPORTER: ("prepare", "record", "close"),
    PluginKind.AUDIT_SINK: ("record", "close"),
}


@frozen
class Offer:
    """One thing that a plugin offers. Ciphers are made already, as only they know their byte."""

    kind: PluginKind
    origin: Origin
    provided: Provided[Any]
    cipher: PayloadCipher | None = None
    format_byte: int | None = None
    """That of the cipher, read once when it was checked."""


@frozen
class Refusal:
    """Something installed that cannot be used, and the error that says why."""

    kind: PluginKind
    name: str
    origin: Origin
    contract: int | None
    error: PluginError


@frozen
class Composition:
    """What can be used, and what cannot."""

    offers: tuple[Offer, ...]
    refusals: tuple[Refusal, ...]


def compose(sources: Iterable[tuple[Origin, Callable[[], object]]]) -> Composition:
    """Load every plugin, ask it what it offers, and check that; `PluginError`s are collected."""
    offers: list[Offer] = []
    refusals: list[Refusal] = []
    for origin, load in sources:
        try:
            offered = list(_ask(load(), origin))
        except PluginError as error:
            refusals.append(Refusal(PluginKind.PLUGIN, origin.name, origin, None, error))
            continue
        for offer in offered:
            try:
                offers.append(_checked(offer))
            except PluginError as error:
                refusals.append(_refuse(offer, error))
    offers = _alone(offers, refusals, lambda offer: (offer.kind, offer.provided.name), "name")
    offers = _alone(offers, refusals, _format_byte, "format byte")
    return Composition(tuple(offers), tuple(refusals))


def make(offer: Offer) -> object:
    """What the factory of `offer` makes, an object of its kind.

    `PluginError` with the cause where the factory or a property raises, `PluginConflict` where the
    object lacks a member of its contract.
    """
    kind, name = offer.kind.value, offer.provided.name
    try:
        made: object = offer.provided.factory()
        missing = [member for member in _MEMBERS[offer.kind] if not hasattr(made, member)]
    except (Exception, SystemExit) as error:
        message = f"{kind} {name!r} from plugin {offer.origin} cannot be made ({reason(error)})"
        raise PluginError(message) from error
    if missing:
        message = f"{kind} {name!r} from plugin {offer.origin} lacks {', '.join(missing)}"
        raise PluginConflict(message)
    return made


def _ask(plugin: object, origin: Origin) -> Iterator[Offer]:
    """Everything that `plugin` offers; `PluginError` if it does not fit the hooks."""
    manager = _managing(plugin, origin)
    for kind, hook in _HOOKS.items():
        try:
            answers = [tuple(answer) for answer in getattr(manager.hook, hook)()]
        except (Exception, SystemExit) as error:
            message = f"hook {hook} of plugin {origin} failed ({reason(error)})"
            raise PluginError(message) from error
        for provided in (item for answer in answers for item in answer):
            if not isinstance(provided, Provided):
                message = (
                    f"hook {hook} of plugin {origin} returned {type(provided).__name__}; "
                    "it must return an iterable of Provided"
                )
                raise PluginConflict(message)
            yield Offer(kind, origin, provided)


def _managing(plugin: object, origin: Origin) -> pluggy.PluginManager:
    """A pluggy manager with this plugin alone; `PluginConflict` unless all its hooks are ours."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(PluginSpecs)
    legal = f"the hooks are {', '.join(sorted(_HOOKS.values()))}, none of them takes arguments"
    try:
        manager.register(plugin, origin.name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        callers = manager.get_hookcallers(plugin) or ()
        unknown = [caller.name for caller in callers if not caller.has_spec()]
        what = f"unknown hook {', '.join(unknown)}" if unknown else "argument that no hook has"
        message = f"plugin {origin} implements an {what}; {legal}"
        raise PluginConflict(message) from error
    if not manager.get_hookcallers(plugin):
        message = f"plugin {origin} marks no function with @hookimpl; {legal}"
        raise PluginConflict(message)
    return manager


def _checked(offer: Offer) -> Offer:
    """`offer`, with its cipher made if it is one; `PluginError` if it breaks the contract."""
    kind, provided, origin = offer.kind.value, offer.provided, offer.origin
    if not Name().accepts(provided.name):
        message = f"plugin {origin} offers a {kind} by a name that is not {Name().legal}"
        raise PluginConflict(message)
    if provided.contract != CONTRACT_VERSION:
        message = (
            f"{kind} {provided.name!r} from plugin {origin} is made for contract "
            f"{provided.contract}, this durable-core has contract {CONTRACT_VERSION}; "
            "install versions that fit each other"
        )
        raise PluginConflict(message)
    if offer.kind is not PluginKind.CIPHER:
        return offer
    cipher = cast("PayloadCipher", make(offer))
    try:
        name, byte, overhead = cipher.name, cipher.format_byte, cipher.overhead
    except (Exception, SystemExit) as error:
        message = f"cipher {provided.name!r} from plugin {origin} failed ({reason(error)})"
        raise PluginError(message) from error
    if name != provided.name:
        message = f"plugin {origin} offers cipher {provided.name!r}, which calls itself otherwise"
        raise PluginConflict(message)
    if type(overhead) is not int or overhead < 0:
        message = f"cipher {name!r} from plugin {origin} has an overhead that is no byte count"
        raise PluginConflict(message)
    _check_format(byte, offer)
    return evolve(offer, cipher=cipher, format_byte=byte)


def _check_format(byte: object, offer: Offer) -> None:
    cipher = f"cipher {offer.provided.name!r} from plugin {offer.origin}"
    if not isinstance(byte, int) or not 0 <= byte <= _LAST_FORMAT:
        message = f"{cipher} has a format byte that is no integer from 0 to 255"
        raise PluginConflict(message)
    owner = _OWN_FORMATS.get(byte)
    if owner is not None and _is_owner(offer.origin, owner):
        return
    if byte < FIRST_FOREIGN_FORMAT:
        message = (
            f"{cipher} claims format byte 0x{byte:02x}; those below "
            f"0x{FIRST_FOREIGN_FORMAT:02x} are durable-core's own, choose one from there to 0xff"
        )
        raise PluginConflict(message)


def _is_owner(origin: Origin, owner: BackendPlace) -> bool:
    return origin.is_at(owner) or (not origin.distribution and origin.package == owner.package)


def _format_byte(offer: Offer) -> Hashable:
    return offer.format_byte


def _alone(
    offers: Iterable[Offer],
    refusals: list[Refusal],
    claim: Callable[[Offer], Hashable],
    what: str,
) -> list[Offer]:
    """The offers whose claim nobody shares (None claims nothing); the others are refused."""
    claims: dict[Hashable, list[Offer]] = {}
    for number, offer in enumerate(offers):
        key = claim(offer)
        claims.setdefault(("none", number) if key is None else key, []).append(offer)
    for rivals in claims.values():
        if len(rivals) > 1:
            error = _rivalry(rivals, what)
            refusals.extend(_refuse(offer, error) for offer in rivals)
    return [rivals[0] for rivals in claims.values() if len(rivals) == 1]


def _rivalry(rivals: list[Offer], what: str) -> PluginConflict:
    claimed = " and ".join(
        f"{offer.provided.name!r} from plugin {offer.origin}" for offer in rivals
    )
    kind = rivals[0].kind.value
    return PluginConflict(
        f"more than one {kind} has the same {what}: {claimed}; uninstall all but one",
    )


def _refuse(offer: Offer, error: PluginError) -> Refusal:
    provided = offer.provided
    name: object = provided.name
    # A name that is no text is what is refused; what is listed then is the plugin's own.
    shown = name if isinstance(name, str) else offer.origin.name
    return Refusal(offer.kind, shown, offer.origin, provided.contract, error)
