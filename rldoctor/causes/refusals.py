"""What to do about what the operating system refuses, whatever asked it: a peer, a folder, a worker."""

from __future__ import annotations

from typing import Final

from rldoctor.causes.kinds import Kind

REFUSALS: Final = (
    Kind(
        r"OSError|ConnectionRefusedError|ConnectionError|TimeoutError|timeout|URLError",
        r"Errno (?:101|110|111|112|113)\b|Connection refused|No route to host|Network is unreachable"
        r"|^(?:<urlopen error )?timed out\b",
        (
            "Start what should listen there before {place} asks for it, and see that it still lives (its "
            "own log, ss -ltn on its node), at the same address and port; across nodes an address of its "
            "node, never localhost: {message}",
            "Let this node reach it: the network, a firewall or security group on that port, a proxy "
            "(no_proxy with the nodes' addresses); where it is the internet, on a node without a way out,"
            " use the site's proxy (https_proxy) or what was downloaded before (HF_HUB_OFFLINE=1)",
        ),
        "ss -ltn; nc -zv HOST PORT; env | grep -i proxy; ip route get HOST",
    ),
    Kind(
        r"OSError",
        r"\[Errno 18\]",
        (
            "Let both lie on one file system, as a file is only renamed within one: TMPDIR, the cache "
            "(HF_HOME, TRITON_CACHE_DIR) or the folder of checkpoints beside the other, mounted as one "
            "volume: {message}",
        ),
        "df -h /tmp ~/.cache FOLDER",
    ),
    Kind(
        r"OSError",
        r"\[Errno 8\]",
        (
            "Install that program for this machine's processor (uname -m: an aarch64 node, Grace, Graviton, "
            "runs no x86_64 wheel or image), whole (a download cut short, a Git LFS pointer), and a script "
            "with #! as its first line: {message}",
        ),
        "uname -m; file PROGRAM; head -c 200 PROGRAM",
    ),
    Kind(
        r"OSError",
        r"\[Errno 36\]",
        (
            "Shorten the name that is made there (the run's name, the output folder, the name of the "
            "model or data set in a cache), and see that {place} gets a path and not a text: {message}",
        ),
    ),
    Kind(
        r"OSError|FileExistsError",
        r"\[Errno (?:17|39)\]",
        (
            "Let one process make and clear that folder (rank 0, the others behind a barrier), or give "
            "each run and each rank one of its own: {message}",
            "Empty it, or give a new name or the option that writes over it, where it is left of an "
            "earlier run",
        ),
        "ls -la FOLDER",
    ),
    Kind(
        r"OSError",
        r"\[Errno (?:6|19)\]",
        (
            "Give the container or job that device (docker --device, --gpus all, --privileged as a test; "
            "the resource of a device plugin), and see that its driver is loaded on the node: {message}",
        ),
        "ls -l /dev; lsmod | head -50; dmesg -T | tail -20",
    ),
    Kind(
        r"RuntimeError",
        r"DataLoader worker .{0,80}exited unexpectedly|Pin memory thread exited unexpectedly",
        (
            "Load data in the main process to see the loader's own error (num_workers 0, "
            "dataloader_num_workers 0), and give its workers more shared memory (docker --shm-size=32g, "
            "--ipc=host) and open files (ulimit -n 65535; "
            "torch.multiprocessing.set_sharing_strategy('file_system'))",
            "See whether the kernel ended a worker for want of memory (dmesg), and let fewer of them hold"
            " less (num_workers, prefetch_factor)",
        ),
        "df -h /dev/shm; ulimit -n; dmesg -T | grep -iE 'oom|killed process' | tail",
    ),
    Kind(
        r"JSONDecodeError",
        r"",
        (
            "Take that file away and go on from the whole checkpoint before, or fetch the model again: the "
            "JSON that {place} reads (trainer_state.json, config.json, *.index.json, a tokenizer's) is empty "
            "or cut, as a job leaves it that ends while it writes or whose disk is full",
            "Leave old checkpoints out of what is resumed (resume_from_checkpoint=DIR/checkpoint-N in place "
            "of True), and keep room on that disk",
        ),
        r"find CHECKPOINTS -name '*.json' -size -3c; ls -lt CHECKPOINTS | head; df -h .",
        file=r"trainer_callback|checkpoint|safetensors|configuration_utils|modeling_utils|tokenization|/hub\.py",
    ),
    Kind(
        r"KeyError",
        r"",
        (
            "Set that environment variable where {place} runs: {message}; exported before the launch, given "
            "to containers and to Ray's workers too (runtime_env env_vars, srun --export=ALL, docker -e), or "
            "read with a default",
        ),
        "env | sort | head -80",
        code=r"\benviron(?:ment)?\[",
    ),
    Kind(
        r"KeyError",
        r"",
        (
            "Register the tool under that name, as the data and the model's calls spell it (tool_config_path,"
            " tools_kwargs, the chat template's list of tools), and answer a call of an unknown tool with an "
            "error text in place of {code}: {message}",
            "Look at the answer that called it: a small model makes names up, so that the loop must not end "
            "of it",
        ),
        code=r"\btools?(?:_map|_dict|s_by_name|_registry|_schemas)?\[|\[(?:\w+\.)?tool_(?:name|call)|function_name\]",
    ),
    Kind(
        r"ValueError|RuntimeError|Exception|SupervisionError",
        r"error spawning (?:proc|host) mesh|proc_mesh.{0,60}[Tt]imeout",
        (
            "Give the processes of the mesh longer to come up where their start is slow (imports from shared "
            "disk: HYPERACTOR_MESH_PROC_SPAWN_MAX_IDLE=300s), and read their own logs: {message}",
            "Take the release of torchmonarch that the framework pins, on every node",
        ),
        "export HYPERACTOR_MESH_PROC_SPAWN_MAX_IDLE=300s; pip list | grep -i monarch",
    ),
    Kind(
        r"AttributeError|RaySystemError|RuntimeError|RayClientException\w*|Exception",
        r"'ClientContext' object has no attribute|'_ModuleRayAPI'|Ray [Cc]lient mode",
        (
            "Join the cluster itself, from one of its nodes, not through Ray's client (ray://HOST:10001), "
            "which has only part of Ray: RAY_ADDRESS=auto or HOST:6379, or none on the head; from outside "
            "ray job submit --address http://HOST:8265",
        ),
        "echo $RAY_ADDRESS; unset RAY_ADDRESS; ray status",
    ),
    Kind(
        r"NameNotFound|NamespaceNotFound|VersionNotFound|UnregisteredEnv|DeprecatedEnv",
        r"",
        (
            "Import the package that registers this environment in the process that makes it, in each worker "
            "as well (import gymnasium_robotics, ale_py or isaaclab_tasks; gym.register_envs; Ray's "
            "register_env), and spell name, namespace and version as that release has them: {message}",
        ),
        "python -c 'import gymnasium; gymnasium.pprint_registry()'",
    ),
    Kind(
        r"_InactiveRpcError|AioRpcError|_MultiThreadedRendezvous",
        r"",
        (
            "Read status and details in the lines below it: UNAVAILABLE is a server that is not there, ended "
            "or is not reached (its own log, its port, no_proxy for gRPC), DEADLINE_EXCEEDED one that is too "
            "slow, RESOURCE_EXHAUSTED a message too large or too many calls",
        ),
        "ss -ltn; nc -zv HOST PORT; env | grep -i proxy",
    ),
    Kind(
        r"OperationalError",
        r"database is locked",
        (
            "Keep that database on a local disk of one node, not on NFS or Lustre, with one writer "
            "(MLflow, optuna and outlines keep such caches: OUTLINES_CACHE_DIR, a server in place of a "
            "file)",
        ),
    ),
    Kind(
        r"LockError|Error",
        r"mdb_(?:txn_begin|env_open)",
        (
            "Put that LMDB on a local disk of each node (copied there at first), as its locks need one, or "
            "open it without them: lmdb.open(path, readonly=True, lock=False, readahead=False)",
        ),
        "df -hT FOLDER",
    ),
)
"""In order of precedence, and before the kinds that only know that it was the operating system."""
