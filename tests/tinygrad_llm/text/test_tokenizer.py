from __future__ import annotations

import pickle
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text import decoders, template
from tinygrad_llm.text.algorithms.bpe import BPE
from tinygrad_llm.text.algorithms.char_bpe import CharBPE
from tinygrad_llm.text.algorithms.characters import Characters
from tinygrad_llm.text.algorithms.scored_bpe import ScoredBPE
from tinygrad_llm.text.algorithms.spelled import Spelled
from tinygrad_llm.text.algorithms.unigram import Unigram
from tinygrad_llm.text.algorithms.wordpiece import WordPiece
from tinygrad_llm.text.chat import control_tokens, encode_chat
from tinygrad_llm.text.cut import pretokenizers
from tinygrad_llm.text.cut.patterns import GPT2, O200K
from tinygrad_llm.text.formats import tiktoken
from tinygrad_llm.text.normalize import normalizers
from tinygrad_llm.text.special import AddedToken, AddedTokens
from tinygrad_llm.text.tokenizer import LONGEST_REMEMBERED, REMEMBERED, Tokenizer
from tinygrad_llm.text.training.bpe import train_bpe
from tinygrad_llm.text.training.unigram import train_unigram
from tinygrad_llm.text.training.wordpiece import train_wordpiece

BYTES = {bytes([b]): b for b in range(256)}
MERGES = [(b"a", b"b"), (b" ", b"a"), (b"\xc3", b"\xa9"), (b"ab", b"ab")]
VOCAB = BYTES | {left + right: 256 + i for i, (left, right) in enumerate(MERGES)}
END, PAD, TOOL = 300, 301, 302  # 260 to 299 are not used
ADDED = [AddedToken("<|end|>", END), AddedToken("<pad>", PAD), AddedToken("<tool>", TOOL, False)]
BEGIN = template.BertProcessing(("<|end|>", END), ("<pad>", PAD))
texts = st.text(st.one_of(st.characters(exclude_categories=("Cs",)), st.sampled_from(" abé<|>")))


def byte_level(pattern: str | None = GPT2) -> Tokenizer:
    cuts = pretokenizers.Pattern(pattern) if pattern else None
    return Tokenizer(BPE(VOCAB, MERGES), pre_tokenizer=cuts, decoder=decoders.ByteLevel(),
                     template=BEGIN, added=AddedTokens(ADDED))


def words() -> Tokenizer:
    normalizer = normalizers.BertNormalizer()
    vocab = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "un": 3, "##able": 4, "e": 5, "##e": 6, ",": 7}
    return Tokenizer(
        WordPiece(vocab), normalizer=normalizer, pre_tokenizer=pretokenizers.BertPreTokenizer(),
        decoder=decoders.WordPiece(), template=template.BertProcessing(("[SEP]", 2), ("[CLS]", 1)),
        added=AddedTokens([AddedToken("[CLS]", 1), AddedToken("[SEP]", 2)], normalizer))


@given(texts, st.sampled_from([None, GPT2, O200K, "a+"]))
def test_decode_undoes_encode(text: str, pattern: str | None) -> None:
    tokenizer = byte_level(pattern)
    ids = tokenizer.encode(text, special="text")
    assert tokenizer.decode(ids) == text and tokenizer.decode_bytes(ids) == text.encode()
    array = tokenizer.encode_to_array(text, special="text")
    assert array.dtype == np.int32 and array.tolist() == ids and tokenizer.decode(array) == text
    allowed = tokenizer.encode(text, special="allow")
    assert tokenizer.decode(allowed) == text
    assert not {END, PAD} & set(ids)


@given(texts, st.sampled_from([GPT2, O200K]))
def test_the_fast_way_is_the_plain_way(text: str, pattern: str) -> None:
    fast = byte_level(pattern)
    plain = byte_level(pattern)
    plain.pattern = None
    assert fast.pattern == pattern
    assert fast.encode(text, special="allow") == plain.encode(text, special="allow")


@given(texts, st.sampled_from(["allow", "text"]), st.booleans())
def test_offsets_cover_the_text(text: str, special: str, with_template: bool) -> None:
    tokenizer = byte_level()
    ids, offsets = tokenizer.encode_with_offsets(text, special=special, template=with_template)
    assert ids == tokenizer.encode(text, special=special, template=with_template)
    assert offsets.shape == (len(ids), 2) and offsets.dtype == np.int64
    inner = offsets[1:-1] if with_template else offsets
    assert sorted({i for start, end in inner.tolist() for i in range(start, end)}) == list(
        range(len(text)))
    for id, (start, end) in zip(ids, offsets.tolist(), strict=True):
        piece = tokenizer.decode_bytes([id])
        assert piece in text[start:end].encode() or (with_template and start == end == 0)


