"""Peak memory of one call, each in a process of its own.

On the CPU the peak of resident memory is read from Linux (VmHWM, reset before the call). The allocator is told to
give every larger block back at once, so that what an earlier call has freed hides nothing; a first call, not
measured, lets the libraries build what they keep. On CUDA torch counts by itself.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

# Blocks from 64 KiB on come from the system and go back to it.
_ALLOCATOR = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def peak_bytes(run: Callable[[], object], device: str = "cpu", warm_up: Callable[[], object] | None = None) -> int:
    """Return how far memory rises during a call above what was in use before it."""
    (warm_up or run)()
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    run()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))


def in_a_process(*arguments: str) -> dict[str, object]:
    """Run the calling script again with other arguments and return what it prints last, as JSON."""
    done = subprocess.run(
        [sys.executable, *arguments], env={**os.environ, **_ALLOCATOR}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return {"error": lines[-1] if lines else f"exit code {done.returncode}"}
    return json.loads(done.stdout.strip().splitlines()[-1])
