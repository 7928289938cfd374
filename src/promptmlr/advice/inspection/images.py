"""Images that cannot be read, and images that are there twice: byte for byte, pixel for pixel, or nearly.

Nearly: difference hashes of both directions (128 bits; Krawetz, "Kind of Like That", 2013) that differ in at most
`_BITS` bits propose pairs, and thumbnails that correlate above `_ALIKE` confirm them.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from promptmlr.data.images import ImageFile, ImageRef, UnreadableImage, open_image
from promptmlr.data.precomputed import PrecomputedImage
from promptmlr.labels import ABSENT, PRESENT, Labels
from promptmlr.reporting import Progress

__all__ = ["Duplicates", "ImageCheck", "check_images"]

Kind = Literal["same bytes", "same pixels", "look alike"]

_WEAKER: tuple[Kind, ...] = ("same bytes", "same pixels", "look alike")
_SIDE = 16  # of thumbnails
_LEAST = 64  # a side of what a JPEG is read at
# Measured on 173 photographs of COCO: unrelated ones differ in at least 26 bits and correlate at most at 0.89.
_BITS = 10
_ALIKE = 0.97
_CHUNKS = 8  # of the hash
# Hashes that differ in at most 4 bits share 4 of 8 chunks, so two of the same of three groups of chunks; of those that
# differ in more, most are found.
_KEYS = ((0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5), (6, 7))
_FLAT = 1.0  # grey levels of spread below which thumbnails say nothing
_BUCKET = 200  # images with a part of the hash in common, above which each is compared with a few alone
_PIXELS = 2_000  # pairs that are compared pixel for pixel


@dataclass(frozen=True)
class Duplicates:
    """Images that are one.

    Attributes:
        kind: the weakest link between them.
        images: their indices, ascending.
        contradicting: columns of the classes that one says is present and another absent.
        across: whether they lie in different splits.
    """

    kind: Kind
    images: tuple[int, ...]
    contradicting: tuple[int, ...]
    across: bool


@dataclass(frozen=True)
class ImageCheck:
    """What was found.

    Attributes:
        checked: how many images there are.
        unreadable: index → what is wrong.
        duplicates: groups, those across splits and with contradictions first.
    """

    checked: int
    unreadable: dict[int, str]
    duplicates: tuple[Duplicates, ...]


def check_images(
    images: Sequence[ImageRef],
    labels: Labels,
    splits: Sequence[str | None],
    *,
    workers: int = 2,
    progress: Progress | None = None,
) -> ImageCheck:
    """Read every image once, small where that is faster, and compare them all.

    Args:
        images: N of them.
        labels: (N, C) int8.
        splits: the split of each.
        workers: threads that decode.
        progress: called with (done, N).
    """
    unreadable: dict[int, str] = {}
    hashes = np.zeros((len(images), _CHUNKS), dtype=np.uint16)
    small = np.zeros((len(images), _SIDE, _SIDE), dtype=np.uint8)
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        for index, found in enumerate(_in_order(pool, images)):
            if isinstance(found, str):
                unreadable[index] = found
            else:
                hashes[index], small[index] = found
            if progress is not None:
                progress(index + 1, len(images))
    readable = np.array([i for i in range(len(images)) if i not in unreadable], dtype=np.intp)
    links: dict[tuple[int, int], Kind] = dict.fromkeys(_same_bytes(images, readable), "same bytes")
    links |= dict(_alike(images, hashes, small, readable, set(links)))
    groups = [_group(members, kind, labels, splits) for members, kind in _joined(links)]
    groups.sort(key=lambda one: (not one.across, not one.contradicting, one.images))
    return ImageCheck(len(images), unreadable, tuple(groups))


def _in_order(
    pool: ThreadPoolExecutor, images: Sequence[ImageRef]
) -> Iterator[str | tuple[NDArray[np.uint16], NDArray[np.uint8]]]:
    for start in range(0, len(images), 256):  # a million futures at once would be a gigabyte
        yield from pool.map(_look, images[start : start + 256])


def _look(image: ImageRef) -> str | tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Hash (_CHUNKS,) and thumbnail of an image, or why it cannot be read; flat ones where features are given."""
    if isinstance(image, PrecomputedImage):
        return np.zeros(_CHUNKS, dtype=np.uint16), np.zeros((_SIDE, _SIDE), dtype=np.uint8)
    try:
        picture = open_image(image.path, _LEAST) if isinstance(image, ImageFile) else image.open()
    except UnreadableImage as error:
        return str(error)
    grey = picture.convert("L")
    box = Image.Resampling.BOX
    across = np.asarray(grey.resize((9, 8), box), dtype=np.int16)
    down = np.asarray(grey.resize((8, 9), box), dtype=np.int16)
    bits = np.concatenate([(np.diff(across, axis=1) > 0).ravel(), (np.diff(down, axis=0) > 0).ravel()])
    return np.packbits(bits).view(np.uint16), np.asarray(grey.resize((_SIDE, _SIDE), box))


