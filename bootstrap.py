#!/usr/bin/env python3
"""Sets up and runs PulseCloud from a bare checkout: `python3 bootstrap.py run`.

Needs nothing but Python 3.11 or newer with its venv module: no make, no pip. `make VERB` is the
same as `python3 bootstrap.py VERB`. This file itself runs on older Pythons far enough to say what
is missing; that is why its annotations are quoted.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = str(VENV / "bin" / "python")
COVERED = ".coverage-ids/last.json"
FAILED = ROOT / ".pytest_cache" / "v" / "cache" / "lastfailed"
LOOK_AGAIN = 60  # failed tests, such as all that share a product; with more something is broken
NEEDED = (3, 11)
# Debian puts it here; the tests look for it at this place.
CHROMIUM = "/usr/bin/chromium"

VERBS = {
    "run": "start everything, prove it, and print where to look (Ctrl-C stops it)",
    "setup": "install what running needs into .venv",
    "test": "run the tests; what cannot run here is named, never counted as passed",
    "test-long": "run the tests with the real deadlines as well",
    "test-isolation": "100,000 requests at many organisations at once, each looked at for a leak",
    "lint": "ruff, mypy, djlint, import contracts",
    "bench": "measure the numbers that the documentation claims",
    "load": "the load test: 100 organisations at work and a noisy one; --seconds 15 for a look",
    "coverage-table": "which behaviours and failure modes the last test run has shown",
    "docs": "write the pages that are generated from the code",
    "ci": "everything that has to pass before a change lands",
    "ci-tools": "install Chromium, promtool, amtool and pgbouncer with apt-get, when root and missing",
    "help": "show this",
}


def say(text: str) -> None:
    print(text, flush=True)


def stop(text: str) -> None:
    sys.exit(f"bootstrap: {text}")


def version() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def require_python() -> None:
    """Goes on with a new enough Python: this one, or another one that is installed."""
    if sys.version_info >= NEEDED:
        return
    for minor in range(19, NEEDED[1] - 1, -1):
        newer = shutil.which(f"python3.{minor}")
        if newer:
            say(f"This is Python {version()}; going on with {newer}.")
            os.execv(newer, [newer, str(Path(__file__).resolve()), *sys.argv[1:]])
    stop(
        f"PulseCloud needs Python {NEEDED[0]}.{NEEDED[1]} or newer, and this is {version()}. "
        "Install a newer one, such as the package python3.11, and run this again."
    )


def has_venv_module() -> bool:
    """Debian and Ubuntu ship Python without the part that makes virtual environments."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        return False
    return True


def setup(dev: bool = False) -> None:
    """Makes .venv and installs the pinned requirements; does nothing when that was done."""
    import fcntl

    names = ["requirements.txt", "requirements-dev.txt"] if dev else ["requirements.txt"]
    stamp = VENV / ("pulsecloud-dev.stamp" if dev else "pulsecloud.stamp")
    wanted = stamp_of(names)
    if is_done(stamp, wanted):
        return
    (ROOT / "var").mkdir(exist_ok=True)
    with (ROOT / "var" / "bootstrap.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two set-ups at once: the second finds the work done
        if is_done(stamp, wanted):
            return
        if not has_pip():
            if not has_venv_module():
                stop(
                    "Python's venv module is missing. Install one package and run this again:\n"
                    f"    apt-get install python{version()}-venv"
                )
            step("virtual environment", [sys.executable, "-m", "venv", "--clear", str(VENV)])
        pip = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "-qq"]
        requirements = str(ROOT / names[-1])
        step(f"packages of {names[-1]}", [*pip, "--root-user-action=ignore", "-r", requirements])
        stamp.write_text(wanted)


def stamp_of(names: "list[str]") -> str:
    digest = hashlib.sha256(version().encode())
    for name in names:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def is_done(stamp: Path, wanted: str) -> bool:
    try:
        return stamp.read_text() == wanted and Path(PYTHON).exists()
    except OSError:
        return False


