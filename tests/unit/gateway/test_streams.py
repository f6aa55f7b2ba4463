"""Event streams: kept open, ended with what opened them, not asked for again after their end."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from atelier.jobs.v1 import jobs_pb2

from gateway import sse
from gateway.callers import Callers
from gateway.openai import chat
from kit import identity
from kit.identity import Verifier
from tests.patience import growing
from tests.unit.gateway.house import JOB_ID, House, opened

EVENTS = f"/v1/jobs/{JOB_ID}/events"
BATCH = f"/v1/batches/{JOB_ID}/events"
SEEN = [
    jobs_pb2.JobEvent(type="queued", sequence=1, feed_sequence=1),
    jobs_pb2.JobEvent(type="finished", sequence=2, feed_sequence=2),
]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with opened(tmp_path, streams_per_caller_max=1) as made:
        made.jobs.events = SEEN
        yield made


class Sent:
    """What an application sends, until it has sent what a test waits for."""

    def __init__(self, enough: Callable[[bytes], bool]) -> None:
        self.body = b""
        self._enough = enough
        self.done = asyncio.Event()

    async def __call__(self, message: Any) -> None:
        self.body += message.get("body", b"")
        if self._enough(self.body):
            self.done.set()


async def never() -> Any:
    await asyncio.Event().wait()


async def test_a_stream_in_which_nothing_happens_is_kept_by_comments() -> None:
    silent = SimpleNamespace(read=never, cancel=lambda: None)
    place = sse.Streams(1, 1).admit("a")
    readings = sse.Readings([asyncio.ensure_future(never())])
    bound: Any = SimpleNamespace(encode=None, cursor="sequence")
    events = sse.Events(silent, readings, bound, "id", place, heartbeat_seconds=0.01)
    sent = Sent(lambda body: body.count(b": still here\n\n") >= 3)
    answering = asyncio.create_task(events({"method": "GET"}, never, sent))
    async with asyncio.timeout(60):
        await sent.done.wait()
        place.end()
        await answering
    assert sent.body.startswith(b"retry: 1000\n\n: still here\n\n")


async def test_an_answer_word_by_word_is_kept_by_comments_until_the_first(house: House) -> None:
    place = sse.Streams(1, 1).admit("a")
    job = jobs_pb2.Job(id=JOB_ID)

    async def attend(work: Any) -> None:
        work.close()
        await gone.wait()

    gone = asyncio.Event()
    visit: Any = SimpleNamespace(job=job, place=place, headers=(), attend=attend)
    chunks = chat.Chunks(SimpleNamespace(model="m"), visit, heartbeat_seconds=0.01)  # type: ignore[arg-type]
    sent = Sent(lambda body: body.count(b": still here\n\n") >= 3)
    answering = asyncio.create_task(chunks({"method": "POST"}, never, sent))
    async with asyncio.timeout(60):
        await sent.done.wait()
        gone.set()
        await answering


async def test_a_comment_comes_every_fifteen_seconds_unless_said_otherwise() -> None:
    assert sse.HEARTBEAT_SECONDS == chat.HEARTBEAT_SECONDS == 15.0


@pytest.mark.parametrize("path", [EVENTS, BATCH])
async def test_who_has_seen_the_end_is_told_not_to_ask_again(house: House, path: str) -> None:
    house.jobs.held.set()
    if path == BATCH:
        house.jobs.events = [jobs_pb2.JobEvent(type="open"), *SEEN]
    whole = await house.http.get(path, headers=house.token())
    assert whole.status_code == 200
    assert "event: finished" in whole.text
    middle = await house.http.get(path, headers=house.token() | {"last-event-id": "1"})
    assert (middle.status_code, middle.text.count("event: finished")) == (200, 1)
    end = await house.http.get(path, headers=house.token() | {"last-event-id": "2"})
    assert (end.status_code, end.content) == (204, b"")
    named = "after_feed_sequence" if path == BATCH else "after_sequence"
    fresh = house.tickets.ticket(house.user_id, JOB_ID, 600)
    opened_anew = await house.http.get(f"{path}?ticket={fresh}&{named}=2")
    assert opened_anew.status_code == 204
    wrong = await house.http.get(path, headers=house.token() | {"last-event-id": "x"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "Last-Event-ID")
    again = await house.http.get(path, headers=house.token())
    assert again.status_code == 200, "its place was given back"


async def test_a_stream_that_goes_on_is_not_ended(house: House) -> None:
    house.jobs.events = [jobs_pb2.JobEvent(type="open"), *SEEN]
    headers = house.token() | {"last-event-id": "2"}
    async with house.http.stream("GET", BATCH, headers=headers) as stream:
        assert stream.status_code == 200
        lines = stream.aiter_lines()
        assert [await anext(lines) for _ in range(4)][-1] == "event: open"


async def test_a_refusal_in_a_stream_has_a_name_that_eventsource_does_not_use_itself(
    house: House,
) -> None:
    async def refuse() -> Any:
        raise grpc.aio.AioRpcError(
            grpc.StatusCode.INTERNAL, grpc.aio.Metadata(), grpc.aio.Metadata(), "no"
        )

    call = SimpleNamespace(read=refuse, cancel=lambda: None)
    readings = sse.Readings([asyncio.ensure_future(refuse())])
    bound: Any = SimpleNamespace(encode=None, cursor="sequence")
    sent = Sent(lambda body: b"event: " in body)
    place = sse.Streams(1, 1).admit("a")
    await sse.Events(call, readings, bound, "id", place)({"method": "GET"}, never, sent)
    assert b"\nevent: problem\ndata: {" in sent.body


async def read_all(house: House, path: str, headers: dict[str, str]) -> tuple[int, str]:
    answer = await house.http.get(path, headers=headers, timeout=600)
    return answer.status_code, answer.text


@pytest.mark.parametrize("how", ["token", "ticket"])
async def test_a_stream_ends_with_the_token_or_ticket_that_opened_it(
    house: House, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.callers.CLOCK_SKEW_SECONDS", 0)
    monkeypatch.setattr(identity, "TICKET_STEADY_SECONDS", 1)
    for seconds in growing(1):
        ticket = house.tickets.ticket(house.user_id, JOB_ID, int(seconds))
        path = f"{EVENTS}?ticket={ticket}" if how == "ticket" else EVENTS
        headers = house.token(1 + int(seconds)) if how == "token" else {}
        status, text = await read_all(house, path, headers)
        if (status, text.count("event: ")) == (200, 2):  # all that there was, and then its end
            return
        assert status in (200, 401), text
    pytest.fail("no stream lived long enough to be read")


@pytest.mark.parametrize("how", ["token", "ticket"])
async def test_what_opened_a_stream_opens_none_after_its_end_and_a_fresh_one_goes_on(
    house: House, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("gateway.callers", "kit.identity"):
        monkeypatch.setattr(f"{module}.CLOCK_SKEW_SECONDS", 0)
    monkeypatch.setattr(identity, "TICKET_STEADY_SECONDS", 1)
    verifier = Verifier("jobs", tmp_path)

    def admit(authorization: str, ticket: str) -> object:
        if authorization:
            return verifier.verify(authorization.partition(" ")[2])
        return verifier.verify_ticket(ticket, JOB_ID)

    def opening(seconds: int) -> tuple[str, dict[str, str]]:
        if how == "token":
            return EVENTS, house.token(seconds)
        return f"{EVENTS}?ticket={house.tickets.ticket(house.user_id, JOB_ID, seconds)}", {}

    house.jobs.admit = admit
    for seconds in growing(4):
        path, headers = opening(int(seconds))
        status, text = await read_all(house, path, headers)
        if status != 401:  # else it had ended before it could be used
            break
    assert (status, text[-2:]) == (200, "\n\n"), "its last event is whole"
    again = await house.http.get(path, headers=headers | {"last-event-id": "1"})
    assert (again.status_code, again.json()["code"]) == (401, "unauthenticated")
    path, headers = opening(600)
    async with house.http.stream("GET", path, headers=headers | {"last-event-id": "1"}) as fresh:
        lines = fresh.aiter_lines()
        assert [await anext(lines) for _ in range(3)][-1] == "id: 2"


async def test_a_stream_of_somebody_whom_only_the_service_knows_ends_as_one_of_a_key_does(
    tmp_path: Path,
) -> None:
    for seconds in growing(0.2):
        folder = tmp_path / str(seconds)
        folder.mkdir()
        async with opened(folder, key_stream_seconds=seconds) as house:
            house.jobs.events = SEEN
            clock = {"authorization": "Bearer of another clock"}
            status, text = await read_all(house, EVENTS, clock)
        assert status == 200
        if text.count("event: ") == 2:  # else it ended before anything could be sent
            return
    pytest.fail("no stream lived long enough to be read")


async def test_streams_by_ticket_are_counted_for_the_user_whom_it_names(house: House) -> None:
    mine = house.tickets.ticket(house.user_id, JOB_ID, 600)
    another = house.tickets.ticket(uuid.uuid4(), JOB_ID, 600)
    async with house.http.stream("GET", f"{EVENTS}?ticket={mine}") as first:
        assert first.status_code == 200
        for refused in (
            await house.http.get(f"{EVENTS}?ticket={mine}"),
            await house.http.get(EVENTS, headers=house.token()),
        ):
            assert refused.json()["code"] == "too_many_streams"
        async with house.http.stream("GET", f"{EVENTS}?ticket={another}") as second:
            assert second.status_code == 200, "though it comes from the same address"


def test_who_holds_what_is_known_only_of_what_is_signed(house: House, tmp_path: Path) -> None:
    callers = Callers(Verifier("gateway", tmp_path), now=lambda: 0.0)
    ticket = house.tickets.ticket(house.user_id, JOB_ID, 600)
    held = callers.holder("", ticket)
    assert held is not None
    assert held.name == str(house.user_id)
    token = house.token()["authorization"]
    assert callers.holder("", "") is None
    assert callers.holder("", token.partition(" ")[2]) is None, "a token is no ticket"
    assert callers.holder("Bearer nonsense", ticket) is None, "the header is what counts"
    head, _, signature = ticket.rpartition(".")
    assert callers.holder("", f"{head}.{signature[::-1]}") is None
