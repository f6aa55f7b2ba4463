"""The check's process: what passes looks the same; what it may take and do is bounded."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import psutil
import pytest
from PIL import Image, ImageChops, ImageStat

from kit.errors import Unavailable
from services.works.files.check.verdict import Accepted, Limits
from services.works.files.checker import Bounds, Busy, Bytes, Checker
from services.works.files.domain import FileRefused
from tests.integration.security.hostile.honest import (
    Honest,
    encoded,
    files,
    on_white,
    scene,
    srgb,
    wide,
)
from tests.studio import eventually

LIMITS = Limits(50 << 20, 25_000_000, 16_383, 2_000)
HONEST = files()
SECRET = b"HIDDEN-IN-METADATA"


@contextmanager
def opened(data: bytes) -> Iterator[Bytes]:
    """The open files of a check, without a name."""
    with ExitStack() as stack:
        made = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        made[0].write(data)
        made[0].flush()
        yield Bytes(*made)


async def checked(
    content_type: str, data: bytes, bounds: Bounds | None = None, limits: Limits = LIMITS
) -> tuple[Accepted, bytes, bytes]:
    """Returns what the check says, the bytes it made and its thumbnail."""
    checker = Checker(bounds or Bounds())
    with opened(data) as places:
        accepted = await checker.check(content_type, limits, places)
        for each in (places.target, places.thumbnail):
            each.seek(0)
        return accepted, places.target.read(), places.thumbnail.read()


@pytest.mark.parametrize("case", HONEST, ids=[case.name for case in HONEST])
async def test_an_honest_file_passes_and_looks_the_same(case: Honest) -> None:
    accepted, made, thumbnail = await checked(case.content_type, case.data)
    assert accepted.content_type == (case.stored_as or case.content_type)
    if case.content_type == "application/pdf":
        assert accepted.as_sent
        assert accepted.pages in (1, 2, 3)
    if case.shown is None:
        return
    assert (accepted.width, accepted.height) == case.shown.size
    picture = Image.open(io.BytesIO(made))
    assert {"icc_profile", "exif", "comment"}.isdisjoint(picture.info)
    assert difference(on_white(picture), case.shown) <= case.tolerance
    small = Image.open(io.BytesIO(thumbnail))
    assert (small.format, small.size) == ("JPEG", case.shown.size)
    assert difference(small, case.shown) <= max(8, case.tolerance)


def difference(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of two pictures' channels, of 255."""
    means = ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).mean
    return max(means)


async def test_a_picture_of_another_colour_space_is_brought_to_srgb() -> None:
    profile, shown = wide()
    _, made, _ = await checked("image/png", encoded(scene(), "PNG", icc_profile=profile))
    picture = Image.open(io.BytesIO(made))
    assert difference(picture, shown) <= 1
    assert difference(picture, scene()) > 5


async def test_nothing_that_hides_beside_the_pixels_is_kept() -> None:
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    jpeg = encoded(scene(), "JPEG", exif=exif, comment=SECRET, icc_profile=srgb())
    gif = encoded(scene().quantize(8), "GIF", comment=SECRET)
    for content_type, data in (("image/jpeg", jpeg), ("image/gif", gif)):
        assert SECRET in data
        _, made, thumbnail = await checked(content_type, data)
        assert SECRET not in made + thumbnail


async def test_the_same_file_makes_the_same_bytes() -> None:
    data = encoded(scene(), "JPEG")
    assert await checked("image/jpeg", data) == await checked("image/jpeg", data)


async def test_an_svg_is_written_anew_with_what_draws_only() -> None:
    data = (
        b'<svg xmlns="http://www.w3.org/2000/svg" xmlns:i="urn:editor" viewBox="0 0 10 20" '
        b'i:secret="HIDDEN"><!-- HIDDEN --><metadata>HIDDEN</metadata><i:x>HIDDEN</i:x>'
        b'<path d="M0 0h9"/></svg>'
    )
    accepted, made, _ = await checked("image/svg+xml", data)
    assert b"HIDDEN" not in made
    assert b'd="M0 0h9"' in made
    assert (accepted.width, accepted.height) == (10, 20)


async def test_a_picture_that_does_not_fit_is_encoded_smaller_or_refused() -> None:
    data = encoded(scene((600, 400)), "JPEG", quality=60)
    roomy = len((await checked("image/jpeg", data))[1])
    _, made, _ = await checked("image/jpeg", data, limits=replace(LIMITS, bytes_max=roomy - 1))
    assert len(made) < roomy
    with pytest.raises(FileRefused) as refused:
        await checked("image/jpeg", data, limits=replace(LIMITS, bytes_max=800))
    assert refused.value.reason == "FILE_TOO_LARGE"


def heavy() -> bytes:
    """A small file that takes seconds: 24 megapixels."""
    picture = Image.effect_noise((300, 300), 60).resize((6_000, 4_000)).convert("RGB")
    return encoded(picture, "JPEG", quality=60)


