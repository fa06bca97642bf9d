"""SentencePiece files and the models in them against the libraries that define them."""

import io
import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vocabularies import vocabulary

from tinygrad_llm.text.algorithms.char_bpe import CharBPE
from tinygrad_llm.text.algorithms.unigram import Unigram
from tinygrad_llm.text.formats import sentencepiece as ours
from tinygrad_llm.text.tokenizer import Tokenizer

pytestmark = pytest.mark.oracle
sentencepiece = pytest.importorskip("sentencepiece")
tokenizers = pytest.importorskip("tokenizers")

FILES = ["mistral/tokenizer.model.v1", "mistral/mistral_instruct_tokenizer_240323.model.v3",
         "j2/j2-tokenizer.model"]  # fmt: skip
TEXT = """  Hello  World!\tIt's 12,345.67 — naïve cafés…\n\nﬁ ½ ㎏ Ａ\u3000b\u200bc\u00adx ̈ ¨ ﷺ
の中国 🙂👩‍👩‍👧 שלום \x07\x00▁x ▁▁ <s> </s> <unk> [INST] <0x41>   def f(x):\n\treturn  x   """
CORPUS = [
    "the quick brown fox jumps over the lazy dog and runs away from the quick cat",
    "ein kleiner Hund läuft über die Straße, und die Straße ist naß",
    "numbers 1 22 333 4444 and words wordy wordless wordings, all in the same sentence.",
    "日本語の文章を書きます。 日本の文章です。 書きますか。",
    "<sep> marks <sep> separate   things  that   are apart C++ C# <sep>",
] * 8
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
near = st.text("ab ▁xyzé\u0301ﬁ ￡<>sep\n\t中🙂+C", max_size=40)
words = st.lists(st.sampled_from(" ".join(CORPUS).split(" ")), max_size=12).map(" ".join)


def check(tokenizer: Tokenizer, processor: Any, text: str) -> None:
    ids = processor.encode(text)
    assert tokenizer.encode(text, special="text") == ids
    found, offsets = tokenizer.encode_with_offsets(text, special="text")
    assert found == ids
    assert tokenizer.decode(ids) == processor.decode(ids)
    assert all(0 <= start <= end <= len(text) for start, end in offsets.tolist())


def load(name: str) -> tuple[Tokenizer, Any]:
    path = vocabulary(name)
    return ours.load(path), sentencepiece.SentencePieceProcessor(model_file=str(path))


@pytest.fixture(scope="module", params=FILES)
def real(request: pytest.FixtureRequest) -> tuple[Tokenizer, Any]:
    return load(request.param)


def test_real_files_on_a_hard_text(real: tuple[Tokenizer, Any]) -> None:
    check(*real, TEXT)
    check(*real, TEXT * 40)
    for char in map(chr, itertools.chain(range(0x3000), range(0xF900, 0xFFFF), [0x1F642])):
        check(*real, f"a{char} {char}b")


@given(text=any_text | near | words)
def test_real_files_on_any_text(real: tuple[Tokenizer, Any], text: str) -> None:
    check(*real, text)


def test_a_long_document_whose_sums_round(real: tuple[Tokenizer, Any]) -> None:
    """Past 65,536 and past 100,000 a sum of float32 rounds in its own ways."""
    check(*real, "".join(f"He said {k}:\n    so be it,  and left.\n\n" for k in range(2500)))


def test_real_files_written_again(real: tuple[Tokenizer, Any], tmp_path: Path) -> None:
    tokenizer, processor = real
    ours.save(tokenizer, tmp_path / "again.model")
    again = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "again.model"))
    assert again.encode(TEXT) == processor.encode(TEXT)
    ids = list(range(min(3000, again.vocab_size())))
    assert again.decode(ids) == processor.decode(ids)
    for name in ("is_control", "is_byte", "is_unknown", "is_unused", "get_score"):
        assert [getattr(again, name)(id) for id in ids] == [
            getattr(processor, name)(id) for id in ids
        ]


