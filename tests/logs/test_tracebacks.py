# ruff: noqa: E501  lines of logs are long
from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from rldoctor.logs import LogReading
from rldoctor.logs.failures import Failure
from rldoctor.logs.tracebacks import assemble
from rldoctor.types import Identity, LogLine

Lines = Callable[[str], Iterable[LogLine]]
LIB = "/usr/lib/python3.11/site-packages"


def one(found: list[Failure]) -> Failure:
    assert len(found) == 1, found
    return found[0]


def test_a_plain_traceback_with_its_frames(lines: Lines) -> None:
    failure = one(
        assemble(
            lines(f"""starting
Traceback (most recent call last):
  File "/app/train.py", line 12, in main
    loop(config)
  File "/app/loop.py", line 40, in loop
    loss.backward()
    ^^^^^^^^^^^^^^^
  File "{LIB}/torch/_tensor.py", line 581, in backward
    run()
RuntimeError: element 0 of tensors does not require grad
and does not have a grad_fn

INFO done
""")
        )
    )
    assert (failure.exception, failure.line.number, failure.start.number) == ("RuntimeError", 10, 2)
    assert failure.message == "element 0 of tensors does not require grad\nand does not have a grad_fn"
    assert [frame.function for frame in failure.frames] == ["main", "loop", "backward"]
    assert str(failure.user_frame) == "loop (/app/loop.py:40)"
    assert failure.library_frame is not None and failure.library_frame.file.endswith("_tensor.py")


def test_interleaved_processes_are_put_together_again(lines: Lines) -> None:
    first = [
        "Traceback (most recent call last):",
        '  File "a.py", line 1, in f',
        "    x",
        "KeyError: 'answer'",
    ]
    second = ["Traceback (most recent call last):", '  File "b.py", line 2, in g', "    y", "ValueError: bad"]
    text = "\n".join(f"(A pid=1, ip=10.0.0.1) {a}\n[rank7]: {b}" for a, b in zip(first, second, strict=True))
    found = assemble(lines(text))
    assert [(f.exception, f.frames[0].file, f.who) for f in found] == [
        ("KeyError", "a.py", Identity("10.0.0.1", None, 1, "A")),
        ("ValueError", "b.py", Identity(rank=7)),
    ]


@pytest.mark.parametrize(
    "link",
    [
        "During handling of the above exception, another exception occurred:",
        "The above exception was the direct cause of the following exception:",
    ],
)
def test_a_chain_is_told_by_its_innermost_exception(lines: Lines, link: str) -> None:
    failure = one(
        assemble(
            lines(f"""Traceback (most recent call last):
  File "inner.py", line 3, in read
    return table[key]
KeyError: 'reward_model'

{link}

Traceback (most recent call last):
  File "outer.py", line 9, in score
    raise ScoreError("no score") from error
app.errors.ScoreError: no score
""")
        )
    )
    assert [link.name for link in failure.chain] == ["KeyError", "app.errors.ScoreError"]
    assert [frame.file for frame in failure.frames] == ["outer.py", "inner.py"]


def test_rays_wrappers_are_unwrapped_to_the_worker(lines: Lines) -> None:
    failure = one(
        assemble(
            lines("""Traceback (most recent call last):
  File "/app/main.py", line 5, in main
    ray.get(runner.run.remote())
ray.exceptions.RayTaskError(OutOfMemoryError): ray::Runner.run() (pid=70, ip=10.0.0.1, actor_id=ab, repr=<R>)
  File "/app/trainer.py", line 44, in fit
    self.group.update_actor(batch)
ray.exceptions.RayTaskError(OutOfMemoryError): ray::Worker.update_actor() (pid=99, ip=10.0.0.2, actor_id=cd)
  File "/app/worker.py", line 8, in update_actor
    loss.backward()
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.
""")
        )
    )
    assert failure.exception == "torch.OutOfMemoryError"
    assert failure.call == "Worker.update_actor"
    assert failure.who == Identity("10.0.0.2", None, 99, "Worker")
    assert len(failure.chain) == 3 and len(failure.frames) == 3


