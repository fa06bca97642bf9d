"""The tables of config.json's fields."""

from dataclasses import fields

from tinygrad_llm.models import GPTConfig, LlamaConfig
from tinygrad_llm.pretrained.fields import DIRECT, MODEL_TYPES, NEUTRAL, ONLY


def test_a_field_stands_in_one_table() -> None:
    for name, kind in MODEL_TYPES.items():
        tables = [set(kind.fields), set(kind.only) | set(ONLY), set(NEUTRAL) | kind.neutral]
        for i, table in enumerate(tables):
            for other in tables[:i]:
                assert not table & other, (name, table & other)


def test_direct_fields_are_settings_of_ours() -> None:
    ours = {field.name for config in (GPTConfig, LlamaConfig) for field in fields(config)}
    assert set(DIRECT.values()) <= ours
    for kind in MODEL_TYPES.values():
        assert set(kind.ours) <= ours
        direct = [DIRECT[name] for name in kind.fields if name in DIRECT]
        assert len(direct) == len(set(direct)), "two fields set the same"
