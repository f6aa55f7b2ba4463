"""Plans, recipes, failures, progress and settings of items."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import grpc
import pytest
import urllib3.exceptions
from atelier.jobs.v1 import queue_pb2 as pb
from minio.error import S3Error

import services.worker
from kit.config import load
from kit.errors import DomainError, InvalidArgument, Unavailable
from kit.rpc.status import encode
from services.worker import recipe
from services.worker.chains.writer import WriterFailed
from services.worker.config import WorkerSettings
from services.worker.failures import (
    INFRA,
    TRANSIENT,
    USER,
    BadGraph,
    ContentFiltered,
    StepTimeout,
    classify,
)
from services.worker.nodes.registry import IMPLEMENTATIONS
from services.worker.plan import make_plan
from services.worker.progress import PREVIEW_BYTES_MAX, Progress, Update
from workflow.graph import InvalidGraph
from workflow.specs import SPECS

GRAPH = {
    "nodes": {
        "prompt": {"type": "prompt@1", "inputs": {"text": "$inputs.text"}},
        "copy": {"type": "copy@1", "inputs": {"text": "$inputs.text", "tone": "$inputs.tone"}},
        "draw": {
            "type": "generate@1",
            "inputs": {"prompt": "$prompt.prompt", "seed": "$item.seed"},
        },
        "letter": {
            "type": "overlay@1",
            "inputs": {"image": "$draw.image", "headline": "$copy.headline"},
        },
        "jpeg": {"type": "encode@1", "inputs": {"image": "$letter.image"}},
        "picture": {"type": "store@1", "inputs": {"file": "$jpeg.file"}},
    },
    "outputs": {"promotional_image": "picture"},
}


def _item(**changes: Any) -> pb.ClaimedItem:
    given = {
        "output": "promotional_image",
        "variation": 3,
        "seed": 100,
        "graph_json": json.dumps(GRAPH),
        "inputs_json": '{"text": "latte"}',
    }
    return pb.ClaimedItem(**{**given, **changes})


class Refused(grpc.aio.AioRpcError):
    def __init__(self, reason: str, code: grpc.StatusCode) -> None:
        metadata = grpc.aio.Metadata()
        if reason:
            error = DomainError("as said")
            error.reason = reason  # type: ignore[misc]
            metadata.add("grpc-status-details-bin", encode(error).SerializeToString())
        super().__init__(code, grpc.aio.Metadata(), metadata, "secret detail")


def test_every_spec_has_an_implementation_and_none_is_left_over() -> None:
    assert IMPLEMENTATIONS.keys() == SPECS.keys()


def test_a_plan_has_the_variation_s_own_seed_and_defaults_for_what_is_not_given() -> None:
    plan = make_plan(_item())
    assert [node.id for node in plan.nodes][-1] == "picture"
    draw = next(node for node in plan.nodes if node.id == "draw")
    bound = plan.bind(draw, {"prompt": {"prompt": "a cup"}})
    assert bound["seed"] == 102
    assert bound["aspect"] == "1:1"
    copy = next(node for node in plan.nodes if node.id == "copy")
    assert plan.bind(copy, {})["tone"] == ""  # an optional field that the form left out


def test_items_share_the_hash_of_what_does_not_depend_on_the_variation() -> None:
    first, second = make_plan(_item(variation=1)).hashes, make_plan(_item(variation=2)).hashes
    assert first["prompt"] == second["prompt"]
    assert first["draw"] != second["draw"]


def test_shares_of_time_run_from_nothing_to_all() -> None:
    shares = [(begin, end) for _, begin, end in make_plan(_item()).shares()]
    assert shares[0][0] == 0.0
    assert shares[-1][1] == pytest.approx(1.0)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(shares))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"graph_json": "{"}, BadGraph),
        ({"graph_json": "[]"}, InvalidGraph),
        ({"graph_json": '{"nodes": {"a": {"type": "no@1"}}, "outputs": {"a": "a"}}'}, InvalidGraph),
        ({"output": "short_video"}, BadGraph),
    ],
)
def test_a_graph_that_cannot_be_run_is_the_request_s_own_fault(
    changes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error) as raised:
        make_plan(_item(**changes))
    failed = classify(raised.value)
    assert (failed.failure_class, failed.code) == (USER, "invalid_graph")


def test_a_value_outside_a_port_s_choices_is_refused() -> None:
    graph = json.loads(json.dumps(GRAPH))
    graph["nodes"]["draw"]["inputs"]["aspect"] = "$inputs.aspect"
    inputs = '{"text": "latte", "aspect": "2:1"}'
    plan = make_plan(_item(graph_json=json.dumps(graph), inputs_json=inputs))
    draw = next(node for node in plan.nodes if node.id == "draw")
    with pytest.raises(InvalidArgument, match=r"draw\.aspect"):
        plan.bind(draw, {"prompt": {"prompt": "a cup"}})


def test_a_recipe_tells_what_was_said_and_drawn_but_no_object_keys() -> None:
    plan = make_plan(_item())
    results = {
        "prompt": {"prompt": "a cup", "negative_prompt": "", "dropped": [], "writer": "offline"},
        "copy": {"headline": "h", "subline": "", "copy": {}, "writer": "model"},
        "draw": {"image": "tmp/x.png", "model": "m", "seed": 102, "steps": 20},
    }
    told = json.loads(recipe.assemble(plan.nodes, results))
    assert told["prompt"] == "a cup"
    assert told["seed"] == 102
    assert told["writer"] == "offline"
    assert told["copy.writer"] == "model"
    assert "image" not in told


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Refused("OVERLOADED", grpc.StatusCode.RESOURCE_EXHAUSTED), (INFRA, "overloaded")),
        (Refused("MODEL_FAILED", grpc.StatusCode.UNAVAILABLE), (INFRA, "model_failed")),
        (Refused("", grpc.StatusCode.UNAVAILABLE), (INFRA, "unavailable")),
        (Refused("TIMEOUT", grpc.StatusCode.DEADLINE_EXCEEDED), (TRANSIENT, "timeout")),
        (Refused("", grpc.StatusCode.INTERNAL), (TRANSIENT, "internal")),
        (Refused("INVALID_ARGUMENT", grpc.StatusCode.INVALID_ARGUMENT), (USER, "invalid_argument")),
        (Refused("UNKNOWN_MODEL", grpc.StatusCode.INVALID_ARGUMENT), (USER, "unknown_model")),
        (
            Refused("CONTENT_FILTERED", grpc.StatusCode.FAILED_PRECONDITION),
            (USER, "content_filtered"),
        ),
        (WriterFailed("no text"), (USER, "writer_failed")),
        (ContentFiltered("no"), (USER, "content_filtered")),
        (StepTimeout("late"), (TRANSIENT, "timeout")),
        (Unavailable("away"), (INFRA, "unavailable")),
        (urllib3.exceptions.MaxRetryError(None, "/"), (INFRA, "unavailable")),  # type: ignore[arg-type]
        (ConnectionResetError(), (INFRA, "unavailable")),
        (ZeroDivisionError("secret detail"), (TRANSIENT, "internal")),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_an_error_is_classified(error: Exception, expected: tuple[int, str]) -> None:
    failed = classify(error)
    assert (failed.failure_class, failed.code) == expected
    assert failed.message
    assert "secret" not in failed.message


def test_an_object_that_is_gone_counts_as_an_attempt_and_a_storage_that_is_away_does_not() -> None:
    def s3(code: str) -> S3Error:
        return S3Error(None, code, "", "", "", "")  # type: ignore[arg-type]

    assert classify(s3("NoSuchKey")).failure_class == TRANSIENT
    assert classify(s3("InternalError")).failure_class == INFRA


class Receiver:
    """Takes updates; the test lets each one pass."""

    def __init__(self) -> None:
        self.received: list[Update] = []
        self.arrived = asyncio.Event()
        self.release = asyncio.Semaphore(0)

    async def take(self, update: Update) -> None:
        self.received.append(update)
        self.arrived.set()
        await self.release.acquire()

    async def next(self) -> Update:
        await asyncio.wait_for(self.arrived.wait(), 60)
        self.arrived.clear()
        return self.received[-1]


async def test_progress_sends_the_latest_and_never_loses_a_change_of_step() -> None:
    receiver = Receiver()
    async with Progress(receiver.take) as progress:
        progress.report(0.0, "prompt")
        assert await receiver.next() == Update(0, "prompt")
        progress.report(0.1, "generate", b"first")
        progress.report(0.3, "generate", b"second")
        progress.report(0.4, "generate")
        progress.report(0.9, "store")
        receiver.release.release()
        assert await receiver.next() == Update(40, "generate", b"second")
        receiver.release.release()
        assert await receiver.next() == Update(90, "store")


async def test_progress_never_goes_back_and_ends_below_100() -> None:
    receiver = Receiver()
    async with Progress(receiver.take) as progress:
        progress.report(1.0, "store", b"x" * (PREVIEW_BYTES_MAX + 1))
        assert await receiver.next() == Update(99, "store")
        progress.report(0.2, "other")
        receiver.release.release()
        assert await receiver.next() == Update(99, "other")


async def test_what_is_written_arrives_whole_and_in_order_however_often_a_report_fails() -> None:
    taken: list[Update] = []
    done = asyncio.Event()
    failures = itertools.chain([True, False, True], itertools.repeat(False))

    async def take(update: Update) -> None:
        if next(failures):
            raise grpc.aio.AioRpcError(
                grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata()
            )
        taken.append(update)
        if sum(len(each.text) for each in taken) == 5_006:
            done.set()

    async with Progress(take) as progress:
        progress.report(0.5, "chat", b"seen")
        for piece in ("하나 ", "둘 ", "셋" + "." * 5_000):
            progress.write(piece)
        await asyncio.wait_for(done.wait(), 60)
    assert "".join(each.text for each in taken) == "하나 둘 셋" + "." * 5_000
    for each, following in itertools.pairwise(update for update in taken if update.text):
        assert each.text_at + len(each.text) == following.text_at
    assert max(len(each.text) for each in taken) == 4_000
    assert {(each.percent, each.step) for each in taken} == {(50, "chat")}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name in ("KEYS_DIR", "LISTEN", "JOBS_TARGET", "INFERENCE_TARGET", "NATS_URL"):
        monkeypatch.setenv(f"ATELIER_{name}", str(tmp_path))
    for name in ("ENDPOINT", "ACCESS_KEY", "SECRET_KEY"):
        monkeypatch.setenv(f"ATELIER_S3_{name}", "x")
    return monkeypatch


def test_settings_have_a_name_pools_fonts_and_a_vocabulary(
    environment: pytest.MonkeyPatch,
) -> None:
    settings = load(WorkerSettings)
    assert settings.worker_id
    assert settings.pool_names == ["gpu", "text", "cpu"]
    assert (settings.fonts_dir / "OFL.txt").is_file()
    assert settings.vocabulary == (
        Path(services.worker.__file__).parents[2] / "inference" / "bundled" / "sdxl" / "world.json"
    )
    assert not settings.has_endpoint


@pytest.mark.parametrize(
    ("name", "value"), [("POOLS", "gpu,tpu"), ("POOLS", ","), ("SLOTS", "65"), ("SLOTS", "0")]
)
def test_settings_that_make_no_sense_end_the_start(
    environment: pytest.MonkeyPatch, name: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setenv(f"ATELIER_{name}", value)
    with pytest.raises(SystemExit):
        load(WorkerSettings)
    assert f"ATELIER_{name}" in capsys.readouterr().err


def test_a_worker_without_gpu_needs_no_inference(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("ATELIER_INFERENCE_TARGET")
    with pytest.raises(SystemExit):
        load(WorkerSettings)
    environment.setenv("ATELIER_POOLS", "text,cpu")
    environment.setenv("ATELIER_VOCABULARY", "")
    settings = load(WorkerSettings)
    assert settings.inference_target == ""
    assert settings.vocabulary is None
