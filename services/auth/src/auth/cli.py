"""The arguments of the command `auth`, and what its `--help` says."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import timedelta

from common.errors import FieldError
from common.limits import NAMES, UNLIMITED, check_overrides
from common.permissions import KNOWN, check_permissions
from common.settings import seconds

EXAMPLES = """examples:
  auth keys create --user alice --permission channel:*
  auth keys create --user desk --permission channel:prices --permission broadcast --name "price desk" --expires 30d
  auth keys create --user load --permission '*' --unlimited --json
  auth keys list --user alice
  auth keys revoke 9f3c2a7be01d
  auth keys revoke --key-stdin < key.txt
  auth                                    start the service

Redis and Kafka are found by the variables of the service (REDIS_HOST, KAFKA_BOOTSTRAP_SERVERS, ...), and API_KEY_PEPPER
must be the one of the gateways. Exit codes: 0 done, 1 not done (one line says why), 2 wrong arguments or settings.
"""

LONGEST = timedelta(days=36500)

_ID_HELP = "first 12 hex digits of the key's hash as `list` shows them, or more of it, or the whole hash"


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """`command` is `serve`, `create`, `list`, `show` or `revoke`. Exits with 2 on wrong arguments."""
    parser = _parser()
    parsed = parser.parse_args(arguments)
    parsed.command = parsed.command or "serve"
    if parsed.command in ("show", "revoke") and (parsed.id is None) != parsed.key_stdin:
        parser.error(f"keys {parsed.command}: give either an ID or --key-stdin")
    return parsed


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "auth",
        description="Validates API keys for the gateways, and manages them.",
        epilog=EXAMPLES,
        formatter_class=raw,
    )
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    serve = commands.add_parser("serve", help="start the service (so does `auth` alone)")
    serve.set_defaults(command="serve")
    keys = commands.add_parser("keys", help="make, list, show and revoke keys", epilog=EXAMPLES, formatter_class=raw)
    actions = keys.add_subparsers(metavar="ACTION", title="actions", required=True)
    _add_create(actions)
    _add_list(actions)
    _add_show(actions)
    _add_revoke(actions)
    return parser


Actions = argparse._SubParsersAction  # noqa: SLF001 - argparse has no public name for it


def _add_create(actions: Actions[argparse.ArgumentParser]) -> None:
    create = actions.add_parser(
        "create",
        help="make a key and print it once",
        description="Makes a key and prints it once: only its hash is kept. With --key-stdin the key is the one on standard "
        "input; the same key given again gets what is given now, unless it was revoked.",
    )
    create.set_defaults(command="create")
    create.add_argument(
        "--user", required=True, type=_user, help="whose key it is: private updates of this user reach it"
    )
    create.add_argument(
        "--permission", action="append", required=True, type=_permission, dest="permissions", metavar="PERMISSION",
        help=f"what it may do, as often as needed: {', '.join(KNOWN).replace('%', '%%')}",
    )  # fmt: skip
    create.add_argument("--name", help="a note for people")
    create.add_argument(
        "--expires", type=_duration, metavar="DURATION", help="when it ends, from now: 30d, 12h, 90m (default: never)"
    )
    create.add_argument(
        "--limit", action="append", default=[], type=_limit, dest="limits", metavar="NAME=NUMBER",
        help=f"its own limit in place of the gateway's, `none` for no limit; NAME is one of {', '.join(NAMES)}",
    )  # fmt: skip
    create.add_argument("--unlimited", action="store_true", help="no limits of rate and of subscriptions")
    create.add_argument(
        "--key-stdin", action="store_true", help="register the key on standard input instead of a new one"
    )
    create.add_argument("--json", action="store_true", help="print one JSON object")


def _add_list(actions: Actions[argparse.ArgumentParser]) -> None:
    listing = actions.add_parser("list", help="list the keys, oldest first")
    listing.set_defaults(command="list")
    listing.add_argument("--user", help="only this user's")
    listing.add_argument("--json", action="store_true", help='print one JSON object: {"keys": [...]}')


def _add_show(actions: Actions[argparse.ArgumentParser]) -> None:
    show = actions.add_parser("show", help="show one key's record")
    show.set_defaults(command="show")
    _add_id(show)
    show.add_argument("--json", action="store_true", help="print one JSON object")


def _add_revoke(actions: Actions[argparse.ArgumentParser]) -> None:
    revoke = actions.add_parser(
        "revoke",
        help="revoke a key for good and close its connections",
        description="Revokes a key for good. Every gateway closes the connections that it opened (close code 4503). A whole "
        "hash, or --key-stdin, also revokes a key of which there is no record here, such as one of an existing key system.",
    )
    revoke.set_defaults(command="revoke")
    _add_id(revoke)
    revoke.add_argument("--json", action="store_true", help="print one JSON object")


def _add_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", nargs="?", metavar="ID", help=_ID_HELP)
    parser.add_argument("--key-stdin", action="store_true", help="the key itself is on standard input")


def _user(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    return text.strip()


def _permission(text: str) -> str:
    try:
        check_permissions([text])
    except FieldError as error:
        raise argparse.ArgumentTypeError(error.message) from error
    return text


def _duration(text: str) -> timedelta:
    try:
        duration = seconds(text)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{error} (given: {text!r})") from error
    if not timedelta() < duration <= LONGEST:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most {LONGEST.days}d")
    return duration


def _limit(text: str) -> tuple[str, int | None]:
    name, _, given = text.partition("=")
    try:
        value = None if given == "none" else int(given)
        check_overrides({name: value})
    except FieldError as error:
        raise argparse.ArgumentTypeError(error.message) from error
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be NAME=NUMBER or NAME=none (given: {text!r})") from error
    return name, value


def given_limits(arguments: argparse.Namespace) -> dict[str, int | None]:
    """The key's own limits: `--limit` overrules `--unlimited`."""
    return {**(UNLIMITED if arguments.unlimited else {}), **dict(arguments.limits)}
