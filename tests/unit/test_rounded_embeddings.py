"""Products of rounded embeddings are off by no more than they say, whatever the embeddings."""

import numpy as np
import pytest

from app.matcher.rounded_embeddings import RoundedEmbeddings, multiply_halves


@pytest.mark.parametrize("scale", [1.0, 1e-3, 30.0])
@pytest.mark.parametrize("kind", ["dense", "one large value", "equal"])
def test_the_error_bound_holds(scale: float, kind: str) -> None:
    rng = np.random.default_rng(3)
    embeddings = rng.normal(size=(500, 512))
    if kind == "one large value":
        embeddings[:, 7] = 100
    if kind == "equal":
        embeddings[:] = embeddings[0]
    embeddings = (scale * embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float16)
    probes = np.concatenate([embeddings[:3], -embeddings[:1], rng.normal(size=(3, 512)) / 22]).astype(np.float16)
    rounded = RoundedEmbeddings.of(embeddings)
    for probe in probes.astype(np.float32):
        exact = embeddings.astype(np.float64) @ probe.astype(np.float64)
        products, max_error = rounded.multiply(probe)
        assert np.abs(products - exact).max() <= max_error
        assert max_error < 0.06 * scale * np.linalg.norm(probe) * (4 if kind == "one large value" else 1) + 2e-5
        assert multiply_halves(embeddings, probe) == pytest.approx(exact, abs=3e-5 * max(1.0, scale), rel=1e-5)


def test_zeros_and_nothing_can_be_rounded() -> None:
    assert RoundedEmbeddings.of(np.zeros((2, 512), np.float16)).multiply(np.ones(512, np.float32))[0].tolist() == [0, 0]
    assert RoundedEmbeddings.of(np.zeros((0, 512), np.float16)).values.shape == (0, 512)
