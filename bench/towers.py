"""What the benchmarks share: a CLIP of random weights by open_clip's name, COCO's 80 class names, labels."""

import open_clip
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

from promptmlr.backbone import Backbone, Preprocessing

COCO = (
    "person bicycle car motorcycle airplane bus train truck boat traffic_light fire_hydrant stop_sign parking_meter "
    "bench bird cat dog horse sheep cow elephant bear zebra giraffe backpack umbrella handbag tie suitcase frisbee "
    "skis snowboard sports_ball kite baseball_bat baseball_glove skateboard surfboard tennis_racket bottle wine_glass "
    "cup fork knife spoon bowl banana apple sandwich orange broccoli carrot hot_dog pizza donut cake chair couch "
    "potted_plant bed dining_table toilet tv laptop mouse remote keyboard cell_phone microwave oven toaster sink "
    "refrigerator book clock vase scissors teddy_bear hair_drier toothbrush"
)
CLASS_NAMES = tuple(name.replace("_", " ") for name in COCO.split())


def random_model(name: str) -> torch.nn.Module:
    """The model that open_clip calls `name`, with QuickGELU as in OpenAI's weights and random values in them."""
    torch.manual_seed(0)
    return open_clip.model.CLIP(**{**open_clip.get_model_config(name), "quick_gelu": True})


def random_backbone(
    name: str, image_size: int, dtype: torch.dtype = torch.float32, text_dtype: torch.dtype | None = None
) -> Backbone:
    preprocessing = Preprocessing(image_size, OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)
    return Backbone(random_model(name), name, None, preprocessing, dtype, text_dtype)


def random_labels(images: int, classes: int) -> torch.Tensor:
    """(N, C) int8: 1 present, 0 absent, −1 unknown."""
    return torch.randint(-1, 2, (images, classes), dtype=torch.int8)
