# ruff: noqa: E501  lines of logs are long
from __future__ import annotations

from collections.abc import Callable

import pytest

from rldoctor.logs import LogReading
from rldoctor.types import Event

Read = Callable[..., LogReading]
HEALTH = '2026-03-01 {0}:00 INFO:     10.0.0.2:41646 - "GET /health HTTP/1.1" 200 OK\n'
STEP = "2026-03-01 10:00:0{0} train INFO: step {0} loss 0.5 grad_norm 0.5\n"


def standing(result: LogReading) -> list[Event]:
    return [event for event in result.events if event.kind == "standstill"]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("INFO 08-31 09:50:46 pynccl.py:63] vLLM is using nccl==2.20.5", "nccl"),
        ("Capturing CUDA graph shapes:   3%|▎         | 1/35 [00:00<00:20,  1.64it/s]", "graphs"),
        ("Using /root/.cache/torch_extensions/py311_cu126 as PyTorch extensions root...", "extensions"),
        ("Running tokenizer on dataset (num_proc=16):   0%|      | 0/77976 [00:00<?, ? examples/s]", "data"),
        ("(Actor pid=4) [2026-03-24 06:36:50] timer.py:24 - Timer actor_train start", "step"),
        ("Train GPT-2 model:   0%|            | 0/3000 [00:00<?, ?it/s]", "step"),
        ("Processed prompts:  48%|####  | 29/60 [00:07<00:02, 12.66it/s, output: 417.77 toks/s]", "rollout"),
        (
            "(RolloutManager pid=7) Rollout generation:  62%|######  | 40/64 [04:51<02:52,  7.19s/it]",
            "rollout",
        ),
        ("▶ Generating responses for batch of size 64...", "rollout"),
        ("Update actor:  25%|##   | 4/16 [00:51<02:52,  7.19s/it]", "step"),
        ("Loading checkpoint shards:  33%|###3      | 1/3 [00:10<00:20, 10.00s/it]", "weights"),
        ("INFO 03-23 16:30:37 [backends.py:419] Dynamo bytecode transform time: 6.76 s", "engine"),
        ("Map:  99% 986/1000 [00:07<00:00, 145.72 examples/s]", "data"),
        ("> compiling and loading fused kernels ...", "extensions"),
        ("Initializing distributed: GLOBAL_RANK: 0, MEMBER: 1/8", "meeting"),
        ("initializing ddp: GLOBAL_RANK: 0, MEMBER: 1/8", "meeting"),
        ("Setting up process group for: env:// [rank=0, world_size=2]", "meeting"),
    ],
)
def test_the_last_line_tells_what_is_under_way(reading: Read, line: str, what: str) -> None:
    (event,) = standing(reading(f"INFO starting\n{line}\n\n```\n"))
    assert event.fields["what"] == what
    assert event.lines[0].text in line
    assert "seconds" not in event.fields


@pytest.mark.parametrize(
    "line",
    [
        "Capturing CUDA graph shapes: 100%|##########| 35/35 [00:21<00:00,  1.64it/s]",
        "INFO:     Application startup complete.",
        "gpu1:192:192 [0] NCCL INFO comm 0x55cd rank 1 nranks 2 cudaDev 1 - Init COMPLETE",
        "Training Progress:  45%|####5     | 56/125 [04:45<05:00, 4.3s/it]",
    ],
)
def test_what_has_ended_or_moves_stands_not(reading: Read, line: str) -> None:
    assert standing(reading(f"INFO starting\n{line}\n")) == []


ENGINE = "INFO 03-23 16:30:06 [gpu_model_runner.py:1128] Starting to load model /models/mine...\n"
ATTENTION = "INFO 03-23 16:30:09 [cuda.py:215] Using some other attention on V1 engine.\n"


def test_any_line_of_an_engine_on_its_way(reading: Read) -> None:
    (event,) = standing(reading(ENGINE + ATTENTION))
    assert event.fields["what"] == "engine"
    assert "other attention" in event.lines[0].text
    assert standing(reading(ATTENTION)) == []
    assert standing(reading(ENGINE + "INFO 03-23 16:31 init engine (profile) took 2 s\n" + ATTENTION)) == []


