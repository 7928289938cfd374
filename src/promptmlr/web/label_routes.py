"""What can be asked of the labelling queue."""

import asyncio
import io
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import Response
from PIL import Image
from starlette.exceptions import HTTPException

from promptmlr.data.images import ImageFile, UnreadableImage, image_from_bytes
from promptmlr.errors import EnvironmentFault, UserError
from promptmlr.web.answers import AnswerGiven, AnswerTaken, Problem, QuestionInfo, QueueInfo
from promptmlr.web.labelling import LabelQueue, Outcome

if TYPE_CHECKING:
    from promptmlr.web.service import Service

__all__ = ["label_router"]

SHOWN = 1280  # pixels, the longer side of a picture on the page

REFUSALS = {
    404: {"model": Problem, "description": "There is no such suggestion."},
    409: {"model": Problem, "description": "The question is of a service that has ended since."},
    415: {"model": Problem, "description": "The body is not JSON."},
    429: {"model": Problem, "description": "Too many pictures are asked for at once."},
    507: {"model": Problem, "description": "Neither file nor journal can be written: the answer was not taken."},
}


def label_router(queue: LabelQueue, service: "Service") -> APIRouter:
    """Routes under /label."""
    router = APIRouter(prefix="/label")

    def taken(outcome: Outcome) -> AnswerTaken:
        service.metrics.labels.labels(outcome.result).inc()
        return AnswerTaken(result=outcome.result, message=outcome.message, queue=_described(queue))

    def not_taken(error: Exception) -> HTTPException:
        queue.reporter.note(str(error))
        return HTTPException(507, "the label file and its journal cannot be written: the answer was not taken")

    def number_of(question: str) -> int:
        token, _, number = question.partition("-")
        if not number.isascii() or not number.isdecimal() or len(number) > 9:
            raise HTTPException(404, "there is no such suggestion")
        if token != queue.token:
            raise HTTPException(409, "nothing was written: the service was started again, and asks this now")
        return int(number)

    @router.get("")
    def standing() -> QueueInfo:
        """The question that comes next, and how many there are."""
        return _described(queue)

    @router.post("/answers", responses=REFUSALS)  # type: ignore[arg-type]
    def answer(request: Request, given: AnswerGiven) -> AnswerTaken:
        """Answer a question: one cell of the label file is written, if it is still blank."""
        _require_json(request)
        try:
            return taken(queue.answer(number_of(given.question), given.answer))
        except UserError as error:
            raise HTTPException(404, str(error)) from error
        except EnvironmentFault as error:
            raise not_taken(error) from error

    @router.post("/undo", responses=REFUSALS)  # type: ignore[arg-type]
    def undo(request: Request) -> AnswerTaken:
        """Take the last answer back."""
        _require_json(request)
        try:
            return taken(queue.undo())
        except EnvironmentFault as error:
            raise not_taken(error) from error

    @router.post("/write", responses=REFUSALS)  # type: ignore[arg-type]
    def write(request: Request) -> AnswerTaken:
        """Write answers that the label file has not got yet, or has no longer."""
        _require_json(request)
        try:
            return taken(queue.write_again())
        except (UserError, EnvironmentFault) as error:
            raise not_taken(error) from error

    @router.get("/pictures/{question}", response_class=Response, responses=REFUSALS)  # type: ignore[arg-type]
    async def picture(question: str) -> Response:
        """The image of a suggestion, made smaller, as JPEG."""
        image = queue.image(number_of(question))
        if image is None:
            raise HTTPException(404, "there is no such suggestion")
        async with service.place():
            try:
                content = await asyncio.wrap_future(service.worker.decode(partial(_smaller, image)))
            except UnreadableImage as error:
                reason = str(error).removeprefix(f"{image.name}: ")
                raise HTTPException(404, f"{PurePath(image.name).name}: {reason}") from error
        return Response(content, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"})

    return router


def _smaller(image: ImageFile) -> bytes:
    """The image as JPEG, for a page."""
    opened = image_from_bytes(image.content(), image.name, SHOWN)
    opened.thumbnail((SHOWN, SHOWN), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    opened.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _described(queue: LabelQueue) -> QueueInfo:
    standing = queue.standing()
    question = standing.question
    return QueueInfo(
        state=standing.state,
        problem=standing.problem,
        question=None
        if question is None
        else QuestionInfo(
            id=f"{queue.token}-{question.number}",
            image=PurePath(question.suggestion.image_id).name,
            row=question.row,
            label_class=question.suggestion.class_name,
            probability=question.suggestion.probability,
        ),
        following=None if standing.following is None else f"{queue.token}-{standing.following}",
        total=standing.total,
        answered=standing.answered,
        skipped=standing.skipped,
        filled=standing.filled,
        waiting=standing.waiting,
        lost=standing.lost,
        undoable=standing.undoable,
    )


def _require_json(request: Request) -> None:
    """Only JSON writes: a form of another page could not send it."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send it as application/json")
