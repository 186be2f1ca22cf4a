"""First process of a job: makes its private `/opt/ml`, runs it, and takes it down with us.

Run as `python -I -S launcher.py SPEC` by the local cloud (see `process.py`). It imports nothing
of ours and little of the standard library, because its start is part of every job's start.

With `isolation: "mount"` it enters new user, mount and process namespaces (and a network
namespace without any interface when `network` is false), binds the job's folder to `/opt/ml`,
lays a throw-away writable layer over the image's files, and runs the job below an init of its
own: when any of the three processes is killed, everything the job ever started is killed too.
With `isolation: "paths"` it only guards the job's life; the paths alone tell them apart.

Exit code: the job's own, 128 + N when signal N ended it, 125 when the launcher itself failed.
"""

from __future__ import annotations

import ctypes
import marshal
import os
import signal
import sys

TYPE_CHECKING = False  # typing itself takes longer to import than all the rest here
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
PR_SET_PDEATHSIG = 1
LAUNCHER_FAILED = 125
libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int, what: str) -> None:
    """Turn a failed libc call into an OSError that says what was tried."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(
    source: str, target: str, kind: str | None = None, flags: int = 0, options: str | None = None
) -> None:
    """mount(2) with Python strings."""
    encode = [None if text is None else text.encode() for text in (source, target, kind, options)]
    done = libc.mount(encode[0], encode[1], encode[2], ctypes.c_ulong(flags), encode[3])
    checked(done, f"mount {source} on {target}")


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Ask the kernel for `number` when our parent dies; leave at once if it died already."""
    checked(libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0), "prctl")
    if os.getppid() != parent:
        os._exit(LAUNCHER_FAILED)


def enter_namespaces(network: bool) -> None:
    """A user namespace of our own, in which we may mount; the job sees itself as uid 0."""
    uid, gid = os.getuid(), os.getgid()
    flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | (0 if network else CLONE_NEWNET)
    checked(libc.unshare(flags), "unshare")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"0 {uid} 1"),
        ("gid_map", f"0 {gid} 1"),
    ):
        with open("/proc/self/" + name, "w") as file:
            file.write(text)
    mount("none", "/", flags=MS_REC | MS_PRIVATE)


def replant(folder: str, stage: str) -> None:
    """Give `/opt` a new root that still shows what the machine keeps there."""
    mount("none", stage, "tmpfs")
    for name in os.listdir("/opt") if os.path.isdir("/opt") else ():
        old, new = os.path.join("/opt", name), os.path.join(stage, name)
        if name == "ml":
            continue
        if os.path.islink(old):
            os.symlink(os.readlink(old), new)
        elif os.path.isdir(old):
            os.mkdir(new)
            mount(old, new, flags=MS_BIND | MS_REC)
        else:
            open(new, "w").close()
            mount(old, new, flags=MS_BIND)
    os.mkdir(os.path.join(stage, "ml"))
    mount(folder, os.path.join(stage, "ml"), flags=MS_BIND | MS_REC)
    mount(stage, "/opt", flags=MS_BIND | MS_REC)


def shadow(image: str, layer: str) -> None:
    """A container may change its image's files, and nobody else sees it."""
    upper, work = os.path.join(layer, "upper"), os.path.join(layer, "work")
    os.makedirs(upper)
    os.makedirs(work)
    try:
        mount(
            "overlay",
            image,
            "overlay",
            0,
            f"lowerdir={image},upperdir={upper},workdir={work}",
        )
    except OSError:
        # No overlay for unprivileged users here: then nobody may change the files at all.
        mount(image, image, flags=MS_BIND | MS_REC)
        mount(image, image, flags=MS_BIND | MS_REC | MS_REMOUNT | MS_RDONLY)


def follow(child: int) -> int:
    """Wait for `child`, pass SIGTERM on to it, reap strangers; the exit code in the shell's way."""
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def run_job(spec: dict[str, Any]) -> NoReturn:
    """Become the job."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    try:
        os.chdir(spec["cwd"])
        os.execvpe(spec["argv"][0], spec["argv"], spec["env"])  # noqa: S606 - no shell is wanted
    except OSError as error:
        text = "cannot run {!r} in {}: {}\n".format(spec["argv"][0], spec["cwd"], error.strerror)
        os.write(2, text.encode())
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def fork_and_follow(parent_signal: int, body: Callable[[], object]) -> int:
    """Run `body` in a child that dies with us; the child's exit code."""
    me = os.getpid()
    child = os.fork()
    if child == 0:
        checked(libc.prctl(PR_SET_PDEATHSIG, int(parent_signal), 0, 0, 0), "prctl")
        # Inside a new process namespace the parent shows as 0; elsewhere it must still be us.
        if os.getppid() not in (0, me):
            os._exit(LAUNCHER_FAILED)
        body()
        os._exit(LAUNCHER_FAILED)
    return follow(child)


def as_init(spec: dict[str, Any]) -> NoReturn:
    """Process 1 of the job's namespace: its own /proc, then the job below it."""
    try:
        mount("proc", "/proc", "proc")
    except OSError as error:
        # Some containers mask /proc. The job then sees the machine's processes, no more.
        os.write(2, (f"[local cloud] no private /proc: {error}\n").encode())
    os._exit(fork_and_follow(signal.SIGKILL, lambda: run_job(spec)))


def main(path: str) -> int:
    """Read the spec, build the container, follow the job to its end."""
    with open(path, "rb") as file:
        spec = marshal.load(file)  # noqa: S302 - our own file; json would cost 5 ms of every job
    if os.getpgrp() != os.getpid():
        os.setsid()
    # A stop that comes while we are still building waits until it can be passed on.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    if spec["isolation"] == "paths":
        # Without a process namespace the group is all that holds the job's children together.
        signal.signal(signal.SIGHUP, lambda *_: os.killpg(0, signal.SIGKILL))
        die_with_parent(spec["parent"], signal.SIGHUP)
        return fork_and_follow(signal.SIGKILL, lambda: run_job(spec))
    die_with_parent(spec["parent"])
    enter_namespaces(spec["network"])
    die_with_parent(spec["parent"])  # again: entering a user namespace may clear the request
    replant(spec["opt_ml"], spec["stage"])
    if spec["image"]:
        shadow(spec["image"], spec["layer"])
    return fork_and_follow(signal.SIGKILL, lambda: as_init(spec))


if __name__ == "__main__":
    try:
        code = main(sys.argv[1])
    except OSError as problem:
        os.write(2, (f"[local cloud] the job's container could not be made: {problem}\n").encode())
        code = LAUNCHER_FAILED
    os._exit(code)