def has_pip() -> bool:
    """Whether .venv works: a set-up may have been killed half-way, or its Python removed."""
    if not Path(PYTHON).exists():
        return False
    return subprocess.call([PYTHON, "-c", "import pip"], stderr=subprocess.DEVNULL) == 0


def step(name: str, command: "list[str]") -> None:
    say(f"  {name} ...")
    begun = time.time()
    code = call(command)
    if code:
        stop(f"{name} failed (exit code {code}): {' '.join(command)}")
    say(f"  {name} {'.' * max(2, 44 - len(name))} {time.time() - begun:5.1f} s")


def call(command: "list[str]", environment: "dict[str, str] | None" = None) -> int:
    return subprocess.call(command, cwd=ROOT, stdin=subprocess.DEVNULL, env=environment)


def become(command: "list[str]") -> None:
    """Replaces this process, so that signals and the exit code need no passing on."""
    os.chdir(ROOT)
    sys.stdout.flush()
    os.execv(command[0], command)


# --- the verbs ------------------------------------------------------------------------------------


def run(arguments: "list[str]") -> None:
    setup()
    if "PULSE_HOSTED_MODE" not in os.environ:
        os.environ["PULSE_HOSTED_MODE"] = "true"
        say("PULSE_HOSTED_MODE=true is set by this command; set it yourself to decide otherwise.")
    become([PYTHON, "manage.py", "up", "--once-ready", "welcome", *arguments])


def test(arguments: "list[str]") -> None:
    setup(dev=True)
    # A file's tests stay together: what they start, such as a whole product, is started once.
    # Four, because tests mostly wait: for processes to start, sweeps to pass, pages to load.
    spread = ["-n", "4", "--dist", "loadfile"]
    # With "=": apart, pytest takes the path for a test file on the second run and finds no conftest.
    FAILED.unlink(missing_ok=True)
    try:
        code = call([PYTHON, "-m", "pytest", *spread, f"--covers-to={COVERED}", *arguments])
        failed = sorted(json.loads(FAILED.read_text())) if code == 1 and FAILED.exists() else []
        if failed and len(failed) <= LOOK_AGAIN:
            # Many tests hold the product to a time, and those beside them may have taken it away.
            say("\nFailed beside other tests; now by themselves:\n  " + "\n  ".join(failed))
            long = [option for option in arguments if option == "--long"]
            code = call([PYTHON, "-m", "pytest", *long, *failed])
            if code == 0:
                say(f"Passed, but only by themselves: the {len(failed)} named above.")
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def test_long(arguments: "list[str]") -> None:
    test(["--long", *arguments])


def test_isolation(arguments: "list[str]") -> None:
    setup(dev=True)
    os.environ.setdefault("ISOLATION_REQUESTS", "100000")
    become([PYTHON, "-m", "pytest", "tests/isolation", "-s", "--log-level=ERROR", *arguments])


def lint_steps() -> "list[tuple[str, list[str]]]":
    return [
        ("ruff check", [PYTHON, "-m", "ruff", "check", "."]),
        ("ruff format", [PYTHON, "-m", "ruff", "format", "--check", "."]),
        ("mypy", [PYTHON, "-m", "mypy", "."]),
        ("templates", [PYTHON, "-m", "djlint", "templates", "--lint", "--quiet"]),
        ("import contracts", [str(VENV / "bin" / "lint-imports")]),
    ]


def lint(arguments: "list[str]") -> None:
    setup(dev=True)
    report([(name, command, None) for name, command in lint_steps()])


def bench(arguments: "list[str]") -> None:
    setup(dev=True)
    become([PYTHON, "-m", "bench", *arguments])


def load(arguments: "list[str]") -> None:
    setup(dev=True)
    become([PYTHON, "-m", "bench", "load", *arguments])


def coverage_table(arguments: "list[str]") -> None:
    setup(dev=True)
    become([PYTHON, "-m", "tests.coverage_table", *arguments])


