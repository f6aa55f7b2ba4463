"""What a check may still do: limits of the kernel on memory, time and calls.

First limits on resources; then, when everything that is needed has been imported, a filter on
system calls (seccomp) by an allowlist. Behind it the process computes, reads and writes the few
descriptors that it was given, and ends: it opens nothing, connects to nothing and starts nothing.
The filter needs Linux on x86-64 or arm64; elsewhere only the limits hold, and the answer says so.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import resource
import signal
import struct
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_SECCOMP_RET_ALLOW = 0x7FFF0000
_SECCOMP_RET_EPERM = 0x00050000 | 1
_SECCOMP_RET_KILL = 0x80000000
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_X32 = 0x40000000  # the other numbering of x86-64

# The kernel's number of each architecture (linux/audit.h), and of the calls that a check makes:
# reading and writing what is open, memory, time, signals within the process, ending.
_ARCHITECTURES = {
    "x86_64": (
        0xC000003E,
        """
        read=0 write=1 close=3 fstat=5 lseek=8 mmap=9 mprotect=10 munmap=11 brk=12
        rt_sigaction=13 rt_sigprocmask=14 rt_sigreturn=15 ioctl=16 pread64=17 pwrite64=18
        readv=19 writev=20 sched_yield=24 mremap=25 madvise=28 getpid=39 exit=60 getcwd=79 fcntl=72
        ftruncate=77 gettimeofday=96 getrusage=98 gettid=186 futex=202 restart_syscall=219
        clock_gettime=228 clock_getres=229 exit_group=231 tgkill=234 newfstatat=262
        getrandom=318 membarrier=324 statx=332 rseq=334
        """,
    ),
    "aarch64": (
        0xC00000B7,
        """
        getcwd=17 fcntl=25 ioctl=29 ftruncate=46 close=57 lseek=62 read=63 write=64 readv=65
        writev=66 pread64=67 pwrite64=68 newfstatat=79 fstat=80 exit=93 exit_group=94 futex=98
        clock_gettime=113 clock_getres=114 sched_yield=124 restart=128 tgkill=131
        rt_sigaction=134 rt_sigprocmask=135 rt_sigreturn=139 getrusage=165 gettimeofday=169
        getpid=172 gettid=178 brk=214 munmap=215 mremap=216 mmap=222 mprotect=226
        madvise=233 getrandom=278 membarrier=283 statx=291 rseq=293
        """,
    ),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def limit(memory_bytes: int, cpu_seconds: int, written_bytes: int, descriptors: int) -> None:
    """Limits this process, before it has seen anything of the file.

    Args:
        memory_bytes: Address space.
        cpu_seconds: After which the kernel ends it by SIGXCPU, and a second later by SIGKILL.
        written_bytes: The largest file that it may write.
        descriptors: Above the highest number that it may open.
    """
    for what, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, written_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, descriptors),
    ):
        resource.setrlimit(what, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    # A write past the limit raises instead of ending the process.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    # When the service is told to end, it waits for its checks; when it dies, they die with it.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _prctl(_PR_SET_DUMPABLE, 0)


def seal() -> bool:
    """Closes everything but the descriptors in use; False where the kernel has no such filter."""
    if sys.platform != "linux" or platform.machine() not in _ARCHITECTURES:
        return False
    architecture, calls = _ARCHITECTURES[platform.machine()]
    program = _filter(architecture, [int(each.partition("=")[2]) for each in calls.split()])
    code = ctypes.create_string_buffer(program, len(program))
    header = _Program(len(program) // 8, ctypes.addressof(code))
    return _prctl(_PR_SET_NO_NEW_PRIVS, 1) and _prctl(
        _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(header)
    )


def _filter(architecture: int, numbers: list[int]) -> bytes:
    """Makes the BPF program: another architecture ends the process, another call is refused."""
    allow = [
        _step(_EQUAL, number, then=len(numbers) - index) for index, number in enumerate(numbers)
    ]
    return b"".join(
        (
            _step(_LOAD, 4),  # seccomp_data.arch
            _step(_EQUAL, architecture, then=1),
            _step(_RETURN, _SECCOMP_RET_KILL),
            _step(_LOAD, 0),  # seccomp_data.nr
            _step(_AT_LEAST, _X32, then=len(numbers)),
            *allow,
            _step(_RETURN, _SECCOMP_RET_EPERM),
            _step(_RETURN, _SECCOMP_RET_ALLOW),
        )
    )


def _step(code: int, value: int, then: int = 0) -> bytes:
    return struct.pack("HBBI", code, then, 0, value)


def _prctl(option: int, value: int, pointer: int = 0) -> bool:
    library = ctypes.CDLL(None, use_errno=True)
    arguments = (ctypes.c_ulong(value), ctypes.c_ulong(pointer), ctypes.c_ulong(0))
    return int(library.prctl(option, *arguments, ctypes.c_ulong(0))) == 0


def open_memory() -> int:
    """Opens what the kernel says of this process' memory; it cannot be opened once sealed.

    The peak that getrusage() knows is also that of the process which started this one.
    """
    return os.open("/proc/self/status", os.O_RDONLY) if sys.platform == "linux" else -1


def peak_bytes(memory: int) -> int:
    """Returns the most memory that this process has had resident; 0 where the kernel says none."""
    said = os.pread(memory, 4_096, 0) if memory >= 0 else b""
    peak = re.search(rb"VmHWM:\s+(\d+) kB", said)
    return int(peak.group(1)) * 1024 if peak else 0
