"""Which tower to take: what is known of each, the list worth a look, and the default that follows from it."""

import json
import math

import open_clip
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from promptmlr.backbone import DEFAULT_TOWER, PAPER_TOWER, load_backbone, open_backbone, usual_image_size
from promptmlr.backbone import loading as loading_module
from promptmlr.backbone.building import build_image_tower
from promptmlr.backbone.catalogue import find_entry, pretrained_names
from promptmlr.backbone.choosing import PURPOSES, choices, choices_of, images_per_second, recommended, shortlist
from promptmlr.backbone.weights import FREE, published
from promptmlr.cli.backbones import backbones
from promptmlr.errors import UserError


def test_every_fact_has_a_source_and_belongs_to_weights_that_there_are() -> None:
    assert set(published()) == set(open_clip.list_pretrained())
    for weights in published().values():
        assert bool(weights.licence) == weights.licence_source.startswith("https://"), weights
        known = weights.imagenet is not None or weights.voc2007 is not None
        assert known == weights.results_source.startswith("https://"), weights
        assert weights.languages in ("", "English", "many")
        assert all(value is None or 1 < value < 100 for value in (weights.imagenet, weights.voc2007))


@pytest.mark.parametrize(
    ("key", "imagenet", "voc2007"),
    [
        (("ViT-B-32", "openai"), 63.3, 76.4),
        (("ViT-B-16", "datacomp_xl_s13b_b90k"), 73.5, 81.8),
        (("RN101", "openai"), 62.3, 65.1),
        (("ViT-B-16-quickgelu", "metaclip_400m"), 70.8, 72.2),
        (("ViT-B-16", "metaclip_400m"), 70.8, 72.2),  # the same file
    ],
)
def test_published_numbers(key: tuple[str, str], imagenet: float, voc2007: float) -> None:
    assert (published()[key].imagenet, published()[key].voc2007) == (imagenet, voc2007)


def test_the_cost_of_a_tower_is_what_torch_counts() -> None:
    """Of a name of each kind, on a copy without weights; a convolution of 1 × 1 shows that an addition counts."""
    for name in ("RN50", "ViT-B-32", "ViT-B-16-SigLIP", "MobileCLIP2-S0"):
        entry = find_entry(name)
        with torch.device("meta"):
            tower = build_image_tower(entry.config).eval().requires_grad_(False)
            with FlopCounterMode(display=False) as counter:
                tower(torch.empty(1, 3, entry.image_size, entry.image_size))
        assert entry.gflop == pytest.approx(counter.get_total_flops() / 1e9, abs=0.006), name
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        torch.nn.Conv2d(3, 5, 1, bias=False).requires_grad_(False)(torch.empty(1, 3, 7, 7))
    assert counter.get_total_flops() == 2 * 3 * 5 * 7 * 7


def test_nothing_is_listed_twice_and_nothing_is_left_out() -> None:
    """Names that differ in the activation alone are one where the tag says the activation."""
    keys = [one.key for one in choices()]
    assert len(keys) == len(set(keys))
    left_out = set(open_clip.list_pretrained()) - set(keys)
    assert left_out
    assert all(name.endswith("-quickgelu") and (name.removesuffix("-quickgelu"), tag) in keys for name, tag in left_out)
    assert all(one.entry.gflop > 0 and one.entry.image_parameters for one in choices())
    assert {one.entry.name for one in choices()} <= set(pretrained_names())


def test_no_cheaper_one_beats_one_of_the_list() -> None:
    listed = shortlist()
    assert 20 < len(listed) < 40
    for one in listed:
        rivals = [
            other.weights
            for other in choices()
            if other.entry.gflop < one.entry.gflop and (other.weights.is_free or not one.weights.is_free)
        ]
        for measure in ("imagenet", "voc2007"):
            if all((getattr(each, measure) or 0) < (getattr(one.weights, measure) or 0) for each in rivals):
                break
        else:
            pytest.fail(f"{one.key} is beaten at lower cost by both accuracies")


