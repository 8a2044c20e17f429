"""The pocket recipe's objectives: words at patches (stage V), and answers with the place of each visual token.

Stage V compares each projected patch with the language model's own word vectors, so projector and words are aligned
before the decoder learns to read; both objectives' extra parameters live in training only.

Legend: N tiles, P patches, D decoder width, V content words, K colours, B rows, T visual tokens of an image.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.lmm import LMM
from models.pocket.batches import PatchBatch, PlacedBatch
from models.pocket.words import COLORS, COLUMNS, CONTENT, KIND_OF, ROWS, VOCABULARY
from models.training.objective import answer_loss, decode, visibility

MAX_PLACE = 32
# frames of the longest strip in training
NUMBERED = tuple(str(number) for number in range(1, 9))
MAX_CHARACTERS = 4
CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


class PatchWords(nn.Module):
    """Cross-entropy of each patch against content words and, where it shows something, colour words.

    Where a patch shows text, a linear head also spells it from the tower's features, character by character: words
    share letters and numbers share digits, which whole words do not tell.
    """

    def __init__(
        self, width: int, background_weight: float = 0.15, color_weight: float = 0.5, spell_weight: float = 2.0
    ) -> None:
        super().__init__()
        self.background_weight, self.color_weight, self.spell_weight = background_weight, color_weight, spell_weight
        self.spell = nn.Linear(width, MAX_CHARACTERS * (len(CHARACTERS) + 1))
        self.register_buffer("characters_VC", _characters())
        self.log_scale = nn.Parameter(torch.tensor([2.5, 2.5]))
        self.register_buffer("content_V", torch.tensor([VOCABULARY.index(word) for word in CONTENT]))
        self.register_buffer("color_K", torch.tensor([VOCABULARY.index(word) for word in COLORS]))

    def forward(self, model: LMM, batch: PatchBatch, rope_factor: float) -> tuple[Tensor, dict[str, float]]:
        """Return the loss and the shares of patches named right, by what they show."""
        features_NPE = model.encode(batch.pixels_NCHW)
        content_NPV, color_NPK = self.logits(model, features_NPE)
        shown_NP = 1 - batch.content_NPV[..., 0]
        weight_NP = shown_NP + self.background_weight * (1 - shown_NP)
        content = -(batch.content_NPV * F.log_softmax(content_NPV, -1)).sum(-1)
        color = -(batch.color_NPK * F.log_softmax(color_NPK, -1)).sum(-1)
        loss = (content * weight_NP).sum() / weight_NP.sum()
        loss = loss + self.color_weight * (color * shown_NP).sum() / shown_NP.sum().clamp(min=1)
        share_NP, name_NP = batch.content_NPV.max(-1)
        characters_NPC = self.characters_VC[name_NP]
        text_NP = (share_NP > 0.6) & (characters_NPC[..., 0] >= 0)
        loss = loss + self.spell_weight * self._spelling(features_NPE[text_NP], characters_NPC[text_NP]) * (
            text_NP.sum() / weight_NP.sum()
        )
        right_NP = content_NPV.detach().argmax(-1) == name_NP
        clear_NP = (share_NP > 0.8) & (name_NP > 0)
        return loss, {"right": right_NP[clear_NP].float().mean().item()}

    def logits(self, model: LMM, features_NPE: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores of content words [N, P, V] and colours [N, P, K] at each patch."""
        patches_NPD = F.normalize(model.projector(features_NPE).float(), dim=-1)
        words = F.normalize(model.llm.get_input_embeddings().weight, dim=-1)
        scale = self.log_scale.exp()
        return patches_NPD @ words[self.content_V].T * scale[0], patches_NPD @ words[self.color_K].T * scale[1]

    def _spelling(self, features_ME: Tensor, characters_MC: Tensor) -> Tensor:
        if len(features_ME) == 0:
            return features_ME.sum()
        logits_MCA = self.spell(F.layer_norm(features_ME.float(), features_ME.shape[-1:]))
        logits_MCA = logits_MCA.float().unflatten(-1, (MAX_CHARACTERS, -1))
        return F.cross_entropy(logits_MCA.flatten(0, 1), characters_MC.flatten())


def _characters() -> Tensor:
    """Return each content word's characters [V, 4] as indices: len(CHARACTERS) past its end, -1 for what is no text."""
    rows = []
    for name in CONTENT:
        text = KIND_OF.get(name) in ("word", "number")
        spelled = [CHARACTERS.index(character) for character in name] if text else []
        filler = len(CHARACTERS) if text else -1
        rows.append((spelled + [filler] * MAX_CHARACTERS)[:MAX_CHARACTERS])
    return torch.tensor(rows)


