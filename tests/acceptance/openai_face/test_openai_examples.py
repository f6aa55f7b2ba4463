"""What the page of the API shows of the OpenAI-compatible face, run as it stands."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path

from tests.studio import Studio


async def run(program: list[str], folder: Path, **environment: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *program,
        cwd=folder,
        env={**os.environ, "NO_PROXY": "127.0.0.1", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_what_the_page_of_the_api_shows_works_as_it_stands(
    studio: Studio, tmp_path: Path
) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "api.md").read_text()
    found = re.findall(r"^```(sh|python)\n(.*?)^```", page, re.M | re.S)
    shown = {language: code for language, code in found if "/openai/v1" in code}
    api = str(studio.http.base_url).rstrip("/")
    (tmp_path / "main.py").write_text(shown["python"])
    script = ["bash", "-euo", "pipefail", "-c", shown["sh"]]
    key, _, answer = (await run(script, tmp_path, API=api)).partition("\n")
    assert "딸기 라떼" in json.loads(answer)["choices"][0]["message"]["content"]
    printed = await run([sys.executable, "main.py"], tmp_path, API=api, KEY=key)
    address, _, text = printed.partition("\n")
    assert address.startswith("http")
    assert "strawberry latte" in text.lower()
