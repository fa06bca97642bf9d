"""Write CuPy's surface down, so that `strict_cupy.py` can hold code to it without CuPy.

    python tests/freeze_cupy_surface.py     # where CuPy is installed; a GPU is not needed

Names and parameters are read off the imported module. What no signature says (which dtypes
`ufunc.at` takes, which ufuncs can reduce) is found by calling: CuPy refuses with TypeError or
NotImplementedError before it asks for a device, so any other outcome counts as accepted.
"""

from __future__ import annotations

import inspect
import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # about the device that is not there
    import cupy

PATH = Path(__file__).with_name("strict_cupy_surface.json")

KEYWORDS = {  # of functions that take **kwargs, from their documentation
    "einsum": "*operands, dtype=..., optimize=...",
    "meshgrid": "*xi, indexing=..., sparse=..., copy=...",
    "pad": "array, pad_width, mode=..., constant_values=..., end_values=..., stat_length=..., "
           "reflect_type=...",
}
DTYPES = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
          "float16", "float32", "float64", "complex64", "complex128")
LINALG = [name for name in vars(cupy.linalg)
          if name[0] != "_" and inspect.isfunction(getattr(cupy.linalg, name))]
OPTIONS = {"out": None, "where": True, "dtype": None, "casting": "same_kind", "order": "K",
           "subok": True, "signature": None, "axis": None, "keepdims": False}


def surface() -> dict[str, Any]:
    """Return everything that `strict_cupy.py` has to know."""
    public = {name: getattr(cupy, name) for name in sorted(dir(cupy)) if name[0] != "_"}
    ufuncs = {name: f for name, f in public.items() if isinstance(f, cupy.ufunc)}
    functions = {name: f for name, f in public.items()
                 if callable(f) and not inspect.isclass(f) and name not in ufuncs}
    return {
        "cupy": cupy.__version__,
        "functions": {name: KEYWORDS.get(name) or parameters(f) for name, f in functions.items()},
        "linalg": {name: parameters(getattr(cupy.linalg, name)) for name in sorted(LINALG)},
        "ufuncs": list(ufuncs),
        "ufunc options": [name for name, value in OPTIONS.items()
                          if accepted(lambda o={name: value}: cupy.add(array(), array(), **o))],
        "ufunc methods": {method: parameters(getattr(cupy.ufunc, method))
                          for method in ("at", "reduce", "accumulate", "reduceat", "outer")},
        "at": {name: dtypes for name, f in ufuncs.items() if (dtypes := at_dtypes(f))},
        "reduce": [name for name, f in ufuncs.items() if accepted(lambda f=f: f.reduce(array()))],
        "accumulate": [name for name, f in ufuncs.items()
                       if accepted(lambda f=f: f.accumulate(array()))],
        "values": [name for name, x in public.items()
                   if isinstance(x, float) or x is None or is_type(x)],
        "methods": {name: parameters(f) for name, f in members() if callable(f)},
        "attributes": [name for name, f in members() if not callable(f)],
    }


def members() -> list[tuple[str, Any]]:
    """Return the public members of CuPy's array class."""
    return [(name, getattr(cupy.ndarray, name))
            for name in sorted(dir(cupy.ndarray)) if name[0] != "_"]


def is_type(x: Any) -> bool:
    """Whether x is a class about dtypes, such as `float32` and `finfo`."""
    return inspect.isclass(x) and (issubclass(x, np.generic) or x in (np.dtype, np.finfo, np.iinfo))


def parameters(function: Callable[..., Any]) -> str:
    """Return the parameters as a stub file has them: "a, axis=..., *, dtype=..."."""
    try:
        text = str(inspect.signature(function))
    except ValueError:  # compiled: the docstring's first line is the signature
        text = re.sub(r"^[\w.]+", "", (function.__doc__ or "()").strip().splitlines()[0])
    inside = text[1 : text.rindex(")")]
    parts = [stub(part) for part in re.split(r",\s*(?![^(\[]*[)\]])", inside)]
    return ", ".join(part for part in parts if part not in ("self", "cls", ""))


def stub(parameter: str) -> str:
    """Return a parameter without its type, and with `...` for its default."""
    name = re.split(r"[=:]", parameter)[0].strip().rpartition(" ")[2]
    return f"{name}=..." if "=" in parameter else name


def at_dtypes(ufunc: Any) -> str:
    """Return the dtypes that `ufunc.at` takes, "" for none."""
    def at(dtype: str) -> Any:
        return ufunc.at(array(dtype), array("int64"), array(dtype))

    return " ".join(dtype for dtype in DTYPES if accepted(lambda: at(dtype)))  # noqa: B023


def accepted(call: Callable[[], Any]) -> bool:
    """Whether CuPy does not refuse this call; that it has no device to run it on is no refusal."""
    try:
        call()
    except (TypeError, NotImplementedError):
        return False
    except cupy.cuda.runtime.CUDARuntimeError:
        return True
    return True


def array(dtype: str = "float32") -> Any:
    """Return four zeros; without a device, an array that points nowhere."""
    if cupy.is_available():
        return cupy.zeros(4, dtype=dtype)
    nowhere = cupy.cuda.UnownedMemory(0, 4 * np.dtype(dtype).itemsize, None, 0)
    return cupy.ndarray(4, dtype=dtype, memptr=cupy.cuda.MemoryPointer(nowhere, 0))


if __name__ == "__main__":
    PATH.write_text(json.dumps(surface(), indent=1) + "\n", encoding="utf-8")
    print(f"wrote {PATH.name} of CuPy {cupy.__version__}")