class PlacedAnswers(nn.Module):
    """Answers' cross-entropy, with two teachers of place that read hidden states by linear heads.

    place: at every detail token, its row and column, after decoder layer `place_layer` (0 = its inputs). pointer: where
    an answer begins, row and column of the item that the answer is read from, after `pointer_layer`.
    """

    def __init__(
        self,
        width: int,
        place_layer: int = 2,
        pointer_layer: int = 4,
        place_weight: float = 0.2,
        pointer_weight: float = 0.2,
    ) -> None:
        super().__init__()
        self.place_layer, self.pointer_layer = place_layer, pointer_layer
        self.place_weight, self.pointer_weight = place_weight, pointer_weight
        self.place = _PlaceHead(width)
        self.pointer = _PlaceHead(width)

    def forward(self, model: LMM, batch: PlacedBatch, rope_factor: float) -> tuple[Tensor, dict[str, float]]:
        """Return the loss, and the shares of answer tokens, of places and of pointers that are right."""
        output = decode_apart(model, batch, rope_factor)
        return self.loss(batch, output.logits, output.hidden_states)

    def loss(self, batch: PlacedBatch, logits_BLV: Tensor, hidden: Sequence[Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Return what `forward` does, from the decoder's output; hidden: [B, L, D] after each layer, inputs first."""
        loss, right = answer_loss(logits_BLV, batch.batch.labels_BL)
        numbers = {"answers": loss.item(), "right": right}
        kept_T = (batch.row_T >= 0) & batch.detail_T
        if kept_T.any():
            visual_BTD = _visual(hidden[self.place_layer], batch)[:, kept_T]
            wanted_BT2 = torch.stack([batch.row_T, batch.column_T], -1)[kept_T].expand(len(visual_BTD), -1, -1)
            place, numbers["place"] = self.place(visual_BTD, wanted_BT2)
            loss = loss + self.place_weight * place
        if len(batch.pointer_K4):
            sample_K, position_K, *_ = batch.pointer_K4.unbind(-1)
            answer_KD = hidden[self.pointer_layer][sample_K, position_K]
            pointer, numbers["pointer"] = self.pointer(answer_KD, batch.pointer_K4[:, 2:])
            loss = loss + self.pointer_weight * pointer
        return loss, numbers


class PlacedWords(nn.Module):
    """PlacedAnswers plus two teachers at visual tokens, after decoder layer `layer`.

    words: in the directions of the model's own output layer, the words for a detail token's third of the page or the
    number of its frame: what a token shows and where it lies are then told in one language, and one look-up fetches
    both. previous: at an item of a list or strip, the item before it, by a linear head.
    """

    def __init__(
        self, placed: PlacedAnswers, width: int, layer: int = 3, weight: float = 0.15, sharpness: float = 8.0
    ) -> None:
        super().__init__()
        self.placed, self.layer, self.weight, self.sharpness = placed, layer, weight, sharpness
        self.previous = nn.Linear(width, len(VOCABULARY))
        groups = [ROWS, COLUMNS, NUMBERED]
        self.register_buffer("groups_GV", torch.tensor([[word in group for word in VOCABULARY] for group in groups]))

    def forward(self, model: LMM, batch: PlacedBatch, rope_factor: float) -> tuple[Tensor, dict[str, float]]:
        """Return the loss, and PlacedAnswers' numbers with the shares of words and previous items that are right."""
        output = decode_apart(model, batch, rope_factor)
        loss, numbers = self.placed.loss(batch, output.logits, output.hidden_states)
        hidden_BLD = output.hidden_states[self.layer]
        told = [group for group in range(3) if (batch.words_T3[:, group] >= 0).any()]
        if told:
            kept_T = batch.words_T3[:, told[0]] >= 0
            visual_BTD = _visual(hidden_BLD, batch)[:, kept_T]
            # directions, not lengths: a trained output layer's own logits would drown every other loss at first
            output_VD = F.normalize(model.llm.get_output_embeddings().weight.float(), dim=-1)
            logits_BTV = self.sharpness * F.normalize(visual_BTD.float(), dim=-1) @ output_VD.T
            for group in told:
                words, numbers["words"] = self._words(logits_BTV, batch.words_T3[kept_T, group], group)
                loss = loss + self.weight * words
        if len(batch.previous_K3):
            sample_K, position_K, name_K = batch.previous_K3.unbind(-1)
            item_KD = hidden_BLD[sample_K, position_K].float()
            logits_KV = self.previous(F.layer_norm(item_KD, item_KD.shape[-1:])).float()
            loss = loss + self.weight * F.cross_entropy(logits_KV, name_K)
            numbers["previous"] = (logits_KV.detach().argmax(-1) == name_K).float().mean().item()
        return loss, numbers

    def _words(self, logits_BTV: Tensor, wanted_T: Tensor, group: int) -> tuple[Tensor, float]:
        logits_BTV = logits_BTV.masked_fill(~self.groups_GV[group], -1e4)
        wanted_BT = wanted_T.expand(logits_BTV.shape[:2])
        right = (logits_BTV.detach().argmax(-1) == wanted_BT).float().mean().item()
        return F.cross_entropy(logits_BTV.flatten(0, 1), wanted_BT.flatten()), right


def decode_apart(model: LMM, batch: PlacedBatch, rope_factor: float) -> Any:
    """Return the decoder's output with all hidden states, each question seeing what it may."""
    visible = visibility(batch.blocks_BL, model.dtype)
    return decode(model, batch.batch, batch.positions_BL / rope_factor, visible, hidden=True)


def _visual(hidden_BLD: Tensor, batch: PlacedBatch) -> Tensor:
    return hidden_BLD[:, batch.first_visual : batch.first_visual + len(batch.row_T)]


class _PlaceHead(nn.Module):
    """Row and column from a hidden state."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, 2 * MAX_PLACE)

    def forward(self, hidden: Tensor, wanted: Tensor) -> tuple[Tensor, float]:
        """Return the summed cross-entropy of row and column, and how often both are right; wanted: [..., 2]."""
        logits_M2P = self.head(hidden).float().reshape(-1, 2, MAX_PLACE)
        wanted_M2 = wanted.reshape(-1, 2)
        right = (logits_M2P.detach().argmax(-1) == wanted_M2).all(-1).float().mean().item()
        return 2 * F.cross_entropy(logits_M2P.flatten(0, 1), wanted_M2.flatten()), right