def test_a_wrapper_without_its_end_tells_the_type(lines: Lines) -> None:
    failure = one(
        assemble(lines("ray.exceptions.RayTaskError(KeyError): ray::Engine.update() (pid=4, ip=10.0.0.3)\n"))
    )
    assert (failure.exception, failure.chain[0].inner) == ("ray.exceptions.RayTaskError", "KeyError")


def test_a_traceback_pasted_on_one_line(lines: Lines) -> None:
    failure = one(
        assemble(
            lines(
                "Error executing job with overrides: ['a.b=1'] Traceback (most recent call last): "
                'File "/app/main.py", line 39, in main run(config) File "/app/main.py", line 69, in run '
                'ray.get(x) File "/usr/lib/python3.11/site-packages/ray/worker.py", line 22, in get raise value '
                "ray.exceptions.ActorUnavailableError: The actor 27 is unavailable: keepalive watchdog timeout\n"
                "Set the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace.\n"
            )
        )
    )
    assert failure.exception == "ray.exceptions.ActorUnavailableError"
    assert failure.message == "The actor 27 is unavailable: keepalive watchdog timeout"
    assert [frame.function for frame in failure.frames] == ["main", "run", "get"]


def test_log_heads_before_each_line(lines: Lines) -> None:
    head = "(EngineCore pid=3) ERROR 06-16 10:59:13 [core.py:505] "
    text = [
        "Traceback (most recent call last):",
        '  File "core.py", line 9, in run',
        "    go()",
        "EOFError: gone",
    ]
    failure = one(assemble(lines("\n".join(head + line for line in text))))
    assert (failure.exception, failure.who.pid, failure.frames[0].line) == ("EOFError", 3, 9)
    assert failure.time is not None


def test_the_end_of_a_traceback_whose_head_is_missing(lines: Lines) -> None:
    failure = one(
        assemble(
            lines("""    values = worker.get_objects(refs)
  File "/app/ray_trainer.py", line 657, in fit
    out = self.group.update(batch)
AssertionError: batch of 10 and 11
""")
        )
    )
    assert (failure.exception, failure.message) == ("AssertionError", "batch of 10 and 11")
    assert [frame.function for frame in failure.frames] == ["fit"]


def test_a_data_workers_own_traceback_is_the_inner_one(lines: Lines) -> None:
    failure = one(
        assemble(
            lines("""Traceback (most recent call last):
  File "train.py", line 3, in main
    for batch in loader:
KeyError: Caught KeyError in DataLoader worker process 0.
Original Traceback (most recent call last):
  File "data.py", line 9, in __getitem__
    return row["prompt"]
KeyError: 'prompt'
""")
        )
    )
    assert [link.message for link in failure.chain] == [
        "'prompt'",
        "Caught KeyError in DataLoader worker process 0.",
    ]
    assert failure.user_frame is not None and failure.user_frame.file == "data.py"


def test_the_ranks_of_a_checkpoint_exception_are_inside(lines: Lines) -> None:
    failure = one(
        assemble(
            lines("""Traceback (most recent call last):
  File "train.py", line 3, in main
    dcp.load(state)
torch.distributed.checkpoint.api.CheckpointException: CheckpointException ranks:dict_keys([0])
Traceback (most recent call last): (RANK 0)
  File "planner.py", line 9, in plan
    raise RuntimeError(message)
RuntimeError: Missing key in checkpoint state_dict: optim.step.
""")
        )
    )
    assert failure.exception == "RuntimeError"


def test_what_python_ignores_is_marked(lines: Lines) -> None:
    failure = one(
        assemble(
            lines("""Exception ignored in: <function Pool.__del__ at 0x7f>
Traceback (most recent call last):
  File "pool.py", line 2, in __del__
    self.close()
TypeError: 'NoneType' object is not callable
""")
        )
    )
    assert failure.ignored


def test_the_next_message_of_a_log_is_not_part_of_an_exception(lines: Lines) -> None:
    failure = one(
        assemble(
            lines("""Traceback (most recent call last):
  File "data.py", line 9, in read
    return row["x"]
KeyError: 'x'
2026-05-01 10:00:00,000 - train - INFO - skipping the record
""")
        )
    )
    assert failure.message == "'x'"