def _same_bytes(images: Sequence[ImageRef], readable: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """Pairs with the same content; only files of the same size are read for it."""
    by_size: dict[int | None, list[int]] = defaultdict(list)
    for index in readable.tolist():
        image = images[index]
        by_size[image.path.stat().st_size if isinstance(image, ImageFile) else None].append(index)
    for same in by_size.values():
        by_content: dict[str, list[int]] = defaultdict(list)
        for index in same if len(same) > 1 else ():
            by_content[images[index].fingerprint(content=True)].append(index)
        for copies in by_content.values():
            yield from ((copies[0], other) for other in copies[1:])


def _alike(
    images: Sequence[ImageRef],
    hashes: NDArray[np.uint16],
    small: NDArray[np.uint8],
    readable: NDArray[np.intp],
    known: set[tuple[int, int]],
) -> Iterator[tuple[tuple[int, int], Kind]]:
    copies = {second for _, second in known}
    looked_at: set[tuple[int, int]] = set(known)
    own = np.array([i for i in readable.tolist() if i not in copies and small[i].std() > _FLAT], dtype=np.intp)
    compared = 0
    for pair in _proposed(hashes, own):
        if pair in looked_at:
            continue
        looked_at.add(pair)
        first, second = pair
        differing = np.unpackbits((hashes[first] ^ hashes[second]).view(np.uint8)).sum()
        if differing > _BITS or np.corrcoef(small[first].ravel(), small[second].ravel())[0, 1] < _ALIKE:
            continue
        same = compared < _PIXELS and _same_pixels(images[first], images[second])
        compared += 1
        yield pair, "same pixels" if same else "look alike"


def _proposed(hashes: NDArray[np.uint16], own: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """Pairs of images that share two chunks of their hash."""
    for one, other in _KEYS:
        keys = hashes[own, one].astype(np.uint32) << 16 | hashes[own, other]
        order = np.argsort(keys, kind="stable")
        edges = np.flatnonzero(np.diff(keys[order])) + 1
        for members in np.split(own[order], edges):
            if len(members) < 2:
                continue
            reach = len(members) if len(members) <= _BUCKET else 4
            # in a crowd, neighbours by the whole hash: what is nearly the same mostly lies side by side
            sorted_members = members[np.lexsort(hashes[members].T)] if reach == 4 else members
            for step in range(1, min(reach, len(members))):
                for first, second in zip(sorted_members[:-step], sorted_members[step:], strict=True):
                    yield (int(min(first, second)), int(max(first, second)))


def _same_pixels(first: ImageRef, second: ImageRef) -> bool:
    one, other = first.open(), second.open()
    return one.size == other.size and one.tobytes() == other.tobytes()


def _joined(links: dict[tuple[int, int], Kind]) -> list[tuple[tuple[int, ...], Kind]]:
    """Groups of images that links connect, and the weakest link of each."""
    parent: dict[int, int] = {}

    def root(index: int) -> int:
        while parent.setdefault(index, index) != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for first, second in links:
        parent[root(second)] = root(first)
    members: dict[int, list[int]] = defaultdict(list)
    for index in sorted(parent):
        members[root(index)].append(index)
    kinds: dict[int, set[Kind]] = defaultdict(set)
    for (first, _), kind in links.items():
        kinds[root(first)].add(kind)
    return [(tuple(group), max(kinds[own], key=_WEAKER.index)) for own, group in members.items()]


def _group(members: tuple[int, ...], kind: Kind, labels: Labels, splits: Sequence[str | None]) -> Duplicates:
    own = labels[list(members)]
    both = (own == PRESENT).any(axis=0) & (own == ABSENT).any(axis=0)
    across = len({splits[index] for index in members}) > 1
    return Duplicates(kind, members, tuple(np.flatnonzero(both).tolist()), across)
