"""Accounts for a Slurm of tests: slurmdbd on a MariaDB of its own, both on the loopback interface.

Who runs the tests may use the account `lab`, whose jobs have the QOS `normal`; jobs of `first` take their place, and of
`few` at most two are in the queue at a time. The account `others` is somebody else's.
"""

from __future__ import annotations

import secrets
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = ("slurmdbd", "sacctmgr", "mariadbd", "mariadb-install-db")
PACKAGES = "slurmdbd mariadb-server"
CONF = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={root}/munge.socket
AccountingStorageEnforce=associations,limits,qos
JobAcctGatherType=jobacct_gather/none
PreemptType=preempt/qos
"""
DAEMON = """\
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket,cred_expire=5
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
LogFile={root}/slurmdbd.log
PidFile={root}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=slurm
StoragePass={password}
StorageLoc=accounts
"""
ACCOUNTS = (
    "add cluster batchlab",
    "add account lab",
    "add account others",
    "add user root account=lab",
    "modify qos normal set gracetime=10",
    "add qos first preempt=normal priority=10",
    "add qos few maxsubmitjobsperuser=2",
    "modify user root set qos=normal,first,few defaultqos=normal",
)
"""What sacctmgr is told, in this order."""


@dataclass(frozen=True)
class Accounts:
    """The parts of it, which a cluster starts.

    Attributes:
        root: The cluster's folder.
        database: Port of MariaDB.
        port: Of slurmdbd.
    """

    root: Path
    database: int
    port: int
    password: str = field(default_factory=secrets.token_hex)

    @property
    def conf(self) -> str:
        """Lines of slurm.conf."""
        return CONF.format(root=self.root, port=self.port)

    @property
    def ready(self) -> Path:
        """There as soon as the database has been prepared and listens."""
        return self.root / "database.pid"

    def make_database(self) -> tuple[str, ...]:
        """Prepare an empty one; returns the command of its server.

        Raises:
            subprocess.CalledProcessError: It cannot be prepared.
        """
        folder = self.root / "database"
        folder.mkdir()
        where = ("--no-defaults", f"--datadir={folder}", "--user=root")
        install = shutil.which("mariadb-install-db") or PROGRAMS[-1]
        subprocess.run((install, *where, "--skip-test-db"), check=True, capture_output=True, timeout=300)
        first = folder / "first.sql"
        user = "'slurm'@'127.0.0.1'"
        first.write_text(f"CREATE USER {user} IDENTIFIED BY '{self.password}';\nGRANT ALL ON accounts.* TO {user};\n")
        small = ("--innodb-buffer-pool-size=32M", "--innodb-log-file-size=32M", "--innodb-flush-log-at-trx-commit=0")
        loopback = ("--bind-address=127.0.0.1", f"--port={self.database}", f"--socket={self.root}/database.socket")
        return (
            *("mariadbd", *where, *loopback, "--skip-name-resolve", *small, "--innodb-lock-wait-timeout=900"),
            *(f"--init-file={first}", f"--pid-file={self.ready}"),
        )

    def make_daemon(self) -> tuple[str, ...]:
        """Write slurmdbd's file, where it looks for it; returns its command."""
        conf = self.root / "slurmdbd.conf"
        conf.touch(0o600)
        conf.write_text(DAEMON.format(root=self.root, port=self.port, database=self.database, password=self.password))
        return ("slurmdbd", "-D")
