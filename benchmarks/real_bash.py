"""What the static reader says of upstream's launch scripts against what real bash starts.

python benchmarks/real_bash.py CHECKOUT...

Each script is run by bash, every program that it would start replaced by one that only notes its arguments,
without network, without rights and with little time. Yet it is run: use a container that may be thrown away,
as root (the scripts run as nobody).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rldoctor import sources
from rldoctor.types import Command, RLDoctorError, Setting

NOTED = ("python", "python3", "ray", "torchrun", "accelerate", "deepspeed", "mpirun", "uv", "msrun")
SILENT = (
    *(
        "sleep",
        "pkill",
        "kill",
        "killall",
        "mkdir",
        "rm",
        "rmdir",
        "cp",
        "mv",
        "ln",
        "touch",
        "chmod",
        "chown",
    ),
    *("pip", "pip3", "wget", "curl", "git", "hf", "huggingface-cli", "modelscope", "apt", "apt-get", "wandb"),
    *("ssh", "scp", "rsync", "docker", "numactl", "sudo", "nvidia-smi", "srun", "ip", "ifconfig", "hostname"),
    *("free", "lsof"),
)
REAL = (
    *(
        "env",
        "bash",
        "sh",
        "dirname",
        "basename",
        "cat",
        "seq",
        "date",
        "grep",
        "awk",
        "sed",
        "head",
        "tail",
        "wc",
    ),
    *("tr", "cut", "printf", "echo", "pwd", "realpath", "readlink", "expr", "sort", "uniq", "id", "whoami"),
    *("uname", "nohup", "timeout", "xargs", "ls", "true", "false", "test", "time", "nproc"),
)
NOTE = '#!/bin/bash\n{ printf "%s\\0" "${0##*/}" "$@"; printf "\\1\\0"; } >> "$NOTES"\n'
CONFINED = (
    *("/usr/bin/unshare", "-n", "/usr/bin/setpriv"),
    *("--reuid=65534", "--regid=65534", "--clear-groups"),
)


def stubs(folder: Path) -> None:
    """Fill a folder with what stands for all programs."""
    folder.mkdir()
    texts = (
        dict.fromkeys(NOTED, NOTE)
        | dict.fromkeys(SILENT, "#!/bin/bash\n")
        | {"tee": "#!/bin/bash\ncat >&2\n"}
    )
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    for name in REAL:
        found = next(
            (Path(place, name) for place in ("/usr/bin", "/bin") if Path(place, name).exists()), None
        )
        if found is not None:
            (folder / name).symlink_to(found)


def limited() -> None:
    """Take time and processes from what becomes bash."""
    resource.setrlimit(resource.RLIMIT_CPU, (8, 8))
    resource.setrlimit(resource.RLIMIT_NPROC, (400, 400))


def started(script: Path, root: Path, programs: Path) -> list[Command]:
    """Return the commands that bash starts from a script, read from what each of them was given."""
    with tempfile.NamedTemporaryFile(dir=programs.parent) as notes:
        Path(notes.name).chmod(0o666)
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                [*CONFINED, "/bin/bash", str(script)],
                cwd=root,
                env={"PATH": str(programs), "NOTES": notes.name, "HOME": "/home/nobody", "USER": "nobody"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=12,
                start_new_session=True,
                preexec_fn=limited,
                check=False,
            )
        calls = Path(notes.name).read_bytes().split(b"\1\0")[:-1]
    lines = [shlex.join(word.decode(errors="replace") for word in call.split(b"\0")[:-1]) for call in calls]
    documents = [sources.read_text(line, str(script), "command") for line in lines if "\n" not in line]
    return [command for document in documents for world in document.worlds for command in world]


def said(script: Path) -> list[Command]:
    """Return the commands that the static reader tells of a script, of all its worlds."""
    return [command for world in sources.read(str(script)).worlds for command in world]


def contradicted(told: Command, real: Command) -> list[tuple[Setting, str]]:
    """Return the settings that are called known or assumed and that bash gives another value."""
    values: dict[str, list[str]] = {}
    for setting in real.settings:
        values.setdefault(setting.key, []).append(str(setting.value))
    return [
        (setting, ", ".join(values.get(setting.key, ["(not given)"])))
        for setting in told.settings
        if setting.form != "env"
        and setting.state != "unknown"
        and str(setting.value) not in values.get(setting.key, ())
    ]


def compared(script: Path, root: Path, programs: Path, counts: Counter[str]) -> Iterator[str]:
    """Yield a line for each command of bash that no command of the reader agrees with."""
    told = [command for command in said(script) if any(setting.form != "env" for setting in command.settings)]
    for real in started(script, root, programs):
        same = [command for command in told if command.program == real.program]
        if not same or not real.settings:
            counts["calls without settings, or of other programs"] += 1
            continue
        best = min(same, key=lambda command: len(contradicted(command, real)))
        wrong = contradicted(best, real)
        counts["calls"] += 1
        counts["words"] += sum(setting.form != "env" for setting in best.settings)
        counts["unknown"] += sum(
            setting.form != "env" and setting.state == "unknown" for setting in best.settings
        )
        counts["contradicted"] += len(wrong)
        for setting, value in wrong:
            yield f"{script}: {setting.key}: said {setting.value!r} ({setting.state}), bash gives {value!r}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was compared, and each word that bash contradicts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkouts", nargs="+", type=Path)
    told = parser.parse_args(arguments)
    if os.geteuid() != 0:
        parser.error("the scripts run as nobody, which takes root")
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        programs = Path(folder, "bin")
        stubs(programs)
        for root in told.checkouts:
            for script in sorted(root.rglob("*.sh")):
                counts["scripts"] += 1
                try:
                    for line in compared(script, root, programs, counts):
                        print(line)
                except RLDoctorError:
                    counts["scripts that cannot be read"] += 1
    print("; ".join(f"{what}: {number}" for what, number in counts.items()))
    return int(counts["contradicted"] > 0)


if __name__ == "__main__":
    sys.exit(main())
