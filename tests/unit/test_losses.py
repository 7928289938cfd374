"""What holds for every row of the table of losses, so that stacks of runs and partial labels can count on it."""

import pytest
import torch

from promptmlr.losses import LOSSES

LABELS = torch.tensor([[1, 0, -1, 1], [0, -1, 1, 0], [-1, -1, -1, -1]])


def logits(scale: float = 3.0) -> torch.Tensor:
    return (torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0)) * scale).requires_grad_()


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_loss_leaves_unknown_labels_out(name: str) -> None:
    """Their logits change neither costs nor gradients, be they infinite."""
    wild = torch.where((LABELS == -1)[:, None], torch.tensor([torch.inf, -torch.inf])[None, :, None], logits().detach())
    found = []
    for given in (logits(), wild.requires_grad_()):
        cost = LOSSES[name].cost(given, LABELS)
        cost.sum().backward()
        found.append((cost.detach(), given.grad))
        assert (cost[LABELS == -1] == 0).all()
        assert (cost[LABELS != -1] > 0).all()
    torch.testing.assert_close(found[1], found[0])


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_loss_counts_classes_and_images_apart(name: str) -> None:
    """So runs side by side are trained as each alone."""
    given = logits().detach()
    whole = LOSSES[name].cost(given, LABELS)
    for rows, columns in ((slice(0, 2), slice(1, 3)), (slice(1, 2), slice(0, 4))):
        part = LOSSES[name].cost(given[rows, :, columns], LABELS[rows, columns])
        torch.testing.assert_close(part, whole[rows, columns])


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_loss_is_less_for_what_the_label_says_and_finite_for_its_opposite(name: str) -> None:
    for label in (0, 1):
        margins = torch.tensor([-1e4, -2.0, 0.0, 2.0, 1e4])
        given = torch.stack([-margins / 2, margins / 2])[None].requires_grad_()
        cost = LOSSES[name].cost(given, torch.full((1, 5), label))
        cost.sum().backward()
        assert given.grad.isfinite().all()
        assert cost.isfinite().all()
        assert (cost.diff()[0] <= 0).all() if label else (cost.diff()[0] >= 0).all()
        assert cost.max() > cost.min()
