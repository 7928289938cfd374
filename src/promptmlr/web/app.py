"""What can be asked of the service: the page, predictions, maps, and how it is."""

from collections.abc import Callable, Iterable
from importlib.resources import files
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from promptmlr import __version__
from promptmlr.data.images import UnreadableImage
from promptmlr.web.answers import (
    Health,
    LimitsInfo,
    MapsAnswer,
    PredictAnswer,
    Prediction,
    Problem,
    RunInfo,
    ServiceInfo,
    SideMap,
)
from promptmlr.web.guard import Guard, refusal
from promptmlr.web.label_routes import label_router
from promptmlr.web.metrics import CONTENT_TYPE
from promptmlr.web.served import ClassMap, Look, ServedRun
from promptmlr.web.service import Service
from promptmlr.web.uploads import REQUEST_BODY

__all__ = ["create_app"]

SCRIPTS = ("page", "look", "maps", "label", "grid", "image", "answering", "pictures", "shared")

PAGE = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    **{f"{name}.js": "text/javascript; charset=utf-8" for name in SCRIPTS},
}
"""The files of the page and their types; nothing else is ever read from a disk for it.

Starlette's StaticFiles asks the system for types; where that says that a .js is plain text, browsers refuse it here.
"""

REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in {
        400: "The request is not what it should be, or no image of it can be read.",
        404: "There is no such run or class.",
        408: "The request came too slowly.",
        413: "The request is too large, or has too many images.",
        415: "The body is of another type.",
        429: "Too many requests at once; Retry-After says when to come back.",
        503: "The model is being loaded, or there was no answer in time.",
    }.items()
}

RunName = Annotated[str | None, Query(description="A run of /runs; by default the first.", max_length=300)]


def create_app(service: Service, host: str, hosts: Iterable[str] = ()) -> ASGIApp:
    """The service as an ASGI application.

    Args:
        service: what it serves.
        host: where it listens.
        hosts: more names under which it may be asked, besides localhost and IP addresses.
    """
    app = FastAPI(
        title="promptmlr",
        version=__version__,
        description="Multi-label recognition: probabilities of every class for images.",
        docs_url=None,  # both pages would load their scripts from elsewhere
        redoc_url=None,
    )
    app.add_exception_handler(HTTPException, _as_json)
    app.add_exception_handler(RequestValidationError, _as_json)
    app.add_exception_handler(Exception, _as_json)
    _add_page(app)
    _add_status(app, service)
    _add_recognition(app, service)
    if service.queue is not None:
        app.include_router(label_router(service.queue, service))
    endpoints = {path: path for path in app.openapi()["paths"]} | {"/": "page", "/metrics": "/metrics"}
    return Guard(app, service.limits, host, hosts, service.metrics, endpoints, uploads={"/predict", "/maps"})


def _add_page(app: FastAPI) -> None:
    folder = files("promptmlr.web") / "static"
    for name, kind in PAGE.items():
        path = "/" if name == "index.html" else f"/static/{name}"
        answer = _giving((folder / name).read_bytes(), kind)
        app.add_api_route(path, answer, methods=["GET", "HEAD"], include_in_schema=False)


def _add_status(app: FastAPI, service: Service) -> None:
    @app.get("/health", responses={503: {"model": Health, "description": "Still loading."}})
    async def health(response: Response) -> Health:
        """Whether the service can be used."""
        response.status_code = 200 if service.ready else 503
        return Health(
            status="ready" if service.ready else "loading",
            version=__version__,
            runs=[run.name for run in service.runs],
        )

    @app.get("/runs")
    def runs() -> ServiceInfo:
        """The runs, their classes and thresholds, and what a request may cost."""
        limits = service.limits
        return ServiceInfo(
            version=__version__,
            runs=[_described(run) for run in service.runs],
            limits=LimitsInfo(
                max_bytes=limits.max_bytes,
                max_pixels=limits.max_pixels,
                max_images=limits.max_images,
                timeout=limits.timeout,
            ),
            labelling=None if service.queue is None else list(service.queue.labelled.class_names),
        )

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)


def _add_recognition(app: FastAPI, service: Service) -> None:
    @app.post("/predict", openapi_extra=REQUEST_BODY, responses=REFUSALS)
    async def predict(request: Request, run: RunName = None) -> PredictAnswer:
        """Probabilities and labels for images, in their order.

        Of several images those that cannot be read have an `error`; where none can be read, that is the answer.
        """
        chosen = service.run(run)
        found = await service.ask(request, chosen, ServedRun.look, service.limits.max_images)
        if len(found) == 1 or all(isinstance(one, UnreadableImage) for one in found):
            _require_readable(found[0])
        return PredictAnswer(run=chosen.name, images=[_prediction(chosen, one) for one in found])

    @app.post("/maps", openapi_extra=REQUEST_BODY, responses=REFUSALS)
    async def maps(
        request: Request,
        label_class: Annotated[str, Query(alias="class", description="A class of the run.", max_length=300)],
        run: RunName = None,
    ) -> MapsAnswer:
        """The similarity maps of the presence and the absence of a class over one image."""
        chosen = service.run(run)
        if label_class not in chosen.run.class_names:
            raise HTTPException(404, f"run {chosen.name} has no such class")
        column = chosen.run.class_names.index(label_class)

        def work(one: ServedRun, regions: Any) -> tuple[Look, tuple[ClassMap, ClassMap]]:
            return one.look(regions), one.maps(regions, column)

        (found,) = await service.ask(request, chosen, work, 1)
        _, _, (look, (presence, absence)) = _require_readable(found)
        return MapsAnswer(
            run=chosen.name,
            label_class=label_class,
            probability=float(look.probabilities[column]),
            presence=_side(presence),
            absence=_side(absence),
        )


def _giving(content: bytes, kind: str) -> Callable[[], Response]:
    return lambda: Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})


async def _as_json(_request: Request, error: Exception) -> Response:
    """An error as one line."""
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "query")
        return refusal(400, f"{where}: {first['msg']}")
    if not isinstance(error, HTTPException):  # the guard logs it
        return refusal(500, "an error of the server; its log says more")
    unread = error.status_code in (408, 413, 429)  # the rest of the request is not wanted
    return refusal(
        error.status_code, error.detail, {**(error.headers or {}), **({"Connection": "close"} if unread else {})}
    )


def _require_readable(found: Any) -> Any:
    if isinstance(found, UnreadableImage):
        raise HTTPException(400, str(found))
    return found


def _described(served: ServedRun) -> RunInfo:
    config = served.run.config
    return RunInfo(
        name=served.name,
        method=config.method,
        backbone=served.backbone_name,
        calibrated=served.run.calibration is not None,
        class_names=list(served.run.class_names),
        thresholds=np.round(served.run.thresholds, 6).tolist(),
    )


def _prediction(served: ServedRun, found: Any) -> Prediction:
    if isinstance(found, UnreadableImage):
        name, _, reason = str(found).partition(": ")
        return Prediction(name=name, error=reason)
    upload, (width, height), look = found
    rounded = np.round(look.probabilities.astype(float), 6).tolist()
    probabilities = dict(zip(served.run.class_names, rounded, strict=True))
    return Prediction(name=upload.name, width=width, height=height, labels=look.labels, probabilities=probabilities)


def _side(found: ClassMap) -> SideMap:
    low, high = found.limits
    return SideMap(grid=np.round(found.grid.astype(float), 4).tolist(), scale=found.scale, low=low, high=high)
