"""Choices and engine requests of a validated call: it writes the answers and hashes the blocks of tokens. Pure."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random

import orjson

from model_sim.api import calls
from model_sim.api.calls import Call, Choice, Tools
from model_sim.engine.blocks import block_hashes, chain_root
from model_sim.engine.request import FinishReason, Request
from model_sim.text import answers, schemas
from model_sim.text.answers import Answer, Sampling, ToolCall
from model_sim.text.corpus import Corpus
from model_sim.text.tokenizer import Tokenizer

TOOL_PROBABILITY = 0.5
"""With `tool_choice: auto` every second answer calls a tool."""


class Planner:
    """Writes answers with one seeded generator: same seed, same calls, same answers."""

    def __init__(
        self, random: Random, corpus: Corpus, tokenizer: Tokenizer, *, echo: bool, block_size: int, keep_tokens: bool
    ) -> None:
        self._random = random
        self.corpus = corpus
        self._tokenizer = tokenizer
        self._echo = echo
        self._block_size = block_size
        self._keep_tokens = keep_tokens
        self._planned = 0

    def plan(self, call: Call, request_id: str) -> list[tuple[Choice, Request]]:
        """All choices of a call: `n` for each prompt."""
        return list(self._choices(call, request_id))

    def _choices(self, call: Call, request_id: str) -> Iterator[tuple[Choice, Request]]:
        index = 0
        limits = [calls.answer_limit(call, len(prompt)) for prompt in call.prompts]
        for number, prompt in enumerate(call.prompts):
            sampling = replace(call.sampling, max_tokens=limits[number])
            for _ in range(call.sampling.n):
                answer = self._answer(call, sampling, number, index)
                self._planned += 1  # clients may send one id twice at a time
                unique = f"{request_id}-{index}-{self._planned}"
                choice = Choice(index, number, unique, answer, len(prompt))
                yield choice, self._request(call, unique, prompt, answer)
                index += 1

    def _answer(self, call: Call, sampling: Sampling, prompt: int, index: int) -> Answer:
        random = self._random if sampling.seed is None else Random(sampling.seed + index)
        tools = call.tools
        if tools is not None and (tools.forced or random.random() < TOOL_PROBABILITY):
            return answers.tool_answer(self._tool_calls(tools, random), sampling, self._tokenizer)
        if self._echo and sampling.schema is None:
            echo = call.echoes[prompt]
            text = calls.prompt_of(self._tokenizer, call.prompts[prompt]) if echo is None else echo
            return answers.text_answer(text, sampling, self._tokenizer)
        return answers.random_answer(sampling, random, self.corpus, self._tokenizer)

    def _tool_calls(self, tools: Tools, random: Random) -> list[ToolCall]:
        count = 1 + (tools.parallel and len(tools.tools) > 1 and random.random() < TOOL_PROBABILITY)
        made = []
        for tool in random.sample(tools.tools, count):
            arguments = orjson.dumps(schemas.instance(tool.parameters, random)).decode()
            made.append(ToolCall(f"{tools.id_prefix}{random.getrandbits(64):016x}", tool.name, arguments))
        return made

    def _request(self, call: Call, request_id: str, prompt: Sequence[int], answer: Answer) -> Request:
        tokens = array("I", prompt)
        tokens.extend(answer.tokens)
        hashes = block_hashes(tokens.tobytes(), self._block_size, root=chain_root(call.model.adapter, call.salt))
        return Request(
            id=request_id,
            prompt_tokens=len(prompt),
            output_tokens=len(answer.tokens),
            block_hashes=array("Q", hashes),
            adapter=call.model.adapter,
            finish_reason=FinishReason.LENGTH if answer.finish_reason == "length" else FinishReason.STOP,
            remote_prefill=call.kv_transfer is not None and call.kv_transfer.remote_prefill,
            tokens=tokens if self._keep_tokens else (),
            max_tokens=call.sampling.requested_max_tokens,
            n=call.sampling.n,
            salt=call.salt,
        )
