"""The page that a problem document's ``type`` leads to: every code, from the protos."""

from __future__ import annotations

from html import escape
from typing import Any

import orjson

from gateway import openapi, routes
from kit.rpc.contract import Failure, failures

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Atelier error codes</title>
<link rel="stylesheet" href="/studio/studio.css"></head>
<body><main><h1>Error codes · 오류 코드</h1>
<p>Every refusal is a problem document (RFC 9457). Switch on its <code>code</code>; the texts may
change. The same as JSON: <a href="/docs/errors.json">errors.json</a>.</p>
<p lang="ko">거절은 모두 problem 문서(RFC 9457)입니다. <code>code</code>로 구분하세요.
문구는 바뀔 수 있습니다.</p>
"""
_ENTRY = """<section id="{code}"><h2><code>{code}</code> <small>{status}</small></h2>
<p><b>{title}.</b> {meaning} <i>{remedy}</i></p>
<p lang="ko"><b>{title_ko}.</b> {meaning_ko} <i>{remedy_ko}</i></p></section>
"""


def entries() -> list[dict[str, Any]]:
    """Returns every code: what it means and what to do about it, in English and Korean."""
    comments = openapi.comments(routes.load_descriptors())
    return [
        _entry(failure, comments[f"atelier.errors.v1.Reason.REASON_{reason}"])
        for reason, failure in failures().items()
    ]


def _entry(failure: Failure, meaning: str) -> dict[str, Any]:
    return {
        "code": failure.code,
        "status": failure.http_status,
        "title": failure.title,
        "meaning": meaning,
        "remedy": failure.remedy,
        "title_ko": failure.title_ko,
        "meaning_ko": failure.meaning_ko,
        "remedy_ko": failure.remedy_ko,
    }


def html() -> str:
    """Builds the page."""
    sections = [
        _ENTRY.format(**{name: escape(str(text)) for name, text in entry.items()})
        for entry in entries()
    ]
    return _HEAD + "".join(sections) + "</main></body></html>\n"


def json() -> str:
    """Builds the same for programs."""
    return orjson.dumps({"data": entries()}).decode()
