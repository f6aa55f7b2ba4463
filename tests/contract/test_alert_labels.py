"""Alerts and the dashboard pick series by labels that exist: a misspelt one would be silent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import yaml
from google.protobuf.descriptor import MethodDescriptor

from deploy.local.layout import SIGNERS
from gateway import routes
from gateway.openai.door import LABELS
from kit.rpc.contract import failures

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "monitoring"
# Its answer waits for the check of a file.
CONFIRM = "POST /v1/files/{file_id}/confirm"
_SELECTOR = re.compile(r"([a-z_]+)\{([^}]*)\}")
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
_MATCHES = {
    "=": lambda value, wanted: value == wanted,
    "!=": lambda value, wanted: value != wanted,
    "=~": lambda value, wanted: re.fullmatch(wanted, value) is not None,
    "!~": lambda value, wanted: re.fullmatch(wanted, value) is None,
}


@dataclass(frozen=True)
class Selector:
    """What picks series of one metric."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...]

    def picked(self, label: str, values: set[str]) -> set[str]:
        """Returns the values of a label that it takes."""
        wanted = [(how, text) for name, how, text in self.matchers if name == label]
        return {
            value for value in values if all(_MATCHES[how](value, text) for how, text in wanted)
        }

    def names(self, label: str) -> bool:
        return any(name == label for name, _, _ in self.matchers)


def selectors(expression: str) -> list[Selector]:
    # The variables of paths, as {file_id}, are written [^/]+ in patterns.
    return [
        Selector(metric, tuple(_MATCHER.findall(inside)))
        for metric, inside in _SELECTOR.findall(expression)
    ]


def expressions() -> Iterator[tuple[str, str]]:
    """Yields (name, expression) of every alert and of every panel."""
    for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for panel in json.loads((FOLDER / "dashboard.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", target["expr"]


EXPRESSIONS = dict(expressions())
API = {f"{each.verb} {each.path}": each for each in routes.routes()}
RPCS: dict[str, MethodDescriptor] = {
    f"{method.containing_service.full_name}/{method.name}": method
    for method in routes.methods(routes.load_descriptors())
}
ROUTES = {*API, *LABELS, "OTHER /v1/jobs", "pages", "unknown", "other", "unread"}
ROUTES |= {"GET /healthz", "GET /readyz"}
KNOWN = {
    "route": ROUTES,
    "rpc": set(RPCS),
    "process": {*SIGNERS, "triton"},
    "job": {"atelier"},
}
CODES = {
    "atelier_rpc_seconds": {code.name for code in grpc.StatusCode},
    "atelier_http_refusals_total": {failure.code for failure in failures().values()},
}


def routes_of(name: str) -> set[str]:
    [picked] = {
        frozenset(each.picked("route", ROUTES))
        for each in selectors(EXPRESSIONS[name])
        if each.names("route")
    }
    return set(picked)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_labels_that_are_picked_exist(name: str) -> None:
    for selector in selectors(EXPRESSIONS[name]):
        for label, values in KNOWN.items():
            assert selector.picked(label, values), (selector.metric, label)
        for label, how, text in selector.matchers:
            base = re.sub(r"_(count|bucket|sum)$", "", selector.metric)
            if label == "code" and how in ("=", "=~"):
                assert set(text.split("|")) <= CODES[base]


def test_reads_are_those_that_are_answered_at_once() -> None:
    wanted = {
        name
        for name, route in API.items()
        if route.verb == "GET" and name.startswith("GET /v1/")
        if not route.method.server_streaming
    }
    assert routes_of("ReadsSlow") == wanted


def test_writes_are_those_that_wait_for_nothing() -> None:
    wanted = {name for name, route in API.items() if route.verb != "GET"}
    wanted -= {name for name, route in API.items() if route.policy.wait_path} | {CONFIRM}
    assert routes_of("WritesSlow") == wanted
    assert CONFIRM in API


def test_requests_that_fail_are_those_of_both_apis() -> None:
    both = {name for name in ROUTES if "/v1/" in name}
    assert {"OTHER /v1/jobs", *LABELS} <= both
    every, failing = selectors(EXPRESSIONS["RequestsFail"])[1], EXPRESSIONS["RequestsFail"]
    assert every.picked("route", ROUTES) == both
    for selector in selectors(failing):
        assert selector.picked("route", ROUTES) == both


def test_calls_that_end_by_their_callee_s_end_are_the_streams_and_no_others() -> None:
    [unavailable] = [each for each in selectors(EXPRESSIONS["CallsFail"]) if each.names("rpc")]
    streams = {name for name, method in RPCS.items() if method.server_streaming}
    assert streams
    assert set(RPCS) - unavailable.picked("rpc", set(RPCS)) == streams


def test_whoever_must_be_there_is_missed() -> None:
    """The GPU unit may be scaled to nothing."""
    missed = {
        text
        for selector in selectors(EXPRESSIONS["ProcessAbsent"])
        for label, _, text in selector.matchers
        if label == "process"
    }
    assert missed == set(SIGNERS) - {"inference"}


@pytest.mark.parametrize("file", ["prometheus.yaml", "kubernetes.yaml"])
def test_what_prometheus_is_told_to_ask_is_the_job_that_alerts_name(file: str) -> None:
    told = yaml.safe_load((FOLDER / file).read_text())
    assert [each["job_name"] for each in told["scrape_configs"]] == ["atelier"]
    assert told["rule_files"] == ["alerts.yaml"]


def test_the_operator_s_page_says_of_every_alert_what_it_means() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            severity = rule["labels"]["severity"]
            rows = re.findall(
                rf"^\| `{rule['alert']}` \| {severity} \| ([^|]+) \| ([^|]+) \|$", page, re.M
            )
            assert len(rows) == 1, rule["alert"]
            assert all(len(cell) > 20 for cell in rows[0]), rule["alert"]


def test_the_operator_s_page_knows_no_alert_that_is_gone() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    named = set(re.findall(r"^\| `([A-Z]\w+)` \| (?:page|ticket) \|", page, re.M))
    assert named == {name for name in EXPRESSIONS if re.fullmatch(r"[A-Z][A-Za-z]+", name)} & named
