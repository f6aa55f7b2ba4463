"""The peer: the two routes as they are usually written: FastAPI, grpc.aio and MessageToDict.

It runs in an environment of its own (build/bench-fastapi). It does less than the gateway: no
request id, limits, entity tags or spans; like the gateway it writes a log line per request.
"""

from __future__ import annotations

import os
from typing import Any

import grpc
from atelier.works.v1 import works_pb2, works_pb2_grpc
from fastapi import FastAPI, Header, HTTPException
from google.protobuf.json_format import MessageToDict

app = FastAPI()
state: dict[str, Any] = {}


def works() -> works_pb2_grpc.WorksServiceStub:
    if "works" not in state:
        state["works"] = works_pb2_grpc.WorksServiceStub(
            grpc.aio.insecure_channel(os.environ["UPSTREAM"])
        )
    return state["works"]


def shown(message: Any) -> dict[str, Any]:
    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


async def asked(call: Any, request: Any, authorization: str) -> dict[str, Any]:
    try:
        metadata = (("authorization", authorization),)
        return shown(await call(request, metadata=metadata, timeout=30))
    except grpc.aio.AioRpcError as error:
        raise HTTPException(502, error.details()) from None


@app.get("/v1/works/{work_id}")
async def get_work(work_id: str, authorization: str = Header()) -> dict[str, Any]:
    return await asked(works().GetWork, works_pb2.GetWorkRequest(work_id=work_id), authorization)


@app.get("/v1/works")
async def list_works(limit: int = 24, authorization: str = Header()) -> dict[str, Any]:
    return await asked(works().ListWorks, works_pb2.ListWorksRequest(limit=limit), authorization)
