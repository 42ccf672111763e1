"""Kinds of unknown exceptions that the place where they rose tells, and what to do about them."""

from __future__ import annotations

from typing import Final

from rldoctor.causes.kinds import SHAPES, VERSIONS, Kind

_ROTARY: Final = r"rope_(?:theta|scaling|parameters|type|kwargs)|get_rope|rotary_emb"
_ROTARY_CURES: Final = (
    "Install the transformers that {libraries} and the checkpoint were written for (pip install "
    "'transformers<5', or the newer release whose config.json it has): 5 keeps rope_theta and rope_scaling "
    "in rope_parameters, 4.45 and 4.52 renamed keys in it; and upgrade {libraries} for a newer one",
    "Or write rope_scaling and rope_theta of config.json as the installed release reads them (the original "
    "model's config.json; rope_scaling null where the model needs none): {place}",
)
_CONVERTER: Final = (
    r"(?i)conver|hf2|2hf|2mg|mg2|2mcore|mcore2|2megatron|megatron2|saver_|loader_|tools/checkpoint/"
)
PLACES: Final = (
    Kind(
        r"\w*(?:Error|Exception)",
        r"(?i)\b(?:failed )?after \d+ (?:retries|attempts|tries)\b|(?:retries|attempts) (?:exhausted|failed)"
        r"|\breturned (?:http |status )*5\d\d\b",
        (
            "Read the log of the server that is asked there, at that moment: it died, is still loading, is "
            "too slow or refuses what it is sent ({message})",
            "Ask less of it at once (fewer concurrent requests, shorter answers, longer time-outs), and keep "
            "HTTP proxies out (no_proxy with each node's address)",
        ),
        "curl -s --noproxy '*' http://HOST:PORT/health; export no_proxy=localhost,127.0.0.1,HOST",
    ),
    Kind(
        r"\w*(?:Error|Exception)",
        r"(?i)\b(?:requires?|needs?|supports?|supported|only)\b[^.;]{0,60}(?:[<>]=?|==) ?v?\d+\.\d"
        r"|\b\d+\.\d[\w.]* (?:or|and) (?:newer|later|above|higher|greater)\b",
        (
            "Install the release that is asked for (pip install -U, or the framework's image): {message}",
            "Or do without what asks for it: {place}: {code}",
        ),
        VERSIONS,
    ),
    Kind(r"(?:Attribute|Key|Type|Value)Error", _ROTARY, _ROTARY_CURES, VERSIONS),
    Kind(r"(?:Attribute|Key|Type|Value|Assertion)Error", r"", _ROTARY_CURES, VERSIONS, code=_ROTARY),
    Kind(
        r"IndexError|ValueError|KeyError",
        r"index out of range|is not in list|^\d+$",
        (
            "Ask for no more GPUs, engines or nodes than that part has: {code} in {place} counts on more of "
            "them than its placement group, the node or CUDA_VISIBLE_DEVICES gives (the GPUs of the rollout "
            "and of one engine, the trainer's GPUs and nodes, colocated or apart)",
            "Start from the framework's own script for as many GPUs, and see what there is (ray status)",
        ),
        "ray status; nvidia-smi -L; echo $CUDA_VISIBLE_DEVICES",
        code=r"(?i)gpu|bundle|device_?(?:id|map|list|mesh)|node_?(?:id|ip|list)",
    ),
    Kind(
        r"ValueError|RuntimeError|TypeError",
        r"elements? cannot be converted to Scalar|[Oo]nly (?:one[- ]element|single-element|length-1|size-1)",
        (
            "Upgrade {libraries}: {place} takes one number where there are several (several layers of "
            "multi-token prediction, losses of several samples or GPUs, several rewards)",
            "Where that line is your own, take .mean() or .sum() of it first, or the first element: {code}",
        ),
        VERSIONS,
    ),
    Kind(
        r"ValueError|RuntimeError",
        r"output tensor size must be equal to world_size times input tensor size",
        (
            "Give every rank an equal share of what is gathered: sequences at once (max_num_seqs, sizes of "
            "CUDA graphs), batch, tokens and heads each a multiple of the ranks of that group, padded where "
            "they are not",
            "Switch off the parallelism that splits it (data parallel attention, sequence or Ulysses "
            "parallelism), or run without CUDA graphs, and upgrade {libraries}",
        ),
    ),
    Kind(
        r"AttributeError|TypeError",
        r"'?NoneType'?|BytesIO",
        (
            "Skip what holds no tensor (TransformerEngine's _extra_state is None or bytes) in {place}: "
            "{code}; newer releases of the converter do (git pull)",
            "Convert with the options of the checkpoint (its sizes, tied embeddings, number of experts and "
            "layers, transformer_impl), and the newest {libraries}",
        ),
        VERSIONS,
        file=_CONVERTER,
    ),
    Kind(
        r"RuntimeError|ValueError|AssertionError",
        SHAPES,
        (
            "Convert with tensor and pipeline parallel size 1 (--target-tensor-parallel-size 1; the trainer "
            "splits it on loading), or with the newest converter (Megatron Bridge, git pull)",
            "Give the converter the sizes of the checkpoint (layers, heads, query groups, experts, a padded "
            "vocabulary: --make-vocab-size-divisible-by, tied embeddings): {place}",
        ),
        file=_CONVERTER,
    ),
)
