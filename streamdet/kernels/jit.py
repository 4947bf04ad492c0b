"""How every kernel is compiled and kept: one policy, so that no kernel differs by accident."""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import pickle
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Protocol

from numba import config
from numba.core.registry import cpu_target
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

from streamdet.kernels.linked import Kernel


def _cache_folder() -> str:
    """Return a folder for compiled kernels that holds those of exactly these sources.

    numba looks only at the file of the function it compiles: a changed kernel that another one
    calls would leave the caller's machine code as it was, and the verdicts with it. So numba is
    not left to look for a place of its own either; without one nothing is kept, which is "".
    """
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    if given := str(getattr(config, "CACHE_DIR", "")):
        bases = [Path(given)]
    else:
        users = Path(AppDirs("streamdet", appauthor=False).user_cache_dir)
        bases = [Path(__file__).parent / "__pycache__", users]
    for base in bases:
        folder = base / f"kernels-{digest.hexdigest()[:16]}"
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=folder):
                return str(folder)
    return ""


config.CACHE_DIR = _cache_folder()  # type: ignore[attr-defined]  # set when numba is imported


def _import_without_scipy(module: str) -> None:
    """Import a module of numba's that would import scipy.linalg, where that is installed.

    It is for products of matrices, which no kernel has, and took a third of a second of each start.
    """
    scipy = "scipy.linalg.cython_blas"
    if scipy not in sys.modules:
        sys.modules[scipy] = None  # type: ignore[assignment]  # so Python spells: not to be had
        try:
            importlib.import_module(module)
        finally:
            del sys.modules[scipy]


_import_without_scipy("numba.np.arraymath")


@contextmanager
def compiled_once(kernels: Collection[str]) -> Iterator[bool]:
    """Hold the block, which compiles some kernels, to one process at a time; True: there is need.

    Workers that start together, with nothing kept yet, would each compile everything. Once a
    process of this processor and numba has come to the end of the block, all go through at once.

    kernels : what the block compiles, by names of the caller's
    """
    folder = str(config.CACHE_DIR)  # type: ignore[attr-defined]
    processor = repr(cpu_target.target_context.codegen().magic_tuple())
    mark = f"whole-{hashlib.sha256(processor.encode()).hexdigest()[:16]}"
    marks = [Path(folder, f"{mark}-{name}") for name in kernels]
    if folder == "" or all(each.exists() for each in marks):
        yield False
        return
    with ExitStack() as held:
        with suppress(OSError):  # not every file system has locks; then each compiles
            lock = held.enter_context(Path(folder, f"{mark}.lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        needed = not all(each.exists() for each in marks)
        yield needed
        with suppress(OSError):
            for each in marks:
                each.touch()


class _CacheFile(Protocol):
    """numba's files of one kernel: an index, and the machine code for each set of types."""

    def flush(self) -> None: ...
    def load(self, key: object) -> Any: ...
    def save(self, key: object, data: object) -> None: ...


class _Checked:
    """The files of one kernel, believed only where they are what was written.

    numba takes a file as it finds it: one that is cut short ends the process with EOFError, and a
    flipped bit in machine code is run.
    """

    def __init__(self, file: _CacheFile) -> None:
        self._file = file

    def flush(self) -> None:
        self._file.flush()

    def load(self, key: object) -> Any:
        with suppress(Exception):  # there is no error that a damaged pickle cannot raise
            stored = self._file.load(key)
            if stored is None:
                return None
            if stored[0] == _digest(key, stored[1]):
                return pickle.loads(stored[1])  # noqa: S301  # as numba does, after the check
        # All of the kernel's, once: what is kept anew from now on must not be thrown away again.
        with suppress(OSError):
            self._file.flush()
        return None

    def save(self, key: object, data: object) -> None:
        written = dumps(data)
        with suppress(OSError):  # no room; it is compiled again at the next start
            self._file.save(key, (_digest(key, written), written))


def _digest(key: object, written: bytes) -> bytes:
    """Return what only this content has, kept for these types and this processor."""
    return hashlib.sha256(repr(key).encode() + written).digest()


_POLICY: dict[str, Any] = {
    "nopython": True,
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
      Without a folder that can be written to, each start compiles.
    - `nogil`: fetching and producing go on in librdkafka's threads while a kernel runs.
    - `fastmath` off: NaN and inf mean something here, and the same input must give the same bits
      on every machine, or a replay would not reach the state that it replays.
    - `error_model="numpy"`: x / 0 is inf or NaN, as in numpy, and costs no check per division.
    - no `_nrt`, numba's allocator and counter of references: a kernel allocates nothing, and numba
      refuses to compile one that would (see `allocating`).
    - `no_cfunc_wrapper`: nobody calls a kernel from C, and compiling the way in took a tenth.
    - what it calls is no library of its own, but a part of it (`linked`): that, and a wrapper for
      Python around each, were more than half of the time of compiling.
    - no `parallel`: a worker owns partitions, not cores; a thread pool of numba's would compete
      with the other workers of the machine.

    With ``NUMBA_DISABLE_JIT=1`` the function runs as plain Python, so that coverage sees its
    lines; kernels must therefore not lean on integers that wrap around.
    """
    return _compiled(function)


def allocating(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function`, which allocates its buffers, once a call, under the same policy else.

    A reference to an array is counted in it with an atomic increment, again and again: in the loop
    over points of `kernels.forecast` that was a sixth of the time.
    """
    return _compiled(function, _nrt=True)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` as a part of the kernels that call it, under the same policy.

    For small steps in a loop: numba hands an array over as seven words, and LLVM alone does not
    inline them; the point parser lost a third of its time in such calls.
    """
    return _compiled(function, forceinline=True)


def _compiled(function: Callable[..., Any], **changes: bool) -> Callable[..., Any]:
    if config.DISABLE_JIT:  # type: ignore[attr-defined]
        return function
    compiled = Kernel(function, targetoptions={**_POLICY, **changes})
    if config.CACHE_DIR != "":  # type: ignore[attr-defined]
        compiled.enable_caching()
        cache: Any = compiled._cache  # type: ignore[attr-defined]
        cache._cache_file = _Checked(cache._cache_file)
    return compiled
