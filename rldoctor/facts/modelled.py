"""Facts from the files of a model or a checkpoint, where those are here, else from a known name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from rldoctor.facts.table import Table
from rldoctor.models import Shape
from rldoctor.models import shape as shape_of
from rldoctor.types import UNKNOWN, Document, Fact, Origin, RLDoctorError, Role, Setting, State
from rldoctor.vocabulary import load as vocabulary

if TYPE_CHECKING:
    from rldoctor.facts.walk import Facts
    from rldoctor.models.checkpoints import Markers
    from rldoctor.models.tokens import StopTokens

SHAPED: Final[Mapping[str, str]] = {
    "model.num_layers": "num_layers",
    "model.hidden_size": "hidden_size",
    "model.ffn_hidden_size": "ffn_hidden_size",
    "model.num_heads": "num_heads",
    "model.num_kv_heads": "num_kv_heads",
    "model.head_dim": "head_dim",
    "model.vocab_size": "vocab_size",
    "model.tie_embeddings": "tie_embeddings",
    "model.num_experts": "num_experts",
    "model.moe_ffn": "moe_ffn",
    "model.moe_topk": "moe_topk",
    "model.moe_shared_ffn": "shared_ffn",
    "model.max_positions": "max_positions",
    "model.type": "architecture",
}
ALWAYS: Final = ("model.max_positions", "model.type", "model.num_params")
MODELS: Final[tuple[Role, ...]] = ("policy", "critic", "rm")
FOLDERS: Final = (
    ("ckpt.load_dir", "ckpt.load_marker", "ckpt.load_format"),
    ("ckpt.ref_load_dir", "ckpt.ref_load_marker", "ckpt.ref_load_format"),
)
_UNRESOLVED: Final = re.compile(r"^.*[$`}][^/]*")


class _Source(Struct, frozen=True):
    """Where several facts come from, and what they take for granted."""

    table: Table
    role: Role
    text: str
    path: str
    trouble: str = ""
    assumes: tuple[str, ...] = ()

    def put(self, concept: str, value: Any) -> None:
        """Put a fact into the table; one that is unknown hangs on the path, or on what is wrong there."""
        inputs = ((self.role, self.path),)
        if value is UNKNOWN:
            origin, depends = Origin("model", inputs=inputs), (self.trouble or self.path,)
            self.table.put(Fact(self.role, concept, value, origin, "unknown", depends=depends))
            return
        state: State = "assumed" if self.assumes else "known"
        origin = Origin("model", self.text, inputs=inputs)
        self.table.put(Fact(self.role, concept, value, origin, state, assumes=self.assumes))


def roots(document: Document | None) -> tuple[Path, ...]:
    """Return the folders that relative paths of a document may start from, most likely first."""
    beside = Path(document.path).parent if document is not None and document.kind != "log" else None
    return tuple(dict.fromkeys(folder for folder in (beside, Path.cwd()) if folder is not None))


def found(path: str, document: Document | None) -> Path | None:
    """Return where a path of a document is on this machine, None where it is not."""
    named = Path(path).expanduser()
    places = [named] if named.is_absolute() else [root / named for root in roots(document)]
    return next((place for place in places if _is_here(place)), None)


def models(table: Table, document: Document | None) -> None:
    """Put the shape and the stop tokens of each role's model into the table."""
    for role in MODELS:
        if role == "policy" or ((role, "model.path") in table.rows and table.in_use(role)):
            _model(table, role, document)


def checkpoints(table: Table, document: Document | None) -> None:
    """Put what the folders to load hold into the table; a folder that is not here leaves it unknown."""
    for folder, marker, form in FOLDERS:
        path, step = table.get(folder), table.get("ckpt.step")
        if path is None:
            continue
        here = found(path, document) if isinstance(path, str) else None
        seen = _markers(here, step) if here is not None else None
        source = _Source(table, "policy", f"files of {here}", folder)
        source.put(marker, seen.iteration if seen is not None and _is_listed(seen) else UNKNOWN)
        source.put(form, _format(seen))
        if folder == "ckpt.load_dir":
            source.put("ckpt.load_iterations", UNKNOWN if seen is None else list(seen.iterations))


