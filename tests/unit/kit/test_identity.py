"""Tokens and tickets."""

from __future__ import annotations

import base64
import json
import uuid
from pathlib import Path

import jwt
import pytest

from kit.errors import Unauthenticated
from kit.identity import Kind, Signer, Verifier, create_key, publish_keys

USER = uuid.uuid4()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    for issuer in ("accounts", "jobs", "works"):
        create_key(tmp_path, issuer)
    publish_keys(tmp_path)
    return tmp_path


def test_a_user_token_is_accepted_by_every_service(keys: Path) -> None:
    token = Signer("accounts", keys).user_token(USER, Kind.MEMBER, 60)
    identity = Verifier("works", keys).verify(token)
    assert (identity.kind, identity.user_id) == (Kind.MEMBER, USER)


def test_only_accounts_issues_user_tokens(keys: Path) -> None:
    token = Signer("jobs", keys).user_token(USER, Kind.ADMINISTRATOR, 60)
    with pytest.raises(Unauthenticated):
        Verifier("works", keys).verify(token)


def test_a_service_token_is_good_for_its_callee_only(keys: Path) -> None:
    token = Signer("jobs", keys).service_token("works", USER)
    identity = Verifier("works", keys).verify(token)
    assert (identity.kind, identity.service, identity.user_id) == (Kind.SERVICE, "jobs", USER)
    with pytest.raises(Unauthenticated):
        Verifier("accounts", keys).verify(token)


def test_an_expired_token_is_refused(keys: Path) -> None:
    token = Signer("accounts", keys).user_token(USER, Kind.MEMBER, -3600)
    with pytest.raises(Unauthenticated):
        Verifier("works", keys).verify(token)


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_the_header_does_not_choose_the_algorithm(keys: Path, algorithm: str) -> None:
    token = Signer("accounts", keys).user_token(USER, Kind.MEMBER, 60)
    claims = jwt.decode(token, options={"verify_signature": False})
    x = json.loads((keys / "jwks.json").read_text())["keys"][0]["x"]
    secret = base64.urlsafe_b64decode(x + "==").ljust(32, b"0")
    headers = {"kid": "accounts-1", "typ": "at+jwt"}
    forged = jwt.encode(claims, None if algorithm == "none" else secret, algorithm, headers)
    with pytest.raises(Unauthenticated):
        Verifier("works", keys).verify(forged)


def test_a_ticket_is_for_one_thing_and_no_token(keys: Path) -> None:
    verifier = Verifier("jobs", keys)
    ticket = Signer("jobs", keys).ticket(USER, "job-1", 60)
    assert verifier.verify_ticket(ticket, "job-1").user_id == USER
    with pytest.raises(Unauthenticated):
        verifier.verify_ticket(ticket, "job-2")
    with pytest.raises(Unauthenticated):
        verifier.verify(ticket)


def test_keys_are_read_anew_when_they_change(keys: Path) -> None:
    verifier = Verifier("works", keys)
    verifier.verify(Signer("accounts", keys).user_token(USER, Kind.MEMBER, 60))
    create_key(keys, "templates")
    publish_keys(keys)
    token = Signer("templates", keys).service_token("works")
    assert verifier.verify(token).service == "templates"


@pytest.mark.parametrize("token", ["", "a", "a.b.c", "é.é.é"])
def test_nonsense_is_refused(keys: Path, token: str) -> None:
    with pytest.raises(Unauthenticated):
        Verifier("works", keys).verify(token)


@pytest.mark.parametrize("scopes", [["jobs:read", "jobs:write"], []])
def test_the_token_of_an_api_key_carries_its_scopes_and_no_scope_is_none_at_all(
    keys: Path, scopes: list[str]
) -> None:
    signer, verifier = Signer("accounts", keys), Verifier("works", keys)
    token = signer.user_token(USER, Kind.MEMBER, 60, scopes=scopes)
    assert verifier.verify(token).scopes == frozenset(scopes)
    session = verifier.verify(signer.user_token(USER, Kind.MEMBER, 60))
    assert session.scopes is None, "a session may do what its member may"
