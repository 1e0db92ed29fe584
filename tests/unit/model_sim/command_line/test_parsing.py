"""Command lines: vLLM's, the older bare one, the fleet, and what is wrong with them."""

from pathlib import Path

import pytest

from model_sim.command_line import parsing
from model_sim.command_line.parsing import Fleet
from model_sim.command_line.values import UsageError
from model_sim.replica.settings import LoraModule, Settings


def parse(*arguments: str, **environment: str) -> Settings:
    parsed = parsing.parse(arguments, environment)
    assert isinstance(parsed, Settings)
    return parsed


def test_a_real_vllm_command_line_is_accepted():
    settings = parse(
        *[
            "serve",
            "Qwen/Qwen3-32B",
            "--tensor-parallel-size",
            "2",
            "--gpu-memory-utilization=0.9",
            "--max-model-len",
            "32k",
            "--enforce-eager",
            "--max_num_seqs",
            "128",
            "--enable-auto-tool-choice",
            "--tool-call-parser",
            "hermes",
            "--dtype",
            "bfloat16",
            "--no-enable-prefix-caching",
            "--swap-space",
            "4",
            "--disable-log-requests",
            "-tp",
            "2",
            "--compilation-config.level",
            "3",
            "--served-model-name",
            "qwen",
            "q2",
        ]
    )

    assert settings.model == "Qwen/Qwen3-32B"
    assert settings.served_model_names == ("qwen", "q2")
    assert settings.displayed_model == "qwen"
    assert settings.max_model_len == 32000
    assert settings.engine.max_num_seqs == 128
    assert not settings.engine.enable_prefix_caching


@pytest.mark.parametrize("form", [("--max-num-seq", "7"), ("--max_num_seq=7",), ("--max-num-se", "7")])
def test_a_prefix_that_no_other_option_has_is_enough(form):
    assert parse("serve", "m", *form).engine.max_num_seqs == 7


def test_a_prefix_of_an_option_without_effect_is_enough():
    assert parse("serve", "m", "--disable-log-req", "--gpu-memory-util", "0.9").model == "m"


def test_a_prefix_of_several_options_is_refused_and_they_are_named():
    with pytest.raises(UsageError, match=r"ambiguous option: --max-num-s.* could match .*--max-num-seqs"):
        parse("serve", "m", "--max-num-s", "7")


def test_a_whole_option_that_begins_another_one_is_itself():
    assert parse("serve", "m", "--num-gpu-blocks", "99").engine.num_gpu_blocks == 99


def test_an_option_without_effect_takes_as_many_words_as_in_vllm():
    settings = parse(
        *("serve", "--dtype", "auto", "-ep", "--specialize-active-lora", "--hf-token", "--moe-backend", "triton"),
        *(
            "--cudagraph-capture-sizes",
            "1",
            "2",
            "4",
            "-O3",
            "-cc.mode=3",
            "-dpl",
            "1",
            "--tensor-parallel-size",
            "2",
            "my/model",
        ),
        *("--max-num-batched-tokens", "8k", "--max-model-len", "auto"),
    )

    assert settings.model == "my/model"
    assert settings.engine.max_num_batched_tokens == 8000
    assert settings.max_model_len == 131072


@pytest.mark.parametrize(("text", "expected"), [("4096", 4096), ("25.6k", 25600), ("32K", 32768), ("1m", 10**6)])
def test_numbers_may_have_vllms_suffixes(text, expected):
    assert parse("serve", "m", "--max-model-len", text).max_model_len == expected


