"""What a container runs, by its command line and by its image."""

import pytest

from pointsman.cluster.programs import Program, Role, program_of, role_of
from pointsman.cluster.workload import Container


def container(image: str = "", command: list[str] | None = None, args: list[str] | None = None) -> Container:
    return Container("main", image, tuple(command or ()), tuple(args or ()))


@pytest.mark.parametrize(
    ("image", "role"),
    [
        ("vllm/vllm-openai:v0.10.0", Role.MODEL_SERVER),
        ("registry.example:5000/team/vllm-cpu@sha256:00", Role.MODEL_SERVER),
        ("ghcr.io/llm-d/llm-d-inference-sim:v0.7.1", Role.MODEL_SERVER),
        ("ghcr.io/llm-d/llm-d-cuda:v0.3.0", Role.MODEL_SERVER),
        ("pointsman/model-sim:dev", Role.MODEL_SERVER),
        ("gcr.io/k8s-staging-gateway-api/echo-basic:v20251204-v1.4.1", Role.ECHO),
        ("us-central1-docker.pkg.dev/k8s-staging-images/gateway-api-inference-extension/epp:v1", Role.PICKER),
        ("ghcr.io/llm-d/llm-d-inference-scheduler:v0.3", Role.PICKER),
        ("nginx:1.27", None),
        ("ghcr.io/llm-d/llm-d-routing-sidecar:v0.3", None),
    ],
)
def test_images_are_known_by_their_names(image: str, role: Role | None) -> None:
    assert role_of(image) is role


@pytest.mark.parametrize(
    "command",
    [
        ["vllm", "serve", "M", "--port", "80"],
        ["/usr/local/bin/vllm", "serve", "M", "--port", "80"],
        ["sh", "-c", "nvidia-smi; exec vllm serve M --port 80"],
        ["/bin/bash", "-ec", "export A=b &&\n HF_HOME=/x vllm serve M \\\n --port $PORT | tee log"],
        ["/bin/sh", "-c", "vllm serve M --port $(PORT)"],
    ],
)
def test_a_command_line_is_found_alone_and_in_a_script(command: list[str]) -> None:
    found = program_of(container("odd:1", command), {"PORT": "80"})

    assert found == Program(Role.MODEL_SERVER, ("M", "--port", "80"))


def test_the_old_entry_point_of_vllm_is_one_too() -> None:
    command = ["python3", "-m", "vllm.entrypoints.openai.api_server"]

    assert program_of(container("odd", command, ["--model=M"]), {}) == Program(Role.MODEL_SERVER, ("--model=M",))


def test_variables_in_arguments_are_expanded_as_kubernetes_does() -> None:
    found = program_of(
        container("vllm/vllm-openai", args=["--model", "$(MODEL)", "$(UNKNOWN)", "$$(MODEL)"]), {"MODEL": "M"}
    )

    assert found == Program(Role.MODEL_SERVER, ("--model", "M", "$(UNKNOWN)", "$(MODEL)"))


def test_another_command_in_an_image_that_is_known_is_not_that_image() -> None:
    assert program_of(container("vllm/vllm-openai", ["sleep", "1"]), {}) is None
    assert program_of(container("vllm/vllm-openai", ["sh", "-c", "echo 'open"]), {}) is None


def test_options_of_another_simulator_are_left_away() -> None:
    args = [
        "--model", "M", "--time-to-first-token", "10ms", "--enable-kvcache", "--failure-types", "rate_limit",
        "server_error", "--inter-token-latency=5", "-v", "4", "--max-loras", "2",
    ]  # fmt: skip

    found = program_of(container("ghcr.io/llm-d/llm-d-inference-sim:v1", args=args), {})

    assert found == Program(Role.MODEL_SERVER, ("--model", "M", "--max-loras", "2"))