def docs(arguments: "list[str]") -> None:
    setup()
    for page in ("settings_reference", "api_reference"):
        if code := call([PYTHON, "manage.py", page]):
            sys.exit(code)


def setup_only(arguments: "list[str]") -> None:
    setup()


def ci_tools(arguments: "list[str]") -> None:
    """Programs that a few tests drive; without them those tests are reported as not run."""
    wanted = []
    if not Path(CHROMIUM).exists():
        wanted.append("chromium")
    if not shutil.which("promtool"):
        wanted.append("prometheus")
    if not shutil.which("amtool"):
        wanted.append("prometheus-alertmanager")
    if not shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
        wanted.append("pgbouncer")
    if not has_venv_module():
        wanted.append(f"python{version()}-venv")
    if not wanted or os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    say(f"installing {', '.join(wanted)} ...")
    quiet = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    call(["apt-get", "-qq", "update"], quiet)
    install = ["apt-get", "-qq", "-y", "-o=Dpkg::Use-Pty=0", "install", "--no-install-recommends"]
    for package in wanted:
        if call([*install, package], quiet):
            say(f"not installed: {package}; tests that need it are reported as not run")
        elif shutil.which("systemctl"):
            # Wanted for its program: what it also brings as a service must not run from now on.
            command = ["systemctl", "disable", "--now", package]
            subprocess.run(command, capture_output=True, check=False)


def ci(arguments: "list[str]") -> None:
    ci_tools([])
    setup(dev=True)
    ours = ("PULSE_", "PULSECLOUD_", "DATABASE_URL")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    make = ["make"] if shutil.which("make") else [sys.executable, "bootstrap.py"]
    production = dict(clean, **read_env(ROOT / "ops" / "production.env.example"))
    manage = [PYTHON, "manage.py"]
    deploy = [*manage, "check", "--deploy", "--fail-level", "WARNING"]
    report(
        [
            ("tests", [*make, "test"], clean),
            *((name, command, clean) for name, command in lint_steps()),
            ("production settings", deploy, production),
            ("migrations", [*manage, "makemigrations", "--check", "--dry-run"], clean),
            ("docs/settings.md", [*manage, "settings_reference", "--check"], clean),
            ("docs/openapi.yaml", [*manage, "api_reference", "--check"], clean),
        ]
    )


def read_env(path: Path) -> "dict[str, str]":
    """NAME=value lines of an environment file."""
    lines = [line.strip() for line in path.read_text().splitlines()]
    pairs = [line.split("=", 1) for line in lines if "=" in line and not line.startswith("#")]
    return dict(pairs)


def report(steps: "list[tuple[str, list[str], dict[str, str] | None]]") -> None:
    """Runs every step, whatever the ones before it said, and sums up."""
    failed = []
    for name, command, environment in steps:
        say(f"== {name}")
        begun = time.time()
        good = call(command, environment) == 0
        if not good:
            failed.append(name)
        say(f"== {name}: {'ok' if good else 'FAILED'} ({time.time() - begun:.0f} s)")
    if failed:
        sys.exit("failed: " + ", ".join(failed))


def main() -> None:
    verb = sys.argv[1] if len(sys.argv) > 1 else "help"
    verbs = {
        "run": run,
        "setup": setup_only,
        "test": test,
        "test-long": test_long,
        "test-isolation": test_isolation,
        "lint": lint,
        "bench": bench,
        "load": load,
        "coverage-table": coverage_table,
        "docs": docs,
        "ci": ci,
        "ci-tools": ci_tools,
    }
    if verb not in verbs:
        say("usage: python3 bootstrap.py VERB [options]\n")
        for name, text in VERBS.items():
            say(f"  {name:15} {text}")
        sys.exit(0 if verb in ("help", "--help", "-h") else 2)
    require_python()
    verbs[verb](sys.argv[2:])


if __name__ == "__main__":
    main()
