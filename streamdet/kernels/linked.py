"""A kernel as it is compiled for the kernels that call it: a part of their machine code.

numba makes of every function a library of its own: what it calls is linked in, all of it is
optimised, and machine code is made. For a call tree, deep as those of the kernels are, the leaves
go that way once for each level above them, and all of it but the uppermost is thrown away: that
was more than half of the time of compiling. Here a part is typed and lowered, no more. What calls
it links it in as ever, and the kernel that Python calls is optimised as a whole, once.

The order of operations is the source's either way: nothing here lets LLVM change it.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.dispatcher import Dispatcher
from numba.core.registry import CPUDispatcher


class _Unfinished(JITCodeLibrary):
    """Code that is never run from here: it is optimised, and made machine code, in its callers."""

    def _optimize_final_module(self) -> None:
        """Leave that to the caller's library."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class _PartCompiler(Compiler):
    """numba's, without machine code and without a way in for Python."""

    def __init__(self, typing: Any, target: Any, _library: None, *rest: Any) -> None:
        *_, flags, _locals = rest
        flags.no_compile = flags.no_cpython_wrapper = True
        super().__init__(typing, target, _Unfinished(target.codegen(), "part"), *rest)


class _Part(CPUDispatcher):
    """Compiles a function for those that call it, once for each set of types."""

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """Return what numba infers a call's types by; a literal number is a number like others.

        numba would compile another specialisation for each, `f(x, 0)` and `f(x, n)`.
        """
        return super().get_call_template([types.unliteral(each) for each in args], kws)

    def compile(self, sig: Any) -> Any:
        """Compile for the types of the arguments; return what numba finds the code by."""
        given = tuple(sig)
        if given not in self.overloads:
            compiled: Any = self._compiler.compile(given, None)  # type: ignore[attr-defined]
            key = compiled.library  # where numba has the function that Python would call
            self.targetctx.insert_user_function(key, compiled.fndesc, [compiled.library])
            self.overloads[given] = compiled._replace(entry_point=key)
        found: Any = self.overloads[given]
        return found.entry_point


class Kernel(CPUDispatcher):
    """A function that Python calls, compiled as a whole; other kernels call its `_Part`."""

    def __init__(self, py_func: Any, locals: Any = None, targetoptions: Any = None) -> None:
        super().__init__(py_func, locals, targetoptions)
        self._part: Dispatcher = _Part(py_func, locals, targetoptions, _PartCompiler)

    @property
    def _numba_type_(self) -> types.Dispatcher:
        return types.Dispatcher(self._part)
