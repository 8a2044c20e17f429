"""The pocket recipe's objectives: words at patches (stage V), and answers with the place of each visual token.

Stage V compares each projected patch with the language model's own word vectors, so projector and words are aligned
before the decoder learns to read; both objectives' extra parameters live in training only.

Legend: N tiles, P patches, D decoder width, V content words, K colours, B rows, T visual tokens of an image.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.lmm import LMM
from models.pocket.sources import PatchBatch, PlacedBatch
from models.pocket.words import COLORS, CONTENT, VOCABULARY
from models.training.objective import answer_loss, decode

MAX_PLACE = 32


class PatchWords(nn.Module):
    """Cross-entropy of each patch against content words and, where it shows something, colour words."""

    def __init__(self, background_weight: float = 0.15, color_weight: float = 0.5) -> None:
        super().__init__()
        self.background_weight, self.color_weight = background_weight, color_weight
        self.log_scale = nn.Parameter(torch.tensor([2.5, 2.5]))
        self.register_buffer("content_V", torch.tensor([VOCABULARY.index(word) for word in CONTENT]))
        self.register_buffer("color_K", torch.tensor([VOCABULARY.index(word) for word in COLORS]))

    def forward(self, model: LMM, batch: PatchBatch, rope_factor: float) -> tuple[Tensor, dict[str, float]]:
        """Return the loss and the shares of patches named right, by what they show."""
        content_NPV, color_NPK = self.logits(model, batch.pixels_NCHW)
        shown_NP = 1 - batch.content_NPV[..., 0]
        weight_NP = shown_NP + self.background_weight * (1 - shown_NP)
        content = -(batch.content_NPV * F.log_softmax(content_NPV, -1)).sum(-1)
        color = -(batch.color_NPK * F.log_softmax(color_NPK, -1)).sum(-1)
        loss = (content * weight_NP).sum() / weight_NP.sum()
        loss = loss + self.color_weight * (color * shown_NP).sum() / shown_NP.sum().clamp(min=1)
        right_NP = content_NPV.detach().argmax(-1) == batch.content_NPV.argmax(-1)
        clear_NP = (batch.content_NPV[..., 1:] > 0.8).any(-1)
        return loss, {"right": right_NP[clear_NP].float().mean().item()}

    def logits(self, model: LMM, pixels_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores of content words [N, P, V] and colours [N, P, K] at each patch."""
        patches_NPD = F.normalize(model.projector(model.encode(pixels_NCHW)).float(), dim=-1)
        words = F.normalize(model.llm.get_input_embeddings().weight, dim=-1)
        scale = self.log_scale.exp()
        return patches_NPD @ words[self.content_V].T * scale[0], patches_NPD @ words[self.color_K].T * scale[1]


class PlacedAnswers(nn.Module):
    """Answers' cross-entropy plus, at every visual token, the row and the column it lies at.

    layer: the decoder layer (0 = its inputs) whose hidden states the place is read from, by linear heads.
    """

    def __init__(self, width: int, layer: int = 2, place_weight: float = 0.2) -> None:
        super().__init__()
        self.layer, self.place_weight = layer, place_weight
        self.row_head = nn.Linear(width, MAX_PLACE)
        self.column_head = nn.Linear(width, MAX_PLACE)

    def forward(self, model: LMM, batch: PlacedBatch, rope_factor: float) -> tuple[Tensor, dict[str, float]]:
        """Return the loss, and the shares of answer tokens and of places that are right."""
        output = decode(model, batch.batch, rope_factor, hidden=True)
        answers, right = answer_loss(output.logits, batch.batch.labels_BL)
        kept_T = (batch.row_T >= 0) & batch.detail_T
        if not kept_T.any():
            return answers, {"answers": answers.item(), "right": right}
        first = batch.first_visual
        visual_BTD = output.hidden_states[self.layer][:, first : first + len(batch.row_T)][:, kept_T]
        rows, row_right = _place_loss(self.row_head(visual_BTD), batch.row_T[kept_T])
        columns, column_right = _place_loss(self.column_head(visual_BTD), batch.column_T[kept_T])
        numbers = {"answers": answers.item(), "right": right, "row": row_right, "column": column_right}
        return answers + self.place_weight * (rows + columns), numbers


def _place_loss(logits_BTM: Tensor, wanted_T: Tensor) -> tuple[Tensor, float]:
    wanted_BT = wanted_T.expand(logits_BTM.shape[:2])
    right = (logits_BTM.detach().argmax(-1) == wanted_BT).float().mean().item()
    return F.cross_entropy(logits_BTM.float().flatten(0, 1), wanted_BT.flatten()), right
