"""One step of SGD: the schedule, clipping, weight decay and the moving average, by hand."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from mertag_train.learn.config import OptimiserConfig
from mertag_train.learn.optimise import Optimiser, autocast, bf16_is_fast, learning_rate

ONE_CYCLE = OptimiserConfig(learning_rate=0.1, schedule="one_cycle", ramp=0.3)
COSINE = OptimiserConfig(learning_rate=0.1, schedule="cosine")


def rates(config: OptimiserConfig, epochs: int, steps: int) -> list[float]:
    """Return the rates of all steps, `steps` an epoch, and of the one after the last."""
    return [learning_rate(config, n / steps, epochs=epochs, step=1 / steps) for n in range(epochs * steps + 1)]


def take(optimiser: Optimiser, loss: Tensor, *, step: int = 0, steps: int = 100) -> float:
    """Take one step of a training of one epoch of so many steps."""
    return optimiser.step(loss, done=step / steps, share=1 / steps)


def test_one_cycle_climbs_over_its_share_of_the_epochs_and_falls_to_zero() -> None:
    found = rates(ONE_CYCLE, 10, 1)
    assert found[:4] == pytest.approx([0.1 / 4, 0.2 / 4, 0.3 / 4, 0.1])  # three steps up, then the peak
    assert found[5] == pytest.approx(0.05 * (1 + math.cos(math.pi * 2 / 7)))
    assert found[10] == pytest.approx(0, abs=1e-12)
    assert found[4:] == sorted(found[4:], reverse=True)


def test_cosine_climbs_over_the_first_epoch() -> None:
    found = rates(COSINE, 4, 5)
    assert found[:6] == pytest.approx([0.1 / 6, 0.2 / 6, 0.3 / 6, 0.4 / 6, 0.5 / 6, 0.1])
    assert found[20] == pytest.approx(0, abs=1e-12)


def test_cosine_of_one_epoch_climbs_over_half_of_it() -> None:
    found = rates(COSINE, 1, 10)
    assert max(found) == found[5] == pytest.approx(0.1)


@pytest.mark.parametrize("config", [ONE_CYCLE, COSINE])
@pytest.mark.parametrize("steps", [1, 2, 3, 50])
def test_rates_are_positive_and_never_above_the_highest(config: OptimiserConfig, steps: int) -> None:
    assert all(0 < rate <= 0.1 + 1e-12 for rate in rates(config, 1, steps)[:-1])


def test_an_epoch_of_many_small_steps_does_not_use_up_the_rate_of_the_others() -> None:
    few, many = (learning_rate(COSINE, 3.0, epochs=4, step=1 / n) for n in (2, 2000))
    assert few == many > 0


def linear(weight: float = 1.0) -> nn.Linear:
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, weight)
    nn.init.constant_(layer.bias, weight)
    return layer


def test_a_step_by_hand_decays_weights_and_not_biases() -> None:
    layer = linear(1.0)
    config = OptimiserConfig(learning_rate=0.1, momentum=0.9, weight_decay=0.5, ramp=0.0, clip_norm=100.0)
    optimiser = Optimiser(layer, config, epochs=1)
    assert take(optimiser, layer(torch.tensor([[2.0]])).sum()) == pytest.approx(0.1)
    # gradients: 2 for the weight (and 0.5 x 1 of decay), 1 for the bias
    assert layer.weight.item() == pytest.approx(1 - 0.1 * 2.5)
    assert layer.bias.item() == pytest.approx(1 - 0.1 * 1)


def test_the_gradient_is_clipped_to_its_norm() -> None:
    layer = linear(0.0)
    config = OptimiserConfig(learning_rate=0.1, momentum=0.0, weight_decay=0.0, ramp=0.0, clip_norm=1.0)
    optimiser = Optimiser(layer, config, epochs=1)
    take(optimiser, (layer(torch.tensor([[0.75]])) * 400).sum())  # gradients 300 and 400: norm 500
    assert layer.weight.item() == pytest.approx(-0.1 * 0.6, rel=1e-4)
    assert layer.bias.item() == pytest.approx(-0.1 * 0.8, rel=1e-4)


def test_the_moving_average_by_hand() -> None:
    layer = linear(0.0)
    config = OptimiserConfig(learning_rate=1.0, momentum=0.0, weight_decay=0.0, ramp=0.0, ema_decay=0.25, clip_norm=9.0)
    optimiser = Optimiser(layer, config, epochs=1)
    average, bias = 0.0, 0.0
    for step in range(3):
        bias -= learning_rate(config, step / 1000, epochs=1, step=1e-3)  # the gradient of the bias is 1
        take(optimiser, layer(torch.zeros(1, 1)).sum(), step=step, steps=1000)
        decay = min(0.25, (2 + step) / (11 + step))  # 2/11, 3/12, then 0.25
        average = decay * average + (1 - decay) * bias
        assert layer.bias.item() == pytest.approx(bias, rel=1e-5)
        assert optimiser.predictor.bias.item() == pytest.approx(average, rel=1e-5)  # type: ignore[arg-type]
    assert optimiser.predictor is not layer


def test_without_an_average_the_network_itself_predicts() -> None:
    layer = linear()
    assert Optimiser(layer, OptimiserConfig(), epochs=1).predictor is layer


def test_the_average_also_follows_the_statistics_of_batch_norm() -> None:
    norm = nn.BatchNorm1d(1)
    optimiser = Optimiser(norm, OptimiserConfig(ema_decay=0.9), epochs=1)
    for step in range(40):
        take(optimiser, norm(torch.tensor([[4.0], [6.0]])).sum(), step=step, steps=50)
    assert float(optimiser.predictor.running_mean) == pytest.approx(5.0, abs=0.5)  # type: ignore[arg-type]
    assert not optimiser.predictor.training


@pytest.mark.parametrize("ema_decay", [0.0, 0.5])
def test_a_state_that_is_taken_back_goes_on_alike(ema_decay: float) -> None:
    config = OptimiserConfig(ema_decay=ema_decay, learning_rate=0.1)

    def steps(optimiser: Optimiser, which: range) -> None:
        for step in which:
            loss = optimiser.network(torch.tensor([[0.3]])).square().sum()
            take(optimiser, loss, step=step, steps=10)

    through = Optimiser(linear(), config, epochs=1)
    steps(through, range(3))
    state = copy.deepcopy(through.state_dict())
    resumed = Optimiser(linear(9.0), config, epochs=1)

    resumed.load_state_dict(state)
    steps(through, range(3, 7))
    steps(resumed, range(3, 7))
    for one, other in ((through.network, resumed.network), (through.predictor, resumed.predictor)):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_a_broken_weight_is_seen() -> None:
    layer = linear()
    optimiser = Optimiser(layer, OptimiserConfig(), epochs=1)
    assert optimiser.is_finite()
    nn.init.constant_(layer.bias, math.nan)
    assert not optimiser.is_finite()


CPU = torch.device("cpu")


@pytest.mark.parametrize("native", [False, True])
def test_bf16_is_used_where_it_is_native_unless_the_environment_decides(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MERTAG_BF16")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert bf16_is_fast(CPU) is native
    for chosen, wanted in (("1", True), ("0", False), ("", native)):
        monkeypatch.setenv("MERTAG_BF16", chosen)
        assert bf16_is_fast(CPU) is wanted


def test_autocast_computes_layers_in_bf16_where_that_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = nn.Linear(4, 2), torch.randn(3, 4)
    for chosen, dtype in (("0", torch.float32), ("1", torch.bfloat16)):
        monkeypatch.setenv("MERTAG_BF16", chosen)
        with autocast(CPU):
            assert layer(x).dtype is dtype
