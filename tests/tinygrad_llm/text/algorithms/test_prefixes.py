from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.text.algorithms.prefixes import Prefixes

STRINGS = st.binary(max_size=8) | st.lists(st.sampled_from([0, 97, 98, 255]), max_size=40).map(
    bytes)


@given(st.sets(STRINGS.filter(bool), max_size=30), STRINGS)
def test_the_longest_token_everywhere(tokens: set[bytes], text: bytes) -> None:
    ids = {token: 3 * i for i, token in enumerate(sorted(tokens))}
    prefixes = Prefixes(ids)
    expected = [max((token for token in tokens if text.startswith(token, at)), key=len, default=b"")
                for at in range(len(text))]
    found = prefixes.longest(np.frombuffer(text, np.uint8))
    assert found.tolist() == [ids.get(token, -1) for token in expected]
    for token, id in ids.items():
        shorter = [other for other in tokens if other != token and token.startswith(other)]
        assert prefixes.shorter[id] == ids.get(max(shorter, key=len, default=b""), -1)
