"""Adding a thing is one new file and a line or two: each task of CONTRIBUTING.md, done in a copy of the package.

Every test writes the new file, inserts the lines, uses what was added in a process of its own that sees the copy alone,
and counts what differs from the package. A loss, a pooling and a kind of side also pass the tests that hold for every
row of their table.
"""

import difflib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from PIL import Image

import promptmlr

PACKAGE = Path(promptmlr.__file__).parent
TESTS = Path(__file__).parent

pytestmark = pytest.mark.slow

TRAINING = """
import json
import shutil
import numpy as np
import promptmlr as pm
from promptmlr import scenes
from promptmlr.recipes import load_recipe

drawn = [scenes.draw_scene(0, index) for index in range(40)]
images, names = [scene.image for scene in drawn], scenes.CLASS_NAMES[:3]
labels = np.array([scene.labels[:3] for scene in drawn], dtype=float)
labels[::3, 1] = np.nan

def trained(method, backbone="scenes", **recipe):
    options = {"recipe": load_recipe("default", method, epochs=2, **recipe), "calibrate": False, "cache": False}
    learner = pm.MultiLabelRecognizer(method, backbone=backbone, class_names=names, **options).fit(images, labels)
    read = pm.load_run(learner.save("run"))
    read.adopt(learner.run_.backbone)
    assert read.config.recipe == learner.run_.config.recipe
    return learner, read

def same(learner, read):
    before = learner.predict_proba(images[:4])
    learner._take(read)
    np.testing.assert_array_equal(learner.predict_proba(images[:4]), before)
    assert before.shape == (4, 3) and np.isfinite(before).all() and before.std() > 0
"""


