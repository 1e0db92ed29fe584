"""Metrics of the HTTP layer and the process, under the names that vLLM's server exposes beside the engine's. Pure."""

from gateway.service.exposition import HistogramLines, header, labels
from model_sim.engine.metrics import Histogram

DURATION_BUCKETS = (0.1, 0.5, 1.0)
DURATION = "http_request_duration_seconds"


class Traffic:
    """Counts by route. Routes come from the route table, never from what clients send, so series are bounded."""

    def __init__(self, started: float) -> None:
        self._started = started
        self._requests: dict[tuple[str, str, str], int] = {}
        self._durations: dict[tuple[str, str], tuple[Histogram, HistogramLines]] = {}
        self._rendered: str | None = None

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        key = (route, method, f"{status // 100}xx")
        self._requests[key] = self._requests.get(key, 0) + 1
        duration = self._durations.get((route, method))
        if duration is None:
            lines = HistogramLines(DURATION, {"handler": route, "method": method}, DURATION_BUCKETS)
            duration = self._durations[(route, method)] = (Histogram(DURATION_BUCKETS), lines)
        duration[0].observe(seconds)
        self._rendered = None

    def render(self, cpu_seconds: float) -> str:
        """The text; what depends on requests alone is kept until the next one."""
        if self._rendered is None:
            self._rendered = self._http()
        return (
            header("process_cpu_seconds_total", "CPU time of this process.", "counter")
            + f"process_cpu_seconds_total {cpu_seconds!r}\n"
            + header("process_start_time_seconds", "When the server started.", "gauge")
            + f"process_start_time_seconds {self._started!r}\n"
            + self._rendered
        )

    def _http(self) -> str:
        lines = [header("http_requests_total", "Requests by route.", "counter")]
        for (route, method, status), count in sorted(self._requests.items()):
            pairs = labels({"handler": route, "method": method, "status": status})
            lines.append(f"http_requests_total{pairs} {count}.0\n")
        lines.append(header(DURATION, "Time to answer, by route.", "histogram"))
        lines += [
            text.render(histogram.cumulative(), histogram.total)
            for _, (histogram, text) in sorted(self._durations.items())
        ]
        return "".join(lines)
