"""Brings the tables up to the data files, at every start, in one transaction.

Versions are immutable: a file that changed under its version is refused, one with a higher version
is added. A file that is gone changes nothing; ``"active": false`` takes a template off the shelf
and ``"enabled": false`` closes a category. An older release that starts beside a newer one moves no
template back.
"""

from __future__ import annotations

import logging

import orjson

from kit.database import Session
from services.templates.catalogue import Catalogue, Shelved
from services.templates.categories import service as categories
from services.templates.templates import store
from services.templates.templates.domain import request_schema

log = logging.getLogger(__name__)

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('templates.sync', 0))"


class VersionRefused(ValueError):
    """A template file does not agree with the versions that are kept."""


async def sync(session: Session, catalogue: Catalogue) -> None:
    """Adds new versions, and writes what changed on the shelf and in categories.

    Raises:
        VersionRefused: A file does not agree with the versions that are kept; one line per file.
    """
    await session.scalar(_LOCK)
    refused = [text for one in catalogue.templates if (text := await _refusal(session, one))]
    if refused:
        raise VersionRefused("\n".join(refused))
    changed = await categories.put_all(session, catalogue.categories)
    added = [one.template.id for one in catalogue.templates if await _put(session, one)]
    log.info("catalogue", extra={"changed_categories": changed, "added_versions": added})


async def _refusal(session: Session, shelved: Shelved) -> str:
    template = shelved.template
    kept = await store.content_hash(session, template.id, template.version)
    if kept == shelved.content_hash:
        return ""
    newest = await store.newest(session, template.id)
    if kept is None and template.version > newest:
        return ""
    what = "is older than the newest" if kept is None else "exists with other content"
    return (
        f"templates/{template.id}.json: version {template.version} {what}; versions never change: "
        f'set "version": {newest + 1}'
    )


async def _put(session: Session, shelved: Shelved) -> bool:
    template = shelved.template
    is_new = await store.content_hash(session, template.id, template.version) is None
    if is_new:
        await store.insert_version(
            session,
            template.id,
            template.version,
            definition=shelved.definition.decode(),
            request_schema=orjson.dumps(request_schema(template.form_fields)).decode(),
            content_hash=shelved.content_hash,
        )
    await store.put(
        session,
        template.id,
        template.version,
        category=template.category,
        position=shelved.order,
        is_active=shelved.active,
    )
    return is_new
