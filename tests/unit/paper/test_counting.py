"""What is counted, against formulas worked out by hand."""

import torch
from torch import nn

from promptmlr.paper.cost.counting import count_flops, peak_bytes


def test_products_cost_two_operations_forward_and_four_backward() -> None:
    x, w = torch.randn(5, 7), torch.randn(7, 3, requires_grad=True)
    assert count_flops(lambda: x @ w) == 2 * 5 * 7 * 3
    assert count_flops(lambda: (x @ w).sum().backward()) == 2 * 2 * 5 * 7 * 3  # x takes no gradient


def test_attention_is_counted_whichever_kernel_does_it() -> None:
    attention = nn.MultiheadAttention(16, 4, batch_first=True).eval()
    x = torch.randn(2, 10, 16)
    forward = 2 * (4 * 2 * 10 * 16 * 16 + 2 * 2 * 10 * 10 * 16)
    with torch.no_grad():
        assert count_flops(lambda: attention(x, x, x, need_weights=False)) == forward
    assert torch.backends.mha.get_fastpath_enabled()
    attention.requires_grad_(False)
    x.requires_grad_(True)  # the weights take no gradient, so their half of the backward pass falls away
    found = count_flops(lambda: attention(x, x, x, need_weights=False)[0].sum().backward())
    assert found == forward + 2 * (4 * 2 * 10 * 16 * 16) + 2 * 2 * (2 * 2 * 10 * 10 * 16)


def test_memory_is_what_is_held_at_once() -> None:
    def work() -> None:
        a = torch.zeros(1000)
        b = a + 1  # 2000 numbers at once
        del a
        c = b.view(10, 100)  # no memory of its own
        c += 1
        del b, c
        torch.zeros(1500)

    assert peak_bytes(work) == 4 * 2000


def test_memory_that_was_there_before_does_not_count_but_gradients_do() -> None:
    weight = torch.zeros(1000, requires_grad=True)
    first = peak_bytes(lambda: weight.sum().backward())
    assert 4 * 1000 <= first < 4 * 1010

    def step() -> None:
        with torch.no_grad():
            weight.add_(1)

    assert peak_bytes(step) == 0
