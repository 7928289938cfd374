"""What one request, and all of them together, may cost."""

from dataclasses import dataclass

from promptmlr.errors import UserError

__all__ = ["Limits"]

MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Bounds of the service.

    Attributes:
        max_megabytes: of the body of a request, 2²⁰ bytes each.
        max_pixels: of an image, before it is decoded.
        max_images: of a request.
        concurrency: requests with images that are received, waiting or worked on at once; one more is told to come
            back later.
        timeout: seconds for a request to arrive, and for its answer to be ready.

    Raises:
        UserError: one of them is not positive.
    """

    max_megabytes: float = 32
    max_pixels: int = 50_000_000
    max_images: int = 16
    concurrency: int = 16
    timeout: float = 60

    def __post_init__(self) -> None:
        for name in ("max_megabytes", "max_pixels", "max_images", "concurrency", "timeout"):
            if not getattr(self, name) > 0:
                raise UserError(f"--{name.replace('_', '-')} {getattr(self, name)}: it must be greater than 0")

    @property
    def max_bytes(self) -> int:
        """Of the body of a request."""
        return int(self.max_megabytes * MEGABYTE)
