"""The commands of the documents are run as they stand."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.studio import Studio

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ["docs/quickstart.md", "docs/quickstart.ko.md", "README.md"]
PROGRAMS = {
    "sh": ["bash", "-euo", "pipefail", "main.sh"],
    "python": [sys.executable, "main.py"],
    "js": ["node", "main.mjs"],
}
FILES = {"sh": "main.sh", "python": "main.py", "js": "main.mjs"}


def blocks(document: str) -> dict[str, str]:
    """Returns the one block of each language that talks to the API."""
    found = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / document).read_text(), re.M | re.S)
    return {name: code for name, code in found if name in PROGRAMS and "/v1/jobs" in code}


EXAMPLES = [(document, name) for document in DOCUMENTS for name in blocks(document)]


def test_every_language_is_shown_in_both_quickstarts() -> None:
    assert set(blocks("docs/quickstart.md")) == set(blocks("docs/quickstart.ko.md")) == set(FILES)
    assert "sh" in blocks("README.md")


@pytest.mark.parametrize(("document", "language"), EXAMPLES)
async def test_what_the_document_shows_makes_a_picture(
    studio: Studio, tmp_path: Path, document: str, language: str
) -> None:
    if language == "js" and not shutil.which("node"):
        pytest.skip("node is not installed: the JavaScript of the documents was NOT run")
    (tmp_path / FILES[language]).write_text(blocks(document)[language])
    process = await asyncio.create_subprocess_exec(
        *PROGRAMS[language],
        cwd=tmp_path,
        env={**os.environ, "API": str(studio.http.base_url).rstrip("/"), "NO_PROXY": "127.0.0.1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert output.decode().startswith("succeeded")
    with Image.open(tmp_path / "picture.jpg") as picture:
        assert picture.format == "JPEG"
