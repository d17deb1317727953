from __future__ import annotations

import pytest
import torch
from torch import nn

from signalrp.training import fit_classifier


@pytest.fixture
def task() -> tuple[torch.Tensor, torch.Tensor]:
    """Two classes a line can part, 50 trials of one channel."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 1, 8, generator=generator)
    return x, (x[:, 0, 2] > x[:, 0, 5]).long()


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.Linear(8, 2))


def test_it_learns_and_returns_the_model_ready_to_explain(task):
    x, y = task
    model = network()
    assert float((model.eval()(x).argmax(1) == y).float().mean()) < 0.8
    fitted = fit_classifier(model, x, y, learning_rate=0.05)
    assert fitted is model
    assert not any(module.training for module in model.modules())
    assert float((model(x).argmax(1) == y).float().mean()) > 0.95


def test_the_seed_decides_the_order_of_trials(task):
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(3)
        return fit_classifier(network(), *task, epochs=3, batch_size=7, seed=seed)[2].weight.detach()

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_the_seed_of_everything_else_is_left_alone(task):
    model = nn.Sequential(nn.Flatten(), nn.Linear(8, 2))
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    fit_classifier(model, *task, epochs=2)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(("trials", "batch_size"), [(50, 32), (50, 50), (50, 1), (3, 10)])
def test_every_trial_is_seen_once_an_epoch(task, trials, batch_size):
    seen = []
    model = nn.Sequential(nn.Flatten(), nn.Linear(8, 2))
    model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    x, y = task[0][:trials], task[1][:trials]
    fit_classifier(model, x, y, epochs=2, batch_size=batch_size)
    assert max(map(len, seen)) == min(batch_size, trials)
    values = torch.cat(seen)[:, 0, 0]
    for epoch in values.split(trials):
        assert torch.equal(epoch.sort().values, x[:, 0, 0].sort().values)


def test_the_rate_falls_to_zero(task):
    rates = []
    step = torch.optim.AdamW.step

    class Recorded(torch.optim.AdamW):
        def step(self, *args, **kwargs):
            rates.append(self.param_groups[0]["lr"])
            return step(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim, "AdamW", Recorded)
        fit_classifier(network(), *task, epochs=5, batch_size=16, learning_rate=0.1)
    assert len(rates) == 5 * 4
    assert rates[0] == 0.1
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.001


def test_a_loss_that_is_no_number_is_refused(task):
    x, y = task
    with pytest.raises(ValueError, match="the loss became nan; scale the signal"):
        fit_classifier(network(), torch.full_like(x, torch.nan), y)
    with pytest.raises(ValueError, match="the loss became"):
        fit_classifier(network(), x * 1e30, y, learning_rate=1e30)
