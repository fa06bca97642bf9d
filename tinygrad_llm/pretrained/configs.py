"""Between Hugging Face's config.json and our configurations.

    read_config({"model_type": "gpt2", "n_layer": 12, ...})  ->  GPTConfig(layers=12, ...)
    write_config(GPTConfig(layers=12, ...))                  ->  {"model_type": "gpt2", ...}

A model is written as the first type whose file is read as the same model again; that it is read so
is tried, not believed. Where it came from a file and is unchanged, that file's fields are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from math import isclose, isfinite, sqrt
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from ..host.errors import UserError, did_you_mean, shortened
from ..models import GPTConfig, LlamaConfig
from ..nn.positions import scaling_from_dict, scaling_to_dict
from .fields import DIRECT, MODEL_TYPES, NEUTRAL, ONLY, ModelType

Config = GPTConfig | LlamaConfig
Fields = Mapping[str, Any]

ACTIVATIONS = {"silu": "silu", "swish": "silu", "gelu_pytorch_tanh": "gelu_tanh",
               "gelu_new": "gelu_tanh", "gelu": "gelu"}
LOCAL, GLOBAL = "sliding_attention", "full_attention"
_WORDS: dict[type, str] = {int: "a whole number", float: "a number", bool: "true or false",
                           str: "a text", list: "a list", dict: "an object"}


def model_type(given: Fields) -> ModelType:
    """Return what we know of a file's type of model. Raises UserError for an unknown one."""
    name = given.get("model_type")
    if not isinstance(name, str) or name not in MODEL_TYPES:
        raise UserError(f"model_type is {shortened(name)}, which is not supported"
                        f"{did_you_mean(str(name), MODEL_TYPES)}")
    return MODEL_TYPES[name]


def read_config(given: Fields) -> Config:
    """Return the configuration that a config.json describes.

    Raises UserError for a type of model, a field or a value that is not supported, by its name.
    """
    kind = model_type(given)
    _refuse_unknown(given, kind)
    known = _Known({**kind.fields, **given})
    config: type[Config] = GPTConfig if given["model_type"] == "gpt2" else LlamaConfig
    try:
        ours = _direct(known, kind, config) | dict(kind.ours)
        ours |= _of_gpt2(known) if config is GPTConfig else _of_llama(known, given, kind, ours)
        return config(**ours)
    except UserError:
        raise
    except (ValueError, OverflowError) as error:
        raise UserError(str(error)) from error


def _refuse_unknown(given: Fields, kind: ModelType) -> None:
    """Raise UserError for a field that would be ignored, and for a value that is not honoured."""
    only = {**ONLY, **kind.only}
    for name, value in given.items():
        if name in only and value not in only[name]:
            raise UserError(f"{name} is {shortened(value)}; only {_choice(only[name])} is "
                            f"supported" + (": it acts in training alone, so set it to that"
                                            if "drop" in name else ""))
        if name not in {*only, *_names(kind, given), *kind.fields, *NEUTRAL, *kind.neutral}:
            raise UserError(f"{shortened(name)} is {shortened(value)}: no such field is supported "
                            f"for {given['model_type']}; remove it if you are sure that it changes "
                            f"nothing")


def _choice(values: Sequence[Any]) -> str:
    return " or ".join(shortened(value) for value in values)


class _Known(dict[str, Any]):
    """The fields of a file, those that it leaves out at what transformers takes for them."""

    def one(self, name: str, kind: type, optional: bool = False) -> Any:
        """Return a field. Raises UserError for a value of another kind."""
        value: Any = self[name]
        if value is None and optional:
            return None
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind or (isinstance(value, float) and not isfinite(value)):
            raise UserError(f"{name}: expected {_WORDS[kind]}, got {shortened(value)}")
        return value


def _direct(known: _Known, kind: ModelType, config: type[Config]) -> dict[str, Any]:
    """Return the settings that are fields under another name; none is our 0."""
    hints = {name: get_args(hint)[0] if get_origin(hint) is Annotated else hint
             for name, hint in get_type_hints(config, include_extras=True).items()}
    found = {}
    for theirs in _names(kind, known):
        ours = DIRECT[theirs]
        value = known.one(theirs, hints[ours], optional=ours in MAY_BE_NONE)
        if value is not None and hints[ours] is not bool and not value > 0:
            raise UserError(f"{theirs} must be above 0, got {value}")
        found[ours] = hints[ours](0) if value is None else value
    if found["layers"] > MOST_LAYERS:
        raise UserError(f"{found['layers']} layers are more than the {MOST_LAYERS} that any model "
                        f"has; the file is damaged")
    return found


MAY_BE_NONE = ("key_heads", "head_width", "soft_cap", "logit_cap")
MOST_LAYERS = 4096


def _names(kind: ModelType, given: Fields) -> list[str]:
    """Return the fields that are settings of ours, of two spellings the one that is given."""
    twin = "num_local_experts"
    return [twin if name == "num_experts" and twin in given else name
            for name in kind.fields if name in DIRECT]


