"""The story of a supervised run: launch, watch, and where it fails, diagnose, cure, resume, verify."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from rldoctor import edits, sources
from rldoctor.check import check
from rldoctor.diagnose import diagnose
from rldoctor.exits import BAD_INPUT, FOUND, INTERRUPTED
from rldoctor.fix import chosen
from rldoctor.report.terminal import draw
from rldoctor.run import checkpoints, heal, launch, story, tuner
from rldoctor.run.config_file import parse
from rldoctor.run.session import Failed, Session
from rldoctor.run.tail import LiveEvent
from rldoctor.run.terminal import Relay
from rldoctor.run.watch import End
from rldoctor.types import Finding, Report

MOST_ROUNDS: Final = 10
TORCHRUN_BAD_INPUT: Final = "failed (exitcode: 2)"
TORCHRUN_LINES: Final = re.compile(r"^[EWI]\d{4} ", re.MULTILINE)
VERIFIED_STEPS: Final = 2
LAST_LOOKS: Final = 2  # an edit by hand counts once it has not moved between two looks


def supervise(session: Session) -> int:
    """Run until it is finished, cannot go on, or is to end; return the exit code."""
    story.note_batch(session, "before")
    while True:
        end, logs, ended_by = _attempt(session)
        if end.asked or end.was_stopped:
            return _interrupted(session, end)
        if end.is_done or (session.config is None and end.code == 0 and end.hung is None):
            _verify(session, end.step)
            return story.finish(session, end)
        if _is_refused(session, end):
            if not _taken_back(session):
                return BAD_INPUT
        else:
            session.failure = Failed(end, tuple(logs), session.history.launched, ended_by)
        if not _cured(session):
            return FOUND


def prepare(session: Session) -> None:
    """Check the configuration before the first launch; with --autotune make the safe edits, on the copy."""
    for number in range(MOST_ROUNDS):
        target = _target(session)
        if target is None:
            return
        checked = check([str(target)], session.told())
        wanted = chosen(checked, unsafe=session.options.allow_unsafe) if session.options.autotune else ()
        if number == 0 and checked.report.findings:
            session.screen.say(f"check: {checked.report.summary}")
            _suggest(session, checked.report)
        if not wanted or not _apply(session, wanted, by="check", reason="found before the launch"):
            return


def _suggest(session: Session, report: Report) -> None:
    for finding in report.findings:
        if finding.severity != "hint":
            session.screen.say(f"  {finding.severity}: {finding.title} [{finding.rule}]")


def _target(session: Session) -> Path | None:
    """Return the file that check reads: the copy in the run folder, of a script where there is one."""
    if session.config is not None:
        return session.config.path
    copy = session.folder / "script" / session.script.name if session.script else None
    return copy if copy is not None and copy.exists() else session.script


def _apply(session: Session, wanted: tuple[Any, ...], **why: Any) -> bool:
    """Make edits in the run folder's copy; say whether something changed."""
    if session.config is not None:
        known = session.config.known
        text = parse(edits.splice(known.data, wanted), known.document.path)
        return text.data != known.data and session.revise(text, **why) is not None
    target = _target(session)
    own = [edit for edit in wanted if edit.file == str(target)]
    if target is None or not own or not target.is_relative_to(session.folder):
        return False
    edits.apply(own, sources.read(str(target)).files, backup=False)
    session.note(
        "edited", changes={edit.old.strip(): [edit.old.strip(), edit.new.strip()] for edit in own}, **why
    )
    return True


class Verifier(Struct):
    """Listens whether the steps after a cure go well."""

    session: Session
    step: int = field(default=0)

    def hear(self, event: LiveEvent) -> None:
        """Take in an event; so many further steps prove a cure."""
        cure = self.session.history.open_cure
        if event["kind"] == "step_finished" and cure is not None:
            self.step = int(event.get("step", 0))
            if self.step >= int(cure.get("step", 0)) + VERIFIED_STEPS - 1:
                _verify(self.session, self.step)


def _verify(session: Session, step: int) -> None:
    cure = session.history.open_cure
    if cure is not None:
        session.note("verified", finding=cure["finding"], title=cure["title"], step=step, helped=True)
        session.screen.say(f"healed: {cure['title']}; step {step} is finished")


def _attempt(session: Session) -> launch.Attempt:
    tuning = tuner.start(session)
    ears = [session.screen.hear, Verifier(session).hear, *([tuning.hear] if tuning else [])]

    relay = Relay(session.screen, launch.log_of(session, session.history.attempt + 1))

    def pulse() -> None:
        if session.config is None:
            relay.show()
            return
        if session.config.edited_by_hand():
            changes = session.take_in_hand_edit()
            if tuning is not None and tuner.KEY in changes:
                tuning.forget()
        session.screen.change = story.last_change(session)
        session.screen.draw()

    ended = launch.attempt(session, ears, pulse)
    for _ in range(LAST_LOOKS):
        pulse()
    return ended


