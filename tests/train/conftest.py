"""Fixtures of the tests of training."""

from __future__ import annotations

import pytest


@pytest.fixture
def tiny_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train `TinyNetwork` in place of VGG16."""
    from toy_training import TinyNetwork

    monkeypatch.setattr("mertag_train.learn.trainer.SegmentNetwork", TinyNetwork)
