"""Examples, from words by field: a field that is not known here gets one by its type."""

from __future__ import annotations

from typing import Any

import orjson
from google.protobuf.descriptor import FieldDescriptor

from kit.rows import enum_words

ID = "0197a2f4-5f00-7{:03x}-8000-000000000000"
_TIME = "2026-01-31T09:00:00Z"
_TOKEN = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIuLi4ifQ.c2ln"  # noqa: S105  # the form of one
_WELL_KNOWN: dict[str, Any] = {
    "google.protobuf.Timestamp": _TIME,
    "google.protobuf.Struct": {},
    "google.protobuf.Value": "1:1",
}
_INPUTS = {"text": "카페 신메뉴 딸기 라떼 홍보", "aspect": "3:4"}
_EVENTS = f"/v1/jobs/{ID.format(1)}/events?ticket={_TOKEN}"
# By the field's name, or where that says too little by the message's and the field's.
_WORDS: dict[str, Any] = {
    "access_token": _TOKEN,
    "amount": 10,
    "aspect": "3:4",
    "attempts": 1,
    "available": 88,
    "balance_after": 88,
    "by_default": True,
    "captured": 12,
    "category": "eats",
    "code": "",
    "content_type": "image/jpeg",
    "credits": 10,
    "description": "우리 동네 카페",
    "email": "owner@example.com",
    "enabled": True,
    "error_code": "",
    "error_message": "",
    "estimated_seconds": 7,
    "events_url": _EVENTS,
    "expires_in": 600,
    "file_name": "딸기-라떼.jpg",
    "has_more": False,
    "height": 1080,
    "held": 12,
    "limit": 24,
    "locale": "ko",
    "login": "cafe-owner",
    "login_id": "cafe-owner",
    "name": "카페 소일",
    "next_cursor": "",
    "order": 1,
    "outputs": ["promotional_image", "marketing_copy"],
    "password": "correct horse battery",
    "preview": "",
    "progress": 100,
    "purchased": 88,
    "quoted": 12,
    "reason": "welcome",
    "recipe_json": '{"prompt":"a strawberry latte on a wooden table","seed":7}',
    "refresh_token": "rt_c2VjcmV0",
    "released": 0,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "size_bytes": 182_344,
    "status_url": f"/v1/jobs/{ID.format(1)}",
    "cancel_url": f"/v1/jobs/{ID.format(1)}/cancel",
    "step": "generate",
    "subscription": 0,
    "tags": ["딸기", "라떼"],
    "template_id": "eats-advert",
    "template_version": 1,
    "thumbnail_url": "https://storage.example/atelier/works/thumbnail.jpg?signature=…",
    "time_zone": "Asia/Seoul",
    "title": "딸기 라떼 홍보",
    "unit_credits": 10,
    "url": "https://storage.example/atelier/works/picture.jpg?signature=…",
    "variation": 1,
    "variations": 1,
    "variations_max": 8,
    "vertical": "cafe",
    "width": 810,
    "work_type": "promotional_image",
    "workers_max": 3,
    "ApiKey.name": "the shop's server",
    "ApiKey.prefix": "atl_HG7AcA0s",
    "ApiKey.scopes": ["jobs:write", "works:read"],
    "Category.id": "eats",
    "CreateApiKeyRequest.name": "the shop's server",
    "CreateApiKeyRequest.scopes": ["jobs:write", "works:read"],
    "Choice.value": "3:4",
    "CreateProjectRequest.language": "ko",
    "Entry.kind": "hold",
    "Entry.amount": -10,
    "FormField.id": "text",
    "FormField.type": "textarea",
    "FormField.length_max": 2000,
    "FormField.min": 0,
    "FormField.max": 100,
    "EventsTicket.events_url": f"/v1/events?ticket={_TOKEN}",
    "EventsTicket.expires_in": 600,
    "JobEvent.recipe_json": "",
    "JobEvent.text": "",
    "JobEvent.text_at": 0,
    "CreateUploadRequest.name": "딸기-라떼.jpg",
    "UploadedFile.name": "딸기-라떼.jpg",
    "UploadedFile.pages": 0,
    "UploadForm.fields": {
        "key": f"quarantine/{ID.format(2)}/{ID.format(1)}",
        "Content-Type": "image/jpeg",
        "policy": "eyJleHBpcmF0aW9uIjoi…",
        "x-amz-signature": "5f2c…",
    },
    "UploadForm.url": "https://storage.example/atelier",
    "JobEvent.type": "queued",
    "Jwk.alg": "EdDSA",
    "Jwk.crv": "Ed25519",
    "Jwk.kid": "accounts-1",
    "Jwk.kty": "OKP",
    "Jwk.use": "sig",
    "Jwk.x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    "NewApiKey.secret": f"atl_{'0' * 43}426KGH",
    "Project.language": "ko",
    "Submission.inputs": _INPUTS,
    "Tags.values": ["딸기", "라떼"],
    "Template.graph": {"nodes": {}, "outputs": {}},
    "Template.id": "eats-advert",
    "Template.request_schema": {"type": "object", "required": ["text"]},
    "Text.ko": "음식 광고",
    "Text.en": "Food advert",
}
# An optional field of a request that says nothing beside the others.
_LEFT_OUT = {
    "CreateApiKeyRequest.expires_at",
    "SignUpRequest.email",
    "Submission.template_id",
    "Submission.project_id",
}
_SECOND = {
    "Bucket": "uploads",
    "UserKind": "member",
    "WorkType": "promotional_image",
    "Pool": "purchased",
}
_STATES = {
    "State": "succeeded",
    "WorkState": "completed",
    "HoldOutcome": "captured",
    "ApiKeyState": "active",
}


def example(descriptor: Any, *, as_text: bool = False, without: tuple[str, ...] = ()) -> Any:
    """Returns an example of a message, as JSON or as its text.

    Args:
        descriptor: Of the message.
        as_text: Written out, as in a stream.
        without: Fields that are bound elsewhere.
    """
    value = {
        field.name: _field(field)
        for field in descriptor.fields
        if field.name not in without and f"{descriptor.name}.{field.name}" not in _LEFT_OUT
    }
    return orjson.dumps(value).decode() if as_text else value


def _field(field: Any) -> Any:
    full = f"{field.containing_type.name}.{field.name}"
    if full in _WORDS:
        return _WORDS[full]
    if field.message_type is None and field.enum_type is None and field.name in _WORDS:
        return _WORDS[field.name]
    one = _one(field)
    return [one] if field.is_repeated else one


def _one(field: Any) -> Any:
    if field.message_type is not None:
        name = field.message_type.full_name
        return _WELL_KNOWN[name] if name in _WELL_KNOWN else example(field.message_type)
    if field.enum_type is not None:
        words = enum_words(field.enum_type)
        return (_SECOND | _STATES).get(field.enum_type.name, next(iter(words)))
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return ID.format(field.number) if field.name.endswith("id") else "…"
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return False
    return 1
