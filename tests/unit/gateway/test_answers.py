"""What answers carry: selected fields, preferences, announced ends, codes in two languages."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from atelier import options_pb2
from atelier.jobs.v1 import jobs_pb2
from atelier.works.v1 import works_pb2
from google.protobuf import descriptor_pb2, descriptor_pool

from gateway import encoding, errors_page, prefer
from gateway.bound import deprecation_headers
from gateway.config import GatewaySettings
from kit.config import Settings
from kit.errors import InvalidArgument
from kit.rpc.contract import Deprecation, policy_of


def selected(message: Any, fields: str) -> dict[str, Any]:
    return encoding.partial_encoder(message.DESCRIPTOR, fields)(message)


def test_only_the_fields_that_were_asked_for_are_written() -> None:
    job = jobs_pb2.Job(id="j", progress=5, items=[jobs_pb2.Item(id="i", step="s")])
    assert selected(job, "id,items.id") == {"id": "j", "items": [{"id": "i"}]}
    assert selected(job, "items") == {"items": [encoding.to_json(job.items[0])]}


def test_of_a_page_the_fields_of_its_rows_are_meant() -> None:
    page = works_pb2.ListWorksResponse(
        data=[works_pb2.Work(id="w", title="t")], has_more=True, next_cursor="c"
    )
    assert selected(page, "id") == {"data": [{"id": "w"}], "has_more": True, "next_cursor": "c"}


@pytest.mark.parametrize(
    "fields", ["", "nothing", "id,nothing", "items.nothing", "id.deeper", ",", "."]
)
def test_a_field_that_does_not_exist_is_named(fields: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        selected(jobs_pb2.Job(), fields)
    assert refused.value.violations[0].field == "fields"


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("wait=10", 10),
        ('respond-async, wait="5"', 5),
        ("WAIT = 7; x=y", 7),
        ("wait=9000", 60),
        ("wait=0", 0),
        ("wait", None),
        ("wait=soon", None),
        ("awaiting=5", None),
        ("", None),
    ],
)
def test_a_preference_to_wait_is_read_and_bounded(given: str, seconds: int | None) -> None:
    assert prefer.wait_seconds({"prefer": given}) == seconds


def made_method(**policy: Any) -> Any:
    """A method of a made proto with a policy, as if a release had brought it."""
    file = descriptor_pb2.FileDescriptorProto(
        name="made.proto", package="made", dependency=["atelier/options.proto"], syntax="proto3"
    )
    file.message_type.add(name="Nothing")
    method = file.service.add(name="MadeService").method.add(
        name="Do", input_type=".made.Nothing", output_type=".made.Nothing"
    )
    method.options.Extensions[options_pb2.policy].CopyFrom(options_pb2.Policy(**policy))
    pool = descriptor_pool.DescriptorPool()
    for each in (descriptor_pb2.DESCRIPTOR, options_pb2.DESCRIPTOR):
        pool.AddSerializedFile(each.serialized_pb)
    pool.Add(file)
    return pool.FindServiceByName("made.MadeService").methods_by_name["Do"]


def test_an_announced_end_is_told_in_every_answer() -> None:
    method = made_method(
        caller=options_pb2.CALLER_NOBODY,
        deprecation=options_pb2.Deprecation(
            since="2026-01-31", sunset="2026-07-31", successor="/v2/jobs"
        ),
    )
    announced = policy_of(method).deprecation
    assert announced == Deprecation(dt.date(2026, 1, 31), dt.date(2026, 7, 31), "/v2/jobs")
    assert deprecation_headers(announced) == (
        (b"deprecation", b"@1769817600"),
        (b"sunset", b"Fri, 31 Jul 2026 00:00:00 GMT"),
        (b"link", b'</v2/jobs>; rel="successor-version"'),
    )


def test_what_stays_says_nothing() -> None:
    assert policy_of(made_method(caller=options_pb2.CALLER_NOBODY)).deprecation is None
    assert deprecation_headers(None) == ()


@pytest.mark.parametrize("entry", errors_page.entries(), ids=lambda entry: str(entry["code"]))
def test_every_code_is_explained_in_both_languages(entry: dict[str, Any]) -> None:
    for name in ("title", "meaning", "remedy"):
        assert entry[name], name
        korean = entry[f"{name}_ko"]
        assert any("가" <= letter <= "힣" for letter in korean), f"{name}_ko"
    assert f'id="{entry["code"]}"' in errors_page.html()


def test_the_page_of_the_api_names_every_setting_with_its_default() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "api.md").read_text()
    own = GatewaySettings.model_fields.keys() - Settings.model_fields.keys()
    for name in own - {"http_host", "http_port"}:
        if name.endswith("_target"):
            continue
        assert f"ATELIER_{name.upper()}`" in page, name
        default = GatewaySettings.model_fields[name].default
        shown = default if isinstance(default, str) else f"{default:g}"
        assert shown in page, name