class Copy:
    """The package in a folder of its own, to be changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.package = folder / "package" / "promptmlr"
        shutil.copytree(PACKAGE, self.package, ignore=shutil.ignore_patterns("__pycache__"))

    def write(self, name: str, text: str) -> None:
        """A new file."""
        assert not (self.package / name).exists()
        (self.package / name).write_text(dedent(text).lstrip())

    def insert(self, name: str, after: str, line: str) -> None:
        """One line behind the only line that begins so."""
        path = self.package / name
        lines = path.read_text().splitlines(keepends=True)
        (place,) = [number for number, found in enumerate(lines, 1) if found.startswith(after)]
        assert "\n" not in line
        assert len(line) <= 120
        path.write_text("".join([*lines[:place], f"{line}\n", *lines[place:]]))

    def changes(self) -> dict[str, int | str]:
        """What differs from the package: lines that came or went by file, "new" for a file that was not there."""
        found: dict[str, int | str] = {}
        for path in sorted(self.package.rglob("*")):
            name = path.relative_to(self.package).as_posix()
            if path.is_dir() or "__pycache__" in name:
                continue
            if not (PACKAGE / name).exists():
                found[name] = "new"
            elif path.read_bytes() != (PACKAGE / name).read_bytes():
                both = [file.read_text().splitlines() for file in (PACKAGE / name, path)]
                found[name] = sum(line[0] in "+-" for line in [*difflib.unified_diff(*both, n=0)][2:] if line[0] != "@")
        return found

    def run(self, script: str, passes: Sequence[str] = ()) -> str:
        """What a script prints that imports the copy, and tests after it: those that hold for every row of a table."""
        first = f"import promptmlr; assert promptmlr.__path__ == [{str(self.package)!r}], promptmlr.__path__\n"
        chosen = [str(TESTS / test) for test in passes]
        options = ["-p", "no:cacheprovider", "-W", "ignore:Module already imported", "-k", "every"]
        last = f"import pytest\nassert not pytest.main({options + chosen})\n"
        return self.python("-c", first + dedent(script) + (last if passes else ""))

    def python(self, *arguments: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(self.package.parent), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def test_a_method_is_one_line(copy: Copy) -> None:
    copy.insert(
        "methods.py",
        '    "dualembedding"',
        '    "dualcoopown": Method("prompt", "prompt", "dualcoop, each side by its own map", weighting="own"),',
    )
    script = """
    import torch
    from promptmlr.cli.methods import methods
    from promptmlr.sides import PromptSide
    recognizer = pm.create_recognizer("dualcoopown", pm.load_backbone("scenes"), names, context_length=4)
    assert isinstance(recognizer.presence, PromptSide) and isinstance(recognizer.absence, PromptSide)
    assert recognizer.fold()(torch.randn(40, 5, 128)).shape == (40, 2, 3)
    learner, read = trained("dualcoopown", context_words="a photo")
    same(learner, read)
    first, second = [json.loads(line)["loss"] for line in open("run/metrics.jsonl")]
    assert second < first
    assert read.config.weighting == "own"
    methods()
    """
    assert "dualcoopown    prompt     prompt     dualcoop, each side" in copy.run(TRAINING + dedent(script))
    assert copy.changes() == {"methods.py": 1}


def test_a_loss_is_a_file_and_two_lines(copy: Copy) -> None:
    copy.write(
        "losses/focal.py",
        '''
        """Focal loss: what a label costs fades as it is learned."""

        import torch
        from torch import Tensor
        from torch.nn.functional import softplus


        def focal_cost(logits: Tensor, labels: Tensor) -> Tensor:
            """(1 − p)² · −log p, with p the probability of what the label says (Lin et al., 2017)."""
            known = (labels == 1) | (labels == 0)
            odds = torch.where(known, logits[:, 1] - logits[:, 0], torch.zeros_like(logits[:, 0]))
            wrong = torch.where(labels == 1, -odds, odds)
            return torch.where(known, wrong.sigmoid().square() * softplus(wrong), torch.zeros_like(odds))
        ''',
    )
    copy.insert("losses/__init__.py", "from promptmlr.functional", "from promptmlr.losses.focal import focal_cost")
    copy.insert(
        "losses/__init__.py", "LOSSES", '    "focal": Loss("fades as it is learned", "Lin et al., 2017", focal_cost),'
    )
    script = """
    from promptmlr.cli.methods import methods
    from promptmlr.errors import UserError
    losses = {}
    for loss in ("asymmetric", "focal"):
        learner, read = trained("baseline", loss=loss)
        losses[loss] = [json.loads(line)["loss"] for line in open("run/metrics.jsonl")]
        same(learner, read)
        shutil.rmtree("run")
    assert losses["focal"][0] != losses["asymmetric"][0]
    assert read.config.recipe.loss == "focal"
    try:
        load_recipe("default", "baseline", loss="fokal")
    except UserError as error:
        print(error)
    methods()
    """
    said = copy.run(TRAINING + dedent(script), ["unit/test_losses.py"])
    assert "no loss 'fokal'; did you mean 'focal'?" in said
    assert "  focal          fades as it is learned" in said
    assert copy.changes() == {"losses/focal.py": "new", "losses/__init__.py": 2}


def test_a_side_of_another_kind_is_a_file_and_two_lines_and_its_method_one(copy: Copy) -> None:
    copy.write(
        "sides/mlp.py",
        '''
        """The MLP side: hidden units that all classes share, and a linear layer on them."""

        from typing import ClassVar

        import torch
        from torch import Tensor, nn

        from promptmlr.functional import linear_map
        from promptmlr.sides.base import Side, seeded_generator
        from promptmlr.sides.beginning import Beginning

        HIDDEN = 16


        class MlpSide(Side):
            """A perceptron with one hidden layer: hidden (H, D), its bias (H,), weight (C, H) and bias (C,)."""

            rates: ClassVar = {"hidden": "linear_rate", "output": "linear_rate"}

            def __init__(self, *tensors: Tensor) -> None:
                super().__init__()
                hidden, _, weight, _ = tensors
                self.hidden = nn.Linear(*hidden.shape[::-1])
                self.output = nn.Linear(*weight.shape[::-1])
                self.load_state_dict(dict(zip(self.state_dict(), tensors, strict=True)))
                self.to(hidden)

            @classmethod
            def begin(cls, at: Beginning) -> "MlpSide":
                generator = seeded_generator(at.seed, at.name)
                hidden = torch.randn(HIDDEN, at.feature_width, generator=generator) / at.feature_width**0.5
                weight = torch.randn(len(at.class_names), HIDDEN, generator=generator) / HIDDEN**0.5
                return cls(hidden, torch.zeros(HIDDEN), weight, torch.zeros(len(weight)))

            @staticmethod
            def shapes(classes: int, width: int) -> dict[str, tuple[int | None, ...]]:
                hidden = {"hidden.weight": (None, width), "hidden.bias": (None,)}
                return {**hidden, "output.weight": (classes, None), "output.bias": (classes,)}

            def class_vectors(self) -> Tensor:
                return torch.cat([self.output.weight, self.output.bias[:, None]], dim=1)

            def similarity(self, regions: Tensor, vectors: Tensor) -> Tensor:
                return linear_map(self.hidden(regions).relu(), vectors[:, :-1], vectors[:, -1])
        ''',
    )
    copy.insert("sides/__init__.py", "from promptmlr.sides.linear", "from promptmlr.sides.mlp import MlpSide")
    copy.insert("sides/__init__.py", '    "linear"', '    "mlp": MlpSide,')
    copy.insert(
        "methods.py", '    "dualembedding"', '    "mlp": Method("mlp", "mlp", "two perceptrons", weighting="own"),'
    )
    script = """
    learner, read = trained("mlp")
    same(learner, read)
    assert sorted(read.recognizer.presence.state_dict()) == [f"{layer}.{part}" for layer in ("hidden", "output")
                                                             for part in ("bias", "weight")]
    """
    copy.run(TRAINING + dedent(script), ["unit/test_sides.py", "unit/test_methods.py", "unit/test_training_runs.py"])
    assert copy.changes() == {"sides/mlp.py": "new", "sides/__init__.py": 2, "methods.py": 1}


def test_a_way_to_pool_regions_is_a_file_and_two_lines(copy: Copy) -> None:
    copy.write(
        "pooling/top.py",
        '''
        """The mean of the regions that are most similar."""

        import torch
        from torch import Tensor

        COUNT = 3


        def top_weights(similarity: Tensor) -> Tensor:
            """Equal weights of the three largest values of each map, or of all where there are fewer."""
            count = min(COUNT, similarity.shape[-1])
            return torch.zeros_like(similarity).scatter(-1, similarity.topk(count, dim=-1).indices, 1 / count)
        ''',
    )
    copy.insert("pooling/__init__.py", "from promptmlr.functional", "from promptmlr.pooling.top import top_weights")
    copy.insert(
        "pooling/__init__.py", "POOLINGS", '    "top": Pooling("mean of the best three", "common", top_weights),'
    )
    script = """
    import torch
    learner, read = trained("anchored", pooling="top")
    same(learner, read)
    assert read.recognizer.pooling == read.zero_shot.pooling == read.config.recipe.pooling == "top"
    regions = torch.randn(2, 9, 128, generator=torch.Generator().manual_seed(0))
    options = load_recipe("default", "dualembedding", pooling="top", start="random").start_options()
    created = pm.create_recognizer("dualembedding", learner.run_.backbone, names, **options)
    for recognizer in (created, read.recognizer):
        presence, absence = recognizer.maps(regions)
        best = presence.topk(3, dim=-1)
        by_hand = torch.stack([5 * absence.gather(-1, best.indices).mean(-1), 5 * best.values.mean(-1)], dim=1)
        torch.testing.assert_close(recognizer(regions), by_hand)
    """
    copy.run(TRAINING + dedent(script), ["unit/test_pooling.py"])
    assert copy.changes() == {"pooling/top.py": "new", "pooling/__init__.py": 2}


def test_a_label_format_is_a_file_and_a_line(copy: Copy) -> None:
    copy.write(
        "data/formats/tags.py",
        '''
        """A line per image: its path, a colon, and the names of what is present, by commas."""

        from pathlib import Path

        from promptmlr.data.formats.base import Format, Writer
        from promptmlr.data.images import ImageFile
        from promptmlr.data.options import DataOptions
        from promptmlr.data.output import Output
        from promptmlr.data.rows import LabelledRows, ListedRows, Names
        from promptmlr.labels import PRESENT


        def read_tags(path: Path, images: Path | None, options: DataOptions) -> LabelledRows:
            """Read it; `options.unlisted` says what other classes are."""
            rows = [line.partition(":") for line in path.read_text(encoding="utf-8").splitlines()]
            return ListedRows(
                [Names([name.strip() for name in names.split(",") if name.strip()]) for _, _, names in rows],
                [image for image, _, _ in rows],
                [ImageFile((images or path.parent) / image) for image, _, _ in rows],
                splits=None,
                kind="tags",
                path=path,
                where=lambda row: f"{path}, line {row + 1}",
            ).labelled(options)


        def write_tags(output: Output) -> list[str]:
            """Write it."""
            with output.table() as file:
                for _, name, labels in output.rows():
                    file.write(f"{name}: {', '.join(output.names(labels, PRESENT))}\\n")
            return []


        FORMAT = Format(
            "tags",
            "a text file .tags with a line per image",
            lambda source: source.suffix == ".tags",
            read_tags,
            writer=Writer(write_tags, ".tags", lists=True, class_list=False),
        )
        ''',
    )
    copy.insert("data/formats/__init__.py", '    "scenes",', '    "tags",')
    assert copy.changes() == {"data/formats/tags.py": "new", "data/formats/__init__.py": 1}

    for name in ("a.png", "b.png"):
        Image.fromarray(np.full((8, 8, 3), len(name), np.uint8)).save(copy.folder / name)
    (copy.folder / "seen.tags").write_text("a.png: dog, cat\nb.png: dog\n")
    copy.python("-m", "promptmlr", "convert", "seen.tags", "seen.csv", "--to", "csv", "--unlisted", "absent")
    assert (copy.folder / "seen.csv").read_text() == "image,cat,dog\na.png,1,1\nb.png,0,1\n"

    copy.python("-m", "promptmlr", "convert", "seen.csv", "again.tags", "--to", "tags")
    assert (copy.folder / "again.tags").read_text() == "a.png: cat, dog\nb.png: dog\n"


def test_a_way_in_which_labels_go_missing_is_a_file_and_a_line(copy: Copy) -> None:
    copy.write(
        "labels/patterns/hasty.py",
        '''
        """People begin with the first class of the table and get tired."""

        import numpy as np

        from promptmlr.labels.patterns.base import Pattern, Rates, Truth


        def hasty_rates(truth: Truth, rng: np.random.Generator) -> Rates:
            """(N, C) falling from class to class."""
            images, classes = truth.labels.shape
            return np.tile(0.5 ** np.arange(classes), (images, 1))


        PATTERN = Pattern("hasty", "the first classes of the table sooner than the last", "our own", hasty_rates)
        ''',
    )
    copy.insert("labels/patterns/__init__.py", '    "candidates",', '    "hasty",')
    assert copy.changes() == {"labels/patterns/hasty.py": "new", "labels/patterns/__init__.py": 1}

    rows = "".join(f"{number}.png,1,0,1,0\n" for number in range(200))
    (copy.folder / "labels.csv").write_text("image,dog,cat,cup,car\n" + rows)
    for number in range(200):
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(copy.folder / f"{number}.png")
    copy.python("-m", "promptmlr", "convert", "labels.csv", "few.csv", "--to", "csv", "--observed", "hasty:0.2")
    cells = [line.split(",")[1:] for line in (copy.folder / "few.csv").read_text().splitlines()[1:]]
    known = [sum(cell != "" for cell in column) for column in zip(*cells, strict=True)]
    assert known[0] > known[1] > known[2] > known[3] > 0


def test_a_kind_of_image_tower_is_a_file_and_a_line(copy: Copy) -> None:
    copy.write(
        "backbone/image/patches.py",
        '''
        """A tower of one convolution: a region per patch, and their mean."""

        import torch
        from torch import Tensor, nn

        from promptmlr.backbone.image.kind import TowerKind
        from promptmlr.backbone.image.ways import Way


        class PatchTower(nn.Module):
            """(B, 3, S, S) → (B, D, S/p, S/p)."""

            def __init__(self, width: int, patch: int) -> None:
                super().__init__()
                self.patch = patch
                self.projection = nn.Conv2d(3, width, patch, patch)


        def patch_regions(visual: PatchTower, images: Tensor, way: Way) -> Tensor:
            """(B, 3, S, S) → (B, R, D), region 0 the mean."""
            grid = visual.projection(images).flatten(2).transpose(1, 2)
            return torch.cat([grid.mean(dim=1, keepdim=True), grid], dim=1)


        KIND = TowerKind(
            name="patches",
            fits=lambda visual: isinstance(visual, PatchTower),
            patch_side=lambda visual: visual.patch,
            regions=patch_regions,
        )
        ''',
    )
    copy.insert("backbone/image/__init__.py", '    "resnet",', '    "patches",')
    script = """
    import torch
    from promptmlr.backbone import ClipBackbone, Preprocessing, bare_model
    from promptmlr.backbone.image.patches import PatchTower
    model = bare_model("scenes")
    torch.manual_seed(0)
    model.visual = PatchTower(128, 32)
    backbone = ClipBackbone(model, "patches", None, Preprocessing(64, (0.5,) * 3, (0.5,) * 3))
    pixels = torch.randn(2, 3, 64, 64)
    regions = backbone.encode_image(pixels)
    assert regions.shape == (2, 5, 128) and backbone.regions == 5
    torch.testing.assert_close(backbone.image_tower()(pixels), regions)
    same(*trained("anchored", backbone=backbone))
    """
    copy.run(TRAINING + dedent(script))
    assert copy.changes() == {"backbone/image/patches.py": "new", "backbone/image/__init__.py": 1}


def test_a_tower_of_timm_that_nobody_thought_of_is_a_file_and_a_line(copy: Copy) -> None:
    """Swin, whose maps have their channels last: refused as it is, and loaded by its name with a kind of its own."""
    named = "from promptmlr.backbone.catalogue import find_entry\nfind_entry('swin_base_patch4_window7_224')\n"
    with pytest.raises(AssertionError, match="no regions are known of an image tower TimmModel around SwinTransformer"):
        copy.run(named)
    copy.write(
        "backbone/image/timm_last.py",
        '''
        """timm's networks whose maps have their channels last (Swin)."""

        from typing import Any

        import torch
        from open_clip.timm_model import TimmModel
        from timm.layers.classifier import ClassifierHead
        from torch import Tensor, nn

        from promptmlr.backbone.image.kind import TowerKind
        from promptmlr.backbone.image.ways import Way


        def last_regions(visual: TimmModel, images: Tensor, way: Way) -> Tensor:
            """The head at every place of the map, (B, 3, H, W) → (B, R, D); region 0 is the tower's own feature."""
            trunk: Any = visual.trunk
            features = trunk.forward_features(images)
            alone = features.reshape(-1, 1, 1, features.shape[-1])
            local = visual.head(trunk.forward_head(alone)).reshape(features.shape[0], -1, visual.head.proj.out_features)
            return torch.cat([visual.head(trunk.forward_head(features))[:, None], local], dim=1)


        def fits(visual: nn.Module) -> bool:
            head = getattr(getattr(visual, "trunk", None), "head", None)
            return isinstance(visual, TimmModel) and isinstance(head, ClassifierHead) and head.input_fmt == "NHWC"


        KIND = TowerKind(
            name="timm's networks with channels last (Swin)",
            fits=fits,
            patch_side=lambda visual: int(visual.trunk.feature_info[-1]["reduction"]),
            regions=last_regions,
        )
        ''',
    )
    copy.insert("backbone/image/__init__.py", '    "timm_map",', '    "timm_last",')
    script = """
    import torch
    from promptmlr.backbone import ClipBackbone, Preprocessing
    from promptmlr.backbone.building import build_model
    assert find_entry("swin_base_patch4_window7_224").regions(224) == 50
    text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}
    vision = {"timm_model_name": "swin_s3_tiny_224", "timm_pool": "", "timm_proj": "linear", "image_size": 224}
    torch.manual_seed(0)
    model = build_model({"embed_dim": 96, "vision_cfg": vision, "text_cfg": text}, quick_gelu=False).eval()
    images = torch.randn(2, 3, 224, 224)
    expected = model.encode_image(images)
    backbone = ClipBackbone(model, "swin", None, Preprocessing(224, (0.5,) * 3, (0.5,) * 3))
    regions = backbone.encode_image(images)
    assert regions.shape == (2, 50, 96)
    torch.testing.assert_close(regions[:, 0], expected)
    torch.testing.assert_close(regions[:, 1:].mean(dim=1), expected, rtol=1e-4, atol=1e-5)
    """
    copy.run(named + dedent(script))
    assert copy.changes() == {"backbone/image/timm_last.py": "new", "backbone/image/__init__.py": 1}


def test_a_verb_is_a_file_and_a_line(copy: Copy) -> None:
    copy.write(
        "cli/classes.py",
        '''
        """`promptmlr classes`: the classes of a data set."""


        def classes(data: str, /) -> None:
            """List the classes of a data set."""
            from promptmlr.data import load_data

            print("\\n".join(load_data(data).class_names))
        ''',
    )
    copy.insert("cli/__init__.py", '        "inspect",', '        "classes",')
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(copy.folder / "a.png")
    (copy.folder / "labels.csv").write_text("image,dog,cat\na.png,1,0\n")
    assert copy.python("-m", "promptmlr", "classes", "labels.csv") == "dog\ncat\n"
    assert "List the classes of a data set." in copy.python("-m", "promptmlr", "--help")
    assert copy.changes() == {"cli/classes.py": "new", "cli/__init__.py": 1}
