"""The walk over the graph, on floats: no array library is involved."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from autograd.graph import RELEASED, Node, newest_first, sweep


def leaf() -> Node:
    return Node(None, (), None)


def weighted(weights: Sequence[float], parents: Sequence[Node]) -> Node:
    """A node that is the weighted sum of its parents; `kept` holds the weights."""
    return Node("weighted", tuple(parents), list(weights))


def run(root: Node, wanted: set[Node], release: bool = False) -> dict[Node, float]:
    order = newest_first([root], wanted)
    return sweep(order, {root: 1.0}, lambda node, g, needed: [g * w for w in node.kept],
                 lambda a, b, owned: a + b, wanted, release)


def test_a_value_used_twice_is_entered_once_with_its_whole_gradient() -> None:
    a = leaf()
    b = weighted([1, 1], [a, a])
    c = weighted([1, 1], [b, b])
    pulled: list[Node] = []

    def pull(node: Node, g: float, needed: Sequence[bool]) -> list[float]:
        pulled.append(node)
        return [g * w for w in node.kept]

    result = sweep(newest_first([c], {a}), {c: 1.0}, pull, lambda x, y, owned: x + y, {a})
    assert result == {a: 4.0}
    assert pulled == [c, b]


@given(st.lists(st.lists(st.tuples(st.integers(0, 100), st.integers(-3, 3)), max_size=4),
                min_size=1, max_size=12))
def test_sums_over_all_paths(layers: list[list[tuple[int, int]]]) -> None:
    """The gradient of a leaf is the sum over all paths of the product of weights on them."""
    start = leaf()
    nodes, paths = [start], [1.0]
    for edges in layers:
        picked = [(i % len(nodes), w) for i, w in edges]
        paths.append(sum(w * paths[i] for i, w in picked))
        nodes.append(weighted([w for _, w in picked], [nodes[i] for i, _ in picked]))
    assert run(nodes[-1], {start}).get(start, 0.0) == paths[-1]


def test_only_paths_to_the_wanted_nodes_are_walked() -> None:
    before, a, other = leaf(), leaf(), leaf()
    side = weighted([1], [other])
    middle = weighted([2, 1], [a, side])
    root = weighted([3, 1], [middle, before])
    assert newest_first([root], {a}) == [root, middle, a]
    assert run(root, {a}) == {a: 6.0}
    assert run(root, {middle, a}) == {middle: 3.0, a: 6.0}


def test_release_frees_what_was_used_as_the_sweep_goes() -> None:
    a = leaf()
    b = weighted([2], [a])
    c = weighted([5], [b])
    assert run(c, {a}, release=True) == {a: 10.0}
    assert b.kept is RELEASED and c.kept is RELEASED and c.parents == ()


def test_owned_is_said_only_of_sums_made_here() -> None:
    a = leaf()
    root = weighted([1, 1, 1], [a, a, a])
    reported: list[bool] = []

    def add(x: float, y: float, owned: bool) -> float:
        reported.append(owned)
        return x + y

    sweep(newest_first([root]), {root: 1.0}, lambda n, g, needed: [g] * 3, add, {a})
    assert reported == [False, True]


def test_a_long_chain_needs_no_recursion() -> None:
    first = node = leaf()
    for _ in range(200_000):
        node = weighted([1], [node])
    assert run(node, {first}, release=True) == {first: 1.0}


def test_graph_imports_no_array_library() -> None:
    code = ("import sys, importlib.util as u; s = u.spec_from_file_location('graph', sys.argv[1]); "
            "m = u.module_from_spec(s); s.loader.exec_module(m); assert 'numpy' not in sys.modules")
    import autograd.graph

    subprocess.run([sys.executable, "-c", code, autograd.graph.__file__], check=True)
