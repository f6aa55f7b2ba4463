"""Who may call what: every route by every kind of caller, as the policies of the protos say."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from gateway.routes import Route, load_descriptors, methods, routes
from kit.identity import Kind, Signer
from kit.rpc.client import open_channel
from kit.rpc.contract import policy_of
from kit.rpc.status import decode
from services.accounts.keys.domain import SCOPES
from tests.conftest import Installation
from tests.integration.security.hostile.honest import encoded, scene
from tests.studio import Member, Studio, eventually

EXPIRED_SECONDS = -3_600
PIXEL = encoded(scene((1, 1)), "PNG")


@dataclass(frozen=True)
class Owned:
    """What one member owns, and what names it in paths."""

    owner: Member
    job_id: str
    batch_id: str
    project_id: str
    works: list[str]
    files: list[str]
    api_key_id: str = ""

    def path(self, route: Route, caller: str) -> str:
        """Fills a route's path with what the member owns; some works are there to be deleted."""
        deleted = 2 if caller == "key" else 1
        known = {
            "job_id": self.job_id,
            "batch_id": self.batch_id,
            "project_id": self.project_id,
            "work_id": self.works[deleted if route.verb == "DELETE" else 0],
            "api_key_id": self.api_key_id,
            "template_id": "general-picture",
            "file_id": self.files[deleted if route.verb == "DELETE" else 0],
        }
        return route.path.format(**{name: known[name] for name in route.variables})


@dataclass(frozen=True)
class Row:
    """How a route is called, and what it answers where that differs from its policy.

    Attributes:
        body: Makes the body, new for each call.
        params: The query.
        belongs: Whether the path names something that has an owner: for others it does not exist.
        answers: The status by caller, where there is a reason.
    """

    body: Callable[[], dict[str, Any]] | None = None
    params: dict[str, str] = field(default_factory=dict)
    belongs: bool = False
    answers: dict[str, int] = field(default_factory=dict)


def sign_up() -> dict[str, Any]:
    return {"login_id": f"m-{uuid.uuid4().hex[:12]}", "password": "correct horse battery"}


def grant() -> dict[str, Any]:
    return {"user_id": str(uuid.uuid4()), "amount": 1, "reason": "matrix"}


def new_key(*scopes: str) -> dict[str, Any]:
    return {"name": "matrix", "scopes": list(scopes or SCOPES)}


def new_upload() -> dict[str, Any]:
    return {"content_type": "image/png", "size_bytes": len(PIXEL), "name": "matrix.png"}


# Keys of the owner's, by the scopes that they have.
KEYS = {"key": frozenset(SCOPES), "key of one scope": frozenset({"me:read"})}
REFUSED = dict.fromkeys(("owner", "other", "guest", "administrator", "nobody", "expired"), 401)
ROWS: dict[str, Row] = {
    "ApiKeysService.CreateApiKey": Row(new_key),
    "ApiKeysService.ListApiKeys": Row(),
    "ApiKeysService.RevokeApiKey": Row(belongs=True),
    "CreditsService.GetBalance": Row(),
    "CreditsService.ListEntries": Row(),
    # Of a job that is not the caller's, or that held nothing, there is no receipt.
    "CreditsService.GetReceipt": Row(belongs=True),
    # The administrator is let in; the wallet that is named does not exist.
    "CreditsService.GrantCredits": Row(grant, answers={"administrator": 404}),
    "IdentityService.SignUp": Row(sign_up),
    # Let in, and refused for what the body says.
    "IdentityService.LogIn": Row(lambda: {"login": "nobody", "password": "x"}, answers=REFUSED),
    "IdentityService.Refresh": Row(lambda: {"refresh_token": "x"}, answers=REFUSED),
    "IdentityService.LogOut": Row(lambda: {"refresh_token": "x"}),
    "IdentityService.CreateGuest": Row(dict),
    "IdentityService.GetMe": Row(),
    "IdentityService.GetJwks": Row(),
    "JobsService.SubmitJob": Row(
        lambda: {"template_id": "general-picture", "inputs": {"text": "빨간 꽃병"}},
        params={"dry_run": "true"},
        answers=dict.fromkeys(("owner", "other", "guest", "administrator"), 200),
    ),
    "JobsService.ListJobs": Row(),
    "JobsService.GetJob": Row(belongs=True),
    "JobsService.CancelJob": Row(belongs=True),
    # Nobody may call it because a ticket in the address is enough; without one he is refused.
    "JobsService.StreamJobEvents": Row(belongs=True, answers={"nobody": 401}),
    "JobsService.StreamBatchEvents": Row(belongs=True, answers={"nobody": 401}),
    "JobsService.StreamEvents": Row(answers={"nobody": 401}),
    "JobsService.CreateEventsTicket": Row(dict),
    "TemplatesService.ListTemplates": Row(),
    "TemplatesService.GetTemplate": Row(),
    "TemplatesService.ListCategories": Row(),
    "ProjectsService.CreateProject": Row(lambda: {"name": "matrix"}),
    "ProjectsService.ListProjects": Row(),
    "ProjectsService.GetProject": Row(belongs=True),
    "FilesService.CreateUpload": Row(new_upload),
    "FilesService.ConfirmUpload": Row(dict, belongs=True),
    "FilesService.GetFile": Row(belongs=True),
    "FilesService.ListFiles": Row(),
    "FilesService.DownloadFile": Row(belongs=True),
    "FilesService.DeleteFile": Row(belongs=True),
    "WorksService.GetWork": Row(belongs=True),
    "WorksService.ListWorks": Row(),
    "WorksService.GetBatch": Row(belongs=True),
    "WorksService.UpdateWork": Row(lambda: {"title": "mine"}, belongs=True),
    "WorksService.PublishWork": Row(dict, belongs=True),
    "WorksService.UnpublishWork": Row(dict, belongs=True),
    "WorksService.DeleteWork": Row(belongs=True),
    "WorksService.DownloadWork": Row(belongs=True),
}
ROUTES = {f"{r.method.containing_service.name}.{r.method.name}": r for r in routes()}
INTERNAL = [m for m in methods(load_descriptors()) if policy_of(m).caller is Kind.SERVICE]