UP = "{0}[2026-01-23 08:11:04] INFO:     Uvicorn running on http://10.0.0.4:15000 (Press CTRL+C to quit)\n"


def test_an_engine_of_a_run_that_is_up_and_nothing_after_it(reading: Read) -> None:
    (event,) = standing(reading(UP.format("(SGLangEngine pid=4417) ")))
    assert event.fields["what"] == "engine"
    assert standing(reading(UP.format(""))) == []
    assert standing(reading(UP.format("(APIServer pid=1) "))) == []


def test_a_persons_own_words(reading: Read) -> None:
    bar = "  3%|3         | 3/100 [10:45<5:00:00, 190.3s/it]\n"
    for text in (
        bar + "and then it is stuck forever\n",
        "it hangs after this:\n" + bar,
        bar + "卡住了，没有反应\n",
    ):
        (event,) = standing(reading(text))
        assert event.fields["what"] == "silence"
        assert "3/100" in event.lines[0].text
    assert standing(reading(bar)) == []
    assert standing(reading("it hangs sometimes\n" + bar.replace(" 3%", "100%"))) == []
    first = "  0%|          | 0/234 [00:00<?, ?it/s]\n"
    for after in ("一直停在这个信息，系统是centos\n", "what is the reason for this? I do not know\n"):
        (event,) = standing(reading(first + after))
        assert event.fields["what"] in ("step", "silence")
        assert "0/234" in event.lines[0].text
    answer = "10:01:00 INFO sample: the car got stuck in the mud\n"
    assert standing(reading(bar + answer)) == []


def test_what_a_page_says_beside_its_fences_is_no_log(reading: Read) -> None:
    bar = "Update actor:  25%|##   | 4/16 [00:51<02:52,  7.19s/it]\n"
    page = f"### What happens\nIt fails.\n```text\nINFO starting\n{bar}```\n### Environment\npython 3.10\n"
    for text in (page, page.partition("```text\n")[2]):
        (event,) = standing(reading(text))
        assert event.fields["what"] == "step"
        assert "Update actor" in event.lines[0].text


def test_signs_of_life_tell_for_how_long(reading: Read) -> None:
    text = "2026-03-01 10:00:00 gpu1:192:192 [0] NCCL INFO Using network Socket\n"
    (event,) = standing(reading(text + HEALTH.format("10:01") + HEALTH.format("11:00")))
    assert event.fields["seconds"] == 3600.0
    assert "Using network" in event.lines[0].text


def test_silence_counts_after_whatever_was_said(reading: Read) -> None:
    (event,) = standing(reading("2026-03-01 10:00:00 INFO batch is ready\n" + HEALTH.format("10:30")))
    assert event.fields["what"] == "silence"
    assert standing(reading("2026-03-01 10:00:00 INFO batch is ready\n" + HEALTH.format("10:01"))) == []


STATE = "INFO 04-28 22:54:{0} [loggers.py:257] Engine 000: Avg prompt throughput: 0.0 tokens/s, Avg generation throughput: {1} tokens/s, Running: {2} reqs, Waiting: 4 reqs, GPU KV cache usage: 76.5%\n"


def test_an_engine_that_makes_nothing_of_its_requests(reading: Read) -> None:
    stuck = [STATE.format(n, "0.0", 7) for n in range(20, 24)]
    (event,) = standing(reading(STATE.format(10, "88.1", 7) + "".join(stuck)))
    assert event.fields["what"] == "rollout"
    assert event.lines[0].number == 2
    assert standing(reading("".join(stuck) + STATE.format(30, "5.4", 7))) == []
    assert standing(reading("".join(STATE.format(n, "0.0", 0) for n in range(20, 24)))) == []


def test_peers_that_close_their_connections_are_not_what_was_said(reading: Read) -> None:
    shards = "Loading checkpoint shards:  50%|#####     | 4/8 [00:15<00:15,  3.93s/it]\n"
    closed = "gpu-worker-0:408948:409646 [0] NCCL INFO [Service thread] Connection closed by localRank 0\n"
    (event,) = standing(reading(shards + closed + closed))
    assert event.fields["what"] == "weights"


