"""Layers are replaced, not patched: another class with the same call stands in their place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .parameters import children


def replace(model: Any, kind: type, make: Callable[[str, Any], Any]) -> list[str]:
    """Put `make(name, part)` in the place of each part of class `kind`; return their names.

    The model is changed; it has to be an object, a list or a dict, and a part that is the model
    itself stays. A part that stands in several places is made anew once and put into each, so
    that what was tied stays tied. Subclasses of `kind` are meant too; what was put in is not
    searched. `make` may return the part itself, to leave it as it is.

    >>> from types import SimpleNamespace
    >>> model = SimpleNamespace(layers=[1.5, "norm"], head=2.5)
    >>> replace(model, float, lambda name, part: f"{name}: {2 * part}")
    ['layers.0', 'head']
    >>> model.layers
    ['layers.0: 3.0', 'norm']
    """
    made: dict[int, Any] = {}
    held: list[Any] = []  # so that no id is given to another object meanwhile
    names: list[str] = []
    seen: set[int] = set()

    def visit(owner: Any, prefix: str) -> None:
        if id(owner) in seen:
            return
        seen.add(id(owner))
        for key, part in children(owner):
            name = f"{prefix}.{key}" if prefix else str(key)
            if isinstance(part, kind):
                if id(part) not in made:
                    made[id(part)] = make(name, part)
                    held.append(part)
                _put(owner, key, made[id(part)], name)
                names.append(name)
            else:
                visit(part, name)

    visit(model, "")
    return names


def _put(owner: Any, key: Any, part: Any, name: str) -> None:
    if isinstance(owner, tuple):
        raise TypeError(f"replace: {name} stands in a tuple, which cannot be changed; make it a "
                        f"list")
    if isinstance(owner, (list, dict)):
        owner[key] = part
    else:
        setattr(owner, key, part)
