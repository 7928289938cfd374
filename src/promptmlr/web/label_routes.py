"""What can be asked of the labelling queue."""

import asyncio
import io
from collections.abc import Callable
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from PIL import Image
from starlette.exceptions import HTTPException

from promptmlr.data.images import ImageFile, ImageRef, UnreadableImage, image_from_bytes
from promptmlr.errors import EnvironmentFault, UserError
from promptmlr.web.answers import Problem
from promptmlr.web.label_answers import Asking, CellInfo, GivenAnswers, PageInfo, Person, QueueInfo, Taken
from promptmlr.web.labelling import LabelQueue, Outcome, Standing
from promptmlr.web.pages import Cell

if TYPE_CHECKING:
    from promptmlr.web.service import Service

__all__ = ["label_router"]

SIDES = {"small": 480, "large": 1280}  # pixels, the longer side of a picture on the page

REFUSALS = {
    404: {"model": Problem, "description": "There is no such page, picture or class."},
    409: {"model": Problem, "description": "The page or the picture is of a service that has ended since."},
    415: {"model": Problem, "description": "The body is not JSON."},
    429: {"model": Problem, "description": "Too many pictures are asked for at once."},
    507: {"model": Problem, "description": "Neither file nor journal can be written: the answer was not taken."},
}


def label_router(queue: LabelQueue, service: "Service") -> APIRouter:
    """Routes under /label."""
    router = APIRouter(prefix="/label")

    def taken(request: Request, act: Callable[[], tuple[Outcome, Standing]]) -> Taken:
        _require_json(request)
        try:
            outcome, standing = act()
        except UserError as error:
            raise HTTPException(404, str(error)) from error
        except EnvironmentFault as error:
            queue.reporter.note(str(error))
            raise HTTPException(507, "the answers cannot be written anywhere: they were not taken") from error
        for result, count in outcome.counts.items():
            service.metrics.labels.labels(result).inc(count)
        return Taken(result=outcome.result, message=outcome.message, queue=_described(queue, standing))

    def image_of(picture: str) -> ImageRef:
        row = _number(queue, picture)
        image = queue.image(row)
        if image is None:
            raise HTTPException(404, "there is no such picture")
        return image

    @router.post("", responses=REFUSALS)  # type: ignore[arg-type]
    def ask(request: Request, asking: Asking) -> QueueInfo:
        """The page to answer and the next one, which are handed out for some minutes; asking again holds them."""
        _require_json(request)
        try:
            return _described(queue, queue.visit(asking.who, asking.mode, asking.label_class))
        except UserError as error:
            raise HTTPException(404, str(error)) from error

    @router.post("/answers", responses=REFUSALS)  # type: ignore[arg-type]
    def answer(request: Request, given: GivenAnswers) -> Taken:
        """Answer a page: its cells are written where they are still unknown."""
        _number(queue, given.page)
        return taken(request, lambda: queue.answer(given.who, given.page, given.answers))

    @router.post("/undo", responses=REFUSALS)  # type: ignore[arg-type]
    def undo(request: Request, person: Person) -> Taken:
        """Take the last page of somebody back."""
        return taken(request, lambda: queue.undo(person.who))

    @router.post("/write", responses=REFUSALS)  # type: ignore[arg-type]
    def write(request: Request, person: Person) -> Taken:
        """Write answers that the label file has not got yet, or has no longer."""
        return taken(request, lambda: queue.write_again(person.who))

    @router.get("/pictures/{picture}", response_class=Response, responses=REFUSALS)  # type: ignore[arg-type]
    async def picture(picture: str, size: Annotated[Literal["small", "large"], Query()] = "large") -> Response:
        """An image, made smaller, as JPEG."""
        image = image_of(picture)
        async with service.place():
            try:
                content = await asyncio.wrap_future(service.worker.decode(partial(_smaller, image, SIDES[size])))
            except UnreadableImage as error:
                raise HTTPException(404, _reason(image, error)) from error
        return Response(content, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"})

    return router


def _number(queue: LabelQueue, given: str) -> int:
    """The number in the id of a page or a picture, which must be of this queue."""
    token, _, number = given.partition("-")
    if not number.isascii() or not number.isdecimal() or len(number) > 9:
        raise HTTPException(404, "there is no such page or picture")
    if token != queue.token:
        raise HTTPException(409, "nothing was written: the service was started again, and asks this now")
    return int(number)


def _smaller(image: ImageRef, side: int) -> bytes:
    """The image as JPEG, for a page."""
    opened = image_from_bytes(image.content(), image.name, side) if isinstance(image, ImageFile) else image.open()
    opened.thumbnail((side, side), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    opened.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _reason(image: ImageRef, error: UnreadableImage) -> str:
    """Why an image cannot be read, without its folder."""
    return f"{PurePath(image.name).name}: {str(error).removeprefix(f'{image.name}: ')}"


def _described(queue: LabelQueue, standing: Standing) -> QueueInfo:
    pages = [
        PageInfo(id=page.id, mode=page.mode, cells=[_cell(queue, cell) for cell in page.cells])
        for page in standing.pages
    ]
    return QueueInfo(**{**vars(standing), "pages": pages})


def _cell(queue: LabelQueue, cell: Cell) -> CellInfo:
    return CellInfo(
        image=queue.file_name(cell.row),
        picture=f"{queue.token}-{cell.row}",
        row=queue.row(cell.row),
        label_class=queue.labelled.class_names[cell.column],
        probability=cell.probability,
        random=cell.random,
        proposed=cell.proposed,
    )


def _require_json(request: Request) -> None:
    """Only JSON writes: a form of another page could not send it."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send it as application/json")
