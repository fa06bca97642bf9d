"""Let a model write: one text, many at once, by seeds, and nothing but what a form allows.

A tiny GPT learns lines such as `A fox is 4: {"name": "fox", "age": 4}` in a few seconds. Then
everything that `docs/generation.md` is about is tried on it, and shown beside the slow way.
"""

import json
import random
import re

import numpy as np

from tinygrad_llm.data import Batches
from tinygrad_llm.models import GPT, GPTConfig
from tinygrad_llm.nn import parameters
from tinygrad_llm.optim import AdamW
from tinygrad_llm.sample import Batcher, Sampling, generate
from tinygrad_llm.sample.constrained import json_schema, regular_expression
from tinygrad_llm.text import CharTokenizer
from tinygrad_llm.train import next_token, train_step

ANIMALS = ["fox", "dog", "owl", "sheep", "mouse", "horse"]
chosen = random.Random(0)
text = "".join(f'A {name} is {age}: {{"name": "{name}", "age": {age}}}\n'
               for name, age in ((chosen.choice(ANIMALS), chosen.randint(1, 12))
                                 for _ in range(400)))
tokenizer = CharTokenizer.from_text(text)
V = tokenizer.vocab_size
model = GPT(GPTConfig(vocab_size=V, context=64, layers=2, heads=4, width=64), seed=1)
batches = Batches(tokenizer.encode_to_array(text), batch=12, context=64, seed=2)
optimizer = AdamW(parameters(model))
for step in range(200):
    loss, _ = train_step(model, optimizer, next_token, batches.at(step), lr=4e-3, clip=1.0,
                         key=None)
print(f"a GPT of {sum(p.size for p in parameters(model).values()):,} parameters, loss {loss:.3f}")

print("\none text, as it comes:")
batcher = Batcher(model, tokenizer)
prompt = tokenizer.encode("A fox is ")
for piece in batcher.stream(batcher.add(prompt, Sampling(max_tokens=60, stop="\n", seed=1))):
    print(piece, end="", flush=True)

print("\n\nsix at once, of two prompts and three seeds, each with a length of its own:")
asked = [(prompt, Sampling(temperature=0.9, max_tokens=60, stop="\n", seed=seed))
         for prompt in ("A sheep", "A horse is 1") for seed in (1, 2, 3)]
handles = [batcher.add(tokenizer.encode(prompt), sampling) for prompt, sampling in asked]
for (prompt, _), handle in zip(asked, batcher.run(handles), strict=True):
    print(f"  {prompt + handle.text:44} {len(handle.ids):2} tokens, {handle.reason}")
for (prompt, sampling), handle in zip(asked, handles, strict=True):
    slowly = generate(model, tokenizer.encode(prompt), len(handle.ids), Sampling(
        temperature=0.9, seed=sampling.seed), cache=False)
    assert list(slowly) == handle.ids  # alone, without a cache, all anew for each token
print("each is the text of its seed alone, computed anew for each token")

print("\nhow likely each token was, and what else it might have been:")
handle = batcher.add(tokenizer.encode("A mouse is"), Sampling(max_tokens=6, seed=4, logprobs=3))
batcher.run()
for choice in handle.choices:
    top = "  ".join(f"{tokenizer.decode([id])!r} {np.exp(p):5.1%}" for id, p in choice.top)
    print(f"  {tokenizer.decode([choice.token])!r} {np.exp(choice.logprob):6.1%}   of {top}")

print("\nnothing but what a pattern matches, where it would write something else:")
year = regular_expression("[12][0-9]{3}", tokenizer, V)
handle = batcher.add(tokenizer.encode("A sheep is "), Sampling(
    max_tokens=9, seed=1, constraint=year))
batcher.run()
assert re.fullmatch("[12][0-9]{3}", handle.text)
print(f"  A sheep is {handle.text}")

print("\nnothing but JSON of a schema, at temperature 2:")
schema = {"type": "object", "required": ["name", "age"], "additionalProperties": False,
          "properties": {"name": {"enum": ANIMALS}, "age": {"type": "integer", "minimum": 1,
                                                            "maximum": 12}}}
answer = json_schema(schema, tokenizer, V)
for most in (answer.shortest, 60):
    handle = batcher.add(tokenizer.encode("A dog is 3: "), Sampling(
        temperature=2.0, seed=5, max_tokens=most, constraint=answer))
    batcher.run()
    print(f"  within {most} tokens: {handle.text:32} {json.loads(handle.text)}")
print("every answer was valid, the shortest possible one as well")
