"""The page that a problem document's ``type`` leads to: every code, from the protos."""

from __future__ import annotations

from html import escape

from gateway import openapi, routes
from kit.rpc.contract import failures

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Atelier error codes</title>
<link rel="stylesheet" href="/studio/studio.css"></head>
<body><main><h1>Error codes</h1>
<p>Every refusal is a problem document (RFC 9457). Switch on its <code>code</code>; the texts may
change.</p>
"""


def build() -> str:
    """Builds the page."""
    comments = openapi.comments(routes.load_descriptors())
    entries = [
        f'<h2 id="{failure.code}"><code>{failure.code}</code> <small>{failure.http_status}</small>'
        f"</h2>\n<p><b>{escape(failure.title)}.</b> {escape(comments[_name(reason)])}</p>\n"
        for reason, failure in failures().items()
    ]
    return _HEAD + "".join(entries) + "</main></body></html>\n"


def _name(reason: str) -> str:
    return f"atelier.errors.v1.Reason.REASON_{reason}"
