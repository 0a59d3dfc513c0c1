"""Commands and their outcomes. Every manual operation and every change of state is one.

A `Command` is published on ``commands.v1.aggregator.<name>``; `COMMANDS` lists the names with the Struct that their
arguments must fit. What becomes of it is an `Outcome` on ``outcomes.v1.<source>.<id>``.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from netally.contracts import naming_rules

OUTCOME_STATES = ("accepted", "progress", "succeeded", "failed", "cancelled", "expired")
FINAL_STATES: Final = frozenset({"succeeded", "failed", "cancelled", "expired"})

Moment = Annotated[int, Meta(ge=946_684_800_000, le=2**53, description="Epoch milliseconds")]
HostName = Annotated[str, Meta(min_length=1, max_length=255)]
HostNames = Annotated[list[HostName], Meta(min_length=1, max_length=10_000)]
Names = Annotated[list[Annotated[str, Meta(min_length=1, max_length=255)]], Meta(min_length=1, max_length=100)]
Days = Annotated[int, Meta(ge=1, le=36_500)]
Level = Literal["debug", "info", "warning", "error"]
CommandId = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
TokenId = Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
TokenName = Annotated[str, Meta(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f]+$")]
RoleName = Literal["browser", "viewer", "operator", "admin"]
TokenHash = Annotated[
    str, Meta(max_length=200, pattern=r"^\$argon2id\$v=19\$m=\d{4,5},t=[1-9],p=[1-4]\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+$")
]
"""Argon2id as the PHC string format writes it, of a cost that is bounded: whoever checks a token pays it."""

TIER_ALIASES: Final = {"minutely": "1m", "hourly": "1h", "daily": "1d"}


class Command(msgspec.Struct, frozen=True):
    """An order on ``commands.v1.<target>.<name>``."""

    id: str
    """32 hex digits, made by the sender; the outcome carries it."""
    name: str
    arguments: dict[str, Any] = {}
    actor: str = ""
    """Who ordered it; ``actor_verified`` says whether that was proven."""
    actor_verified: bool = False
    """Believed only with the API's signature (header ``Netally-Signature``)."""
    dry_run: bool = False
    idempotency_key: str | None = None
    """A command with the key of an earlier one is not run again; at most 200 characters."""
    issued_at: int = 0
    """Epoch milliseconds."""
    deadline: int | None = None
    """Epoch milliseconds after which it must not start any more."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of a command, on ``outcomes.v1.<source>.<command_id>``."""

    command_id: str
    source: str
    """Who answers: ``aggregator`` or a host."""
    state: str
    """One of `OUTCOME_STATES`."""
    time: int
    """Epoch milliseconds."""
    message: str = ""
    """Plain words for people."""
    result: dict[str, Any] = {}
    field: str | None = None
    """The argument at fault, for refusals."""


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that can never be stored, on ``deadletters.v1.<stream>``, with the reason."""

    stream: str
    subject: str
    stream_sequence: int
    reason: str
    time: int
    payload: bytes
    """The body as it came, cut at 512 KiB (base64 in JSON)."""


# --- arguments ------------------------------------------------------------------------------------------------------


class Aggregate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Make the rollups' outstanding buckets anew from the tier below, within a range or all of them."""

    tier: Literal["all", "1m", "1h", "1d", "minutely", "hourly", "daily"] = "all"
    """The coarsest tier wanted: what it is made from is brought up to date first. ``all`` is ``1d``."""
    from_: Moment | None = msgspec.field(default=None, name="from")
    to: Moment | None = None


class CleanUp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Drop what is older than the retention says, now rather than within the hour."""


Cache = Literal["processes", "names", "hosts", "apps", "domains"]


class RefreshCache(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Forget what hosts, aggregators and API instances remember, so that they look it up anew."""

    caches: Annotated[list[Cache], Meta(min_length=1, max_length=5)] | None = None
    """All when absent. ``processes`` and ``names`` are the hosts', the others the aggregators'."""
    hosts: HostNames | None = None
    """All when absent."""
    wait_seconds: Annotated[float, Meta(ge=0.1, le=60)] = 5.0
    """How long hosts have to answer."""


