"""The document of the OpenAI-compatible face: valid, and saying what the face's own code says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import validate

from gateway import pages
from gateway.openai import conversation, document, images
from gateway.openai.door import LABELS, ROOT, Face
from gateway.openai.faults import Fault, of_refusal
from kit.rpc.contract import failures
from kit.rpc.status import Refusal
from tests.acceptance.openai_face.face import DOCUMENT, check

READERS: dict[str, Any] = {
    "/images/generations": images.read,
    "/chat/completions": conversation.read,
}


def operations() -> dict[str, dict[str, Any]]:
    return {
        f"{verb.upper()} {ROOT}{path}": operation
        for path, item in DOCUMENT["paths"].items()
        for verb, operation in item.items()
    }


def body(path: str) -> dict[str, Any]:
    content: dict[str, Any] = DOCUMENT["paths"][path]["post"]["requestBody"]["content"]
    return dict(content["application/json"])


def asked(path: str) -> dict[str, Any]:
    """The schema of a request's body."""
    name = body(path)["schema"]["$ref"].rpartition("/")[2]
    return dict(DOCUMENT["components"]["schemas"][name])


def test_the_document_is_valid() -> None:
    validate(DOCUMENT)


def test_it_has_every_route_of_the_face_and_no_other() -> None:
    assert set(operations()) == LABELS
    face = Face(*[None] * 6, wait_seconds=1)  # type: ignore[arg-type]  # it only has to be made
    assert {f"{ROOT}{path}" for path in face._handlers} == {each.split()[1] for each in LABELS}


def examples() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, operation in operations().items():
        for status, response in operation["responses"].items():
            for media, content in response["content"].items():
                yield f"{name} {status} {media}", content["schema"]["$ref"], content["example"]


@pytest.mark.parametrize(("ref", "example"), [each[1:] for each in examples()])
def test_every_answer_has_an_example_that_its_schema_accepts(
    ref: str, example: dict[str, Any]
) -> None:
    check(ref, example)


@pytest.mark.parametrize("path", READERS)
def test_what_the_example_asks_for_is_taken(path: str) -> None:
    example = body(path)["example"]
    check(body(path)["schema"]["$ref"], example)
    READERS[path](example)


@pytest.mark.parametrize(
    ("path", "known"),
    [("/images/generations", images.KNOWN), ("/chat/completions", conversation.KNOWN)],
)
def test_every_parameter_that_is_known_is_named_and_no_other(path: str, known: set[str]) -> None:
    assert set(asked(path)["properties"]) == known
    example = body(path)["example"]
    for name in asked(path)["required"]:
        without = {key: value for key, value in example.items() if key != name}
        with pytest.raises(Fault) as refused:
            READERS[path](without)
        assert refused.value.param == name


@pytest.mark.parametrize("path", READERS)
def test_what_is_said_to_be_ignored_is_and_what_to_be_refused_too(path: str) -> None:
    for name, schema in asked(path)["properties"].items():
        sent = {**body(path)["example"], name: {"of": "no use"}}
        if "without effect" in schema.get("description", "") and "enum" not in schema:
            READERS[path](sent)
        elif "refused" in schema.get("description", ""):
            with pytest.raises(Fault) as refused:
                READERS[path](sent)
            assert refused.value.param == name


@pytest.mark.parametrize("reason", sorted(failures()))
def test_every_status_that_a_refusal_may_have_is_named(reason: str) -> None:
    fault = of_refusal(Refusal(failures()[reason], "no"))
    named = operations()[f"POST {ROOT}/chat/completions"]["responses"]
    assert str(fault.status) in named


def test_it_is_served_with_a_page_and_both_documents_lead_to_it() -> None:
    served = {getattr(each, "path", "") for each in pages.routes(pages.Health({}))}
    assert {document.PATH, "/docs/openai"} <= served
    page = (pages.STUDIO / "docs_openai.html").read_text()
    assert f'data-document="{document.PATH}"' in page
    assert 'href="/docs/openai"' in (pages.STUDIO / "docs.html").read_text()
