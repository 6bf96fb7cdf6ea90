"""Fixtures of the tests of training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def tiny_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train `TinyNetwork` in place of VGG16."""
    from toy_training import TinyNetwork

    monkeypatch.setattr("mertag_train.learn.trainer.SegmentNetwork", TinyNetwork)


@pytest.fixture
def tiny_networks(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Train `TinyNetwork` in place of VGG16; the fixture tells how many networks were made."""
    from toy_training import TinyNetwork

    made = [0]

    class Counted(TinyNetwork):
        def __init__(self, *args: Any, **options: Any) -> None:
            made[0] += 1
            super().__init__(*args, **options)

    monkeypatch.setattr("mertag_train.learn.trainer.SegmentNetwork", Counted)
    return lambda: made[0]
