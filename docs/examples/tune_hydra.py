"""Score an optimizer at the points of a Hydra multirun (pip install hydra-core)."""

import logging
from dataclasses import dataclass

import hydra
from hydra.core.config_store import ConfigStore

import velodrome


@dataclass
class Config:
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    optimizer: str = "adamw"
    suite: str = "smoke"
    out: str = "runs/tuned"


ConfigStore.instance().store(name="config", node=Config)


@hydra.main(version_base="1.3", config_path=None, config_name="config")
def main(config: Config) -> float:
    point = {"learning_rate": config.learning_rate, "weight_decay": config.weight_decay}
    found = velodrome.score(config.optimizer, config.suite, point, out=config.out)
    logging.getLogger(__name__).info("%.4fx at %s", found, point)
    return found  # what a sweeper such as hydra-optuna-sweeper maximizes


if __name__ == "__main__":
    main()
