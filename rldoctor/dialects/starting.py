"""The options of programs that start others: a word that is none of them is refused."""

from __future__ import annotations

from typing import Final

_TORCHRUN: Final = """
duplicate_stderr_filters duplicate_stdout_filters event_log_handler help local_addr local_ranks_filter
log_dir logs_specs master_addr master_port max_restarts module monitor_interval nnodes no_python
node_rank nproc_per_node numa_binding rdzv_backend rdzv_conf rdzv_endpoint rdzv_id redirects role
run_path shutdown_timeout signals_to_handle standalone start_method tee use_env virtual_local_rank
"""
_RAY_START: Final = """
address autoscaling_config block cgroup_path dashboard_agent_grpc_port dashboard_agent_listen_port
dashboard_host dashboard_port disable_usage_stats enable_object_reconstruction enable_resource_isolation
head help include_dashboard include_log_monitor labels labels_file log_color log_style max_worker_port
memory metrics_export_port min_worker_port no_monitor no_redirect_output node_ip_address
node_manager_port node_name num_cpus num_gpus object_manager_port object_spilling_directory
object_store_memory plasma_directory plasma_store_socket_name port proxy_server_url raylet_socket_name
ray_client_server_port ray_debugger_external redis_password redis_port redis_shard_ports redis_username
resources runtime_env_agent_port storage system_config system_reserved_cpu system_reserved_memory
temp_dir tracing_startup_hook verbose worker_port_list
"""
_RAY_SUBMIT: Final = """
address entrypoint_label_selector entrypoint_memory entrypoint_num_cpus entrypoint_num_gpus
entrypoint_resources headers help job_id log_color log_style metadata_json no_wait runtime_env
runtime_env_json submission_id verbose verify working_dir
"""
OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "torchrun": tuple(_TORCHRUN.split()),
    "torch.distributed.run": tuple(_TORCHRUN.split()),
    "ray start": tuple(_RAY_START.split()),
    "ray job submit": tuple(_RAY_SUBMIT.split()),
}
"""Read at torch 2.13 and Ray 2.60 (ray/scripts/scripts.py), with what older ones had besides."""


def plain(option: str) -> str:
    """Return an option without dashes in front and with underscores inside."""
    return option.lstrip("-").replace("-", "_")


def is_known(program: str, option: str) -> bool:
    """Say whether a starter has an option; argparse and click take the beginning of one, too."""
    options = OPTIONS.get(program)
    return options is None or any(each.startswith(plain(option)) for each in options)