HEAVY = heavy()


async def test_a_check_that_takes_too_long_is_ended_and_can_be_asked_for_again() -> None:
    with pytest.raises(Unavailable):
        # Less than an interpreter takes to start, on whatever machine.
        await checked("image/jpeg", HEAVY, Bounds(seconds=0.005))
    assert not running()


async def test_a_check_that_computes_too_long_refuses_the_file() -> None:
    with pytest.raises(FileRefused) as refused:
        await checked("image/png", noise(), Bounds(cpu_seconds=1, seconds=600))
    assert refused.value.reason == "FILE_TOO_COMPLEX"


def noise() -> bytes:
    """A file that takes seconds of a processor, since noise cannot be packed."""
    return encoded(Image.effect_noise((4_500, 3_500), 90).convert("RGB"), "PNG", compress_level=0)


async def test_a_check_that_wants_more_memory_than_it_may_refuses_the_file() -> None:
    with pytest.raises(FileRefused) as refused:
        await checked("image/jpeg", HEAVY, Bounds(memory_bytes=80 << 20, seconds=600))
    assert refused.value.reason == "FILE_TOO_COMPLEX"


async def under_way() -> tuple[asyncio.Task[Any], psutil.Process]:
    """A check and its process; another one where it was over before anybody looked."""
    checking = asyncio.create_task(checked("image/jpeg", HEAVY))

    async def seen() -> psutil.Process | None:
        nonlocal checking
        if checking.done():
            checking = asyncio.create_task(checked("image/jpeg", HEAVY))
        return next(iter(running()), None)

    process: psutil.Process = await eventually(seen)
    return checking, process


async def test_a_check_that_is_killed_can_be_asked_for_again() -> None:
    checking, process = await under_way()
    process.kill()
    with pytest.raises(Unavailable):
        await checking


async def test_a_check_ends_with_the_call_that_asked_for_it() -> None:
    checking, _ = await under_way()
    checking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await checking
    assert not running()


async def test_no_more_files_wait_than_may_and_none_for_ever() -> None:
    checker = Checker(Bounds(at_once=1, waiting_max=1, waiting_seconds=0.01))
    async with checker.turn():
        waiting = [asyncio.create_task(enter(checker)) for _ in range(3)]
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(end) for end in ends] == [Busy] * 3
    await enter(checker)


async def test_turns_are_handed_on_to_those_who_wait() -> None:
    checker = Checker(Bounds(at_once=2, waiting_max=2))
    ends = await asyncio.gather(*(enter(checker) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(end, Busy) for end in ends) == 2
    assert sum(end is None for end in ends) == 4


async def enter(checker: Checker) -> None:
    """Has a turn and lets others come to theirs."""
    async with checker.turn():
        await asyncio.sleep(0)


def running() -> list[psutil.Process]:
    """The checks that this process has started."""
    found = []
    for each in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):  # another one that has just ended
            if "services.works.files.check" in each.cmdline():
                found.append(each)
    return found


ESCAPES = """
import json, os, socket, subprocess, sys, tempfile, threading
from services.works.files.check import seal
given = os.open(sys.argv[1], os.O_RDONLY)
seal.limit(1 << 30, 5, 1000, 16)
if not seal.seal():
    print("null")
    sys.exit()
tries = {
    "read a file": lambda: open("/etc/passwd").read(),
    "write a file": lambda: open("/tmp/escaped", "w"),
    "make a file": lambda: tempfile.TemporaryFile(),
    "list a folder": lambda: os.listdir("/"),
    "remove a file": lambda: os.unlink(sys.argv[1]),
    "connect": lambda: socket.socket(),
    "connect locally": lambda: socket.socketpair(),
    "fork": lambda: os.fork(),
    "start a program": lambda: subprocess.run(["/bin/true"]),
    "become a program": lambda: os.execv("/bin/true", ["true"]),
    "start a thread": lambda: threading.Thread(target=print).start(),
    "signal another": lambda: os.kill(os.getppid(), 0),
    "look at another": lambda: os.readlink("/proc/1/exe"),
}
done = []
for name, attempt in tries.items():
    try:
        attempt()
        done.append(name)
    except (OSError, RuntimeError):
        pass
print(json.dumps({"done": done, "tried": len(tries), "read": len(os.pread(given, 3, 0))}))
sys.stdout.flush()
os._exit(0)
"""


def test_a_sealed_process_reads_what_it_was_given_and_can_do_nothing_else() -> None:
    with tempfile.NamedTemporaryFile() as given:
        given.write(b"abc")
        given.flush()
        done = subprocess.run(
            [sys.executable, "-I", "-c", ESCAPES, given.name],
            capture_output=True,
            check=False,
            timeout=300,
        )
    answer = json.loads(done.stdout)
    if answer is None:
        pytest.skip("this kernel filters no calls: what a check may do was NOT tested")
    assert answer == {"done": [], "tried": 13, "read": 3}
