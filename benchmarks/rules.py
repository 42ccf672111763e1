"""What 500 more rules add to `rldoctor check FILE`, whole process (budget: less than 10 ms).

    python benchmarks/rules.py [RULES] [RUNS]

The same file is checked in turn with the program's rules alone and with made ones beside them, each a
configuration rule over several facts and a log rule with a pattern of its own.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from startup import ENVIRONMENT, SCRIPT, seconds

RULE = """\
severity: warning
title: "{{train.tp}} is more than {limit}"
explanation: >
  A made rule of the size of a real one. It says why the thing is bad, what the cure changes, and where the
  knowledge comes from, in a few sentences, as the real rules do; nobody reads it.
references: [https://example.org/{number}]
family: config
verdict: config
on:
- config: {{when: train.tp * train.pp > {limit} and rollout.engine == 'vllm'}}
- log: {{find: "made pattern {number}", near: [traceback], when: model.num_experts > {number}}}
when: train.backend in ['megatron', 'fsdp'] and batch.max_tokens_per_gpu < {number}
explains: [process_death]
remedies:
- {{title: Half of it, safety: unsafe, set: {{train.tp: halve(train.tp)}}}}
- {{title: Look at it, safety: manual}}
tests:
- {{name: too many, facts: {{train.tp: 8}}, expect: certain}}
- {{name: few, facts: {{train.tp: 1}}, expect: none}}
"""


def make(folder: Path, rules: int) -> None:
    """Write as many rules into a folder as the user might."""
    for number in range(rules):
        path = folder / "train" / f"made-bad-thing-{number}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(RULE.format(number=number, limit=10_000 + number))


def main() -> None:
    """Print both medians of interleaved runs and their difference."""
    rules = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 25
    with tempfile.TemporaryDirectory() as folder:
        few, many = Path(folder, "few"), Path(folder, "many")
        for place, number in ((few, 0), (many, rules)):
            place.mkdir()
            make(place, number)
        script = Path(folder, "launch.sh")
        script.write_text(SCRIPT)
        command = [sys.executable, "-m", "rldoctor", "check", str(script)]
        environments = [ENVIRONMENT | {"RLDOCTOR_RULES": str(place)} for place in (few, many)]
        for environment in environments:
            seconds(command, environment)
        pairs = [[seconds(command, environment) for environment in environments] for _ in range(runs)]
    without, within = (statistics.median(pair[which] for pair in pairs) for which in (0, 1))
    added = statistics.median(pair[1] - pair[0] for pair in pairs)
    print(
        f"check: {without * 1000:.1f} ms; with {rules} more rules: {within * 1000:.1f} ms (medians of {runs})"
    )
    print(f"added: {added * 1000:.1f} ms (median of pairs; budget: 10)")


if __name__ == "__main__":
    main()
