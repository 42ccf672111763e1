import pytest
from made import fsdp
from msgspec.structs import replace

from rldoctor.memory import fit, phases
from rldoctor.memory.interval import around
from rldoctor.memory.layout import Batch, Setup


def peak(setup: Setup, tokens: int, factor: float = 1.0, extra: float = 0.0) -> fit.Measured:
    """Return what a run would show whose moving part is ``factor`` of the estimate."""
    at = replace(setup, batch=Batch(tokens, min(8192, tokens)))
    row = phases.train(at, 0)
    return fit.Measured("allocated", row.resident + factor * (row.allocated - row.resident) + extra, tokens)


def test_one_peak_scales_what_comes_and_goes() -> None:
    setup = fsdp("Qwen3-8B")
    found = fit.calibrate(setup, [peak(setup, 16384, 1.2)])
    assert found.free.scale == pytest.approx(1.2)
    assert abs(found.before[0]) > 0.05 > 0.001 > found.worst
    fitted = replace(setup, free=found.free)
    other = peak(setup, 32768, 1.2)
    at = replace(fitted, batch=Batch(32768, 8192))
    assert phases.train(at, 0).allocated == pytest.approx(other.bytes, rel=0.001)


def test_two_lengths_tell_a_slope_from_an_offset() -> None:
    setup = fsdp("Qwen3-8B")
    extra = 3 * 2**30
    found = fit.calibrate(setup, [peak(setup, tokens, 0.9, extra) for tokens in (8192, 16384, 32768)])
    assert found.free.scale == pytest.approx(0.9, abs=0.01)
    assert found.free.offset == pytest.approx(3.0, abs=0.05)
    assert found.worst < 0.002


def test_one_odd_step_does_not_count() -> None:
    setup = fsdp("Qwen3-8B")
    good = [peak(setup, 16384, 1.1) for _ in range(6)]
    odd = fit.Measured("allocated", good[0].bytes * 1.5, 16384)
    found = fit.calibrate(setup, [*good, odd])
    assert found.free.scale == pytest.approx(1.1)
    assert found.free.points == 7


def test_a_peak_that_cannot_belong_is_bounded() -> None:
    setup = fsdp("Qwen3-8B")
    found = fit.calibrate(setup, [fit.Measured("allocated", 2**30, 16384)])
    assert found.free.scale == fit.SCALES[0]


def test_a_calibrated_interval_is_narrower() -> None:
    setup = fsdp("Qwen3-8B")
    found = fit.calibrate(setup, [peak(setup, 16384, 1.1) for _ in range(3)])
    fitted = replace(setup, free=found.free)
    wide, narrow = (around(each, phases.train(each, 0), "allocated").half for each in (setup, fitted))
    assert narrow < wide / 2
    assert narrow <= 0.02


def test_a_reserved_peak_is_fitted_on_reserved() -> None:
    setup = fsdp("Qwen3-8B")
    row = phases.train(setup, 0)
    seen = fit.Measured("reserved", row.resident + 1.15 * (row.reserved - row.resident))
    found = fit.calibrate(setup, [seen])
    fitted = phases.train(replace(setup, free=found.free), 0)
    assert fitted.reserved == pytest.approx(seen.bytes, rel=0.005)


def test_no_peaks_leave_the_setup_alone() -> None:
    assert fit.calibrate(fsdp(), []).free == fsdp().free
