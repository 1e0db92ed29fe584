"""The HTTP shell around the engine: aiohttp, real time, faults, metrics."""
