"""A log line is one JSON object with a constant event name and the service's."""

import json
import subprocess
import sys

PROGRAM = """
import logging
from common.logs import configure_logs, describe, get_logger

configure_logs("router", level="INFO", form="{form}")
log = get_logger("kafka")
log.debug("hidden")
log.warning("waiting_for", what="kafka", **describe(ConnectionError("nobody\\nthere")))
logging.getLogger("aiokafka").error("library chatter")
logging.getLogger("other").warning("foreign %s", "line")
"""


def lines(form: str) -> list[str]:
    ran = subprocess.run([sys.executable, "-c", PROGRAM.format(form=form)], capture_output=True, text=True, check=True)
    return ran.stdout.splitlines()


def test_lines_are_json_objects_with_fields():
    ours, foreign = map(json.loads, lines("json"))
    assert ours["event"] == "waiting_for"
    assert ours["error"] == "ConnectionError"
    assert ours["reason"] == "nobody\nthere"
    assert (ours["level"], ours["service"], ours["logger"]) == ("warning", "router", "kafka")
    assert (foreign["event"], foreign["level"]) == ("foreign line", "warning")
    assert ours["timestamp"].endswith("Z")


def test_lines_for_people_are_text():
    first = lines("console")[0]
    assert "waiting_for" in first
    assert not first.startswith("{")
