"""A SLURM of one node, started by the tests themselves: its own munge, controller and node, all in one folder."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "mungekey")


def why_not() -> str | None:
    """Return why no SLURM can be started here, or None where one can."""
    missing = [name for name in NEEDED if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]
    if missing:
        return f"{', '.join(missing)}: not installed (Debian: slurm-wlm and munge)"
    return None if os.geteuid() == 0 else "slurmd needs to be root"


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def slurm(folder: Path, n_cpus: int, n_gpus: int = 0) -> Iterator[dict[str, str]]:
    """Run a cluster of this machine; yield the environment in which its commands find it."""
    for name in ("state", "spool"):
        (folder / name).mkdir()
    munge = folder / "munge.socket"
    key = folder / "munge.key"
    subprocess.run(["/usr/sbin/mungekey", "--create", f"--keyfile={key}"], check=True)
    node = socket.gethostname().split(".")[0]
    devices = [folder / f"gpu{index}" for index in range(n_gpus)]
    for device in devices:
        device.touch()
    (folder / "gres.conf").write_text("".join(f"Name=gpu File={device}\n" for device in devices))
    (folder / "slurm.conf").write_text(
        f"""ClusterName=tests
SlurmctldHost={node}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={munge},cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldPort={_free_port()}
SlurmdPort={_free_port()}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1
MinJobAge=300
KillWait=5
GresTypes=gpu
NodeName={node} NodeAddr=127.0.0.1 CPUs={n_cpus} {f"Gres=gpu:{n_gpus}" if n_gpus else ""} State=UNKNOWN
PartitionName=all Nodes={node} Default=YES MaxTime=INFINITE State=UP
"""
    )
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    path = ["--foreground", f"--key-file={key}", f"--socket={munge}", f"--pid-file={folder}/munge.pid"]
    path += [f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed", "--force"]
    started = []

    def start(*command: str) -> None:
        with (folder / f"{Path(command[0]).name}.out").open("wb") as output:
            started.append(subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT))

    try:
        start("/usr/sbin/munged", *path)
        _until(munge.exists, "munged", folder)
        start("/usr/sbin/slurmctld", "-D", "-i")
        start("/usr/sbin/slurmd", "-D", "-N", node)

        def is_up() -> bool:
            told = subprocess.run(["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True)  # noqa: PLW1510
            return told.stdout.strip() in {"idle", "mixed"}

        _until(is_up, "slurm", folder)
        yield environment
        # Its answer does not matter: what is left, if anything is, ends.
        subprocess.run(["scancel", "--signal=KILL", "--full", "--user=root"], env=environment, check=False)
    finally:
        for process in reversed(started):
            process.terminate()
        for process in reversed(started):
            process.wait(timeout=30)


def _until(done: object, what: str, folder: Path) -> None:
    for _ in range(40):
        if done():  # type: ignore[operator]
            return
        time.sleep(0.5)
    logs = "\n".join(path.read_text(errors="replace")[-2000:] for path in folder.glob("*.out"))
    raise TimeoutError(f"{what} does not start:\n{logs}")