def test_every_route_has_a_row() -> None:
    assert set(ROWS) == set(ROUTES)


@pytest.fixture(scope="session")
async def callers(installation: Installation) -> dict[str, tuple[Owned, dict[str, str]]]:
    """The headers of every kind of caller, and what the owner owns."""
    url = installation.layout.gateway_url
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
        studio = Studio(http)
        owner, other, guest = await studio.sign_up(), await studio.sign_up(), await studio.guest()
        login = f"the-administrator-{uuid.uuid4().hex[:6]}"
        administrator = await studio.sign_up(login)
        owned = await own(owner)
        made = {name: await make_key(owner, *scopes) for name, scopes in KEYS.items()}
        spare = await make_key(owner, "me:read")
        owned = replace(owned, api_key_id=spare["api_key"]["id"])
    signer = Signer("accounts", installation.layout.keys)

    def bearer(user: Member, kind: Kind, seconds: int = 3_600) -> dict[str, str]:
        token = signer.user_token(uuid.UUID(user.id), kind, seconds)
        return {"authorization": f"Bearer {token}"}

    headers = {
        "owner": bearer(owner, Kind.MEMBER),
        "other": bearer(other, Kind.MEMBER),
        "guest": bearer(guest, Kind.GUEST),
        "administrator": bearer(administrator, Kind.ADMINISTRATOR),
        "nobody": {},
        "expired": bearer(owner, Kind.MEMBER, EXPIRED_SECONDS),
    }
    headers |= {name: {"authorization": f"Bearer {key['secret']}"} for name, key in made.items()}
    return {name: (owned, header) for name, header in headers.items()}


async def own(owner: Member) -> Owned:
    """Makes one of everything, and three works and files."""
    jobs = [await write_copy(owner) for _ in range(3)]
    works = [await first_work(owner, job["batch_id"]) for job in jobs]
    [project] = (await owner.get("/v1/projects")).json()["data"]
    files = [(await owner.upload(PIXEL, "image/png"))["id"] for _ in range(3)]
    return Owned(owner, jobs[0]["id"], jobs[0]["batch_id"], project["id"], works, files)


async def make_key(owner: Member, *scopes: str) -> dict[str, Any]:
    reply = await owner.post("/v1/api-keys", json=new_key(*scopes))
    assert reply.status_code == 201, reply.text
    made: dict[str, Any] = reply.json()
    return made


async def write_copy(owner: Member) -> dict[str, Any]:
    reply = await owner.submit(
        template_id="general-advert", outputs=["marketing_copy"], inputs={"text": "빨간 꽃병"}
    )
    assert reply.status_code == 202, reply.text
    return await owner.finished(reply.json()["id"])


async def first_work(owner: Member, batch_id: str) -> str:
    async def completed() -> str | None:
        [work] = (await owner.get(f"/v1/batches/{batch_id}")).json()["works"]
        return str(work["id"]) if work["state"] == "completed" else None

    return str(await eventually(completed))


