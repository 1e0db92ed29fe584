"""A real tokenizer from a `tokenizer.json`, read by the optional package `tokenizers`."""

from collections.abc import Sequence

from tokenizers import Tokenizer as LoadedTokenizer

END_TOKENS = ("<|im_end|>", "<|eot_id|>", "<|endoftext|>", "</s>", "[SEP]")
_UNFINISHED = "\ufffd"


class FileTokenizer:
    """Encodes as the file says. Special tokens are not added: the chat template writes its own markers."""

    def __init__(self, path: str) -> None:
        try:
            self._tokenizer = LoadedTokenizer.from_file(path)
        except Exception as error:
            raise OSError(f"argument --tokenizer-file: {path}: {error}") from error
        ids = (self._tokenizer.token_to_id(token) for token in END_TOKENS)
        self._end = next((token for token in ids if token is not None), 0)

    @property
    def end_of_turn(self) -> int:
        return self._end

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        """What each token adds to the text; a token that ends inside a character adds nothing until it is whole.

        As vLLM does it: decode a window up to the token and the same window without it, and take the difference.
        """
        pieces: list[str] = []
        start = read = 0
        for end in range(1, len(tokens) + 1):
            before = self._decode(tokens[start:read])
            after = self._decode(tokens[start:end])
            if after.endswith(_UNFINISHED) or len(after) <= len(before):
                pieces.append("")
                continue
            pieces.append(after[len(before) :])
            start, read = read, end
        return pieces

    def _decode(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=False))
