"""Draw the learning curve of a run: one panel a stage, from the logs of the training loop."""

import json
from collections.abc import Sequence
from pathlib import Path

# what a panel shows where the log has it: name in the log -> name in the legend
_SHARES = {
    "right": "right",
    "place": "place right",
    "pointer": "pointer right",
}


def read_log(path: Path) -> list[dict[str, float]]:
    """Return the lines of a log.jsonl; ValueError naming the file when it holds none."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if not lines:
        raise ValueError(f"{path}: an empty log has no curve")
    return lines


def draw_curve(logs: Sequence[tuple[str, Path]], out: Path) -> None:
    """Write a picture of the loss (left axis, logarithmic) and shares right (right axis) of each (name, log.jsonl)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = min(4, len(logs))
    rows = -(-len(logs) // columns)
    figure, panels = pyplot.subplots(
        rows, columns, figsize=(3.6 * columns, 2.7 * rows), squeeze=False, layout="constrained"
    )
    for panel in panels.flat[len(logs) :]:
        panel.set_axis_off()
    for panel, (name, path) in zip(panels.flat, logs, strict=False):
        lines = read_log(path)
        steps = [line["step"] for line in lines]
        panel.plot(steps, [line["loss"] for line in lines], color="0.25", label="loss")
        panel.set(title=f"{name}: {lines[-1]['seconds'] / 60:.0f} min", xlabel="step", yscale="log", ylabel="loss")
        shares = panel.twinx()
        shares.set(ylim=(0, 1.02), ylabel="share right")
        for key, label in _SHARES.items():
            found = [(line["step"], line[key]) for line in lines if key in line]
            if found:
                shares.plot(*zip(*found, strict=True), label=label, linewidth=1.2)
        shares.legend(loc="lower left", fontsize=7, framealpha=0.5)
    figure.savefig(out, dpi=90)
    pyplot.close(figure)
