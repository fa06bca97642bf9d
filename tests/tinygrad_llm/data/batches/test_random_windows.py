from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.data.batches.random_windows import Batches, split
from tinygrad_llm.data.tokens.token_file import open_tokens, write_tokens
from tinygrad_llm.host.errors import UserError

steps = st.integers(0, 2**64 - 1)


def starts(tokens: int, batch: int, seed: int, step: int) -> np.ndarray:
    return Batches(np.arange(tokens), batch, 1, seed).at(step)[0][:, 0]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 30), steps, steps)
def test_targets_are_the_inputs_shifted_by_one(
    batch: int, context: int, spare: int, seed: int, step: int
) -> None:
    tokens = np.random.default_rng(0).permutation(context + 1 + spare).astype(np.uint16)
    x, y = Batches(tokens, batch, context, seed).at(step)
    assert x.shape == y.shape == (batch, context)
    assert x.dtype == y.dtype == np.int32
    assert x.flags.c_contiguous and y.flags.c_contiguous
    place = np.argsort(tokens)
    assert (place[x[:, 1:]] == place[x[:, :-1]] + 1).all()
    assert (place[y] == place[x] + 1).all()


def test_every_start_is_drawn_equally_often_the_last_included() -> None:
    first = Batches(np.arange(13), batch=70_000, context=6, seed=1).at(0)[0][:, 0]
    counts = np.bincount(first)
    assert len(counts) == 7  # starts 0 to N - T - 1 = 6
    assert abs(counts - 10_000).max() < 5 * np.sqrt(10_000)


def test_one_window_is_enough() -> None:
    x, y = Batches(np.array([7, 8, 9]), batch=2, context=2, seed=0).at(5)
    assert x.tolist() == [[7, 8], [7, 8]] and y.tolist() == [[8, 9], [8, 9]]


@given(steps, steps)
def test_a_step_depends_on_seed_and_step_alone(seed: int, step: int) -> None:
    batches = Batches(np.arange(10_000), 16, 8, seed)
    before = batches.at(step)
    batches.at(0)
    again = Batches(np.arange(10_000), 16, 8, seed).at(step)
    assert all((old == new).all() for old, new in zip(before, again, strict=True))
    assert (batches.at(step)[0] == before[0]).all()


def test_the_draws_of_a_seed_stay_what_they_were() -> None:
    """A resumed run must see the batches it would have seen, in a later version too."""
    assert starts(1000, 6, seed=1337, step=0).tolist() == [544, 65, 179, 738, 674, 455]
    assert starts(1000, 6, seed=1337, step=1).tolist() == [140, 581, 18, 372, 269, 255]


def test_steps_and_seeds_are_independent() -> None:
    drawn = [starts(10**6, 4096, seed, step) for seed, step in [(0, 0), (0, 1), (1, 0), (1, 1)]]
    for i, one in enumerate(drawn):
        for other in drawn[:i]:
            assert abs(np.corrcoef(one, other)[0, 1]) < 0.1
            assert len(np.intersect1d(one, other)) < 100  # 17 expected; a shifted stream shares all


def test_no_generator_of_numpy_is_touched() -> None:
    np.random.seed(0)
    expected = np.random.random()
    np.random.seed(0)
    starts(100, 4, 0, 0)
    assert np.random.random() == expected


def test_tokens_from_a_file_are_drawn_as_from_memory(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 60_000, 5000)
    write_tokens(tmp_path / "t.bin", ids, 60_000)
    mapped = Batches(open_tokens(tmp_path / "t.bin"), 8, 32, seed=3).at(9)
    in_memory = Batches(ids, 8, 32, seed=3).at(9)
    assert (mapped[0] == in_memory[0]).all() and (mapped[1] == in_memory[1]).all()
    assert type(mapped[0]) is np.ndarray
    assert mapped[0].max() > 2**15  # not read as int16


def test_too_few_tokens_is_the_users_mistake() -> None:
    with pytest.raises(UserError, match=r"^8 tokens .* --context 8 .* need 9; give more text or a"):
        Batches(np.arange(8), 1, 8, 0)


def test_wrong_numbers_are_refused() -> None:
    for batch, context in [(0, 1), (1, 0)]:
        with pytest.raises(ValueError, match="at least 1, got"):
            Batches(np.arange(9), batch, context, 0)
    for seed in (-1, 2**64):
        with pytest.raises(ValueError, match="seed must be in"):
            Batches(np.arange(9), 1, 1, seed)
        with pytest.raises(ValueError, match="step must be in"):
            Batches(np.arange(9), 1, 1, 0).at(seed)


@given(st.integers(0, 1000), st.floats(0, 1))
def test_split_cuts_once(count: int, fraction: float) -> None:
    tokens = np.arange(count)
    train, validation = split(tokens, fraction)
    assert np.concatenate([train, validation]).tolist() == tokens.tolist()
    assert len(train) == int(np.floor(fraction * count))
    assert np.shares_memory(train, tokens) or not len(train)


def test_split_keeps_nine_tenths_to_train_on() -> None:
    train, validation = split(np.arange(19))
    assert len(train) == 17 and validation.tolist() == [17, 18]
    for fraction in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="fraction must be in"):
            split(np.arange(9), fraction)
