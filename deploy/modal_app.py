"""Serve the networks on Modal: containers start from a memory snapshot and end when nobody sends photos.

    modal secret create vultus-inference VULTUS_INFERENCE_TOKEN=...
    VULTUS_MODEL_PACK=buffalo_l modal deploy deploy/modal_app.py

See docs/how-to/run-inference-elsewhere.md. Needs `pip install modal` where it is deployed from.
"""

import os
from pathlib import Path
from typing import Any

import modal

ROOT = Path(__file__).resolve().parents[1]
SOURCE = "/opt/vultus"
CORES = 4
MEMORY_MIB = 4096
MAX_CONTAINERS = 10
"""A limit of the costs as well: photos beyond it wait, and are then answered 503."""
IDLE_S = 60
"""How long a container waits for another photo; every second of it is paid."""
CALLS = 4
"""Calls of up to 16 photos that one container takes at a time; Modal starts another container beyond that."""


def build_image() -> modal.Image:
    """Describe the image: the locked packages, Vultus, and the model pack, so that no start downloads anything."""
    pack = os.environ.get("VULTUS_MODEL_PACK", "buffalo_l")
    image = (
        modal.Image.debian_slim(python_version="3.13")
        .uv_sync(str(ROOT), extra_options="--no-dev --no-install-project")
        .env(
            {
                "ORT_DISABLE_TELEMETRY": "1",
                "PYTHONPATH": SOURCE,
                "VULTUS_DATA_DIR": "/tmp/vultus",  # noqa: S108 - a container's own
                "VULTUS_MODEL_CACHE": f"{SOURCE}/models",
                "VULTUS_INFERENCE_THREADS": str(CORES),
                "VULTUS_LOG_FORMAT": "json",
            }
        )
        .add_local_file(str(ROOT / "pyproject.toml"), f"{SOURCE}/pyproject.toml", copy=True)
        .add_local_dir(str(ROOT / "app"), f"{SOURCE}/app", copy=True)
        .add_local_dir(str(ROOT / "migrations"), f"{SOURCE}/migrations", copy=True)
    )
    if Path(pack).is_dir():
        inside = f"{SOURCE}/packs/{Path(pack).name}"
        return image.add_local_dir(pack, inside, copy=True).env({"VULTUS_MODEL_PACK": inside})
    install = f"cd {SOURCE} && python -c 'from app.cli import main; main()' models install {pack}"
    return image.run_commands(install).env({"VULTUS_MODEL_PACK": pack})


app = modal.App("vultus-inference", image=build_image() if modal.is_local() else None)


@app.cls(
    cpu=CORES,
    memory=MEMORY_MIB,
    secrets=[modal.Secret.from_name("vultus-inference", required_keys=["VULTUS_INFERENCE_TOKEN"])],
    min_containers=0,
    max_containers=MAX_CONTAINERS,
    scaledown_window=IDLE_S,
    enable_memory_snapshot=True,
)
@modal.concurrent(max_inputs=CALLS)
class Inference:
    """One container with loaded networks."""

    service: Any

    @modal.enter(snap=True)
    def load(self) -> None:
        """Load the networks and run them once; the memory is then stored, and later containers start from it."""
        from app.inference_server.application import load_service  # noqa: PLC0415 - only inside the image
        from app.settings import load_settings  # noqa: PLC0415

        self.service = load_service(load_settings())

    @modal.asgi_app()
    def serve(self) -> Any:
        """Return the same application that `vultus inference` serves."""
        from app.inference_server.access import check_exposure  # noqa: PLC0415
        from app.inference_server.application import create_app  # noqa: PLC0415
        from app.settings import load_settings  # noqa: PLC0415
        from app.telemetry import configure_logging  # noqa: PLC0415

        settings = load_settings()
        check_exposure(settings, "0.0.0.0")  # noqa: S104 - Modal's endpoint is public
        configure_logging(settings.log_level, settings.log_format)
        return create_app(self.service, settings)
