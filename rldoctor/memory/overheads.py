"""What counting tensors leaves open: workspaces, fragmentation, and what torch never sees."""

from __future__ import annotations

from collections.abc import Iterable

from rldoctor.memory.layout import GIB, Setup, Term

CUBLAS = "pytorch.org/docs/stable/notes/cuda.html (cuBLAS workspaces: 32 MiB a handle and stream on Hopper)"

MEASURED = "trainer_core on CPU, torch 2.13: 28 to 59 MiB beyond its tensors"
ON_CPU_MIB = 44


def workspace(setup: Setup) -> Term:
    """Return the workspaces that torch's allocator counts."""
    if setup.on_cpu:
        return Term("workspaces", ON_CPU_MIB * 2**20, "BLAS and the C library", MEASURED)
    return Term("workspaces", setup.free.workspace * GIB, "three of 32 MiB and small ones", CUBLAS)


def reserved(setup: Setup, peak: float, resident: float, holes: float = 0.0) -> float:
    """Return reserved bytes for a peak of allocated bytes; ``resident`` of them never move.

    ``holes`` are blocks known to be cached beside the peak. Near the GPU's end the allocator gives
    cached blocks back before it fails, so that reserved bytes stop there (CUDACachingAllocator:
    release_cached_blocks).
    """
    free = setup.free
    if setup.on_cpu:
        return peak
    excess = free.expandable if setup.expandable else free.fragments
    whole = peak + excess * max(0.0, peak - resident) + holes
    if setup.gpu_gib is None:
        return whole
    usable = setup.gpu_gib * GIB - context(setup).bytes
    return min(whole, max(usable, peak * TIGHT))


TIGHT = 1.01
"""Reserved over allocated where the allocator has given back all it can (torchtune prints 1.00 to 1.01)."""

CONTEXT_GIB = 0.5
COMMUNICATOR_GIB = 0.25


def context(setup: Setup) -> Term:
    """Return what a process takes beside torch: the CUDA context with its kernels, and NCCL's buffers.

    NCCL keeps some hundred MiB for each communicator that is used; a rank is in one for every axis
    along which the model is split.
    """
    if setup.on_cpu:
        return Term("CUDA context and NCCL", 0.0)
    split = setup.parallel
    axes = (split.dp * split.cp * split.ulysses, split.tp, split.pp, split.ep)
    used = sum(1 for size in axes if size > 1)
    text = f"context {CONTEXT_GIB:g} GiB + {used} communicators × {COMMUNICATOR_GIB:g} GiB"
    size = (CONTEXT_GIB + COMMUNICATOR_GIB * used) * GIB
    return Term("CUDA context and NCCL", size, text, "NVIDIA NCCL user guide: NCCL_BUFFSIZE, channels")


SMALL, LARGE, BUFFER, ROUND = 2**20, 10 * 2**20, 20 * 2**20, 2 * 2**20


def segments(sizes: Iterable[float]) -> float:
    """Return bytes of segments that torch's allocator asks the driver for, for tensors that all stay.

    Tensors below 1 MiB share segments of 2 MiB, below 10 MiB segments of 20 MiB; larger ones get
    their own, rounded to 2 MiB.
    """
    total, free = 0.0, {ROUND: [0.0], BUFFER: [0.0]}
    for size in sizes:
        if size >= LARGE:
            total += -(-size // ROUND) * ROUND
            continue
        unit = ROUND if size <= SMALL else BUFFER
        room = min((left for left in free[unit] if left >= size), default=None)
        if room is None:
            total += unit
            free[unit].append(unit - size)
        else:
            free[unit].remove(room)
            free[unit].append(room - size)
    return total
