"""TemplatesService over gRPC, as jobs and the gateway call it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import grpc
import nats
import pytest
from atelier.templates.v1 import events_pb2
from atelier.templates.v1 import templates_pb2 as pb
from google.protobuf import json_format, struct_pb2

from deploy.local import stack
from deploy.local.layout import Layout
from deploy.local.supervisor import Supervisor
from kit.rpc import status
from kit.rpc.status import Refusal
from tests.integration.templates.conftest import ROOT, Desk

ORDER = [
    "general-advert",
    "general-picture",
    "fashion-lookbook",
    "beauty-product",
    "eats-advert",
    "cinema-poster",
    "cartoon-character",
    "general-chat",
]


async def resolve(
    desk: Desk, inputs: dict[str, Any] | None = None, **asked: Any
) -> pb.ResolvedSubmission:
    struct = struct_pb2.Struct()
    json_format.ParseDict({"text": "카페 신메뉴"} if inputs is None else inputs, struct)
    request = pb.ResolveSubmissionRequest(inputs=struct, **asked)
    return await desk.service.call(desk.stub.ResolveSubmission, request)


async def refusal(desk: Desk, inputs: dict[str, Any] | None = None, **asked: Any) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await resolve(desk, inputs, **asked)
    return status.decode(refused.value)


async def test_pages_follow_the_order_of_the_shelf_and_never_overlap(desk: Desk) -> None:
    seen: list[str] = []
    after = ""
    while True:
        page = await desk.stub.ListTemplates(pb.ListTemplatesRequest(limit=3, after=after))
        seen += [template.id for template in page.data]
        assert page.has_more is bool(page.next_cursor)
        if not page.has_more:
            break
        after = page.next_cursor
    assert seen == ORDER


async def test_a_page_that_ends_exactly_has_no_more(desk: Desk) -> None:
    page = await desk.stub.ListTemplates(pb.ListTemplatesRequest(limit=len(ORDER)))
    assert (len(page.data), page.has_more, page.next_cursor) == (len(ORDER), False, "")


async def test_a_list_can_be_of_one_category(desk: Desk) -> None:
    page = await desk.stub.ListTemplates(pb.ListTemplatesRequest(category="general"))
    assert [template.id for template in page.data] == [*ORDER[:2], "general-chat"]
    for nothing in ("nowhere", "No Name"):
        page = await desk.stub.ListTemplates(pb.ListTemplatesRequest(category=nothing))
        assert not page.data


async def test_a_template_is_read_with_form_schema_and_graph(desk: Desk) -> None:
    template = await desk.stub.GetTemplate(pb.GetTemplateRequest(template_id="eats-advert"))
    listed = await desk.stub.ListTemplates(pb.ListTemplatesRequest(category="eats"))
    assert listed.data[0] == template
    fields = {field.id: field for field in template.form_fields}
    assert list(fields) == ["text", "aspect", "tone", "language", "headline_position", "seed"]
    assert fields["aspect"].default.string_value == "4:3"
    assert fields["text"].length_max == 2000
    assert fields["seed"].HasField("min")
    assert not fields["text"].HasField("min")
    schema = json_format.MessageToDict(template.request_schema)
    assert schema["required"] == ["text"]
    assert schema["additionalProperties"] is False
    assert template.version == 1


@pytest.mark.parametrize("name", ["nothing", "", "No Name", "a\x00b", "x" * 500])
async def test_a_template_that_is_not_there_is_not_found(desk: Desk, name: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await desk.stub.GetTemplate(pb.GetTemplateRequest(template_id=name))
    assert status.decode(refused.value).failure.reason == "NOT_FOUND"


async def test_categories_are_listed_in_their_order(desk: Desk) -> None:
    found = await desk.stub.ListCategories(pb.ListCategoriesRequest())
    assert [(one.id, one.workers_max) for one in found.data] == [
        ("general", 5),
        ("fashion", 5),
        ("beauty", 3),
        ("eats", 3),
        ("cinema", 3),
        ("cartoon", 3),
    ]
    assert found.data[0].title.ko == "일반"


async def test_nothing_but_a_text_makes_picture_and_copy_by_the_default(desk: Desk) -> None:
    resolved = await resolve(desk)
    assert (resolved.template_id, resolved.template_version) == ("general-advert", 1)
    assert resolved.category == "general"
    assert [
        (item.work_type, item.variation, item.credits, item.estimated_seconds, item.pool)
        for item in resolved.items
    ] == [("promotional_image", 1, 10, 7, "gpu"), ("marketing_copy", 1, 2, 1, "text")]
    assert json.loads(resolved.inputs_json) == {
        "text": "카페 신메뉴",
        "aspect": "1:1",
        "tone": "friendly",
        "language": "auto",
        "headline_position": "top",
    }


async def test_a_whole_number_stays_whole_on_its_way(desk: Desk) -> None:
    resolved = await resolve(desk, {"text": "x", "seed": 42})
    assert '"seed":42' in resolved.inputs_json
    assert '"seed":42.0' not in resolved.inputs_json


@pytest.mark.parametrize(
    ("asked", "template", "category"),
    [
        ({"category": "eats"}, "eats-advert", "eats"),
        ({"template_id": "cinema-poster"}, "cinema-poster", "cinema"),
        ({"template_id": "general-picture", "category": "fashion"}, "general-picture", "fashion"),
    ],
)
async def test_template_and_category_stand_in_for_each_other(
    desk: Desk, asked: dict[str, str], template: str, category: str
) -> None:
    resolved = await resolve(desk, **asked)
    assert (resolved.template_id, resolved.category) == (template, category)


async def test_the_graph_carries_the_style_of_the_category(desk: Desk) -> None:
    path = ROOT / "services/templates/data/categories/fashion.json"
    style = json.loads(path.read_text())["prompt_style"]
    resolved = await resolve(desk, template_id="eats-advert", category="fashion")
    graph = json.loads(resolved.graph_json)
    assert graph["nodes"]["prompt"]["inputs"]["style"] == f"{style}, close-up on a table"


async def test_unknown_names_are_refused_with_the_known_ones(desk: Desk) -> None:
    unknown = await refusal(desk, template_id="eats-avdert")
    assert unknown.failure.reason == "UNKNOWN_TEMPLATE"
    assert unknown.metadata == {"template": "eats-avdert", "known": ", ".join(ORDER)}
    assert "eats-advert" in unknown.message
    unknown = await refusal(desk, category="travel")
    assert unknown.failure.reason == "UNKNOWN_CATEGORY"
    assert unknown.metadata["known"] == "general, fashion, beauty, eats, cinema, cartoon"


async def test_every_fault_of_a_submission_has_its_field(desk: Desk) -> None:
    refused = await refusal(
        desk,
        {"text": "", "aspect": "2:1", "seed": 0.5, "colour": "red"},
        outputs=["poster"],
        variations=9,
    )
    assert refused.failure.reason == "INVALID_ARGUMENT"
    assert [violation.field for violation in refused.violations] == [
        "outputs[0]",
        "variations",
        "inputs.text",
        "inputs.aspect",
        "inputs.seed",
        "inputs.colour",
    ]


async def test_a_number_that_json_does_not_have_is_refused(desk: Desk) -> None:
    request = pb.ResolveSubmissionRequest()
    request.inputs["text"] = "x"
    request.inputs["seed"] = float("inf")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await desk.service.call(desk.stub.ResolveSubmission, request)
    [violation] = status.decode(refused.value).violations
    assert (violation.field, violation.message) == ("inputs.seed", "must be a whole number")


async def test_only_services_resolve_submissions(desk: Desk) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await desk.stub.ResolveSubmission(pb.ResolveSubmissionRequest())
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_the_limits_of_every_category_reach_the_bus(desk: Desk) -> None:
    client = await nats.connect(f"nats://{desk.layout.address('nats')}")
    try:
        stream = client.jetstream()
        subject = "evt.templates.category.changed.v1"
        subscription = await stream.subscribe(subject, ordered_consumer=True)
        found = {}
        async with asyncio.timeout(60):
            while len(found) < 6:
                message = await subscription.next_msg(timeout=60)
                event = events_pb2.CategoryChanged.FromString(message.data)
                found[event.category] = (event.enabled, event.workers_max, event.revision)
        assert found["fashion"] == (True, 5, 1)
        assert found["eats"] == (True, 3, 1)
    finally:
        await client.close()


async def test_a_closed_category_and_files_that_changed_under_their_version(
    desk: Desk, stores_only: tuple[Supervisor, Layout], files: Any
) -> None:
    supervisor, places = stores_only
    directory = files()
    path = directory / "categories" / "cartoon.json"
    path.write_text(path.read_text().replace('"enabled": true', '"enabled": false'))
    settings = {"ATELIER_CATALOGUE_DIR": str(directory)}
    await supervisor.stop("templates")
    await supervisor.start([stack.service_part(places, "templates", settings)])
    try:
        for asked in ({"category": "cartoon"}, {"template_id": "cartoon-character"}):
            closed = await refusal(desk, **asked)
            assert closed.failure.reason == "CATEGORY_DISABLED"
            assert closed.metadata == {"category": "cartoon"}
        path = directory / "templates" / "cartoon-character.json"
        path.write_text(path.read_text().replace('"variations_max": 8', '"variations_max": 2'))
        part = stack.service_part(places, "templates", settings)
        process = await asyncio.create_subprocess_exec(
            *part.command,
            env={
                **part.environment,
                "ATELIER_LISTEN": "127.0.0.1:0",
                "ATELIER_METRICS_LISTEN": "",
            },
            stderr=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        _, complaint = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 2
        assert (
            complaint.decode()
            .splitlines()[-1]
            .startswith("templates/cartoon-character.json: version 1 exists with other content")
        )
    finally:
        await supervisor.stop("templates")
        await supervisor.start([stack.service_part(places, "templates", {})])
