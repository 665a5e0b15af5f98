"""`vultus inference`: serve the networks to Vultus on other hosts, without a database."""

import ssl
from typing import Annotated, Any

import typer
import uvicorn

from app.cli.serve import check_port
from app.cli.settings import command_settings
from app.errors import OperatorError
from app.settings import Settings
from app.telemetry import configure_logging, get_logger

_log = get_logger(__name__)

_KEEP_ALIVE_S = 60
_DRAIN_S = 30


def inference(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8100,
) -> None:
    """Serve the networks to Vultus on other hosts until interrupted. Stores nothing and needs no database."""
    # These import the inference libraries, which most commands do not need.
    from app.inference_server.access import check_exposure  # noqa: PLC0415
    from app.inference_server.application import create_app, load_service  # noqa: PLC0415
    from app.server.drain import install_drain  # noqa: PLC0415

    settings = command_settings()
    if settings.inference_url is not None:
        raise OperatorError(
            "VULTUS_INFERENCE_URL must not be set for the inference server itself: it has the networks."
        )
    check_exposure(settings, host)
    tls = _tls_options(settings)
    check_port(host, port)
    configure_logging(settings.log_level, settings.log_format)
    app = create_app(load_service(settings), settings)
    install_drain()
    _log.info(
        "inference_server_started", host=host, port=port, tls=bool(tls), client_certificates="ssl_ca_certs" in tls
    )
    uvicorn.run(
        app,
        host=host,
        port=port,
        loop="asyncio",
        http="app.server.h11_protocol:TimedH11Protocol",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_DRAIN_S,
        **tls,
    )


def _tls_options(settings: Settings) -> dict[str, Any]:
    """Return uvicorn's options for TLS; empty without a certificate. Raises `OperatorError` if the files are none."""
    if settings.inference_cert_file is None:
        return {}
    options: dict[str, Any] = {
        "ssl_certfile": str(settings.inference_cert_file),
        "ssl_keyfile": str(settings.inference_key_file),
    }
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options["ssl_certfile"], options["ssl_keyfile"])
        if settings.inference_ca_file is not None:
            context.load_verify_locations(settings.inference_ca_file)
            options |= {"ssl_ca_certs": str(settings.inference_ca_file), "ssl_cert_reqs": ssl.CERT_REQUIRED}
    except OSError as exc:
        raise OperatorError(
            f"VULTUS_INFERENCE_CERT_FILE, VULTUS_INFERENCE_KEY_FILE and VULTUS_INFERENCE_CA_FILE must name a "
            f"certificate, its key and certificates in PEM: {exc}."
        ) from exc
    return options