def test_the_default_is_the_one_recommended_for_a_laptop() -> None:
    """It is better by both accuracies than the paper's at the paper's size, at half the cost, and needs no extra."""
    default, paper = recommended("cpu"), choices_of([PAPER_TOWER[0]])[0]
    assert default.key == DEFAULT_TOWER
    assert paper.key == PAPER_TOWER
    assert default.weights.imagenet > paper.weights.imagenet
    assert default.weights.voc2007 > paper.weights.voc2007
    assert default.entry.gflop < 4 * paper.entry.gflop / 2  # at 448 px a convolution takes four times as much
    assert default.entry.regions(default.entry.image_size) == paper.entry.regions(448)
    assert not default.entry.needs_transformers


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_recommendation_is_the_best_that_its_purpose_bears(purpose: str, capsys) -> None:
    chosen = recommended(purpose)
    assert chosen.entry.gflop <= PURPOSES[purpose]
    assert chosen.weights.licence in FREE
    for one in choices():
        if one.weights.is_free and not one.entry.needs_transformers and one.entry.gflop <= PURPOSES[purpose]:
            assert (one.weights.score or 0) <= chosen.weights.score, one.key
    backbones(purpose=purpose)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{chosen.options}: ")
    assert str(chosen.weights.voc2007) in line
    assert chosen.weights.licence in line


def test_the_table_and_its_json(capsys) -> None:
    backbones()
    lines = capsys.readouterr().out.splitlines()
    header = "backbone pretrained texts licence pixels regions M GFLOP ImageNet VOC2007"
    assert lines[0].split() == header.split(" ")
    rows = {tuple(line.split()[:2]): line.split()[2:] for line in lines[1:]}
    assert rows["RN101", "openai"] == ["English", "MIT", "224", "50", "56+63", "20", "62.3", "65.1"]
    assert rows["ViT-B-16-SigLIP2", "webli"][:3] == ["many", "*", "Apache-2.0"]
    assert max(map(len, lines)) <= 130
    backbones("ViT-B-16", json=True)
    found = {one["tag"]: one for one in json.loads(capsys.readouterr().out)}
    assert list(found) == list(open_clip.list_pretrained_tags_by_model("ViT-B-16"))
    assert found["openai"]["licence_source"] == "https://github.com/openai/CLIP/blob/main/LICENSE"
    assert found["datacomp_xl_s13b_b90k"]["voc2007"] == 81.8


def test_all_of_them(capsys) -> None:
    backbones(whole=True)
    out = capsys.readouterr().out
    assert all(f"{one.entry.name} " in out and one.weights.tag in out for one in choices())


def test_speed_is_measured_where_it_is_asked_for(monkeypatch, capsys) -> None:
    """The number itself is the machine's; that it is one, and that larger images take longer, is ours."""
    entry = find_entry("ViT-B-32")
    config = entry.config | {"vision_cfg": entry.config["vision_cfg"] | {"layers": 1, "width": 64}}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "Small", config)
    assert math.isnan(find_entry("Small").gflop)
    assert images_per_second(find_entry("Small")) > 0
    backbones("Small", measure=True)
    header, row = capsys.readouterr().out.splitlines()
    assert header.endswith("images/s here")
    assert float(row.split()[-1]) > 0


def test_what_nothing_is_published_of(tmp_path, capsys) -> None:
    """A miniature is no name of the list; what a folder does not say is null, which JSON knows."""
    with pytest.raises(UserError, match="scenes-vit is in the package"):
        backbones("scenes-vit")
    config = open_clip.get_model_config("ViT-S-32-alt")
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    backbones(f"local-dir:{tmp_path}", json=True)
    (found,) = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert (found["name"], found["width"], found["gflop"]) == (f"local-dir:{tmp_path}", config["embed_dim"], None)


def test_a_purpose_stands_alone() -> None:
    with pytest.raises(UserError, match="--for names one tower; leave out names, --all and --measure"):
        backbones("ViT-B-16", purpose="cpu")
    with pytest.raises(UserError, match="there is no tower for 'laptop'; choose from: phone, cpu, gpu, best"):
        recommended("laptop")


@pytest.mark.parametrize(
    ("name", "size"),
    [("RN101", 448), ("RN50x64", 448), ("ViT-B-16", None), ("MobileCLIP2-S0", None), ("scenes", None), ("a.pt", None)],
)
def test_the_usual_size_is_the_towers_own_but_for_the_papers(name: str, size: int | None) -> None:
    assert usual_image_size(name) == size


def test_without_a_name_the_default_is_opened(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(loading_module, "load_backbone", lambda *arguments, **_: asked.append(arguments[:3]))
    open_backbone()
    open_backbone(pretrained="openai")
    open_backbone("RN101")
    assert asked == [(*DEFAULT_TOWER, None), ("ViT-B-16", "openai", None), ("RN101", None, 448)]
    assert load_backbone("scenes").name == "scenes"
