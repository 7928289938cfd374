"""The drawn world: scenes, their labels and their captions (numpy and Pillow only)."""

from promptmlr.scenes.camera import photograph
from promptmlr.scenes.captions import caption
from promptmlr.scenes.drawing import Scene, SceneObject, draw_scene
from promptmlr.scenes.world import CLASS_NAMES, IMAGE_SIZE, WORLDS, World

__all__ = [
    "CLASS_NAMES",
    "IMAGE_SIZE",
    "WORLDS",
    "Scene",
    "SceneObject",
    "World",
    "caption",
    "draw_scene",
    "photograph",
]
