"""Runs without their picture, which takes longer to draw than a small run to train."""

from __future__ import annotations

import pytest

from tinygrad_llm.train import loop


@pytest.fixture
def picture() -> None:
    """Have the picture drawn in a test that asks for this."""


@pytest.fixture(autouse=True)
def no_picture(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "picture" not in request.fixturenames:
        monkeypatch.setattr(loop, "plot_loss", lambda records, path: True)
