"""chat@1: a conversation is answered, and the words are told as they come."""

from __future__ import annotations

from typing import Any

from services.worker.chains.conversation import Conversation
from services.worker.nodes.run import Run, Values


async def run(values: Values, node: Run) -> dict[str, Any]:
    """Raises InvalidArgument, WriterFailed or ContentFiltered."""
    reply = await node.tools.writer.reply(Conversation.of(values), node.write)
    return {"answer": reply.as_json(), "writer": reply.writer}
