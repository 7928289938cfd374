"""Costs against formulas; the parts against the whole step."""

import dataclasses
import itertools

import pytest
import torch

from promptmlr.backbone import bare_model, load_backbone
from promptmlr.methods import METHOD_TABLE, create_recognizer
from promptmlr.paper.cost import measuring as module
from promptmlr.paper.cost import released
from promptmlr.paper.cost.counting import count_flops
from promptmlr.paper.cost.measuring import Cost, CostSetting, measure_costs
from promptmlr.paper.cost.report import CostOutputs, claims
from promptmlr.report.findings import as_text

B, C, M, D, W = 3, 4, 5, 96, 64  # D and W are those of the tiny checkpoint
BLOCKS, POSITIONS, REGIONS = 2, 77, 5
NAMES = ("dog", "cat", "red car", "umbrella")


@pytest.fixture(scope="module")
def setting(tiny_checkpoint) -> CostSetting:
    return CostSetting(str(tiny_checkpoint), NAMES, batch_size=B, context_length=M, images=100)


@pytest.fixture(scope="module")
def costs(setting) -> dict[tuple[str, str], Cost]:
    return {(cost.method, cost.way): cost for cost in measure_costs(setting)[0]}


def test_every_trained_method_is_measured_where_its_code_exists(costs) -> None:
    released = {"baseline", "dualcoop", "negativecoop", "positivecoop"}
    here = {name for name, row in METHOD_TABLE.items() if row.trained}
    assert set(costs) == {(m, "as here") for m in here} | {(m, "as released") for m in released}


def test_learned_numbers_are_those_of_the_papers_table(costs) -> None:
    assert costs["baseline", "as released"].learned == costs["baseline", "as here"].learned == 2 * C * (D + 1)
    assert costs["dualcoop", "as released"].learned == costs["dualcoop", "as here"].learned == 2 * C * M * W
    assert costs["positivecoop", "as here"].learned == C * M * W + C * D
    assert costs["negativecoop", "as released"].learned == C * M * W + 2 * C * D  # with its offset
    assert costs["dualembedding", "as here"].learned == costs["anchored", "as here"].learned == 2 * C * D


def test_flops_follow_by_hand(costs) -> None:
    # Two maps of every class and region, forward and in the gradient of the vectors; regions take no gradient.
    head = 2 * 2 * (2 * B * REGIONS * D * C)
    assert {cost.head_flops for cost in costs.values()} == {head}
    # A position of a block: 4 W² in the attention's projections, 8 W² in the MLP, 2 L W in the attention itself; the
    # projection at the end. The weights ask for gradients, so the backward pass costs twice the forward one.
    forward = 2 * C * (POSITIONS * BLOCKS * (12 * W * W + 2 * POSITIONS * W) + W * D)
    assert costs["positivecoop", "as released"].text_flops == costs["negativecoop", "as released"].text_flops
    assert costs["positivecoop", "as released"].text_flops == 3 * forward
    assert costs["dualcoop", "as released"].text_flops == 2 * 3 * forward
    assert costs["dualcoop", "as here"].text_flops == 2 * costs["positivecoop", "as here"].text_flops
    assert 0 < costs["positivecoop", "as here"].text_flops < forward
    for way in ("as here", "as released"):
        assert costs["baseline", way].text_flops == 0
        assert (costs["baseline", way].image_flops > 0) is (way == "as released")


def test_the_image_tower_costs_what_its_convolutions_do(costs, setting) -> None:
    model = bare_model(setting.backbone).eval()
    operations = []

    def count(convolution, _inputs, output) -> None:
        operations.append(2 * output.numel() * convolution.weight[0].numel())

    for convolution in model.visual.modules():
        if isinstance(convolution, torch.nn.Conv2d):
            convolution.register_forward_hook(count)
    released.dense_regions(model.visual, torch.zeros(B, 3, 64, 64))
    width = model.visual.attnpool.v_proj.in_features
    pool = 2 * B * (REGIONS * (3 * width**2 + width * D) + 2 * REGIONS**2 * width)  # the attention that is thrown away
    again = 2 * B * REGIONS * (width**2 + width * D)  # value and output projection a second time: what is kept
    assert costs["baseline", "as released"].image_flops == sum(operations) + pool + again


@pytest.mark.parametrize("method", module.RELEASED_METHODS)
def test_the_parts_of_a_released_step_make_the_whole(method, costs, setting) -> None:
    backbone, clip = load_backbone(setting.backbone), released.open_text_tower(bare_model(setting.backbone))
    recipe = module._recipe(method, "as released", setting)
    model = module._released_model(method, recipe, backbone, clip, NAMES)
    optimizer = torch.optim.SGD(released.learned_tensors(model), lr=0.1)
    images, labels = torch.randn(B, 3, 64, 64), torch.ones(B, C)
    whole = count_flops(lambda: released.train_step(model, optimizer, images, labels))
    assert whole == costs[method, "as released"].step_flops


