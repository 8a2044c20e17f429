"""The critic: the released prompts, recorded replies, a tiny model end to end, preference pairs."""

import json

import pytest
import torch

from models.critic.judge import Reply, critic, judge, judge_by
from models.critic.main import main
from models.critic.pairs import Candidate, best_and_worst, score_candidates
from models.critic.prompt import pairwise, pointwise
from models.critic.score import Score
from models.example import Example, Turn
from models.processor import Processor

# what critics write, by the first words of the response that they judge
RECORDED = {
    "This is a handwritten number seven.": "Score: 95\nThe response names the digit that the image shows.",
    "A cross.": "**Score:** 20/100\n\nThe image shows a seven, not a cross.",
    "A seven.": "I would give the response a score of 90, because it is right but brief.",
    "It is hard to say.": "The response is vague. It names nothing.",
}


class Recorded:
    """A critic that looks its reply up, and remembers the prompts."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def __call__(self, prompt: str) -> Reply:
        self.prompts.append(prompt)
        if "The first response" in prompt:
            return Reply(text="The second response names the digit. Therefore, the second response is better.")
        return Reply(text=next(reply for start, reply in RECORDED.items() if f"[{start}]" in prompt))


class TestPrompt:
    def test_pointwise_is_the_released_text(self):
        assert pointwise("What this image presents?", "This is a handwritten number seven.") == (
            "Given an image and a corresponding question, please serve as an unbiased and fair judge to evaluate the "
            "quality of answer answers provided by a Large Multimodal Model (LMM). Score the response out of 100 and "
            "explain your reasoning with specific details. Your task is provided as follows:\nQuestion: [What this "
            "image presents?]\nThe LMM response: [This is a handwritten number seven.]\nASSISTANT:\n "
        )

    def test_pairwise_is_the_released_text(self):
        assert pairwise("What {is} it?", "A cross.", "A seven.") == (
            "Given an image and a corresponding question, please serve as an unbiased and fair judge to evaluate the "
            "quality of the answers provided by a Large Multimodal Model (LMM). Determine which answer is better and "
            "explain your reasoning with specific details. Your task is provided as follows:\nQuestion: [What {is} it?]"
            "\nThe first response: [A cross.]\nThe second response: [A seven.]\nASSISTANT:\n"
        )

    def test_a_placeholder_in_a_text_is_refused(self):
        for texts in (("<image>?", "a"), ("q", "see <image>")):
            with pytest.raises(ValueError, match=r"<image> in .* stands for no medium"):
                pointwise(*texts)
        with pytest.raises(ValueError, match="<image> in"):
            pairwise("q", "a", "<image>")


class TestJudge:
    def test_recorded_replies(self):
        asked = Recorded()
        one = judge_by(asked, "What is it?", ["A cross."])
        assert (one.score.value, one.score.rule, one.preference) == (20, "stated", None)
        two = judge_by(asked, "What is it?", ["A cross.", "A seven."])
        assert (two.preference.choice, two.preference.rule, two.score) == ("second", "conclusion", None)
        assert judge_by(asked, "What is it?", ["It is hard to say."]).score == Score(value=None, rule="none")
        assert asked.prompts[0] == pointwise("What is it?", "A cross.")
        assert asked.prompts[1] == pairwise("What is it?", "A cross.", "A seven.")
        with pytest.raises(ValueError, match="expected one answer to score or two to compare, got 3"):
            judge_by(asked, "q", ["a", "b", "c"])

    @pytest.fixture
    def tiny(self, built, tiny_tokenizer):
        model, processor = built(llm={"max_position_embeddings": 2048, "vocab_size": 266}, template="qwen_1_5")
        tokenizer = tiny_tokenizer("<|im_start|>", "<|im_end|>")
        return model, Processor(processor.spec, tokenizer)

    def test_a_tiny_model_end_to_end(self, tiny, tiny_image):
        """The reply is the greedy answer to "<image>", a newline and the prompt, in the model's own template."""
        model, processor = tiny
        image = tiny_image(80, 60)
        text = f"<image>\n{pointwise('What?', 'A dog.')}"
        batch = processor.batch([Example(id="x", media=(image,), turns=(Turn(role="user", text=text),))])
        ids = model.generate(batch, 12, stop_ids=processor.stop_ids)
        found = judge(model, processor, image, "What?", ["A dog."], max_new_tokens=12)
        assert found.reply.text == processor.decode(ids[0])
        assert found.score.value is None
        assert judge(model, processor, image, "What?", ["A dog."], max_new_tokens=12) == found
        asked = processor.prepare(Example(id="x", media=(image,), turns=(Turn(role="user", text=text),)))
        shown = [token for token, at in zip(asked.prompt.ids, asked.prompt.visual, strict=True) if at < 0]
        prompt = processor.tokenizer.decode(shown, skip_special_tokens=False)
        # the template does not strip: the prompt's last space is kept
        assert prompt.endswith("The LMM response: [A dog.]\nASSISTANT:\n <|im_end|>\n<|im_start|>assistant\n")

    def test_a_model_that_learned_a_reply_is_read(self, tiny, tiny_image):
        """A head that always says the next character of a reply: generation, decoding and parsing in one go."""
        model, processor = tiny
        ids = [*processor.encode("Score: 85"), *processor.stop_ids]
        said = iter(ids * 2)
        model.llm.lm_head.register_forward_hook(
            lambda module, inputs, logits: torch.nn.functional.one_hot(
                torch.full(logits.shape[:2], next(said)), logits.shape[-1]
            ).to(logits)
        )
        ask = critic(model, processor, tiny_image(60, 60), max_new_tokens=40)
        for answer in ("A dog.", "A cat."):
            found = judge_by(ask, "What?", [answer])
            assert found.reply == Reply(text="Score: 85", cut=False)
            assert found.score == Score(value=85, rule="bare")

    def test_a_reply_that_the_limit_cut_is_told(self, tiny, tiny_image):
        model, processor = tiny
        answer = judge(model, processor, tiny_image(60, 60), "What?", ["a", "b"], max_new_tokens=3)
        assert answer.reply.cut
        assert answer.preference.choice is None


