"""What chat templates make of a request, by the model's family. Pure.

A row says where the template puts what stands beside the messages, and how many tokens a picture takes. The order
counts: two requests share tokens up to the first place at which their prompts differ. `Source` of each row: the
template that it describes, in vLLM's `examples/` unless it says otherwise. The rows of gpt-oss, Qwen 2.5 and Hermes,
Llama 4, GLM-4.5, Granite, SmolLM, Command and InternVL, and the tokens of pictures and sound, were written without the
template at hand. A model of no known family gets the commonest answer.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

ToolsAt = Literal["before system", "after system", "before last user"]  # of the prompt, or of the user's last message
Reasoning = Literal["none", "after last user", "all"]  # of which earlier answers it is rendered again


@dataclass(frozen=True, slots=True)
class Pictures:
    """Tokens of one picture. Pixels a token covers, after the picture was scaled to fit; or a fixed number."""

    pixels: int = 28  # width and height of a token
    most: int = 4096
    least: int = 4
    longest_side: int = 0  # 0: only `most` bounds it
    fixed: int = 0
    tile: int = 0  # width and height of a tile; with it each tile takes `fixed`, and one more shows the whole
    most_tiles: int = 0


@dataclass(frozen=True, slots=True)
class Family:
    """One row."""

    tools: ToolsAt = "after system"
    reasoning: Reasoning = "after last user"
    has_effort_first: bool = False  # the reasoning effort is rendered before everything else
    has_arguments_first: bool = False  # `chat_template_kwargs` change the beginning, not only the end
    has_documents: bool = False  # `documents` are rendered, behind system prompt and tools
    has_call_ids: bool = False  # ids of tool calls are rendered
    pictures: Pictures = Pictures()
    audio_tokens_per_second: float = 25.0  # 30 s are 1500 frames of a Whisper encoder, pooled by two


COMMON: Final = Family()

# A model is of the first family of which a mark stands in its name, small letters. Adapters bear names of their own.
_FAMILIES: Final = (
    # Source: openai/harmony's format (system: effort, date; developer: instructions, then tools).
    (("gpt-oss",), Family(has_effort_first=True)),
    # Source: tool_chat_template_qwen3coder.jinja; Qwen3-VL's processor: patches of 16, merged by two.
    (("qwen3-vl", "qwen3.5", "qwen3-omni"), Family(pictures=Pictures(32, most=16384), audio_tokens_per_second=12.5)),
    (("qwen3",), Family(pictures=Pictures(32, most=16384))),
    # Source: tool_chat_template_hermes.jinja, tool_chat_template_qwen2_5_coder.jinja; patches of 14, merged by two.
    (("qwen", "qwq", "hermes"), Family(reasoning="none", pictures=Pictures(28, most=16384))),
    # Source: tool_chat_template_llama4_json.jinja, …_llama3.1_json.jinja (tools open the first user turn).
    (("llama-4", "llama4"), Family(reasoning="none", pictures=Pictures(fixed=144, tile=336, most_tiles=16))),
    (("llama",), Family(reasoning="none")),
    # Source: tool_chat_template_mistral3.jinja, …_mistral.jinja: tools before the last `[INST]`, ids of calls.
    (
        ("mistral-", "mixtral", "pixtral"),
        Family("before last user", "none", has_call_ids=True, pictures=Pictures(28, longest_side=1540)),
    ),
    # Source: tool_chat_template_deepseekv31.jinja: system, then tools; thinking of earlier answers is cut away.
    (("deepseek",), Family(reasoning="none")),
    # Source: zai-org/GLM-5.3-Flash's chat_template.jinja: the effort opens the prompt, then as GLM-4.5.
    (("glm-5",), Family("before system", has_effort_first=True)),
    # Source: zai-org/GLM-4.5's chat_template.jinja: `# Tools` in a system block of its own before all messages.
    (("glm",), Family("before system")),
    # Source: moonshotai/Kimi-K2-Instruct's chat_template.jinja: `tool_declare` first, call ids in results.
    (("kimi",), Family("before system", has_call_ids=True)),
    # Source: tool_chat_template_minimax_m1.jinja: the system prompt, then a block of tools.
    (("minimax",), Family()),
    # Source: tool_chat_template_gemma4.jinja: `enable_thinking` opens the system turn, tools end it; 256 soft tokens.
    (("gemma",), Family(has_arguments_first=True, pictures=Pictures(fixed=256), audio_tokens_per_second=6.25)),
    # Source: tool_chat_template_granite.jinja: `thinking` and documents choose the system prompt.
    (("granite",), Family(has_arguments_first=True, has_documents=True)),
    (("smollm",), Family(has_arguments_first=True)),
    # Source: vLLM's documentation of `documents`, which names the templates of Granite and Command.
    (("command-r", "command-a", "c4ai"), Family(reasoning="none", has_documents=True)),
    # Source: InternVL's processor: tiles of 448 pixels, 256 tokens each, 12 at most.
    (("internvl",), Family(pictures=Pictures(fixed=256, tile=448, most_tiles=12))),
)  # fmt: skip


@lru_cache(maxsize=256)
def family_of(model: str) -> Family:
    """The family of a model's name."""
    name = model.lower()
    return next((family for marks, family in _FAMILIES if any(mark in name for mark in marks)), COMMON)
