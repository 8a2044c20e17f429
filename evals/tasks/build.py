"""The tasks by name. Each is a frozen dataclass whose fields are its settings, as in conf/task/NAME.yaml."""

from evals.task import Task
from evals.tasks.folder import Folder
from evals.tasks.nextqa import NextQaMc
from evals.tasks.pocket import PocketImage, PocketVideo

TASKS: dict[str, type[Task]] = {
    "folder": Folder,
    "nextqa-mc": NextQaMc,
    "pocket-image": PocketImage,
    "pocket-video": PocketVideo,
}
