"""The reward model: the released scoring prompt, the score's place, the loss in closed form, the released folders."""

import json
import math

import pytest
import torch

from anyres.grid import GridSpec
from models.build import load
from models.checkpoints.convert import convert
from models.checkpoints.save import save
from models.example import Example, Turn
from models.reward.load import load_reward
from models.reward.loss import reward_loss
from models.reward.model import RewardModel, fresh_head
from models.reward.prompt import FACTUAL, PLAIN, read_prompt, scoring_text, shuffled
from video.clip import VideoSpec

# a byte is a token: room for the prompt
LONG = {"max_position_embeddings": 4096}
CAPTIONS = ("A dog runs.", "A brown {dog} on grass.", "An animal in a park.")


@pytest.fixture
def model(built):
    lmm, processor = built(llm=LONG)
    torch.manual_seed(1)
    return RewardModel(lmm, fresh_head(48), processor).eval()


def conversation(image, answer="A dog.", name="x", question="What?"):
    turns = (Turn(role="user", text=f"<image>\n{question}"), Turn(role="assistant", text=answer))
    return Example(id=name, media=(image,), turns=turns)


class TestPrompt:
    def test_the_released_texts(self):
        """Lengths of the two files that the release has, RLHF/prompts/*.txt."""
        assert (len(PLAIN), len(FACTUAL)) == (865, 882)
        assert FACTUAL.replace(" {factual_prompt}", "") == PLAIN
        assert PLAIN.startswith("USER: Please evaluate the quality of your last response.")
        assert PLAIN.endswith("ASSISTANT: Following your definitions, the quality score of my last response is")
        assert PLAIN.count("\n") == 7
        assert PLAIN.count("\u2019") == 1

    def test_captions_take_their_place(self):
        text = scoring_text(FACTUAL, CAPTIONS)
        assert (
            "inconsistent with the image. Specifically, the AI's response should be fully supported by the combination "
            "of the following captions:\n  - A dog runs.\n  - A brown {dog} on grass.\n  - An animal in a park.\n\n"
            "2. Helpful:" in text
        )
        assert "factual_prompt" not in text

    def test_captions_and_place_go_together(self):
        with pytest.raises(ValueError, match=r"has \{factual_prompt\}, got 0 captions"):
            scoring_text(FACTUAL)
        with pytest.raises(ValueError, match=r"has no \{factual_prompt\}, got 3 captions"):
            scoring_text(PLAIN, CAPTIONS)

    def test_the_order_of_captions_is_the_seed_s(self):
        orders = {shuffled(CAPTIONS, seed) for seed in range(40)}
        assert len(orders) == 6
        assert shuffled(CAPTIONS, 7) == shuffled(CAPTIONS, 7)
        assert all(sorted(order) == sorted(CAPTIONS) for order in orders)

    def test_a_prompt_of_one_s_own(self, tmp_path):
        (tmp_path / "own.txt").write_text("\nUSER: Good? {factual_prompt} ASSISTANT: Score\n")
        own = read_prompt(tmp_path / "own.txt")
        assert scoring_text(own, ("c",)).endswith("captions:\n  - c\n ASSISTANT: Score")
        (tmp_path / "none.txt").write_text(" \n")
        with pytest.raises(ValueError, match=r"none\.txt: expected a scoring prompt"):
            read_prompt(tmp_path / "none.txt")

    def test_only_an_answer_is_scored(self, model, tiny_image):
        asked = Example(id="q7", media=(tiny_image(60, 60),), turns=(Turn(role="user", text="<image>\nWhat?"),))
        with pytest.raises(ValueError, match=r"example q7: .* last turn must be the assistant's"):
            model.score([asked])
        with pytest.raises(ValueError, match="example x: <image> in the answer"):
            model.score([conversation(tiny_image(60, 60), answer="see <image>")])


