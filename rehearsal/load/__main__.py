"""`python -m rehearsal.load --url URL --model NAME --out FILE`: sends live traffic until SIGTERM."""

import argparse
import signal
import sys
from pathlib import Path

import uvloop

from rehearsal.load.generator import generate
from rehearsal.load.mix import PATIENCE_SECONDS, PROMPTS, Mix, load_prompts
from rehearsal.system.garbage import collect_rarely


def main() -> None:
    """Read the command line and run the generator."""
    parser = argparse.ArgumentParser(
        prog="python -m rehearsal.load", description="Sends live traffic to a vLLM service."
    )
    parser.add_argument("--url", required=True, help="service address, without /v1")
    parser.add_argument("--model", required=True, help="served model name")
    parser.add_argument("--rate", type=float, default=44.0, help="requests started per second (default: 44)")
    parser.add_argument("--open-streams", type=int, default=45, help="streams to keep open at once (default: 45)")
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE_SECONDS,
        help=f"seconds after which a client gives up (default: {PATIENCE_SECONDS:g})",
    )
    parser.add_argument("--out", type=Path, required=True, help="file for the records, one JSON object per line")
    parser.add_argument(
        "--gateway-log", type=Path, help="file to append the requests to, as a gateway would, one JSON object per line"
    )
    parser.add_argument("--seconds", type=float, help="stop after this long (default: at SIGTERM or SIGINT)")
    parser.add_argument(
        "--prompts", type=Path, default=PROMPTS, help="prompts file, one JSON object with messages per line"
    )
    parser.add_argument(
        "--tenants", default="", help="clients, with commas between: each request names one in the header x-tenant"
    )
    options = parser.parse_args()
    collect_rarely()
    uvloop.run(
        generate(
            url=options.url,
            model=options.model,
            rate_per_second=options.rate,
            mix=Mix(
                load_prompts(options.prompts),
                options.open_streams,
                options.rate,
                tenants=[one for one in options.tenants.split(",") if one],
            ),
            out=options.out,
            status=sys.stdout,
            gateway_log=options.gateway_log,
            patience_seconds=options.patience,
            stop_after_seconds=options.seconds,
            stop_signals=(signal.SIGTERM, signal.SIGINT),
        )
    )


if __name__ == "__main__":
    main()
