"""Servers that are killed leave nothing half done; `make prove-crashes` does the same fifty times."""

import shutil
from pathlib import Path

from app.persistence.provisioning.embedded import EmbeddedPostgres
from benchmarks.crash_safety import Proof


def test_a_killed_server_leaves_nobody_half_registered_and_no_change_without_its_entry(
    tmp_path: Path, synthetic_pack: Path
) -> None:
    shutil.copytree(synthetic_pack, tmp_path / "models" / synthetic_pack.name)  # spares the seconds of fitting it
    proof = Proof(tmp_path, seed=1)
    proof.prepare()
    try:
        kills = [proof.kill_once(with_postgres=with_postgres) for with_postgres in (False, True, False)]
    finally:
        proof.end()
        # The killed servers are still on the list of those that use PostgreSQL: who starts it anew forgets them.
        postgres = EmbeddedPostgres(tmp_path)
        postgres.start()
        postgres.stop()
    assert [kill["flaws"] for kill in kills] == [[], [], []]
    assert proof.calls > 0
