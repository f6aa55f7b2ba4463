"""NATS: events through JetStream, and doorbells that may be lost.

PostgreSQL is the truth. An event is stored by the broker before it is acknowledged
(``sync_interval: always``) and takes effect once, through the inbox of whoever consumes it. A
doorbell only says "look now"; everybody who waits for one also looks by himself from time to time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import ConsumerConfig, RetentionPolicy, StreamConfig
from nats.js.errors import NotFoundError

log = logging.getLogger(__name__)

STREAM = "EVENTS"
STREAM_SUBJECTS = ["evt.>"]
STREAM_BYTES_MAX = 1 << 30
KEPT_SECONDS = 30 * 86_400
DUPLICATE_WINDOW_SECONDS = 120
CONNECT_SECONDS = 2.0
PUBLISH_SECONDS = 5.0
# A consumer that died leaves its event unacknowledged: so long do credits and works wait for it.
ACK_WAIT_SECONDS = 10
RINGS_MAX = 8_192
FETCH_MAX = 64
FETCH_SECONDS = 5.0


@dataclass(frozen=True)
class Span:
    """The oldest and the newest sequence of a stream; both 0 where it is empty."""

    first: int
    last: int


class Bus:
    """A connection to NATS that comes back by itself.

    Attributes:
        stream: The stream that carries every event.
    """

    stream = STREAM

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._client = Client()
        self._js = self._client.jetstream(timeout=PUBLISH_SECONDS)
        self._connected = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Waits a moment for the broker; without it, goes on and connects when it is there."""
        self._connecting = asyncio.create_task(self._connect(), name="bus")
        await asyncio.wait([self._connecting], timeout=CONNECT_SECONDS)
        if self._connecting.done():
            self._connecting.result()
        else:
            log.warning("the broker is away; going on without it", extra={"url": self._url})
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._connecting.cancel()
        await asyncio.gather(self._connecting, return_exceptions=True)
        await self._client.close()

    async def _connect(self) -> None:
        await self._client.connect(
            self._url,
            name=self._name,
            # The defaults notice a frozen broker after minutes; these after seconds.
            ping_interval=5,
            max_outstanding_pings=2,
            reconnect_time_wait=1,
            max_reconnect_attempts=-1,
            connect_timeout=5,
            error_cb=_ignore_while_reconnecting,
        )
        self._connected.set()
        with suppress(nats.errors.Error):  # the relay and the consumer ensure it too
            await self._ensure_stream()

    def _require_connection(self) -> None:
        if not self._connected.is_set():
            raise nats.errors.ConnectionClosedError

    async def _ensure_stream(self) -> None:
        config = StreamConfig(
            name=STREAM,
            subjects=STREAM_SUBJECTS,
            retention=RetentionPolicy.LIMITS,
            max_age=KEPT_SECONDS,
            max_bytes=STREAM_BYTES_MAX,
            duplicate_window=DUPLICATE_WINDOW_SECONDS,
        )
        await self._js.add_stream(config)

    async def publish(
        self, subject: str, payload: bytes, event_id: str, headers: Mapping[str, str]
    ) -> int | None:
        """Sends one event; returns its sequence once stored, None where it was there already."""
        self._require_connection()
        ack = await self._js.publish(subject, payload, headers={**headers, "Nats-Msg-Id": event_id})
        return None if ack.duplicate else int(ack.seq)

    @property
    def connections(self) -> int:
        """How often the connection was made anew: its other end may have forgotten everything."""
        return int(self._client.stats["reconnects"])

    async def span(self) -> Span:
        """Returns what the stream holds, making the stream where it is gone."""
        self._require_connection()
        try:
            info = await self._js.stream_info(STREAM)
        except NotFoundError:
            await self._ensure_stream()
            return Span(0, 0)
        return Span(int(info.state.first_seq), int(info.state.last_seq))

    async def last_sequence(self) -> int:
        """Returns the stream's newest sequence, making the stream where it is gone."""
        return (await self.span()).last

    async def event_at(self, sequence: int) -> str:
        """Returns the id of the event at a sequence; empty where there is none."""
        try:
            message = await self._js.get_msg(STREAM, sequence)
        except NotFoundError:
            return ""
        return str((message.headers or {}).get("Nats-Msg-Id", ""))

    async def ring(self, subject: str, payload: bytes = b"") -> None:
        """Rings a doorbell; it may be lost, and nothing is raised where the broker is away."""
        try:
            self._require_connection()
            await self._client.publish(subject, payload)
        except (nats.errors.Error, OSError):
            log.debug("doorbell lost", extra={"subject": subject})

    @asynccontextmanager
    async def listen(
        self, subject: str, on_ring: Callable[[str, bytes], None]
    ) -> AsyncIterator[None]:
        """Calls ``on_ring(subject, payload)`` for every doorbell on ``subject``."""

        async def received(message: Msg) -> None:
            on_ring(message.subject, message.data)

        async def subscribe() -> Subscription:
            await self._connected.wait()
            return await self._client.subscribe(subject, cb=received, pending_msgs_limit=RINGS_MAX)

        subscribing = asyncio.create_task(subscribe(), name=f"listen {subject}")
        if self._connected.is_set():
            await subscribing
        try:
            yield
        finally:
            subscribing.cancel()
            (subscription,) = await asyncio.gather(subscribing, return_exceptions=True)
            if isinstance(subscription, Subscription) and self._client.is_connected:
                await subscription.unsubscribe()

    async def consume(
        self,
        durable: str,
        subjects: list[str],
        handle: Callable[[Msg], Awaitable[None]],
    ) -> None:
        """Hands every event to ``handle`` until cancelled; one that raises comes again later."""
        await self._connected.wait()
        while True:
            try:
                await self._consume(durable, subjects, handle)
            except (nats.errors.Error, NotFoundError, OSError) as error:
                log.warning("consumer waits for the bus", extra={"error": repr(error)})
                await asyncio.sleep(0.5)

    async def _consume(
        self, durable: str, subjects: list[str], handle: Callable[[Msg], Awaitable[None]]
    ) -> None:
        await self._ensure_stream()
        config = ConsumerConfig(
            durable_name=durable, filter_subjects=subjects, ack_wait=ACK_WAIT_SECONDS
        )
        await self._js.add_consumer(STREAM, config)
        subscription = await self._js.pull_subscribe_bind(durable, STREAM)
        while True:
            try:
                messages = await subscription.fetch(FETCH_MAX, timeout=FETCH_SECONDS)
            except TimeoutError:
                await subscription.consumer_info()  # raises where the broker lost the consumer
                continue
            for message in messages:
                await handle(message)


async def _ignore_while_reconnecting(error: Exception) -> Any:
    log.debug("bus", extra={"error": repr(error)})