class Export(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Write the rows of a tier and range into a file that can be downloaded for some days."""

    from_: Moment = msgspec.field(name="from")
    to: Moment
    """Exclusive."""
    tier: Literal["raw", "1m", "1h", "1d"] = "1h"
    format: Literal["csv", "json", "parquet"] = "csv"
    """``json`` is one object a line."""
    host: Names | None = None
    app: Names | None = None
    domain: Names | None = None
    filter: Annotated[str, Meta(max_length=2_000)] = ""
    """Filter language (docs/filters.md), besides the three above."""
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None
    """From the manifest of an earlier export: fails, saying why, unless the same bytes come out."""


class Pause(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stop capturing on hosts; the gap is recorded as paused."""

    hosts: HostNames | None = None
    """All when absent."""


class Resume(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Go on capturing on hosts."""

    hosts: HostNames | None = None
    """All when absent."""


class SetInterval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Change how often hosts cut and send what they counted."""

    interval: Literal[1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60]
    """Seconds."""
    hosts: HostNames | None = None
    """All when absent."""


class SetRetention(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Change how long each tier is kept. What is absent stays as it is."""

    raw: Days | None = None
    """Days."""
    minutes: Days | None = None
    hours: Days | None = None
    days: Days | UnsetType | None = UNSET
    """Null is for ever."""
    budget_gb: Annotated[float, Meta(gt=0, le=1_000_000)] | None = None
    """Instead of days: the longest ages that fit into so many GB (10⁹ bytes)."""


class SetConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Change settings of the aggregator. What is absent stays as it is."""

    retention: SetRetention | None = None
    ledger_days: Annotated[int, Meta(ge=1, le=3_650)] | None = None
    """Days that finished commands stay in the ledger."""
    answer_seconds: Annotated[float, Meta(ge=0.5, le=120)] | None = None
    """How long hosts have to follow a setting before they are named as late."""


class SetLogLevel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Change how much is logged, live and after restarts."""

    target: Literal["hosts", "aggregator", "api"]
    level: Level
    hosts: HostNames | None = None
    """Only with target ``hosts``; all when absent."""


class SetNamingRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Change how hosts rename and group applications, from the next interval on."""

    rules: Annotated[str, Meta(max_length=naming_rules.MAX_LENGTH)]
    """``FIELD=PATTERN -> NAME``, separated by semicolons; the first that fits wins. Empty: none."""
    hosts: HostNames | None = None
    """When absent all, and those that come later."""


class Purge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Delete one host's, application's or domain's data everywhere. Give exactly one of the three."""

    host: HostName | None = None
    app: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    """By name: all applications of that name."""
    domain: Annotated[str, Meta(min_length=1, max_length=255)] | None = None


class SaveView(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keep a page as it is now under a name. The same name of the same person again leads to the new address."""

    name: Annotated[str, Meta(min_length=1, max_length=80, pattern=r"\S")]
    address: Annotated[str, Meta(max_length=4_000, pattern=r"^/(?![/\\])[!-~]*$")]
    """Path and query of a page of this server, as it stands in a browser: ``/explore?range=7d&filter=port+%3D+443``."""


class DeleteView(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Forget a saved view."""

    view: CommandId
    """Its id: that of the command that first saved it."""


class Cancel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Take back a command that waits, or stop one that runs."""

    command: CommandId


class CreateToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Make a token known. Its secret was made by the API, which showed it once; what comes here is the hash of it."""

    token: TokenId
    name: TokenName
    role: RoleName
    hash: TokenHash
    hosts: HostNames | None = None
    """Names of the hosts that it may see; all when absent."""
    expires_at: Moment | None = None


class RevokeToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Let a token, and every session that was opened with it, be of no use any more."""

    token: TokenId


# --- what there is --------------------------------------------------------------------------------------------------

Arguments = (
    Aggregate | CleanUp | RefreshCache | Export | Pause | Resume | SetInterval | SetRetention | SetConfig | SetLogLevel
    | SetNamingRules | Purge | SaveView | DeleteView | Cancel | CreateToken | RevokeToken
)  # fmt: skip


class CommandKind(msgspec.Struct, frozen=True):
    """What is known of all commands of one name."""

    name: str
    arguments: type[Arguments]
    lane: str
    """Commands of one lane run one after the other, those of different lanes at the same time."""
    role: str
    """Least role that may order it."""
    summary: str
    previews: bool = False
    """Whether ``dry_run`` tells what would happen."""
    resumes: bool = True
    """Whether it is run again when the aggregator ended in the middle. Else it fails, as its counts would be wrong."""
    limits: Literal["", "hosts", "host", "own"] = ""
    """The argument that names hosts, where those are all that it is about: a token for some hosts may order it for
    them. ``own``: it is about what its actor made. Empty: it is about all."""
    signed: bool = False
    """Taken from the API alone: who can publish on the bus must not make tokens by that."""
    withheld: str = ""
    """Argument that nobody is shown."""


COMMANDS: Final = {
    kind.name: kind
    for kind in (
        CommandKind("aggregate", Aggregate, "maintenance", "operator", "Bring the rollups up to date"),
        CommandKind(
            "cleanup", CleanUp, "maintenance", "admin", "Apply the retention now", previews=True, resumes=False
        ),
        CommandKind(
            "purge", Purge, "maintenance", "admin", "Delete a host's, app's or domain's data", previews=True,
            resumes=False,
        ),
        CommandKind(
            "set-retention", SetRetention, "maintenance", "admin", "Change how long each tier is kept", previews=True
        ),
        CommandKind("set-config", SetConfig, "maintenance", "admin", "Change settings", previews=True),
        CommandKind(
            "export", Export, "export", "operator", "Write rows into a file to download", limits="host"
        ),
        CommandKind("refresh-cache", RefreshCache, "quick", "operator", "Forget what is remembered, everywhere"),
        CommandKind("pause", Pause, "quick", "operator", "Stop capturing on hosts", limits="hosts"),
        CommandKind("resume", Resume, "quick", "operator", "Go on capturing on hosts", limits="hosts"),
        CommandKind("set-interval", SetInterval, "quick", "operator", "Change how often hosts send", limits="hosts"),
        CommandKind("set-log-level", SetLogLevel, "quick", "admin", "Change how much is logged"),
        CommandKind("set-naming-rules", SetNamingRules, "quick", "admin", "Change how applications are renamed"),
        CommandKind("save-view", SaveView, "quick", "operator", "Keep a page under a name", limits="own"),
        CommandKind("delete-view", DeleteView, "quick", "operator", "Forget a saved view", limits="own"),
        CommandKind("cancel", Cancel, "control", "operator", "Take back or stop a command", limits="own"),
        CommandKind("create-token", CreateToken, "access", "admin", "Make a token known", signed=True, withheld="hash"),
        CommandKind("revoke-token", RevokeToken, "access", "admin", "Let a token be of no use any more", signed=True),
    )
}  # fmt: skip
LANES: Final = ("maintenance", "export", "quick", "control", "access")

MAX_KEY: Final = 200


class RefusedError(Exception):
    """A command cannot be carried out as it was ordered. The message says why, ``field`` which part is at fault."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


def kind_of(command: Command) -> CommandKind:
    """Raises RefusedError for a name that is none."""
    try:
        return COMMANDS[command.name]
    except KeyError:
        raise RefusedError(
            f"there is no command {command.name[:60]!r}; there are {', '.join(COMMANDS)}", "name"
        ) from None


def check(command: Command) -> Arguments:
    """Typed arguments of a command. Raises RefusedError naming the field that is wrong."""
    kind = kind_of(command)
    if not re.fullmatch("[0-9a-f]{32}", command.id):
        raise RefusedError("id must be 32 hexadecimal digits", "id")
    if command.idempotency_key is not None and not 0 < len(command.idempotency_key) <= MAX_KEY:
        raise RefusedError(f"idempotency_key must have 1 to {MAX_KEY} characters", "idempotency_key")
    if command.deadline is not None and not 0 <= command.deadline < 2**53:
        raise RefusedError("deadline must be epoch milliseconds", "deadline")
    if not 0 <= command.issued_at < 2**53:
        raise RefusedError("issued_at must be epoch milliseconds", "issued_at")
    if command.dry_run and not kind.previews:
        raise RefusedError(f"{command.name} has no preview: leave dry_run out", "dry_run")
    try:
        arguments: Arguments = msgspec.convert(command.arguments, kind.arguments)
    except msgspec.ValidationError as error:
        field = _field(str(error))
        raise RefusedError(f"{field or 'arguments'}: {_words(str(error))}", field or "arguments") from None
    _check_together(arguments)
    return arguments


def _check_together(arguments: Arguments) -> None:
    """What holds between fields."""
    match arguments:
        case Export(from_=start, to=end) if start >= end:
            raise RefusedError("from does not lie before to", "from")
        case Aggregate(from_=None, to=int()):
            raise RefusedError("to is given without from", "from")
        case Aggregate(from_=int(start), to=int(end)) if start >= end:
            raise RefusedError("from does not lie before to", "from")
        case Purge():
            given = [name for name in ("host", "app", "domain") if getattr(arguments, name) is not None]
            if len(given) != 1:
                raise RefusedError("give exactly one of host, app and domain", given[1] if given else "host")
        case CreateToken(role="admin", hosts=list()):
            raise RefusedError("an admin token is for all hosts: what admins change concerns every one", "hosts")
        case SetLogLevel(target="hosts"):
            pass
        case SetLogLevel(hosts=list()):
            raise RefusedError("hosts goes with target hosts only", "hosts")
        case SetNamingRules(rules=rules):
            try:
                naming_rules.read_rules(rules)
            except ValueError as error:
                raise RefusedError(str(error), "rules") from None
        case SetRetention():
            _check_retention(arguments, "")
        case SetConfig():
            if arguments == SetConfig():
                raise RefusedError("nothing is to be changed: give one of its settings", "arguments")
            if arguments.retention is not None:
                _check_retention(arguments.retention, "retention.")


def _check_retention(wanted: SetRetention, prefix: str) -> None:
    ages = [wanted.raw, wanted.minutes, wanted.hours]
    has_ages = any(age is not None for age in ages) or wanted.days is not UNSET
    if wanted.budget_gb is not None and has_ages:
        raise RefusedError("budget_gb and days of tiers exclude each other", f"{prefix}budget_gb")
    if wanted.budget_gb is None and not has_ages:
        raise RefusedError("nothing is to be changed: give raw, minutes, hours, days or budget_gb", f"{prefix}raw")


def _field(message: str) -> str:
    """Name of the field that msgspec complains of."""
    path = re.search(r"at `\$\.?([^`]*)`$", message)
    inside = re.search(r"(?:missing required field|contains unknown field) `([^`]*)`", message)
    parts = [found for found in (path and re.sub(r"\[.*", "", path[1]), inside and inside[1]) if found]
    return ".".join(parts)


def _words(message: str) -> str:
    words = re.sub(r" - at `[^`]*`$", "", message)
    words = words.replace("Object missing required", "missing").replace("Object contains unknown", "unknown")
    return words[:1].lower() + words[1:]


# --- what services and hosts tell each other about commands ---------------------------------------------------------


class CacheOrder(msgspec.Struct, frozen=True):
    """Broadcast on ``commands.v1.hosts.refresh-cache`` and ``commands.v1.services.refresh-cache`` (core NATS)."""

    command_id: str
    caches: list[str]
    hosts: list[str] | None = None


class CacheReply(msgspec.Struct, frozen=True):
    """What one instance dropped."""

    instance: str
    """A host's name, or that of a service and its process."""
    service: str
    """``capture``, ``aggregator`` or ``api``."""
    dropped: dict[str, int]
    """Entries by cache."""


class FollowOrder(msgspec.Struct, frozen=True):
    """Broadcast on ``commands.v1.services.follow-settings`` (core NATS): read the settings anew."""

    command_id: str
    service: str


class FollowReply(msgspec.Struct, frozen=True):
    instance: str
    service: str
    version: int
    before: dict[str, Any]
    after: dict[str, Any]


class StopOrder(msgspec.Struct, frozen=True):
    """Broadcast on ``commands.v1.services.stop-command`` (core NATS): whoever runs the command stops it."""

    command_id: str
    actor: str
