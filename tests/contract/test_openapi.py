"""The API document: valid, complete, with examples that hold, and types that compile."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from referencing import Registry, Resource

from gateway import encoding, openapi, routes
from kit.identity import Kind

ROOT = Path(__file__).resolve().parents[2]
TYPESCRIPT = Path(__file__).parent / "typescript"
DOCUMENT = openapi.build()
VERBS = ("get", "post", "put", "patch", "delete")


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for verb in VERBS:
            if verb in item:
                yield f"{verb} {path}", item[verb]


OPERATIONS = dict(operations())


def media_types() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, operation in OPERATIONS.items():
        if "requestBody" in operation:
            yield f"{name} body", operation["requestBody"]["content"]["application/json"]
        for status, response in operation["responses"].items():
            for media, content in response.get("content", {}).items():
                yield f"{name} {status} {media}", content
    for name, response in DOCUMENT["components"]["responses"].items():
        for content in response["content"].values():
            yield f"component {name}", content


MEDIA_TYPES = dict(media_types())


def test_the_document_is_valid() -> None:
    validate(DOCUMENT)


@pytest.mark.parametrize("name", MEDIA_TYPES)
def test_every_body_has_an_example_that_its_schema_accepts(name: str) -> None:
    media = MEDIA_TYPES[name]
    document: Resource[Any] = Resource.opaque(DOCUMENT)
    registry: Registry[Any] = Registry().with_resource("urn:api", document)
    schema = json.loads(json.dumps(media["schema"]).replace('"#/', '"urn:api#/'))
    Draft202012Validator(
        schema, registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER
    ).validate(media["example"])


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_says_all_that_a_caller_must_know(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation["summary"]
    assert operation["tags"]
    assert operation["security"]
    statuses = set(operation["responses"])
    assert {"400", "401", "429", "500", "503", "504"} <= statuses
    assert "default" not in statuses, "a status that is not named is not expected"
    if "{" in name:
        assert "404" in statuses
    if "requestBody" in operation:
        assert {"413", "415"} <= statuses


def test_security_follows_the_policy() -> None:
    for route in routes.routes():
        security = OPERATIONS[f"{route.verb.lower()} {route.path}"]["security"]
        assert ({} in security) == (route.policy.caller is Kind.NOBODY)


@pytest.mark.parametrize("route", routes.routes(), ids=lambda route: f"{route.verb} {route.path}")
def test_answers_name_the_headers_that_they_carry_and_no_others(route: routes.Route) -> None:
    responses = OPERATIONS[f"{route.verb.lower()} {route.path}"]["responses"]
    successes = {status: each for status, each in responses.items() if status[0] == "2"}
    is_read = route.verb == "GET" and not route.method.server_streaming
    policy = route.policy
    assert ("304" in responses) == is_read
    for status, response in successes.items():
        has = set(response["headers"])
        assert {"X-Request-Id", "RateLimit-Policy", "RateLimit"} <= has
        assert ("ETag" in has) == is_read
        assert ("Location" in has) == (bool(policy.location) and status != "204")
        assert ("Preference-Applied" in has) == (bool(policy.wait_path) and status != "204")
    expected = {str(policy.success_status)}
    expected |= {"200"} if policy.wait_path else set()
    expected |= {"204"} if route.method.server_streaming else set()
    assert set(successes) == expected


def test_every_read_takes_the_fields_of_its_answer_and_nothing_else_does() -> None:
    for name, operation in OPERATIONS.items():
        taken = [each for each in operation["parameters"] if each["name"] == "fields"]
        is_read = "application/json" in operation["responses"].get("200", {}).get("content", {})
        assert bool(taken) == (name.startswith("get ") and is_read), name
    [fields] = [p for p in OPERATIONS["get /v1/jobs"]["parameters"] if p["name"] == "fields"]
    named = fields["schema"]["items"]["$ref"].rpartition("/")[2]
    offered = DOCUMENT["components"]["schemas"][named]["enum"]
    assert {"id", "items", "items.state"} <= set(offered)
    assert "data" not in offered, "of a list those of its rows"


def test_every_field_that_the_document_offers_can_be_asked_for() -> None:
    for route in routes.routes():
        if route.verb == "GET" and not route.method.server_streaming:
            output = route.method.output_type
            encoding.partial_encoder(output, ",".join(encoding.selectable(output)))


def test_reasons_that_a_comment_names_are_answers_of_the_document() -> None:
    responses = OPERATIONS["post /v1/jobs"]["responses"]
    payment = DOCUMENT["components"]["responses"][responses["402"]["$ref"].rpartition("/")[2]]
    assert "insufficient_credits" in payment["description"]
    assert {"200", "202", "400", "402", "404", "409", "422"} <= set(responses)


def test_limits_that_a_comment_names_are_limits_of_the_schema() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    password = schemas["SignUpRequest"]["properties"]["password"]
    assert (password["minLength"], password["maxLength"]) == (8, 128)
    assert schemas["GrantCreditsRequest"]["properties"]["amount"]["maximum"] == 10**9
    [limit] = [p for p in OPERATIONS["get /v1/works"]["parameters"] if p["name"] == "limit"]
    assert (limit["schema"]["minimum"], limit["schema"]["maximum"]) == (1, 100)
    tags = schemas["Tags"]["properties"]["values"]
    assert (tags["maxItems"], tags["items"]["maxLength"]) == (20, 50)


def test_an_id_that_may_be_left_out_may_be_empty_and_others_may_not() -> None:
    [project] = [p for p in OPERATIONS["get /v1/works"]["parameters"] if p["name"] == "project_id"]
    ticket = DOCUMENT["components"]["schemas"]["CreateEventsTicketRequest"]["properties"]
    [work] = [p for p in OPERATIONS["get /v1/works/{work_id}"]["parameters"] if p["in"] == "path"]
    for schema in (project["schema"], ticket["batch_id"]):
        optional = Draft202012Validator(schema)
        assert optional.is_valid("")
        assert optional.is_valid("0197a2f4-5f00-7001-8000-000000000000")
        assert not optional.is_valid("nonsense")
    assert work["schema"]["format"] == "uuid"


def test_generated_typescript_compiles() -> None:
    """openapi-typescript makes types of the document, and a client written with them compiles."""
    if not shutil.which("npm"):
        pytest.skip("npm is not installed: the TypeScript types were NOT compiled")
    folder = ROOT / "build" / "typescript"
    folder.mkdir(parents=True, exist_ok=True)
    installed = folder / "package-lock.json"
    wanted = TYPESCRIPT / "package-lock.json"
    fresh = installed.exists() and installed.read_bytes() == wanted.read_bytes()
    for path in TYPESCRIPT.iterdir():
        shutil.copy(path, folder / path.name)
    if not (fresh and (folder / "node_modules").exists()):
        _run(["npm", "ci", "--no-audit", "--no-fund"], folder)
    (folder / "openapi.json").write_text(openapi.text())
    binaries = folder / "node_modules" / ".bin"
    _run([str(binaries / "openapi-typescript"), "openapi.json", "-o", "api.d.ts"], folder)
    _run([str(binaries / "tsc"), "-p", "."], folder)


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
