"""Command line of the simulator: run the city, or tell it a story."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

import typer

from ingest.simulator import city, storm
from ingest.simulator.service import Simulation
from ioc.mqtt import Contact
from ioc.service import configure_logging
from ioc.service import run as run_service
from ioc.settings import Settings

app = typer.Typer(no_args_is_help=True, help="A simulated Thủ Đức that speaks to the broker as devices do.")

SEED = 2025
LAMPS = 2000


@app.command()
def run(
    seed: Annotated[int, typer.Option(help="Another seed is another city, weather and traffic.")] = SEED,
    speed: Annotated[
        float, typer.Option(min=0.1, max=1000, help="How fast the city's day runs; stamps stay real.")
    ] = 1.0,
    lamps: Annotated[int, typer.Option(min=12, max=100_000, help="About how many street lamps.")] = LAMPS,
    history: Annotated[float, typer.Option(min=0, max=700, help="Hours of the past to tell at the start.")] = 6.0,
) -> None:
    """Run the city until Ctrl-C. It speaks to the broker of the settings: IOC_MQTT_URL, or the embedded one."""
    settings = Settings.load()
    configure_logging(settings.log_level)
    contact = Contact.of(settings)

    async def live() -> None:
        simulation = Simulation(city.build(seed, lamps), contact, speed=speed, history_h=history)
        await simulation.run(settings.home / "media", settings.data_dir)

    asyncio.run(live())


@app.command("storm")
def tell_storm(
    minutes: Annotated[float, typer.Option(min=1, max=120, help="How long the story lasts.")] = 6.0,
    language: Annotated[Literal["vi", "en", "both"], typer.Option(help="Language it is told in.")] = "both",
) -> None:
    """Tell a running city a story: tide, rain, flood, jam, a lamp circuit lost, a camera lost, recovery."""
    settings = Settings.load()
    configure_logging(settings.log_level)
    asyncio.run(storm.tell(Contact.of(settings), minutes * 60, language))


def main() -> None:
    """Entry point; an error of ours is one clear line."""
    run_service(app)
