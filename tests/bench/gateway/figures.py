"""The bench's cells: their table, and the goals that they are held to. Pure."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from tests.bench.gateway.setting import DUPLEX, DUPLEX_PEER, EXT_PROC, HTTP, HTTP_BY_MODEL, PLAIN, SECOND


@dataclass(frozen=True, slots=True)
class Cell:
    """One row under one load. CPU in milliseconds per request, memory in MiB."""

    rate: float
    p50_ms: float
    p99_ms: float
    envoy_ms: float
    epp_ms: float
    bbr_ms: float
    envoy_mib: float
    epp_mib: float
    bbr_mib: float
    errors: int
    scrapes: float = 0.0  # by the EPP, per request: time's doing, not the request's

    @property
    def total_ms(self) -> float:
        """All of it."""
        return self.envoy_ms + self.epp_ms + self.bbr_ms


def median(cells: Sequence[Cell]) -> Cell:
    """Field by field; errors add up."""
    fields = [asdict(cell) for cell in cells]
    middle = {name: statistics.median(each[name] for each in fields) for name in fields[0]}
    return Cell(**{**middle, "errors": sum(cell.errors for cell in cells)})


def table(results: dict[str, dict[str, Cell]]) -> str:
    """One line per column and row."""
    titles = f"{'req/s':>8}{'p50 ms':>9}{'p99 ms':>9}{'Envoy':>9}{'EPP':>8}{'BBR':>8}{'sum ms':>9}"
    lines = [f"{'load':<17}{'way':<17}{titles}{'RSS MiB Envoy/EPP/BBR':>24}{'errors':>8}"]
    for column, rows in results.items():
        for row, cell in rows.items():
            rss = f"{cell.envoy_mib:.0f}/{cell.epp_mib:.0f}/{cell.bbr_mib:.0f}"
            total = cell.envoy_ms + cell.epp_ms + cell.bbr_ms
            lines.append(
                f"{column:<17}{row:<17}{cell.rate:>8.0f}{cell.p50_ms:>9.2f}{cell.p99_ms:>9.2f}{cell.envoy_ms:>9.3f}"
                f"{cell.epp_ms:>8.3f}{cell.bbr_ms:>8.3f}{total:>9.3f}{rss:>24}{cell.errors:>8}"
            )
    return "\n".join(lines)


def scraping(results: dict[str, dict[str, Cell]], scrape_ms: float) -> list[str]:
    """What of the EPP's CPU went into scrapes."""
    lines = []
    for column, rows in results.items():
        shares = (f"{row} {cell.scrapes * scrape_ms:.3f}" for row, cell in rows.items() if row != PLAIN)
        lines.append(f"  scraping in EPP ms, {column}: {', '.join(shares)}")
    return lines


def ratios(results: dict[str, dict[str, Cell]]) -> Iterator[str]:
    """What each way costs: the picker against the same on grpcio and against a peer, all of it against plain Envoy."""
    for column, rows in results.items():
        for row, cell in rows.items():
            compared = [("EPP of grpcio's", cell.epp_ms, rows.get(row + SECOND), "epp_ms")]
            if row == DUPLEX:
                compared.append(("EPP of the peer's", cell.epp_ms, rows.get(DUPLEX_PEER), "epp_ms"))
            if row != PLAIN:
                compared.append(("sum of plain's", cell.total_ms, rows.get(PLAIN), "total_ms"))
                compared.append(("req/s of plain's", cell.rate, rows.get(PLAIN), "rate"))
            found = [f"{name} {value / getattr(other, field):.2f}" for name, value, other, field in compared
                     if other is not None and getattr(other, field)]  # fmt: skip
            if found:
                yield f"  ratios, {column}, {row}: {', '.join(found)}"


Results = Mapping[str, Mapping[str, Cell]]  # by column and row
NOTHING: Mapping[str, Cell] = {}


def goals(results: Results, scrape_ms: float) -> list[str]:
    """The figures that each door is held to, where they were measured."""
    return [*_goals_of_http(results, scrape_ms), *_goals_of_ext_proc(results)]


def _line(name: str, value: float, goal: float, *, is_floor: bool = False) -> str:
    met = value >= goal if is_floor else value <= goal
    return f"{'met   ' if met else 'MISSED'}  {name}: {value:.3g} ({'≥' if is_floor else '≤'} {goal:g})"


def _goals_of_http(results: Results, scrape_ms: float) -> Iterator[str]:
    busy, big, calm = (results.get(name, NOTHING) for name in ("4 KB, c=64", "220 KB, c=16", "4 KB, c=1"))
    if HTTP in busy and PLAIN in busy:
        yield _line("http req/s of plain, 4 KB c=64", busy[HTTP].rate / busy[PLAIN].rate, 0.6, is_floor=True)
    if HTTP in busy:
        yield _line("http EPP ms, 4 KB c=64", busy[HTTP].epp_ms, 0.15)
    if HTTP in big:
        yield _line("http EPP ms, 220 KB c=16", big[HTTP].epp_ms, 0.6)
    if HTTP in calm and PLAIN in calm:
        yield _line("http p50 ms above plain, 4 KB c=1", calm[HTTP].p50_ms - calm[PLAIN].p50_ms, 0.35)
    short, long = (results.get(name, NOTHING).get(HTTP) for name in ("SSE 100 in 10 s", "SSE 2000, 10/s"))
    if short is not None and long is not None:
        without = [cell.epp_ms - cell.scrapes * scrape_ms for cell in (short, long)]
        yield _line("http EPP ms per further token", (without[1] - without[0]) / 1900, 0.001)


def _goals_of_ext_proc(results: Results) -> Iterator[str]:
    busy, big = (results.get(name, NOTHING) for name in ("4 KB, c=64", "220 KB, c=16"))
    for way in (EXT_PROC, DUPLEX):
        if way in busy and way + SECOND in busy:
            yield _line(f"{way} EPP ms of grpcio's, 4 KB c=64", busy[way].epp_ms / busy[way + SECOND].epp_ms, 0.3)
    if DUPLEX in busy and DUPLEX_PEER in busy:
        yield _line("duplex EPP ms of the peer's, 4 KB c=64", busy[DUPLEX].epp_ms / busy[DUPLEX_PEER].epp_ms, 0.65)
    if EXT_PROC in busy:
        yield _line("ext_proc BBR ms, 4 KB c=64", busy[EXT_PROC].bbr_ms, 0.1)
    if EXT_PROC in busy and EXT_PROC + SECOND in busy:
        ratio = busy[EXT_PROC].rate / busy[EXT_PROC + SECOND].rate
        yield _line("ext_proc req/s of grpcio's, 4 KB c=64", ratio, 2.7, is_floor=True)
    if EXT_PROC in busy and HTTP_BY_MODEL in busy:
        ratio = busy[EXT_PROC].total_ms / busy[HTTP_BY_MODEL].total_ms
        yield _line("ext_proc sum ms of http+model's, 4 KB c=64", ratio, 1.2)
    if EXT_PROC in big:
        yield _line("ext_proc EPP ms, 220 KB c=16", big[EXT_PROC].epp_ms, 1.0)
    streams, brief = (results.get(name, NOTHING).get(DUPLEX) for name in ("SSE 1000, 10/s", "SSE 100, 10/s"))
    if streams is not None and brief is not None:
        chunk = (streams.epp_ms - brief.epp_ms) * 1000 / 900
        yield _line("duplex EPP µs per further chunk of an answer", chunk, 40)