def test_offsets_go_through_normalisation() -> None:
    tokenizer = words()
    ids, offsets = tokenizer.encode_with_offsets("  Unable, É[SEP]", special="allow", template=True)
    assert ids == [1, 3, 4, 7, 5, 2, 2]
    assert offsets.tolist() == [[0, 0], [2, 4], [4, 8], [8, 9], [10, 11], [11, 16], [0, 0]]


def test_offsets_are_trimmed_where_the_template_says_so() -> None:
    tokenizer = Tokenizer(BPE(VOCAB, MERGES), pre_tokenizer=pretokenizers.ByteLevel(False),
                          template=template.ByteLevel(add_prefix_space=False))
    assert tokenizer.encode_with_offsets("b ab")[1].tolist() == [[0, 1], [2, 2], [2, 4]]
    takes = AddedTokens([AddedToken("<x>", 300, special=False, lstrip=True, rstrip=True)])
    tokenizer = Tokenizer(BPE(VOCAB, MERGES), template=template.ByteLevel(), added=takes)
    assert tokenizer.encode_with_offsets("b  <x> b")[1].tolist() == [[0, 1], [3, 6], [7, 8]]
    unknown = AddedTokens([AddedToken("<unk>", 0, lstrip=True)])
    model = CharBPE({"<unk>": 0}, [], unk_token="<unk>")  # which answers with it too
    tokenizer = Tokenizer(model, template=template.ByteLevel(), added=unknown)
    assert tokenizer.encode_with_offsets("\xa0")[1].tolist() == [[0, 1]]


def test_special_tokens_go_by_the_rule() -> None:
    tokenizer = byte_level()
    text = "a<|end|>b<pad>"
    with pytest.raises(UserError, match=r"special token '<\|end\|>' at position 1"):
        tokenizer.encode(text)
    with pytest.raises(UserError, match="'<pad>' at position 9"):
        tokenizer.encode_with_offsets(text, special={"<|end|>"})
    assert tokenizer.encode(text, special="allow") == [97, END, 98, PAD]
    assert tokenizer.encode(text, special={"<|end|>", "<pad>"}) == [97, END, 98, PAD]
    assert tokenizer.encode(text, special="text") == list(text.encode())
    assert tokenizer.encode("<tool>") == [TOOL]
    assert tokenizer.special_tokens == {"<|end|>": END, "<pad>": PAD}


def test_templates() -> None:
    tokenizer = byte_level()
    assert tokenizer.encode("ab", template=True) == [PAD, 256, END]
    assert tokenizer.encode("", template=True) == [PAD, END]
    assert tokenizer.encode_pair("ab", "b") == [PAD, 256, END, 98, END]
    assert tokenizer.encode_pair("ab", "b", template=False) == [256, 98]
    tokenizer.template = None
    assert tokenizer.encode("ab", template=True) == [256]
    tokenizer.template = template.TemplateProcessing((), ())
    ids, offsets = tokenizer.encode_with_offsets("ab", template=True)
    assert ids == tokenizer.encode("ab", template=True) == [] and offsets.shape == (0, 2)


def test_decoding() -> None:
    tokenizer = byte_level()
    assert tokenizer.decode([97, END, 98]) == "a<|end|>b"
    assert tokenizer.decode([97, END, TOOL], skip_special=True) == "a<tool>"
    assert tokenizer.decode_bytes([0xC3, PAD], skip_special=True) == b"\xc3"
    assert tokenizer.decode([0xC3, 97]) == "\ufffda"
    assert tokenizer.decode([0xC3, 97], errors="ignore") == "a"
    assert tokenizer.decode([0xC3, 97], errors="backslashreplace") == "\\xc3a"
    with pytest.raises(UnicodeDecodeError):
        tokenizer.decode([0xC3, 97], errors="strict")
    with pytest.raises(ValueError, match="errors='none' is none of strict, replace"):
        tokenizer.decode([97], errors="none")
    assert tokenizer.decode([]) == "" and tokenizer.decode(np.zeros(0)) == ""
    tokenizer = words()
    assert tokenizer.decode([1, 3, 4, 7, 2]) == "[CLS] unable, [SEP]"
    tokenizer.decoder = None
    assert tokenizer.decode([3, 4]) == "un ##able" and tokenizer.decode_bytes([5]) == b"e"