def _diagnosis(session: Session, failed: Failed) -> Report:
    """Return what the engine of ``diagnose`` says about that attempt alone."""
    target = _target(session)
    if session.config is not None:
        session.config.take_in()
    report = Report("diagnose", (), "unsure", "", ())
    if failed.logs:
        report = diagnose(failed.logs, str(target) if target else None, session.told(), since=failed.since)
        if any(finding.part == "root" for finding in report.findings):
            return report
    how = f"by {failed.end.signal}" if failed.end.signal else f"with exit code {failed.end.code}"
    return replace(report, verdict="unsure", summary=f"The run ended {how} and gave no reason.")


def _cured(session: Session) -> bool:
    """Carry out the next cure of the last failure; without one print the diagnosis and say so."""
    assert session.failure is not None
    end, report = session.failure.end, _diagnosis(session, session.failure)
    found = heal.root(report, session.failure.ended_by)
    _note_failure(session, end, report, found)
    config = session.config.known if session.config else None
    cure, why = heal.choose(found, session.history, session.options, config)
    if not session.options.autotune:
        cure, why = None, _offer(cure)
    elif cure is not None and not cure.steps_back:
        cure = heal.cautious(cure, story.least_budget(session), story.micro_batch_tokens(session))
    if cure is not None:
        told = found.title if found else report.summary
        session.screen.say(f"failed{story.moment(session, end)}: {told} [{cure.finding.rule}]")
    if cure is None or not _carry_out(session, cure, end):
        draw(report)
        story.stop(session, end, report, why)
        return False
    return True


def _offer(cure: heal.Cure | None) -> str:
    if cure is None:
        return "nothing was changed"
    return f"nothing was changed; --autotune would do this: {cure.title}"


def _note_failure(session: Session, end: End, report: Report, found: Finding | None) -> None:
    open_cure = session.history.open_cure
    if open_cure is not None:
        session.note("verified", finding=open_cure["finding"], title=open_cure["title"], helped=False)
    saved = 0
    if session.config is not None:
        saved = checkpoints.newest(checkpoints.folder(session.folder, session.config.known.settings))
    rule = found.rule if found else "unexplained"
    out_of_memory = rule == heal.OUT_OF_MEMORY
    if out_of_memory and session.history.open_experiment is not None:
        session.note("measured", verdict="out of memory", why="the prediction was too low")
    session.note(
        "diagnosed",
        attempt=session.history.attempt,
        finding=rule,
        title=found.title if found else report.summary,
        verdict=found.verdict if found else report.verdict,
        decisive=found.evidence[0].text if found and found.evidence else None,
        step=end.step,
        phase=end.phase,
        lost_steps=max(0, end.finished - saved) or None,
        micro_batch_tokens=story.micro_batch_tokens(session) if out_of_memory else None,
    )


def _carry_out(session: Session, cure: heal.Cure, end: End) -> bool:
    session.note(
        "cure",
        finding=cure.finding.rule,
        title=cure.title,
        safety=cure.safety,
        set=dict(cure.set),
        step=end.step,
    )
    why = {"by": "healing", "reason": f"{cure.finding.title} [{cure.finding.rule}]", "cure": cure.title}
    session.before = session.config.known if session.config else None
    if cure.text is not None:
        session.revise(cure.text, **why)
    elif cure.edits and not _apply(session, cure.edits, **why):
        return False
    session.screen.say(f"cure: {cure.title}")
    return True


def _interrupted(session: Session, end: End) -> int:
    who = session.interrupt.name if end.asked else f"{end.last.get('reason')} to the trainer"
    session.note("finished", status="interrupted", step=end.step, signal=who)
    session.screen.tell(f"stopped by {who}{story.moment(session, end)}.")
    session.screen.tell(f"go on with: rldoctor run --resume {session.folder}")
    return INTERRUPTED


def _is_refused(session: Session, end: End) -> bool:
    """Say whether the trainer did not take its configuration: by its exit code, or torchrun's word for it."""
    if session.config is None or end.spoke or end.phase != "start":
        return False
    return end.code == BAD_INPUT or (end.code > 0 and TORCHRUN_BAD_INPUT in _output(session))


def _output(session: Session) -> str:
    return launch.log_of(session, session.history.attempt).read_text(errors="replace")


def _taken_back(session: Session) -> bool:
    """Take back a cure that the trainer refuses; what a person wrote is told, with the trainer's words."""
    words = "\n".join(dict.fromkeys(TORCHRUN_LINES.split(_output(session), maxsplit=1)[0].splitlines()))
    if session.history.open_cure is None or session.before is None or session.failure is None:
        if session.source is not None and session.config is not None and not session.history.changes:
            words = words.replace(str(session.config.path), str(session.source))
        session.note("finished", status="refused", reason=words[-2000:])
        session.screen.tell(words[-8000:])
        return False
    session.screen.say(f"the trainer refuses this cure: {words[-500:]}")
    session.revise(session.before, by="healing", reason="taken back: the trainer refuses it")
    return True
