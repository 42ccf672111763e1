"""What to do about a shell's own last words: a command it lacks, a script it cannot read or run."""

from __future__ import annotations

from typing import Final

from rldoctor.causes.kinds import Kind

PASSED_OVER: Final = ("not found", "not run")
_BY_BASH: Final = (
    "Run the script with bash (bash SCRIPT, bash -c '...', #!/bin/bash in its first line; in a Dockerfile "
    'SHELL ["/bin/bash", "-c"]): sh is dash on Debian and Ubuntu and knows nothing of {message}',
    "Write that line as POSIX sh has it (. FILE for source, [ ... ] for [[ ... ]], no arrays, no pipefail)",
)

SHELLS: Final = (
    Kind(
        r"not found",
        r": (?:source|\[\[|shopt|declare|typeset|pushd|popd|mapfile|readarray|function|let): not found",
        _BY_BASH,
    ),
    Kind(r"mistake in the script", r"\b(?:Syntax error|Bad substitution|Illegal option)\b", _BY_BASH),
    Kind(
        r"mistake in the script",
        r"unbound variable",
        (
            "Set that variable where the job starts, and hand it on to the node and the container, or give "
            "it a default (${{NAME:-}}), which set -u asks for: {message}",
        ),
    ),
    Kind(
        r"mistake in the script",
        r"",
        (
            "Mend the line that the shell names, or a quote, bracket, if or loop that is left open above it: "
            "{message}",
        ),
        "bash -n SCRIPT",
    ),
    Kind(
        r"not found",
        r"can't open file",
        (
            "Start in the folder that holds the file (cd, Slurm's --chdir, docker -w, Ray's working_dir), or "
            "give its absolute path, with the checkout mounted on every node and in the container: {message}",
        ),
        "pwd; ls",
    ),
    Kind(
        r"not found",
        r": (?:command )?not found",
        (
            "Install the program that the line names, or put its folder on the PATH of the shell that runs "
            "the script (activate the environment inside the job and the container, module load, an absolute "
            "path, python -m): {message}",
            "Where the name is no program but an argument or a variable, look at the line before it: a "
            "backslash with a space after it, a space around =, a variable that is empty",
        ),
        "echo $PATH; command -v PROGRAM",
    ),
    Kind(
        r"not run",
        r"No such file or directory",
        (
            "Give a path that exists on that node and in the container (absolute, mounted), with an "
            "interpreter in its first line that exists there, too: {message}",
        ),
        "ls -l FILE; head -1 FILE",
    ),
    Kind(
        r"not run",
        r"",
        (
            "Make the file executable, or hand it to its interpreter (bash FILE, python FILE), from a file "
            "system that is not mounted noexec and for this processor: {message}",
        ),
        "chmod +x FILE; file FILE; mount | grep noexec",
    ),
)
"""In order of precedence, by the names that the reading of a log gives such failures."""