def test_the_bare_form_of_the_older_manifests_is_accepted():
    settings = parse(
        *(
            "--model",
            "Qwen/Qwen3-32B",
            "--port",
            "8001",
            "--max-loras",
            "2",
            "--lora-modules",
            '{"name": "food-review-1"}',
        )
    )

    assert (settings.model, settings.port, settings.engine.max_loras) == ("Qwen/Qwen3-32B", 8001, 2)
    assert settings.lora_modules == (LoraModule("food-review-1"),)
    assert settings.uses_lora


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sql=/adapters/sql", [LoraModule("sql", "/adapters/sql")]),
        ('{"name": "a", "path": "/p", "base_model_name": "b"}', [LoraModule("a", "/p", "b")]),
        ('{"name": "a", "path": "/p", "is_3d_lora_weight": true}', [LoraModule("a", "/p")]),
        (
            '{"food-review": "/adapters/food-review", "code-assist": "/adapters/code-assist"}',
            [LoraModule("food-review", "/adapters/food-review"), LoraModule("code-assist", "/adapters/code-assist")],
        ),
        ('[{"name": "a"}, {"name": "b"}]', [LoraModule("a"), LoraModule("b")]),
    ],
)
def test_lora_modules_come_in_every_form_of_the_manifests(text, expected):
    assert parse("serve", "m", "--lora-modules", text).lora_modules == tuple(expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serve", "m", "--max-num-sequs", "4"], "unknown option --max-num-sequs; did you mean --max-num-seqs?"),
        (["serve", "m", "--zzz"], "unknown option --zzz"),
        (["serve"], "argument MODEL: a model name is required"),
        (["serve", "m", "extra"], "unexpected argument 'extra'"),
        (["serve", "m", "--port", "x"], "argument --port: invalid int value: 'x'"),
        (["serve", "m", "--port", "70000"], "argument --port: expected 0 to 65535, got 70000"),
        (["serve", "m", "--max-num-seqs", "0"], "argument --max-num-seqs: expected at least 1, got 0"),
        (["serve", "m", "--max-num-batched-tokens", "4"], "argument --max-num-batched-tokens"),
        (["serve", "m", "--max-loras", "3", "--max-cpu-loras", "1"], "argument --max-cpu-loras"),
        (["serve", "m", "--lora-modules", "nonsense"], "argument --lora-modules"),
        (["serve", "m", "--lora-modules", "{bad"], "argument --lora-modules"),
        (["serve", "m", "--lora-modules", '{"name": "a", "rank": "8"}'], "argument --lora-modules"),
        (["serve", "m", "--profile", "h900"], "argument --profile: unknown profile 'h900'"),
        (["serve", "m", "--max-model-len", "many"], "argument --max-model-len: expected a number, got 'many'"),
        (["serve", "m", "--max-model-len", "0"], "argument --max-model-len: expected at least 1, got '0'"),
        (["serve", "m", "--max-model-len", "1.5K"], "argument --max-model-len: expected a number, got '1.5K'"),
        (["serve", "m", "--dtype", "auto", "extra"], "unexpected argument 'extra'"),
        (["serve", "m", "--faults", '{"eror": {}}'], "argument --faults: eror: unknown fault"),
        (["serve", "m", "--config", "/absent.yaml"], "argument --config: /absent.yaml"),
        (["serve", "m", "--kv-events-config", "no"], "argument --kv-events-config"),
        (["serve", "m", "--data-parallel-size", "0"], "argument --data-parallel-size"),
        (["fleet", "m", "--size", "0"], "argument --size"),
    ],
)
def test_a_bad_command_line_names_the_option(arguments, message):
    with pytest.raises(UsageError) as refused:
        parsing.parse(arguments, {})

    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_configuration_file_holds_the_same_options_and_the_command_line_wins(tmp_path: Path):
    path = tmp_path / "config.yaml"
    path.write_text(
        "model: from-file\nport: 9000\nmax-num-seqs: 32\nlora-modules: [{name: a, path: /a}]\n"
        "enable-prefix-caching: false\ntensor_parallel_size: 2\n"
    )

    settings = parse("serve", "--config", str(path), "--port", "9001")
    named = parse("serve", "mine", f"--config={path}")

    assert (settings.model, settings.port, settings.engine.max_num_seqs) == ("from-file", 9001, 32)
    assert settings.lora_modules == (LoraModule("a", "/a"),)
    assert not settings.engine.enable_prefix_caching
    assert named.model == "mine"


def test_a_configuration_file_with_an_unknown_option_is_refused(tmp_path: Path):
    path = tmp_path / "config.yaml"
    path.write_text("modle: x\n")

    with pytest.raises(UsageError, match="--modle"):
        parse("serve", "m", "--config", str(path))


def test_the_pod_comes_from_the_environment_then_the_option_then_the_host():
    assert parse("serve", "m", POD_NAME="pod", POD_NAMESPACE="space").pod_name == "pod"
    assert parse("serve", "m", POD_NAMESPACE="space").namespace == "space"
    assert parse("serve", "m", "--pod-name", "given").pod_name == "given"
    assert parse("serve", "m").pod_name
    assert parse("serve", "m").namespace == "default"


def test_the_api_key_may_come_from_the_environment():
    assert parse("serve", "m", VLLM_API_KEY="secret").api_keys == ("secret",)


def test_a_fleet_has_a_size_and_a_first_port():
    parsed = parsing.parse(["fleet", "--size", "100", "--base-port", "18000", "--model", "m"], {})

    assert isinstance(parsed, Fleet)
    assert (parsed.size, parsed.base_port, parsed.settings.model) == (100, 18000, "m")


def test_kv_events_are_off_unless_asked_for():
    on = parse("serve", "m", "--kv-events-config", '{"enable_kv_cache_events": true, "endpoint": "tcp://*:6000"}')

    assert parse("serve", "m").kv_events is None
    assert parse("serve", "m", "--kv-events-config", '{"enable_kv_cache_events": false}').kv_events is None
    assert on.kv_events is not None
    assert on.kv_events.endpoint == "tcp://*:6000"
