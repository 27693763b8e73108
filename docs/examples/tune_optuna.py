"""Search the learning rate and the weight decay of AdamW with Optuna (pip install optuna)."""

import sys

import optuna

import velodrome

SUITE, OUT = "smoke", "runs/tuned"


def objective(trial: optuna.Trial) -> float:
    point = {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-5, 1e-1, log=True),
    }
    return velodrome.score("adamw", SUITE, point, out=OUT)


if __name__ == "__main__":
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=trials)
    print(f"{study.best_value:.3f}x with {study.best_params}")
