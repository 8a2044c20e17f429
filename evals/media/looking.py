"""Open media for a model: clips at the size of its tiles; long ones are not read, but encoded when they are due.

How many frames make a clip long is settled before anything is decoded: a setting, told in the record of the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tqdm import tqdm

from anyres.errors import MediaError
from anyres.limits import LIMITS, MediaLimits
from anyres.picture import Picture
from anyres.reading import read_picture
from evals.media.ahead import MediaFailed
from evals.media.decoders import Decoders
from evals.media.decoding import decode, may_stream
from evals.protocol import OutOfMemory
from evals.sample import Media
from evals.store.feature_cache import CachedEncoder
from evals.store.ledger import Config
from models.feature_store import FeatureStore
from models.lmm import LMM
from models.long_video import ClipEncoder, Progress
from models.processor import Processor
from video.clip import VideoSpec
from video.reader import Backend
from video.unread import UnreadClip

if TYPE_CHECKING:
    from anyres.grid import GridSpec
    from models.example import Medium

# clips of more frames are encoded piece by piece
STREAM_FRAMES = 256


class Looking:
    """Opens media, and encodes long clips.

    grid, video: settings in place of the model's own. reader: the video backend. decoders: processes to decode files
    in, None for this one. stream: clips of more frames are encoded piece by piece, so that only their tokens are held;
    None: none is. whole: frames are changed once they are read, so all of them are read, in the size of the file.
    store: keeps the tokens of long clips; None: the last clip's are remembered. limits: of what this process reads.
    """

    def __init__(
        self,
        model: LMM,
        processor: Processor,
        *,
        grid: GridSpec | None = None,
        video: VideoSpec | None = None,
        reader: Backend = "auto",
        decoders: Decoders | None = None,
        stream: int | None = STREAM_FRAMES,
        whole: bool = False,
        store: FeatureStore | None = None,
        limits: MediaLimits = LIMITS,
    ) -> None:
        self.processor, self.reader, self.decoders, self.limits = processor, reader, decoders, limits
        # no grid is not the model's own: several images in a prompt may be looked at in another way
        self.grid, self.video = grid, video or processor.spec.video
        self.stream = None if whole else stream
        self._tile = processor.spec.encoder.tile if processor.early and not whole else None
        encoder = model.encoder
        self._clips = ClipEncoder(
            model,
            processor,
            store,
            None if decoders is None else decoders.workers,
            # features of whole frames are what a long clip has too many of
            encoder.encoder if isinstance(encoder, CachedEncoder) else encoder,
        )

    def facts(self) -> Config:
        """Return what answers depend on beside grid and video settings: the backend, and whether a clip may be long.

        Pieces of a long clip round in another way than a whole one.
        """
        streamed = may_stream(self.video, self.stream)
        return {"video.reader": self.reader, **({"video.streamed": f"above {self.stream} frames"} if streamed else {})}

    def open(self, media: Media) -> Medium:
        """Return an upright image, or the frames that the video settings ask for, unread where they are many.

        Raises MediaFailed for a medium that cannot be read. May be called from another thread.
        """
        if self.processor.pixels == "draft" and media.kind == "image" and media.path is not None:
            return self._draft(media.path)
        if self.decoders is None or media.path is None:
            return decode(media, self.video, self.reader, self._tile, self.stream, self.limits)
        return self.decoders.decode(media, self.video, self.reader, self._tile, self.stream)

    def encoded(self, media: Sequence[Medium]) -> tuple[Medium, ...]:
        """Return media, unread clips in them encoded.

        Raises MediaFailed for a clip that cannot be read, OutOfMemory for one that the device does not hold.
        """
        return tuple(self._encoded(medium) if isinstance(medium, UnreadClip) else medium for medium in media)

    def _encoded(self, clip: UnreadClip) -> Medium:
        # a line of its own while it lasts, where somebody watches
        with tqdm(total=len(clip.indices), desc=Path(clip.path).name, unit="frame", leave=False, disable=None) as bar:

            def report(progress: Progress) -> None:
                if not bar.n:
                    bar.initial = bar.n = progress.kept
                bar.update(progress.done - bar.n)

            try:
                return self._clips.encode(clip, self.video, report)
            except MediaError as error:
                raise MediaFailed(str(error)) from error
            except torch.OutOfMemoryError as error:
                raise OutOfMemory(str(error)) from error

    def _draft(self, path: Path) -> Picture:
        """Return an image decoded at the smallest scale that has the pixels of its plan; in this process."""
        try:
            return read_picture(path, "draft", lambda image: self.processor.needed(image, self.grid), self.limits)
        except MediaError as error:
            raise MediaFailed(str(error)) from error
