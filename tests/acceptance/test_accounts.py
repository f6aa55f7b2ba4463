"""Signing up and in, as a client does it."""

from __future__ import annotations

from tests.studio import Member, Studio, eventually


async def test_a_new_member_has_a_wallet_and_soon_a_first_project(member: Member) -> None:
    balance = (await member.get("/v1/credits")).json()
    assert balance == {"available": 100, "subscription": 0, "purchased": 100, "held": 0}

    async def projects() -> list[dict[str, object]]:
        found: list[dict[str, object]] = (await member.get("/v1/projects")).json()["data"]
        return found

    [project] = await eventually(projects)
    assert project["name"] == "내 첫 프로젝트"
    assert project["is_default"] is True


async def test_a_login_is_taken_once_without_regard_to_case(studio: Studio) -> None:
    member = await studio.sign_up()
    login = member.session["user"]["login_id"].upper()
    body = {"login_id": login, "password": "correct horse"}
    reply = await studio.http.post("/v1/auth/signup", json=body)
    assert (reply.status_code, reply.json()["code"]) == (409, "login_taken")


async def test_a_wrong_password_and_an_unknown_login_look_the_same(studio: Studio) -> None:
    member = await studio.sign_up()
    login = member.session["user"]["login_id"]
    replies = [
        await studio.http.post("/v1/auth/login", json={"login": name, "password": "wrong"})
        for name in (login, "nobody-here")
    ]
    assert [reply.status_code for reply in replies] == [401, 401]
    assert [reply.json()["code"] for reply in replies] == ["bad_credentials"] * 2
    good = {"login": login, "password": "correct horse battery"}
    assert (await studio.http.post("/v1/auth/login", json=good)).status_code == 200


async def test_every_fault_of_a_sign_up_is_named(studio: Studio) -> None:
    body = {"login_id": "a b", "password": "short", "locale": "fr", "nickname": "x"}
    reply = await studio.http.post("/v1/auth/signup", json=body)
    assert reply.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in reply.json()["errors"]] == ["nickname"]
    del body["nickname"]
    reply = await studio.http.post("/v1/auth/signup", json=body)
    assert {error["field"] for error in reply.json()["errors"]} == {
        "login_id",
        "password",
        "locale",
    }


async def test_a_refresh_token_rotates_and_its_family_dies_with_the_session(
    studio: Studio,
) -> None:
    member = await studio.sign_up()
    first = member.session["refresh_token"]
    reply = await studio.http.post("/v1/auth/refresh", json={"refresh_token": first})
    second = reply.json()["refresh_token"]
    assert second != first
    await studio.http.post("/v1/auth/logout", json={"refresh_token": second})
    for token in (first, second):
        reply = await studio.http.post("/v1/auth/refresh", json={"refresh_token": token})
        assert (reply.status_code, reply.json()["code"]) == (401, "unauthenticated")


async def test_a_forged_token_is_refused(member: Member) -> None:
    token = member.session["access_token"]
    head, body, signature = token.split(".")
    forged = f"{head}.{body}.{signature[::-1]}"
    reply = await member.http.get("/v1/me", headers={"authorization": f"Bearer {forged}"})
    assert (reply.status_code, reply.json()["code"]) == (401, "unauthenticated")


async def test_a_project_of_another_member_does_not_exist(studio: Studio) -> None:
    owner, other = await studio.sign_up(), await studio.sign_up()
    project = (await owner.post("/v1/projects", json={"name": "카페"})).json()
    seen = await other.get(f"/v1/projects/{project['id']}")
    missing = await other.get("/v1/projects/0195f0aa-0000-7000-8000-000000000000")
    assert seen.status_code == missing.status_code == 404
    assert seen.json() | {"request_id": ""} == missing.json() | {"request_id": ""}