TRAINED: list[dict[str, Any]] = [
    {"model_type": kind, **options}
    for kind in ("unigram", "bpe")
    for options in (
        {},
        {"byte_fallback": True, "vocab_size": 420},
        {"user_defined_symbols": ["<sep>", "C++", "▁th", "  "], "control_symbols": ["<c>", "#"]},
        {"normalization_rule_name": "identity"},
        {"normalization_rule_name": "nfkc_cf", "remove_extra_whitespaces": False},
        {"normalization_rule_name": "nmt_nfkc_cf", "add_dummy_prefix": False},
        {"treat_whitespace_as_suffix": True},
        {"treat_whitespace_as_suffix": True, "user_defined_symbols": ["<sep>", "e"],
         "remove_extra_whitespaces": False},
        {"split_by_whitespace": False, "allow_whitespace_only_pieces": True,
         "remove_extra_whitespaces": False},
        {"character_coverage": 0.98, "unk_surface": "<?>", "pad_id": 3},
    )
]  # fmt: skip


@pytest.fixture(scope="module", params=TRAINED, ids=str)
def trained(request: pytest.FixtureRequest) -> tuple[Tokenizer, Any]:
    options = {"vocab_size": 160, "hard_vocab_limit": False, "minloglevel": 2, **request.param}
    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS), model_writer=file, num_threads=1, **options
    )
    data = file.getvalue()
    tokenizer = ours.tokenizer_of(ours.parse_model(data))
    return tokenizer, sentencepiece.SentencePieceProcessor(model_proto=data)


def test_trained_models_on_their_corpus(trained: tuple[Tokenizer, Any]) -> None:
    for line in {*CORPUS, TEXT, "", " ", "  ", "▁", " ▁ ", "\x07", "\x07 ", "a  ", "\u3000"}:
        check(*trained, line)


@given(text=any_text | near | words)
def test_trained_models_on_any_text(trained: tuple[Tokenizer, Any], text: str) -> None:
    check(*trained, text)


@given(text=words, data=st.data())
def test_trained_models_decode_any_ids(trained: tuple[Tokenizer, Any], text: str, data: Any
                                       ) -> None:
    tokenizer, processor = trained
    ids = data.draw(st.lists(st.integers(0, processor.vocab_size() - 1), max_size=12))
    assert tokenizer.decode(ids) == processor.decode(ids)


@st.composite
def models(draw: st.DrawFn) -> ours.SentencePieceModel:
    """Draw a model with no sense to it: pieces of any type, scores with ties."""
    names = draw(st.lists(st.text("ab▁x", min_size=1, max_size=4), unique=True, max_size=14))
    scores = st.sampled_from([0.0, -1.0, -1.5, -2.0, -3.0]) | st.floats(-9, 0, width=32)
    types = st.sampled_from([ours.NORMAL] * 6 + [ours.CONTROL, ours.USER_DEFINED, ours.UNUSED])
    pieces = [(name, draw(scores), draw(types)) for name in names]
    pieces.insert(draw(st.integers(0, len(pieces))), ("<unk>", 0.0, ours.UNKNOWN))
    pieces.append(("q", -4.0, ours.NORMAL))  # there must be a piece to find
    flags = [draw(st.booleans()) for _ in range(5)]
    if flags[0]:
        pieces += [(f"<0x{byte:02X}>", 0.0, ours.BYTE) for byte in range(256)]
    return ours.SentencePieceModel(
        pieces, draw(st.sampled_from([ours.UNIGRAM, ours.BPE])), flags[0], flags[1],
        add_dummy_prefix=flags[2], remove_extra_whitespaces=flags[3], escape_whitespaces=flags[4],
    )  # fmt: skip


