"""anyres-serve: answer OpenAI-style chat requests about images and clips, on this machine only by default."""

import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from conf.arguments import split_arguments
from conf.build import build
from conf.main import COMPOSE_ERRORS, Composed, compose, told
from conf.own import for_hydra, settings
from conf.schema.serve import ServeConfig
from models.serve.main import device_named

if TYPE_CHECKING:
    from models.serve.openai.app import Service

_LOOPBACK = ("127.", "::1", "localhost")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0 when it was stopped, or 2 with one line for anything that its user can put right."""
    try:
        arguments = split_arguments(sys.argv[1:] if argv is None else argv, known=())
        if arguments.bare:
            raise ValueError(f"{arguments.bare[0]}: expected key=value")
        for composed in compose("serve", [for_hydra(word) for word in arguments.overrides]):
            serve(build(ServeConfig, composed.mapping), composed)
    except (*COMPOSE_ERRORS, ValueError, OSError) as error:
        return told("anyres-serve", error)
    except KeyboardInterrupt:
        return 0
    return 0


def serve(config: ServeConfig, composed: Composed) -> None:
    """Listen until the process is told to stop. The port is taken before the model is loaded."""
    try:
        import uvicorn
    except ModuleNotFoundError as error:
        raise ValueError("anyres-serve needs uvicorn and starlette (pip install 'anyres[serve]')") from error

    with _listening(config.host, config.port) as listening:
        service = open_service(config, composed.chosen)
        server = uvicorn.Server(
            uvicorn.Config(
                service.app(),
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ws="none",
                timeout_graceful_shutdown=config.shutdown_s,
            )
        )
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        if not host.startswith(_LOOPBACK) and service.guard.key is None:
            print(
                "anyres-serve: other machines reach this port, and no key is asked for (key_env=...)", file=sys.stderr
            )
        if not service.decoder.check():
            print("anyres-serve: this kernel lets the decoding process keep the network", file=sys.stderr)
        print(f"anyres-serve: {service.name} at http://{shown}:{port}/v1", flush=True)
        server.run(sockets=[listening])


def open_service(config: ServeConfig, chosen: dict[str, str]) -> "Service":
    """Return the model of a configuration behind the interface, not yet listening."""
    from anyres.grid import GridSpec
    from models.build import load
    from models.serve.ask import Look
    from models.serve.openai.app import Service
    from models.serve.openai.decoder import Decoder
    from models.serve.openai.engine import Engine
    from models.serve.openai.guard import LOOPBACK, Guard
    from video.clip import VideoSpec

    key = None if config.key_env is None else os.environ.get(config.key_env)
    if config.key_env is not None and not key:
        raise ValueError(f"key_env={config.key_env}: that environment variable is not set")
    if config.files is not None and not Path(config.files).is_dir():
        raise ValueError(f"files={config.files}: no such folder")
    model, processor = load(
        config.source, device=device_named(config.device), rope_factor=config.rope_factor, rope_type=config.rope_type
    )
    spec = processor.spec
    look = Look(
        grid=settings(GridSpec, config.grid, spec.grid, chosen, "grid"),
        video=settings(VideoSpec, config.video, spec.video, chosen, "video"),
        times=config.times,
        budget=config.budget,
    )
    engine = Engine(model, processor, look=look, max_tokens=config.max_new_tokens, most_tokens=config.limits.max_tokens)
    # for a page of a browser every name of a public address is possible; one of this machine's own is not
    local = config.host.startswith(_LOOPBACK)
    hosts = frozenset({*LOOPBACK, config.host, *config.hosts}) if local or config.hosts else frozenset()
    return Service(
        name=config.name or spec.name,
        engine=engine,
        decoder=Decoder(config.limits, look.video or spec.video, None if config.files is None else Path(config.files)),
        guard=Guard(limits=config.limits, hosts=hosts, key=key),
        temperature=config.temperature,
        system=config.system,
        created=int(time.time()),
    )


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        raise ValueError(f"host={host} port={port}: cannot listen there ({error.strerror or error})") from error
    return listening


if __name__ == "__main__":
    sys.exit(main())
