"""One document: a text and where it came from."""

import pickle
from dataclasses import FrozenInstanceError

import pytest

from tinygrad_llm.data.read.documents import Document


def test_a_document_is_its_text_and_its_place_and_stays_so() -> None:
    document = Document("text", "a.zip", "a.zip!b.txt")
    assert document == Document("text", source="a.zip", name="a.zip!b.txt")
    assert len({document, Document("text", "a.zip", "a.zip!c.txt"), document}) == 2
    with pytest.raises(FrozenInstanceError):
        document.text = "other"  # type: ignore[misc]


def test_it_can_be_sent_to_processes() -> None:
    document = Document("tëxt \U0001f600", "shakespeare", "hamlet.md")
    assert pickle.loads(pickle.dumps(document)) == document
