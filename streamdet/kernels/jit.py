"""How every kernel is compiled: one policy, so that no kernel differs by accident."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import config, njit


def _cache_folder() -> str:
    """Return a folder for compiled kernels that holds those of exactly these sources.

    numba looks only at the file of the function it compiles: a changed kernel that another one
    calls would leave the caller's machine code as it was, and the verdicts with it.
    """
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    beside = Path(__file__).parent / "__pycache__"
    given = str(getattr(config, "CACHE_DIR", ""))
    base = given or (str(beside) if os.access(beside, os.W_OK) else "")
    # Without a writable folder numba takes the user's own cache, where it looks at times only.
    return str(Path(base) / f"kernels-{digest.hexdigest()[:16]}") if base else ""


config.CACHE_DIR = _cache_folder()  # type: ignore[attr-defined]  # set when numba is imported

_POLICY: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "fastmath": False,
    "error_model": "numpy",
    "parallel": False,
    "no_cfunc_wrapper": True,
    "_nrt": False,
}


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` to machine code at its first call (or take it from the cache).

    The policy, and why:

    - `cache`: the second start of a process does not compile again (seconds saved at each start).
    - `nogil`: fetching and producing go on in librdkafka's threads while a kernel runs.
    - `fastmath` off: NaN and inf mean something here, and the same input must give the same bits
      on every machine, or a replay would not reach the state that it replays.
    - `error_model="numpy"`: x / 0 is inf or NaN, as in numpy, and costs no check per division.
    - no `_nrt`, numba's allocator and counter of references: a kernel allocates nothing, and numba
      refuses to compile one that would (see `allocating`).
    - `no_cfunc_wrapper`: nobody calls a kernel from C, and compiling the way in took a tenth.
    - no `parallel`: a worker owns partitions, not cores; a thread pool of numba's would compete
      with the other workers of the machine.

    With ``NUMBA_DISABLE_JIT=1`` the function runs as plain Python, so that coverage sees its
    lines; kernels must therefore not lean on integers that wrap around.
    """
    compiled: Callable[..., Any] = njit(**_POLICY)(function)
    return compiled


def allocating(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function`, which allocates its buffers, once a call, under the same policy else.

    A reference to an array is counted in it with an atomic increment, again and again: in the loop
    over points of `kernels.forecast` that was a sixth of the time.
    """
    compiled: Callable[..., Any] = njit(**{**_POLICY, "_nrt": True})(function)
    return compiled


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` as a part of the kernels that call it, under the same policy.

    For small steps in a loop: numba hands an array over as seven words, and LLVM alone does not
    inline them; the point parser lost a third of its time in such calls.
    """
    compiled: Callable[..., Any] = njit(forceinline=True, **_POLICY)(function)
    return compiled
