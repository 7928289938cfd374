"""What /metrics says, for Prometheus; a registry of its own, so that two services in one process do not mix."""

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["CONTENT_TYPE", "Metrics", "outcome_of"]

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

_OUTCOMES = {408: "too_slow", 413: "too_large", 421: "refused", 403: "refused", 429: "busy", 503: "unavailable"}
GONE = 499  # of a client that left before its answer; nginx's number


def outcome_of(status: int) -> str:
    """A status in a word."""
    if status == GONE:
        return "gone"
    if status in _OUTCOMES:
        return _OUTCOMES[status]
    return "ok" if status < 400 else "bad_request" if status < 500 else "error"


class Metrics:
    """Counters of one service.

    Args:
        waiting: gives the number of images that wait for the model.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "promptmlr_requests", "Requests, by endpoint and outcome.", ["endpoint", "outcome"], registry=self._registry
        )
        self.seconds = Histogram(
            "promptmlr_request_seconds",
            "From the head of a request to the end of its answer.",
            ["endpoint"],
            registry=self._registry,
            buckets=SECONDS,
        )
        self.images = Counter("promptmlr_images", "Images, by outcome.", ["outcome"], registry=self._registry)
        self.labels = Counter(
            "promptmlr_labels", "Answers in the queue, by outcome.", ["result"], registry=self._registry
        )
        queue = Gauge("promptmlr_queue_images", "Images that wait for the model.", registry=self._registry)
        queue.set_function(waiting)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)
