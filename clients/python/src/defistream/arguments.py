"""The command line: `defistream tail`."""

from __future__ import annotations

import argparse
import math
import ssl as tls
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from defistream.channels import CHANNELS, STATE_CHANNELS, parse_channel
from defistream.errors import InvalidArgument
from defistream.filters import make_filters

DEFAULT_URL = "ws://127.0.0.1:8080/v2/realtime"
_EPILOG = """\
All filters given must match; of one that is given several times, any. Updates go to standard output, what happens to the
connection to standard error.

examples:
  defistream tail --token bitcoin --token ethereum
  defistream tail --channel tvl --chain base --min-value 1000000
  defistream tail --channel protocol:aave-v3 --json | jq .data
  defistream tail --channel liquidations --resume-file liquidations.cursor

exit status: 0 done (--count reached, or nobody reads the output any more), 1 refused or connection lost for good,
2 wrong usage, 130 interrupted by Ctrl-C
"""


@dataclass(frozen=True, slots=True)
class TailOptions:
    """What `defistream tail` was asked to do. Empty lists are filters not given."""

    url: str
    api_key: str
    channels: tuple[str, ...]
    chains: tuple[str, ...]
    tokens: tuple[str, ...]
    protocols: tuple[str, ...]
    user: str | None
    min_value: float | None
    max_value: float | None
    snapshot: bool
    resume_file: str | None
    json: bool
    count: int | None
    reconnect: bool
    ssl: tls.SSLContext | None


def parse_arguments(arguments: Sequence[str], environment: Mapping[str, str]) -> TailOptions:
    """Exits with 2, having said why, for what cannot be meant; with 0 for --help."""
    parser = argparse.ArgumentParser(prog="defistream", description="Real-time DeFi market data in the terminal.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    tail = commands.add_parser(
        "tail",
        help="print updates as they come",
        description="Print updates as they come, one line each.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_connection(tail, environment)
    _add_filters(tail)
    _add_past(tail)
    _add_output(tail)
    given = parser.parse_args(arguments)
    try:
        return _options(given)
    except InvalidArgument as error:
        tail.error(str(error))


def _add_connection(parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    group = parser.add_argument_group("connection")
    url = environment.get("DEFISTREAM_URL") or DEFAULT_URL
    group.add_argument("--url", default=url, help=f"the gateway; default $DEFISTREAM_URL, else {DEFAULT_URL}")
    group.add_argument(
        "--api-key",
        "--key",
        default=environment.get("DEFISTREAM_API_KEY") or "",
        metavar="KEY",
        help="default $DEFISTREAM_API_KEY, which other users of this machine cannot see",
    )
    group.add_argument("--ca", metavar="FILE", help="certificates to trust for wss, PEM; default the system's")
    group.add_argument("--no-reconnect", action="store_true", help="end when the connection does")


def _add_filters(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to see (those marked * may be repeated)")
    channels = ", ".join(CHANNELS)
    group.add_argument(
        "--channel", action="append", metavar="NAME", help=f"* {channels} or protocol:<id>; default prices"
    )
    group.add_argument("--chain", action="append", metavar="NAME", help="* only updates of this chain")
    group.add_argument("--token", action="append", metavar="ID", help="* only updates of this token")
    group.add_argument("--protocol", action="append", metavar="ID", help="* only updates of this protocol")
    group.add_argument("--user", metavar="ID", help="only private updates of this user")
    group.add_argument("--min-value", type=_number, metavar="N", help="only values of N and above")
    group.add_argument("--max-value", type=_number, metavar="N", help="only values of N and below")


def _add_past(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what came before")
    group.add_argument(
        "--snapshot", action="store_true", help="first the last update of each entity (prices, tvl and protocols)"
    )
    group.add_argument(
        "--resume-file",
        metavar="FILE",
        help="keep in FILE how far it has come, and go on from there the next time; with --snapshot, last values where "
        "that is no longer kept",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "--json", action="store_true", help="print each update as the server sent it, one JSON object a line"
    )
    group.add_argument("--count", type=_count, metavar="N", help="end after N updates")


def _options(given: argparse.Namespace) -> TailOptions:
    if not given.api_key:
        raise InvalidArgument("no API key: give --api-key, or set DEFISTREAM_API_KEY")
    if not given.url.startswith(("ws://", "wss://")):
        raise InvalidArgument(f"the URL must begin with ws:// or wss://, not {given.url!r}")
    options = TailOptions(
        url=given.url,
        api_key=given.api_key,
        channels=tuple(dict.fromkeys(given.channel or ["prices"])),
        chains=tuple(given.chain or ()),
        tokens=tuple(given.token or ()),
        protocols=tuple(given.protocol or ()),
        user=given.user,
        min_value=given.min_value,
        max_value=given.max_value,
        snapshot=given.snapshot,
        resume_file=given.resume_file,
        json=given.json,
        count=given.count,
        reconnect=not given.no_reconnect,
        ssl=_trust(given.ca),
    )
    _check(options)
    return options


def _check(options: TailOptions) -> None:
    """Everything that would be refused on subscribing is refused here, before a connection is made."""
    for channel in options.channels:
        name, protocol = parse_channel(channel)
        if options.snapshot and name not in STATE_CHANNELS:
            raise InvalidArgument(f"--snapshot is for {', '.join(STATE_CHANNELS)}; {name} carries events")
        if protocol is not None and options.protocols:
            raise InvalidArgument(f"give either --channel {channel} or --protocol")
    make_filters(
        token_ids=options.tokens or None,
        protocol_ids=options.protocols or None,
        chains=options.chains or None,
        user_id=options.user,
        min_value=options.min_value,
        max_value=options.max_value,
    )


def _trust(ca_file: str | None) -> tls.SSLContext | None:
    try:
        return tls.create_default_context(cafile=ca_file) if ca_file is not None else None
    except OSError as error:
        raise InvalidArgument(f"cannot read certificates from {ca_file}: {error}") from None


def _number(text: str) -> float:
    number = float(text.replace("_", ""))
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"not a finite number: {text!r}")
    return number


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {count}")
    return count


# argparse names the kind of a wrong argument after its parser.
_number.__name__ = "number"
_count.__name__ = "count"
