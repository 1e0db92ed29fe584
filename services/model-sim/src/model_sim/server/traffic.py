"""Metrics of the HTTP layer and the process, under the names that vLLM's server exposes beside the engine's."""

import resource

from model_sim.engine.metrics import Histogram
from model_sim.exposition import header, labels

DURATION_BUCKETS = (0.1, 0.5, 1.0)


class Traffic:
    """Counts by route. Routes come from the route table, never from what clients send, so series are bounded."""

    def __init__(self, started: float) -> None:
        self._started = started
        self._requests: dict[tuple[str, str, str], int] = {}
        self._durations: dict[tuple[str, str], Histogram] = {}
        self._version = 0
        self._rendered = -1
        self._text = ""

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        key = (route, method, f"{status // 100}xx")
        self._requests[key] = self._requests.get(key, 0) + 1
        duration = self._durations.get((route, method))
        if duration is None:
            duration = self._durations[(route, method)] = Histogram(DURATION_BUCKETS)
        duration.observe(seconds)
        self._version += 1

    def render(self) -> str:
        return self._process() + self._http()

    def _process(self) -> str:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return (
            header("process_cpu_seconds_total", "CPU time of this process.", "counter")
            + f"process_cpu_seconds_total {usage.ru_utime + usage.ru_stime!r}\n"
            + header("process_start_time_seconds", "When the server started.", "gauge")
            + f"process_start_time_seconds {self._started!r}\n"
        )

    def _http(self) -> str:
        if self._rendered == self._version:
            return self._text
        lines = [header("http_requests_total", "Requests by route.", "counter")]
        for (route, method, status), count in sorted(self._requests.items()):
            lines.append(
                f"http_requests_total{labels({'handler': route, 'method': method, 'status': status})} {count}.0\n"
            )
        lines.append(header("http_request_duration_seconds", "Time to answer, by route.", "histogram"))
        name = "http_request_duration_seconds"
        for (route, method), histogram in sorted(self._durations.items()):
            base = {"handler": route, "method": method}
            bounds = [*(repr(bound) for bound in histogram.bounds), "+Inf"]
            for bound, count in zip(bounds, histogram.cumulative(), strict=True):
                lines.append(f"{name}_bucket{labels({**base, 'le': bound})} {count}.0\n")
            lines.append(f"{name}_count{labels(base)} {histogram.count}.0\n")
            lines.append(f"{name}_sum{labels(base)} {histogram.total!r}\n")
        self._rendered, self._text = self._version, "".join(lines)
        return self._text
