"""The evaluation: does the candidate answer well enough, and as well as the active colour?"""

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from shutil import which

from components.config.release.release import Release
from components.config.sections.check_settings import EvalSettings
from components.domain.naming import Color, fingerprint, other_color
from rollout.checks.asking import OutOfTimeError, ask_all
from rollout.checks.evals.command import CommandError, EvaluatedColor, run_command
from rollout.checks.evals.judge import PreferenceJudge
from rollout.checks.evals.judgement import GATE, Graded, Score, judge_scores, judge_suite
from rollout.checks.evals.preference import with_judge
from rollout.checks.evals.questions import Question, SuiteError, read_suite
from rollout.model.answers import Answer
from rollout.model.errors import RefusedError
from rollout.model.verdict import GateVerdict, Verdict
from rollout.ports import Clock, Config, Relay, Route

BUILT_IN = Path(__file__).parent / "general.jsonl"


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Evaluates both colours through their candidate routes, with the suite or the command, and then the judge."""

    route: Route
    relay: Callable[[Color], AbstractContextManager[Relay]]
    config: Config
    clock: Clock
    settings: EvalSettings
    served_model_name: str
    work_dir: Path
    judge: PreferenceJudge | None = None

    def prepare(self) -> None:
        """Make sure that the endpoint can be reached, and read the suite and the judge's files.

        Raises:
            RolloutError: the endpoint does not answer, or a file cannot be read or is invalid.
        """
        self.route.prepare()
        if self.judge is not None:
            self.judge.prepare()
        if self.settings.command:
            self._find(self.settings.command[0])
        else:
            _ = self._questions

    def _find(self, program: str) -> None:
        """Make sure that the command can be run, before nodes are paid for it."""
        if "{" in program or which(str(self.work_dir / program) if "/" in program else program):
            return
        raise RefusedError(
            f"rollout.gates.eval.command: {program!r} is no program that can be run in {self.work_dir}. Install it "
            "there, or correct its path"
        )

    @cached_property
    def _questions(self) -> tuple[Question, ...]:
        path = BUILT_IN if self.settings.suite is None else self.work_dir / self.settings.suite
        try:
            return read_suite(path.read_text(encoding="utf-8-sig"), f"rollout.gates.eval.suite {path.name}")
        except OSError as error:
            raise RefusedError(f"rollout.gates.eval.suite: {path} cannot be read ({error.strerror})") from error
        except UnicodeDecodeError as error:
            raise RefusedError(f"rollout.gates.eval.suite: {path} is not text in UTF-8. Save it as UTF-8") from error
        except SuiteError as error:
            raise RefusedError(str(error)) from error

    def run(self, color: Color, release: Release) -> GateVerdict:
        """Judge the candidate. The verdict is inconclusive if the evaluation cannot be completed."""
        active = self.config.read().color(other_color(color)).release
        try:
            ask = self._run_command if self.settings.command else self._ask_suite
            verdict = ask(color, release, active)
            if self.judge is None or active is None or verdict.verdict is not Verdict.PASS:
                return verdict
            return with_judge(verdict, self.judge.run(color, release.release_id, active.release_id))
        except (CommandError, OutOfTimeError) as error:
            return GateVerdict(gate=GATE, verdict=Verdict.INCONCLUSIVE, reason=str(error))

    def _ask_suite(self, color: Color, release: Release, active: Release | None) -> GateVerdict:
        compared = active if self.settings.max_drop_points is not None else None
        colors: list[tuple[Color, str]] = [(color, fingerprint(color, release.release_id))]
        if compared is not None:
            colors.append((other_color(color), fingerprint(other_color(color), compared.release_id)))
        # Alternate between the colours, so that both answer under the same conditions.
        asked: list[tuple[Question, Color, str]] = [
            (question, to, name) for question in self._questions for to, name in colors
        ]
        answers = ask_all(
            [partial(self._ask, question, to, name) for question, to, name in asked],
            at_once=self.settings.concurrency * len(colors),
            clock=self.clock,
            limit_seconds=self.settings.timeout_seconds,
        )
        given = {(question.id, to): answer for (question, to, _), answer in zip(asked, answers, strict=True)}
        graded = [
            Graded(
                question=question.id,
                candidate=_right(question, given[question.id, color]) or False,
                active=None if compared is None else _right(question, given[question.id, other_color(color)]),
            )
            for question in self._questions
        ]
        verdict = judge_suite(graded, self.settings)
        errors = [error for question in self._questions if (error := given[question.id, color].error)]
        if not errors:
            return verdict
        reason = f"{verdict.reason}; {len(errors)} without an answer, e.g. {errors[0]}"
        return GateVerdict(gate=GATE, verdict=verdict.verdict, reason=reason, evidence=verdict.evidence)

    def _ask(self, question: Question, color: Color, expected: str) -> Answer:
        body = question.body(self.settings.max_tokens)
        answer = self.route.ask(color, body, timeout_seconds=self.settings.request_timeout_seconds)
        return answer.by(expected)

    def _run_command(self, color: Color, release: Release, active: Release | None) -> GateVerdict:
        candidate = self._score(color, release)
        compared = None
        verdict = judge_scores(candidate, None, self.settings)
        if verdict.verdict is not Verdict.INCONCLUSIVE or active is None:
            return verdict  # The candidate alone decides.
        compared = self._score(other_color(color), active)
        return judge_scores(candidate, compared, self.settings)

    def _score(self, color: Color, release: Release) -> Score:
        with tempfile.TemporaryDirectory(prefix=f"eval-{color}-") as folder, self.relay(color) as relay:
            target = EvaluatedColor(
                base_url=relay.base_url,
                model=self.served_model_name,
                color=color,
                release_id=release.release_id,
                release_model=release.model,
            )
            try:
                score = run_command(
                    self.settings, target, folder=Path(folder), work_dir=self.work_dir, clock=self.clock
                )
            except CommandError as error:
                raise CommandError(f"the evaluation of {color} failed: {error}") from error
            if not relay.answered:
                raise CommandError(
                    f"the evaluation of {color} gave {score.percent:g} %, but {color} answered none of its requests; "
                    "let the command send its requests to {base_url}"
                )
            return score


def _right(question: Question, answer: Answer) -> bool | None:
    """Return whether an answer is right. None when there is no answer."""
    return None if answer.error else question.check.holds(answer.text)
