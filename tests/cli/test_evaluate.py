"""`vultus eval` and `vultus calibrate` on drawn people, in process and against a running server."""

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.errors import OperatorError
from tests import pictures
from tests.rekognition.conftest import Tenant, make_tenant, service_env
from tests.servers import serving

__all__ = ["service_env"]
PEOPLE, TAKES = 24, 3


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn people with three photos each, in LFW's layout, and pairs of them."""
    folder = tmp_path_factory.mktemp("album")
    for seed in range(1, PEOPLE + 1):
        (folder / f"p{seed}").mkdir()
        for take in range(1, TAKES + 1):
            (folder / f"p{seed}" / f"p{seed}_{take:04}.jpg").write_bytes(pictures.photo(seed, take))
    lines = [f"2\t{PEOPLE // 2}"]
    for fold in range(2):
        own = range(1 + fold * PEOPLE // 2, 1 + (fold + 1) * PEOPLE // 2)
        lines += [f"p{seed}\t1\t2" for seed in own]
        lines += [f"p{seed}\t1\tp{seed % PEOPLE + 1}\t2" for seed in own]
    (folder / "pairs.txt").write_text("\n".join(lines) + "\n")
    return folder


def vultus(service_env: dict[str, str], *arguments: str | Path, **env: str) -> str:
    command: list[str | Path] = [Path(sys.executable).parent / "vultus", *arguments]
    done = subprocess.run(
        command, env={**os.environ, **service_env, **env}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def report(directory: Path) -> Any:
    page = (directory / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "<svg" in page
    assert 'src="http' not in page
    return json.loads((directory / "report.json").read_text())


def test_verification_with_groups(service_env: dict[str, str], album: Path, tmp_path: Path) -> None:
    groups = tmp_path / "groups.csv"
    with groups.open("w", newline="") as file:
        rows = [(f"p{seed}", "even" if seed % 2 == 0 else "odd") for seed in range(1, PEOPLE + 1)]
        csv.writer(file).writerows([("person", "group"), *rows])
    out = tmp_path / "verify"
    arguments: list[str | Path] = [
        "eval",
        "verify",
        "--data",
        album,
        "--pairs",
        album / "pairs.txt",
        "--out",
        out,
        "--all-pairs",
    ]
    said = vultus(service_env, *arguments, "--groups", groups, "--pictures")
    found = report(out)
    assert found["verification"]["accuracy"]["value"] >= 0.9
    assert found["verification"]["pairs_without_a_face"] == 0
    by_group = found["verification"]["groups"]
    assert set(by_group["groups"]) == {"even", "odd"}
    assert all(row["fnmr"]["low"] <= row["fnmr"]["value"] <= row["fnmr"]["high"] for row in by_group["groups"].values())
    page = (out / "report.html").read_text()
    assert page.count("<img") == sum(len(failure["pictures"]) for failure in found["failures"])
    assert all(picture["box"] for failure in found["failures"] for picture in failure["pictures"])
    assert found["all_pairs"]["photos"] == 2 * PEOPLE
    assert found["about"].keys() >= {"pack", "digest", "recognizer", "detection_threshold", "threshold_of_claims"}
    assert "accuracy" in said
    assert not (out / "answers.jsonl").exists()  # embeddings do not stay


def test_what_is_wrong_is_said_before_anything_is_asked(album: Path, tmp_path: Path) -> None:
    empty = tmp_path / "pairs.txt"
    empty.write_text("0\n")
    data: list[str | Path] = ["--data", album, "--out", tmp_path / "out"]
    pairs: list[str | Path] = [*data, "--pairs", album / "pairs.txt"]
    for arguments, said in (
        (["eval", "identify", *data, "--galleries", "10x"], "--galleries"),
        (["eval", "identify", *data, "--galleries", "24"], "needs at least 25"),
        (["eval", "verify", *data, "--pairs", empty], "line 1"),
        (["eval", "verify", *pairs, "--url", "http://127.0.0.1:9", "--all-pairs"], "--all-pairs"),
        (["eval", "verify", *pairs, "--url", "http://127.0.0.1:9"], "127.0.0.1:9"),
        (["eval", "verify", *pairs, "--rekognition", "vultus.example"], "vultus.example"),
        (["eval", "verify", *pairs, "--url", "http://127.0.0.1:9", "--out", empty], "cannot be written"),
        (["eval", "verify", *data, "--pairs", album / "p1" / "p1_0001.jpg"], "cannot be read"),
        (["eval", "compare", "synthetic", *pairs], "two or more packs"),
        (["eval", "event", *data, "--manifest", empty, "--threshold", "nan"], "--threshold"),
        (["eval", "event", *write_event(tmp_path), "--album"], "--album"),
        (["eval", "verify", *pairs, "--groups", album / "p1" / "p1_0001.jpg"], "not a CSV file in UTF-8"),
    ):
        done = CliRunner().invoke(cli, [str(one) for one in arguments], env={"VULTUS_API_KEY": "x"})
        assert isinstance(done.exception, OperatorError), done.exception  # which `main` makes one line of
        assert said in str(done.exception)


def test_identification(service_env: dict[str, str], album: Path, tmp_path: Path) -> None:
    out = tmp_path / "identify"
    data: list[str | Path] = ["--data", album, "--out", out, "--galleries", "8,16"]
    vultus(service_env, "eval", "identify", *data, "--repeats", "2", "--pictures")
    found = report(out)
    small, large = found["galleries"]
    assert (small["draws"], large["draws"]) == (2, 2)
    assert large["decided"]["stated"] == pytest.approx(1e-3)
    assert found["failures"]  # the strangers nearest to somebody
    assert (out / "report.html").read_text().count("<img") >= 2 * len(found["failures"])
    assert (small["gallery"], large["gallery"]) == (8, 16)
    assert small["rank_1_missed"]["value"] <= 0.2
    assert len(small["cmc"]) == 20
    assert [row["stated"] for row in small["stated_false_match_rate"]] == [0.1, 0.05, 0.01]
    at = [row["fpir_at_threshold"] for row in (small, large)]
    assert [one["threshold"] for one in at[0]] == [one["threshold"] for one in at[1]]
    assert all(one["stated"] < other["stated"] for one, other in zip(*at, strict=True))  # more to be wrong about


def write_event(folder: Path) -> list[str | Path]:
    """Four photos of an event and four selfies, one of somebody who was not there; the options that name them."""
    rows = [("kind", "photo", "people")]
    for number, seeds in enumerate([(1, 2, 3), (2, 3), (4, 5), (1, 5)]):
        (folder / f"{number}.jpg").write_bytes(pictures.group(*seeds))
        rows.append(("photo", f"{number}.jpg", ";".join(f"p{seed}" for seed in seeds)))
    for seed in (1, 2, 5, 9):
        (folder / f"selfie{seed}.jpg").write_bytes(pictures.photo(seed, 1))
        rows.append(("selfie", f"selfie{seed}.jpg", f"p{seed}"))
    with (folder / "event.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return ["--data", folder, "--manifest", folder / "event.csv"]


def test_an_event_with_selfies(service_env: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    vultus(service_env, "eval", "event", *write_event(tmp_path), "--out", out)
    found = json.loads((out / "report.json").read_text())["event"]
    assert (found["photos"], found["faces"], found["selfies"]) == (4, 9, 4)
    assert found["recall_at_20"]["value"] >= 0.6
    assert found["precision_at_10"]["value"] >= 0.9
    assert found["empty_rate"]["value"] >= 0.25  # p9 is in no photo
    assert found["recall_at_20"]["low"] <= found["recall_at_20"]["value"] <= found["recall_at_20"]["high"]
    assert found["average_index_ms"] > 0


def test_calibrating_writes_into_the_pack(
    service_env: dict[str, str],
    album: Path,
    synthetic_pack: Path,
    tmp_path: Path,
) -> None:
    pack, crowd = tmp_path / "pack", tmp_path / "crowd"
    shutil.copytree(synthetic_pack, pack)
    shutil.copytree(album, crowd)
    for seed in range(PEOPLE + 1, 53):
        (crowd / f"p{seed}").mkdir()
        (crowd / f"p{seed}" / "1.jpg").write_bytes(pictures.photo(seed))
    out = tmp_path / "calibration"
    said = vultus(service_env, "calibrate", "--data", crowd, "--pack", str(pack), "--out", out)
    assert "FMR 0.01 (" in said
    assert "rates below 0.01 are extrapolated" in said
    assert report(out)["calibration"]["rates"][1]["fmr"] == 0.01
    written = json.loads((pack / "pack.json").read_text())["calibration"]
    assert "52 people" in written["source"]
    assert written["intervals"].keys() == written["cosines"].keys()
    shown = vultus(service_env, "models", "show", str(pack))
    assert written["source"] in shown
    assert "FMR 0.01 (" in shown


def test_packs_are_compared_in_one_table(
    service_env: dict[str, str], album: Path, synthetic_pack: Path, tmp_path: Path
) -> None:
    out = tmp_path / "compare"
    packs = [str(synthetic_pack), f"{synthetic_pack}+mirror"]
    said = vultus(service_env, "eval", "compare", *packs, "--data", album, "--pairs", album / "pairs.txt", "--out", out)
    found = json.loads((out / "report.json").read_text())
    assert [row["pack"] for row in found["packs"]] == packs
    assert all(row["ms_a_photo"] > 0 for row in found["packs"])
    assert all(row["accuracy"]["low"] <= row["accuracy"]["value"] for row in found["packs"])
    assert found["packs"][0]["gain"] is None
    assert found["packs"][1]["gain"]["low"] <= found["packs"][1]["gain"]["value"] <= found["packs"][1]["gain"]["high"]
    assert "ms per photo" in said
    assert "+mirror" in (out / "report.html").read_text()
    assert sorted(file.name for file in out.iterdir()) == ["report.html", "report.json"]


@pytest.fixture(scope="module")
def account(service_env: dict[str, str]) -> Iterator[Tenant]:
    with serving(**service_env, VULTUS_ALBUM_WORKER="true") as (base, _), make_tenant(base) as made:
        yield made


def test_a_running_server_is_evaluated_over_its_own_api(
    service_env: dict[str, str],
    account: Tenant,
    album: Path,
    tmp_path: Path,
) -> None:
    key = account.native.post("/keys", json={"name": "eval", "scopes": ["register", "recognize", "delete"]}).json()
    out, env = tmp_path / "out", {"VULTUS_API_KEY": key["key"]}
    arguments: list[str | Path] = [
        "eval",
        "identify",
        "--data",
        album,
        "--galleries",
        "8,12",
        "--out",
        out,
        "--url",
        account.base,
        "--pictures",
    ]
    vultus(service_env, *arguments, **env)
    found = report(out)
    assert found["about"]["system"] == "Vultus API"
    assert [row["gallery"] for row in found["galleries"]] == [8, 12]
    assert all(row["rank_1_missed"]["value"] <= 0.2 for row in found["galleries"])
    assert found["galleries"][0]["decided"]["stated"] == pytest.approx(1e-3, rel=0.02)
    assert (out / "report.html").read_text().count("<img") >= 2 * len(found["failures"])
    assert collections(account) == ["default"]  # nothing of it stays


def collections(account: Tenant) -> list[str]:
    return [item["name"] for item in account.native.get("/collections").json()["items"]]


def test_a_killed_run_at_a_server_goes_on_with_its_collection_or_erases_it(
    service_env: dict[str, str], account: Tenant, album: Path, tmp_path: Path
) -> None:
    key = account.native.post("/keys", json={"name": "kill", "scopes": ["register", "recognize", "delete"]}).json()
    out, env = tmp_path / "out", {"VULTUS_API_KEY": key["key"]}
    data: list[str | Path] = ["--data", album, "--out", out, "--galleries", "12", "--url", account.base]
    command: list[str | Path] = [Path(sys.executable).parent / "vultus", "eval", "identify", *data]

    def enrolled_when_killed(least: int) -> list[str]:
        with subprocess.Popen(
            command, env={**os.environ, **service_env, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            while True:
                lines = (out / "answers.jsonl").read_text().splitlines() if (out / "answers.jsonl").exists() else []
                if sum('"enroll ' in line for line in lines) >= least:
                    break
                assert process.poll() is None
                time.sleep(0.02)
            process.kill()
        return [line for line in (out / "answers.jsonl").read_text().splitlines() if '"enroll ' in line]

    before = enrolled_when_killed(3)
    (left,) = set(collections(account)) - {"default"}
    vultus(service_env, *map(str, command[1:]), "--keep", **env)
    after = [line for line in (out / "answers.jsonl").read_text().splitlines() if '"enroll ' in line]
    assert after[: len(before)] == before  # asked once
    assert len(after) == 12
    assert all(left in line for line in after)
    assert report(out)["galleries"][0]["rank_1_missed"]["value"] <= 0.2
    assert collections(account) == ["default"]

    (out / "answers.jsonl").unlink()
    enrolled_when_killed(2)
    other = vultus(
        service_env, *map(str, command[1:]), "--searches", "3", **env
    )  # another run, with a gallery of its own
    assert "rank-1" in other
    found = report(out)["galleries"][0]
    assert (found["searches_of_people_inside"], found["searches_of_strangers"]) == (3, 3)
    assert collections(account) == ["default"]

    enrolled_when_killed(2)
    (left,) = set(collections(account)) - {"default"}
    account.native.delete(f"/collections/{left}").raise_for_status()  # by hand, as whoever reads that it stays may
    said = vultus(service_env, *map(str, command[1:]), "--start-over", **env)
    assert "rank-1" in said
    assert collections(account) == ["default"]


def test_an_event_at_a_running_server(service_env: dict[str, str], account: Tenant, tmp_path: Path) -> None:
    key = account.native.post("/keys", json={"name": "event", "scopes": ["register", "recognize", "delete"]}).json()
    arguments: list[str | Path] = ["eval", "event", *write_event(tmp_path), "--out", tmp_path / "out"]
    vultus(service_env, *arguments, "--url", account.base, VULTUS_API_KEY=key["key"])
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    assert found["about"]["system"] == "Vultus API"
    table = found["event"]
    assert (table["photos"], table["faces"], table["selfies"], table["threshold"]) == (4, 9, 4, None)
    assert table["recall_at_20"]["value"] >= 0.6
    assert table["precision_at_10"]["value"] >= 0.9
    assert table["average_index_ms"] > 0


def test_an_event_in_an_album_of_a_running_server(service_env: dict[str, str], account: Tenant, tmp_path: Path) -> None:
    key = account.native.post("/keys", json={"name": "album", "scopes": ["register", "recognize", "delete"]}).json()
    arguments: list[str | Path] = ["eval", "event", *write_event(tmp_path), "--album", "--out", tmp_path / "out"]
    vultus(service_env, *arguments, "--url", account.base, VULTUS_API_KEY=key["key"])
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    assert found["about"]["system"] == "Vultus API, album"
    table = found["event"]
    assert (table["photos"], table["faces"], table["selfies"], table["threshold"]) == (4, 9, 4, None)
    assert table["recall"]["value"] >= 0.6
    assert table["precision"]["value"] >= 0.9
    assert table["stated_false_match_rate"] == pytest.approx(1e-3)
    assert account.native.get("/albums").json()["items"] == []


def test_anything_that_speaks_rekognition_is_evaluated_alike(
    service_env: dict[str, str],
    account: Tenant,
    album: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    env = {"AWS_ACCESS_KEY_ID": account.access_key_id, "AWS_SECRET_ACCESS_KEY": account.secret}
    arguments: list[str | Path] = ["eval", "verify", "--data", album, "--pairs", album / "pairs.txt", "--out", out]
    vultus(service_env, *arguments, "--rekognition", f"{account.base}/rekognition", **env)
    found = report(out)
    assert found["about"]["system"] == "Rekognition"
    assert found["about"]["threshold"] == 80
    assert found["verification"]["accuracy"]["value"] >= 0.9