@pytest.mark.parametrize("method", ["baseline", "dualcoop", "dualembedding", "negativecoop", "positivecoop"])
def test_the_parts_of_a_step_here_make_the_whole(method, costs, setting) -> None:
    backbone = load_backbone(setting.backbone)
    recipe = module._recipe(method, "as here", setting)
    recognizer = create_recognizer(method, backbone, NAMES, **recipe.start_options())
    regions = torch.randn(B, REGIONS, D)
    assert count_flops(lambda: recognizer(regions).sum().backward()) == costs[method, "as here"].step_flops


def test_released_dualcoop_computes_what_ours_does(tiny_checkpoint, setting) -> None:
    backbone, clip = load_backbone(tiny_checkpoint), bare_model(tiny_checkpoint).eval()
    for method in ("dualcoop", "negativecoop"):
        recipe = module._recipe(method, "as released", setting)
        ours = create_recognizer(method, backbone, NAMES, **recipe.start_options())
        theirs = module._released_model(method, recipe, backbone, clip, NAMES)
        images = torch.randn(2, 3, 64, 64)
        torch.testing.assert_close(theirs(images), ours(backbone.encode_image(images)), rtol=1e-4, atol=1e-4)


def test_seconds_of_a_training_follow_from_its_steps(costs) -> None:
    cost = costs["positivecoop", "as released"]
    assert cost.epochs == 52
    assert cost.total_seconds == pytest.approx(52 * 34 * cost.step_seconds)  # 34 batches of 3 in 100 images
    assert cost.least_seconds <= cost.step_seconds <= cost.most_seconds
    cost = costs["positivecoop", "as here"]
    assert (cost.epochs, cost.encoding_flops > 0) == (20, True)
    assert cost.total_seconds == pytest.approx(cost.encoding_seconds + 20 * 34 * cost.step_seconds)
    assert costs["dualcoop", "as released"].memory_bytes > costs["baseline", "as released"].memory_bytes
    assert costs["dualcoop", "as released"].memory_bytes > costs["dualcoop", "as here"].memory_bytes


@pytest.mark.parametrize(("seconds", "calls"), [(1.0, 3), (14.0, 3), (16.0, 2), (60.0, 1)])
def test_long_steps_are_timed_less_often(monkeypatch, seconds: float, calls: int) -> None:
    clock = itertools.count(0.0, seconds)
    monkeypatch.setattr(module, "seconds_now", lambda _device: next(clock))
    done = []
    assert module._timed(lambda: done.append(1), torch.device("cpu"), warm_up=False) == [seconds] * calls
    assert len(done) == calls


def test_a_vit_has_nothing_as_released(tiny_vit, tmp_path) -> None:
    from safetensors.torch import save_file

    save_file(tiny_vit, tmp_path / "vit.safetensors")
    setting = CostSetting(str(tmp_path / "vit.safetensors"), NAMES[:2], batch_size=2, context_length=2, images=10)
    costs, backbone = measure_costs(setting)
    assert {cost.way for cost in costs} == {"as here"}
    assert "Compute as released" not in as_text(CostOutputs(costs, setting, backbone).findings())


def made(method: str, way: str, learned: int, image: int, text: int, seconds: float) -> Cost:
    encoding = (0.0, 0) if way == "as released" else (100.0, 4000)
    return Cost(method, way, learned, image, text, 10, seconds, seconds, seconds, 0, 2, *encoding, 0.0)  # type: ignore[arg-type]


def test_claims_are_ratios_of_dualcoop_to_the_baseline() -> None:
    given = [
        made("dualcoop", "as released", 160, 1000, 1010, 8.0),
        made("baseline", "as released", 10, 1000, 0, 2.0),
        made("dualcoop", "as here", 160, 0, 190, 3.0),
        made("baseline", "as here", 10, 0, 0, 3.0),
    ]
    given = [dataclasses.replace(cost, total_seconds=cost.step_seconds + 7) for cost in given]
    found = claims(given, CostSetting("x", NAMES, batch_size=4, context_length=M, images=400))
    assert [(claim.quantity.split(",")[0], claim.way, round(claim.found, 2), claim.verdict) for claim in found] == [
        ("learned parameters", "as released", 16.0, "holds"),
        ("FLOPs of a step", "as released", 2.0, "holds"),
        ("seconds of a step", "as released", 4.0, "larger"),
        ("learned parameters", "as here", 16.0, "holds"),
        ("FLOPs of a step", "as here", 20.0, "larger"),
        ("seconds of a step", "as here", 1.0, "smaller"),
        ("FLOPs to the last epoch", "as here", round((4000 + 2 * 100 * 200) / (4000 + 2 * 100 * 10), 2), "larger"),
        ("seconds to the last epoch", "as here", 1.0, "smaller"),
    ]
