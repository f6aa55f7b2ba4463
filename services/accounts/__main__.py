"""Composes accounts."""

from __future__ import annotations

from pathlib import Path

from atelier.accounts.v1 import credits_pb2, identity_pb2, keys_pb2
from atelier.jobs.v1 import events_pb2

from kit import process
from kit.identity import Signer
from kit.process import Process
from kit.rpc.server import Binding
from kit.service import open_floor, serve
from kit.sweeper import Sweeper
from services.accounts.config import AccountsSettings
from services.accounts.credits import events, observe
from services.accounts.credits.api import CreditsApi
from services.accounts.credits.sweep import sweeps
from services.accounts.identity import sweep as identity_sweep
from services.accounts.identity.api import IdentityApi
from services.accounts.keys.api import ApiKeysApi


async def compose(running: Process, settings: AccountsSettings) -> None:
    """Opens everything in order; it is closed in reverse."""
    floor = await open_floor(running, settings, Path(__file__).parent)
    signer = Signer("accounts", settings.keys_dir)
    identity = IdentityApi(
        floor.database,
        signer,
        settings.keys_dir,
        welcome_credits=settings.welcome_credits,
        guest_credits=settings.guest_credits,
        administrators=frozenset(filter(None, settings.administrators.split(","))),
    )
    credits_api = CreditsApi(floor.database)
    keys = ApiKeysApi(floor.database, signer)
    swept = {
        **sweeps(floor.database, settings.overdue_seconds),
        **identity_sweep.sweeps(floor.database),
    }
    running.spawn(Sweeper(swept, settings.sweep_every_seconds).run(), "sweeper")
    await serve(
        running,
        settings,
        floor,
        [
            Binding(identity_pb2.DESCRIPTOR.services_by_name["IdentityService"], identity),
            Binding(credits_pb2.DESCRIPTOR.services_by_name["CreditsService"], credits_api),
            Binding(keys_pb2.DESCRIPTOR.services_by_name["ApiKeysService"], keys),
        ],
        {events_pb2.ItemFinished: events.item_finished},
        [observe.ledger],
    )


if __name__ == "__main__":
    process.run(AccountsSettings, compose)
