"""One worker has a job at a time, and what a dead one leaves is taken over."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from velodrome.foundation.errors import WriteError
from velodrome.results.store import claims as module
from velodrome.results.store.claims import LEASE_SECONDS, Claim, Claims
from velodrome.results.store.lease import Lease


def lease_of(claims: Claims, name: str = "a") -> Lease:
    return claims.lease(kind="shard", id=name, cell="c", task=0)


def kill(claim: Claim) -> None:
    """End its signs of life, and leave it."""
    claim._over.set()
    claim._beat.join()


def test_a_claimed_job_is_free_again_when_its_worker_is_done(tmp_path: Path):
    first, second = Claims(tmp_path), Claims(tmp_path)
    claim = first.take(lease_of(first), since=0.0)
    assert claim is not None
    with claim:
        assert second.take(lease_of(second), since=0.0) is None
        assert second.take(lease_of(second, "b"), since=0.0) is not None
        assert [lease.id for lease in second.held()] == ["a", "b"]
    again = second.take(lease_of(second), since=0.0)
    assert again is not None
    assert again.lease.attempt == 1


def test_one_of_many_gets_a_job(tmp_path: Path):
    won: list[Lease] = []
    barrier = threading.Barrier(8)

    def try_it() -> None:
        claims = Claims(tmp_path)
        lease = lease_of(claims)
        barrier.wait()
        if claims.take(lease, since=0.0):
            won.append(lease)

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert [lease.token for lease in Claims(tmp_path).held()] == [won[0].token]
    assert [path.name for path in (tmp_path / "claims").iterdir()] == ["shard-a"]


def test_a_claim_without_a_sign_of_life_is_taken_over(tmp_path: Path):
    dead, alive = Claims(tmp_path), Claims(tmp_path)
    elsewhere = dataclasses.replace(lease_of(dead), machine="elsewhere")
    old = dead.take(elsewhere, since=0.0)
    assert old is not None
    path = tmp_path / "claims" / "shard-a"
    assert alive.take(lease_of(alive), since=0.0) is None
    past = time.time() - LEASE_SECONDS - 60
    os.utime(path, (past, past))
    assert alive.held() == []
    new = alive.take(lease_of(alive), since=0.0)
    assert new is not None
    assert new.lease.attempt == 2
    with old:
        pass  # it wakes up, and leaves what is no longer its own
    assert [lease.token for lease in alive.held()] == [new.lease.token]


@pytest.mark.parametrize(("fraction", "attempt"), [(0.0, 2), (0.5, 1)])
def test_who_got_further_has_not_tried_in_vain(tmp_path: Path, fraction, attempt, monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.01)
    claims = Claims(tmp_path)
    claim = claims.take(lease_of(claims), since=0.0)
    assert claim is not None
    claim.report(fraction, {0: float("nan"), 1: 2.5})
    while claims.held()[0].losses != {"0": None, "1": 2.5}:
        time.sleep(0.01)
    kill(claim)
    claims.abandon(os.getpid())
    again = claims.take(lease_of(claims), since=0.0)
    assert again is not None
    assert (again.lease.attempt, again.lease.reached) == (attempt, fraction)
    assert again.lease.next_attempt == attempt + 1  # unless this one gets further
    kill(again)
    claims.abandon(os.getpid())
    later = claims.take(lease_of(claims), since=claims.now() + 1)
    assert later is not None
    assert later.lease.attempt == 1  # another run tries again


def test_what_a_killed_process_of_this_machine_had_is_free_at_once(tmp_path: Path):
    script = (
        "import sys, os, signal; from pathlib import Path\n"
        "from velodrome.results.store.claims import Claims\n"
        "claims = Claims(Path(sys.argv[1]))\n"
        "assert claims.take(claims.lease(kind='shard', id='a', cell='c', task=0), since=0.0)\n"
        "assert len(Claims(Path(sys.argv[1])).held()) == 1\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert (tmp_path / "claims" / "shard-a").exists()
    claims = Claims(tmp_path)
    assert claims.held() == []
    assert claims.take(lease_of(claims), since=0.0) is not None


def test_a_damaged_claim_holds_as_long_as_it_looks_alive(tmp_path: Path):
    claims = Claims(tmp_path)
    path = tmp_path / "claims" / "shard-a"
    path.parent.mkdir()
    for content in (b"", b"{", b"[]", b'{"token": 3}', bytes(range(256))):
        path.write_bytes(content)
        assert claims.take(lease_of(claims), since=0.0) is None
        assert [lease.id for lease in claims.held()] == ["a"]
        os.utime(path, (0, 0))
        claim = claims.take(lease_of(claims), since=0.0)
        assert claim is not None
        with claim:
            pass


def test_a_file_system_without_links_has_claims_too(tmp_path: Path, monkeypatch):
    def refuse(*paths: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    claims = Claims(tmp_path)
    assert claims.take(lease_of(claims), since=0.0) is not None
    assert claims.take(lease_of(claims), since=0.0) is None
    original = Path.open

    def full(self: Path, *options: Any, **more: Any) -> Any:
        if options == ("xb",):
            raise OSError(28, "No space left on device")
        return original(self, *options, **more)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(WriteError, match="cannot write to .*claims: No space left"):
        claims.take(lease_of(claims, "b"), since=0.0)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path):
    (tmp_path / "claims").write_text("")
    claims = Claims(tmp_path)
    with pytest.raises(WriteError, match="cannot write to"):
        claims.now()