@given(models(), st.lists(st.text("ab ▁xqé", max_size=25), min_size=1, max_size=5))
def test_models_with_no_sense_to_them(model: ours.SentencePieceModel, texts: list[str]) -> None:
    processor = sentencepiece.SentencePieceProcessor(model_proto=ours.model_bytes(model))
    tokenizer = ours.tokenizer_of(model)
    for text in texts:
        check(tokenizer, processor, text)


# Hugging Face's models

pieces = st.text("ab▁é🙂", min_size=1, max_size=4)


@given(
    st.dictionaries(pieces, st.floats(-12, 0), max_size=12), st.booleans(), st.booleans(),
    st.lists(st.text("ab▁é🙂<unk>", max_size=20), max_size=5),
)  # fmt: skip
def test_unigram(scores: dict[str, float], fallback: bool, whole: bool, texts: list[str]) -> None:
    listed = [("<unk>", 0.0), *scores.items()]
    listed += [(f"<0x{byte:02X}>", -2.0) for byte in range(256 if whole else 0xC4)]
    model = Unigram(listed, 0, byte_fallback=fallback)
    theirs = tokenizers.models.Unigram(listed, 0, fallback)
    for text in texts:
        assert [token.id for token in theirs.tokenize(text)] == list(model.encode_piece(text))


@given(st.data(), st.lists(st.text("ab▁é🙂c", max_size=20), max_size=5))
def test_bpe(data: st.DataObject, texts: list[str]) -> None:
    draw = data.draw
    tokens = ["<unk>", "a", "b", "▁", *draw(st.lists(st.sampled_from("é🙂"), unique=True))]
    tokens += [f"<0x{byte:02X}>" for byte in range(draw(st.sampled_from([0, 0xC4, 256])))]
    merges: list[tuple[str, str]] = []
    for _ in range(draw(st.integers(0, 10))):
        left, right = draw(st.sampled_from(tokens)), draw(st.sampled_from(tokens))
        merges.append((left, right))
        if left + right not in tokens:
            tokens.append(left + right)
    merges = list(dict.fromkeys(merges))
    vocab = {token: id for id, token in enumerate(tokens)}
    options = {"unk_token": draw(st.sampled_from(["<unk>", None]))} | {
        name: draw(st.booleans()) for name in ("fuse_unk", "byte_fallback", "ignore_merges")
    }
    model = CharBPE(vocab, merges, **options)
    theirs = tokenizers.models.BPE(vocab, merges, **options)
    for text in texts:
        assert [token.id for token in theirs.tokenize(text)] == list(model.encode_piece(text))


@given(st.data(), st.lists(st.text("abc", max_size=9), max_size=5))
def test_bpe_with_prefix_and_suffix(data: st.DataObject, texts: list[str]) -> None:
    prefix = data.draw(st.sampled_from(["", "##"]))
    suffix = data.draw(st.sampled_from(["", "</w>"]))
    letters = ["a", "b"]
    tokens = [*letters, *(prefix + c for c in letters), *(c + suffix for c in letters)]
    tokens = list(dict.fromkeys([*tokens, *(prefix + c + suffix for c in letters), "?"]))
    merges = []
    for _ in range(data.draw(st.integers(0, 8))):
        left = data.draw(st.sampled_from(tokens))
        right = data.draw(st.sampled_from([t for t in tokens if t.startswith(prefix)]))
        merges.append((left, right))
        tokens += [joined for joined in [left + right[len(prefix) :]] if joined not in tokens]
    vocab = {token: id for id, token in enumerate(tokens)}
    merges = list(dict.fromkeys(merges))
    model = CharBPE(vocab, merges, unk_token="?", continuing_subword_prefix=prefix,
                    end_of_word_suffix=suffix)  # fmt: skip
    theirs = tokenizers.models.BPE(
        vocab, merges, unk_token="?", continuing_subword_prefix=prefix, end_of_word_suffix=suffix
    )
    for text in texts:
        assert [token.id for token in theirs.tokenize(text)] == list(model.encode_piece(text))
