"""The model of the demo: a small network that reads handwritten digits, in numpy.

The data are the 1,797 digits of 8 by 8 pixels that come with scikit-learn. Everything that a training needs
besides its starting weights is in a `Recipe`, so that anybody can repeat it:

* `data`: two references such as `digits[1000:1100]`, rows of the data set: what is learned from, and the
  held-out digits that the result is judged by;
* `parameters`: `epochs` and `learning_rate`, and what a project's digits look like: `look` (one of `LOOKS`)
  and its `amount`;
* `seed`.

A trained model is a directory of three files, none of them pickled: `weights.safetensors`, `config.yaml`
(what an application must know, and how the model was trained) and `result.json` (how good it is).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from sklearn.datasets import load_digits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cellar_core import Recipe, RetrainJob

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Weights = dict[str, Array]

HIDDEN = 64
BATCH = 32
MOMENTUM = 0.9
DECAY = 1e-3


# --- the data ---------------------------------------------------------------------------------------------


def slanted(images: Array, amount: float, _rng: np.random.Generator) -> Array:
    """Lean each digit to the right, by `amount` pixels a row: written in a hurry on an envelope."""
    columns = np.arange(8)

    def lean(row: int, pixels: Array) -> Array:
        leaning: Array = np.interp(columns + amount * (row - 3.5), columns, pixels, left=0, right=0)
        return leaning

    return np.array([[lean(row, pixels) for row, pixels in enumerate(image)] for image in images])


def faint(images: Array, amount: float, rng: np.random.Generator) -> Array:
    """Take `amount` (0 to 1) of the contrast away and add a camera's noise: a meter in a dark corner."""
    return 0.5 + (1 - amount) * (images - 0.5) + rng.normal(0, 0.08, images.shape)


def bold(images: Array, amount: float, _rng: np.random.Generator) -> Array:
    """Let each stroke run, by `amount` (0 to 1) of a pixel to the right and down: a felt pen."""
    framed = np.pad(images, ((0, 0), (1, 0), (1, 0)))
    thick: Array = np.max(
        [framed[:, 1:, 1:], framed[:, :-1, 1:], framed[:, 1:, :-1], framed[:, :-1, :-1]], axis=0
    )
    return (1 - amount) * images + amount * thick


LOOKS = {"slanted": slanted, "faint": faint, "bold": bold}


def load(reference: str, recipe: Recipe) -> tuple[Array, Labels]:
    """The pixels (a row of 64 for each digit, 0 to 1) and the labels of one data reference of a recipe.

    Raises:
        ValueError: it is not of the form `digits[first:last]`; trying again does not help.
    """
    if not (rows := re.fullmatch(r"digits\[(\d+):(\d+)\]", reference)):
        raise ValueError(f"{reference!r} is not a data reference of the form digits[first:last]")
    chosen = slice(int(rows[1]), int(rows[2]))
    digits = load_digits()
    images: Array = digits.images[chosen] / 16
    if look := recipe.parameters.get("look"):
        # The noise is a part of the data: the same rows always have the same noise.
        images = LOOKS[look](images, recipe.parameters["amount"], np.random.default_rng(chosen.start))
    return images.reshape(len(images), -1), digits.target[chosen]


# --- the network ------------------------------------------------------------------------------------------


def random_weights(seed: int | None) -> Weights:
    """Where a base starts."""
    rng = np.random.default_rng(seed)
    return {
        "hidden.weight": rng.normal(0, np.sqrt(2 / 64), (64, HIDDEN)),
        "hidden.bias": np.zeros(HIDDEN),
        "output.weight": rng.normal(0, np.sqrt(2 / HIDDEN), (HIDDEN, 10)),
        "output.bias": np.zeros(10),
    }


def forward(weights: Weights, pixels: Array) -> tuple[Array, Array]:
    """The hidden layer's output, and the probability of each digit."""
    hidden = np.maximum(pixels @ weights["hidden.weight"] + weights["hidden.bias"], 0)
    logits = hidden @ weights["output.weight"] + weights["output.bias"]
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    return hidden, scores / scores.sum(axis=1, keepdims=True)


