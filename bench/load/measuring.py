"""What was measured: one sample an answer, sorted into quiet and noisy stretches, summed up."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, TextIO

LABEL: Final = rb"canary-load-[0-9a-f]{12}"  # what bench.load.world calls its organisations
TARGET: Final = 1.5  # others' p95 beside the noisy one, over theirs in silence
SETTLE: Final = 1.0  # seconds after each change that belong to neither
JUDGED_FROM: Final = 60.0  # seconds; a shorter run has too few samples for a p95 to be judged


@dataclass
class Sample:
    """One answer. `at` is time.monotonic() when it was asked for, which all processes share; `ms` how
    long it took since it was due; `error` is empty when it was the right one; `foreign` is a text of
    another organisation."""

    kind: str
    at: float
    ms: float
    error: str = ""
    foreign: str = ""


def write(samples: Iterable[Sample], out: TextIO) -> None:
    json.dump([list(asdict(sample).values()) for sample in samples], out)


def read(text: str) -> list[Sample]:
    return [Sample(*values) for values in json.loads(text)]


def foreign_label(answer: bytes, own: str) -> str:
    """The first other organisation's label in an answer. Every organisation of a run has one that
    nobody else could have, and every address, host and name of it holds it."""
    for found in re.findall(LABEL, answer):
        if found.decode() != own:
            return str(found.decode())
    return ""


@dataclass(frozen=True)
class Stretch:
    """A span of time, with the noisy organisation at work or not."""

    noisy: bool
    begin: float
    end: float

    def holds(self, sample: Sample) -> bool:
        return self.begin + SETTLE <= sample.at < self.end


@dataclass
class Summary:
    """Milliseconds of one kind of sample."""

    count: int = 0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    errors: int = 0

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Summary:
        good = sorted(sample.ms for sample in samples if not sample.error)
        errors = len(samples) - len(good)
        if not good:
            return cls(errors=errors)
        p50, p95, p99 = (
            round(good[min(len(good) - 1, int(len(good) * share))], 1)
            for share in (0.5, 0.95, 0.99)
        )
        return cls(len(good), p50, p95, p99, errors)


@dataclass
class Report:
    organisations: int
    seconds: float
    kinds: dict[str, dict[str, Summary]]  # kind → quiet, noisy
    ratio: float | None
    requests_a_second: float
    noisy: dict[str, Any]
    foreign: list[str] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    connected: int = 0  # organisations at the relay in the end
    should_be_connected: int = 0
    usual_pace: bool = True

    @property
    def judged(self) -> bool:
        return self.seconds >= JUDGED_FROM and self.usual_pace

    @property
    def failures(self) -> list[str]:
        """What the product promises and did not keep."""
        found = []
        if self.foreign:
            found.append(f"{len(self.foreign)} answers held another organisation's text")
        if self.errors:
            found.append(f"{sum(self.errors.values())} answers were wrong")
        if self.connected != self.should_be_connected:
            found.append(
                f"{self.connected} of {self.should_be_connected} organisations are connected"
            )
        if not self.noisy["refused"]:
            found.append("the noisy organisation was never refused")
        if self.judged and (self.ratio is None or self.ratio > TARGET):
            found.append(f"others' p95 rose to {self.ratio} times, more than {TARGET}")
        return found

    @property
    def attest(self) -> str:
        """The command with which staff vouch for this run where the product is in service: the run
        has a product of its own, whose database is gone with it. Empty unless the run counts."""
        if self.failures or not self.judged:
            return ""
        p95 = ", ".join(f"{kind} {both['noisy'].p95:.0f} ms" for kind, both in self.kinds.items())
        reason = (
            f"load test: {self.organisations} organisations for {self.seconds:g} s, p95 beside a "
            f"noisy one: {p95} (API {self.ratio} times the quiet one); no wrong answer, "
            "none with another organisation's text"
        )
        return shlex.join(["manage.py", "rollout", "attest", "ga_load", "--reason", reason])

    def document(self) -> dict[str, Any]:
        return {
            "organisations": self.organisations,
            "seconds": self.seconds,
            "requests_a_second": self.requests_a_second,
            "kinds": {
                kind: {name: asdict(each) for name, each in both.items()}
                for kind, both in self.kinds.items()
            },
            "noisy_organisation": self.noisy,
            "others_p95_ratio": self.ratio,
            "target_ratio": TARGET,
            "ratio_judged": self.judged,
            "foreign_answers": len(self.foreign),
            "errors": self.errors,
            "connected": self.connected,
            "should_be_connected": self.should_be_connected,
            "failures": self.failures,
            "passed": not self.failures,
            "attest": self.attest,
        }

    def text(self) -> str:
        lines = [
            f"{self.organisations} organisations, {self.seconds:g} s,"
            f" {self.requests_a_second:.0f} requests a second beside the noisy one",
            "",
            f"{'milliseconds':16}{'quiet':>8} p50 {'p95':>7} {'p99':>7}"
            f"{'noisy':>12} p50 {'p95':>7} {'p99':>7}   errors",
        ]
        for kind, both in self.kinds.items():
            cells = [f"{kind:16}"]
            for name in ("quiet", "noisy"):
                each = both[name]
                cells.append(
                    f"{each.count:>6}× {each.p50:>5.0f} {each.p95:>7.0f} {each.p99:>7.0f}     "
                )
            lines.append("".join(cells) + str(both["quiet"].errors + both["noisy"].errors))
        noisy = self.noisy
        ratio = "–" if self.ratio is None else f"{self.ratio:.2f}"
        lines += [
            "",
            f"the noisy one: {noisy['let_through']} let through, {noisy['refused']} refused,"
            f" {noisy['a_second']:.0f} a second",
            f"others' p95 beside it: {ratio} times the quiet one (at most {TARGET}"
            + ("" if self.judged else f"; judged from {JUDGED_FROM:g} s on, at the usual pace")
            + ")",
            f"answers with another organisation's text: {len(self.foreign)}",
            f"organisations at the relay in the end: {self.connected}"
            f" of {self.should_be_connected}",
        ]
        lines += [f"  {text}: {count}" for text, count in self.errors.items()]
        if self.attest:
            lines += ["", "vouch for it (rollout, GA 4), with the version it ran on:", self.attest]
        lines += ["", "FAILED: " + "; ".join(self.failures) if self.failures else "passed"]
        return "\n".join(lines)


def report(
    *,
    organisations: int,
    stretches: Sequence[Stretch],
    others: Sequence[Sample],
    noise: Sequence[Sample],
    connected: int,
    should_be_connected: int,
    usual_pace: bool = True,
) -> Report:
    """Sums up. `noise` are the noisy organisation's own samples, whose 429 is no error."""
    kinds: dict[str, dict[str, Summary]] = {}
    for kind in dict.fromkeys(sample.kind for sample in others):
        of_kind = [sample for sample in others if sample.kind == kind]
        kinds[kind] = {
            name: Summary.of(
                [s for s in of_kind if any(x.holds(s) for x in stretches if x.noisy == loud)]
            )
            for name, loud in (("quiet", False), ("noisy", True))
        }
    seconds = sum(each.end - each.begin for each in stretches)
    refused = sum(sample.error == "429" for sample in noise)
    loud_seconds = sum(each.end - each.begin for each in stretches if each.noisy)
    wrong = Counter(sample.error for sample in others if sample.error)
    wrong.update(s.error for s in noise if s.error and s.error != "429")
    return Report(
        organisations=organisations,
        seconds=round(seconds, 1),
        kinds=kinds,
        ratio=_ratio(**kinds.get("api", {})),
        requests_a_second=round(
            sum(any(x.holds(sample) for x in stretches) for sample in others) / seconds, 1
        ),
        noisy={
            "let_through": sum(not sample.error for sample in noise),
            "refused": refused,
            "a_second": round(len(noise) / loud_seconds, 1) if loud_seconds else 0.0,
        },
        foreign=[s.foreign for s in (*others, *noise) if s.foreign],
        errors=dict(wrong.most_common(20)),
        connected=connected,
        should_be_connected=should_be_connected,
        usual_pace=usual_pace,
    )


def _ratio(quiet: Summary | None = None, noisy: Summary | None = None) -> float | None:
    """Of the p95 of all quiet stretches and of all noisy ones: they take turns, so that what drifts
    drifts in both, and in one stretch alone eight samples would decide."""
    if quiet is None or noisy is None or not quiet.p95 or not noisy.p95:
        return None
    return round(noisy.p95 / quiet.p95, 2)
