"""Read positions for their keys and values alone: nothing behind the last layer's own is computed.

What only begins other prompts needs no logits, and so neither the last layer's attention nor what follows it.

Legend: B rows, S positions, D language model width.
"""

from contextlib import suppress

from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache


class _Filled(Exception):
    """The last layer has its keys and values."""


class _Ending(DynamicCache):
    """The layers of another cache; it ends the reading once the last of them is written."""

    def __init__(self, cache: DynamicCache, last: int) -> None:
        super().__init__()
        # the same list: layers that are added are the other cache's too
        self.layers, self._last = cache.layers, last

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Write one layer's keys and values."""
        found = super().update(key_states, value_states, layer_idx, *args, **kwargs)
        if layer_idx == self._last:
            raise _Filled
        return found


def fill(llm: PreTrainedModel, embeds_BSD: Tensor, positions_BS: Tensor, cache: DynamicCache) -> None:
    """Read positions that follow those of `cache` into it, without padding between them.

    Forward hooks of `llm` see nothing unless they are registered with always_call.
    """
    last = llm.config.get_text_config(decoder=True).num_hidden_layers - 1
    # a last layer that takes another one's keys and values never says so: then all is computed
    with suppress(_Filled):
        llm(
            inputs_embeds=embeds_BSD,
            position_ids=positions_BS,
            past_key_values=_Ending(cache, last),
            use_cache=True,
            logits_to_keep=1,
        )
