"""Train a byte-level BPE tokenizer on Shakespeare's plays: see the first merges, then use it.

Count every word. Of all neighbours in all words the most frequent pair becomes a token; again.
"""

import itertools
import tempfile
import time
from collections import Counter
from pathlib import Path

from tinygrad_llm.data import read_corpus
from tinygrad_llm.text import load_tokenizer, train_bpe
from tinygrad_llm.text.training.bpe_merges import learn_merges, learn_merges_plainly, replace_pair
from tinygrad_llm.text.training.pretoken_counts import count_pretokens

FIRST = 12
plays = read_corpus("shakespeare")
counts = count_pretokens([plays], workers=1, progress=False)
print(f"{sum(counts.values()):,} words, {len(counts):,} different ones, the most frequent:")
print("   ", ", ".join(f"{word!r} {n:,}" for word, n in Counter(counts).most_common(6)), "\n")

# The definition, with eyes: tokens are bytes objects here, where the library has their ids.
words = [([bytes([byte]) for byte in word.encode()], n) for word, n in counts.items()]
found = []
for step in range(1, FIRST + 1):
    pairs = Counter()
    for tokens, n in words:
        for pair in itertools.pairwise(tokens):
            pairs[pair] += n
    best, times = pairs.most_common(1)[0]
    words = [(replace_pair(tokens, best, best[0] + best[1]), n) for tokens, n in words]
    found.append(best)
    left, right = (token.decode() for token in best)
    print(f"merge {step:2}: {left!r:6} + {right!r:6} {times:9,} times")

# The same from the library, first to be read, then to be fast.
assert learn_merges_plainly(counts, 256 + FIRST) == found
start = time.perf_counter()
merges = learn_merges(counts, 4096)
print(f"\n{len(merges):,} merges in {time.perf_counter() - start:.1f} s by the fast trainer")
assert merges[:FIRST] == found
print(f"the fast trainer begins with the same {FIRST} merges")

# All of it in one call, with a special token that text cannot spell by accident.
tokenizer = train_bpe([plays], 256 + len(merges) + 1, special_tokens=["<|endoftext|>"], workers=1,
                      progress=False)
sentence = "Shall I compare thee to a summer's day? Naïve, 雪."
ids, offsets = tokenizer.encode_with_offsets(sentence)
print(f"\n{sentence!r}\n -> {ids}")
print(" ->", " | ".join(sentence[a:b] for a, b in offsets[:14]), "| ...")
assert tokenizer.decode(ids) == sentence
print("decode(encode(s)) == s, also for letters that Shakespeare never wrote")
size = len(plays.encode())
tokens = len(tokenizer.encode_to_array(plays))
print(f"the plays: {size:,} bytes in {tokens:,} tokens, {size / tokens:.2f} bytes a token")

with tempfile.TemporaryDirectory() as folder:
    tokenizer.save(Path(folder, "tokenizer.json"))  # Hugging Face's library reads it, too
    assert load_tokenizer(folder).encode(sentence) == ids
