"""Logs in, what they say out: events, samples, exceptions, printed configurations."""

from rldoctor.logs.configs import PrintedConfig
from rldoctor.logs.failures import Failure, Frame, Link
from rldoctor.logs.reader import read
from rldoctor.logs.reading import LogReading

__all__ = ["Failure", "Frame", "Link", "LogReading", "PrintedConfig", "read"]
