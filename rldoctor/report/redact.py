"""Taking secrets out of whatever is shown: keys, tokens, passwords in URLs."""

from __future__ import annotations

import re
from typing import Any, Final

HIDDEN: Final = "[redacted]"
_NAMED = re.compile(
    r"""((?:api|access|private|secret|auth|ssh)[_-]?key|secret|passw(?:or)?d|credentials?"""
    r"""|(?:hf|hugging_?face|hub|auth|access|github|gitlab|api|bearer|wandb|session|swanlab|ms)_?token)"""
    r"""((?:[a-z_]*)["']?\s*[=:]\s*\\?["']?)([^\s"',;&}\\]{6,})""",
    re.IGNORECASE,
)
_SHAPED = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|glpat-[\w-]{16,}"
    r"|AKIA[0-9A-Z]{16}|xox[abprs]-[\w-]{10,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{5,})"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)(\s+)[A-Za-z0-9+/._~-]{12,}=*")
_URL = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^/\s:@]*:)[^@\s/]+(?=@)", re.IGNORECASE)


def redact(text: str) -> str:
    """Return the text with what looks like a secret replaced."""
    text = _SHAPED.sub(HIDDEN, _URL.sub(rf"\1{HIDDEN}", text))
    return _NAMED.sub(_hide, _BEARER.sub(rf"\1\2{HIDDEN}", text))


def _hide(found: re.Match[str]) -> str:
    told = found[3].startswith(("$", HIDDEN)) or found[3].lower() in ("none", "null", "true", "false")
    return found[0] if told else f"{found[1]}{found[2]}{HIDDEN}"


def redact_all(value: Any) -> Any:
    """Return a JSON-able value with every text in it redacted."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: _redact_entry(key, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_all(item) for item in value]
    return value


def _redact_entry(key: Any, value: Any) -> Any:
    if isinstance(key, str) and isinstance(value, str) and _NAMED.search(f"{key.split('.')[-1]}=xxxxxx"):
        return HIDDEN if not value.startswith("$") else value
    return redact_all(value)
