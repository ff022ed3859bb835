"""What a run found, in words and as a table."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.faults.accounts import ClientAccount
from tests.faults.judge import Finding
from tests.faults.run import Outcome

SHOWN_CLIENTS = 5
SHOWN_TROUBLE = 300
SHOWN_FINDINGS = 4
SHOWN_LINES = 40
KINDS = ("missing", "repeated", "disordered", "leaked", "unwanted", "ended", "unmoved")


def summary(outcome: Outcome) -> dict[str, Any]:
    verdict = outcome.verdict
    return {
        "seed": outcome.seed,
        "good": outcome.good,
        "faults": outcome.faults.total(),
        "kinds": len(outcome.faults),
        "updates": outcome.updates,
        "clients": outcome.clients,
        "deliveries": verdict.checked,
        "reconnects": outcome.reconnects,
        **{kind: verdict.count(kind) for kind in KINDS},
        "spared": verdict.spared,
        "told_conflated": verdict.told_conflated,
        "quiet_after": outcome.quiet_after and round(outcome.quiet_after, 1),
        "trouble": [each[:SHOWN_TROUBLE] for each in outcome.trouble],
        "faults_by_kind": dict(sorted(outcome.faults.items())),
    }


def describe(outcome: Outcome) -> str:
    """Counts; and where something is wrong the seed and the evidence."""
    told = summary(outcome)
    lines = [", ".join(f"{name} {value}" for name, value in told.items() if name != "faults_by_kind")]
    lines.append("faults: " + ", ".join(f"{name} {number}" for name, number in told["faults_by_kind"].items()))
    if not outcome.good:
        lines += [f"FAILED: python -m tests.faults --seed {outcome.seed}", *outcome.trouble, *_evidence(outcome)]
    return "\n".join(lines)


def write_table(summaries: Iterable[dict[str, Any]], folder: Path, title: str) -> None:
    """`results.json`, and `results.md` beside it; what other runs wrote there before is kept, seed by seed."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = folder / "results.json"
    before = json.loads(stored.read_text()) if stored.exists() else []
    rows = {each["seed"]: each for each in [*before, *summaries]}
    ordered = [rows[seed] for seed in sorted(rows)]
    stored.write_text(json.dumps(ordered, indent=1) + "\n")
    (folder / "results.md").write_text(f"# {title}\n\n" + "\n".join(_table(ordered)) + "\n")


def _table(rows: list[dict[str, Any]]) -> Iterator[str]:
    columns = [
        "seed",
        "faults",
        "kinds",
        "updates",
        "clients",
        "reconnects",
        "deliveries",
        *KINDS,
        "spared",
        "quiet_after",
    ]
    yield "| " + " | ".join(name.replace("_", " ") for name in columns) + " |"
    yield "|---" * len(columns) + "|"
    for row in rows:
        yield "| " + " | ".join(str(row[name]) for name in columns) + " |"


def _evidence(outcome: Outcome) -> Iterator[str]:
    by_client: dict[str, list[Finding]] = defaultdict(list)
    for finding in outcome.verdict.findings:
        by_client[finding.client].append(finding)
    accounts = {account.name: account for account in outcome.accounts}
    for name in sorted(each for each in accounts if any(each in text for text in outcome.trouble)):
        by_client.setdefault(name, [])
    for name, findings in list(by_client.items())[:SHOWN_CLIENTS]:
        account = accounts[name]
        yield f"--- {name}, user {account.user}, at {account.front}: {len(findings)} findings"
        for finding in findings[:SHOWN_FINDINGS]:
            yield f"{finding.kind} {finding.channel} {finding.place} {dict(finding.filters)}: {finding.detail}"
        yield from _timeline(account, outcome.diary)


def _timeline(account: ClientAccount, diary: list[tuple[float, str]]) -> Iterator[str]:
    lines = sorted([*account.timeline, *((at, f"* {text}") for at, text in diary)])
    for at, text in lines[-SHOWN_LINES:]:
        yield f"  {at:.3f} {time.strftime('%H:%M:%S', time.localtime(at))} {text if 'Traceback' in text else text[:200]}"
