"""ApiKeysService over gRPC."""

from __future__ import annotations

import datetime as dt

from atelier.accounts.v1 import keys_pb2 as pb

from kit.database import Database
from kit.identity import Kind, Signer, system
from kit.ids import parse_id
from kit.paging import PageRequest
from kit.rows import RowMapper
from kit.rpc.server import Call
from services.accounts.keys import service, store

KEY_TOKEN_SECONDS = 60
_key = RowMapper(pb.ApiKey)


class ApiKeysApi:
    """Translates between messages and use cases."""

    def __init__(self, database: Database, signer: Signer) -> None:
        self._database = database
        self._signer = signer
        self._house = system(database.role)

    async def CreateApiKey(self, request: pb.CreateApiKeyRequest, call: Call) -> pb.NewApiKey:
        expires_at = (
            request.expires_at.ToDatetime(dt.UTC) if request.HasField("expires_at") else None
        )
        made = await self._database.write(
            call.identity,
            service.create,
            call.identity.user,
            request.name,
            request.scopes,
            expires_at,
        )
        return pb.NewApiKey(secret=made.secret, api_key=_key(made.row))

    async def ListApiKeys(
        self, request: pb.ListApiKeysRequest, call: Call
    ) -> pb.ListApiKeysResponse:
        wanted = PageRequest.of(request.limit, request.after)
        page = await self._database.read(call.identity, store.page, call.identity.user, wanted)
        return pb.ListApiKeysResponse(
            data=[_key(row) for row in page.rows],
            has_more=page.has_more,
            next_cursor=page.next_cursor,
        )

    async def RevokeApiKey(
        self, request: pb.RevokeApiKeyRequest, call: Call
    ) -> pb.RevokeApiKeyResponse:
        key_id = parse_id(request.api_key_id, "api_key_id")
        await self._database.write(call.identity, service.revoke, call.identity.user, key_id)
        return pb.RevokeApiKeyResponse()

    async def ExchangeApiKey(
        self, request: pb.ExchangeApiKeyRequest, call: Call
    ) -> pb.ExchangeApiKeyResponse:
        found = await self._database.write(self._house, service.exchange, request.secret)
        # Of a member, whatever its owner is: a key is no administrator.
        token = self._signer.user_token(
            found["user_id"], Kind.MEMBER, KEY_TOKEN_SECONDS, scopes=found["scopes"]
        )
        return pb.ExchangeApiKeyResponse(access_token=token, expires_in=KEY_TOKEN_SECONDS)