def _of_gpt2(known: _Known) -> dict[str, Any]:
    inner, width = known.one("n_inner", int, optional=True), known["n_embd"]
    if inner not in (None, 4 * width):
        raise UserError(f"n_inner is {inner}; only 4 n_embd, {4 * width}, is supported")
    shares = {known.one(name, float) for name in ("resid_pdrop", "embd_pdrop", "attn_pdrop")}
    if len(shares) > 1:
        raise UserError(f"resid_pdrop, embd_pdrop and attn_pdrop differ, {sorted(shares)}; one "
                        f"share for all is supported: they act in training alone, so set them to "
                        f"the same")
    return {"dropout": shares.pop()}


def _of_llama(known: _Known, given: Fields, kind: ModelType, ours: Fields) -> dict[str, Any]:
    found = _rotary(known, given) | _window(known, str(given["model_type"]), ours["layers"])
    name = "hidden_activation" if "hidden_activation" in kind.fields else "hidden_act"
    if (activation := known.one(name, str)) not in ACTIVATIONS:
        raise UserError(f"{name} is {shortened(activation)}; only {', '.join(ACTIVATIONS)} are "
                        f"supported")
    found["activation"] = ACTIVATIONS[activation]
    if "attention_bias" in kind.fields:
        found["qkv_bias"] = found["out_bias"] = known.one("attention_bias", bool)
    if "query_pre_attn_scalar" in kind.fields:  # Gemma
        if (scalar := known.one("query_pre_attn_scalar", float)) <= 0:
            raise UserError(f"query_pre_attn_scalar must be above 0, got {scalar}")
        found |= {"scale": scalar**-0.5, "embed_scale": sqrt(abs(ours["width"]))}
    if "router_aux_loss_coef" in kind.fields:
        found["balance"] = (known.one("router_aux_loss_coef", float)
                            if known.one("output_router_logits", bool) else 0.0)
    if kind.causal.startswith("Mixtral"):
        found |= {"expert_inner": ours["inner"]}
    return found


def _rotary(known: _Known, given: Fields) -> dict[str, Any]:
    """Return theta and its scaling, in the spelling of transformers 5 or of those before.

    A dynamic rule is for texts of more than `max_position_embeddings`, up to `factor` times as
    long, and these are then the context.
    """
    old = known.one("rope_scaling", dict, optional=True)
    rope = dict(old or known.one("rope_parameters", dict, optional=True) or {})
    theta = _Known(rope if rope.get("rope_theta") is not None else known).one("rope_theta", float)
    rope.pop("rope_theta", None)
    if rope.get("rope_type", rope.get("type")) in ("llama3", "yarn"):
        rope.setdefault("original_max_position_embeddings", known["max_position_embeddings"])
    scaling, length = scaling_from_dict(rope), known["max_position_embeddings"]
    if not scaling.startswith("dynamic"):
        return {"theta": theta, "rope_scaling": scaling}
    return {"theta": theta, "rope_scaling": f"{scaling} original={length}",
            "context": max(length, int(length * rope["factor"]))}


def _window(known: _Known, name: str, layers: int) -> dict[str, Any]:
    """Return the window, and the layers that have one."""
    if "sliding_window" not in known:
        return {}
    if "use_sliding_window" in known and not known.one("use_sliding_window", bool):
        types = known.get("layer_types")
        if types and LOCAL in types:
            raise UserError(f"layer_types has {LOCAL} though use_sliding_window is false; make one "
                            f"of them agree with the other")
        return {}
    window = known.one("sliding_window", int, optional=True)
    if window is None:
        return {}
    if window < 1:
        raise UserError(f"sliding_window must be at least 1, or null for none, got {window}")
    types = _layer_types(known, name, layers)
    pattern = "".join("L" if one == LOCAL else "G" for one in types)
    return {"window": window, "layer_pattern": shortest(pattern)} if "L" in pattern else {}