class TestScore:
    def test_the_whole_text_ends_with_the_opening_of_the_score(self, model, tiny_image):
        """As released: conversation with its </s>, a space, the scoring prompt, and no </s> behind it."""
        prepared = model.prepare(conversation(tiny_image(60, 60)))
        ids = [token for token, place in zip(prepared.prompt.ids, prepared.prompt.visual, strict=True) if place < 0]
        text = model.processor.tokenizer.decode(ids, skip_special_tokens=False)
        assert text.endswith(f"USER: \nWhat? ASSISTANT: A dog.</s> {PLAIN}")
        assert text.count("</s>") == 1

    def test_the_head_reads_the_last_position(self, model, tiny_image):
        example = conversation(tiny_image(60, 60))
        batch = model.processor.collate([model.prepare(example)])
        with torch.no_grad():
            hidden_BLD = model.lmm.llm(inputs_embeds=model.lmm.embed(batch), output_hidden_states=True).hidden_states[
                -1
            ]
            expected = hidden_BLD[0, -1] @ model.head.weight[0] + model.head.bias[0]
        assert model.score([example]) == pytest.approx([float(expected)], abs=1e-5)

    def test_a_batch_scores_as_its_rows_alone(self, model, tiny_image):
        """Rows of different length: padding is on the left and changes nothing."""
        examples = [conversation(tiny_image(60 + 40 * n, 60, n), "yes " * (5 * n + 1), name=str(n)) for n in range(3)]
        facts = [CAPTIONS, CAPTIONS[:1], CAPTIONS[1:]]
        together = model.score(examples, facts)
        alone = [model.score([one], [fact])[0] for one, fact in zip(examples, facts, strict=True)]
        assert together == pytest.approx(alone, abs=1e-4)
        assert len({round(reward, 4) for reward in together}) == 3
        assert model.score(examples, facts, batch_size=2) == pytest.approx(together, abs=1e-4)

    def test_captions_and_seed_reach_the_score(self, model, tiny_image):
        example = conversation(tiny_image(60, 60))
        plain, same = model.score([example]), model.score([example], [CAPTIONS], seed=0)
        assert plain != same
        assert model.score([example], [CAPTIONS], seed=0) == same
        assert len({tuple(model.score([example], [CAPTIONS], seed=seed)) for seed in range(6)}) > 1
        with pytest.raises(ValueError, match="2 lists of captions for 1 examples"):
            model.score([example], [CAPTIONS, CAPTIONS])

    def test_a_fresh_head_has_bias_zero(self):
        assert fresh_head(48).bias.item() == 0.0
        assert fresh_head(48).weight.shape == (1, 48)


class TestLoss:
    def test_closed_form(self):
        first, second, choice = torch.tensor([0.5, 2.0]), torch.tensor([1.5, -1.0]), torch.tensor([1, 1])
        expected = (math.log1p(math.exp(-1.0)) + math.log1p(math.exp(3.0))) / 2 + 1e-3 * (2.0 + 1.0) / 2
        assert reward_loss(first, second, choice).item() == pytest.approx(expected, rel=1e-6)

    def test_equal_rewards_cost_ln_2_and_their_size(self):
        zero = torch.zeros(3)
        assert reward_loss(zero, zero, torch.tensor([0, 1, 1])).item() == pytest.approx(math.log(2), rel=1e-6)
        shifted = reward_loss(zero - 5, zero - 5, torch.tensor([0, 1, 1])).item()
        assert shifted == pytest.approx(math.log(2) + 0.01, rel=1e-6)

    def test_the_gradient_raises_the_preferred_answer(self):
        first, second = torch.zeros(2, requires_grad=True), torch.zeros(2, requires_grad=True)
        reward_loss(first, second, torch.tensor([0, 1])).backward()
        # d/dr1 = (sigmoid(0) - choice) / 2
        assert second.grad.tolist() == pytest.approx([0.25, -0.25])
        assert first.grad.tolist() == pytest.approx([-0.25, 0.25])

    def test_a_few_steps_teach_the_head_a_preference(self, model, tiny_image):
        good = conversation(tiny_image(60, 60), "A dog runs on grass.", "good")
        bad = conversation(tiny_image(60, 60), "zzz", "bad")
        batch = model.processor.collate([model.prepare(one) for one in (bad, good)])
        model.lmm.requires_grad_(False)
        optim = torch.optim.Adam(model.head.parameters(), lr=0.01)
        before = None
        for _ in range(8):
            rewards = model(batch)
            loss = reward_loss(rewards[:1], rewards[1:], torch.ones(1))
            before = loss.item() if before is None else before
            optim.zero_grad()
            loss.backward()
            optim.step()
        low, high = model.score([bad, good])
        assert high > low
        assert loss.item() < before


