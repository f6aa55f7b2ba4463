"""IdentityService over gRPC."""

from __future__ import annotations

import json
from pathlib import Path

from atelier.accounts.v1 import identity_pb2 as pb

from kit.crash import crash_point
from kit.database import Database
from kit.identity import USER_ISSUER, Kind, Signer, system
from kit.rows import RowMapper
from kit.rpc.server import Call
from services.accounts.identity import domain, service, store
from services.accounts.identity.passwords import Passwords

ACCESS_TOKEN_SECONDS = 600
_user = RowMapper(pb.User)


class IdentityApi:
    """Translates between messages and use cases."""

    def __init__(
        self,
        database: Database,
        signer: Signer,
        keys_dir: Path,
        *,
        welcome_credits: int,
        guest_credits: int,
        administrators: frozenset[str],
    ) -> None:
        self._database = database
        self._signer = signer
        self._keys_dir = keys_dir
        self._welcome_credits = welcome_credits
        self._guest_credits = guest_credits
        self._administrators = administrators
        self._passwords = Passwords()
        # Nobody is signed in yet: these use cases run in the service's own name.
        self._house = system(database.role)

    async def SignUp(self, request: pb.SignUpRequest, call: Call) -> pb.Session:
        member = domain.check_sign_up(
            request.login_id, request.email, request.password, request.name, request.locale
        )
        kind = "administrator" if member.login_id in self._administrators else "member"
        password_hash = await self._passwords.hash(member.password)
        signed_in = await self._database.write(
            self._house, service.sign_up, member, kind, password_hash, self._welcome_credits
        )
        crash_point("sign_up.committed")
        return self._session(signed_in)

    async def LogIn(self, request: pb.LogInRequest, call: Call) -> pb.Session:
        found = await self._database.read(self._house, store.by_login, request.login)
        encoded = found["password_hash"] if found else None
        if not await self._passwords.verify(encoded, request.password) or found is None:
            raise domain.BadCredentials("the login or the password is wrong")
        signed_in = await self._database.write(self._house, service.open_session, found["id"])
        return self._session(signed_in)

    async def Refresh(self, request: pb.RefreshRequest, call: Call) -> pb.Session:
        signed_in = await self._database.write(self._house, service.refresh, request.refresh_token)
        crash_point("session.refreshed")
        if signed_in is None:
            raise service.reused()
        return self._session(signed_in)

    async def LogOut(self, request: pb.LogOutRequest, call: Call) -> pb.LogOutResponse:
        await self._database.write(self._house, service.log_out, request.refresh_token)
        return pb.LogOutResponse()

    async def CreateGuest(self, request: pb.CreateGuestRequest, call: Call) -> pb.Session:
        signed_in = await self._database.write(
            self._house, service.create_guest, request.locale, self._guest_credits
        )
        return self._session(signed_in)

    async def GetMe(self, request: pb.GetMeRequest, call: Call) -> pb.User:
        found = await self._database.read(call.identity, service.me, call.identity.user)
        return _user(found)

    async def GetJwks(self, request: pb.GetJwksRequest, call: Call) -> pb.Jwks:
        published = json.loads((self._keys_dir / "jwks.json").read_text())["keys"]
        ours = [key for key in published if key["kid"].rpartition("-")[0] == USER_ISSUER]
        return pb.Jwks(keys=[pb.Jwk(**key) for key in ours])

    def _session(self, signed_in: service.SignedIn) -> pb.Session:
        user = signed_in.user
        kind = Kind[user["kind"].upper()]
        return pb.Session(
            access_token=self._signer.user_token(user["id"], kind, ACCESS_TOKEN_SECONDS),
            expires_in=ACCESS_TOKEN_SECONDS,
            refresh_token=signed_in.refresh_token,
            user=_user(user),
        )
