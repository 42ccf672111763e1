"""A trainer of a few milliseconds a step; the environment variable FAKE says what goes wrong, and when."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml

CONFIG = Path(sys.argv[1])
FOLDER = CONFIG.parent
FAKE = json.loads(os.environ.get("FAKE", "{}"))
LIMIT, HELD, PER_TOKEN, STEP_TOKENS = 100_000_000, 20_000_000, 10_000, 16_000
NOW = {"step": 0, "phase": "start", "stop": None}


def event(kind, **fields):
    with (FOLDER / "events.jsonl").open("a") as file:
        file.write(json.dumps({"v": 1, "t": time.time(), "kind": kind, **fields}) + "\n")


def fail(kind, **fields):
    print(f"{kind}: {fields}", file=sys.stderr, flush=True)
    event(kind, **{"phase": NOW["phase"], "step": NOW["step"]} | fields)
    sys.exit(1)


def is_due(what, once=True):
    """Say whether a fault happens now; most happen once in the life of a run folder."""
    if FAKE.get(f"{what}_at") != NOW["step"] or FAKE.get("phase", NOW["phase"]) != NOW["phase"]:
        return False
    mark = FOLDER / f".{what}"
    if once and mark.exists() and not FAKE.get("always"):
        return False
    mark.touch()
    return True


def settings():
    return yaml.safe_load(CONFIG.read_text())


def newest():
    done = [path.parent for path in FOLDER.glob("checkpoints/step_*/complete")]
    return max((int(path.name[5:]) for path in done), default=0)


def peak(config):
    train = config.get("train") or {}
    tokens = min(train.get("max_token_in_packing", 4096), STEP_TOKENS)
    share = train.get("ulysses", 1) * (4 if train.get("recompute") else 1)
    return tokens, HELD + FAKE.get("per_token", PER_TOKEN) * tokens // share


def faults():
    if is_due("kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    if is_due("hang"):
        time.sleep(3600)
    if is_due("nan") and settings()["train"].get("on_nan") != "skip":
        fail("nan", what="loss", name="loss")
    if is_due("died"):
        fail("worker_died", rank=1, actor="rank_1", reason="killed")
    if is_due("raylet"):
        print("(raylet) Raylet is terminated. Termination is unexpected.", file=sys.stderr, flush=True)
        fail("worker_died", rank=0, actor="rank_0", reason="the actor is unavailable")
    if is_due("timeout"):
        fail("collective_timeout", timeout_ms=300000)
    if is_due("broken"):
        raise ZeroDivisionError("a fault of the code")


def save(step):
    path = FOLDER / "checkpoints" / f"step_{step}"
    path.mkdir(parents=True, exist_ok=True)
    try:
        (path / "weights").write_bytes(b"x" * FAKE.get("checkpoint_bytes", 10))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        fail("disk_full", path=str(path))
    (path / "complete").write_text("")
    event("checkpoint_saved", step=step, path=str(path))


def phase(name, config):
    NOW["phase"] = name
    event("phase_started", phase=name, step=NOW["step"])
    faults()
    time.sleep(FAKE.get("slow", {}).get(name, 0.002))
    memory = {}
    if name == "train":
        tokens, bytes_peak = peak(config)
        if bytes_peak > LIMIT:
            fail("out_of_memory", device="cpu_limit", bytes_asked=1000, bytes_total=LIMIT)
        memory = {"bytes_allocated": HELD, "bytes_peak": bytes_peak, "bytes_total": LIMIT, "rank_of_max": 0}
        seconds = 0.01 + 0.005 * -(-STEP_TOKENS // tokens) if not FAKE.get("slower") else 0.001 * tokens
    event("phase_finished", phase=name, step=NOW["step"], seconds=seconds if memory else 0.002, **memory)
    return memory


def start(config):
    if "port" in (config.get("cluster") or {}) and FAKE.get("port"):
        fail("port_in_use", port=config["cluster"]["port"], host="127.0.0.1")
    if FAKE.get("host") and not (config.get("model") or {}).get("meta_init"):
        fail("out_of_memory", device="host", process="rank_0")
    if FAKE.get("refuse") and FAKE["refuse"] in CONFIG.read_text():
        print(f"{CONFIG}:1:1: unknown setting", file=sys.stderr)
        sys.exit(2)
    for _ in range(FAKE.get("children", 0)):
        subprocess.Popen(["sleep", "3600"], start_new_session=True)
    faults()
    time.sleep(FAKE.get("slow", {}).get("start", 0))
    NOW["step"] = newest()
    event("run_started", phase="start", step=NOW["step"], revision=config.get("revision", 1), world_size=1)


def main():
    config = settings()
    (FOLDER / "lock").write_text(str(os.getpid()))
    (FOLDER / "dumps").mkdir(exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: NOW.update(stop="SIGTERM"))
    signal.signal(signal.SIGUSR1, lambda *_: (FOLDER / "dumps" / "stacks_driver.txt").write_text("stacks"))
    start(config)
    while NOW["step"] < config["run"]["steps"] and not NOW["stop"]:
        new = settings() or config  # empty: an editor is writing it
        if new != config:
            changed = {"revision": new.get("revision", 1), "step": NOW["step"], "fields": {}}
            event("config_applied", **changed)
            config = new
        NOW["step"] += 1
        for name in ("data", "rollout", "reward"):
            phase(name, config)
        memory = phase("train", config)
        tokens, _ = peak(config)
        metrics = {"reward_mean": NOW["step"] / 100, "micro_batch_tokens_max": tokens}
        metrics |= FAKE.get("metrics", {})
        event("step_finished", step=NOW["step"], seconds=0.05, tokens=STEP_TOKENS, metrics=metrics, **memory)
        if NOW["step"] % config["checkpoint"]["every"] == 0 or NOW["stop"]:
            phase("checkpoint", config)
            save(NOW["step"])
    status = "stopped" if NOW["stop"] else "done"
    event("run_finished", status=status, step=NOW["step"], reason=NOW["stop"] or "steps")


main()
