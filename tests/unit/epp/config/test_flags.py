"""The reference's flags for scrapes: what they set, and where the configuration's own word holds."""

import pytest

from epp.config import SchedulerConfig, default_config, parse_config
from epp.config.engines import MetricSelector
from epp.config.flags import ScrapeFlags

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
FLAGS = ScrapeFlags(
    {"waiting": "nv_requests{kind=waiting}", "lora": ""},
    {"scheme": "https", "path": "/m", "port": 8001, "insecure_skip_verify": False},
)


def engine(config: SchedulerConfig, name: str = "vllm") -> tuple[MetricSelector | None, ...]:
    found = config.extractor.mappings()[name]
    return found.waiting, found.running, found.lora


def test_metric_names_become_the_default_engines_and_an_empty_one_is_not_reported() -> None:
    found = engine(FLAGS.applied(default_config()))
    running = MetricSelector("vllm:num_requests_running")
    assert found == (MetricSelector("nv_requests", {"kind": "waiting"}), running, None)


def test_scrapes_go_where_the_flags_say() -> None:
    source = FLAGS.applied(default_config()).metrics
    assert (source.scheme, source.path, source.port, source.insecure_skip_verify) == ("https", "/m", 8001, False)


def test_what_the_configuration_says_itself_holds() -> None:
    text = f"""{HEAD}plugins:
- {{type: metrics-data-source, parameters: {{path: /own}}}}
- type: core-metrics-extractor
  parameters: {{engineConfigs: [{{name: vllm, queuedRequestsSpec: own_waiting}}]}}
"""
    config = FLAGS.applied(parse_config(text, "x"))
    assert (config.metrics.path, config.metrics.port) == ("/own", 0)
    assert engine(config) == (MetricSelector("own_waiting"), None, None)


def test_the_flags_are_of_the_default_engine_whichever_it_is() -> None:
    text = f"{HEAD}plugins: [{{type: core-metrics-extractor, parameters: {{defaultEngine: sglang}}}}]\n"
    config = FLAGS.applied(parse_config(text, "x"))
    assert engine(config, "sglang")[0] == MetricSelector("nv_requests", {"kind": "waiting"})
    assert engine(config)[0] == MetricSelector("vllm:num_requests_waiting")


@pytest.mark.parametrize("name", ["a b", "{x=1}", "a{x}"])
def test_a_name_that_is_none_is_named_with_its_flag(name: str) -> None:
    assert "--cache-info-metric" in (ScrapeFlags({"cache_info": name}).problem() or "")
