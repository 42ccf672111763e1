"""Where a log without a failure ends before its last step, its first sentence says so."""

from pathlib import Path

import pytest

from rldoctor.diagnose import diagnose
from rldoctor.facts import ToldFacts

ROW = "{{'loss': '2.1', 'grad_norm': '0.4', 'learning_rate': '1e-06', 'epoch': '0.{0:02}'}}\n"
BAR = " {0}%|███▋      | {0}/100 [00:{0:02}<01:01, 1.00s/it]"


def said(folder: Path, text: str) -> str:
    (folder / "run.log").write_text(text)
    return diagnose([str(folder / "run.log")], None, ToldFacts()).summary


def rows(last: int) -> str:
    return "".join(f"\r{BAR.format(n)}\r{ROW.format(n)}" for n in range(1, last + 1))


def test_a_log_that_ends_early_tells_its_last_step(tmp_path: Path) -> None:
    assert said(tmp_path, f"{rows(40)}{BAR.format(41)}\n").endswith("; its log ends at step 41 of 100.")


@pytest.mark.parametrize("end", ["{'train_runtime': '41.2', 'train_loss': '2.0'}\n", "training finished\n"])
def test_a_run_that_says_that_it_is_done_is_not_called_cut(tmp_path: Path, end: str) -> None:
    assert "step" not in said(tmp_path, f"{rows(40)}{BAR.format(41)}\n{end}")


def test_megatron_counts_behind_a_slash(tmp_path: Path) -> None:
    lines = "".join(
        f" [2026-05-04 03:00:{n:02}] iteration {n:8}/    9000 | consumed samples: {n} | "
        f"elapsed time per iteration (ms): 990.1 | lm loss: 2.9E+00 | grad norm: 0.7 |\n"
        for n in range(1, 30)
    )
    assert said(tmp_path, lines).endswith("; its log ends at step 29 of 9000.")


def test_the_bar_of_a_download_is_none_of_steps(tmp_path: Path) -> None:
    bar = "Fetching 4 files:  25%|██        | 1/4 [00:01<00:03, 1.00s/it]\n"
    assert "step 1 of 4" not in said(tmp_path, rows(5) + bar * 45)


def test_rows_of_some_steps_only_do_not_count_them(tmp_path: Path) -> None:
    few = "".join(f"\r{BAR.format(n)}\n" + (ROW.format(n) if n % 10 == 0 else "") for n in range(1, 51))
    assert said(tmp_path, few).endswith("; its log ends at step 50 of 100.")


def test_the_bar_of_an_evaluation_counts_less_than_the_steps(tmp_path: Path) -> None:
    inner = " 25%|██        | 2/8 [00:01<00:03, 1.00s/it]\n"
    assert said(tmp_path, f"{rows(40)}{BAR.format(41)}\n{inner}").endswith(
        "; its log ends at step 41 of 100."
    )


def test_records_of_a_trainer_alone_are_read(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text(
        "".join(
            f'{{"v": 1, "t": {1795286697 + n}.0, "kind": "step_finished", "step": {n}, "seconds": 2.1, '
            f'"tokens": 24576, "samples": 2048, "metrics": {{"loss": -0.03, "grad_norm": 0.6}}}}\n'
            for n in range(1, 9)
        )
    )
    assert "internal" not in diagnose([str(tmp_path / "events.jsonl")], None, ToldFacts()).summary


def test_the_states_of_a_bar_of_something_else_are_no_steps(tmp_path: Path) -> None:
    states = "".join(f"\r {2 * n}%|#         | {n}/50 [00:01<00:09, 2.50it/s]" for n in range(1, 51))
    metrics = "".join(f"  eval_{name} = 0.{n}\n" for n, name in enumerate(["loss", "runtime", "rate"]))
    said_of = said(tmp_path, f"{rows(33)}{{'train_loss': '0.5'}}\n{states}\n{metrics}")
    assert "step 34 of 50" not in said_of
