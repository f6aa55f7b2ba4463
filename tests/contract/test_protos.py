"""What the protos promise: policies, routes, reasons, states."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from atelier.jobs.v1 import jobs_pb2
from atelier.works.v1 import files_pb2, works_pb2

import services.accounts.keys.domain as keys
import services.jobs.domain as jobs
import services.works.files.domain as files
import services.works.works.domain as works
from gateway import openapi, routes
from kit.errors import DomainError
from kit.identity import Identity, Kind
from kit.rows import enum_words
from kit.rpc.contract import failures, policy_of

ROOT = Path(__file__).resolve().parents[2]
METHODS = list(routes.methods(routes.load_descriptors()))


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
def test_every_rpc_says_who_may_call_it(method: object) -> None:
    assert policy_of(method)  # type: ignore[arg-type]


def test_a_service_is_let_in_only_where_it_is_named() -> None:
    service = Identity(Kind.SERVICE, service="jobs")
    for method in METHODS:
        policy = policy_of(method)
        if policy.caller is not Kind.NOBODY:
            assert policy.admits(service) == (policy.caller is Kind.SERVICE)


def test_everything_that_users_call_has_one_route() -> None:
    bound = [route.method.full_name for route in routes.routes()]
    assert len(bound) == len(set(bound))
    internal = {m.full_name: policy_of(m) for m in METHODS if m.full_name not in bound}
    assert all(each.caller is Kind.SERVICE or each.internal for each in internal.values())
    assert [name for name, each in internal.items() if each.internal] == [
        "atelier.accounts.v1.ApiKeysService.ExchangeApiKey"
    ]


# What no API key may do: manage keys and sessions, and what only administrators and services may.
WITHOUT_SCOPE = re.compile(
    r"ApiKeysService\.|IdentityService\.(SignUp|LogIn|LogOut|Refresh|CreateGuest|GetJwks)$"
)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
def test_a_call_names_its_scope_unless_no_key_may_make_it(method: Any) -> None:
    policy = policy_of(method)
    above = policy.caller in (Kind.ADMINISTRATOR, Kind.SERVICE)
    assert bool(policy.scope) != (above or bool(WITHOUT_SCOPE.search(method.full_name)))


def test_a_key_can_be_given_the_scopes_of_all_calls_and_no_others() -> None:
    assert set(keys.SCOPES) == {policy_of(m).scope for m in METHODS} - {""}


def test_what_reads_needs_no_scope_to_write_and_what_writes_none_to_read() -> None:
    # A ticket lets its owner read; cancelling is writing.
    for route in routes.routes():
        verb = route.policy.scope.partition(":")[2]
        name = route.method.name
        if verb and name != "CreateEventsTicket":
            assert (verb == "read") == (route.verb == "GET"), name


def _all_subclasses(of: type[DomainError]) -> list[type[DomainError]]:
    return [sub for each in of.__subclasses__() for sub in (each, *_all_subclasses(each))]


def test_every_refusal_has_a_reason_of_the_proto() -> None:
    for error in _all_subclasses(DomainError):
        assert error.reason in failures(), error


def test_the_api_document_is_not_stale() -> None:
    assert (ROOT / "docs" / "openapi.json").read_text() == openapi.text()


def test_every_field_and_rpc_carries_a_comment() -> None:
    silent = [
        name for name, text in openapi.comments(routes.load_descriptors()).items() if not text
    ]
    assert silent == []


def test_required_fields_are_marked_in_the_document() -> None:
    document = openapi.build()
    schema = document["components"]["schemas"]["SignUpRequest"]
    assert schema["required"] == ["password"]


def _drawn(heading: str) -> dict[str, set[str]]:
    """Reads a state machine from docs/states.md: lines of the form ``a --> b``."""
    text = (ROOT / "docs" / "states.md").read_text()
    section = text.partition(f"## {heading}")[2].partition("\n## ")[0]
    drawn: dict[str, set[str]] = {}
    for source, target in re.findall(r"^\s*(\S+) --> (\S+)", section, re.MULTILINE):
        if source != "[*]":
            drawn.setdefault(source, set())
            if target != "[*]":
                drawn[source].add(target)
    return drawn


def test_the_states_of_jobs_are_the_same_in_docs_code_and_proto() -> None:
    code = {str(state): {str(s) for s in after} for state, after in jobs.JOB_TRANSITIONS.items()}
    assert _drawn("Job") == code
    assert set(enum_words(jobs_pb2.State.DESCRIPTOR)) == set(code)


def test_the_states_of_items_are_the_same_in_docs_and_code() -> None:
    code = {str(state): {str(s) for s in after} for state, after in jobs.ITEM_TRANSITIONS.items()}
    assert _drawn("Item") == code


def test_the_states_of_works_are_the_same_in_docs_code_and_proto() -> None:
    code = {state: set(after) for state, after in works.TRANSITIONS.items()}
    assert _drawn("Work") == code
    assert set(enum_words(works_pb2.WorkState.DESCRIPTOR)) == set(code)


def test_the_states_of_files_are_the_same_in_docs_code_and_proto() -> None:
    code = {state: set(after) for state, after in files.TRANSITIONS.items()}
    assert _drawn("File") == code
    assert set(enum_words(files_pb2.FileState.DESCRIPTOR)) == set(code)
    assert set(enum_words(files_pb2.Bucket.DESCRIPTOR)) == set(files.BUCKETS)
    assert set(enum_words(files_pb2.FileKind.DESCRIPTOR)) == set(files.KINDS.values())