class TestFolders:
    @pytest.fixture
    def sft(self, built, tmp_path):
        """A model as LLaVA-RLHF's sft_model: official layout, one view padded to a square, no end vectors."""
        lmm, processor = built(
            llm=LONG, grid=GridSpec(overview="pad", merge="flat"), video=VideoSpec(end="no_token", fit="crop")
        )
        with torch.no_grad():
            lmm.ends_KD.zero_()
        save(tmp_path / "run", lmm, processor)
        convert("official", tmp_path / "run", tmp_path / "sft_model")
        return tmp_path / "sft_model"

    def reward_folder(self, folder, base, nested):
        """Write what the released training code writes: adapter_model/lora_default and reward_head."""
        lora = folder / nested
        lora.mkdir(parents=True)
        config = {"peft_type": "LORA", "r": 4, "lora_alpha": 16, "bias": "none", "base_model_name_or_path": base}
        (lora / "adapter_config.json").write_text(json.dumps({**config, "target_modules": ["v_proj"]}))
        random = torch.Generator().manual_seed(5)
        pairs = {}
        for layer in range(2):
            name = f"base_model.model.model.layers.{layer}.self_attn.v_proj"
            pairs[f"{name}.lora_A.weight"] = torch.randn(4, 48, generator=random)
            pairs[f"{name}.lora_B.weight"] = torch.randn(24, 4, generator=random)
        torch.save(pairs, lora / "adapter_model.bin")
        head = fresh_head(48)
        torch.save(head.state_dict(), folder / "reward_head")
        return head, pairs

    @pytest.mark.parametrize("nested", ["adapter_model/lora_default", "."])
    def test_the_released_parts_make_a_reward_model(self, sft, tmp_path, tiny_image, nested):
        head, pairs = self.reward_folder(tmp_path / "rm", "somewhere/LLaVA-RLHF/sft_model", nested)
        model = load_reward(tmp_path / "rm", pickles=True)
        assert model.processor.spec.grid == GridSpec(overview="pad", merge="flat")
        plain, processor = load(sft)
        state = plain.state_dict()
        name = "layers.1.self_attn.v_proj"
        up, down = (pairs[f"base_model.model.model.{name}.lora_{side}.weight"] for side in "BA")
        state[f"llm.model.{name}.weight"] += 4.0 * (up @ down)
        name = "layers.0.self_attn.v_proj"
        up, down = (pairs[f"base_model.model.model.{name}.lora_{side}.weight"] for side in "BA")
        state[f"llm.model.{name}.weight"] += 4.0 * (up @ down)
        plain.load_state_dict(state)
        by_hand = RewardModel(plain, head, processor).eval()
        example = conversation(tiny_image(90, 60))
        assert model.score([example], [CAPTIONS]) == by_hand.score([example], [CAPTIONS])
        assert load_reward(tmp_path / "rm", base=sft, pickles=True).score([example]) == by_hand.score([example])

    def test_a_whole_checkpoint_with_a_head(self, sft, tiny_image):
        head = fresh_head(48)
        torch.save(head.state_dict(), sft / "reward_head")
        model = load_reward(sft, pickles=True)
        assert torch.equal(model.head.weight, head.weight)
        assert len(model.score([conversation(tiny_image(60, 60))])) == 1

    def test_what_is_missing_or_does_not_fit_is_named(self, sft, tmp_path):
        with pytest.raises(ValueError, match="no reward model, expected a file reward_head"):
            load_reward(sft)
        torch.save(fresh_head(40).state_dict(), sft / "reward_head")
        with pytest.raises(ValueError, match=r"reward_head: expected weight \[1, 48\] and bias \[1\], got .*\[1, 40\]"):
            load_reward(sft, pickles=True)
        with pytest.raises(ValueError, match=r"a base .* is for an adapter"):
            load_reward(sft, base=sft)