def _markers(folder: Path, step: Any) -> Markers:
    from rldoctor.models.checkpoints import markers  # only for a checkpoint that is here

    return markers(folder, step if isinstance(step, int) else None)


def named_shape(facts: Facts, role: Role) -> Shape | None:
    """Return the whole shape of a role's model from its folder or its name, None where nobody knows it."""
    return _shape(named_model(facts, role))[0]


def named_model(facts: Facts, role: Role) -> str:
    """Return the folder of a role's model where it is here, else its name as far as it is known."""
    if facts.table is None:
        return ""
    text, _ = _name(facts.table.fact("model.path", role), facts.table.setting("model.path", role))
    folder = found(text, facts.document) if text else None
    return str(folder) if folder is not None else text


def _model(table: Table, role: Role, document: Document | None) -> None:
    path = table.fact("model.path", role)
    text, sure = _name(path, table.setting("model.path", role))
    if path.origin.kind == "default" and document is not None and document.kind == "yaml":
        text = ""  # a command names the model for the file
    folder = found(text, document) if text else None
    shape, trouble = _shape(str(folder) if folder is not None else text)
    arguments = any(
        table.written(name, role) is not None for name in ("model.num_layers", "model.hidden_size")
    )
    named = shape is not None and folder is None and (not sure or text.startswith(("/", "~", ".")))
    assumes = (f"the model is what its name says: {text}",) if named else ()
    source = _Source(table, role, shape.source if shape else "", "model.path", trouble, assumes)
    for concept, value in _values(shape):
        if (arguments and concept not in ALWAYS) or table.written(concept, role) is not None:
            continue
        if path.value is None and table.get(concept, role) not in (None, UNKNOWN):
            continue  # no model is named: the shape is the one that the system builds by default
        source.put(concept, value)
    ends = _stop_tokens(folder) if folder is not None else None
    tokens = _Source(table, role, f"files of {folder}", "model.path", trouble)
    tokens.put("model.stop_token_ids", UNKNOWN if ends is None else list(ends.ids))
    tokens.put("model.chat_end_ids", UNKNOWN if ends is None else list(ends.chat_end_ids))
    has_template = ends.has_template if ends is not None else None
    tokens.put("model.has_chat_template", UNKNOWN if has_template is None else has_template)


def _stop_tokens(folder: Path) -> StopTokens:
    from rldoctor.models.tokens import stop_token_ids  # only a model that is here has files

    return stop_token_ids(folder)


def _values(shape: Shape | None) -> Iterable[tuple[str, Any]]:
    for concept, attribute in SHAPED.items():
        yield concept, UNKNOWN if shape is None else getattr(shape, attribute) or _falsy(shape, attribute)
    yield "model.num_params", UNKNOWN if shape is None else shape.num_params()


def _falsy(shape: Shape, attribute: str) -> Any:
    """Return False for a bool and None for a size of 0: a dense model has no experts, not 0 of them."""
    return False if isinstance(getattr(shape, attribute), bool) else None


def _name(path: Fact, setting: Setting | None) -> tuple[str, bool]:
    """Return a model's path or name, and whether all of it is known; of ``$X/Qwen3-8B`` the end is."""
    if isinstance(path.value, str):
        return path.value, True
    text = str(setting.value) if setting is not None and isinstance(setting.value, str) else ""
    return _UNRESOLVED.sub("", text).lstrip("/"), False


def _shape(text: str) -> tuple[Shape | None, str]:
    if not text:
        return None, ""
    try:
        return shape_of(text), ""
    except RLDoctorError as error:  # one model's broken file leaves the others' facts
        return None, str(error)


def _is_listed(seen: Markers) -> bool:
    return not seen.note.startswith("cannot be listed")


def _format(seen: Markers | None) -> Any:
    if seen is None or not _is_listed(seen):
        return UNKNOWN
    return seen.format if seen.format in vocabulary().concepts["ckpt.load_format"].choices else None


def _is_here(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long or with a zero byte is no file
        return False