def test_a_message_goes_on_where_a_collector_has_stamped_each_line(lines: Lines) -> None:
    said = [
        "Traceback (most recent call last):",
        '  File "data.py", line 9, in read',
        "    return load(path)",
        "RuntimeError: Failed to read because of the following error:",
        "no such column: prompt",
    ]
    text = "".join(f"2026-03-04T05:06:{at:02d}.123Z {line}\n" for at, line in enumerate(said))
    assert one(assemble(lines(text))).message.endswith("error:\nno such column: prompt")


def test_words_that_look_like_exceptions_are_none(lines: Lines) -> None:
    text = """the model wrote: ValueError: is raised when a value is wrong
note: see File "a.py" for more
  warnings.warn(FutureWarning: old name
Traceback of the derivation: we get x = 3
step 3: loss 0.1
"""
    assert assemble(lines(text)) == []


def test_an_open_traceback_does_not_swallow_a_log(lines: Lines) -> None:
    text = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\n' + "word of the model\n" * 5000
    assert assemble(lines(text + "NotAnException\n")) == []


def test_an_actors_call_tells_the_remote_exception_behind_its_own(
    reading: Callable[..., LogReading],
) -> None:
    (failure,) = reading(
        "Traceback (most recent call last):\n"
        '  File "/job/grpo.py", line 142, in main\n'
        "    trainer.push.call().get()\n"
        "monarch._src.actor.actor_mesh.ActorError: Actor call trainer.push failed.\n"
        " Traceback of where the remote call failed (most recent call last):\n"
        '  File "/job/trainer.py", line 433, in push\n'
        "    await store.put(state, direct=True)\n"
        "TypeError: put() got an unexpected keyword argument 'direct'\n\nbye\n"
    ).failures
    assert failure.exception == "TypeError"
    assert [link.name.rpartition(".")[2] for link in failure.chain] == ["TypeError", "ActorError"]


def test_another_programs_line_between_frames_is_no_exception(lines: Lines) -> None:
    failure = one(
        assemble(
            lines("""Traceback (most recent call last):
  File "head.py", line 4, in <module>
srun: error: node7: task 0: Exited with exit code 1
    worker = Worker()
  File "worker.py", line 12, in __init__
    self.gpus = [int(part) for part in text.split(",")]
ValueError: invalid literal for int() with base 10: 'NoDevFiles'
""")
        )
    )
    assert failure.exception == "ValueError"
    assert [frame.file for frame in failure.frames] == ["head.py", "worker.py"]


def test_a_traceback_right_behind_a_colon_is_what_the_message_tells(lines: Lines) -> None:
    failure = one(
        assemble(
            lines("""Traceback (most recent call last):
  File "client.py", line 3, in connect
    raise ConnectionAbortedError(text)
ConnectionAbortedError: Initialization failure from server:
Traceback (most recent call last):
  File "server.py", line 9, in start
    raise RuntimeError("no node has registered")
RuntimeError: no node has registered
""")
        )
    )
    assert [link.name for link in failure.chain] == ["RuntimeError", "ConnectionAbortedError"]


def test_a_call_of_several_lines_is_shown_whole(lines: Lines) -> None:
    failure = one(
        assemble(
            lines("""Traceback (most recent call last):
  File "train.py", line 3, in main
    trainer.fit(
    ~~~~~~~~~~~^
        data,
        ^^^^^
    ...<1 line>...
    )
    ^
AssertionError
""")
        )
    )
    assert failure.frames[-1].code == "trainer.fit(data,)"


def test_frames_behind_an_announcement_are_of_the_exception_that_it_wraps(lines: Lines) -> None:
    failure = one(
        assemble(
            lines("""Traceback (most recent call last):
  File "/app/data.py", line 8, in batches
    return mapped(fn)
ValueError: in user code:

    File "/app/masks.py", line 19, in shorten  *
        raise ValueError(

    ValueError: the mask has 14 entries, the action 7

wandb: Find logs at: wandb/run-7
""")
        )
    )
    assert failure.message == "the mask has 14 entries, the action 7"
    assert failure.line.number == 9
    assert str(failure.user_frame) == "shorten (/app/masks.py:19)"