def test_a_bars_own_clock(reading: Read) -> None:
    (event,) = standing(reading("Training Progress:   0%|          | 0/125 [1:04:45<?, ?it/s]\n"))
    assert event.fields["seconds"] == 3885.0


def test_set_up_after_steps_is_none(reading: Read) -> None:
    steps = "".join(STEP.format(n) for n in range(1, 6))
    assert standing(reading(steps + "gpu1:192:192 [0] NCCL INFO Using network Socket\n")) == []


def test_a_failure_is_what_ended_it(reading: Read) -> None:
    text = 'Traceback (most recent call last):\n  File "/app/t.py", line 4, in go\n    x\nValueError: bad\nvLLM is using nccl==2.20.5\n'
    assert standing(reading(text)) == []


GDB = """\
Thread 58 (Thread 0x15535d20d700 (LWP 1823817)):
#0  0x000015551cd02434 in ?? () from /lib64/libcuda.so.1
#5  0x000015551e63c2e8 in cudaStreamSynchronize () from /opt/cuda/lib64/libcudart.so.11.0
#6  0x00001554fb47f4d2 in ncclStrongStreamSynchronize (ss=ss@entry=0x5555bf9ef060) at misc/strongstream.cc:270
#7  0x00001554fb45beef in ncclCommAbort (comm=comm@entry=0x5555bf9ec710) at init.cc:1508

Thread 2 (Thread 0x15535d20d701 (LWP 1823818)):
#0  0x00007fd0b01abac1 in poll () from /lib64/libc.so.6
#1  0x00007fd0b0d861ca in start_thread () from /lib64/libpthread.so.0
"""


def test_stacks_of_a_debugger(reading: Read) -> None:
    (event,) = [event for event in reading(GDB).events if event.kind == "hang"]
    assert event.fields["frame"] == "cudaStreamSynchronize (/opt/cuda/lib64/libcudart.so.11.0)"
    assert "cudaStreamSynchronize" in event.lines[0].text
    crash = "Thread 1 received signal SIGSEGV, Segmentation fault.\n" + GDB
    assert [event for event in reading(crash).events if event.kind == "hang"] == []


def test_a_pasted_stack_without_its_head(reading: Read) -> None:
    result = reading(
        "it is stuck here:\n"
        '  File "/venv/torch/distributed/distributed_c10d.py", line 2050 in all_reduce\n'
        '  File "/app/vllm/communication_op.py", line 24 in tensor_model_parallel_all_reduce\n'
        '  File "/app/vllm/linear.py", line 548 in forward\n'
    )
    (event,) = [event for event in result.events if event.kind == "hang"]
    assert event.fields["frame"].startswith("all_reduce")
    assert "line 2050" in event.lines[0].text


def test_the_stack_of_a_crash_is_no_hang(reading: Read) -> None:
    result = reading(
        "Fatal Python error: Segmentation fault\n\nCurrent thread 0x00007f (most recent call first):\n"
        '  File "/a.py", line 1 in f\n  File "/b.py", line 2 in g\n  File "/c.py", line 3 in h\n'
    )
    assert not [event for event in result.events if event.kind == "hang"]


SPY = """\
so we dumped the stacks:
Thread {0} (idle): "MainThread"
    backward (torch/autograd/__init__.py:266)
    <module> (train.py:587)
Thread 928 (idle): "Thread-1"
    wait (threading.py:324)
    run (tqdm/_monitor.py:60)
Thread 4079 ({1})
    {2} (torch/distributed/distributed_c10d.py:{3})
    all_gather_into_tensor (deepspeed/comm/torch.py:219)
"""


def hang(result: LogReading) -> Event:
    (event,) = [event for event in result.events if event.kind == "hang"]
    return event


def test_a_dump_amid_other_words_tells_the_thread_at_work(reading: Read) -> None:
    event = hang(reading(SPY.format(42, "active", "all_gather_into_tensor", 2709)))
    assert event.fields["frame"] == "all_gather_into_tensor (torch/distributed/distributed_c10d.py:2709)"
    assert "all_gather_into_tensor (torch" in event.lines[0].text