def gradients(weights: Weights, pixels: Array, labels: Labels) -> Weights:
    """How the mean cross-entropy, with weight decay, changes with each weight."""
    hidden, error = forward(weights, pixels)
    error[np.arange(len(labels)), labels] -= 1
    error /= len(labels)
    hidden_error = (error @ weights["output.weight"].T) * (hidden > 0)
    return {
        "hidden.weight": pixels.T @ hidden_error + DECAY * weights["hidden.weight"],
        "hidden.bias": hidden_error.sum(axis=0),
        "output.weight": hidden.T @ error + DECAY * weights["output.weight"],
        "output.bias": error.sum(axis=0),
    }


def evaluate(weights: Weights, pixels: Array, labels: Labels) -> dict[str, float]:
    """Accuracy and mean cross-entropy on some digits."""
    _, chances = forward(weights, pixels)
    hits = chances.argmax(axis=1) == labels
    losses = -np.log(chances[np.arange(len(labels)), labels])
    return {"accuracy": round(float(hits.mean()), 4), "loss": round(float(losses.mean()), 4)}


# --- training ---------------------------------------------------------------------------------------------


def fit(
    start: Weights, recipe: Recipe, progress: Callable[..., object] = lambda done, loss: None
) -> tuple[Weights, dict[str, Any]]:
    """Train from `start` as the recipe says, by stochastic gradient descent with momentum.

    Returns:
        The weights, and the result: `accuracy` and `loss` on the held-out digits, and how many digits that rests on.
    """
    (pixels, labels), held_out = (load(reference, recipe) for reference in recipe.data)
    epochs, rate = recipe.parameters["epochs"], recipe.parameters["learning_rate"]
    rng = np.random.default_rng(recipe.seed)
    weights = dict(start)
    velocity = {name: np.zeros_like(array) for name, array in start.items()}
    for epoch in range(1, epochs + 1):
        for batch in np.array_split(rng.permutation(len(labels)), len(labels) // BATCH):
            for name, gradient in gradients(weights, pixels[batch], labels[batch]).items():
                velocity[name] = MOMENTUM * velocity[name] - rate * gradient
                weights[name] = weights[name] + velocity[name]
        progress(epoch / epochs, loss=evaluate(weights, pixels, labels)["loss"])
    return weights, {**evaluate(weights, *held_out), "n_train": len(labels), "n_test": len(held_out[1])}


def save(model_dir: Path, weights: Weights, recipe: Recipe, result: dict[str, Any]) -> None:
    """Write the three files of a trained model; the same training writes the same bytes."""
    config = {
        "architecture": {"kind": "mlp", "hidden": [HIDDEN], "activation": "relu"},
        "input": {"shape": [64], "range": [0.0, 1.0]},
        "output": {"classes": list(range(10))},
        "training": {"batch": BATCH, "momentum": MOMENTUM, "decay": DECAY, **recipe.parameters},
    }
    single = {name: array.astype(np.float32) for name, array in weights.items()}
    save_file(single, model_dir / "weights.safetensors")
    (model_dir / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (model_dir / "result.json").write_text(json.dumps(result, indent=2) + "\n")


def train_base(output_dir: Path, recipe: Recipe) -> None:
    """Train a base from random weights, and write it to `output_dir`."""
    weights, result = fit(random_weights(recipe.seed), recipe)
    save(output_dir, weights, recipe, result)


def train(job: RetrainJob) -> None:
    """Fine-tune a project's model from its base: the trainer that the orchestrators run.

    Whatever it needs comes with the job: the base's files, an empty directory to write to, and the recipe. It
    never sees an older model of the project. `base_accuracy` of the result is what the base reaches on the
    project's held-out digits as it is, so that everybody sees what the fine-tuning was good for.
    """
    base = load_file(job.base_dir / "weights.safetensors")
    start = {name: array.astype(np.float64) for name, array in base.items()}
    weights, result = fit(start, job.recipe, job.progress)
    before = evaluate(start, *load(job.recipe.data[1], job.recipe))
    save(job.output_dir, weights, job.recipe, {"base_accuracy": before["accuracy"], **result})