def expected(route: Route, row: Row, caller: str) -> int:
    """What the policy says about a caller."""
    policy = route.policy
    if caller == "expired" and not policy.ignores_token:
        return 401
    if caller in KEYS:
        if not policy.ignores_token and policy.scope not in KEYS[caller]:
            return 403
        caller = "owner"
    if caller in row.answers:
        return row.answers[caller]
    kind = {"nobody": Kind.NOBODY, "expired": Kind.NOBODY, "guest": Kind.GUEST}.get(
        caller, Kind.ADMINISTRATOR if caller == "administrator" else Kind.MEMBER
    )
    if kind < policy.caller:
        return 401 if kind is Kind.NOBODY else 403
    if row.belongs and caller != "owner":
        return 404
    return policy.success_status


async def status_of(http: httpx.AsyncClient, request: httpx.Request) -> tuple[int, str]:
    """Sends a request; of a stream that was opened nothing is read."""
    reply = await http.send(request, stream=True)
    try:
        streams = reply.headers.get("content-type", "").startswith("text/event-stream")
        text = "" if streams else (await reply.aread()).decode()
        return reply.status_code, text
    finally:
        await reply.aclose()


# Whoever may change a thing comes last.
@pytest.mark.parametrize(
    "caller", ["expired", "nobody", "guest", "other", "administrator", *KEYS, "owner"]
)
@pytest.mark.parametrize("name", sorted(ROUTES))
async def test_a_route_lets_in_whom_its_policy_names(
    studio: Studio,
    callers: dict[str, tuple[Owned, dict[str, str]]],
    name: str,
    caller: str,
) -> None:
    route, row = ROUTES[name], ROWS[name]
    owned, headers = callers[caller]
    request = studio.http.build_request(
        route.verb,
        owned.path(route, caller),
        params=row.params,
        json=row.body() if row.body else None,
        headers=headers | {"idempotency-key": str(uuid.uuid4())},
    )
    status, text = await status_of(studio.http, request)
    assert status == expected(route, row, caller), text
    if caller not in ("owner", *KEYS):
        foreign = [owned.job_id, owned.batch_id, owned.project_id, *owned.works, *owned.files]
        named = str(request.url)
        assert [each for each in foreign if each in text and each not in named] == []


@pytest.mark.parametrize("method", INTERNAL, ids=lambda m: f"{m.containing_service.name}.{m.name}")
@pytest.mark.parametrize("caller", ["owner", "guest", "administrator", "nobody", "expired"])
async def test_what_is_for_services_lets_in_no_user(
    installation: Installation,
    callers: dict[str, tuple[Owned, dict[str, str]]],
    method: Any,
    caller: str,
) -> None:
    service = method.containing_service
    process = service.full_name.split(".")[1]
    metadata = tuple(callers[caller][1].items())
    async with open_channel(installation.layout.socket(process)) as channel:
        call = channel.unary_stream if method.server_streaming else channel.unary_unary
        rpc = call(f"/{service.full_name}/{method.name}")(b"", metadata=metadata, timeout=60)
        answer = rpc.read() if method.server_streaming else rpc
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await answer
    nobody = caller in ("nobody", "expired")
    wanted = grpc.StatusCode.UNAUTHENTICATED if nobody else grpc.StatusCode.PERMISSION_DENIED
    assert refused.value.code() is wanted


@pytest.mark.parametrize("scopes", [[], ["me:read"]])
async def test_a_service_itself_heeds_the_scopes_of_a_token(
    installation: Installation, callers: dict[str, tuple[Owned, dict[str, str]]], scopes: list[str]
) -> None:
    """Whoever has got hold of a key's token and reaches a service is held by it as well."""
    user_id = uuid.UUID(callers["owner"][0].owner.id)
    signer = Signer("accounts", installation.layout.keys)
    token = signer.user_token(user_id, Kind.MEMBER, 60, scopes=scopes)
    async with open_channel(installation.layout.socket("jobs")) as channel:
        rpc = channel.unary_unary("/atelier.jobs.v1.JobsService/ListJobs")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await rpc(b"", metadata=(("authorization", f"Bearer {token}"),), timeout=60)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert decode(refused.value).metadata == {"scope": "jobs:read"}


@pytest.mark.parametrize("process", ["accounts", "works", "jobs"])
async def test_a_service_is_no_user(installation: Installation, process: str) -> None:
    token = Signer("worker", Path(installation.layout.keys)).service_token(process)
    rpc = {
        "accounts": "atelier.accounts.v1.CreditsService/GetBalance",
        "works": "atelier.works.v1.WorksService/ListWorks",
        "jobs": "atelier.jobs.v1.JobsService/ListJobs",
    }[process]
    metadata = (("authorization", f"Bearer {token}"),)
    async with open_channel(installation.layout.socket(process)) as channel:
        call = channel.unary_unary(f"/{rpc}")(b"", metadata=metadata, timeout=60)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
