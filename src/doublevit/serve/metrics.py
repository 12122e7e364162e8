"""Counters that /metrics shows, in Prometheus' text format."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
BATCHES = (1, 2, 4, 8, 16, 32, 64)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counts requests to the API, images and batches, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "doublevit_requests", "Requests to the API, by status.", ["status"], registry=self.registry
        )
        self.seconds = Histogram(
            "doublevit_request_seconds", "From a request to its answer.", buckets=SECONDS, registry=self.registry
        )
        self.under_way = Gauge(
            "doublevit_requests_under_way", "Requests to the API that are not answered yet.", registry=self.registry
        )
        self.images = Counter("doublevit_images", "Images predicted, by model.", ["model"], registry=self.registry)
        self.batches = Histogram(
            "doublevit_batch_images", "Images predicted together.", buckets=BATCHES, registry=self.registry
        )

    def counter(self, model: str) -> Callable[[int], None]:
        """Return what counts the batches of a model, given the number of images in each."""
        images = self.images.labels(model)

        def count(number: int) -> None:
            images.inc(number)
            self.batches.observe(number)

        return count

    def text(self) -> bytes:
        """Return all counters in Prometheus' text format."""
        return generate_latest(self.registry)
