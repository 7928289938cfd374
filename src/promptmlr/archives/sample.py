"""One image of a shard, with what the shard says of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from promptmlr.data.images import UnreadableImage, image_from_bytes
from promptmlr.errors import UserError
from promptmlr.remote import MissingSource, read_small

__all__ = ["Sample", "ShardFault"]


class ShardFault(UserError):
    """A shard that cannot be processed as it is; others can."""


@dataclass(frozen=True, slots=True)
class Sample:
    """An image that is read when it is needed.

    Attributes:
        id: its key; unique in the shard.
        image: the bytes of the image file; or a text: where that lies; None: there is none.
        record: what a `.json` or the columns of a table say.
        cls: a `.cls`, and
        txt: a `.txt`, as they are.
    """

    id: str
    image: bytes | str | None
    record: Mapping[str, Any] = field(default_factory=dict)
    cls: str | None = None
    txt: str | None = None

    @property
    def name(self) -> str:
        """The key."""
        return self.id

    def open(self) -> Image.Image:
        """The image as `image_from_bytes` reads it; raises `UnreadableImage`."""
        if self.image is None:
            raise UnreadableImage(f"{self.id}: no image in it")
        if isinstance(self.image, bytes):
            return image_from_bytes(self.image, self.id)
        try:
            return image_from_bytes(read_small(self.image), self.id)
        except MissingSource as error:
            raise UnreadableImage(f"{self.id}: no such file") from error

    def fingerprint(self, content: bool = False) -> str:
        """Of no use here: shards have stamps, and images none of their own."""
        raise NotImplementedError
