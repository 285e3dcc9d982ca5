"""The private PostgreSQL cluster with TimescaleDB."""

from __future__ import annotations

import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from ioc.errors import StackError
from ioc.stack.accounts import account, give, own_folder, run_as, secret, write_private
from ioc.stack.home import Home, open_to_all
from ioc.stack.postgres_tree import has_timescaledb, installed_postgres
from ioc.stack.process import Child, start, wait_ready

#: Role and database of the services; the role is not a superuser, as on a managed server.
NAME = "ioc"

CONFIGURATION = """\
# Written at every start; to change a setting use ALTER SYSTEM.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 100
password_encryption = 'scram-sha-256'

shared_preload_libraries = 'timescaledb'
timescaledb.telemetry_level = off
timescaledb.max_background_workers = 4
max_worker_processes = 16
# A transaction that touches many chunks holds a lock for each.
max_locks_per_transaction = 256

# Two cores and a few gigabytes shared with the services.
shared_buffers = '{shared_buffers}'
effective_cache_size = '2GB'
work_mem = '16MB'
maintenance_work_mem = '128MB'
max_parallel_workers_per_gather = 1
jit = off
random_page_cost = 1.1

# Durable: what is acknowledged is on the disk.
fsync = on
synchronous_commit = on
wal_compression = on
max_wal_size = '2GB'
min_wal_size = '128MB'

timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
log_line_prefix = '%m [%p] %q%u@%d '
log_checkpoints = off
log_autovacuum_min_duration = -1
log_min_duration_statement = '5s'
"""


@dataclass(frozen=True)
class Programs:
    """A PostgreSQL that has TimescaleDB: its folder (holding bin/) and what it is.

    Attributes:
        root: e.g. /usr/lib/postgresql/17, or a private copy of such a tree.
    """

    root: Path

    def program(self, name: str) -> Path:
        """Path of one of its programs."""
        return self.root / "bin" / name


def find_programs(*homes: Home) -> Programs:
    """The first PostgreSQL with TimescaleDB: the one set-up left in a home, else the distribution's.

    Raises:
        StackError: when there is none, with what to do.
    """
    for root in (*(home.path / "pgsql" for home in homes), *installed_postgres()):
        if has_timescaledb(root):
            return Programs(root.resolve())
    raise StackError(
        "no PostgreSQL with TimescaleDB found: run `make setup`, or set IOC_DATABASE_URL to a server that has it"
    )


class Cluster:
    """One private cluster: its folder, its passwords, its server process."""

    def __init__(self, home: Home, programs: Programs, *, shared_buffers: str = "256MB") -> None:
        self.user = account("postgres", "postgresql")
        self.data = home.state / "postgres"
        self._programs = programs
        self._log = home.log / "postgres.log"
        self._admin_secret = home.path / "secrets" / "postgres"
        self._secret = home.path / "secrets" / NAME
        self._shared_buffers = shared_buffers
        if self.user is not None and not open_to_all(programs.root):
            raise StackError(
                f"the user postgres cannot enter {programs.root}: make it open to all (o+x), or run as an ordinary user"
            )

    def url(self, port: int) -> str:
        """URL of the services' database."""
        return f"postgresql://{NAME}:{secret(self._secret)}@127.0.0.1:{port}/{NAME}"

    def admin_url(self, port: int) -> str:
        """URL of the superuser."""
        return f"postgresql://postgres:{secret(self._admin_secret)}@127.0.0.1:{port}/postgres"

    def create(self) -> None:
        """Make the cluster if it does not exist; an interrupted attempt is removed first."""
        version = self.data / "PG_VERSION"
        if (self.data / "ioc-complete").exists():
            have, want = version.read_text().strip(), self._programs.root.name
            if have != want:
                raise StackError(
                    f"{self.data} was made by PostgreSQL {have}, and {self._programs.root} is {want}: "
                    f"dump it with the old programs, or remove it with `make clean` to start empty"
                )
            return
        making = self.data.parent / ".postgres-in-the-making"
        if self.data.exists():
            if not making.exists():
                raise StackError(
                    f"{self.data} is there and is no cluster of ours: move it away, or set IOC_HOME to another folder"
                )
            shutil.rmtree(self.data)
        self.data.parent.mkdir(parents=True, exist_ok=True)
        making.touch()
        self._secret.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        own_folder(self.data.parent / "postgres", self.user)
        password = self.data.parent / ".postgres-password"
        write_private(password, secret(self._admin_secret) + "\n", self.user)
        try:
            run_as(
                self.user,
                [
                    self._programs.program("initdb"),
                    *("--pgdata", str(self.data), "--username", "postgres", "--pwfile", str(password)),
                    *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--data-checksums"),
                    # Keys are compared byte by byte, which is the order of C.UTF-8 too, and not by the system's strcoll.
                    *("--lc-collate", "C"),
                    # The commit that meets the end of a segment waits until a new one is zeroed: 16 MB would be some 200 ms.
                    *("--wal-segsize", "4"),
                ],
                self._log,
            )
        finally:
            password.unlink(missing_ok=True)
        with (self.data / "postgresql.conf").open("a") as file:
            file.write("\ninclude 'ioc.conf'\n")
        (self.data / "ioc-complete").touch()
        making.unlink()

    def start(self, port: int) -> Child:
        """Start the server on a loopback port and wait until it takes connections."""
        text = CONFIGURATION.format(port=port, shared_buffers=self._shared_buffers)
        write_private(self.data / "ioc.conf", text, self.user)
        give(self.data / "ioc-complete", self.user)
        child = start(
            "postgres",
            [self._programs.program("postgres"), "-D", self.data],
            log=self._log,
            user=self.user,
            stop_signal=signal.SIGINT,
            folder=Path("/"),
        )
        try:
            wait_ready(child, lambda: self._answers(port), 60)
            self._prepare(port)
        except BaseException:
            child.stop()
            raise
        return child

    def _answers(self, port: int) -> bool:
        """Whether the server takes a connection of ours: another server on the port would refuse the password."""
        try:
            with psycopg.connect(self.admin_url(port), connect_timeout=5):
                return True
        except psycopg.OperationalError:
            time.sleep(0.05)
            return False

    def _prepare(self, port: int) -> None:
        """Make the services' role and database where they do not exist."""
        with psycopg.connect(self.admin_url(port), autocommit=True) as connection:
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [NAME]).fetchone() is None:
                statement = sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}")
                connection.execute(statement.format(sql.Identifier(NAME), sql.Literal(secret(self._secret))))
                connection.execute(
                    sql.SQL("GRANT pg_read_all_settings, pg_read_all_stats TO {}").format(sql.Identifier(NAME))
                )
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone() is None:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(NAME), sql.Identifier(NAME))
                )


def release_wait(data: Path, seconds: float = 30.0) -> None:
    """Wait until a server that is still shutting down has let go of its folder.

    Raises:
        StackError: when it does not.
    """
    pid_file = data / "postmaster.pid"
    deadline = time.monotonic() + seconds
    while True:
        try:
            pid = int(pid_file.read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return
        if not _is_postgres(pid):
            return
        if time.monotonic() > deadline:
            raise StackError(f"the PostgreSQL process {pid} still holds {data}: stop it with `kill -INT {pid}`")
        time.sleep(0.1)


def _is_postgres(pid: int) -> bool:
    """Whether that process is a PostgreSQL server: after a crash the number may belong to another program."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "postgres"
    except (FileNotFoundError, ProcessLookupError):
        return False
