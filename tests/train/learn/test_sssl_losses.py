"""The losses of self-learning against numbers worked by hand, and what must hold for any input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mertag_train.learn.learners.base import mix
from mertag_train.learn.learners.sssl import sharpen, symmetric_kl


def log(*rows: tuple[float, ...]) -> Tensor:
    """Return logits of which the softmax is these rows."""
    return torch.log(torch.tensor(rows, dtype=torch.float64))


distributions = st.lists(st.floats(1e-6, 1.0), min_size=2, max_size=6).map(
    lambda p: torch.tensor([p], dtype=torch.float64) / sum(p)
)


def test_sharpening_by_hand() -> None:
    # T = 1/2 squares: 0.36, 0.09, 0.01 of 0.46
    found = sharpen(torch.tensor([[0.6, 0.3, 0.1]]), 0.5)
    assert found[0].tolist() == pytest.approx([0.36 / 0.46, 0.09 / 0.46, 0.01 / 0.46])


def test_a_temperature_of_one_changes_nothing_and_a_higher_one_flattens() -> None:
    p = torch.tensor([[0.6, 0.3, 0.1]])
    torch.testing.assert_close(sharpen(p, 1.0), p)
    assert sharpen(p, 2.0)[0, 0] < 0.6


@settings(max_examples=100, deadline=None)
@given(p=distributions, temperature=st.floats(0.05, 1.0))
def test_sharpening_sums_to_one_keeps_the_order_and_raises_the_largest(p: Tensor, temperature: float) -> None:
    found = sharpen(p, temperature)
    assert float(found.sum()) == pytest.approx(1.0)
    assert bool((torch.diff(found[0, torch.argsort(p[0])]) >= -1e-12).all())
    assert float(found.max()) >= float(p.max()) - 1e-12


def test_sharpening_keeps_zero_and_does_not_underflow() -> None:
    found = sharpen(torch.tensor([[1.0, 0.0], [1e-30, 1e-30]]), 0.1)
    torch.testing.assert_close(found, torch.tensor([[1.0, 0.0], [0.5, 0.5]]))


def test_mixing_by_hand() -> None:
    x = torch.tensor([[1.0, 0.0], [0.0, 4.0], [2.0, 2.0]])
    partner = torch.tensor([2, 0, 1])
    expected = [[0.25 * 1 + 0.75 * 2, 0.75 * 2], [0.75 * 1, 0.25 * 4], [0.25 * 2, 0.25 * 2 + 0.75 * 4]]
    assert mix(x, partner, 0.25).tolist() == expected
    assert mix(x, partner, 1.0) is x


def test_the_symmetric_divergence_by_hand() -> None:
    one, other = log((0.5, 0.5), (0.9, 0.1)), log((0.8, 0.2), (0.9, 0.1))
    forward = 0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.5 / 0.2)
    backward = 0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5)
    assert float(symmetric_kl(one, other)) == pytest.approx(0.5 * (forward + backward) / 2)  # of two rows


@settings(max_examples=60, deadline=None)
@given(p=distributions, seed=st.integers(0, 99))
def test_the_divergence_is_symmetric_positive_and_zero_for_equals(p: Tensor, seed: int) -> None:
    one = torch.log(p)
    other = one + torch.randn(one.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert float(symmetric_kl(one, other)) == pytest.approx(float(symmetric_kl(other, one)))
    assert float(symmetric_kl(one, other)) >= 0
    assert float(symmetric_kl(one, one + 5.0)) == pytest.approx(0, abs=1e-9)  # the same distribution


def test_without_unlabelled_rows_the_divergence_is_zero_and_can_be_descended() -> None:
    nothing = torch.zeros(0, 4, requires_grad=True)
    found = symmetric_kl(nothing, nothing)
    assert float(found.detach()) == 0
    found.backward()


def test_its_mean_does_not_grow_with_the_number_of_rows() -> None:
    one, other = log((0.5, 0.5)), log((0.8, 0.2))
    many = symmetric_kl(one.repeat(7, 1), other.repeat(7, 1))
    torch.testing.assert_close(many, symmetric_kl(one, other))


def test_every_gradient_is_that_of_finite_differences() -> None:
    rng = torch.Generator().manual_seed(0)
    logits, others = (torch.randn(3, 4, generator=rng, dtype=torch.float64, requires_grad=True) for _ in range(2))
    for function in (symmetric_kl, lambda x, y: sharpen(torch.softmax(x, dim=1), 0.5)):
        assert torch.autograd.gradcheck(function, (logits, others), raise_exception=True)


def test_the_gradient_of_the_divergence_reaches_both_passes() -> None:
    one, other = (torch.tensor(x, requires_grad=True) for x in ([[1.0, 0.0]], [[0.0, 1.0]]))
    symmetric_kl(one, other).backward()  # type: ignore[no-untyped-call]
    assert one.grad is not None
    assert other.grad is not None
    assert np.allclose(one.grad.numpy(), -other.grad.numpy())
