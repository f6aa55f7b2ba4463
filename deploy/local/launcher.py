"""Starts one process and ends its whole group when the supervisor is gone.

``launcher.py PIPE_FD UID GRACE_SECONDS SIGNAL COMMAND...``: reads nothing from the pipe but waits
for its end, which comes when the supervisor dies, however it dies; then the group gets the signal
and, after the grace, SIGKILL. SIGTERM to the launcher does the same. Standard library only and no
imports of ours: it is started for every part.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys


def main() -> int:
    """Runs the command and returns its exit status."""
    pipe, uid, grace, number = (int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    command = sys.argv[5:]
    asked, ask = os.pipe()
    signal.signal(signal.SIGTERM, lambda *_: os.write(ask, b"."))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to handle
    child = subprocess.Popen(command, start_new_session=True, user=uid if uid >= 0 else None)
    ended = os.pidfd_open(child.pid)
    readable, _, _ = select.select([pipe, asked, ended], [], [])
    if ended not in readable:
        _signal(child.pid, number)
        select.select([ended], [], [], float(grace))
    _signal(child.pid, signal.SIGKILL)  # whatever is left of the group
    return child.wait()


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


if __name__ == "__main__":
    sys.exit(main() & 0xFF)
