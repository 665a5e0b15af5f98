"""`vultus eval quality` on drawn people."""

from pathlib import Path

from tests import pictures
from tests.cli.test_evaluate import report, vultus
from tests.rekognition.conftest import service_env

__all__ = ["service_env"]
PEOPLE, TAKES = 42, 3


def test_quality_is_evaluated_by_discarding_the_worst_faces(service_env: dict[str, str], tmp_path: Path) -> None:
    for seed in range(1, PEOPLE + 1):
        (tmp_path / "album" / f"p{seed}").mkdir(parents=True)
        for take in range(1, TAKES + 1):
            (tmp_path / "album" / f"p{seed}" / f"{take}.jpg").write_bytes(pictures.photo(seed, take))
    arguments: list[str | Path] = ["eval", "quality", "--data", tmp_path / "album", "--out", tmp_path / "out"]
    said = vultus(service_env, *arguments, "--degraded", "0.1", "--fmr", "0.01")
    found = report(tmp_path / "out")["quality"]
    assert found["people"] == PEOPLE
    assert PEOPLE * TAKES * 0.8 <= found["faces"] <= PEOPLE * TAKES
    # The synthetic pack has no quality model, so there is no quality score.
    assert set(found["measures"]) == {"embedding length", "detection score", "sharpness", "face pixels"}
    for measured in found["measures"].values():
        assert measured["curve"][0]["discarded"] == 0
        assert measured["curve"][0]["fmr"] <= 0.01
        assert measured["curve"][0]["fnmr"] == found["measures"]["sharpness"]["curve"][0]["fnmr"]
    assert "sharpness" in said
    assert "FNMR" in said
