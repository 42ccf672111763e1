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

from startup import ENVIRONMENT, SCRIPT, Cost, cost

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
        places = [Path(folder, "few"), Path(folder, "many")]
        for place, number in zip(places, (0, rules), strict=True):
            place.mkdir()
            make(place, number)
        script = Path(folder, "launch.sh")
        script.write_text(SCRIPT)
        command = [sys.executable, "-m", "rldoctor", "check", str(script)]
        environments = [ENVIRONMENT | {"RLDOCTOR_RULES": str(place)} for place in places]
        for environment in environments:
            cost(command, environment)
        pairs = [[cost(command, environment) for environment in environments] for _ in range(runs)]
    for clock in Cost._fields:
        few, many = (statistics.median(getattr(pair[which], clock) for pair in pairs) for which in (0, 1))
        added = statistics.median(getattr(pair[1], clock) - getattr(pair[0], clock) for pair in pairs)
        told = f"check {few * 1000:.1f} ms, with {rules} more rules {many * 1000:.1f} ms (medians of {runs})"
        print(f"{clock}: {told}; added {added * 1000:.1f} ms (median of pairs; budget: 10)")


if __name__ == "__main__":
    main()