def test_an_added_token_stands_for_its_own_text() -> None:
    """Though 'é' could spell the byte 0xe9."""
    added = AddedTokens([AddedToken("é", 300, False)])
    tokenizer = Tokenizer(BPE(VOCAB, MERGES), decoder=decoders.ByteLevel(), added=added)
    assert tokenizer.encode("aéa") == [97, 300, 97]
    assert tokenizer.decode([97, 300, 97]) == "aéa"


@pytest.mark.parametrize(
    "ids, message",
    [
        ([97, 303], r"id 303 at position 1 is not in \[0, 303\)"),
        ([97, 98, -1], r"id -1 at position 2 is not in \[0, 303\)"),
        ([2**40], r"id 1099511627776 at position 0"),
        ([260], r"id 260 at position 0 is not used, though it is in \[0, 303\)"),
        ([0.5], "must be integers, got float64"),
        ([[1]], r"shape \(N,\), got \(1, 1\)"),
        ([[1], [2, 3]], "got rows of several lengths; go row by row"),
    ])
def test_ids_of_no_token(ids: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        byte_level().decode(ids)


def test_the_vocabulary() -> None:
    tokenizer = byte_level()
    assert tokenizer.vocab_size == 303 and len(tokenizer.vocab) == 263
    assert tokenizer.token(257) == "Ġa" and tokenizer.id("Ġa") == 257
    assert all(tokenizer.id(tokenizer.token(id)) == id for id in tokenizer.vocab.values())
    with pytest.raises(ValueError, match="id 260 is not used"):
        tokenizer.token(260)
    with pytest.raises(ValueError, match=r"id 303 is not in \[0, 303\)"):
        tokenizer.token(303)
    with pytest.raises(ValueError, match="' a' is no token"):
        tokenizer.id(" a")


def test_unused_tokens_are_known_to_decoding_only() -> None:
    tokenizer = Tokenizer(CharBPE({"a": 0}, []), decoder=decoders.Fuse(), unused={"</s>": 3})
    assert tokenizer.decode([0, 3]) == "a</s>" and tokenizer.vocab_size == 4


@pytest.mark.parametrize(
    "unused, message",
    [
        ({"x": 0}, "'a' and 'x' both have the id 0"),
        ({"x": -1}, "'x' has the id -1"),
        ({"x": 2**31}, "ids are whole numbers from 0 to 2147483647"),
        ({"x": True}, "'x' has the id True"),
    ])
def test_impossible_ids(unused: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Tokenizer(CharBPE({"a": 0}, []), unused=unused)
    with pytest.raises(UserError, match="both have the id 5"):
        added = AddedTokens([AddedToken("x", 5), AddedToken("y", 5)])
        Tokenizer(CharBPE({"a": 0}, []), added=added)


@pytest.mark.parametrize("tokenizer", [byte_level(), byte_level(None), words()])
def test_lone_surrogates_are_named(tokenizer: Tokenizer) -> None:
    for encode in (tokenizer.encode, tokenizer.encode_with_offsets):
        with pytest.raises(UserError, match=r"U\+D83D, at position 2, .* \"replace\"\)\.decode"):
            encode("ab\ud83d")  # type: ignore[operator]
    with pytest.raises(ValueError, match="must be a str, got bytes"):
        tokenizer.encode(b"ab")  # type: ignore[arg-type]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert REMEMBERED * LONGEST_REMEMBERED < 1e8
    monkeypatch.setattr("tinygrad_llm.text.tokenizer.REMEMBERED", 4)
    tokenizer = words()
    for i in range(50):
        tokenizer.encode(" ".join("un" + "e" * (j + i) for j in range(3)))
        assert len(tokenizer._remembered) <= 4
    tokenizer.encode("e" * 99)
    assert "e" * 99 not in tokenizer._remembered


def test_metaspace_first_needs_the_beginning_of_the_text() -> None:
    cuts = pretokenizers.Metaspace(prepend_scheme="first")
    vocab = {"▁": 0, "a": 1, "<s>": 2}
    normalizer = normalizers.Strip()
    added = AddedTokens([AddedToken("<s>", 2)], normalizer)
    tokenizer = Tokenizer(CharBPE(vocab, []), pre_tokenizer=cuts, added=added)
    assert tokenizer.encode("a<s>a", special="allow") == [0, 1, 2, 1]
    assert tokenizer.encode("<s>a", special="allow") == [2, 1]
    stripping = Tokenizer(CharBPE(vocab, []), pre_tokenizer=cuts, normalizer=normalizer,
                          added=added)
    assert stripping.encode("a ") == [0, 1] and stripping.encode(" a") == [1]
    assert stripping.encode_with_offsets(" a")[0] == [1]


@pytest.mark.parametrize("text, pattern, content, first", [
    ("bb", "bb", "a", False), ("b", "b", "a", True), ("bb", "b", "a", True), ("ba", "b", "", False),
    ("abb", "bb", "a", True), ("", "bb", "a", True),
])
def test_what_replaces_several_characters_is_not_first(
    text: str, pattern: str, content: str, first: bool
) -> None:
    """As in Hugging Face's library, where it comes from the last of them."""
    replace = normalizers.Replace(pattern, content)
    steps = [normalizers.NFC(), replace, normalizers.NFD()]
    for normalizer in (replace, normalizers.Sequence(steps)):
        tokenizer = Tokenizer(CharBPE({"▁": 0, "a": 1}, []), normalizer=normalizer,
                              pre_tokenizer=pretokenizers.Metaspace(prepend_scheme="first"))
        ids = tokenizer.encode(text)
        assert ids == tokenizer.encode_with_offsets(text)[0]
        assert ids == ([0] if first and text else []) + [1] * len(replace(text))


def test_ids_may_come_in_any_kind_of_sequence() -> None:
    ids = [97, 256, END, 0xC3]
    for tokenizer, text in ((byte_level(), "aab<|end|>\ufffd"), (byte_level(), "aab\ufffd")):
        skip = "end" not in text
        for many in (1, 100):
            kinds = [ids * many, tuple(ids * many), np.array(ids * many, np.uint16),
                     np.array(ids * many, np.uint64), [np.int32(id) for id in ids * many]]
            for kind in kinds:
                assert tokenizer.decode(kind, skip_special=skip) == text * many
    for wrong in ([1.0], [97, 2.0] * 100, ["a"], [2**70], [None]):
        with pytest.raises(ValueError, match="decode"):
            byte_level().decode(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "tokenizer",
    [byte_level(), byte_level(None), words(),
     Tokenizer(Unigram([("<unk>", 0.0), ("a", -1.0), ("aa", -1.5)], 0),
               pre_tokenizer=pretokenizers.Metaspace())])
def test_no_text_takes_quadratic_time(tokenizer: Tokenizer) -> None:
    begun = time.process_time()
    for text in ("a" * 100_000, " " * 100_000, "<|end" * 20_000):
        tokenizer.encode(text)
        tokenizer.encode_with_offsets(text)
    assert time.process_time() - begun < 10


def test_tokenizers_can_be_sent_to_other_processes() -> None:
    for tokenizer in (byte_level(), words()):
        again = pickle.loads(pickle.dumps(tokenizer))
        assert again.encode("unable é", template=True) == tokenizer.encode(
            "unable é", template=True)


def test_save_and_load(tmp_path: Path) -> None:
    for tokenizer in (byte_level(O200K), words()):
        tokenizer.save(tmp_path / "tokenizer.json")
        again = Tokenizer.load(tmp_path / "tokenizer.json")
        assert again.vocab == tokenizer.vocab
        for text in ("unable, <tool> [CLS]<|end|> é", ""):
            assert again.encode(text, special="allow") == tokenizer.encode(text, special="allow")
            assert again.encode(text, special="text") == tokenizer.encode(text, special="text")


# One giant word: nothing that learns, reads, encodes or decodes may take the square of its length

SIZE = 30_000
SECONDS = 20  # the square would take hours
GIANT = {"one character": "a" * SIZE, "two": "ab" * (SIZE // 2),
         "digits": "".join(random.Random(0).choices("0123456789abcdef", k=SIZE))}
PIECES = [("<unk>", 0.0), ("a", -1.0), ("b", -2.0), ("ab", -2.5), ("abab", -3.0), ("a" * 200, -4.0),
          *((digit, -6.0) for digit in "0123456789cdef")]
IDS = {piece: id for id, (piece, _) in enumerate(PIECES)}
MERGED = [("a", "b"), ("ab", "ab")]
BYTE_IDS = {bytes([b]): b for b in range(256)} | {b"ab": 256, b"a" * 400: 257, b"aa": 258}
TRAINED = {"bpe": lambda text: train_bpe([text], 400, min_frequency=1, progress=False),
           "wordpiece": lambda text: train_wordpiece([text], 400, progress=False),
           "unigram": lambda text: train_unigram([text], 400, progress=False)}
MODELS = {
    "BPE": lambda: BPE(BYTE_IDS, [(b"a", b"b"), (b"a", b"a")]), "ranks": lambda: BPE(BYTE_IDS),
    "CharBPE": lambda: CharBPE(IDS, MERGED, unk_token="<unk>", fuse_unk=True),
    "Spelled": lambda: Spelled(CharBPE(IDS, MERGED, unk_token="<unk>")),
    "ScoredBPE": lambda: ScoredBPE(PIECES, 0, unmatched=[0]),
    "ScoredBPE with unused pieces": lambda: ScoredBPE(PIECES, 0, unmatched=[0], unused=[4]),
    "Unigram": lambda: Unigram(PIECES, 0),
    "Characters": lambda: Characters(sorted("0123456789abcdef")),
    "Unigram of single precision": lambda: Unigram(PIECES, 0, single_precision=True),
    "WordPiece": lambda: WordPiece(IDS | {"##" + t: id + 50 for t, id in IDS.items()}, "<unk>",
                                   max_input_chars_per_word=SIZE)}


@contextmanager
def soon() -> Iterator[None]:
    start = time.process_time()
    yield
    assert time.process_time() - start < SECONDS


@pytest.mark.parametrize("word", GIANT)
@pytest.mark.parametrize("trainer", TRAINED)
def test_a_giant_word_is_learnt_from_and_encoded(trainer: str, word: str, tmp_path: Path) -> None:
    text = GIANT[word]
    with soon():
        tokenizer = TRAINED[trainer](text)
        ids = tokenizer.encode(text)
        assert tokenizer.encode_with_offsets(text)[0] == ids
        if trainer != "wordpiece":  # to which so long a word is unknown
            assert tokenizer.decode(ids) == text
        if trainer == "bpe":
            tokenizer.save(tmp_path / "own", "tiktoken")
            again = tiktoken.load(tmp_path / "own", "gpt2")
            again.save(tmp_path / "tokenizer.json")
            assert Tokenizer.load(tmp_path / "tokenizer.json").encode(text) == again.encode(text)


@pytest.mark.parametrize("model", MODELS)
def test_a_giant_word_is_encoded(model: str) -> None:
    with soon():
        tokenizer = Tokenizer(MODELS[model](), decoder=decoders.Fuse())
        for text in GIANT.values():
            assert tokenizer.decode(tokenizer.encode(text))


@pytest.mark.parametrize("decoder", [
    decoders.ByteLevel(), decoders.ByteFallback(), decoders.WordPiece(), decoders.Metaspace(),
    decoders.BPEDecoder(), decoders.Strip("a", 1, 1), decoders.Replace("a", "b"),
    decoders.Replace("a+$", "b", is_regex=True)], ids=lambda decoder: type(decoder).__name__)
def test_a_giant_word_is_decoded(decoder: decoders.Decoder) -> None:
    with soon():
        for tokens in (["a"] * SIZE, ["a" * SIZE], ["<0xE4>"] * SIZE, ["##a", " '", "a"] * SIZE):
            decoders.decode(decoder, tokens)
            decoders.decode_bytes(decoder, tokens)


def test_a_giant_word_beside_added_tokens_in_a_chat_and_token_by_token() -> None:
    names = control_tokens("plain")
    added = AddedTokens([*(AddedToken(name, 300 + i) for i, name in enumerate(names)),
                         AddedToken("aab", 299, special=False, single_word=True, lstrip=True)])
    tokenizer = Tokenizer(BPE(BYTE_IDS), decoder=decoders.ByteLevel(), added=added)
    with soon():
        for text in [*GIANT.values(), "<|user" * (SIZE // 6), "aab" * (SIZE // 3), " " * SIZE]:
            ids, _ = encode_chat(tokenizer, [{"role": "user", "content": text}], "plain")
            stream = tokenizer.stream_decoder()
            assert len("".join([*map(stream.push, ids.tolist()), stream.finish()])) >= len(text)
