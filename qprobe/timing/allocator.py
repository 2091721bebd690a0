"""Tells the C library what to do with freed memory: keep it, or give it back now.

Where it is kept, fresh memory costs the same at every call. By itself glibc gives large blocks back
to the system and asks for them again, or not, depending on what the process did before; each page
then costs a fault. On a virtual machine that was a fifth of a forward pass, in one process and not
in the next.
"""

from __future__ import annotations

import ctypes
import functools
import platform

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
LARGEST_MMAP_THRESHOLD = 32 * 2**20
"""glibc takes no larger one on 64 bits: larger blocks are mapped anew each time."""
KEPT_BYTES = 2**31 - 1


@functools.cache
def keep_freed_memory() -> bool:
    """Have this process reuse the memory it frees, blocks of up to 32 MiB; False without glibc.

    Like MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=2147483647 in the environment of a
    process that starts. The process stays as large as it once was.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    done: bool = bool(mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)) and bool(
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
    )
    return done


def give_back_freed_memory() -> None:
    """Return to the system what this process has freed, once; does nothing without glibc."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