def test_without_one_at_work_the_main_thread_is_told(reading: Read) -> None:
    event = hang(reading(SPY.format(42, "idle", "broadcast", 2709)))
    assert event.fields["frame"] == "backward (torch/autograd/__init__.py:266)"


def test_of_several_processes_the_odd_one_is_told(reading: Read) -> None:
    same = "".join(SPY.format(pid, "active", "all_reduce", 1) for pid in (1, 2, 3))
    event = hang(reading(same + SPY.format(4, "active", "save", 9)))
    assert event.fields["frame"].startswith("save (")


def test_waiting_threads_alone_are_no_hang(reading: Read) -> None:
    text = 'Thread 928 (idle): "Thread-1"\n    wait (threading.py:324)\n    run (tqdm/_monitor.py:60)\n'
    assert not [event for event in reading(text).events if event.kind == "hang"]


def test_a_stack_that_a_handler_printed_is_read_from_its_end(reading: Read) -> None:
    event = hang(
        reading("""
Printing stack
-- Thread ID: 139870071547712 ---
File "/work/train.py", line 281, in <module>
trainer.train()
File "/opt/lib/python3.9/site-packages/transformers/trainer.py", line 3266, in evaluation_loop
logits = self._pad_across_processes(logits)
File "/opt/lib/python3.9/site-packages/transformers/trainer.py", line 3410, in _pad_across_processes
sizes = self._nested_gather(size).cpu()
""")
    )
    assert "_pad_across_processes" in event.fields["frame"]
    assert "<module>" in event.fields["frames"][0]


def test_a_line_that_was_hung_up_is_no_run_that_hangs(reading: Callable[..., LogReading]) -> None:
    text = "Cloning into 'src'...\nthe gizmo's other end hung up unexpectedly\n"
    assert not [event for event in reading(text).events if event.kind == "standstill"]


SAID = [
    (
        "Downloading shards:   0%|          | 0/4 [00:00<?, ?it/s]\n(pid=7) No module named 'x._version'\n\n"
        "the code stucked when it downloads\n",
        ("download", "Downloading shards"),
    ),
    (
        "I find it stuck during rollout, the last output I can see is\n\nINFO 11-12 22:04:23 metrics.py:406] Avg "
        "prompt throughput: 0.0 tokens/s, Avg generation throughput: 93.0 tokens/s, Running: 3 reqs, "
        "Swapped: 0 reqs, Pending: 0 reqs, GPU KV cache usage: 8.0%\n",
        ("rollout", "Running: 3 reqs"),
    ),
    (
        "The log looks like this, after which there is no update.\n\n"
        "initializing deepspeed distributed: GLOBAL_RANK: 7, MEMBER: 8/8\n",
        ("meeting", "GLOBAL_RANK: 7"),
    ),
]


@pytest.mark.parametrize(("text", "told"), SAID)
def test_where_a_person_says_that_nothing_moves_what_is_under_way_is_told(
    text: str, told: tuple[str, str], reading: Callable[..., LogReading]
) -> None:
    (event,) = [event for event in reading(text).events if event.kind == "standstill"]
    assert event.fields["what"] == told[0] and told[1] in event.lines[0].text


def test_a_server_of_its_own_that_is_up_does_not_stand(reading: Callable[..., LogReading]) -> None:
    text = "[box]     | [2026-06-24 11:55:02] The server is fired up and ready to roll!\n"
    assert not [event for event in reading(text).events if event.kind == "standstill"]
    text = "(Rollouter pid=7) [2026-06-24 11:55:02] The server is fired up and ready to roll!\n"
    assert [event.fields["what"] for event in reading(text).events] == ["engine"]


def test_frozen_modules_are_no_ones_words(reading: Callable[..., LogReading]) -> None:
    text = "7.3s 1 0.00s - Debugger warning: It seems that frozen modules are being used\n" + "working\n" * 9
    assert not [event for event in reading(text).events if event.kind == "standstill"]