class TestPairs:
    def test_best_against_worst_of_k_by_mean(self):
        def scored(answer, *values):
            return Candidate(answer=answer, scores=tuple(Score(value=v, rule="bare" if v else "none") for v in values))

        found = best_and_worst(
            [scored("a", 80, 60), scored("b", 90, None), scored("c", None, None), scored("d", 40, 50), scored("e", 45)]
        )
        assert (found.pair.chosen, found.pair.rejected, found.pair.margin) == ("b", "d", 45.0)
        assert (found.unparsed, found.reason) == (3, "paired")

    def test_from_recorded_replies(self):
        candidates = score_candidates(Recorded(), "What is it?", list(RECORDED), times=2)
        assert [one.mean for one in candidates] == [95, 20, 90, None]
        found = best_and_worst(candidates)
        assert found.pair.chosen.startswith("This is a handwritten")
        assert (found.pair.rejected, found.pair.margin, found.unparsed) == ("A cross.", 75.0, 2)

    def test_no_pair_is_made_up(self):
        same = [Candidate(answer=name, scores=(Score(value=50, rule="bare"),)) for name in "ab"]
        assert best_and_worst(same).pair is None
        assert best_and_worst(same).reason == "equal scores"
        unread = [same[0], Candidate(answer="c", scores=(Score(value=None, rule="none"),))]
        assert best_and_worst(unread).reason == "fewer than two scored"
        with pytest.raises(ValueError, match="times of at least 1, got 0"):
            score_candidates(Recorded(), "q", ["a"], times=0)


class TestCommand:
    def test_prints_the_reply_and_what_was_read(self, run, tiny_image, tmp_path, capsys):
        folder, _, _ = run
        tiny_image(60, 60).save(tmp_path / "a.png")
        words = [str(tmp_path / "a.png"), "What?", "A dog.", "--model", str(folder), "--max-new-tokens", "4"]
        assert main([*words, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["score"] == {"value": None, "rule": "none"}
        assert found["reply"]["cut"]
        assert main([*words[:3], "A cat.", *words[3:]]) == 0
        assert "preference: None (rule: none) | cut off" in capsys.readouterr().out

    def test_what_is_wrong_is_one_line(self, run, tmp_path, capsys):
        folder, _, _ = run
        for words in (["no.png", "q", "a"], ["no.png", "q", "a", "b", "c"]):
            assert main([*words, "--model", str(folder)]) == 2
            error = capsys.readouterr().err
            assert error.startswith("models.critic: ")
            assert error.count("\n") == 1