def shortest(pattern: str) -> str:
    """Return what a pattern repeats, from its beginning on and up to any of its letters.

    >>> shortest("LGLGL")
    'LG'
    """
    size = len(pattern)
    return next(pattern[:n] for n in range(1, size + 1)
                if (pattern[:n] * (size // n + 1))[:size] == pattern)


def _layer_types(known: _Known, name: str, layers: int) -> list[str]:
    """Return for each layer whether it has the window, by transformers' rule where none is said."""
    given: list[str] | None = known.one("layer_types", list, optional=True) if (
        "layer_types" in known) else None
    if given is not None:
        if len(given) != layers or not all(one in (LOCAL, GLOBAL) for one in given):
            raise UserError(f"layer_types: expected {LOCAL} or {GLOBAL} for each of {layers} "
                            f"layers, got {shortened(given)}")
        return given
    first = known.one("max_window_layers", int) if name in ("qwen2", "qwen2_moe", "qwen3") else 0
    local = {"gemma2": range(0, layers, 2), "qwen2_moe": range(0, min(first, layers), 2)}.get(
        name, range(first, layers))
    return [LOCAL if i in local else GLOBAL for i in range(layers)]


def write_config(config: Any, former: Fields | None = None) -> dict[str, Any]:
    """Return the content of a config.json that is read as `config`.

    `former` is the file that the model came from: kept as it is where that is read as `config`, and
    otherwise its type of model and its neutral fields. Dropout that transformers has not is left
    out, and biases that it has and we have not are zeros. Raises UserError where no type of model
    has all of the configuration's settings.
    """
    if former and _plain(read_config(former)) == _plain(config):
        return dict(former)
    if isinstance(config, LlamaConfig) and not config.gated:
        raise UserError(f"no type of model that transformers loads has a Llama's blocks with the "
                        f"activation {config.activation!r}, which is without a gate")
    names = [former["model_type"]] if former else []
    names += [name for name in MODEL_TYPES
              if (name == "gpt2") == isinstance(config, GPTConfig) and name not in names]
    ours, missed = _plain(config), []
    for name in names:
        written = {"model_type": name, **_fields(config, MODEL_TYPES[name])}
        try:
            again = _plain(read_config(written))
        except UserError:  # it has no experts where the type has some
            continue
        if ours == again:
            neutral = NEUTRAL | MODEL_TYPES[name].neutral
            return {**{key: value for key, value in (former or {}).items() if key in neutral},
                    **written}
        missed.append([key for key in ours if ours[key] != again.get(key)])
    raise UserError("no type of model that transformers loads has these settings together with "
                    "the others: " + ", ".join(f"{key} {ours[key]!r}" for key in
                                               min(missed, key=len)))


def _plain(config: Any) -> dict[str, Any]:
    """Return the settings that decide what is computed, each as if it had been given."""
    found = asdict(config)
    if isinstance(config, GPTConfig):
        del found["bias"]
        return found
    rotary = config.rotary()
    found |= {"rotary_interleaved": False,  # rows are written in the other order
              "zero_outputs": False,  # how it began changes nothing
              "key_heads": config.groups, "head_width": config.depth, "inner": config.columns,
              "scale": config.scale or config.depth**-0.5, "dropout": 0.0,
              "rope_scaling": [rotary.rule, rotary.options], "layer_pattern": _pattern(config)}
    if config.experts:
        found |= {"inner": 0, "mlp_bias": False, "expert_inner": config.expert_inner or max(
            1, config.columns // config.experts_per_token)}
    else:
        found |= {field.name: field.default for field in fields(LlamaConfig) if field.name in (
            "experts_per_token", "expert_inner", "shared_inner", "normalize_experts", "balance")}
    return found | ({} if "L" in found["layer_pattern"] else {"window": 0})


def _pattern(config: LlamaConfig) -> str:
    return "".join("L" if config.is_local(i) else "G" for i in range(config.layers))


def _fields(config: Any, kind: ModelType) -> dict[str, Any]:
    """Return the fields of a type of model that say what the configuration says, if they can."""
    plain = _plain(config)
    found = {theirs: plain[DIRECT[theirs]] or (None if DIRECT[theirs] in MAY_BE_NONE else
                                               plain[DIRECT[theirs]])
             for theirs in kind.fields if theirs in DIRECT}
    if isinstance(config, GPTConfig):
        return found | dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), config.dropout)
    rule, options = plain["rope_scaling"]
    own: dict[str, Any] = {
        "max_position_embeddings": round(options["original"]) if rule == "dynamic" else (
            config.context),
        "intermediate_size": plain["expert_inner"] if kind.causal.startswith("Mixtral")
        else config.columns,
        "attention_bias": config.qkv_bias, "hidden_act": _activation(config),
        "hidden_activation": _activation(config), "rope_theta": config.theta,
        "rope_scaling": scaling_to_dict(config.rope_scaling) if config.rope_scaling else None,
        "output_router_logits": config.balance > 0,
        "router_aux_loss_coef": config.balance or kind.fields.get("router_aux_loss_coef"),
        "query_pre_attn_scalar": _whole(plain["scale"]**-2),
        "use_sliding_window": plain["window"] > 0, "sliding_window": plain["window"] or None,
        "max_window_layers": config.layers,
        "layer_types": [LOCAL if one == "L" else GLOBAL for one in plain["layer_pattern"]]}
    return found | {name: own[name] for name in kind.fields
                    if name in own and (name != "rope_scaling" or own[name])}


def _activation(config: LlamaConfig) -> str:
    return next(theirs for theirs, ours in ACTIVATIONS.items() if ours == config.activation)


def _whole(x: float) -> float:
    """Return the whole number that x is but for rounding, or x."""
    return round(x) if isclose(x, round(x), rel_tol=1e-12) else x
