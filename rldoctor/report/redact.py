"""Taking secrets out of whatever is shown: keys, tokens, passwords in URLs."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any, Final

from msgspec import Struct

HIDDEN: Final = "[redacted]"
_WHAT: Final = ("api", "access", "private", "secret", "auth", "ssh")
_WHOSE: Final = (
    *(
        "hf",
        "huggingface",
        "hugging_face",
        "hub",
        "auth",
        "access",
        "github",
        "gitlab",
        "api",
        "bearer",
        "wandb",
    ),
    *("session", "swanlab", "ms"),
)
_ACCOUNTS: Final = ("db", "pg", "postgres", "mysql", "mongo", "redis", "smtp", "proxy", "user", "admin")
_NAMES: Final = (
    *(f"{what}{mark}key" for what in _WHAT for mark in ("", "_", "-")),
    *(f"{whose}{mark}token" for whose in _WHOSE for mark in ("", "_", "-")),
    *(f"{whose}_pass" for whose in _ACCOUNTS),
    *("secret", "passwd", "password", "credential"),
)
_ENDS: Final = tuple(f"{word}{space}" for word in ("token", "key") for space in " \t\n\r")


class Kind(Struct, frozen=True):
    """One shape of a secret: words of which one stands in every such text, and what is kept of it.

    The words are looked for first: most texts hold none, and a pattern that is not needed is not compiled.
    """

    words: tuple[str, ...]
    pattern: str
    kept: str = r"\1"
    flags: re.RegexFlag = re.IGNORECASE


KINDS: Final = (
    Kind(("://",), r"(\b[a-z][a-z0-9+.-]*://[^/\s:@]*:)[^@\s/]+(?=@)"),
    Kind(
        (
            "hf_",
            "sk-",
            "gh",
            "glpat-",
            "akia",
            "xox",
            "eyj",
            "aiza",
            "npm_",
            "dckr_pat_",
            "nvapi-",
            "ms-",
            "wandb_v",
        ),
        r"\b(?:hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|glpat-[\w-]{16,}"
        r"|AKIA[0-9A-Z]{16}|xox[abprs]-[\w-]{10,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{5,}"
        r"|AIza[0-9A-Za-z_-]{30,}|npm_[A-Za-z0-9]{30,}|dckr_pat_[\w-]{20,}|nvapi-[\w-]{20,}|ms-[0-9a-f]{8}-[0-9a-f-]{27}"
        r"|github_pat_\w{20,}|wandb_v\d_\w{20,})",
        kept="",
        flags=re.NOFLAG,
    ),
    Kind(
        ("secret", "passwd", "password", "login", *_ENDS),
        r"""(--?[\w-]*(?:api[_-]?key|secret|passw(?:or)?d|access[_-]?key|(?:hf|hub|auth|access|api|wandb)[_-]?token|token)"""
        r"""\s+["']?|\b(?:wandb|huggingface-cli|hf auth)\s+login\s+(?:--\w+\s+)*)(?![-$\[])([^\s"']{16,})""",
    ),
    Kind(
        ("?", "&"),
        r"([?&](?:X-Amz-(?:Signature|Credential|Security-Token)|sig|signature|token|access_token)=)[^&\s\"']+",
    ),
    Kind(("accountkey", "sharedaccesskey"), r"((?:AccountKey|SharedAccessKey)=)[A-Za-z0-9+/=]{16,}"),
    Kind(
        ("hooks.slack", "dingtalk"),
        r"(https://hooks\.slack\.com/services/|https://oapi\.dingtalk\.com/robot/send\?access_token=)[\w/-]+",
    ),
    Kind(("@",), r"(\bhttps?://)[A-Za-z0-9_.-]{16,}(?=@)"),
    Kind(
        ("private key-----",),
        r"(-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----).*?(?=-----END|$)",
        flags=re.I | re.DOTALL,
    ),
    Kind(("sshpass",), r"(\bsshpass\s+-p\s*)[^\s]+"),
    Kind(("cookie",), r"\b((?:set-)?cookie\s*:\s*)[^\n]{8,}"),
    Kind(("bearer", "basic"), r"\b((?:bearer|basic)\s+)[A-Za-z0-9+/._~-]{12,}=*"),
)
NAMED: Final = Kind(
    _NAMES,
    r"""((?:api|access|private|secret|auth|ssh)[_-]?key|secret|passw(?:or)?d|credentials?"""
    r"""|(?:hf|hugging_?face|hub|auth|access|github|gitlab|api|bearer|wandb|session|swanlab|ms)[_-]?token"""
    rf"""|(?:{"|".join(_ACCOUNTS)})_pass)"""
    r"""((?![a-z_]*error\b)(?:[a-z_]*)["']?\s*[=:]\s*\\?["']?)([^\s"',;&}\\]{6,})""",
)


@lru_cache(maxsize=2048)  # names, keys and origins stand in a report many times
def redact(text: str) -> str:
    """Return the text with what looks like a secret replaced."""
    small = text.lower()
    for kind in KINDS:
        if _may_hold(kind, small):
            text = _compiled(kind).sub(f"{kind.kept}{HIDDEN}", text)
    return _compiled(NAMED).sub(_hide, text) if _may_hold(NAMED, small) else text


def _may_hold(kind: Kind, small: str) -> bool:
    return any(word in small for word in kind.words)


@cache
def _compiled(kind: Kind) -> re.Pattern[str]:
    return re.compile(kind.pattern, kind.flags)


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
    if isinstance(key, str) and isinstance(value, str) and _names_a_secret(key.split(".")[-1]):
        return HIDDEN if not value.startswith("$") else value
    return redact_all(value)


def _names_a_secret(key: str) -> bool:
    return _may_hold(NAMED, key.lower()) and _compiled(NAMED).search(f"{key}=xxxxxx") is not None
