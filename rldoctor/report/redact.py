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
    r"|AKIA[0-9A-Z]{16}|xox[abprs]-[\w-]{10,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{5,}"
    r"|AIza[0-9A-Za-z_-]{30,}|npm_[A-Za-z0-9]{30,}|dckr_pat_[\w-]{20,}|nvapi-[\w-]{20,}|ms-[0-9a-f]{8}-[0-9a-f-]{27}"
    r"|github_pat_\w{20,}|wandb_v\d_\w{20,})"
)
_FLAG = re.compile(
    r"""(--?[\w-]*(?:api[_-]?key|secret|passw(?:or)?d|access[_-]?key|(?:hf|hub|auth|access|api|wandb)[_-]?token|token)"""
    r"""\s+["']?|\b(?:wandb|huggingface-cli|hf auth)\s+login\s+(?:--\w+\s+)*)(?![-$\[])([^\s"']{16,})""",
    re.IGNORECASE,
)
_SIGNED = re.compile(
    r"([?&](?:X-Amz-(?:Signature|Credential|Security-Token)|sig|signature|token|access_token)=)[^&\s\"']+",
    re.IGNORECASE,
)
_ACCOUNT = re.compile(r"((?:AccountKey|SharedAccessKey)=)[A-Za-z0-9+/=]{16,}")
_HOOK = re.compile(
    r"(https://hooks\.slack\.com/services/|https://oapi\.dingtalk\.com/robot/send\?access_token=)[\w/-]+"
)
_USER = re.compile(r"(\bhttps?://)[A-Za-z0-9_.-]{16,}(?=@)")
_PEM = re.compile(r"(-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----).*?(?=-----END|$)", re.DOTALL)
_HEADER = re.compile(r"(?i)\b((?:set-)?cookie\s*:\s*)[^\n]{8,}")
_BEARER = re.compile(r"(?i)\b(bearer|basic)(\s+)[A-Za-z0-9+/._~-]{12,}=*")
_URL = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^/\s:@]*:)[^@\s/]+(?=@)", re.IGNORECASE)


def redact(text: str) -> str:
    """Return the text with what looks like a secret replaced."""
    text = _SHAPED.sub(HIDDEN, _URL.sub(rf"\1{HIDDEN}", text))
    for pattern in (_FLAG, _SIGNED, _ACCOUNT, _HOOK, _USER, _PEM, _HEADER):
        text = pattern.sub(rf"\1{HIDDEN}", text)
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