def test_a_full_bar_within_an_open_one_does_not_end_the_run(reading: Callable[..., LogReading]) -> None:
    text = (
        "whenever I need to score, it gets stuck for a long time:\n"
        "Training step 85:   3%|#    | 85/2549 [00:00<?, ?batch/s]\n"
        "gather: 100%|#########| 3/3 [00:16<00:00,  5.56s/it, reward=0]\n"
    )
    (event,) = [event for event in reading(text).events if event.kind == "standstill"]
    assert event.lines[0].number == 3
    done = "it hangs for a while\nTraining: 100%|#########| 3/3 [00:16<00:00,  5.56s/it]\n"
    assert not [event for event in reading(done).events if event.kind == "standstill"]


def test_a_chinese_sentence_may_quote_a_value(reading: Callable[..., LogReading]) -> None:
    text = (
        "运行到epoch=12就不打印训练日志了\neta: 0:00:00  epoch: 12  step: 91935  loss: 2.8051  lr: 0.000005\n"
    )
    (event,) = [event for event in reading(text).events if event.kind == "standstill"]
    assert event.lines[0].number == 2


def test_a_person_who_says_so_behind_a_full_bar_means_what_comes_after_it(
    reading: Callable[..., LogReading],
) -> None:
    text = (
        "Train step of epoch 0: 100%|#####| 250/250 [09:28<00:00, 20.21s/it, lr=5e-7]\n"
        "it's stuck in this status, do not know why\n"
        "--save_path ./out is in the project\n"
    )
    (event,) = [event for event in reading(text).events if event.kind == "standstill"]
    assert event.lines[0].number == 1


def test_sentences_in_a_list_are_no_lines_of_a_log(reading: Callable[..., LogReading]) -> None:
    text = (
        "Loading safetensors checkpoint shards: 100% Completed | 163/163\n"
        "* After reaching the end, the process remains idle.\n"
        "* No additional logs appear after that for hours.\n"
    )
    (event,) = [event for event in reading(text).events if event.kind == "standstill"]
    assert event.lines[0].number == 1


def test_an_evaluation_that_moves_is_no_standstill(reading: Read) -> None:
    head = "2026-04-04 22:15:53,930 [INFO] scores: Evaluating on the test split\n"
    bars = "Evaluating:   2%|▏ | 1/63 [00:20<20:57, 20.28s/it]\nEvaluating:  24%|██ | {0}/63 [04:59<15:59, 19.99s/it]\n"
    assert not standing(reading(head + bars.format(15)))
    assert standing(reading(head + bars.format(1)))


def test_a_sentence_in_the_middle_of_a_page_says_that_it_stands(reading: Read) -> None:
    page = (
        "Below is the script that I start:\n\npython3 train.py \\\n    n_nodes=1 \\\n    group_size=1\n\n"
        "I find that the whole run is stuck somewhere behind the first request\n\n"
        "The output is:\n\n(Manager pid=8) served in 30.0\n(Manager pid=8) served in 31.0\n"
    )
    (event,) = standing(reading(page))
    assert event.fields["what"] == "silence"
    assert [line.text[:12] for line in event.lines] == ["served in 31", "I find that "]


def test_where_it_stands_may_be_told_in_words(reading: Read) -> None:
    page = "It is stuck in the rollout stage for two hours. Why?\n\npython3 train.py \\\n    group_size=1\n"
    (event,) = standing(reading(page))
    assert event.fields["what"] == "rollout"


def test_a_program_that_speaks_of_being_stuck_is_no_person(reading: Read) -> None:
    text = "".join(STEP.format(n) for n in range(1, 6))
    story = "[sample] I was stuck in the middle of a long story and did not know how to go on\n"
    assert standing(reading(text + story + "".join(STEP.format(n) for n in range(6, 9)))) == []


def test_an_address_in_a_sentence_makes_it_no_line_of_a_log(reading: Read) -> None:
    page = (
        "Thank you for the code that you share with all of us.\n\nbash scripts/train.sh\n\n"
        "However, the whole launch appears to hang at this line: https://example.org/cli/train_ppo.py#L156\n\n"
        "These are the versions:\n\n1. Ray: 2.46.0\n2. vLLM: 0.8.5\n"
    )
    (event,) = standing(reading(page))
    assert any("appears to hang" in line.text for line in event.lines)
