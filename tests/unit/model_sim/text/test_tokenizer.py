"""The built-in tokenizer: reversible, concatenative at markers, with the documented ratios."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from model_sim.text import corpus
from model_sim.text.file_tokenizer import FileTokenizer
from model_sim.text.tokenizer import BuiltinTokenizer

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(TEXT)
def test_decoding_what_was_encoded_gives_the_text_back(text: str) -> None:
    tokenizer = BuiltinTokenizer()

    assert "".join(tokenizer.pieces(tokenizer.encode(text))) == text


@given(TEXT)
def test_ids_fit_in_32_bits_and_are_the_same_in_a_fresh_tokenizer(text: str) -> None:
    ids = BuiltinTokenizer().encode(text)

    assert all(0 <= token < 1 << 32 for token in ids)
    assert BuiltinTokenizer().encode(text) == ids


@given(TEXT, TEXT)
def test_nothing_crosses_a_marker(before: str, after: str) -> None:
    tokenizer = BuiltinTokenizer()
    marker = "<|im_end|>"

    joined = tokenizer.encode(before + marker + after)

    assert joined == tokenizer.encode(before) + tokenizer.encode(marker) + tokenizer.encode(after)


@given(st.lists(st.integers(0, 2**32 - 1), max_size=50))
def test_any_ids_decode(tokens: list[int]) -> None:
    assert len(BuiltinTokenizer().pieces(tokens)) == len(tokens)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        pytest.param(
            "The quick brown fox jumps over the lazy dog near the river bank today. " * 10, 3.2, 4.2, id="english"
        ),
        pytest.param("Съешь же ещё этих мягких французских булок да выпей чаю " * 10, 1.4, 2.0, id="russian"),
        pytest.param("人人生而自由在尊严和权利上一律平等" * 10, 1.0, 1.0, id="chinese"),
    ],
)
def test_characters_per_token_are_as_documented(text: str, low: float, high: float) -> None:
    assert low <= len(text) / len(BuiltinTokenizer().encode(text)) <= high


def test_a_full_cache_of_pieces_starts_anew_and_stays_right() -> None:
    tokenizer = BuiltinTokenizer()
    for start in range(0, 140_000, 10_000):
        text = "".join(chr(0x10000 + index) for index in range(start, start + 10_000))
        assert "".join(tokenizer.pieces(tokenizer.encode(text))) == text

    assert len(tokenizer._ids) < 80_000


@pytest.mark.parametrize("length", [1, 2, 7, 100, 20_000])
def test_the_corpus_is_cut_to_length_and_its_pieces_are_its_tokens(length: int) -> None:
    tokenizer = BuiltinTokenizer()
    stock = corpus.build(Random(1), tokenizer)

    for sentence in (0, 17, 599):
        tokens, pieces = stock.cut(sentence, length)
        assert len(tokens) == len(pieces) == length
        assert tokenizer.encode("".join(pieces)) == tokens


@pytest.mark.parametrize("wanted", [1, 5, 60, 9_999])
def test_a_cut_to_a_sentence_end_ends_with_a_full_stop(wanted: int) -> None:
    stock = corpus.build(Random(1), BuiltinTokenizer())

    for sentence in (0, 3, 598, 599):
        length = stock.sentence_end(sentence, wanted)
        assert length >= wanted
        assert "".join(stock.cut(sentence, length)[1]).endswith(".")


def test_a_tokenizer_file_keeps_every_script_whole(tmp_path) -> None:
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|im_end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    trained.train_from_iterator(["a small text about queues and caches"] * 3, trainer)
    trained.save(str(tmp_path / "tokenizer.json"))
    tokenizer = FileTokenizer(str(tmp_path / "tokenizer.json"))
    text = "queues, 你好 мир 🙂 end"

    tokens = tokenizer.encode(text)

    assert "".join(tokenizer.pieces(tokens)) == text
    assert tokenizer.pieces([tokenizer.end_of_turn]) == ["<|im_end|>"]


def test_a_missing_tokenizer_file_is_named(tmp_path) -> None:
    with pytest.raises(OSError, match="--tokenizer-file"):
        FileTokenizer(str(tmp_path / "absent.json"))
